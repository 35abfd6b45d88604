"""Time as devices see it: one counter, and alarms that go off when it has reached a value.

Devices never ask the host. Whether the counter follows executed instructions or the host's time is the machine's
business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

COUNTER_HZ: Final = 62_500_000
"""The frequency of the system counter, as the core's CNTFRQ_EL0 has it."""
NANOSECONDS_PER_TICK: Final = 1_000_000_000 // COUNTER_HZ


class Alarm(Protocol):
    """One thing that is to happen at a time; setting it again replaces the time."""

    def set(self, tick: int) -> None:
        """Go off once the counter has reached ``tick``; at the next opportunity if it has already."""

    def cancel(self) -> None:
        """Do not go off."""


class Clock(Protocol):
    """The system counter (DDI 0487, D12.1): counts up from 0 at reset and never goes back."""

    def ticks(self) -> int:
        """The counter, 64 bits, in units of 1/:data:`COUNTER_HZ` seconds."""

    def alarm(self, callback: Callable[[], None], name: str) -> Alarm:
        """An alarm that calls ``callback``, with the guest stopped between two instructions. Not set yet.

        ``name`` is what it is called among those of its device.
        """
