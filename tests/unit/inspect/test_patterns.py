"""The diagnosis of guests' ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Spsr, Tcr
from arm_vcpu_cli.arch.smccc import PsciStatus
from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass, data_abort_esr, instruction_abort_esr
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arm_vcpu.exception_chain import Chain, El1Exception
from arm_vcpu_cli.arm_vcpu.observer import ExitRecord
from arm_vcpu_cli.arm_vcpu.recorder import RecentExit
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, CpuDown, Hypercall
from arm_vcpu_cli.board.loading import load_machine, machine_from_document
from arm_vcpu_cli.devices.gic.gates.gate import Closed, Frame, Gate, RegisterAt
from arm_vcpu_cli.inspect.postmortem.changed_code import Changed
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.inspect.postmortem.fault_facts import Fault
from arm_vcpu_cli.inspect.postmortem.lost_sgis import LostSgi
from arm_vcpu_cli.inspect.postmortem.patterns import GROUPS, advise
from arm_vcpu_cli.inspect.postmortem.stack_end import StackEnd
from arm_vcpu_cli.inspect.postmortem.started_cpus import RefusedStart
from arm_vcpu_cli.inspect.tables.both_stages import Stage, Step, Translated
from arm_vcpu_cli.vm.awaited import Awaited
from arm_vcpu_cli.vm.endings import Ending
from arm_vcpu_cli.vm.standing import Doing, Standing
from arm_vcpu_cli.vm.watch.loops import Loop, Read

MACHINE = load_machine(None)
PC = 0x4008_0000
SP = 0x4010_0000
EL1H = Spsr.of(M=5)
MMU = int(Sctlr.of(M=1))
TCR = int(Tcr.of(T0SZ=25, T1SZ=25))
NOP, LOAD, PUSH, WFI, HALT = 0xD503201F, 0xF9400020, 0xA9BF7BFD, 0xD503207F, 0x14000000
HVC, SMC = (int(kind) << EC_SHIFT for kind in (ExceptionClass.HVC64, ExceptionClass.SMC64))

ISENABLER = RegisterAt("GICR_ISENABLER0", Frame.REDISTRIBUTOR, 0, 0x1_0100)
HELD = Awaited(27, 0, (Closed(Gate.ENABLE, ISENABLER, 0, ISENABLER, 1 << 27),), "virtual timer")


def evidence(fault: Fault | None = None, **facts: Any) -> Evidence:
    """A guest that took this fault with its vectors set and working, unless told otherwise."""
    known: dict[str, Any] = {"ending": Ending.FAULT, "pc": PC, "pstate": EL1H, "vbar": 0x4000_0800}
    return Evidence(MACHINE, fault=fault, **{**known, **facts})


def exception(kind: ExceptionClass, iss: int = 0, **facts: Any) -> Fault:
    return Fault(int(kind) << EC_SHIFT | 1 << 25 | iss, facts.pop("pc", PC), facts.pop("sp", SP), **facts)


def data_abort(far: int, status: int, access: Access = Access.READ, **facts: Any) -> Fault:
    el = facts.get("el", 1)
    esr = data_abort_esr(el == 1, status, is_write=access is Access.WRITE)
    return Fault(esr, PC, facts.pop("sp", SP), far, access=access, status=status, **facts)


def fetch_abort(far: int, status: int, **facts: Any) -> Fault:
    esr = instruction_abort_esr(facts.get("el", 1) == 1, status)
    return Fault(esr, far, SP, far, access=Access.EXECUTE, status=status, **facts)


def translated(far: int, *, leaf: int | None = None, ipa: int | None = None) -> Translated:
    """A translation that ended in stage 1 at a page with this descriptor, or in stage 2 at this IPA."""
    if ipa is not None:
        second = Stage(2, "", ipa, (), None, "translation fault, level 2", 6, 2, "translation", 0)
        return Translated(far, 1, None, False, Stage(1, "", far, (), ipa, "", None, None, "", 0), second)
    steps = () if leaf is None else (Step(3, 0, 0, leaf, "page", 0, ()),)
    return Translated(
        far, 1, None, True, Stage(1, "", far, steps, None, "permission fault", 15, 3, "permission", 4096), None
    )


def beyond(output: int) -> Translated:
    """A translation that ended at a block whose address is too large."""
    steps = (Step(1, 0, 0, output | 1, "block", output, ()),)
    stage = Stage(1, "", FAR, steps, None, "address size fault, level 1", 1, 1, "address size", 0)
    return Translated(FAR, 1, None, True, stage, None)


def recent(reason: AxVCpuExitReason, esr: int | None) -> RecentExit:
    return RecentExit(1, ExitRecord(0, reason, esr, PC, 1), (0,) * 31)


def spins(cpu: int, address: int) -> Standing:
    return Standing(cpu, Doing.SPINNING, PC, masked=True, loop=Loop(PC, Read(address, PC)))


def stuck_cpus(*standings: Standing) -> Evidence:
    return evidence(ending=Ending.NO_PROGRESS, instruction=0xB4FFFFE0, before=(LOAD,), standings=standings)


WAITS = Standing(1, Doing.WAITING, PC, masked=True)
IS_OFF = Standing(1, Doing.OFF, PC, masked=True)
FAR = 0x5000_0000
EC = ExceptionClass
CASES: dict[str, tuple[Evidence, str]] = {
    "an SGI to nobody": (
        evidence(ending=Ending.NO_PROGRESS, lost_sgis=(LostSgi("0x40080010 <main>", 5, ()),)),
        "SGI 5, sent at 0x40080010 <main>, went to no CPU: it names no affinity, and the CPUs are 0x0.",
    ),
    "a CPU that does not exist": (
        evidence(
            ending=Ending.NO_PROGRESS,
            affinities=tuple(range(10)),
            refused=(RefusedStart("0x40080010 <main>", PsciStatus.INVALID_PARAMETERS, 0x100, PC),),
        ),
        "CPU_ON at 0x40080010 <main> has returned INVALID_PARAMETERS (-2): there is no CPU 0x100; the CPUs are 0x0, "
        "0x1, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7 and 2 more.",
    ),
    "null pointer": (evidence(data_abort(8, 4)), "null pointer"),
    "null pointer, MMU off": (evidence(data_abort(8, 0x10)), "null pointer"),
    "null call": (evidence(fetch_abort(0, 0x10)), "has jumped to address 0x0"),
    "no stack": (
        evidence(data_abort(2**64 - 16, 0, Access.WRITE, sp=0, instruction=PUSH, stack=StackEnd(None, 0, (), 0))),
        "before it has set SP",
    ),
    "stack overflow": (
        evidence(data_abort(SP - 16, 7, Access.WRITE, instruction=PUSH, stack=StackEnd(SP, 0, (), 1))),
        "0x10 bytes below the lowest address that is mapped there, 0x40100000. Its only frame shows no recursion.",
    ),
    "recursion": (
        evidence(data_abort(SP - 16, 7, Access.WRITE, instruction=PUSH, stack=StackEnd(SP, 0x1000, ("f", "g"), 90))),
        "with 0x1000 bytes of guard below. It is full of f and g, which call each other: 90 frames",
    ),
    "an SP that leads nowhere": (
        evidence(data_abort(SP - 16, 7, Access.WRITE, instruction=PUSH, stack=StackEnd(None, 0, (), 0))),
        "the stack has not overflowed, but SP is wrong",
    ),
    "overwritten": (
        evidence(
            exception(EC.UNKNOWN, place="0x40080000 <f>", changed=Changed(PC, PC + 16, NOP, 0, "zeros", "buffer")),
        ),
        "The code at 0x40080000 <f> has been overwritten: 00000000 is there now; the file has d503201f. 16 bytes "
        "differ, from 0x40080000 to 0x4008000f: zeros.",
    ),
    "a call to nowhere": (
        evidence(fetch_abort(FAR, 7, caller="the call BLR x8 at 0x40080000 <f>")),
        "has jumped to 0x50000000, from which nothing can be fetched. The guest got there through the call BLR x8",
    ),
    "a wild pointer is no stack": (evidence(data_abort(FAR, 7, instruction=LOAD), tcr=TCR), "Nothing maps"),
    "BTI": (evidence(exception(EC.BRANCH_TARGET)), "not a landing pad"),
    "FPAC": (evidence(exception(EC.POINTER_AUTH_FAIL)), "failed authentication"),
    "PAC": (evidence(fetch_abort(1 << 61 | PC, 4), sctlr=int(Sctlr.of(M=1, EnIA=1))), "failed authentication"),
    "no PAC without its key": (
        evidence(fetch_abort(1 << 61 | PC, 4), sctlr=MMU, tcr=TCR),
        "not a valid virtual address",
    ),
    "zeros": (evidence(exception(EC.UNKNOWN, instruction=0)), "only zeros"),
    "not code": (evidence(exception(EC.UNKNOWN, instruction=0), entry=PC), "Not even the first instruction"),
    "feature": (
        evidence(exception(EC.UNKNOWN, instruction=0xF8200041, feature="FEAT_LSE", models=("max",))),
        "needs FEAT_LSE, which cortex-a72 does not have",
    ),
    "semihosting": (
        replace(
            evidence(exception(EC.UNKNOWN, instruction=0xD45E0000)),
            description=machine_from_document({"semihosting": {"enabled": False}}),
        ),
        "semihosting call",
    ),
    "EL2": (evidence(exception(EC.UNKNOWN, instruction=0xD53C1100)), "HCR_EL2 and so expects to be at EL2"),
    "EL3": (evidence(exception(EC.UNKNOWN, instruction=0xD51E1100)), "SCR_EL3 and so expects to be at EL3"),
    "GIC": (
        replace(
            evidence(exception(EC.UNKNOWN, instruction=0xD538CC00)),
            description=machine_from_document({"device": {"gic": {"enabled": False}}}),
        ),
        "no interrupt controller",
    ),
    "EL0 and a register": (evidence(exception(EC.UNKNOWN, instruction=0xD5381000, el=0)), "EL0 reads SCTLR_EL1"),
    "PMU": (evidence(exception(EC.UNKNOWN, instruction=0xD53B9D00)), "no performance monitors"),
    "undefined": (evidence(exception(EC.UNKNOWN, instruction=7)), "0x00000007) is undefined"),
    "floating point": (evidence(exception(EC.FP_ACCESS)), "CPACR_EL1.FPEN traps"),
    "SVE": (evidence(exception(EC.SVE)), "uses SVE while CPACR_EL1.ZEN traps"),
    "PC alignment": (evidence(exception(EC.PC_ALIGNMENT, pc=PC + 2)), "not a multiple of 4"),
    "illegal state": (evidence(exception(EC.ILLEGAL_STATE)), "PSTATE.IL is set"),
    "BRK": (evidence(exception(EC.BRK64, 1000)), "__builtin_trap()"),
    "BUG": (evidence(exception(EC.BRK64, 0x800)), "BUG()"),
    "a BRK like any other": (evidence(exception(EC.BRK64, 5)), "BRK #0x5 is a breakpoint in the code"),
    "MMU on": (
        evidence(fetch_abort(PC, 5, before=(NOP, 0xD5181000)), sctlr=MMU),
        "just enabled the MMU by writing SCTLR_EL1, and the next instruction cannot be fetched. Nothing maps",
    ),
    "external": (
        evidence(data_abort(FAR, 0x10, translated=translated(FAR, ipa=0x0B00_0000))),
        "the nearest is device.virtio",
    ),
    "behind RAM": (evidence(data_abort(FAR, 0x10, translated=translated(FAR, ipa=0x6000_0000))), "ends at 0x5fffffff"),
    "device refuses": (
        evidence(data_abort(FAR, 0x10, translated=translated(FAR, ipa=0x0900_0000))),
        "refuses this access",
    ),
    "table nowhere": (evidence(data_abort(FAR, 0x15)), "table is at an address without memory"),
    "alignment": (evidence(data_abort(FAR + 1, 0x21, instruction=0x885F7C20)), "exclusive access to 0x50000001"),
    "alignment of a device": (evidence(data_abort(FAR + 1, 0x21, instruction=0xB9400020)), "4 bytes to 0x50000001"),
    "atomic": (evidence(data_abort(FAR, 0x35)), "exclusive or atomic"),
    "access flag": (evidence(data_abort(FAR, 0xB)), "access flag is clear"),
    "read-only": (
        evidence(data_abort(FAR, 0xF, Access.WRITE, translated=translated(FAR, leaf=2 << 6)), sctlr=MMU),
        "read-only page",
    ),
    "kernel's page": (
        evidence(data_abort(FAR, 0xF, el=0, translated=translated(FAR, leaf=0)), sctlr=MMU),
        "in a page reserved for the kernel",
    ),
    "PAN": (
        evidence(data_abort(FAR, 0xF, translated=translated(FAR, leaf=1 << 6)), pstate=Spsr.of(M=5, PAN=1)),
        "PSTATE.PAN is set",
    ),
    "APTable": (evidence(data_abort(FAR, 0xF, Access.WRITE, translated=translated(FAR, leaf=0))), "APTable"),
    "PXN": (
        evidence(fetch_abort(FAR, 0xF, translated=translated(FAR, leaf=1 << 53)), sctlr=MMU),
        "PXN (bit 53) is set",
    ),
    "UXN": (evidence(fetch_abort(FAR, 0xF, el=0, translated=translated(FAR, leaf=1 << 54))), "UXN (bit 54) is set"),
    "WXN": (
        evidence(fetch_abort(FAR, 0xF, translated=translated(FAR, leaf=0)), sctlr=int(Sctlr.of(M=1, WXN=1))),
        "SCTLR_EL1.WXN",
    ),
    "EL0 can write it": (
        evidence(fetch_abort(FAR, 0xF, translated=translated(FAR, leaf=1 << 6))),
        "pages that EL0 can write",
    ),
    "not canonical": (
        evidence(data_abort(0x6B6F_6F42_6E65_4F21, 4), sctlr=MMU, tcr=TCR),
        "not a valid virtual address",
    ),
    "EPD1": (
        evidence(data_abort(2**64 - 4096, 4), sctlr=MMU, tcr=TCR | int(Tcr.of(EPD1=1))),
        "Walks with TTBR1_EL1 are disabled",
    ),
    "not mapped": (
        evidence(data_abort(FAR, 5), sctlr=MMU, tcr=TCR),
        "Nothing maps 0x50000000: the descriptor of level 1",
    ),
    "address size": (
        evidence(data_abort(FAR, 1, translated=beyond(0x20_0000_0000)), sctlr=MMU),
        "The address in the block descriptor of level 1 (0x2000000001) is 0x2000000000, beyond the 32 bits that "
        "TCR_EL1.IPS = 0b000 allows. This machine has no memory there either",
    ),
    "address size, MMU off": (evidence(data_abort(1 << 50, 0)), "used as a physical address"),
    "AArch32": (evidence(aarch64=False), "AArch32 state"),
    "root": (
        evidence(ending=Ending.PANIC, message="VFS: Unable to mount root fs on unknown-block(0,0)"),
        "no root file system",
    ),
    "init": (evidence(ending=Ending.PANIC, message="No working init found."), "no program to start"),
    "init died": (
        evidence(ending=Ending.PANIC, message="Attempted to kill init! exitcode=0x0b"),
        "first process (init) exited",
    ),
    "another panic": (evidence(ending=Ending.PANIC, message="corrupted"), "stopped itself"),
    "CPU_OFF": (evidence(ending=Ending.NO_PROGRESS, recent=(recent(CpuDown(0), HVC),)), "has only one"),
    "WFI masked": (
        evidence(ending=Ending.NO_PROGRESS, instruction=WFI, interrupts_masked=True),
        "with interrupts masked and no timer armed",
    ),
    "WFI behind": (
        evidence(ending=Ending.NO_PROGRESS, instruction=NOP, before=(WFI,), interrupts_masked=True),
        "with interrupts masked and no timer armed",
    ),
    "WFI, no timer": (evidence(ending=Ending.NO_PROGRESS, instruction=WFI), "no timer is armed"),
    "WFI, held": (
        evidence(ending=Ending.NO_PROGRESS, instruction=WFI, held=(HELD,)),
        "INTID 27 (virtual timer) is pending at cpu0, but GICR_ISENABLER0 is 0x00000000: bit 27 is clear.",
    ),
    "halt": (evidence(ending=Ending.NO_PROGRESS, instruction=HALT), "endless loop"),
    "a lock whose holder sleeps": (
        stuck_cpus(WAITS, spins(0, 0x8000), spins(2, 0x8000)),
        "cpu0 and cpu2 are waiting for",
    ),
    "a flag of one that is off": (stuck_cpus(spins(0, 0x8000), IS_OFF), "cpu1 is off"),
    "a lock of nobody": (stuck_cpus(spins(0, 0x8000), spins(2, 0x8000)), "the same memory"),
    "locks in different orders": (stuck_cpus(spins(0, 0x8000), spins(2, 0x8008)), "different orders"),
    "all CPUs off": (
        evidence(ending=Ending.NO_PROGRESS, recent=(recent(CpuDown(0), HVC),), standings=(IS_OFF,)),
        "All CPUs",
    ),
    "polling": (evidence(ending=Ending.NO_PROGRESS, instruction=0xB4FFFFE0, before=(LOAD,)), "waits for it to change"),
    "loop": (evidence(ending=Ending.NO_PROGRESS, instruction=0x17FFFFFF, before=(NOP,)), "runs in a loop"),
}


@pytest.mark.parametrize("name", CASES)
def test_an_end_is_told_by_what_is_known_of_it(name: str) -> None:
    facts, phrase = CASES[name]
    found = advise(facts)
    assert found, name
    assert phrase in found[0].meaning


@pytest.mark.parametrize("name", CASES)
def test_advice_is_made_of_sentences(name: str) -> None:
    for meaning, step in advise(CASES[name][0]):
        assert meaning.endswith((".", "?"))
        assert "\n" not in meaning + step
        assert not step.endswith(".")


def test_every_pattern_has_a_case() -> None:
    patterns = {pattern for group in GROUPS for pattern in group}
    seen = {pattern for facts, _ in (*CASES.values(), *OTHERS.values()) for pattern in patterns if pattern(facts)}
    assert {pattern.__name__ for pattern in patterns - seen} == set()


VECTOR = 0x4000_0A00
SYSTEM_CALL = El1Exception(instruction_abort_esr(True, 0x10), 0x200, 0x200, SP, elr=PC + 4, cause=EC.SVC64 << EC_SHIFT)
OTHERS: dict[str, tuple[Evidence, str]] = {
    "alignment": (evidence(data_abort(8, 0x10), sctlr=int(Sctlr.of(A=1))), "SCTLR_EL1.A is 1"),
    "no vectors": (
        evidence(
            data_abort(8, 0x10),
            stuck=True,
            vbar=0,
            vector=El1Exception(instruction_abort_esr(True, 0x10), 0x200, 0x200, SP),
        ),
        "before it has set VBAR_EL1",
    ),
    "vectors not mapped": (
        evidence(data_abort(8, 5), stuck=True, vector=El1Exception(instruction_abort_esr(True, 5), VECTOR, VECTOR, SP)),
        "cannot be executed (translation fault, level 1)",
    ),
    "no vectors in memory": (
        evidence(data_abort(8, 5), stuck=True, vector=El1Exception(1 << 25, 0, VECTOR, SP)),
        "no instruction at the vector 0x40000a00",
    ),
    "handler without a stack": (
        evidence(
            data_abort(8, 5),
            stuck=True,
            instruction=PUSH,
            vector=El1Exception(data_abort_esr(True, 5, is_write=True), FAR, VECTOR, SP),
        ),
        "uses the stack and faults as well: SP is 0x40100000",
    ),
    "vectors not aligned": (
        evidence(data_abort(8, 5), stuck=True, vbar=VECTOR + 64, vector=El1Exception(1 << 25, 0, VECTOR, SP)),
        "is 0x40000a40, which is not a multiple of 2 KiB",
    ),
    "vectors overwritten": (
        evidence(
            data_abort(8, 5),
            stuck=True,
            vector=El1Exception(1 << 25, 0, VECTOR, SP),
            vector_changed=Changed(VECTOR, VECTOR + 4, NOP, 0, "zeros", ""),
        ),
        "The vector at 0x40000a00 (VBAR_EL1 is 0x40000800) has been overwritten: 00000000 is there now",
    ),
    "a program for Linux": (
        evidence(
            stuck=True,
            vbar=0,
            registers=(0,) * 8 + (214,) + (0,) * 22,
            vector=SYSTEM_CALL,
            chain=Chain((SYSTEM_CALL,)),
        ),
        "SVC #0 with x8 = 214 is brk() on Linux",
    ),
    "handler returns": (
        evidence(data_abort(8, 5), stuck=True, chain=Chain((El1Exception(0, 0, PC, SP, times=9),))),
        "does not remove the cause",
    ),
    "handler meets itself": (
        evidence(
            data_abort(8, 5), stuck=True, chain=Chain((El1Exception(0, 0, PC, SP, times=9, repeats_itself=True),))
        ),
        "nested deeper each time",
    ),
    "handler faults": (evidence(data_abort(FAR, 5), handler_fault=data_abort(8, 5)), "Then its handler faults. A null"),
    "SP alignment": (
        evidence(data_abort(8, 5, sp=SP + 8), sctlr=int(Sctlr.of(SA=1))),
        "SP is 0x40100008, which is not a multiple of 16, and SCTLR_EL1.SA is 1",
    ),
    "unknown calls": (
        evidence(
            data_abort(8, 5),
            recent=(recent(Hypercall(0x8400_001B, (0,) * 6), HVC), recent(Hypercall(0xC200_0000, (0,) * 6), SMC | 5)),
        ),
        "HVC (PSCI 0x8400001b), SMC #0x5 (SMCCC 0xc2000000 (SiP, fast, SMC64))",
    ),
    "console": (
        replace(
            evidence(ending=Ending.LIMIT, image_kind="linux"),
            description=machine_from_document({"boot": {"bootargs": "console=ttyS0 quiet"}}),
        ),
        "prints to ttyS0",
    ),
    "silent kernel with a log": (
        evidence(ending=Ending.LIMIT, image_kind="linux", printed=0, log=("[    0.000000] Booting Linux",)),
        "because its console starts late; the messages above",
    ),
    "kernel with a console": (
        evidence(ending=Ending.LIMIT, image_kind="linux", printed=0, log=("[ 0.1] printk: console [ttyAMA0] enabled",)),
        "although it has a console",
    ),
    "kernel without a console": (
        evidence(ending=Ending.LIMIT, image_kind="linux", printed=0, log=("[    0.1] Serial: AMBA PL011 UART driver",)),
        "because it found no console",
    ),
    "oops that was not printed": (
        evidence(
            ending=Ending.PANIC,
            message="panicked: Attempted to kill init!",
            image_kind="linux",
            printed=0,
            log=("[    0.1] Internal error: Oops: 96000044 [#1] SMP",),
        ),
        "(an oops): Oops: 96000044 [#1] SMP.",
    ),
    "panic that was not printed": (
        evidence(ending=Ending.PANIC, message="panicked: x", image_kind="linux", printed=0, log=("[    0.1] x",)),
        "its last messages, above, show why",
    ),
    "panic for want of memory": (
        evidence(ending=Ending.PANIC, message="panicked: memblock: Failed to allocate 8 bytes", image_kind="linux"),
        "had no memory left",
    ),
    "silent kernel": (evidence(ending=Ending.LIMIT, image_kind="linux", printed=0), "has printed nothing. Its console"),
    "silent in spite of earlycon": (
        replace(
            evidence(ending=Ending.LIMIT, image_kind="linux", printed=0),
            description=machine_from_document({"boot": {"bootargs": "earlycon"}}),
        ),
        "not even by earlycon",
    ),
    "no symbols": (evidence(ending=Ending.PANIC, image_kind="linux", has_symbols=False), "has no symbols"),
    "stage 2": (
        replace(
            evidence(data_abort(FAR, 0xF, Access.WRITE, at_el2=True, translated=translated(FAR, ipa=0x1000_0000))),
            description=machine_from_document(
                {"memory": {"rom": {"base": 0x1000_0000, "size": 4096, "permissions": "r"}}}
            ),
        ),
        "in memory.rom, which stage 2 maps r only: no writes",
    ),
    "the engine": (evidence(), "could not continue"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_else_is_told(name: str) -> None:
    facts, phrase = OTHERS[name]
    assert any(phrase in advice.meaning for advice in advise(facts))


def test_a_call_that_is_known_needs_no_words() -> None:
    facts = evidence(ending=Ending.LIMIT, recent=(recent(Hypercall(0x8400_0000, (0,) * 6), HVC),))
    assert advise(facts) == []


def test_of_a_vector_that_fails_by_itself_the_cause_is_not_known() -> None:
    last = El1Exception(1 << 25, 0, VECTOR, SP)
    (advice,) = advise(evidence(exception(EC.UNKNOWN, pc=VECTOR, instruction=0), stuck=True, vector=last))
    assert "no instruction at the vector" in advice.meaning


def test_a_guest_that_stopped_for_another_reason_has_no_advice() -> None:
    assert advise(evidence(ending=Ending.LIMIT)) == []
