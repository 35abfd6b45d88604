"""Names of a guest's device accesses: registers of devices, and the meaning of their values.

Names are those of the manuals. Only traces and reports use them: reading and writing a device does not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from arm_vcpu_cli.arch.bitfield import Register
from arm_vcpu_cli.arch.registers.intid import intid_kind
from arm_vcpu_cli.devices.bus import MmioDevice
from arm_vcpu_cli.record import Record

__all__ = [
    "NamedRegisters",
    "RegisterMap",
    "Registers",
    "device_kind",
    "fields_text",
    "intid_kind",
    "meaning",
    "name_access",
]

Meaning = Callable[[int, int, int, int], str]
"""Describes an access: the index of the register among those declared with it, the lowest bit accessed, the number of
bits, and their value."""
_NUMBER: Final = "<n>"


class NamedRegisters(Protocol):
    """An optional interface of a device: names for its registers."""

    def register_name(self, offset: int, width: int) -> str:
        """Return the register that an access of ``width`` bytes at ``offset`` is to, "" if there is none.

        For an access to a part of it the name is followed by the bits: ``GICD_IPRIORITYR8[15:8]``.
        """

    def register_meaning(self, offset: int, width: int, value: int) -> str:
        """Return the meaning of ``value`` when it is read or written there, "" if there is nothing to add."""


def name_access(device: MmioDevice, offset: int, width: int) -> str:
    """Return the register of any device, "" for one without names; see :meth:`NamedRegisters.register_name`."""
    # A trace calls this for each access, and checking an object for a protocol takes longer than the rest.
    name: Callable[[int, int], str] | None = getattr(device, "register_name", None)
    return "" if name is None else name(offset, width)


def meaning(device: MmioDevice, offset: int, width: int, value: int) -> str:
    """Return the meaning of a value, "" for a device without names; see :meth:`NamedRegisters.register_meaning`."""
    said: Callable[[int, int, int], str] | None = getattr(device, "register_meaning", None)
    return "" if said is None else said(offset, width, value)


def device_kind(device: MmioDevice) -> str:
    """Return the ``kind`` of a device that no machine description declares ("gicv3-distributor"); "" for others."""
    kind: str = getattr(device, "kind", "")
    return kind


def fields_text(layout: type[Register], value: int, lsb: int = 0, bits: int | None = None) -> str:
    """Return the fields of ``value`` from bit ``lsb`` on as ``NAME=number``, highest bit first: those that are not
    zero, or whose zero has a name. ``bits`` limits them to the width of an access."""
    end = layout.WIDTH if bits is None else lsb + bits
    word = value << lsb
    return " ".join(
        f"{field.name}={field.text(number)}"
        for field in layout.fields()
        if field.lsb < end and lsb <= field.msb and ((number := word >> field.lsb & field.mask) or 0 in field.values)
    )


class Registers(Record):
    """``count`` consecutive registers of ``size`` bytes, the first at ``offset``.

    ``<n>`` in their name stands for the number of each, which begins at ``first``. The meaning of values comes from
    their ``layout``, or from ``meaning`` if fields cannot express it.
    """

    offset: int
    name: str
    layout: type[Register] | None = None
    size: int = 4
    count: int = 1
    first: int = 0
    meaning: Meaning | None = None

    @property
    def end(self) -> int:
        """The offset after the last of them."""
        return self.offset + self.size * self.count


class RegisterMap:
    """The registers of a device or frame. Raises ValueError if two of them overlap.

    ``whole``: an access at a register's own offset is to the whole register, however narrow it is, as on a bus without
    byte lanes.
    """

    def __init__(self, *declared: Registers, prefix: str = "", whole: bool = False) -> None:
        self._declared = tuple(sorted(declared, key=lambda registers: registers.offset))
        self._offsets = tuple(registers.offset for registers in self._declared)
        self._prefix = prefix
        self._whole = whole
        for registers, following in zip(self._declared, self._declared[1:], strict=False):
            if registers.end > following.offset:
                raise ValueError(f"{registers.name} at {registers.offset:#x} overlaps {following.name}")

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield the offset and size in bytes of each register, by offset."""
        for registers in self._declared:
            for index in range(registers.count):
                yield registers.offset + index * registers.size, registers.size

    def layout(self, offset: int) -> type[Register] | None:
        """Return the layout of the register at an offset, None if it has none."""
        found = self._find(offset)
        return None if found is None else found.layout

    def find(self, name: str) -> tuple[int, int] | None:
        """Return the offset and the size of the register of a name in either case, with the prefix or without; None if
        no register has it."""
        wanted = name.upper().removeprefix(self._prefix.upper())
        for registers in self._declared:
            for index in range(registers.count):
                if wanted == registers.name.replace(_NUMBER, str(registers.first + index)).upper():
                    return registers.offset + index * registers.size, registers.size
        return None

    def name(self, offset: int, width: int) -> str:
        """Return the name as :meth:`NamedRegisters.register_name` does."""
        found = self._find(offset)
        if found is None:
            return ""
        index, at = divmod(offset - found.offset, found.size)
        name = self._prefix + found.name.replace(_NUMBER, str(found.first + index))
        if not at and (self._whole or width >= found.size):
            return name
        lsb = 8 * at
        return f"{name}[{lsb + _bits(found, at, width) - 1}:{lsb}]"

    def meaning(self, offset: int, width: int, value: int) -> str:
        """Return the meaning as :meth:`NamedRegisters.register_meaning` does."""
        found = self._find(offset)
        if found is None or (found.meaning is None and found.layout is None):
            return ""
        index, at = divmod(offset - found.offset, found.size)
        bits = _bits(found, at, width)
        value &= (1 << bits) - 1
        if found.meaning is not None:
            return found.meaning(index, 8 * at, bits, value)
        return "" if found.layout is None else fields_text(found.layout, value, 8 * at, bits)

    def _find(self, offset: int) -> Registers | None:
        at = bisect_right(self._offsets, offset)
        if not at:
            return None
        found = self._declared[at - 1]
        return found if offset < found.end else None


def _bits(registers: Registers, at: int, width: int) -> int:
    """Return how many bits of a register an access of ``width`` bytes to its byte ``at`` covers."""
    return 8 * max(1, min(width, registers.size - at))
