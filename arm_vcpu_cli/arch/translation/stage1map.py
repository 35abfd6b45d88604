"""Lists everything that stage 1 maps, by walking the current tables (DDI 0487, D8.2 and D8.3)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Tcr
from arm_vcpu_cli.arch.translation.descriptor import DESCRIPTOR_BYTES, LAST_LEVEL, Stage1Leaf, Stage1Table
from arm_vcpu_cli.arch.translation.stage1walk import (
    Geometry,
    Half,
    Limits,
    half_geometry,
    select_half,
    stage1_attributes,
)
from arm_vcpu_cli.arch.translation.walk import Stage1Attributes

ReadTable = Callable[[int, int], "bytes | memoryview | None"]
"""Reads this many bytes of a table at an intermediate physical address; None if there is no memory."""

MAX_TABLES: Final = 1 << 15
"""The maximum number of 4 KiB tables to read, with larger ones counted as several: enough for 64 GiB in pages of 4 KiB;
tables that point to themselves never end."""
_TABLE_BYTES: Final = 4096
_NO_LIMITS: Final = Limits()


class Mapped(NamedTuple):
    """A block or page, or several adjacent ones: ``size`` bytes at ``va`` map to ``ipa``.

    ``level`` is that of the descriptors, ``el0`` and ``el1`` are the permissions of the Exception levels, and
    ``accessed`` is false if the access flag is clear and nothing sets it.
    """

    va: int
    ipa: int
    size: int
    level: int
    el0: Stage1Attributes
    el1: Stage1Attributes
    accessed: bool

    def follows(self, other: Mapped) -> bool:
        """Return whether this continues another one: adjacent in both address spaces, with equal attributes."""
        return self[3:] == other[3:] and (self.va, self.ipa) == (other.va + other.size, other.ipa + other.size)


_Attributes = tuple[Stage1Attributes, Stage1Attributes, bool]
"""The permissions of EL0 and EL1, and whether the access flag is set or sets itself."""


class TooManyTablesError(Exception):
    """The tables exceed the limit; ``va`` is where the unread ones begin."""

    def __init__(self, va: int) -> None:
        self.va = va
        super().__init__(f"more than {MAX_TABLES} tables, from {va:#x} on")


class Stage1Map:
    """The mappings of one half of the address space under the current registers."""

    def __init__(
        self,
        read_table: ReadTable,
        *,
        upper: bool,
        ttbr: int,
        tcr: int,
        sctlr: int,
        mair: int,
        pan: bool = False,
        pa_bits: int = 48,
    ) -> None:
        """``pa_bits`` is the implemented address width."""
        control = Tcr(tcr & MASK64)
        self._read = read_table
        self._sctlr = Sctlr(sctlr & MASK64)
        self._mair = mair & MASK64
        self._pan = pan
        self._hardware_sets_af = bool(control.HA)
        self.half: Half = select_half(upper, ttbr, ttbr, control, None)
        self.geometry: Geometry = half_geometry(self.half, control, pa_bits)
        self._order = ">" if self._sctlr.EE else "<"
        self.base = (MASK64 + 1) - (1 << self.half.size_bits) if upper else 0
        """The lowest address of the half."""
        self._tables = 0
        self._known: dict[tuple[int, Limits], _Attributes] = {}
        self._pages: dict[tuple[int, Limits], list[Mapped]] = {}
        """The mappings of last-level tables, from address 0 on: several tables may point to the same one."""

    def mappings(self) -> Iterator[Mapped]:
        """Yield the mappings by address, with equal neighbours merged.

        Raises :class:`TooManyTablesError` after those found so far.
        """
        geometry = self.geometry
        if not self._sctlr.M or self.half.disabled or geometry.table >> geometry.output_bits:
            return
        leaves = self._leaves(geometry.table, geometry.level, geometry.index_bits, self.base, _NO_LIMITS)
        last: Mapped | None = None
        beyond: TooManyTablesError | None = None
        try:
            for found in leaves:
                if last is not None and found.follows(last):
                    last = last._replace(size=last.size + found.size)
                    continue
                if last is not None:
                    yield last
                last = found
        except TooManyTablesError as error:
            beyond = error
        if last is not None:
            yield last
        if beyond is not None:
            raise beyond

    def _leaves(self, table: int, level: int, index_bits: int, base: int, limits: Limits) -> Iterator[Mapped]:
        size = DESCRIPTOR_BYTES << index_bits
        known = self._pages.get((table, limits)) if level == LAST_LEVEL else None
        self._tables += 1 if known is not None else -(-size // _TABLE_BYTES)
        if self._tables > MAX_TABLES:
            raise TooManyTablesError(base)
        if known is not None:
            yield from (run._replace(va=base + run.va) for run in known)
            return
        content = self._read(table, size)
        if content is None:
            return
        if level == LAST_LEVEL:
            runs = self._pages[table, limits] = list(self._runs(content, limits))
            yield from (run._replace(va=base + run.va) for run in runs)
            return
        geometry = self.geometry
        span = 1 << geometry.shift(level)
        for index, word in enumerate(struct.unpack(f"{self._order}{size // DESCRIPTOR_BYTES}Q", content)):
            if not word & 1 or not geometry.is_valid(level, word):
                continue
            va, address = base + index * span, geometry.address_in(word)
            if address >> geometry.output_bits:
                continue
            if geometry.is_leaf(level, word):
                yield Mapped(va, address & -span, span, level, *self._attributes(word, limits))
            else:
                below = limits if self.half.no_hierarchy else limits.under(Stage1Table(word))
                yield from self._leaves(address, level + 1, geometry.stride, va, below)

    def _runs(self, content: bytes | memoryview, limits: Limits) -> Iterator[Mapped]:
        """Yield the mappings of a last-level table, from address 0 on. Nearly all descriptors are in such tables."""
        geometry = self.geometry
        span = 1 << geometry.shift(LAST_LEVEL)
        first = pages = start = next_word = 0
        beyond = _OUTPUT & -(1 << geometry.output_bits)
        for index, word in enumerate(struct.unpack(f"{self._order}{len(content) // DESCRIPTOR_BYTES}Q", content)):
            if pages and word == next_word and word & _OUTPUT and not word & beyond and not geometry.lpa:
                pages += 1
                next_word += span
                continue
            if pages:
                yield self._run(first, start * span, pages * span, limits)
                pages = 0
            if word & 1 and not word & beyond and geometry.is_valid(LAST_LEVEL, word):
                first, start, pages, next_word = word, index, 1, word + span
        if pages:
            yield self._run(first, start * span, pages * span, limits)

    def _run(self, word: int, offset: int, size: int, limits: Limits) -> Mapped:
        """Return adjacent pages, of which the first has the descriptor ``word``."""
        span = 1 << self.geometry.shift(LAST_LEVEL)
        address = self.geometry.address_in(word) & -span
        return Mapped(offset, address, size, LAST_LEVEL, *self._attributes(word, limits))

    def _attributes(self, word: int, limits: Limits) -> _Attributes:
        key = (word & _ATTRIBUTES, limits)
        found = self._known.get(key)
        if found is None:
            leaf = Stage1Leaf(word)
            el0 = stage1_attributes(leaf, limits, self._sctlr, self._mair, el=0, pan=False)
            el1 = stage1_attributes(leaf, limits, self._sctlr, self._mair, el=1, pan=self._pan)
            found = self._known[key] = (el0, el1, bool(leaf.AF or self._hardware_sets_af))
        return found


_OUTPUT: Final = int(Stage1Leaf.of(OA=Stage1Leaf.OA.mask))
_ATTRIBUTES: Final = MASK64 & ~_OUTPUT
