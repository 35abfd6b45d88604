"""The stage-2 walk with the 4 KiB granule: AArch64.S2Walk and AArch64.S2Translate (DDI 0487, J1.1.5)."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.el2regs import Vtcr, Vttbr
from arm_vcpu_cli.arch.translation.descriptor import (
    DESCRIPTOR_BYTES,
    ENTRIES,
    LAST_LEVEL,
    PAGE_SHIFT,
    STRIDE,
    TableDescriptor,
    decode_stage2,
    leaf_size,
    without_demand,
)
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arch.translation.walk import ADDRESS_SIZE, ReadU64, Walk, WalkStep, failed, finished, output_width

GRANULE_4K: Final = 0
MAX_CONCATENATED: Final = 16
"""The maximum number of adjacent root tables, which let a walk start one level lower."""
MIN_INPUT_BITS: Final = 25
MAX_INPUT_BITS: Final = 48
"""VTCR_EL2.T0SZ is 16 to 39 without FEAT_LPA2 and FEAT_TTST; other values fault."""
MAX_OUTPUT_BITS: Final = 48
"""Output addresses of the 4 KiB granule without FEAT_LPA2, whatever VTCR_EL2.PS is."""

START_LEVELS: Final = (2, 1, 0)
"""The level at which a walk starts, by VTCR_EL2.SL0 (without FEAT_TTST); 3 is reserved."""


def start_level(sl0: int) -> int | None:
    """Return the level at which VTCR_EL2.SL0 starts the walk; None for the reserved value."""
    return START_LEVELS[sl0] if sl0 < len(START_LEVELS) else None


def input_size_fits(level: int, ipa_bits: int) -> bool:
    """Return whether a walk from ``level`` resolves ``ipa_bits`` with 1 to 16 root tables (S2InconsistentSL)."""
    if not MIN_INPUT_BITS <= ipa_bits <= MAX_INPUT_BITS:
        return False
    entries = (1 << ipa_bits) // leaf_size(level)
    return 2 <= entries <= MAX_CONCATENATED * ENTRIES


def walk_stage2(read_u64: ReadU64, vttbr: int, vtcr: int, ipa: int, access: Access | None = None) -> Walk:
    """Translate an IPA (64 bits at most) to a PA. Permissions are checked only if ``access`` is given.

    Memory that is executable on demand is reported as executable, and a block split for that as the original block.
    Raises ValueError if VTCR_EL2.TG0 selects a granule other than 4 KiB; everything else ends in a fault as in the Arm
    ARM.
    """
    control = Vtcr(vtcr & MASK64)
    if control.TG0 != GRANULE_4K:
        raise ValueError("only stage-2 tables with the 4 KiB granule are supported")
    steps: list[WalkStep] = []
    ipa_bits = 64 - control.T0SZ
    level = start_level(control.SL0)
    if level is None or ipa >> ipa_bits or not input_size_fits(level, ipa_bits):
        return failed(steps, "translation", 0)
    output_bits = min(output_width(control.PS), MAX_OUTPUT_BITS)
    entries_log2 = ipa_bits - (PAGE_SHIFT + STRIDE * (LAST_LEVEL - level))
    table = Vttbr(vttbr & MASK64).BADDR << 1 & -(DESCRIPTOR_BYTES << entries_log2)
    if table >> output_bits:
        return failed(steps, ADDRESS_SIZE, 0)
    index_mask = (1 << entries_log2) - 1
    while True:
        span = leaf_size(level)
        address = table + (ipa // span & index_mask) * DESCRIPTOR_BYTES
        word = read_u64(address)
        if word is None:
            steps.append(WalkStep(level, address, 0, "external"))
            return failed(steps, "external", level)
        word = without_demand(level, word, read_u64)
        entry = decode_stage2(level, word)
        if entry is None:
            steps.append(WalkStep(level, address, word, "invalid"))
            return failed(steps, "translation", level)
        if not isinstance(entry, TableDescriptor):
            break
        steps.append(WalkStep(level, address, word, "table"))
        if entry.address >> output_bits:
            return failed(steps, ADDRESS_SIZE, level)
        table, level, index_mask = entry.address, level + 1, (1 << STRIDE) - 1
    steps.append(WalkStep(level, address, word, "page" if level == LAST_LEVEL else "block"))
    return finished(
        steps,
        entry.pa | ipa & (span - 1),
        span,
        entry.attributes,
        access,
        output_bits=output_bits,
        accessed=entry.access_flag or bool(control.HA),
    )
