"""The usual causes of guests that stop by themselves: panics, waits, loops, missing vectors and calls."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import LoadStore
from arm_vcpu_cli.arch.smccc import FUNCTION_NAMES, SMC64, function_name, is_psci
from arm_vcpu_cli.arch.syndrome.esr import ExceptionClass, exception_class
from arm_vcpu_cli.arm_vcpu.recorder import RecentExit
from arm_vcpu_cli.axvcpu.exit import CpuDown, Hypercall
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.inspect.postmortem.kernel_advice import panic
from arm_vcpu_cli.inspect.postmortem.report_wanted import ended_with_input
from arm_vcpu_cli.vm.endings import Ending

_WFI: Final = 0xD503207F
_WFE: Final = 0xD503205F
_BRANCH_MASK: Final = 0xFC000000
_BRANCH: Final = 0x14000000
_SELF_BRANCHES: Final = (
    (0xFFFFFFFF, 0x14000000),
    (0xFFFFFFE0, 0x54000000),
    (0x7EFFFFE0, 0x34000000),
    (0x7E07FFE0, 0x36000000),
)
"""Masks and values: B; B.cond; CBZ, CBNZ; TBZ, TBNZ."""
_IMMEDIATE: Final = 0xFFFF


def _aarch32(evidence: Evidence) -> Advice | None:
    if evidence.aarch64:
        return None
    return Advice(
        "The guest has entered AArch32 state, which the modelled CPU does not support for guests.",
        "run AArch64 code only; an ERET enters AArch32 if SPSR_EL1.M[4] is set",
    )


def not_its_fault(evidence: Evidence) -> Advice | None:
    """Ends that are not solely the guest's fault."""
    if evidence.ending is Ending.FAULT and evidence.fault is None and not evidence.stuck and evidence.aarch64:
        return Advice("The machine could not continue this guest; the last line says why.", "")
    return None


def _cpu_off(evidence: Evidence) -> Advice | None:
    if evidence.ending is not Ending.NO_PROGRESS or not evidence.recent:
        return None
    if not isinstance(evidence.recent[-1].record.reason, CpuDown):
        return None
    return Advice(
        "CPU_OFF switches off one CPU, and this machine has only one."
        if not evidence.standings
        else "All CPUs have switched themselves off (CPU_OFF), and none is left to switch one on.",
        "to power the machine off, call SYSTEM_OFF (x0 = 0x84000008)",
    )


def waits(evidence: Evidence) -> Advice | None:
    """A WFI that no interrupt will end."""
    if not _is_waiting(evidence) or evidence.handles_failure:
        return None
    if evidence.description.gic is None:
        return Advice(
            "The guest waits for an interrupt (WFI), but the machine has no interrupt controller.",
            'add a device with type = "gicv3" to the machine file; the virt preset has one',
        )
    if evidence.held:
        # The gates that hold back interrupts explain more.
        return None
    if evidence.interrupts_masked:
        return Advice(
            "The guest waits for an interrupt (WFI) with interrupts masked and no timer armed, as programs do when "
            "they have finished, and kernels after a panic.",
            "a guest that has finished should power off: SYSTEM_OFF is HVC #0 with x0 = 0x84000008",
        )
    return Advice(
        "The guest waits for an interrupt (WFI); none is pending, and no timer is armed that could raise one.",
        "set CNTV_CVAL_EL0 or CNTV_TVAL_EL0 and CNTV_CTL_EL0 = 1, and enable INTID 27 in the GIC",
    )


def _is_waiting(evidence: Evidence) -> bool:
    """Whether the guest stopped at a WFI, or just after it, and more input alone would not help."""
    if ended_with_input(evidence.message):
        return False
    return evidence.ending is Ending.NO_PROGRESS and _WFI in (evidence.instruction, *evidence.before[:1])


def _hangs(evidence: Evidence) -> Advice | None:
    """An endless loop that no interrupt will leave."""
    if evidence.ending is not Ending.NO_PROGRESS or evidence.instruction is None:
        return None
    if _is_waiting(evidence):
        return Advice("Its handler has stopped, in a WFI.", "") if evidence.handles_failure else None
    if any(each.watches is not None for each in evidence.standings):
        # Memory that loops read is the subject of other advice.
        return None
    words = (evidence.instruction, *evidence.before[:2])
    if _branches_to_itself(evidence.instruction) or (_WFE in words and evidence.instruction & _BRANCH_MASK == _BRANCH):
        if evidence.chain.is_unfinished:
            return Advice("Its handler has stopped in an endless loop.", "")
        return Advice(
            "The guest has stopped itself in an endless loop, as programs do when they have finished, or when "
            "something has happened that must not.",
            "the backtrace shows how it got there; a guest that has finished should power off (SYSTEM_OFF: HVC #0 "
            "with x0 = 0x84000008)",
        )
    if evidence.read_in_vain is not None or any(_loads(word) for word in words):
        reads = evidence.read_in_vain or "The guest reads the same memory over and over and waits for it to change."
        if evidence.in_interrupt:
            return Advice(
                f"{reads} It is in the handler of an interrupt, so the code that was interrupted will not change it.",
                "code that takes a lock that a handler takes too must mask the interrupt",
            )
        return Advice(
            f"{reads} There is no other CPU to write it, and no interrupt will arrive.",
            "it is usually waiting for a second CPU (this machine has one), or for a handler that cannot run because "
            "interrupts are masked",
        )
    return Advice("The guest runs in a loop that changes nothing.", "the backtrace shows its callers")


def _branches_to_itself(word: int) -> bool:
    """Whether an instruction is a branch, with a condition or without, whose offset is 0."""
    return any(word & mask == value for mask, value in _SELF_BRANCHES)


def _loads(word: int) -> bool:
    """Whether an instruction is a plain load."""
    found = decode_load_store(word)
    return isinstance(found, LoadStore) and found.is_load


def unknown_calls(evidence: Evidence) -> Advice | None:
    """Calls to functions that do not exist, among the latest exits."""
    named = [text for text in (_unanswered(recent) for recent in evidence.recent) if text]
    if not named or evidence.ending in (Ending.POWERED_OFF, Ending.RESET, Ending.EXITED, Ending.PANIC):
        return None
    calls = ", ".join(dict.fromkeys(named))
    return Advice(
        f"The last exits include calls that armvcpu does not implement (they return NOT_SUPPORTED in x0): {calls}.",
        "a machine file can add functions of the secure monitor, as [smc.function.NAME]",
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


CAUSES: Final = (_aarch32, panic)
"""Patterns for ends that explain themselves, tried before the guest's exceptions."""
STOPS: Final = (_cpu_off, _hangs)
"""Patterns tried after the exceptions."""
