"""Wraps the functions of a device that the engine calls: their exceptions go to the core instead of the engine's C
code."""

from __future__ import annotations

from collections.abc import Callable

from arm_vcpu_cli.engine.port import MmioWindow


def guarded(
    device: MmioWindow, fail: Callable[[BaseException], None]
) -> tuple[Callable[[int, int], int], Callable[[int, int, int], None]]:
    """Return ``device``'s functions of (offset, width) and (offset, width, value); a read that fails returns 0."""

    def read(offset: int, width: int) -> int:
        try:
            return device.read(offset, width)
        except BaseException as error:  # noqa: BLE001
            fail(error)
            return 0

    def write(offset: int, width: int, value: int) -> None:
        try:
            device.write(offset, width, value)
        except BaseException as error:  # noqa: BLE001
            fail(error)

    return read, write
