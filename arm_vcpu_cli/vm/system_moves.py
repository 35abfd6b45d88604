"""System registers whose MRS and MSR the machine executes in place of the core, without an exit.

The core cannot trap the virtual timer (nor can a PE without FEAT_ECV) and drops writes to its comparators; its
counters follow the host's clock, and its random numbers are the host's. So this module handles MRS and MSR of these
registers first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.devices.timer import (
    CNTP_CTL,
    CNTP_CVAL,
    CNTP_TVAL,
    CNTPCT,
    CNTVCT,
    GenericTimer,
    Handlers,
    Reader,
    Writer,
    el0_may_access,
)
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.vm.random_numbers import RandomNumbers

PHYSICAL_TIMER: Final = frozenset({CNTPCT, CNTP_CTL, CNTP_CVAL, CNTP_TVAL})
"""The registers that CNTHCTL_EL2 traps if the physical timer is not passed through."""
_CNTKCTL: Final = lookup("CNTKCTL_EL1")
_RANDOM: Final = (lookup("RNDR"), lookup("RNDRRS"))
_RANDOM_BITS: Final = 64
_TIMER_CRN: Final = 14
_VERSION: Final = 1
"""The version of a saved state."""


def trapped_handlers(timer: GenericTimer, spend: Callable[[], None]) -> Handlers:
    """The functions for the registers that CNTHCTL_EL2 traps if the physical timer is not passed through."""
    handlers: dict[SysReg, tuple[Reader | None, Writer | None]] = {reg: timer.handlers[reg] for reg in PHYSICAL_TIMER}
    count = timer.physical_count

    def read_counter() -> int:
        spend()
        return count()

    handlers[CNTPCT] = (read_counter, None)
    return handlers


class SystemMoves:
    """Implements the core's :class:`~arm_vcpu_cli.engine.port.MoveHandler`.

    ``timer`` has the functions for the registers of the generic timer; ``random`` is the source of RNDR, None leaves it
    to the core. ``spend`` lets the time pass that a read of a counter takes. ``changed`` is called after a write, and
    stops the guest if an interrupt line changed.
    """

    def __init__(
        self,
        core: CpuCore,
        timer: Handlers,
        *,
        random: RandomNumbers | None,
        spend: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self._core = core
        self._changed = changed
        self._spend = spend
        self._counters = frozenset((CNTPCT.packed, CNTVCT.packed))
        self._cntkctl = self._cntkctl_at_reset = core.read_sysreg(_CNTKCTL)
        self._random = random
        self._registers = {reg.packed: reg for reg in timer}
        self._readers: dict[int, Reader] = {reg.packed: read for reg, (read, _) in timer.items() if read}
        self._writers: dict[int, Writer] = {reg.packed: write for reg, (_, write) in timer.items() if write}
        self._random_encodings = frozenset(reg.packed for reg in _RANDOM) if random is not None else frozenset()
        self._cntkctl_encoding = _CNTKCTL.packed
        self._crns = self.crns()

    def enter(self) -> None:
        """Make this the core's handler from now on."""
        self._core.set_move_hook(self._crns, self)
        self._tell_counters()

    def reset(self) -> None:
        """Set CNTKCTL_EL1 to its reset value."""
        self._cntkctl = self._cntkctl_at_reset
        self._tell_counters()

    def save(self) -> dict[str, Any]:
        """Return CNTKCTL_EL1; the random numbers and the timer save their own states."""
        return {"version": _VERSION, "cntkctl": self._cntkctl}

    def load(self, state: object) -> None:
        """Restore the state that :meth:`save` returned; :meth:`enter` passes it to the core. Raises ValueError for any
        other state."""
        self._cntkctl = Saved(state, "moves", version=_VERSION).number("cntkctl", MASK64)

    def _tell_counters(self) -> None:
        value = self._cntkctl
        self._core.set_el0_counters(physical=el0_may_access(value, CNTPCT), virtual=el0_may_access(value, CNTVCT))

    def crns(self) -> frozenset[int]:
        """The CRn values of the handled registers."""
        return frozenset({_TIMER_CRN} | ({reg.crn for reg in _RANDOM} if self._random is not None else set()))

    def read(self, encoding: int) -> int | None:
        """Read a register that is handled here; None leaves the MRS to the core."""
        reader = self._readers.get(encoding)
        if reader is not None:
            if not self._allowed(encoding):
                # The core takes the exception.
                return None
            if encoding in self._counters:
                self._spend()
            return reader()
        if encoding in self._random_encodings and self._random is not None:
            # A number was available: PSTATE.NZCV is 0b0000 (C6.2, MRS; D24, RNDR).
            self._core.set_flags(0)
            return self._random.getrandbits(_RANDOM_BITS)
        return None

    def write(self, encoding: int, value: int) -> bool:
        """Write a register that is handled here; False leaves the MSR to the core."""
        writer = self._writers.get(encoding)
        if writer is None:
            if encoding == self._cntkctl_encoding and self._core.current_el():
                self._cntkctl = value
                self._tell_counters()
            return False
        if not self._allowed(encoding):
            return False
        writer(value)
        self._changed()
        return True

    def _allowed(self, encoding: int) -> bool:
        return self._core.current_el() != 0 or el0_may_access(self._cntkctl, self._registers[encoding])
