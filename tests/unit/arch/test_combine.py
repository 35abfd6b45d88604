"""Both stages' attributes together (DDI 0487, D8.6.6)."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.fieldvalues import INNER_SHAREABLE, NON_SHAREABLE, OUTER_SHAREABLE
from arm_vcpu_cli.arch.translation.combine import combine_memory, combine_shareability
from arm_vcpu_cli.arch.translation.memtype import MemoryType

M = MemoryType


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (M.NORMAL, M.NORMAL, M.NORMAL),
        (M.NORMAL, M.NORMAL_NC, M.NORMAL_NC),
        (M.NORMAL_WT, M.NORMAL, M.NORMAL_WT),
        (M.NORMAL, M.DEVICE_GRE, M.DEVICE_GRE),
        (M.DEVICE_GRE, M.DEVICE_nGnRE, M.DEVICE_nGnRE),
        (M.DEVICE_nGnRnE, M.DEVICE_nGRE, M.DEVICE_nGnRnE),
        (M.NORMAL_MIXED, M.NORMAL, M.NORMAL_MIXED),
        (M.NORMAL_MIXED, M.NORMAL_NC, M.NORMAL_NC),
        (M.NORMAL_MIXED, M.DEVICE_nGnRE, M.DEVICE_nGnRE),
    ],
)
def test_the_stricter_memory_type_wins(one: MemoryType, other: MemoryType, both: MemoryType) -> None:
    assert combine_memory(one, other) is both
    assert combine_memory(other, one) is both


@pytest.mark.parametrize(
    ("memory", "one", "other", "both"),
    [
        (M.NORMAL, NON_SHAREABLE, NON_SHAREABLE, NON_SHAREABLE),
        (M.NORMAL, NON_SHAREABLE, INNER_SHAREABLE, INNER_SHAREABLE),
        (M.NORMAL, INNER_SHAREABLE, OUTER_SHAREABLE, OUTER_SHAREABLE),
        (M.NORMAL_NC, NON_SHAREABLE, NON_SHAREABLE, OUTER_SHAREABLE),
        (M.DEVICE_nGnRE, NON_SHAREABLE, INNER_SHAREABLE, OUTER_SHAREABLE),
    ],
)
def test_the_wider_shareability_wins(memory: MemoryType, one: int, other: int, both: int) -> None:
    assert combine_shareability(memory, one, other) == both
    assert combine_shareability(memory, other, one) == both
