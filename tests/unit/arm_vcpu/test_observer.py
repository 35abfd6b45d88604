"""Reports to an observer: each exit once, in order, with the guest's result."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.observer import El1ExceptionRecord, ExitRecord
from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.arm_vcpu.vectors import TrapKind
from arm_vcpu_cli.axvcpu.exit import (
    AccessFlags,
    AccessWidth,
    CpuUp,
    ExternalInterrupt,
    FailEntry,
    Halt,
    Hypercall,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    PowerAction,
    SendIPI,
    SysRegRead,
    SysRegWrite,
    SystemDown,
)
from tests.support.arm_vcpu_bench import ENTRY, VTCR, Bench, TestPlatform, bench
from tests.support.fake_core import EL1H_MASKED, Trap, data_abort, hvc, instruction_abort, smc, system_move, wfi
from tests.support.observer import Observer

UART = 0x0900_0000
CNTPCT_ISS = 3 << 20 | 1 << 17 | 3 << 14 | 14 << 10
IL = 1 << 25
SVC, DATA_ABORT = 0x15 << 26 | IL, 0x25 << 26 | IL
EL0T = 0x0
VBAR = 0x4010_0000
HLT_F000 = 0xD45E_0000


def watched(
    *traps: Trap, platform: TestPlatform | None = None, entries: bool = False, exceptions: bool = False
) -> tuple[Bench, Observer]:
    observer = Observer(wants_entries=entries, wants_exceptions=exceptions)
    box = bench(traps, platform=platform, observer=observer)
    box.vcpu.write_sysreg(lookup("VBAR_EL1"), VBAR)
    return box, observer


def reasons(observer: Observer) -> list[object]:
    return [record.reason for record in observer.records]


def test_exits_completed_in_place_are_reported_in_order_with_their_results() -> None:
    platform = TestPlatform(reads=[0x1FF], sysreg_value=0x77, hypercall_answer=0x99)
    box, observer = watched(
        hvc(0x8400_0000),
        data_abort(UART, is_write=False, size=1, register=5, sign_extend=True),
        data_abort(UART + 4, is_write=True, register=6, regs={6: 0x41}),
        system_move("CNTPCT_EL0", 3, is_read=True),
        system_move("TCR_EL1", 4, is_read=False, regs={4: 8}),
        hvc(0x8600_0001, 5, 0, 0, 0, 0, 0),
        platform=platform,
    )
    box.vcpu.run()
    assert [(record.reason, record.value) for record in observer.records] == [
        (Hypercall(0x8400_0000, (0,) * 6), 0x1_0001),
        (MmioRead(UART, AccessWidth.BYTE, 5, AccessWidth.DWORD, True), 0xFFFF_FFFF),
        (MmioWrite(UART + 4, AccessWidth.DWORD, 0x41), None),
        (SysRegRead(CNTPCT_ISS, 3), 0x77),
        (SysRegWrite(3 << 20 | 2 << 17 | 2 << 10, 8), None),
        (Hypercall(0x8600_0001, (5, 0, 0, 0, 0, 0)), 0x99),
    ]
    assert [record.time for record in observer.records] == [10, 20, 30, 40, 50, 60]
    assert [record.pc - ENTRY for record in observer.records] == [4, 4, 8, 12, 16, 24]
    assert {record.el for record in observer.records} == {1}
    assert [(record.esr or 0) >> EC_SHIFT for record in observer.records] == [0x16, 0x24, 0x24, 0x18, 0x18, 0x16]
    assert {record.note for record in observer.records} == {""}


def test_the_value_of_a_read_that_the_caller_completes_is_what_the_register_got() -> None:
    box, observer = watched(
        data_abort(UART, is_write=False, size=1, register=5, sign_extend=True, regs={5: 0x1111}), wfi()
    )
    box.vcpu.run()
    assert observer.records == [], "nothing is known of its result yet"
    box.vcpu.complete(0x80)
    assert observer.records == []
    box.vcpu.run()
    assert observer.records[0].value == 0xFFFF_FF80
    assert observer.records[0].pc == ENTRY


def test_the_result_of_a_call_is_what_the_vmm_set() -> None:
    box, observer = watched(smc(0xC400_0003, 1, 2, 3), hvc(0x8600_0001))
    box.vcpu.run()
    box.vcpu.set_return_value(2**64 - 4)
    box.vcpu.run()
    assert [(record.reason, record.value) for record in observer.records] == [(CpuUp(1, 2, 3), 2**64 - 4)]
    box.vcpu.set_return_value(5)
    box.vcpu.close_record()
    assert observer.records[-1].value == 5
    box.vcpu.close_record()
    assert len(observer.records) == 2, "a record is closed once"


def test_a_register_read_that_the_caller_completes() -> None:
    box, observer = watched(system_move("CNTPCT_EL0", 3, is_read=True))
    box.vcpu.run()
    box.vcpu.complete(0x55)
    box.vcpu.run()
    assert [(record.reason, record.value) for record in observer.records] == [(SysRegRead(CNTPCT_ISS, 3), 0x55)]


def test_a_pair_is_one_record_that_closes_when_the_instruction_is_complete() -> None:
    box, observer = watched(data_abort(UART, is_write=False, valid=False, regs={2: UART}))
    box.core.instructions[ENTRY] = 0x2940_0C41  # ldp w1, w3, [x2]
    box.vcpu.run()
    box.vcpu.complete(0x11)
    box.vcpu.run()
    assert observer.records == []
    box.vcpu.complete(0x22)
    box.vcpu.run()
    assert [(record.reason, record.value) for record in observer.records] == [
        (MmioRead(UART, AccessWidth.DWORD, 1, AccessWidth.DWORD), 0x11)
    ]


@pytest.mark.parametrize(
    ("trap", "reason"),
    [
        (wfi(), Halt()),
        (hvc(0x8400_0008), SystemDown(PowerAction.OFF)),
        (instruction_abort(0x5000), NestedPageFault(0x5000, AccessFlags.EXECUTE)),
        (data_abort(0x5008, is_write=True, status=0xF), NestedPageFault(0x5008, AccessFlags.WRITE)),
        (system_move("ICC_SGI1R_EL1", 3, is_read=False, regs={3: 7 << 24 | 2}), SendIPI(0, 2, False, False, 7)),
    ],
)
def test_what_run_returns_is_what_the_observer_sees(trap: Trap, reason: object) -> None:
    box, observer = watched(trap)
    assert box.vcpu.run() == reason
    box.vcpu.close_record()
    assert reasons(observer) == [reason]


@pytest.mark.parametrize(
    "trap",
    [
        Trap(esr=0x5600_0000, kind=TrapKind.IRQ),
        Trap(esr=0x9200_0007, kind=TrapKind.FIQ, far=UART),
        Trap(esr=0x6230_3019, kind=TrapKind.IRQ),
    ],
)
def test_an_interrupt_is_reported_as_one_whatever_the_stale_syndrome_says(trap: Trap) -> None:
    box, observer = watched(trap)
    assert box.vcpu.run() == ExternalInterrupt(0)
    box.vcpu.close_record()
    assert [(record.reason, record.esr, record.value) for record in observer.records] == [
        (ExternalInterrupt(0), None, None)
    ]


@pytest.mark.parametrize(
    "trap",
    [
        Trap(esr=0x5600_0000, kind=TrapKind.SERROR),
        Trap(esr=0x5600_0000, aarch64=False),
        Trap(esr=0x5600_0000, aarch64=False, target_el=1),
        Trap(esr=0x3F << 26),
    ],
)
def test_a_failure_is_reported_as_one(trap: Trap) -> None:
    box, observer = watched(trap)
    reason = box.vcpu.run()
    assert isinstance(reason, FailEntry)
    box.vcpu.close_record()
    assert reasons(observer) == [reason]


def test_an_exception_that_el1_takes_itself_is_no_exit() -> None:
    box, observer = watched(Trap(SVC, target_el=1, step=4), Trap(IL, target_el=1))
    box.vcpu.run()
    assert (observer.records, observer.exceptions, observer.time) == ([], [], 0)


# Exceptions of EL1 -------------------------------------------------------------------------------------------------


def test_exceptions_are_reported_if_they_are_wanted_with_what_the_guest_finds() -> None:
    box, observer = watched(
        Trap(SVC | 7, target_el=1, step=4, regs={8: 64}, pstate=EL0T),
        Trap(DATA_ABORT | 0x44, target_el=1, far=0xDEAD_0000, pstate=EL1H_MASKED),
        Trap(IL, target_el=1, far=0xDEAD_0000),
        exceptions=True,
    )
    box.vcpu.run()
    current, lower = VBAR + 0x200, VBAR + 0x400
    assert observer.exceptions == [
        El1ExceptionRecord(10, 0, SVC | 7, None, ENTRY + 4, 0, lower, 64),
        El1ExceptionRecord(20, 0, DATA_ABORT | 0x44, 0xDEAD_0000, lower, 1, current, 64),
        El1ExceptionRecord(30, 0, IL, None, current, 1, current, 64),
    ]
    assert observer.records == []
    assert box.vcpu.exits == 0


def test_what_is_trapped_in_place_of_el1_is_an_exit_though_the_guest_then_takes_an_exception() -> None:
    observer = Observer(wants_exceptions=True)
    setup = Aarch64VCpuSetupConfig(vtcr=VTCR, gic_cpu_interface=True)
    box = bench([Trap(IL, target_el=1)], platform=TestPlatform(sysreg_value=Outcome.UNDEFINED), setup=setup)
    box.vcpu.unbind()
    box.vcpu.add_observer(observer)
    box.vcpu.bind(box.cpu)
    box.core.instructions[ENTRY] = 0xD538_CC23  # mrs x3, icc_eoir1_el1, which can only be written
    box.vcpu.run()
    ((record),) = observer.records
    assert record.reason == SysRegRead(lookup("ICC_EOIR1_EL1").iss, 3)
    assert (record.note, record.value, (record.esr or 0) >> EC_SHIFT) == (
        "undefined instruction into the guest",
        None,
        0x18,
    )
    assert box.vcpu.exits == 1


@pytest.mark.parametrize("exceptions", [True, False])
def test_semihosting_that_the_machine_does_not_have_is_an_undefined_instruction_and_no_exit(exceptions: bool) -> None:
    platform = TestPlatform()
    box, observer = watched(
        Trap(IL, target_el=1, regs={0: 4}), hvc(0x8400_0000), platform=platform, exceptions=exceptions
    )
    box.core.instructions[ENTRY] = HLT_F000
    box.vcpu.run()
    assert observer.exceptions == [El1ExceptionRecord(10, 0, IL, None, ENTRY, 1, VBAR + 0x200, 0)]
    assert [record.reason for record in observer.records] == [Hypercall(0x8400_0000, (0,) * 6)]
    assert box.vcpu.exits == 1


# Entries -----------------------------------------------------------------------------------------------------------


def test_an_entry_is_reported_before_each_time_the_guest_goes_on_if_it_is_wanted() -> None:
    box, observer = watched(hvc(0x8400_0000), smc(0x8400_0000), wfi(), hvc(0x8400_0000), entries=True)
    box.vcpu.run()
    assert observer.entries == [
        (ENTRY, 1, False, False),
        (ENTRY + 4, 1, False, False),
        (ENTRY + 8, 1, False, False),
    ], "none behind the one that run() has returned"
    box.vcpu.run()
    assert observer.entries[3:] == [(ENTRY + 12, 1, False, False), (ENTRY + 16, 1, False, False)]


@pytest.mark.parametrize(("irq", "fiq"), [(True, False), (False, True), (True, True)])
def test_an_entry_says_which_virtual_interrupts_are_pending(irq: bool, fiq: bool) -> None:
    box, observer = watched(hvc(0x8400_0000), entries=True)
    box.vcpu.set_interrupt_lines(irq=irq, fiq=fiq)
    box.vcpu.run()
    assert [(virq, vfiq) for _, _, virq, vfiq in observer.entries] == [(irq, fiq)] * 2


def test_an_entry_into_el0_says_so() -> None:
    box, observer = watched(hvc(0x8400_0000), entries=True)
    box.core.script[0] = Trap(0x24 << 26 | IL | 0x47 | 1 << 24, far=UART, hpfar=UART >> 8, pstate=EL0T)
    box.vcpu.run()
    box.vcpu.run()
    assert [el for _, el, _, _ in observer.entries] == [1, 0]


def test_nobody_who_has_not_asked_hears_of_entries() -> None:
    box, observer = watched(hvc(0x8400_0000))
    box.vcpu.run()
    assert observer.entries == []


# The host's time ---------------------------------------------------------------------------------------------------


def test_the_time_that_the_host_took_is_told_if_it_is_wanted_also_of_what_the_vmm_completes() -> None:
    observer = Observer(timing=True)
    box = bench([hvc(0x8400_0000), smc(0xC400_0003, 1), wfi()], observer=observer)
    for _ in range(3):
        box.vcpu.run()
    box.vcpu.close_record()
    assert len(observer.records) == 3
    assert all(record.host_ns is not None and record.host_ns > 0 for record in observer.records)


def test_else_it_is_not_told() -> None:
    box, observer = watched(hvc(0x8400_0000), wfi())
    box.vcpu.run()
    assert [record.host_ns for record in observer.records] == [None, None]


# What leads to the callers, and addresses --------------------------------------------------------------------------


def test_an_exit_says_what_leads_to_its_callers_and_which_virtual_address_was_accessed() -> None:
    box, observer = watched(
        data_abort(UART, is_write=True, va=0xFFFF_0000_0900_0000, regs={29: 0x7000, 30: 0x4008_1234}),
        hvc(0x8400_0000),
        instruction_abort(0x5000),
        platform=TestPlatform(),
    )
    box.vcpu.run()
    assert [(record.va, record.fp, record.lr) for record in observer.records] == [
        (0xFFFF_0000_0900_0000, 0x7000, 0x4008_1234),
        (None, 0x7000, 0x4008_1234),
        (0x5000, 0x7000, 0x4008_1234),
    ]


def test_semihosting_is_reported_without_a_syndrome() -> None:
    box, observer = watched(
        Trap(1 << 25, target_el=1, regs={0: 4, 1: 0x77}), platform=TestPlatform(semihosting_answer=3)
    )
    box.core.instructions[ENTRY] = 0xD45E_0000
    box.vcpu.run()
    assert [(record.reason, record.esr, record.value) for record in observer.records] == [
        (Hypercall(4, (0x77,)), None, 3)
    ]


@pytest.mark.parametrize(
    ("trap", "platform", "note"),
    [
        (data_abort(UART, is_write=False), TestPlatform(reads=[Outcome.ABORT]), "external abort into the guest"),
        (
            system_move("CNTPCT_EL0", 3, is_read=True),
            TestPlatform(sysreg_value=Outcome.UNDEFINED),
            "undefined instruction into the guest",
        ),
    ],
)
def test_a_note_says_what_was_injected_and_then_there_is_no_value(
    trap: Trap, platform: TestPlatform, note: str
) -> None:
    box, observer = watched(trap, hvc(0x8400_0000), platform=platform)
    box.vcpu.run()
    assert [(record.note, record.value) for record in observer.records] == [(note, None), ("", 0x1_0001)]


def test_what_the_vmm_injects_is_noted_too() -> None:
    box, observer = watched(
        data_abort(UART, is_write=False, register=5, regs={5: 0x1111}), system_move("CNTPCT_EL0", 3, is_read=True)
    )
    box.vcpu.run()
    box.vcpu.inject_external_abort()
    box.vcpu.run()
    box.vcpu.inject_undefined()
    box.vcpu.run()
    assert [(record.note, record.value) for record in observer.records] == [
        ("external abort into the guest", None),
        ("undefined instruction into the guest", None),
    ]


def test_the_last_exit_before_a_limit_keeps_its_reason() -> None:
    box, observer = watched(hvc(0x8400_0000), hvc(0x8400_0000))
    box.vcpu.max_exits = 1
    box.vcpu.run()
    box.vcpu.close_record()
    assert [(record.reason, record.value) for record in observer.records] == [
        (Hypercall(0x8400_0000, (0,) * 6), 0x1_0001)
    ]


@pytest.mark.parametrize("wants", [True, False])
def test_an_observed_guest_runs_as_an_unobserved_one(wants: bool) -> None:
    traps = [
        hvc(0x8400_0000),
        data_abort(UART, is_write=False, register=5),
        Trap(0x15 << 26 | 1 << 25, target_el=1, step=4),
        smc(0xC200_0001),
    ]
    plain = bench(traps, platform=TestPlatform(reads=[7]))
    plain.vcpu.write_sysreg(lookup("VBAR_EL1"), VBAR)
    plain.vcpu.run()
    box, _ = watched(*traps, platform=TestPlatform(reads=[7]), entries=wants, exceptions=wants)
    box.vcpu.run()
    assert bytes(box.core.live) == bytes(plain.core.live)
    assert box.core.resumed_at == plain.core.resumed_at
    assert box.vcpu.exits == plain.vcpu.exits == 3


def test_a_record_with_a_note_takes_no_value() -> None:
    record = ExitRecord(0, SysRegRead(0, 1), None, 0, 1, note="why")
    record.finish(bench().vcpu.ctx)
    assert record.value is None
