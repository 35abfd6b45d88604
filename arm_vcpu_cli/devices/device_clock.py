"""Time as devices see it: one counter, and alarms that go off when it reaches a value.

Devices never ask the host. The machine decides whether the counter follows executed instructions or the host's time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

COUNTER_HZ: Final = 62_500_000
"""The frequency of the system counter, as the core's CNTFRQ_EL0 has it."""
NANOSECONDS_PER_TICK: Final = 1_000_000_000 // COUNTER_HZ


class Alarm(Protocol):
    """One event at a set time; setting it again replaces the time."""

    def set(self, tick: int) -> None:
        """Go off once the counter has reached ``tick``; at the next opportunity if it has already."""

    def cancel(self) -> None:
        """Cancel the alarm."""


class Clock(Protocol):
    """The system counter (DDI 0487, D12.1): counts up from 0 at reset and never goes back."""

    def ticks(self) -> int:
        """The counter, 64 bits, in units of 1/:data:`COUNTER_HZ` seconds."""

    def alarm(self, callback: Callable[[], None], name: str) -> Alarm:
        """An alarm that calls ``callback``, with the guest stopped between two instructions. Not set yet.

        ``name`` tells it from the other alarms of its device.
        """
