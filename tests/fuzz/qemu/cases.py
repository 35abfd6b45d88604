"""What a case is, how a batch of them lies in memory for QEMU's side, and what comes back (see ``judge.S``)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

HEADER: Final = 0x6000_0000
"""An address that no case uses; all above belongs to QEMU's side too."""
COPIED, CASES, RESULTS, END = 0x6010_0000, 0x6400_0000, 0x7000_0000, 0x8000_0000
SYSREGS: Final = (
    *("SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "MAIR_EL1", "VBAR_EL1", "CPACR_EL1", "CNTKCTL_EL1"),
    *("MDSCR_EL1", "ELR_EL1", "SPSR_EL1", "SP_EL0", "SP_EL1", "PC", "PSTATE", "FPCR", "FPSR"),
)
"""What a case sets beside X and V, in the order of the layout."""
FOUND: Final = (
    *("ESR_EL2", "FAR_EL2", "HPFAR_EL2", "ELR_EL2", "SPSR_EL2", "ESR_EL1", "FAR_EL1", "ELR_EL1", "SPSR_EL1", "PAR_EL1"),
    *("SP_EL0", "SP_EL1", "FPCR", "FPSR", "TPIDR_EL0", "TPIDR_EL1", "SCTLR_EL1"),
)
"""What a result tells beside X and V."""
X_REGISTERS: Final = 31
V_WORDS: Final = 64
CHANGES: Final = 8
"""Changes in the window that a result can tell, of 16 bytes each."""

_CHANGES_AT: Final = 116
_X_AT: Final = 20
_V_AT: Final = 52
_WORDS: Final = 148
_BROKEN: Final = (1 << 64) - 1


@dataclass
class Case:
    """A start: registers, and bytes at addresses (of a multiple of 8 each), which stay for the cases that follow."""

    sysregs: dict[str, int]
    x: Sequence[int] = (0,) * X_REGISTERS
    v: Sequence[int] = (0,) * V_WORDS
    writes: list[tuple[int, bytes]] = field(default_factory=list)

    def packed(self) -> bytes:
        """As ``judge.S`` reads it."""
        words = [
            (address + at, int.from_bytes(data[at : at + 8], "little"))
            for address, data in self.writes
            for at in range(0, len(data), 8)
        ]
        values = (self.sysregs.get(name, 0) for name in SYSREGS)
        flat = (word for pair in words for word in pair)
        return struct.pack(
            f"<{1 + len(SYSREGS) + 1 + X_REGISTERS + V_WORDS + 2 * len(words)}Q",
            *(len(words), *values, 0, *self.x, *self.v, *flat),
        )


@dataclass(frozen=True)
class Result:
    """How a case has ended: the vector of EL2 (8 is a synchronous exception), registers, and the window's changes.

    ``changes`` are (offset, which bits) in the order of addresses, at most :data:`CHANGES` units of 16 bytes.
    """

    slot: int
    sysregs: Mapping[str, int]
    x: tuple[int, ...]
    v: tuple[int, ...]
    changes: tuple[tuple[int, int], ...]
    dump: bytes


def stride(dump: int) -> int:
    """Bytes of a result with so many of memory."""
    return _WORDS * 8 + dump


def unpack(data: bytes | memoryview) -> Result:
    """A result from its bytes."""
    words = struct.unpack_from(f"<{_WORDS}Q", data)
    if words[0] in (0, _BROKEN):
        raise RuntimeError(f"QEMU's side took an exception of its own: {[hex(word) for word in words[1:5]]}")
    count = min(words[1 + len(FOUND)], CHANGES)
    pairs = zip(words[_CHANGES_AT::2], words[_CHANGES_AT + 1 :: 2], strict=True)
    halves = list(pairs)[: 2 * count]
    changes = tuple((place + 8 * (n % 2), bits) for n, (place, bits) in enumerate(halves) if bits)
    return Result(
        words[0] - 1,
        dict(zip(FOUND, words[1:], strict=False)),
        words[_X_AT : _X_AT + X_REGISTERS],
        words[_V_AT : _V_AT + V_WORDS],
        changes,
        bytes(data[_WORDS * 8 :]),
    )
