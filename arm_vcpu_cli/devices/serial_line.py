"""The other end of a UART's wire."""

from __future__ import annotations

from typing import Protocol


class SerialLine(Protocol):
    """The other end of the wire."""

    def send(self, byte: int) -> None:
        """The UART transmitted a byte."""

    def receive(self) -> int | None:
        """The next byte that has arrived, None while there is none."""

    def waiting(self) -> bool:
        """Whether a byte can be received. Nobody has asked for it yet, and it stays where it is."""

    def wait(self) -> None:
        """The guest does nothing but wait for a byte: return when there may be one, or after a while."""
