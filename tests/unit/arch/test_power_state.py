"""The arguments of PSCI calls."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.power_state import POWER_STATE_MASK, PowerState, affinity_level_mask


@pytest.mark.parametrize(
    ("level", "mask"),
    [(0, 0xFF_00FF_FFFF), (1, 0xFF_00FF_FF00), (2, 0xFF_00FF_0000), (3, 0xFF_0000_0000), (4, None), (-1, None)],
)
def test_an_instance_of_a_level_is_named_by_its_field_and_those_above(level: int, mask: int | None) -> None:
    assert affinity_level_mask(level) == mask


def test_the_original_format_of_a_power_state() -> None:
    assert POWER_STATE_MASK == 0x0301_FFFF
    state = PowerState(0x0201_1234)
    assert (state.PowerLevel, state.StateType, state.StateID) == (2, 1, 0x1234)
    assert PowerState(0xFFFF_FFFF).PowerLevel == 3
