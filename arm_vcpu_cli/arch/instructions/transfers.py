"""The effects of a load or store: the registers that it moves, and the address (DDI 0487, C4.1, "Loads and Stores")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.record import Record

SP: Final = 31
_ZERO: Final = 31
_MASK32: Final = (1 << 32) - 1
_SIGN32: Final = 1 << 31


class Transfer(Record):
    """One register moved, or one element of it. ``offset`` is in bytes from the access address, ``size`` in bytes (1
    to 16)."""

    register: int
    """General register 0 to 31 (31 is XZR), or SIMD register 0 to 31 if ``vector``."""
    offset: int
    size: int
    vector: bool
    sign_extend: bool
    """Whether the loaded value is extended by its sign, to 64 bits if ``is_64bit``, else to 32."""
    is_64bit: bool
    """Whether the general register is used as Xt (SF of a syndrome)."""
    at: int = 0
    """The byte offset of the element in the SIMD register. A load at 0 clears all bytes above the element."""
    lane: bool = False
    """Whether a load preserves the other bytes of the SIMD register."""
    copies: int = 1
    """The number of copies of the element that a load writes to the register (LD1R)."""


class RegisterOffset(Record):
    """An offset in a register: extended by ``option`` (UXTW, LSL, SXTW, SXTX), then shifted."""

    register: int
    option: int
    shift: int

    def value(self, gpr: Callable[[int], int]) -> int:
        """Return the offset in bytes; ``gpr`` returns X0 to X30."""
        value = 0 if self.register == _ZERO else gpr(self.register)
        if not self.option & 1:
            value &= _MASK32
            if self.option & 4 and value & _SIGN32:
                value -= 1 << 32
        return value << self.shift


class LoadStore(Record):
    """A load or store of registers, in the order of their addresses.

    The access address is the base plus ``offset``. If base and destination coincide in a form with write-back, the
    architecture leaves the result open; here the write-back comes last.
    """

    is_load: bool
    transfers: tuple[Transfer, ...]
    base: int
    """The base register, 31 for SP; meaningless (31) in a literal load."""
    writeback: int | None = None
    """The number of bytes added to the base register afterwards; None if it keeps its value or a register is added."""
    post_index: bool = False
    offset: int | None = 0
    """The offset of the address from the base (0 if post-indexed); None for a register offset, a literal or an
    authenticated base."""
    unprivileged: bool = False
    """LDTR and STTR: uses the permissions of EL0."""
    index: RegisterOffset | None = None
    literal: int | None = None
    """The offset in bytes from the instruction to the literal."""
    added_register: int | None = None
    """The general register that is added to the base register afterwards."""
    writes_address: bool = False
    """Whether the base register receives the access address, which only the core knows."""
    ordered: bool = False
    """Whether it is a load-acquire or store-release, which must be aligned."""

    @property
    def writes_base(self) -> bool:
        """Whether the base register changes."""
        return self.writeback is not None or self.added_register is not None or self.writes_address

    def address(self, gpr: Callable[[int], int], sp: int, pc: int) -> int | None:
        """Return the access address, given the registers before the access; None if only the core knows it."""
        if self.literal is not None:
            return pc + self.literal & MASK64
        base = sp if self.base == SP else gpr(self.base)
        if self.index is not None:
            return base + self.index.value(gpr) & MASK64
        return None if self.offset is None else base + (0 if self.post_index else self.offset) & MASK64


class Unemulated(Record):
    """An access to memory that is not a plain transfer; a ``prefetch`` may be treated as a NOP.

    ``kind`` is one of ``exclusive``, ``atomic``, ``prefetch``, ``memory tagging``, ``memory copy or set``, ``dc zva``,
    ``64-byte access``, ``load-acquire pair``, ``load-acquire with write-back``, ``SVE or SME`` and ``guarded control
    stack``.
    """

    kind: str


Decoded = LoadStore | Unemulated | None
