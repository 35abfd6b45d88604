"""Where QEMU 7.2 translates otherwise than the manual (DDI 0487), or the manual leaves a choice; by name.

``walker`` counts what each rule excludes, and prints the counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Tcr
from arm_vcpu_cli.arch.translation.controls import Stage1Controls
from arm_vcpu_cli.arch.translation.walk import ADDRESS_SIZE, Walk

GRANULE: Final = "granule that is reserved"
SIZE: Final = "size out of range"
CONTROLS: Final = "controls of a feature"
BLOCK: Final = "block at a level without blocks"
WIDTH: Final = "width of addresses"
TAG: Final = "tag of a fetch"
SHAREABILITY: Final = "shareability"

RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        GRANULE: "a reserved TCR_EL1.TGn, or one of a size that is not implemented, selects any size that is (D24.2, "
        "TCR_EL1.TG0): armvcpu 64 KiB as its engine, QEMU 4 KiB",
        SIZE: "TCR_EL1.TnSZ out of range is clamped, or a translation fault at level 0 (D8.2.7): armvcpu clamps as its "
        "engine, QEMU faults",
        CONTROLS: "a control of a feature that the CPU has not is RES0 (D24.2, TCR_EL1): QEMU heeds HPDn without "
        "FEAT_HPDS, and on max the controls of the features that its max has (HA, HD, E0PDn, TBIDn)",
        BLOCK: "a block descriptor at level 0, or at level 1 with granules of 16 or 64 KiB, is invalid (D8.3.1): QEMU "
        "translates by it",
        WIDTH: "QEMU's max has physical addresses of 48 bits, the modelled one of 44 (D24.2, ID_AA64MMFR0_EL1), and an "
        "output address beyond them is an address size fault",
        TAG: "with TCR_EL1.TBIDn, fetches do not ignore the top byte that loads ignore (D24.2, TCR_EL1.TBID0): QEMU "
        "fetches from a tagged address from which it has just loaded",
        SHAREABILITY: "PAR_EL1.SH is 0b10 for Device and Normal Non-cacheable memory (D24.2, PAR_EL1): QEMU has the "
        "field of the descriptor",
    }
)

_INVALID, _BLOCK = "invalid", 1
_SH: Final = 3 << 7
_NC: Final = 0x44
_TG0: Final = (12, 16, 14, 0)
_TG1: Final = (0, 14, 12, 16)
_SMALLEST, _LARGEST = 16, 39


class WalkRules:
    """The rules for a CPU with these controls; ``of_example`` asks about all that is translated with a TCR_EL1."""

    def __init__(self, model: str, controls: Stage1Controls) -> None:
        self._is_max, self._controls = model == "max", controls
        heeded = int(Tcr.of(HPD0=1, HPD1=1, TBID0=1, TBID1=1, HA=self._is_max, HD=self._is_max, E0PD0=self._is_max))
        self._heeded = (heeded | self._is_max * int(Tcr.of(E0PD1=1))) & ~controls.tcr

    def of_example(self, tcr: int, upper: bool) -> str | None:
        """The rule by which the two may differ anywhere in an example, None if there is none."""
        fields = Tcr(tcr)
        if (_TG1[fields.TG1] if upper else _TG0[fields.TG0]) not in self._controls.granules:
            return GRANULE
        if not _SMALLEST <= (fields.T1SZ if upper else fields.T0SZ) <= _LARGEST:
            return SIZE
        return None if not tcr & self._heeded else CONTROLS

    def of_walk(self, walk: Walk, ours: str, theirs: str, *, fetched: int | None, tcr: int) -> str | None:
        """The rule by which what is said of one address may differ; ``fetched`` is what was executed, if it was."""
        if fetched is not None and _is_tagged(fetched, Tcr(tcr)):
            return TAG
        if any(step.kind == _INVALID and step.descriptor & 3 == _BLOCK for step in walk.steps):
            return BLOCK
        if self._is_max and walk.fault is not None and walk.fault.kind == ADDRESS_SIZE:
            return WIDTH
        if ours.startswith("PAR") and theirs.startswith("PAR"):
            here, there = (int(text[4:], 0) for text in (ours, theirs))
            memory = here >> 56
            if not (here | there) & 1 and (not memory & 0xF0 or memory == _NC) and not (here ^ there) & ~_SH:
                return SHAREABILITY
        return None


def _is_tagged(address: int, tcr: Tcr) -> bool:
    """Whether the top byte of an address counts for fetches alone."""
    upper = address >> 55 & 1
    ignored = tcr.TBI1 and tcr.TBID1 if upper else tcr.TBI0 and tcr.TBID0
    return bool(ignored) and address >> 56 != 0xFF * upper
