"""Random translation tables and controls of stage 1, for one half of the address space; the same for the same seed.

Only the paths of a few addresses are created. Random values stay within what the Arm ARM defines: no reserved memory
attributes or shareability, and sizes that are out of range only where they are clamped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Tcr
from arm_vcpu_cli.arch.translation.stage1walk import Geometry, half_geometry, select_half

ADDRESSES: Final = 6
"""Of each example."""
NORMAL: Final = 7
"""The index in MAIR_EL1 that is Normal memory, write-back, in every example."""
FIXED_SIZE: Final = 25
"""TxSZ of the half that is not random; its granule is 4 KiB."""
_MEMORY: Final = (0x00, 0x04, 0x08, 0x0C, 0x44, 0x4F, 0xF4, 0xBB, 0xFF, 0xAA, 0x5F)
_SHAREABILITIES: Final = (0, 2, 3)
_M, _WXN, _EE, _SPAN = (int(Sctlr.of(**{name: 1})) for name in ("M", "WXN", "EE", "SPAN"))
_SCTLR: Final = 0x30C5_0830 & ~(_WXN | _EE) | _SPAN
_UNDEFINED: Final = 1 << 50 | 1 << 8
"""GP, and the half of SH that makes it reserved."""


@dataclass(frozen=True)
class Places:
    """Where things are, as IPAs: ``tables`` are written to, ``data`` may be accessed, ``nowhere`` is not there."""

    tables: range
    data: range
    nowhere: int


@dataclass
class Example:
    """Controls, tables and addresses. ``upper`` is the half that is random, ``on`` whether stage 1 is on.

    ``words`` are the descriptors by IPA, as numbers.
    """

    upper: bool
    on: bool
    pan: bool
    uao: bool
    tcr: int
    sctlr: int
    mair: int
    ttbr: int
    words: dict[int, int] = field(default_factory=dict)
    addresses: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        words = " ".join(f"{place:#x}={word:#x}" for place, word in self.words.items())
        return (
            f"TTBR{int(self.upper)}_EL1={self.ttbr:#x} TCR_EL1={self.tcr:#x} SCTLR_EL1={self.sctlr:#x} "
            f"MAIR_EL1={self.mair:#x} PAN={int(self.pan)} UAO={int(self.uao)}: {words}"
        )


def make_example(random: Random, places: Places, effective: Callable[[int], int]) -> Example:
    """The next example of a sequence; ``effective`` is what of a value of TCR_EL1 the CPU takes."""
    upper = random.random() < 0.5
    fixed = Tcr.of(T0SZ=FIXED_SIZE, T1SZ=FIXED_SIZE, TG1=2)
    half = int(Tcr.of(T1SZ=63, TG1=3, EPD1=1, SH1=3, ORGN1=3, IRGN1=3, TBI1=1, HPD1=1, E0PD1=1, TBID1=1))
    other = int(Tcr.of(T0SZ=63, TG0=3, EPD0=1, SH0=3, ORGN0=3, IRGN0=3, TBI0=1, HPD0=1, E0PD0=1, TBID0=1))
    mine = half if upper else other
    own = Tcr(random.getrandbits(64))
    size = random.choice((16, 17, 20, 24, 25, 26, 28, 33, 34, 35, 38, 39, random.randrange(64)))
    own = own.replace(**{f"T{int(upper)}SZ": size, f"EPD{int(upper)}": random.random() < 0.03})
    shared = Tcr.of(
        IPS=random.choice((0, 1, 2, 2, 3, 4, 5, 5, 6, 7)),
        HA=random.getrandbits(1),
        HD=random.getrandbits(1),
        A1=random.getrandbits(1),
        AS=random.getrandbits(1),
    )
    tcr = int(own) & mine | int(fixed) & ~mine | int(shared)
    sctlr = _SCTLR | (random.random() < 0.2) * _WXN | (random.random() < 0.15) * _EE
    on = random.random() < 0.95
    mair = sum(random.choice(_MEMORY) << 8 * index for index in range(NORMAL)) | 0xFF << 8 * NORMAL
    example = Example(upper, on, random.random() < 0.3, random.random() < 0.3, tcr, sctlr | on * _M, mair, 0)
    _Maker(random, places, example, Tcr(effective(tcr))).make()
    return example


class _Maker:
    """Makes the tables of one example."""

    def __init__(self, random: Random, places: Places, example: Example, tcr: Tcr) -> None:
        self._random = random
        self._places = places
        self._example = example
        self._half = select_half(example.upper, 0, 0, tcr, None)
        self._geometry: Geometry = half_geometry(self._half, tcr, 48)
        self._next = places.tables.start

    def make(self) -> None:
        geometry, random, example = self._geometry, self._random, self._example
        root = self._new_table(8 << geometry.index_bits)
        example.ttbr = self._spoiled(root, 0.04) | random.getrandbits(16) << 48 | (random.random() < 0.1)
        for _ in range(ADDRESSES):
            address = self._address()
            example.addresses.append(address)
            if example.on:
                self._path(address, root)

    def _new_table(self, size: int) -> int:
        table = -(-self._next // size) * size
        self._next = table + size
        return table

    def _address(self) -> int:
        """A virtual address, mostly of the half, often near the one before, sometimes with a tag or out of range."""
        random, bits = self._random, self._half.size_bits
        if self._example.addresses and random.random() < 0.4:
            address = random.choice(self._example.addresses) ^ 1 << random.randrange(12, bits)
        else:
            address = random.getrandbits(bits)
            if self._example.upper:
                address |= -(1 << bits)
            if not self._example.on and random.random() < 0.7:
                address = random.choice(self._places.data)
        # What is executed is aligned, and what is accessed does not leave a page.
        address &= 0xFFFF_FFFF_FFFF_FFF8
        kind = random.random()
        if kind < 0.05:
            address ^= 1 << random.randrange(bits, 64)
        elif kind < 0.25:
            address = address & (1 << 56) - 1 | random.getrandbits(8) << 56
        return address

    def _path(self, address: int, root: int) -> None:
        """Descriptors on the way of an address, down to where it ends."""
        geometry, words = self._geometry, self._example.words
        table, level, index_bits = root, geometry.level, geometry.index_bits
        while table in self._places.tables:
            place = table + (address >> geometry.shift(level) & (1 << index_bits) - 1) * 8
            if place not in words:
                words[place] = self._descriptor(level)
            word = words[place]
            if level == 3 or word & 3 != 3:
                return
            table = word & (1 << 48) - 1 & -(1 << geometry.granule)
            level, index_bits = level + 1, geometry.stride

    def _descriptor(self, level: int) -> int:
        random, geometry = self._random, self._geometry
        kind = random.random()
        if kind < 0.04:
            return random.getrandbits(64) & ~_UNDEFINED
        if kind < 0.07:
            return random.getrandbits(62) << 2 | random.choice((0, 2))
        if level < 3 and kind < (0.85 if level < 2 else 0.7):
            table = self._new_table(8 << geometry.stride if geometry.granule != 12 else 4096)
            limits = sum(1 << bit for bit in range(59, 64) if random.random() < 0.12)
            return self._spoiled(table, 0.05) | limits | random.getrandbits(7) << 52 | 3
        kind = 3 if level == 3 else 1
        kind ^= (random.random() < 0.03) * 2
        return self._leaf(1 << geometry.shift(level)) | kind

    def _leaf(self, size: int) -> int:
        random = self._random
        output = random.choice(self._places.data)
        if random.random() < 0.1:
            output = self._places.nowhere
        # All but the address, guarded pages (GP, which the accesses do not allow for), and what follows.
        bits: int = sum(1 << bit for bit in (6, 7, 11, *range(51, 64)) if random.random() < 0.3)
        bits |= int(random.random() < 0.9) << 10 | random.choice(_SHAREABILITIES) << 8 | random.randrange(8) << 2
        return self._spoiled(output & -size, 0.08) | bits

    def _spoiled(self, address: int, chance: float) -> int:
        """An address, sometimes with a bit that makes it large, or elsewhere."""
        random = self._random
        if random.random() >= chance:
            return address
        if random.random() < 0.2:
            return self._places.nowhere & -(1 << 16)
        return address ^ 1 << random.randrange(30, 48)
