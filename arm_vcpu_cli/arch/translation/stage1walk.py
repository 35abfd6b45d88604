"""The stage-1 walk of the EL1&0 regime: AArch64.S1Walk and AArch64.S1Translate (DDI 0487, J1.1.5).

Granules of 4, 16 and 64 KiB, both halves of the address space, hierarchical limits, and 52-bit output addresses with
the 64 KiB granule (FEAT_LPA). FEAT_LPA2, FEAT_LVA, FEAT_D128 and the permission indirection are not modelled. All
controls have an effect: those that the PE lacks are removed before (``controls``).
"""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Tcr
from arm_vcpu_cli.arch.registers.fieldvalues import OUTER_SHAREABLE
from arm_vcpu_cli.arch.translation.descriptor import (
    DESCRIPTOR_BYTES,
    LAST_LEVEL,
    TABLE_OR_PAGE,
    VALID,
    Stage1Leaf,
    Stage1Table,
)
from arm_vcpu_cli.arch.translation.memtype import Access, MemoryType, mair_memory_type
from arm_vcpu_cli.arch.translation.walk import (
    ADDRESS_SIZE,
    ReadU64,
    Stage1Attributes,
    Walk,
    WalkStep,
    failed,
    finished,
    output_width,
)
from arm_vcpu_cli.record import Record

ADDRESS_BITS: Final = 64
TBI_BITS: Final = 56
MIN_TXSZ: Final = 16
MAX_TXSZ: Final = 39
"""TxSZ outside 16 to 39 is clamped, which the architecture permits without FEAT_LVA and FEAT_TTST."""

# log2 of the granule by TCR_EL1.TG0 and TG1. A reserved value must select some implemented size.
_GRANULE_TG0: Final = (12, 16, 14, 16)
_GRANULE_TG1: Final = (12, 14, 12, 16)

# The levels, other than 3, at which a descriptor may be a block, by granule.
_BLOCK_LEVELS: Final = {12: (1, 2), 14: (2,), 16: (2,)}
_BLOCK_LEVELS_LPA: Final = (1, 2)


class Half(Record):
    """The controls of the half of the address space that an address is in."""

    ttbr: int
    size_bits: int
    granule: int
    disabled: bool
    top_byte_ignored: bool
    no_hierarchy: bool
    el0_prevented: bool


class Limits(Record):
    """Hierarchical limits gathered on the way down."""

    ap: int = 0
    uxn: int = 0
    pxn: int = 0

    def under(self, entry: Stage1Table) -> Limits:
        """Return the limits below a table descriptor."""
        return Limits(self.ap | entry.APTable, self.uxn | entry.UXNTable, self.pxn | entry.PXNTable)


class Geometry(Record):
    """The start of the walk of a half: the root table, its level and the number of address bits that index it;
    ``stride`` is that of the other levels, ``output_bits`` the width of an output address."""

    table: int
    level: int
    index_bits: int
    stride: int
    granule: int
    lpa: bool
    output_bits: int

    def shift(self, level: int) -> int:
        """Return log2 of the bytes that a descriptor of a level covers."""
        return self.granule + (LAST_LEVEL - level) * self.stride

    def is_leaf(self, level: int, word: int) -> bool:
        """Return whether a valid descriptor is a block or page."""
        table_or_page = word & 3 == TABLE_OR_PAGE
        if level == LAST_LEVEL:
            return table_or_page
        return not table_or_page and level in (_BLOCK_LEVELS_LPA if self.lpa else _BLOCK_LEVELS[self.granule])

    def is_valid(self, level: int, word: int) -> bool:
        """Return whether a descriptor is a table, block or page at a level."""
        is_table = word & 3 == TABLE_OR_PAGE and level < LAST_LEVEL
        return bool(word & VALID) and (is_table or self.is_leaf(level, word))

    def address_in(self, word: int) -> int:
        """Return the output address in a descriptor: of a table, or of a block or page with its offset bits."""
        address = word & ((1 << 48) - 1) & -(1 << self.granule)
        return address | (word >> 12 & 15) << 48 if self.lpa else address


def select_half(upper: bool, ttbr0: int, ttbr1: int, tcr: Tcr, access: Access | None) -> Half:
    """Return the controls of the upper or lower half for an access; with TCR_EL1.TBIDn the top byte is significant for
    fetches."""
    fetch = access is Access.EXECUTE
    if upper:
        txsz = min(max(tcr.T1SZ, MIN_TXSZ), MAX_TXSZ)
        ignored = bool(tcr.TBI1) and not (fetch and tcr.TBID1)
        granule = _GRANULE_TG1[tcr.TG1]
        return Half(ttbr1, 64 - txsz, granule, bool(tcr.EPD1), ignored, bool(tcr.HPD1), bool(tcr.E0PD1))
    txsz = min(max(tcr.T0SZ, MIN_TXSZ), MAX_TXSZ)
    ignored = bool(tcr.TBI0) and not (fetch and tcr.TBID0)
    granule = _GRANULE_TG0[tcr.TG0]
    return Half(ttbr0, 64 - txsz, granule, bool(tcr.EPD0), ignored, bool(tcr.HPD0), bool(tcr.E0PD0))


def stage1_attributes(
    leaf: Stage1Leaf, limits: Limits, sctlr: Sctlr, mair: int, *, el: int, pan: bool
) -> Stage1Attributes:
    """Return the permissions of a block or page at EL1 or EL0 (AArch64.S1DirectBasePermissions), and its memory
    type."""
    read_only = bool(leaf.AP & 2 or limits.ap & 2)
    user = bool(leaf.AP & 1 and not limits.ap & 1)
    user_write = user and not read_only
    user_execute = not (leaf.UXN or limits.uxn)
    if el == 0:
        read, write, execute = user, user_write, user_execute
    else:
        # EL1 cannot execute what EL0 can write; PAN denies EL1 data accesses to what EL0 can access.
        barred = pan and (user or (bool(sctlr.EPAN) and user_execute))
        read, write = not barred, not read_only and not barred
        execute = not (leaf.PXN or limits.pxn or user_write)
    if sctlr.WXN and write:
        execute = False
    memory = mair_memory_type(mair >> 8 * leaf.AttrIndx & 0xFF)
    return Stage1Attributes(read, write, execute, memory, leaf.SH, bool(leaf.nG))


def _disabled(va: int, tcr: Tcr, sctlr: Sctlr, access: Access | None, pa_bits: int) -> Walk:
    """Return AArch64.S1DisabledOutput: flat, data as Device-nGnRnE, fetches as Normal memory."""
    ignored = select_half(bool(va >> 55 & 1), 0, 0, tcr, access).top_byte_ignored
    address = va & ((1 << TBI_BITS) - 1) if ignored else va
    if address >> pa_bits:
        return failed([], ADDRESS_SIZE, 0)
    fetch = access is Access.EXECUTE
    cached = MemoryType.NORMAL_WT if sctlr.I else MemoryType.NORMAL_NC
    memory = cached if fetch else MemoryType.DEVICE_nGnRnE
    return Walk((), address, None, 0, Stage1Attributes(True, True, True, memory, OUTER_SHAREABLE, False))


def half_geometry(half: Half, tcr: Tcr, pa_bits: int) -> Geometry:
    """Return the start of the walk of a half (AArch64.S1InitialTTWState); ``pa_bits`` is the implemented address
    width."""
    lpa = half.granule == 16 and tcr.IPS == 6
    largest = 52 if lpa else 48
    stride = half.granule - 3
    level = LAST_LEVEL - (half.size_bits - 1 - half.granule) // stride
    index_bits = half.size_bits - (LAST_LEVEL - level) * stride - half.granule
    baddr = half.ttbr & ((1 << 48) - 2)
    # With 52-bit addresses BADDR[5:2] are address bits 51:48, and the table is aligned to 64 bytes at least.
    alignment = max(DESCRIPTOR_BYTES << index_bits, 64) if lpa else DESCRIPTOR_BYTES << index_bits
    table = baddr & -alignment | ((baddr >> 2 & 15) << 48 if lpa else 0)
    return Geometry(table, level, index_bits, stride, half.granule, lpa, min(output_width(tcr.IPS), pa_bits, largest))


def walk_stage1(
    read_u64: ReadU64,
    *,
    ttbr0: int,
    ttbr1: int,
    tcr: int,
    sctlr: int,
    va: int,
    access: Access | None = None,
    el: int = 1,
    pan: bool = False,
    mair: int = 0,
    pa_bits: int = 48,
) -> Walk:
    """Translate a VA (64 bits) to an IPA as EL1 or EL0 (``el``) would; ``pan`` is PSTATE.PAN.

    Permissions are checked only if ``access`` is given. ``pa_bits`` is the implemented address width, which limits the
    output with the MMU off and together with TCR_EL1.IPS. If ``read_u64`` has no memory for a descriptor, the walk ends
    in a fault of kind ``external``.
    """
    control, system = Tcr(tcr & MASK64), Sctlr(sctlr & MASK64)
    va &= MASK64
    if not system.M:
        return _disabled(va, control, system, access, pa_bits)
    upper = bool(va >> 55 & 1)
    half = select_half(upper, ttbr0, ttbr1, control, access)
    top = TBI_BITS if half.top_byte_ignored else ADDRESS_BITS
    above = (va & ((1 << top) - 1)) >> half.size_bits
    expected = (1 << (top - half.size_bits)) - 1 if upper else 0
    if above != expected or half.disabled or (el == 0 and half.el0_prevented):
        return failed([], "translation", 0)

    geometry = half_geometry(half, control, pa_bits)
    if geometry.table >> geometry.output_bits:
        return failed([], ADDRESS_SIZE, 0)

    steps: list[WalkStep] = []
    limits = Limits()
    table, level, index_bits = geometry.table, geometry.level, geometry.index_bits
    while True:
        shift = geometry.shift(level)
        address = table + (va >> shift & ((1 << index_bits) - 1)) * DESCRIPTOR_BYTES
        word = read_u64(address)
        if word is None:
            steps.append(WalkStep(level, address, 0, "external"))
            return failed(steps, "external", level)
        if system.EE:
            word = int.from_bytes(word.to_bytes(DESCRIPTOR_BYTES, "little"), "big")
        if not geometry.is_valid(level, word):
            steps.append(WalkStep(level, address, word, "invalid"))
            return failed(steps, "translation", level)
        if geometry.is_leaf(level, word):
            break
        steps.append(WalkStep(level, address, word, "table"))
        if not half.no_hierarchy:
            limits = limits.under(Stage1Table(word))
        table = geometry.address_in(word)
        if table >> geometry.output_bits:
            return failed(steps, ADDRESS_SIZE, level)
        level, index_bits = level + 1, geometry.stride

    steps.append(WalkStep(level, address, word, "page" if level == LAST_LEVEL else "block"))
    leaf = Stage1Leaf(word)
    size = 1 << shift
    output = geometry.address_in(word) & -size | va & (size - 1)
    attributes = stage1_attributes(leaf, limits, system, mair & MASK64, el=el, pan=pan)
    accessed = bool(leaf.AF or control.HA)
    return finished(steps, output, size, attributes, access, output_bits=geometry.output_bits, accessed=accessed)
