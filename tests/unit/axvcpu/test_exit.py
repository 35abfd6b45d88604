"""The exit reasons as values."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from arm_vcpu_cli.axvcpu.exit import (
    EXIT_REASONS,
    AccessFlags,
    AccessWidth,
    AxVCpuExitReason,
    CpuDown,
    CpuUp,
    ExternalInterrupt,
    FailEntry,
    Halt,
    Hypercall,
    IoRead,
    IoWrite,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    Nothing,
    PowerAction,
    SendIPI,
    SysRegRead,
    SysRegWrite,
    SystemDown,
)

EXAMPLES: tuple[AxVCpuExitReason, ...] = (
    Hypercall(1, (2, 3)),
    MmioRead(0x900_0000, AccessWidth.WORD, 3, AccessWidth.QWORD, True),
    MmioWrite(0x900_0000, AccessWidth.BYTE, 0x41),
    SysRegRead(0x30_0000, 1),
    SysRegWrite(0x30_0000, 1),
    IoRead(0x3F8, AccessWidth.BYTE),
    IoWrite(0x3F8, AccessWidth.BYTE, 1),
    ExternalInterrupt(27),
    NestedPageFault(0x1000, AccessFlags.WRITE),
    Halt(0x4000, 5),
    CpuUp(1, 0x4000, 5),
    CpuDown(0),
    SystemDown(PowerAction.SUSPEND, 3, 0x4000, 5),
    Nothing(),
    FailEntry(4, "why"),
    SendIPI(1, 2, False, False, 3),
)


def test_there_is_an_example_of_each_reason_and_the_three_lists_agree() -> None:
    assert tuple(type(example) for example in EXAMPLES) == EXIT_REASONS
    assert set(EXIT_REASONS) == set(get_args(AxVCpuExitReason))


@pytest.mark.parametrize("reason", EXAMPLES, ids=lambda reason: type(reason).__name__)
def test_reasons_are_frozen_hashable_values(reason: AxVCpuExitReason) -> None:
    twin = dataclasses.replace(reason)
    assert twin == reason
    assert twin is not reason
    assert len({reason, twin}) == 1
    for field in dataclasses.fields(reason):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(reason, field.name, 0)
    with pytest.raises((AttributeError, TypeError)):
        reason.extra = 1  # type: ignore[union-attr]


def test_reasons_that_differ_in_a_field_differ() -> None:
    assert MmioRead(0, AccessWidth.WORD, 1, AccessWidth.DWORD) != MmioRead(
        0, AccessWidth.WORD, 1, AccessWidth.DWORD, sign_extend=True
    )
    assert len(set(EXAMPLES)) == len(EXAMPLES)


def test_defaults_are_those_of_the_crate() -> None:
    assert SystemDown() == SystemDown(PowerAction.OFF, 0, None, 0)
    assert Halt() == Halt(None, 0)
    assert FailEntry(3).description == ""
    assert MmioRead(0, AccessWidth.BYTE, 0, AccessWidth.DWORD).sign_extend is False


def test_widths_are_bytes() -> None:
    assert [int(width) for width in AccessWidth] == [1, 2, 4, 8]
