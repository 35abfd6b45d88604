"""Evaluates conditions of breakpoints as gdb compiles them, which saves a round trip to gdb at each hit.

Source: Debugging with GDB, appendix F, "The GDB Agent Expression Mechanism".
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64

_MOST_STEPS: Final = 10_000
_MOST_VALUES: Final = 256
_SIGN: Final = 1 << 63

ReadRegister = Callable[[int], int]
"""Returns the value of a register by its number; raises KeyError if there is none."""
ReadMemory = Callable[[int, int], bytes]
"""Returns memory at an address, fewer bytes where the rest is not mapped."""


class ExpressionError(Exception):
    """The expression cannot be evaluated: it is invalid, or it reads an absent register or unmapped memory."""


def evaluate(code: bytes, read_register: ReadRegister, read_memory: ReadMemory) -> int:
    """Return the 64-bit value of an expression. Raises :class:`ExpressionError`."""
    try:
        return _Machine(code, read_register, read_memory).run()
    except (IndexError, KeyError, ZeroDivisionError) as error:
        raise ExpressionError(str(error)) from error


def _signed(value: int) -> int:
    return value - (1 << 64) if value & _SIGN else value


def _quotient(first: int, second: int) -> int:
    """Divide as C does, rounding towards zero."""
    magnitude = abs(first) // abs(second)
    return magnitude if (first < 0) == (second < 0) else -magnitude


def _shifted_right(first: int, second: int) -> int:
    return first >> min(second, 64)


_BINARY: Final[Mapping[int, Callable[[int, int], int]]] = MappingProxyType(
    {
        0x02: operator.add,
        0x03: operator.sub,
        0x04: operator.mul,
        0x05: lambda first, second: _quotient(_signed(first), _signed(second)),
        0x06: operator.floordiv,
        0x07: lambda first, second: _signed(first) - _signed(second) * _quotient(_signed(first), _signed(second)),
        0x08: operator.mod,
        0x09: lambda first, second: first << second if second < 64 else 0,
        0x0A: lambda first, second: _shifted_right(_signed(first), second),
        0x0B: _shifted_right,
        0x0F: operator.and_,
        0x10: operator.or_,
        0x11: operator.xor,
        0x13: operator.eq,
        0x14: lambda first, second: _signed(first) < _signed(second),
        0x15: operator.lt,
    }
)
_REFERENCES: Final[Mapping[int, int]] = MappingProxyType({0x17: 1, 0x18: 2, 0x19: 4, 0x1A: 8})
_CONSTANTS: Final[Mapping[int, int]] = MappingProxyType({0x22: 1, 0x23: 2, 0x24: 4, 0x25: 8})
_LOG_NOT, _BIT_NOT, _EXT, _IF_GOTO, _GOTO, _REGISTER = 0x0E, 0x12, 0x16, 0x20, 0x21, 0x26
_END, _DUP, _POP, _ZERO_EXT, _SWAP, _PICK, _ROT = 0x27, 0x28, 0x29, 0x2A, 0x2B, 0x32, 0x33


class _Machine:
    """A stack and the position in the code."""

    def __init__(self, code: bytes, read_register: ReadRegister, read_memory: ReadMemory) -> None:
        self._code = code
        self._read_register = read_register
        self._read_memory = read_memory
        self._at = 0
        self._stack: list[int] = []

    def run(self) -> int:
        for _ in range(_MOST_STEPS):
            operation = self._operand(1)
            if operation == _END:
                return self._stack.pop()
            self._execute(operation)
            if len(self._stack) > _MOST_VALUES:
                break
        raise ExpressionError("it takes too long")

    def _operand(self, size: int) -> int:
        """Read the next ``size`` bytes of the code, big-endian."""
        self._at += size
        if self._at > len(self._code):
            raise IndexError("the code has no end")
        return int.from_bytes(self._code[self._at - size : self._at], "big")

    def _push(self, value: int) -> None:
        self._stack.append(value & MASK64)

    def _execute(self, operation: int) -> None:
        stack = self._stack
        if operation in _BINARY:
            second, first = stack.pop(), stack.pop()
            self._push(_BINARY[operation](first, second))
        elif operation in _CONSTANTS:
            self._push(self._operand(_CONSTANTS[operation]))
        elif operation in _REFERENCES:
            self._push(self._load(stack.pop(), _REFERENCES[operation]))
        elif operation == _REGISTER:
            self._push(self._read_register(self._operand(2)))
        elif operation in (_IF_GOTO, _GOTO):
            place = self._operand(2)
            if operation == _GOTO or stack.pop():
                self._at = place
        else:
            self._rearrange(operation)

    def _rearrange(self, operation: int) -> None:
        stack = self._stack
        if operation == _LOG_NOT:
            self._push(not stack.pop())
        elif operation == _BIT_NOT:
            self._push(~stack.pop())
        elif operation in (_EXT, _ZERO_EXT):
            bits = self._operand(1)
            value = stack.pop() & ((1 << bits) - 1)
            is_negative = operation == _EXT and bits and value >> (bits - 1)
            self._push(value - (1 << bits) if is_negative else value)
        elif operation == _DUP:
            stack.append(stack[-1])
        elif operation == _POP:
            stack.pop()
        elif operation == _SWAP:
            stack[-1], stack[-2] = stack[-2], stack[-1]
        elif operation == _PICK:
            stack.append(stack[-1 - self._operand(1)])
        elif operation == _ROT:
            stack[-3:] = [stack[-1], stack[-3], stack[-2]]
        else:
            raise ExpressionError(f"operation {operation:#x}")

    def _load(self, address: int, size: int) -> int:
        data = self._read_memory(address, size)
        if len(data) < size:
            raise ExpressionError(f"no memory at {address:#x}")
        return int.from_bytes(data, "little")


def condition_codes(text: bytes) -> tuple[bytes, ...]:
    """Return the expressions that follow the length in ``Z0`` and ``Z1``: ``X9,hex`` one after the other, possibly
    followed by commands. Raises ValueError."""
    found = []
    while text.startswith(b"X"):
        size, comma, rest = text[1:].partition(b",")
        digits = 2 * int(size, 16)
        if not comma or len(rest) < digits:
            raise ValueError("the condition is cut short")
        found.append(bytes.fromhex(rest[:digits].decode("ascii")))
        text = rest[digits:].removeprefix(b";")
    return tuple(found)
