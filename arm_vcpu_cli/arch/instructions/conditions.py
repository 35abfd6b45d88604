"""Determines what a loop that polls a register waits for, as far as the instructions after the load show (DDI 0487,
C4.1): the bits that it tests, and the values that end the loop.

The value is followed through moves, shifts, masks and the stack up to the first conditional branch that depends on it.
An exclusive store after the load is assumed to succeed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import SP, LoadStore
from arm_vcpu_cli.record import Record

Fetch = Callable[[int], int | None]

_INSTRUCTION: Final = 4
_MOST: Final = 24
"""The maximum number of instructions followed."""
_ZERO: Final = 31
_LINK: Final = 30
_EQ, _NE = 0, 1
_NONZERO: Final = 1 << 24
"""Set in CBNZ, clear in CBZ."""
_EXCLUSIVE_STORE_MASK: Final = 0x3FE00000
_EXCLUSIVE_STORE: Final = 0x08000000
"""STXR, STLXR and their narrow forms."""
_MASK32: Final = (1 << 32) - 1


class Condition(Record):
    """A loop ends once the bits ``mask`` of what it reads are ``value``, or with ``differs`` anything else."""

    mask: int
    value: int = 0
    differs: bool = False


class _Part(Record):
    """Some bits of the value read, shifted down by ``shift``."""

    mask: int
    shift: int = 0


class _Compared(Record):
    part: _Part
    value: int = 0


def awaited_condition(fetch: Fetch, load: int, register: int, bits: int, link: int) -> Condition | None:
    """Return what the loop waits for that loads ``bits`` bits into ``register`` at the address ``load``; None if
    unknown. ``link`` is the return address of a function that only loads."""
    follower = _Follower(register, (1 << bits) - 1)
    place = load + _INSTRUCTION
    for _ in range(_MOST):
        word = fetch(place)
        if word is None:
            return None
        target = branch_target(word, place)
        if (condition := follower.decides(word)) is not None:
            ends_if_taken = target is None or not target <= load
            return condition if ends_if_taken else Condition(condition.mask, condition.value, not condition.differs)
        if target is not None and follower.retries(word):
            # The store succeeds.
            place = target if word & _NONZERO == 0 else place + _INSTRUCTION
            continue
        if target is not None:
            if _is_conditional(word) or target <= load:
                # A branch that depends on something else, or the end of a loop that has no condition.
                return None
            place = target
            continue
        if word & 0xFFFFFC1F == 0xD65F0000:  # RET
            if not link or (word >> 5 & 31) != _LINK:
                return None
            place, link = link, 0
            continue
        follower.execute(word)
        place += _INSTRUCTION
    return None


def _is_conditional(word: int) -> bool:
    return word & 0x7C000000 == 0x34000000 or word & 0xFF000010 == 0x54000000


def branch_target(word: int, place: int) -> int | None:
    """Return the target of a branch; None for every other instruction."""
    if word & 0xFC000000 == 0x14000000:  # B
        return place + _INSTRUCTION * _signed(word, 26)
    if word & 0x7E000000 == 0x34000000 or word & 0xFF000010 == 0x54000000:  # CBZ, CBNZ, B.cond
        return place + _INSTRUCTION * _signed(word >> 5, 19)
    if word & 0x7E000000 == 0x36000000:  # TBZ, TBNZ
        return place + _INSTRUCTION * _signed(word >> 5, 14)
    return None


def _signed(word: int, bits: int) -> int:
    sign = 1 << bits - 1
    return ((word & (1 << bits) - 1) ^ sign) - sign


class _Follower:
    """Follows the value: where it is, and which of its bits."""

    def __init__(self, register: int, mask: int) -> None:
        self._registers: dict[int, _Part] = {register: _Part(mask)}
        self._stack: dict[int, _Part] = {}
        self._flags: _Compared | None = None
        self._statuses: set[int] = set()
        """The registers that contain the status of an exclusive store."""

    def retries(self, word: int) -> bool:
        """Return whether an instruction is a branch on the status of an exclusive store."""
        return word & 0x7E000000 == 0x34000000 and word & 31 in self._statuses

    def decides(self, word: int) -> Condition | None:
        """Return the condition for which a branch on the value is taken; None for every other instruction."""
        if word & 0x7E000000 == 0x34000000:  # CBZ, CBNZ
            part = self._registers.get(word & 31)
            return None if part is None else Condition(part.mask, 0, bool(word >> 24 & 1))
        if word & 0x7E000000 == 0x36000000:  # TBZ, TBNZ
            part = self._registers.get(word & 31)
            bit = 1 << ((word >> 31 & 1) << 5 | word >> 19 & 31)
            if part is None or not (bit << part.shift) & part.mask:
                return None
            return Condition(bit << part.shift, bit << part.shift if word >> 24 & 1 else 0)
        if word & 0xFF000010 == 0x54000000 and self._flags is not None and word & 15 in (_EQ, _NE):
            part = self._flags.part
            return Condition(part.mask, self._flags.value << part.shift & MASK64, bool(word & 1))
        return None

    def execute(self, word: int) -> None:
        """Follow the value through an instruction that is not a branch."""
        source = self._registers.get(word >> 5 & 31)
        if word & 0x1F800000 == 0x12000000:  # AND, ORR, EOR, ANDS (immediate)
            self._logical(word, source)
        elif word & 0x7F800000 == 0x53000000 or word & 0xFFC00000 == 0xD3400000:  # UBFM: LSR, UBFX, UXTB, UXTH
            self._put(word & 31, None if source is None else _field(source, word >> 16 & 63, word >> 10 & 63))
        elif word & 0x7FE0FFE0 == 0x2A0003E0:  # MOV (register)
            self._put(word & 31, self._registers.get(word >> 16 & 31))
        elif word & 0x7F80001F == 0x7100001F:  # CMP (immediate)
            shift = 12 if word >> 22 & 1 else 0
            self._flags = None if source is None else _Compared(source, (word >> 10 & 0xFFF) << shift)
        elif word & 0x7FE0FC1F == 0x6A00001F and word >> 16 & 31 == word >> 5 & 31:  # TST of a register with itself
            self._flags = None if source is None else _Compared(source)
        elif word & 0xFFFFF01F == 0xD503201F or word & 0xFFFFF01F == 0xD503301F:  # hints and barriers
            pass
        elif word & _EXCLUSIVE_STORE_MASK == _EXCLUSIVE_STORE:
            self._put(word >> 16 & 31, None)
            self._statuses.add(word >> 16 & 31)
        else:
            self._transfer(word)

    def _put(self, register: int, part: _Part | None) -> None:
        self._statuses.discard(register)
        if part is None or register == _ZERO:
            self._registers.pop(register, None)
        else:
            self._registers[register] = part

    def _logical(self, word: int, source: _Part | None) -> None:
        operation, mask = word >> 29 & 3, _bitmask(word)
        part = None
        if source is not None and mask is not None and operation in (0, 3):
            part = _Part(source.mask & mask << source.shift, source.shift)
        if operation == 3:
            self._flags = None if part is None else _Compared(part)
        self._put(word & 31, part)

    def _transfer(self, word: int) -> None:
        access = decode_load_store(word)
        if not isinstance(access, LoadStore):
            # Most instructions have their result there.
            self._put(word & 31, None)
            if word & 0x1F000000 == 0x0B000000 or word & 0x3F000000 == 0x31000000:
                self._flags = None
            return
        for transfer in access.transfers:
            if transfer.vector:
                continue
            slot = None if access.base != SP or access.offset is None else access.offset + transfer.offset
            if access.is_load:
                self._put(transfer.register, None if slot is None else self._stack.get(slot))
            elif slot is not None:
                part = self._registers.get(transfer.register)
                if part is None:
                    self._stack.pop(slot, None)
                else:
                    self._stack[slot] = part


def _field(source: _Part, rotate: int, last: int) -> _Part | None:
    """Return bits ``last`` to ``rotate``, shifted down; None for a shift to the left."""
    if last < rotate:
        return None
    mask = (1 << last - rotate + 1) - 1
    shift = source.shift + rotate
    return _Part(source.mask & mask << shift, shift)


def _bitmask(word: int) -> int | None:
    """Return the immediate of a logical instruction (DDI 0487, shared/functions/common/DecodeBitMasks)."""
    wide, n, rotate, ones = word >> 31 & 1, word >> 22 & 1, word >> 16 & 63, word >> 10 & 63
    length = (n << 6 | ~ones & 63).bit_length() - 1
    if length < 1 or (n and not wide):
        return None
    size = 1 << length
    count, rotate = ones & size - 1, rotate & size - 1
    if count == size - 1:
        return None
    element = (1 << count + 1) - 1
    element = (element >> rotate | element << size - rotate) & (1 << size) - 1
    mask = 0
    for place in range(0, 64, size):
        mask |= element << place
    return mask if wide else mask & _MASK32
