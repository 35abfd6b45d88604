"""Translation table descriptors of the VMSAv8-64 format (DDI 0487, D8.3).

A descriptor is 64 bits: bits [1:0] are 0b11 for a table (levels 0 to 2) and for a page (level 3), 0b01 for a
block; every other pattern is invalid. Stage 2 is encoded and decoded here for the 4 KiB granule and
addresses of 48 bits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.registers.fieldvalues import INNER_SHAREABLE, NON_SHAREABLE, SHAREABILITY
from arm_vcpu_cli.arch.translation.memtype import STAGE2_MEMATTR, MemoryType, stage2_memory_type
from arm_vcpu_cli.record import Record

# The manual's field names are kept verbatim, also where they are mixedCase.
# ruff: noqa: N815

LAST_LEVEL: Final = 3
PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 1 << PAGE_SHIFT
STRIDE: Final = 9
ENTRIES: Final = 1 << STRIDE
TABLE: Final = struct.Struct(f"<{ENTRIES}Q")
DESCRIPTOR_BYTES: Final = 8

VALID: Final = 1
TABLE_OR_PAGE: Final = 3
BLOCK: Final = 1


class Stage2Leaf(Register):
    """A stage-2 block or page descriptor. S2AP is {write, read}; XN[1] (bit 54) forbids execution.

    XN[0] (bit 53) has a meaning only with FEAT_XNX and is left zero. OnDemand is one of the bits for software: the
    guest may execute from here but has not done so yet; XN is set so that the first execution faults.
    """

    AssuredOnly = Field(58)
    OnDemand = Field(55)
    XN = Field(54, 53)
    Contiguous = Field(52)
    DBM = Field(51)
    OA = Field(47, 12)
    FnXS = Field(11)
    AF = Field(10)
    SH = Field(9, 8, values=SHAREABILITY)
    S2AP = Field(7, 6)
    MemAttr = Field(5, 2)
    TYPE = Field(1, 0)


_ON_DEMAND: Final = int(Stage2Leaf.of(OnDemand=1))
_XN: Final = int(Stage2Leaf.of(XN=0b10))
OUTPUT_MASK: Final = int(Stage2Leaf.of(OA=Stage2Leaf.OA.mask))
"""Address bits 47:12 of a descriptor with the 4 KiB granule, a table's too."""


class Stage1Leaf(Register):
    """A stage-1 block or page descriptor of the EL1&0 regime; AP is AP[2:1]."""

    PBHA = Field(62, 59)
    UXN = Field(54)
    PXN = Field(53)
    Contiguous = Field(52)
    DBM = Field(51)
    GP = Field(50)
    OA = Field(47, 12)
    nG = Field(11)
    AF = Field(10)
    SH = Field(9, 8, values=SHAREABILITY)
    AP = Field(7, 6)
    NS = Field(5)
    AttrIndx = Field(4, 2)
    TYPE = Field(1, 0)


class Stage1Table(Register):
    """A stage-1 table descriptor with its hierarchical limits."""

    NSTable = Field(63)
    APTable = Field(62, 61)
    UXNTable = Field(60)
    PXNTable = Field(59)
    ADDRESS = Field(47, 12)
    TYPE = Field(1, 0)


class Stage2Attributes(NamedTuple):
    """The permissions of stage 2 at an address, and its memory type."""

    read: bool
    write: bool
    execute: bool
    memory: MemoryType = MemoryType.NORMAL


class TableDescriptor(Record):
    """A table descriptor with the next table's address."""

    address: int


class LeafDescriptor(Record):
    """A block or page: ``size`` bytes at the output address ``pa``.

    ``on_demand``: execution is permitted, and the first one faults (see :class:`Stage2Leaf`).
    """

    level: int
    pa: int
    size: int
    attributes: Stage2Attributes
    access_flag: bool
    shareability: int
    contiguous: bool
    on_demand: bool = False


def leaf_size(level: int) -> int:
    """Return the size in bytes that a descriptor of the level covers with the 4 KiB granule: 512 GiB, 1 GiB, 2 MiB, 4
    KiB."""
    return 1 << (PAGE_SHIFT + STRIDE * (LAST_LEVEL - level))


def stage2_leaf(level: int, pa: int, attributes: Stage2Attributes, *, on_demand: bool = False) -> int:
    """Return the descriptor of a 1 GiB or 2 MiB block (levels 1, 2) or a 4 KiB page (level 3), with AF = 1.

    Normal memory is inner shareable. ``on_demand``: the first permitted execution faults. Raises ValueError: no leaf at
    that level, ``pa`` misaligned or beyond 48 bits, or a memory type without an encoding.
    """
    if not 1 <= level <= LAST_LEVEL:
        raise ValueError(f"no block or page descriptors at level {level} with the 4 KiB granule")
    if pa & ~OUTPUT_MASK or pa % leaf_size(level):
        raise ValueError(f"output address {pa:#x} does not fit a level {level} descriptor")
    return pa | _leaf_without_address(level, attributes, on_demand)


def stage2_leaves(
    level: int, first: int, count: int, pa: int, attributes: Stage2Attributes, *, on_demand: bool = False
) -> bytes:
    """Return a table in which ``count`` entries from ``first`` on are leaves for consecutive addresses from ``pa`` on,
    and the others are invalid. Raises ValueError as :func:`stage2_leaf` does."""
    if not count:
        return bytes(TABLE.size)
    span = leaf_size(level)
    leaf = stage2_leaf(level, pa, attributes, on_demand=on_demand)
    leaves = range(leaf, leaf + count * span, span)
    return TABLE.pack(*bytes(first), *leaves, *bytes(ENTRIES - first - count))


# A region is mapped by hundreds of leaves that differ only in their addresses.
@lru_cache(maxsize=64)
def _leaf_without_address(level: int, attributes: Stage2Attributes, on_demand: bool) -> int:
    memattr = STAGE2_MEMATTR.get(attributes.memory)
    if memattr is None:
        raise ValueError(f"{attributes.memory.value} memory has no encoding at stage 2")
    return int(
        Stage2Leaf.of(
            XN=0 if attributes.execute and not on_demand else 0b10,
            OnDemand=attributes.execute and on_demand,
            AF=1,
            SH=NON_SHAREABLE if attributes.memory.is_device else INNER_SHAREABLE,
            S2AP=attributes.write << 1 | attributes.read,
            MemAttr=memattr,
            TYPE=TABLE_OR_PAGE if level == LAST_LEVEL else BLOCK,
        )
    )


def stage2_table(pa: int, *, on_demand: bool = False) -> int:
    """Return the descriptor of a next-level table. Raises ValueError if ``pa`` is not page aligned or beyond 48 bits.

    ``on_demand``: the table replaces a block, because some of it is executable on demand.
    """
    if pa & ~OUTPUT_MASK:
        raise ValueError(f"table address {pa:#x} is misaligned or beyond 48 bits")
    return pa | TABLE_OR_PAGE | (_ON_DEMAND if on_demand else 0)


def without_demand(level: int, descriptor: int, first_entry: Callable[[int], int | None]) -> int:
    """Return the descriptor of a block or page as if no execution were on demand; any other unchanged.

    ``first_entry`` reads the word at the address of a table.
    """
    if not descriptor & VALID or not descriptor & _ON_DEMAND:
        return descriptor
    if level < LAST_LEVEL and descriptor & TABLE_OR_PAGE == TABLE_OR_PAGE:
        entry = first_entry(descriptor & OUTPUT_MASK)
        if entry is None:
            return descriptor
        descriptor = without_demand(level + 1, entry, first_entry) & ~TABLE_OR_PAGE | BLOCK
    return descriptor & ~(_ON_DEMAND | _XN)


def decode_stage2(level: int, descriptor: int) -> TableDescriptor | LeafDescriptor | None:
    """Decode a stage-2 descriptor as the walk reads it; None if it is invalid at that level."""
    kind = descriptor & 3
    if not kind & VALID:
        return None
    if level < LAST_LEVEL and kind == TABLE_OR_PAGE:
        return TableDescriptor(descriptor & OUTPUT_MASK)
    if level == 0 or (level == LAST_LEVEL and kind == BLOCK):
        return None
    size = leaf_size(level)
    pa = descriptor & OUTPUT_MASK & ~(size - 1)
    return LeafDescriptor(level, pa, size, *_all_but_address(descriptor & ~OUTPUT_MASK))


# As for encoding.
@lru_cache(maxsize=64)
def _all_but_address(descriptor: int) -> tuple[Stage2Attributes, bool, int, bool, bool]:
    """Return the fields of a leaf from its attributes on."""
    leaf = Stage2Leaf(descriptor)
    attributes = Stage2Attributes(
        read=bool(leaf.S2AP & 1),
        write=bool(leaf.S2AP & 2),
        execute=not leaf.XN & 0b10 or bool(leaf.OnDemand),
        memory=stage2_memory_type(leaf.MemAttr),
    )
    return attributes, bool(leaf.AF), leaf.SH, bool(leaf.Contiguous), bool(leaf.OnDemand)
