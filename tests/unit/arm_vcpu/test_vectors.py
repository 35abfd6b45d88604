"""The EL2 vector table (DDI 0487, D1.10.2)."""

from __future__ import annotations

import itertools

import pytest

from arm_vcpu_cli.arm_vcpu.exit_path import ExitPath
from arm_vcpu_cli.arm_vcpu.exit_state import ExitState
from arm_vcpu_cli.arm_vcpu.interrupt_lines import VirtualInterruptLines
from arm_vcpu_cli.arm_vcpu.recorder import FlightRecorder
from arm_vcpu_cli.arm_vcpu.vectors import TABLE_ALIGNMENT, TABLE_SIZE, TrapKind, TrapSource, VectorTable, vector_offset
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, ExternalInterrupt, FailEntry
from tests.support.arm_vcpu_bench import Bench, bench
from tests.support.fake_core import FakeCore, FakeHal, Trap, hvc

ENTRIES = list(itertools.product(TrapSource, TrapKind))


def test_offsets_are_the_architectures() -> None:
    assert [vector_offset(source, kind) for source, kind in ENTRIES] == list(range(0, 0x800, 0x80))
    assert vector_offset(TrapSource.CURRENT_SP_ELX, TrapKind.IRQ) == 0x280
    assert vector_offset(TrapSource.LOWER_AARCH64, TrapKind.SYNCHRONOUS) == 0x400
    assert vector_offset(TrapSource.LOWER_AARCH32, TrapKind.SERROR) == 0x780
    assert TABLE_SIZE == TABLE_ALIGNMENT == 0x800


def test_every_entry_is_invalid_until_it_is_set() -> None:
    table = VectorTable(lambda source, kind: (source, kind))
    assert [table.slot(source, kind)() for source, kind in ENTRIES] == ENTRIES


def test_setting_an_entry_sets_no_other() -> None:
    table = VectorTable(lambda source, kind: (source, kind))
    table.set(TrapSource.LOWER_AARCH64, TrapKind.IRQ, lambda: "irq")  # type: ignore[arg-type, return-value]
    found = [table.slot(source, kind)() for source, kind in ENTRIES]
    assert found.index("irq") == TrapSource.LOWER_AARCH64 * 4 + TrapKind.IRQ  # type: ignore[arg-type]
    assert len([entry for entry in found if isinstance(entry, tuple)]) == 15


# The table of a vCPU -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TrapKind.IRQ, TrapKind.FIQ])
def test_a_physical_interrupt_leaves_the_guest_with_the_number_that_the_host_has(kind: TrapKind) -> None:
    box = bench([Trap(esr=0xDEAD_BEEF, kind=kind), hvc(0x8400_0000)])
    box.hal.pending_irq = 27
    assert box.vcpu.run() == ExternalInterrupt(27)
    box.vcpu.run()
    assert box.core.started_at[1] == box.core.started_at[0], "nothing was executed and nothing is skipped"


@pytest.mark.parametrize(
    ("aarch64", "kind", "code", "text"),
    [
        (True, TrapKind.SERROR, 11, "SERROR exception from LOWER_AARCH64"),
        (False, TrapKind.SYNCHRONOUS, 12, "AArch32 state"),
        (False, TrapKind.IRQ, 13, "AArch32 state"),
        (False, TrapKind.FIQ, 14, "AArch32 state"),
        (False, TrapKind.SERROR, 15, "AArch32 state"),
    ],
)
@pytest.mark.parametrize("target_el", [1, 2])
def test_entries_without_a_handler_end_the_run_with_a_report(
    aarch64: bool, kind: TrapKind, code: int, text: str, target_el: int
) -> None:
    if aarch64 and target_el == 1:
        target_el = 2
    box = bench([Trap(esr=0, kind=kind, aarch64=aarch64, target_el=target_el)])
    reason = box.vcpu.run()
    assert isinstance(reason, FailEntry)
    assert reason.hardware_entry_failure_reason == code
    assert text in reason.description


def vectors_of(box: Bench) -> VectorTable[AxVCpuExitReason | None]:
    """The vector table of a bound vCPU."""
    path = ExitPath(
        cpu=box.cpu,
        hal=box.hal,
        frame=box.vcpu.ctx,
        state=box.vcpu.state,
        handlers=box.vcpu._require_handlers(),
        lines=VirtualInterruptLines(),
        exits=ExitState(),
        recorder=FlightRecorder(box.vcpu.state),
    )
    return path.vectors()


def test_an_interrupt_at_el2_goes_to_the_registered_handler() -> None:
    box = bench()
    vectors = vectors_of(box)
    assert vectors.slot(TrapSource.CURRENT_SP_ELX, TrapKind.IRQ)() is None
    assert box.hal.irqs_handled == 1


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        *itertools.product([TrapSource.CURRENT_SP_EL0], TrapKind),
        *[(TrapSource.CURRENT_SP_ELX, kind) for kind in TrapKind if kind is not TrapKind.IRQ],
        (TrapSource.LOWER_AARCH64, TrapKind.SERROR),
        *itertools.product([TrapSource.LOWER_AARCH32], TrapKind),
    ],
)
def test_which_entries_are_invalid(source: TrapSource, kind: TrapKind) -> None:
    box = bench()
    reason = vectors_of(box).slot(source, kind)()
    assert isinstance(reason, FailEntry)
    assert reason.hardware_entry_failure_reason == source * 4 + kind
    if source is TrapSource.LOWER_AARCH32:
        assert "AArch32 state" in reason.description
    else:
        assert source.name in reason.description
        assert kind.name in reason.description


def test_the_fake_host_has_no_interrupt_pending_by_default() -> None:
    assert FakeHal(FakeCore()).irq_fetch() == 0
