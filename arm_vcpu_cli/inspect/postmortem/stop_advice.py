"""What the ends of guests that stopped by themselves usually mean: panics, waits, loops, missing vectors and calls."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.fault import fault_status_name
from arm_vcpu_cli.arch.instructions.loadstore import LoadStore, decode_load_store
from arm_vcpu_cli.arch.smccc import FUNCTION_NAMES, SMC64, function_name, is_psci
from arm_vcpu_cli.arch.syndrome.esr import ExceptionClass, exception_class
from arm_vcpu_cli.arm_vcpu.recorder import RecentExit
from arm_vcpu_cli.axvcpu.exit import CpuDown, Hypercall
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.vm.endings import Ending

_WFI: Final = 0xD503207F
_WFE: Final = 0xD503205F
_BRANCH_MASK: Final = 0xFC000000
_BRANCH: Final = 0x14000000
_BRANCH_SELF: Final = 0x14000000
_STATUS_BITS: Final = 0x3F
_IMMEDIATE: Final = 0xFFFF
_PANICS: Final = (
    (
        "Unable to mount root fs",
        "The kernel has found no root file system.",
        "give it an initial RAM disk with --initrd FILE; this machine has no disk",
    ),
    (
        "No working init found",
        "The root file system has no program to start, or it is not for AArch64.",
        "the archive needs an executable /init (rdinit=PATH in --append for another), statically linked or with its "
        "libraries",
    ),
    (
        "Requested init",
        "The program that init= or rdinit= names cannot be started.",
        "look for it in the initial RAM disk; it has to be an AArch64 executable, with its libraries",
    ),
    (
        "Attempted to kill init",
        "The first process has ended or crashed; a kernel cannot go on without it.",
        "the console has its last words; an init that has nothing left to do should power off",
    ),
    (
        "deadlocked on memory",
        "The kernel has run out of memory with nothing left to kill.",
        "give the machine more with --memory SIZE",
    ),
    (
        "Out of memory",
        "The kernel has run out of memory.",
        "give the machine more with --memory SIZE",
    ),
    (
        "Fatal exception",
        "The kernel has taken an exception that it could not handle (an oops), in code of its own.",
        "--symbols vmlinux (or System.map) names the functions in this report",
    ),
    (
        "sysrq triggered crash",
        "Somebody has asked for this crash (sysrq).",
        "",
    ),
)


def missing_vector(evidence: Evidence) -> Advice | None:
    """Why the guest could not handle its exception."""
    if not evidence.stuck:
        return None
    if evidence.vector is None:
        return Advice(
            "Its handler does not remove the cause: it returns to the same instruction, which takes the same exception "
            "again.",
            "a handler that cannot correct the cause has to skip the instruction (ELR_EL1 + 4) or stop",
        )
    if evidence.vbar == 0:
        return Advice(
            "The guest takes an exception before it has set VBAR_EL1, so it has no handler that could say so.",
            "set VBAR_EL1 first of all (2 KiB aligned), with vectors that at least print ESR_EL1, ELR_EL1 and FAR_EL1",
        )
    kind = exception_class(evidence.vector.esr)
    if kind in (ExceptionClass.INSTRUCTION_ABORT, ExceptionClass.INSTRUCTION_ABORT_LOWER):
        why = fault_status_name(evidence.vector.esr & _STATUS_BITS)
        return Advice(
            f"The vectors at VBAR_EL1 {evidence.vbar:#x} cannot be executed ({why}).",
            "VBAR_EL1 is a virtual address: the tables have to map it executable, from the moment the MMU is on",
        )
    if kind == ExceptionClass.UNKNOWN:
        return Advice(
            f"There are no instructions at the vectors, VBAR_EL1 {evidence.vbar:#x}: they have been overwritten, or "
            "never were there.",
            "look at what else is written there; a stack or .bss that runs into them is the usual cause",
        )
    if kind == ExceptionClass.DATA_ABORT:
        return Advice(
            "The handler itself faults with its first access, as one does that saves registers to a bad stack.",
            "look at SP at the first exception; a handler can use a stack of its own (SPSel, SP_EL1)",
        )
    return Advice("The first instruction of the handler takes an exception itself.", "")


def _aarch32(evidence: Evidence) -> Advice | None:
    if evidence.aarch64:
        return None
    return Advice(
        "The guest has entered AArch32 state, which the modelled CPU does not have for guests.",
        "run AArch64 code only; an ERET goes to AArch32 where SPSR_EL1.M[4] is set",
    )


def _panic(evidence: Evidence) -> Advice | None:
    if evidence.ending is not Ending.PANIC:
        return None
    for text, meaning, step in _PANICS:
        if text in evidence.message:
            return Advice(meaning, step)
    return Advice("The kernel has stopped itself; the console has its reasons.", "")


def not_its_fault(evidence: Evidence) -> Advice | None:
    """Ends that are not the guest's fault alone."""
    if evidence.ending is Ending.FAULT and evidence.fault is None and not evidence.stuck and evidence.aarch64:
        return Advice("The machine could not go on with this guest; the last line says why.", "")
    return None


def _cpu_off(evidence: Evidence) -> Advice | None:
    if evidence.ending is not Ending.NO_PROGRESS or not evidence.recent:
        return None
    if not isinstance(evidence.recent[-1].record.reason, CpuDown):
        return None
    return Advice(
        "CPU_OFF switches off one CPU, and this machine has only one."
        if not evidence.standings
        else "All CPUs have switched themselves off (CPU_OFF), and nobody is left who could switch one on.",
        "to end the machine call SYSTEM_OFF (x0 = 0x84000008)",
    )


def waits(evidence: Evidence) -> Advice | None:
    """WFI, for what will never come."""
    if not _is_waiting(evidence):
        return None
    if evidence.description.gic is None:
        return Advice(
            "The guest waits for an interrupt (WFI), and the machine has no interrupt controller.",
            'give it one: type = "gicv3" in a [device] of the machine file; the preset has it',
        )
    if evidence.held:
        # What holds them back says more.
        return None
    if evidence.interrupts_masked:
        return Advice(
            "The guest waits for an interrupt (WFI) with interrupts masked and no timer armed: as a program does that "
            "has come to its end, or a panic.",
            "a guest that has finished should power off: SYSTEM_OFF is HVC #0 with x0 = 0x84000008",
        )
    return Advice(
        "The guest waits for an interrupt (WFI); none is pending, and no timer is armed that could raise one.",
        "set CNTV_CVAL_EL0 or CNTV_TVAL_EL0 and CNTV_CTL_EL0 = 1, and enable INTID 27 in the GIC",
    )


def _is_waiting(evidence: Evidence) -> bool:
    """Whether the guest has stopped at a WFI, or just behind it."""
    return evidence.ending is Ending.NO_PROGRESS and _WFI in (evidence.instruction, *evidence.before[:1])


def _hangs(evidence: Evidence) -> Advice | None:
    """A loop that nothing will end."""
    if evidence.ending is not Ending.NO_PROGRESS or evidence.instruction is None or _is_waiting(evidence):
        return None
    if any(each.watches is not None for each in evidence.standings):
        # Who would have to write what they read is another question.
        return None
    words = (evidence.instruction, *evidence.before[:2])
    if evidence.instruction == _BRANCH_SELF or (_WFE in words and evidence.instruction & _BRANCH_MASK == _BRANCH):
        return Advice(
            "The guest has stopped itself in an endless loop: the end of a program, or of a handler for what must not "
            "happen.",
            "the backtrace says who went there; a guest that has finished should power off (SYSTEM_OFF: HVC #0 with "
            "x0 = 0x84000008)",
        )
    if any(_loads(word) for word in words):
        return Advice(
            "The guest reads the same memory over and over and waits for it to change: there is no other CPU that "
            "could write it, and no interrupt comes.",
            "what it waits for is usually a second CPU (this machine has one), or a handler that does not run because "
            "interrupts are masked",
        )
    return Advice("The guest goes round in a loop that changes nothing.", "the backtrace says who called it")


def _loads(word: int) -> bool:
    """Whether an instruction is a plain load."""
    found = decode_load_store(word)
    return isinstance(found, LoadStore) and found.is_load


def unknown_calls(evidence: Evidence) -> Advice | None:
    """Calls that nobody answers, among the latest exits."""
    named = [text for text in (_unanswered(recent) for recent in evidence.recent) if text]
    if not named or evidence.ending in (Ending.POWERED_OFF, Ending.RESET, Ending.EXITED, Ending.PANIC):
        return None
    calls = ", ".join(dict.fromkeys(named))
    return Advice(
        f"Among the last exits are calls that nobody answers (NOT_SUPPORTED in x0): {calls}.",
        "functions of the secure monitor can be added as [smc.function.NAME] of the machine file",
    )


def _unanswered(recent: RecentExit) -> str:
    reason, esr = recent.record.reason, recent.record.esr
    if not isinstance(reason, Hypercall) or esr is None:
        return ""
    number = reason.nr & 0xFFFF_FFFF
    known = number in FUNCTION_NAMES or number & ~SMC64 in FUNCTION_NAMES
    if known:
        return ""
    conduit = "SMC" if exception_class(esr) == ExceptionClass.SMC64 else "HVC"
    immediate = esr & _IMMEDIATE
    name = f"PSCI {number:#010x}" if is_psci(number) else function_name(number)
    return f"{conduit} #{immediate:#x} ({name})" if immediate else f"{conduit} ({name})"


def other_console(evidence: Evidence) -> Advice | None:
    """A kernel that has been told to print elsewhere."""
    arguments = evidence.description.boot.bootargs.split()
    consoles = [argument.partition("=")[2] for argument in arguments if argument.startswith("console=")]
    if evidence.image_kind != "linux" or not consoles or any(name.startswith("ttyAMA") for name in consoles):
        return None
    return Advice(
        f"The kernel prints to {', '.join(consoles)}, which this machine does not have.",
        'its console is --append "console=ttyAMA0"',
    )


def no_symbols(evidence: Evidence) -> Advice | None:
    """A kernel that crashed, and a report of bare numbers."""
    if evidence.has_symbols or evidence.image_kind != "linux" or evidence.ending not in (Ending.PANIC, Ending.FAULT):
        return None
    return Advice(
        "The kernel has no symbols, so the addresses below have no names.",
        "--symbols takes them from its vmlinux or System.map, or from what /proc/kallsyms says in the guest",
    )


CAUSES: Final = (_aarch32, _panic)
"""What an end says of itself: before any exception that the guest has taken."""
STOPS: Final = (_cpu_off, _hangs)
"""After them."""
