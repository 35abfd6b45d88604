"""The other end of a UART's wire."""

from __future__ import annotations

from typing import Protocol


class SerialLine(Protocol):
    """The other end of the wire."""

    def send(self, byte: int) -> None:
        """Send a byte that the UART transmitted."""

    def receive(self) -> int | None:
        """Return the next byte that has arrived, None while there is none."""

    def waiting(self) -> bool:
        """Return whether a byte can be received, without taking it."""

    def wait(self) -> None:
        """Wait until there may be a byte, or for a while, because the guest does nothing but wait for one."""
