"""Turns words that the engine's translator gives up on into undefined instructions instead of the end of the process.

The translator has assertions that unallocated words can fail: it prints a line and calls ``abort``. That call is
redirected to a stub (``interposition``). The stub looks up the calling thread in a table, and if a guest runs on it,
leaves the translator through the engine's own function for an undefined instruction. At that point the engine is at the
beginning of the block, of which nothing has been executed. So the block is begun again, while another stub makes the
translator produce blocks of one instruction. The next word that it refuses is a block of its own, and the guest takes
the exception. The translator's message, which would appear in the guest's output, is suppressed.

On hosts that the stub is not written for, the assertion still ends the process.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from functools import cache
from typing import Final

from arm_vcpu_cli.engine import unicorn_api
from arm_vcpu_cli.engine.interposition import interpose
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.engine.unicorn_api import WORD, Engine, keep, library_function

_ABORT, _TRANSLATE, _RAISE = "abort", "tb_gen_code_aarch64", "raise_exception_aarch64"
_PRINT: Final = ("printf", "fprintf")
_ABORT_STUB: Final = bytes.fromhex(
    "64488b042510000000"  # mov rax, fs:[16]
    "488b0d50000000"  # mov rcx, [rip + table]
    "488b11"  # next: mov rdx, [rcx]
    "4839c2"  # cmp rdx, rax
    "740f"  # je found
    "4883c120"  # add rcx, 32
    "4885d2"  # test rdx, rdx
    "75ef"  # jne next
    "ff2529000000"  # jmp [rip + original]
    "48ff4110"  # found: inc qword [rcx + 16]
    "488b7908"  # mov rdi, [rcx + 8]
    "be01000000"  # mov esi, 1
    "ba00000002"  # mov edx, 0x2000000
    "b901000000"  # mov ecx, 1
    "4883e4f0"  # and rsp, -16
    "4883ec08"  # sub rsp, 8
    "ff250c000000"  # jmp [rip + raise]
)
"""It is followed by the original function, the engine's function of (state, exception, syndrome, target EL) that raises
an exception and does not return, and the address of the table."""
_TRANSLATE_STUB: Final = bytes.fromhex(
    "64488b042510000000"  # mov rax, fs:[16]
    "4c8b1530000000"  # mov r10, [rip + table]
    "4d8b1a"  # next: mov r11, [r10]
    "4939c3"  # cmp r11, rax
    "740f"  # je found
    "4983c220"  # add r10, 32
    "4d85db"  # test r11, r11
    "75ef"  # jne next
    "ff2509000000"  # pass: jmp [rip + original]
    "450b4218"  # found: or r8d, [r10 + 24]
    "ebf4"  # jmp pass
)
"""(CPU, PC, base, flags, flags of the translation: the low bits limit the number of instructions in the block, 0 for no
limit)."""
_SAY_NOTHING: Final = bytes.fromhex("31c0c3")  # xor eax, eax; ret

THREAD, _STATE, COUNT, SINGLY = 0, 1, 2, 3
"""The words of an entry: the thread that executes a guest, the engine's state, the number of refused words, and 1 for
blocks of one instruction."""
FREE: Final = 1
"""The entry is free. (0 marks the end of the table.)"""
_ENTRY_WORDS: Final = 4
_ENTRIES: Final = 64
_STRUCTURE: Final = 4096
_STATE_REACH: Final = 0x1_0000
X0_IN_STATE: Final = 64
"""X0 follows the sixteen 32-bit registers of AArch32."""


class Table:
    """The table that the stub searches. Each engine takes an entry, and returns it when it is closed."""

    def __init__(self) -> None:
        self._memory = (ctypes.c_int64 * (_ENTRIES * _ENTRY_WORDS + 1))()
        self._words = memoryview(self._memory).cast("B").cast("q")
        for entry in range(_ENTRIES):
            self._words[entry * _ENTRY_WORDS] = FREE
        self._unused = list(range(_ENTRIES))
        keep(self._memory)

    @property
    def address(self) -> int:
        """The address of the table."""
        return ctypes.addressof(self._memory)

    def take(self, state: int) -> Entry | None:
        """Return an entry for the engine whose state is at this address; None if all are taken."""
        if not self._unused:
            return None
        number = self._unused.pop()
        start = number * _ENTRY_WORDS
        self._words[start : start + _ENTRY_WORDS] = memoryview(struct.pack("qqqq", FREE, state, 0, 0)).cast("q")
        return Entry(self._words[start : start + _ENTRY_WORDS], lambda: self._unused.append(number))


class Entry:
    """The stub's entry for one engine. ``words`` are numbered by :data:`THREAD` and the others."""

    def __init__(self, words: memoryview, unused: Callable[[], None] = lambda: None) -> None:
        self.words = words
        self._unused = unused

    def give_back(self) -> None:
        """Free the entry, because the engine is gone."""
        self.words[THREAD] = FREE
        unused, self._unused = self._unused, lambda: None
        unused()


@cache
def refusals() -> Table | None:
    """Return the table of this process; None if the assertions cannot be caught."""
    raising = library_function(_RAISE)
    if raising is None or state_place() is None:
        return None
    table = Table()
    if interpose({_ABORT: _ABORT_STUB, _TRANSLATE: _TRANSLATE_STUB}, (raising, table.address), again=True) is None:
        return None
    for name in _PRINT:
        interpose({name: _SAY_NOTHING})
    return table


def entry_of(engine: Engine) -> Entry:
    """Return an entry for an engine; it has no effect if the assertions cannot be caught."""
    table, place = refusals(), state_place()
    if table is not None and place is not None:
        pointer, distance = place
        entry = table.take(ctypes.c_uint64.from_address(engine.structure + pointer).value + distance)
        if entry is not None:
            return entry
    return Entry(memoryview(bytearray(_ENTRY_WORDS * WORD)).cast("q"))


def register_address(state: int, layout: StateLayout, offset: int) -> int:
    """Return the address in the core of an offset in its saved state; ``state`` is the address of its registers, 0 to
    get the offset from there."""
    return state + X0_IN_STATE + offset - layout.x0


@cache
def state_place() -> tuple[int, int] | None:
    """Return (offset in the engine's structure of a pointer, distance of the state from its target), None if not
    found."""
    build = known_build()
    return find_state() if build is None else build.state


def find_state() -> tuple[int, int] | None:
    """Find :func:`state_place` by experiment: among all pointers in the structure, the one that leads to two registers
    in the shortest distance. Others may point to objects that happen to lie before the state."""
    engine = Engine("cortex-a72")
    try:
        # Values of its own: the memory of engines that were closed may still hold those of an earlier experiment.
        sought = os.urandom(2 * WORD)
        for number, value in enumerate(struct.unpack("<QQ", sought)):
            engine.write_register(unicorn_api.X[number], value)
        writable = _writable_memory()
        places = []
        for at in range(0, _STRUCTURE, WORD):
            pointer = ctypes.c_uint64.from_address(engine.structure + at).value
            reach = next((end - pointer for start, end in writable if start <= pointer < end), 0)
            found = ctypes.string_at(pointer, min(reach, _STATE_REACH)).find(sought) if reach else -1
            if found >= 0:
                places.append((found - X0_IN_STATE, at))
        distance, pointer = min(places, default=(0, 0))
        return (pointer, distance) if places else None
    finally:
        engine.close()


def _writable_memory() -> list[tuple[int, int]]:
    """Return the process's writable mappings, as far as the system reports them."""
    try:
        with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:  # noqa: PTH123
            lines = maps.read().splitlines()
    except OSError:
        return []
    mappings = (line.split(maxsplit=5) for line in lines)
    places = [each[0].split("-") for each in mappings if each[1].startswith("rw") and "[v" not in each[-1]]
    return [(int(start, 16), int(end, 16)) for start, end in places]
