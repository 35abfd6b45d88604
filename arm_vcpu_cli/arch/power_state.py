"""Arguments of PSCI calls (DEN0022): affinity levels, and the power_state of CPU_SUSPEND in its original format."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.registers.el1regs import AFFINITY_MASK

AFFINITY_LEVELS: Final = 4
"""One for each affinity field of MPIDR_EL1: a CPU has level 0."""
_LEVEL_BITS: Final = 8


def affinity_level_mask(level: int) -> int | None:
    """Return the bits of a target_affinity that name an instance of an affinity level: those of the level and of the
    levels above (DEN0022, 5.7). None for a level that does not exist."""
    # A gap of one field is below Aff3, and no affinity has bits in it.
    return AFFINITY_MASK & -1 << _LEVEL_BITS * level if level in range(AFFINITY_LEVELS) else None


class PowerState(Register):
    """The power_state of CPU_SUSPEND in the original format of the StateID (DEN0022, 5.4)."""

    WIDTH = 32
    PowerLevel = Field(25, 24)
    StateType = Field(16, values={0: "standby", 1: "power-down"})
    StateID = Field(15, 0)


POWER_STATE_MASK: Final = int(PowerState.of(PowerLevel=0b11, StateType=1, StateID=0xFFFF))
"""The bits of a power_state that are not reserved."""
