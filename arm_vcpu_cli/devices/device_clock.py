"""Time for devices: one counter, and alarms that go off when it reaches a value.

Devices never use the host's time. The machine decides whether the counter follows executed instructions or the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

COUNTER_HZ: Final = 62_500_000
"""The frequency of the system counter, as in the core's CNTFRQ_EL0."""
NANOSECONDS_PER_TICK: Final = 1_000_000_000 // COUNTER_HZ


class Alarm(Protocol):
    """One event at a set time; setting it again replaces the time."""

    def set(self, tick: int) -> None:
        """Go off once the counter has reached ``tick``; at the next opportunity if it has already."""

    def cancel(self) -> None:
        """Cancel the alarm."""


class Clock(Protocol):
    """The system counter (DDI 0487, D12.1), which counts up from 0 at reset and never goes back."""

    def ticks(self) -> int:
        """Return the 64-bit counter, in units of 1/:data:`COUNTER_HZ` seconds."""

    def alarm(self, callback: Callable[[], None], name: str) -> Alarm:
        """Return an alarm that calls ``callback`` with the guest stopped between two instructions. It is not set yet.

        ``name`` distinguishes it from the other alarms of its device.
        """
