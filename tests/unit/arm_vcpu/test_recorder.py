"""The flight recorder: the latest exits equal those reported to an observer."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.observer import ExitRecord
from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.arm_vcpu.recorder import RECENT
from arm_vcpu_cli.arm_vcpu.vectors import TrapKind
from arm_vcpu_cli.axvcpu.exit import ExternalInterrupt, FailEntry, Halt, Hypercall, SysRegRead, SysRegWrite, SystemDown
from arm_vcpu_cli.engine.port import StopReason
from arm_vcpu_cli.errors import VCpuError
from tests.support.arm_vcpu_bench import ENTRY, VTCR, Bench, TestPlatform, bench
from tests.support.fake_core import Trap, data_abort, hvc, instruction_abort, smc, system_move, wfi
from tests.support.observer import Observer

UART = 0x0900_0000
IL = 1 << 25
UNDEFINED = Trap(IL, target_el=1)
SVC = Trap(0x15 << 26 | IL, target_el=1, step=4)
VERSION = 0x8400_0000
HLT_F000 = 0xD45E_0000


def mrs(register: str, rt: int) -> int:
    """The instruction that reads a system register."""
    return 0xD530_0000 | encoding(lookup(register)) | rt


def msr(register: str, rt: int) -> int:
    """The instruction that writes it."""
    return 0xD510_0000 | encoding(lookup(register)) | rt


def encoding(reg: SysReg) -> int:
    return (reg.op0 - 2) << 19 | reg.op1 << 16 | reg.crn << 12 | reg.crm << 8 | reg.op2 << 5


def known(record: ExitRecord) -> tuple[object, ...]:
    """What the recorder keeps of an exit: everything but times, results and notes."""
    return record.reason, record.pc, record.esr, record.el, record.va, record.lr, record.fp


def watched(
    *traps: Trap, platform: TestPlatform | None = None, setup: Aarch64VCpuSetupConfig | None = None
) -> tuple[Bench, Observer]:
    observer = Observer()
    return bench(traps, platform=platform, setup=setup, observer=observer), observer


def run_to_the_end(box: Bench) -> None:
    while box.core.script:
        box.vcpu.run()
    box.vcpu.close_record()


EXITS = {
    "a call": hvc(VERSION, 1, 2, 3),
    "a call that is the caller's": hvc(0x8600_0001, 5, 6, 7, 8, 9, 10),
    "a trapped call": smc(0xC400_0003, 1, 2, 3),
    "a read": data_abort(UART, is_write=False, size=1, register=5, sign_extend=True, va=0xFFFF_0000_0900_0000),
    "a write": data_abort(UART + 4, is_write=True, size=2, register=6, regs={6: 0x1234_5678}),
    "a register read": system_move("CNTPCT_EL0", 3, is_read=True),
    "a register write": system_move("TCR_EL1", 4, is_read=False, regs={4: 8}),
    "an SGI": system_move("ICC_SGI1R_EL1", 3, is_read=False, regs={3: 7 << 24 | 2}),
    "a fetch": instruction_abort(0x5000),
    "a refused write": data_abort(0x5008, is_write=True, status=0xF),
    "waiting": wfi(),
    "what nobody handles": Trap(0x3F << 26),
    "an IRQ": Trap(0x5600_0000, kind=TrapKind.IRQ),
    "an IRQ after a register": Trap(0x6230_3019, kind=TrapKind.IRQ),
    "an FIQ": Trap(0x9200_0007, kind=TrapKind.FIQ, far=UART),
    "an SError": Trap(0x5600_0000, kind=TrapKind.SERROR),
    "AArch32": Trap(0x5600_0000, aarch64=False),
    "AArch32 at EL1": Trap(0x5600_0000, aarch64=False, target_el=1),
    "from EL0": data_abort(UART, is_write=False, regs={29: 1, 30: 2}),
}


@pytest.mark.parametrize("completed", [True, False], ids=["completed in place", "returned"])
@pytest.mark.parametrize("name", EXITS)
def test_an_exit_is_kept_as_it_was_told(name: str, completed: bool) -> None:
    trap = EXITS[name]
    if name == "from EL0":
        trap.pstate = 0
    box, observer = watched(trap, platform=TestPlatform(reads=[0x77], hypercall_answer=9) if completed else None)
    run_to_the_end(box)
    ((recent),) = box.vcpu.recent_exits()
    ((record),) = observer.records
    assert known(recent.record) == known(record)
    assert recent.number == 1


def test_the_registers_are_those_before_anything_was_done() -> None:
    box, _ = watched(
        hvc(VERSION, 1, 2),
        data_abort(UART, is_write=False, register=5, regs={5: 0x1111, 30: 0x99}),
        system_move("CNTPCT_EL0", 3, is_read=True, regs={3: 0x33}),
        platform=TestPlatform(reads=[0x77], sysreg_value=0x55),
    )
    box.vcpu.run()
    assert (box.core.gpr(0), box.core.gpr(5), box.core.gpr(3)) == (0x1_0001, 0x77, 0x55)
    call, read, register = box.vcpu.recent_exits()
    assert call.registers[:3] == (VERSION, 1, 2)
    assert (read.registers[0], read.registers[5], read.registers[30]) == (0x1_0001, 0x1111, 0x99)
    assert (register.registers[5], register.registers[3]) == (0x77, 0x33)
    assert {len(recent.registers) for recent in (call, read, register)} == {31}


def test_semihosting_is_kept_as_it_was_called() -> None:
    platform = TestPlatform(semihosting_answer=0x1234)
    box, observer = watched(Trap(IL, target_el=1, regs={0: 4, 1: 0x77}), platform=platform)
    box.core.instructions[ENTRY] = HLT_F000
    box.vcpu.run()
    assert box.core.gpr(0) == 0x1234
    ((recent),) = box.vcpu.recent_exits()
    assert known(recent.record) == known(observer.records[0])
    assert (recent.record.reason, recent.record.esr, recent.record.pc) == (Hypercall(4, (0x77,)), None, ENTRY)
    assert recent.registers[:2] == (4, 0x77)


def test_the_call_that_ends_a_guest_is_kept_too() -> None:
    box, _ = watched(Trap(IL, target_el=1, regs={0: 0x18}), platform=TestPlatform(semihosting_answer=SystemDown()))
    box.core.instructions[ENTRY] = HLT_F000
    assert box.vcpu.run() == SystemDown()
    ((recent),) = box.vcpu.recent_exits()
    assert (recent.record.pc, recent.registers[0]) == (ENTRY, 0x18)
    assert recent.record.reason == Hypercall(0x18, (0,)), "what it meant is not known from the registers alone"


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.UNDEFINED, Outcome.EXIT])
def test_registers_that_the_core_does_not_have_are_kept_with_the_syndrome_of_one_that_has_them(
    outcome: Outcome,
) -> None:
    platform = TestPlatform(sysreg_value=0x1B if outcome is Outcome.DONE else outcome, sysreg_outcome=outcome)
    setup = Aarch64VCpuSetupConfig(vtcr=VTCR, gic_cpu_interface=True)
    for word, reason in (
        (mrs("ICC_IAR1_EL1", 3), SysRegRead(lookup("ICC_IAR1_EL1").iss, 3)),
        (msr("ICC_PMR_EL1", 4), SysRegWrite(lookup("ICC_PMR_EL1").iss, 0xF0)),
    ):
        box, observer = watched(Trap(IL, target_el=1, regs={3: 0x33, 4: 0xF0}), platform=platform, setup=setup)
        box.core.instructions[ENTRY] = word
        run_to_the_end(box)
        ((recent),) = box.vcpu.recent_exits()
        assert recent.record.reason == reason
        assert known(recent.record) == known(observer.records[0])
        assert (recent.record.pc, (recent.record.esr or 0) >> 26) == (ENTRY, 0x18)
        assert recent.registers[3:5] == (0x33, 0xF0)
        assert box.vcpu.exits == 1


def test_what_el1_takes_itself_is_not_kept() -> None:
    box, observer = watched(SVC, UNDEFINED, hvc(VERSION), UNDEFINED, SVC)
    box.vcpu.run()
    assert len(box.vcpu.recent_exits()) == len(observer.records) == box.vcpu.exits == 1


def test_preemption_is_kept_as_the_interrupt_that_it_is() -> None:
    box, observer = watched(hvc(VERSION))
    box.core.ends_by = StopReason.BUDGET
    box.hal.pending_irq = 26
    assert box.vcpu.run() == ExternalInterrupt(26)
    assert [known(recent.record) for recent in box.vcpu.recent_exits()] == [known(each) for each in observer.records]
    assert box.vcpu.recent_exits()[-1].record.reason == ExternalInterrupt(26)
    assert box.vcpu.last_syndrome == 0x5A00_0000, "the interrupt has none"


@pytest.mark.parametrize("count", [0, 1, RECENT - 1, RECENT, RECENT + 1, 3 * RECENT])
def test_the_latest_are_kept_in_order_and_with_their_numbers(count: int) -> None:
    box, observer = watched(*(hvc(VERSION, n) for n in range(count)))
    box.vcpu.run()
    recent = box.vcpu.recent_exits()
    first = max(0, count - RECENT)
    assert [each.number for each in recent] == list(range(first + 1, count + 1))
    assert [known(each.record) for each in recent] == [known(each) for each in observer.records[first:]]
    assert [each.registers[1] for each in recent] == list(range(first, count))


def test_looking_changes_nothing() -> None:
    box, _ = watched(hvc(VERSION, 5), wfi())
    box.vcpu.run()
    before = bytes(box.core.live), box.vcpu.ctx.gprs(), box.vcpu.ctx.elr
    assert box.vcpu.recent_exits() == box.vcpu.recent_exits()
    assert (bytes(box.core.live), box.vcpu.ctx.gprs(), box.vcpu.ctx.elr) == before


def test_there_is_nothing_to_see_while_the_vcpu_is_not_bound() -> None:
    box, _ = watched(wfi())
    assert box.vcpu.run() == Halt()
    box.vcpu.unbind()
    with pytest.raises(VCpuError, match="not bound"):
        box.vcpu.recent_exits()
    box.vcpu.bind(box.cpu)
    assert [each.record.reason for each in box.vcpu.recent_exits()] == [Halt()]


def test_the_reason_of_a_failure_names_it() -> None:
    box, _ = watched(Trap(0x5600_0000, kind=TrapKind.SERROR))
    box.vcpu.run()
    reason = box.vcpu.recent_exits()[0].record.reason
    assert isinstance(reason, FailEntry)
    assert "SERROR" in reason.description
