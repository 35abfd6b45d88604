"""The generic timer as EL1 sees it: two counters and the physical and the virtual timer (DDI 0487, D12.1, D12.2).

A timer's condition is met while its counter is at or beyond the compare value, both unsigned 64-bit numbers. The
interrupt line follows ENABLE, not IMASK, and the condition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.el1regs import CntCtl, Cntkctl
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.devices.device_clock import COUNTER_HZ, Alarm, Clock
from arm_vcpu_cli.devices.irq import IrqLine
from arm_vcpu_cli.saved import Saved

CNTFRQ: Final = lookup("CNTFRQ_EL0")
CNTPCT: Final = lookup("CNTPCT_EL0")
CNTVCT: Final = lookup("CNTVCT_EL0")
CNTP_CTL: Final = lookup("CNTP_CTL_EL0")
CNTP_CVAL: Final = lookup("CNTP_CVAL_EL0")
CNTP_TVAL: Final = lookup("CNTP_TVAL_EL0")
CNTV_CTL: Final = lookup("CNTV_CTL_EL0")
CNTV_CVAL: Final = lookup("CNTV_CVAL_EL0")
CNTV_TVAL: Final = lookup("CNTV_TVAL_EL0")

Reader = Callable[[], int]
Writer = Callable[[int], None]
Handlers = Mapping[SysReg, tuple[Reader | None, Writer | None]]
"""The reader and writer of each register; None if it has no such access."""

LAST_ALARM: Final = 1 << 63
"""No alarm is set at this tick or later, which is 4,600 years away: the condition never becomes true."""

_VERSION: Final = 1
"""The version of the saved state."""
_ENABLE: Final = int(CntCtl.of(ENABLE=1))
_ISTATUS: Final = int(CntCtl.of(ISTATUS=1))
_WRITABLE: Final = int(CntCtl.of(ENABLE=1, IMASK=1))
_MASK32: Final = (1 << 32) - 1
_SIGN32: Final = 1 << 31
_WRAP: Final = MASK64 + 1

_EL0_ENABLES: Final[Mapping[SysReg, int]] = MappingProxyType(
    {
        CNTFRQ: int(Cntkctl.of(EL0PCTEN=1, EL0VCTEN=1)),
        **dict.fromkeys((CNTPCT, lookup("CNTPCTSS_EL0")), int(Cntkctl.of(EL0PCTEN=1))),
        **dict.fromkeys((CNTVCT, lookup("CNTVCTSS_EL0")), int(Cntkctl.of(EL0VCTEN=1))),
        **dict.fromkeys((CNTP_CTL, CNTP_CVAL, CNTP_TVAL), int(Cntkctl.of(EL0PTEN=1))),
        **dict.fromkeys((CNTV_CTL, CNTV_CVAL, CNTV_TVAL), int(Cntkctl.of(EL0VTEN=1))),
    }
)


def el0_may_access(cntkctl: int, reg: SysReg) -> bool:
    """Return whether CNTKCTL_EL1 lets EL0 access a register of the timer (D24, CNTKCTL_EL1); False for any other
    register.

    CNTFRQ_EL0 is readable if one of the counters is. It is never writable at EL0.
    """
    return bool(_EL0_ENABLES.get(reg, 0) & cntkctl)


class _Comparator:
    """One timer: compare value and control over a counter, an interrupt line, and an alarm for its next change."""

    __slots__ = ("_alarm", "_armed", "_compare", "_control", "_level", "_line", "_offset", "_ticks")

    def __init__(self, clock: Clock, line: IrqLine, name: str) -> None:
        self._ticks = clock.ticks
        self._line = line
        self._alarm: Alarm = clock.alarm(self._on_alarm, name)
        self._armed = False
        self._level = False
        self._control = 0
        self._compare = 0
        self._offset = 0

    def count(self) -> int:
        return (self._ticks() - self._offset) & MASK64

    def read_control(self) -> int:
        # ISTATUS is UNKNOWN while the timer is off; it reads as 0 then.
        if self._control & _ENABLE and (self._ticks() - self._offset) & MASK64 >= self._compare:
            return self._control | _ISTATUS
        return self._control

    def write_control(self, value: int) -> None:
        self._control = value & _WRITABLE
        self._update()

    def read_compare(self) -> int:
        return self._compare

    def write_compare(self, value: int) -> None:
        self._compare = value & MASK64
        self._update()

    def read_timer_value(self) -> int:
        # UNKNOWN while the timer is off, so the difference is a valid value.
        return (self._compare - self.count()) & _MASK32

    def write_timer_value(self, value: int) -> None:
        self._compare = (self.count() + ((value & _MASK32) ^ _SIGN32) - _SIGN32) & MASK64
        self._update()

    def set_offset(self, value: int) -> None:
        self._offset = value & MASK64
        self._update()

    def reset(self) -> None:
        self._control = self._compare = 0
        self._update()

    def save(self) -> dict[str, object]:
        """Return the registers, and the last settings of the line and the alarm."""
        return {
            "control": self._control,
            "compare": self._compare,
            "offset": self._offset,
            "level": self._level,
            "armed": self._armed,
        }

    def load(self, saved: Saved) -> None:
        """Load what :meth:`save` returned; line and alarm are not changed."""
        control, compare, offset = (
            saved.number("control", _WRITABLE),
            *(saved.number(name, MASK64) for name in ("compare", "offset")),
        )
        level, armed = saved.flag("level"), saved.flag("armed")
        self._control, self._compare, self._offset, self._level, self._armed = control, compare, offset, level, armed

    def _on_alarm(self) -> None:
        self._armed = False
        self._update()

    def _update(self) -> None:
        level = False
        change = LAST_ALARM
        if self._control == _ENABLE:
            now = self._ticks()
            count = (now - self._offset) & MASK64
            level = count >= self._compare
            # A true condition becomes false when the counter wraps, which an offset can bring near.
            change = now - count + (_WRAP if level else self._compare)
        if change < LAST_ALARM:
            self._alarm.set(change)
            self._armed = True
        elif self._armed:
            self._alarm.cancel()
            self._armed = False
        if level is not self._level:
            self._level = level
            self._line(level)


class GenericTimer:
    """The EL1 physical and virtual timer with their counters.

    ``virtual`` and ``physical`` are the interrupt lines (PPIs 27 and 30 by the base system architecture, DEN0029). For
    speed on the exit path, :attr:`handlers` has the functions behind every register.
    """

    def __init__(self, clock: Clock, *, virtual: IrqLine, physical: IrqLine) -> None:
        self._virtual = _Comparator(clock, virtual, "virtual")
        self._physical = _Comparator(clock, physical, "physical")
        self._offset = 0
        self.physical_count: Final[Reader] = self._physical.count
        """CNTPCT_EL0."""
        self.virtual_count: Final[Reader] = self._virtual.count
        """CNTVCT_EL0: the physical count minus the offset."""
        self.handlers: Final[Handlers] = MappingProxyType(
            {
                CNTFRQ: (lambda: COUNTER_HZ, None),
                CNTPCT: (self.physical_count, None),
                CNTVCT: (self.virtual_count, None),
                CNTP_CTL: (self._physical.read_control, self._physical.write_control),
                CNTP_CVAL: (self._physical.read_compare, self._physical.write_compare),
                CNTP_TVAL: (self._physical.read_timer_value, self._physical.write_timer_value),
                CNTV_CTL: (self._virtual.read_control, self._virtual.write_control),
                CNTV_CVAL: (self._virtual.read_compare, self._virtual.write_compare),
                CNTV_TVAL: (self._virtual.read_timer_value, self._virtual.write_timer_value),
            }
        )

    @property
    def offset(self) -> int:
        """CNTVOFF_EL2, by which the virtual counter is behind the physical one, 64 bits."""
        return self._offset

    @offset.setter
    def offset(self, value: int) -> None:
        self._offset = value & MASK64
        self._virtual.set_offset(value)

    def reset(self) -> None:
        """Switch both timers off, as after power-on (D12.2: ENABLE resets to 0); the counters continue."""
        self._physical.reset()
        self._virtual.reset()

    def read(self, reg: SysReg) -> int | None:
        """Return the register's value, None for one that is not the timer's."""
        handlers = self.handlers.get(reg)
        if handlers is None or handlers[0] is None:
            return None
        return handlers[0]()

    def write(self, reg: SysReg, value: int) -> bool:
        """Write a register, with an immediate effect on the interrupt; return False for one that is not the timer's or
        read-only.

        CNTFRQ_EL0 is writable only at the highest Exception level, which is not the guest's.
        """
        handlers = self.handlers.get(reg)
        if handlers is None or handlers[1] is None:
            return False
        handlers[1](value)
        return True

    def save(self) -> dict[str, Any]:
        """Return all registers as plain data, with the levels of both lines."""
        return {"version": _VERSION, "physical": self._physical.save(), "virtual": self._virtual.save()}

    def load(self, state: object) -> None:
        """Restore what :meth:`save` returned. Lines and alarms have their own state, and must be loaded too.

        Raises ValueError for anything else.
        """
        saved = Saved(state, "timer", version=_VERSION)
        self._physical.load(saved.part("physical"))
        self._virtual.load(saved.part("virtual"))
        self._offset = saved.part("virtual").number("offset", MASK64)
