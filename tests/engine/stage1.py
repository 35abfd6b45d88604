"""A guest's translation tables, written from outside: 4 KiB granule, 39-bit addresses, both halves (D8.3)."""

from __future__ import annotations

from typing import Final

from .harness import RAM, Guest

PAGE: Final = 0x1000
SIZES: Final = {1: 1 << 30, 2: 1 << 21, 3: 1 << 12}
"""Bytes of a leaf at each level."""
TABLES: Final = RAM + 0x30_0000
UPPER: Final = 0xFFFF_FF80_0000_0000
"""The lowest address of the half that TTBR1_EL1 translates."""
TCR: Final = 25 | 25 << 16 | 2 << 30 | 5 << 32
"""T0SZ = T1SZ = 25, TG0 = TG1 = 4 KiB, 48-bit output."""
MAIR: Final = 0xFF
"""Attribute 0: Normal memory, write-back."""
SCTLR_MMU_ON: Final = 0x30C5_0831

VALID, TABLE, AF, INNER = 1, 2, 1 << 10, 3 << 8
AP_EL0, AP_RO, PXN, UXN = 1 << 6, 1 << 7, 1 << 53, 1 << 54
KERNEL: Final = AF | INNER
USER: Final = AF | INNER | AP_EL0


class Stage1:
    """The tables of one guest. ``map`` may be called again for other addresses; ``enable`` switches the MMU on."""

    tcr = TCR

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._next = TABLES
        self.roots = (self.new_table(), self.new_table())
        # Where the program is: without UXN, and without EL0 being able to write it, so that both levels execute it.
        self.map(RAM, RAM, 2, KERNEL | AP_EL0 | AP_RO)
        self.map(RAM + SIZES[2], RAM + SIZES[2], 2, KERNEL)

    def new_table(self) -> int:
        """A zeroed table; its IPA."""
        table = self._next
        self._next += PAGE
        self._guest.write(table, bytes(PAGE))
        return table

    def _slot(self, va: int, level: int) -> int:
        table = self.roots[va >> 55 & 1]
        for above in range(1, level):
            slot = table + (va // SIZES[above] % 512) * 8
            entry = int.from_bytes(self._guest.read(slot, 8), "little")
            if not entry & VALID:
                entry = self.new_table() | TABLE | VALID
                self._guest.write_u64(slot, entry)
            table = entry & 0xFFFF_FFFF_F000
        return table + (va // SIZES[level] % 512) * 8

    def set(self, va: int, level: int, descriptor: int) -> None:
        """Put a descriptor where ``va`` is looked up at ``level``, with tables on the way there."""
        self._guest.write_u64(self._slot(va, level), descriptor)

    def add_bits(self, va: int, level: int, bits: int) -> None:
        """Set further bits in the table descriptor of ``va`` at ``level``."""
        slot = self._slot(va, level)
        self._guest.write_u64(slot, int.from_bytes(self._guest.read(slot, 8), "little") | bits)

    def map(self, va: int, ipa: int, level: int, attributes: int) -> None:
        """One page or block."""
        self.set(va, level, ipa | attributes | VALID | (TABLE if level == 3 else 0))

    def enable(self, *, tcr: int = TCR, sctlr: int = SCTLR_MMU_ON) -> None:
        """Switch stage 1 on with these tables."""
        guest = self._guest
        guest["TTBR0_EL1"], guest["TTBR1_EL1"] = self.roots
        guest["TCR_EL1"], guest["MAIR_EL1"] = tcr, MAIR
        guest["SCTLR_EL1"] = sctlr
        guest.core.flush_tlb()
