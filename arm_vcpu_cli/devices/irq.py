"""Interrupt lines: a device's connection to an interrupt controller."""

from __future__ import annotations

from collections.abc import Callable

IrqLine = Callable[[bool], None]
"""Sets the level of one line: True asserted."""


def unconnected(level: bool) -> None:
    """Ignore the level of an unconnected line."""
