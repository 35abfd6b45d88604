"""PL031 real-time clock (Arm DDI 0224): a counter of seconds with a match interrupt."""

from __future__ import annotations

import time
from typing import Any, Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.devices.device_clock import COUNTER_HZ, Clock
from arm_vcpu_cli.devices.irq import IrqLine, unconnected
from arm_vcpu_cli.devices.naming import RegisterMap, Registers
from arm_vcpu_cli.saved import Saved

DR, MR, LR, CR, IMSC, RIS, MIS, ICR = range(0, 0x20, 4)
PERIPH_ID, PCELL_ID = 0xFE0, 0xFF0
_IDS: Final = (0x31, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1)
"""PeriphID: part 0x031, designer Arm, revision 1; PCellID: PrimeCell (3.3.9 to 3.3.16)."""
_VERSION: Final = 1
"""The version of the saved state."""
_WINDOW: Final = 0xFFF
"""The bits of an offset that the clock decodes: it is 4 KiB of registers."""
_WORDS: Final = _WINDOW & ~3
_REGISTER_BITS: Final = 32
_SECONDS: Final = 1 << 32
"""The counter is 32 bits wide and wraps (in 2106, if it counts from 1970)."""
_WIDTH_MASKS: Final = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF, 8: 0xFFFF_FFFF}


class Control(Register):
    """RTCCR (3.3.4)."""

    WIDTH = 32
    Start = Field(0)


class Interrupt(Register):
    """RTCIMSC, RTCRIS, RTCMIS and RTCICR (3.3.5 to 3.3.8)."""

    WIDTH = 32
    RTCINTR = Field(0)


_STARTED: Final = int(Control.of(Start=1))


def _time(_index: int, _lsb: int, bits: int, value: int) -> str:
    """Return a counter as the time that it shows, if all its bits are accessed."""
    if bits < _REGISTER_BITS:
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(value))


REGISTERS: Final = RegisterMap(
    Registers(DR, "RTCDR", meaning=_time),
    Registers(MR, "RTCMR", meaning=_time),
    Registers(LR, "RTCLR", meaning=_time),
    Registers(CR, "RTCCR", Control),
    Registers(IMSC, "RTCIMSC", Interrupt),
    Registers(RIS, "RTCRIS", Interrupt),
    Registers(MIS, "RTCMIS", Interrupt),
    Registers(ICR, "RTCICR", Interrupt),
    Registers(PERIPH_ID, "RTCPeriphID<n>", count=4),
    Registers(PCELL_ID, "RTCPCellID<n>", count=4),
    prefix="PL031.",
    whole=True,
)


class Pl031:
    """The wall clock: ``now`` is its value at tick 0, in seconds (since 1970, for every guest).

    It runs from the start, as after set-up by firmware: RTCCR reads as 1, and the start bit cannot be cleared, as
    specified. The interrupt is raised when the counter becomes equal to RTCMR, and stays until RTCICR.
    """

    def __init__(self, clock: Clock, irq: IrqLine = unconnected, *, now: int) -> None:
        self._ticks = clock.ticks
        self._alarm = clock.alarm(self._sync, "match")
        self._irq = irq
        self._ahead = now
        self._match = 0
        self._load = 0
        self._mask = 0
        self._raw = 0
        self._compared_up_to = self._seconds()

    def read(self, offset: int, width: int) -> int:
        """Return ``width`` bytes (1, 2, 4 or 8) of the register at ``offset``; unknown offsets read as zero.

        Registers are 32 bits wide at most. A narrow read away from the register's own offset returns its upper bytes.
        """
        return self._register(offset & _WORDS) >> 8 * (offset & 3) & _WIDTH_MASKS[width]

    def write(self, offset: int, width: int, value: int) -> None:  # noqa: ARG002
        """Write a register, whatever the width: there are no byte lanes on the bus of this device (APB).

        Unknown and read-only registers ignore it.
        """
        offset &= _WORDS
        value %= _SECONDS
        self._compare()
        if offset == MR:
            self._match = value
            self._restart()
        elif offset == LR:
            self._load = value
            self._ahead += value - self._seconds()
            self._restart()
        elif offset == IMSC:
            self._mask = value & 1
        elif offset == ICR:
            self._raw &= ~value
        self._sync()

    def register_name(self, offset: int, width: int) -> str:
        """Return ``PL031.RTCDR``; see :class:`~arm_vcpu_cli.devices.naming.NamedRegisters`."""
        return REGISTERS.name(offset & _WINDOW, width)

    def register_meaning(self, offset: int, width: int, value: int) -> str:
        """Return counters as times; see :class:`~arm_vcpu_cli.devices.naming.NamedRegisters`."""
        return REGISTERS.meaning(offset & _WINDOW, width, value)

    def save(self) -> dict[str, Any]:
        """Return the registers, and the clock's offset from the counter of ticks."""
        return {
            "version": _VERSION,
            "ahead": self._ahead,
            "match": self._match,
            "load": self._load,
            "mask": self._mask,
            "raw": self._raw,
            "compared_up_to": self._compared_up_to,
        }

    def load(self, state: object) -> None:
        """Restore what :meth:`save` returned. Interrupt line and alarm have their own state, and must be loaded too.

        Raises ValueError, without a change, for anything else.
        """
        saved = Saved(state, "PL031", version=_VERSION)
        ahead, compared_up_to = saved.integer("ahead"), saved.integer("compared_up_to")
        match, load = saved.number("match", _SECONDS - 1), saved.number("load", _SECONDS - 1)
        mask, raw = saved.number("mask", 1), saved.number("raw", 1)
        self._ahead, self._compared_up_to = ahead, compared_up_to
        self._match, self._load, self._mask, self._raw = match, load, mask, raw

    def _register(self, offset: int) -> int:
        if offset == DR:
            return self._seconds() % _SECONDS
        if offset in (RIS, MIS):
            self._compare()
            return self._raw if offset == RIS else self._raw & self._mask
        if offset >= PERIPH_ID:
            return _IDS[(offset - PERIPH_ID) // 4]
        return {MR: self._match, LR: self._load, CR: _STARTED, IMSC: self._mask}.get(offset, 0)

    def _seconds(self) -> int:
        """Return the counter, without wrapping. Loading it does not shift the start of the next second."""
        return self._ahead + self._ticks() // COUNTER_HZ

    def _until_match(self, since: int) -> int:
        """Return the seconds from ``since`` until the counter next equals the match register, 1 to 2^32."""
        return (self._match - since - 1) % _SECONDS + 1

    def _restart(self) -> None:
        """Record a new counter or match value, which may already equal the other one."""
        self._compared_up_to = self._seconds() - 1
        self._compare()

    def _compare(self) -> None:
        """Detect a match since the last call."""
        seconds = self._seconds()
        if seconds - self._compared_up_to >= self._until_match(self._compared_up_to):
            self._raw = 1
        self._compared_up_to = seconds

    def _sync(self) -> None:
        self._compare()
        if self._mask and not self._raw:
            match = self._compared_up_to + self._until_match(self._compared_up_to)
            self._alarm.set((match - self._ahead) * COUNTER_HZ)
        else:
            self._alarm.cancel()
        self._irq(bool(self._raw & self._mask))
