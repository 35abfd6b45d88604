"""Implements watchpoints with stubs in place of the engine's empty functions.

The engine's core is prepared for watchpoints: when it fills a TLB entry it calls ``cpu_watchpoint_address_matches`` for
the page, and if that returns true, each access through the entry calls ``cpu_check_watchpoint`` first. When a guest
writes DBGWVR<n>_EL1 or DBGWCR<n>_EL1, it calls ``cpu_watchpoint_insert`` and ``cpu_watchpoint_remove_by_ref``, and it
knows when a watchpoint is enabled (``arm_debug_check_watchpoint``). Only the list of watchpoints is missing: these four
functions are empty. The stubs (``watchpoint_code``) keep such a list for each engine, of the guest's watchpoints and of
a debugger's ranges (``watchpoints``). Pages without one cost nothing. An access that hits leaves the translated code in
the engine's own way for exceptions, before it has any effect.

The engine keeps a list of breakpoints, but a saved state contains their addresses in it, which may be stale when it is
loaded again. So each change of one updates them all.

Two more stubs, which only a debugger needs, record the block of code that was left.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.engine import watchpoint_code
from arm_vcpu_cli.engine.interposition import interpose
from arm_vcpu_cli.engine.unicorn_api import WORD, keep, library_function
from arm_vcpu_cli.record import Record

_RAISE, _FLUSH, _UPDATE_ALL = "raise_exception_aarch64", "tlb_flush_aarch64", "hw_breakpoint_update_all_aarch64"
_RESTORE, _LOOKUP = "cpu_restore_state_aarch64", "tcg_tb_lookup_aarch64"
_IS_ENABLED: Final = "arm_debug_check_watchpoint_aarch64"
_STUBS: Final = MappingProxyType(
    {
        "cpu_watchpoint_address_matches_aarch64": watchpoint_code.MATCHES,
        "cpu_check_watchpoint_aarch64": watchpoint_code.CHECK,
        "cpu_watchpoint_insert_aarch64": watchpoint_code.INSERT,
        "cpu_watchpoint_remove_by_ref_aarch64": watchpoint_code.REMOVE,
        "cpu_watchpoint_remove_all_aarch64": watchpoint_code.REMOVE_ALL,
        "cpu_breakpoint_insert_aarch64": watchpoint_code.BREAKPOINT_INSERT,
        "hw_breakpoint_update_aarch64": watchpoint_code.BREAKPOINT_UPDATE,
    }
)
_BLOCK_STUBS: Final = MappingProxyType({_RESTORE: watchpoint_code.RESTORE, _LOOKUP: watchpoint_code.LOOKUP})

HIT: Final = 30
"""An exception number that the engine does not use."""

RANGES: Final = 128
"""The maximum number of ranges of an engine."""
(
    COUNT,
    PSTATE,
    OS_LOCK,
    PC,
    BLOCK_WORDS,
    PASSING,
    PASSING_PC,
    PASSING_AT,
    FAULT_ADDRESS,
    ADDRESS,
    SIZE,
    KIND,
    RANGE,
    CODE_ADDRESS,
    BLOCK,
) = range(15)
"""The words of an engine: the number of its ranges; the places of PSTATE, OSLSR_EL1 and the PC in its state; the words
of its block stub. ``PASSING`` is 1 to let the first hit at ``PASSING_PC`` pass, by the instruction that hit last. It
must come within 1024 instructions after ``-PASSING_AT``, the time before it. Then it becomes 2, and the other the time
at the end of its block, which no other execution of the instruction has. ``FAULT_ADDRESS`` is the place of an
exception's fault address. ``ADDRESS``, ``SIZE``, ``KIND`` (a store: & 0xAA is not 0) and ``RANGE`` (its place) describe
the last hit. ``CODE_ADDRESS`` and ``BLOCK`` are the place where the translated code was last left. The rest up to the
ranges are internal to the stubs, except four. ``PASSING_EARLY``: whether only hits of early ranges pass. ``USED``:
whether the guest has enabled a watchpoint or a breakpoint. ``SYNDROME`` is the place of the exception record in the
state, 32 bits each of syndrome and, :data:`TARGET_EL_AT` bytes on, target EL; ``RECORD`` is what a hit has overwritten
there."""
TARGET_EL_AT: Final = 16
PASSING_EARLY, USED, SYNDROME, RECORD = 17, 20, 22, 23
FIRST_RANGE: Final = 24
RANGE_WORDS: Final = 4
"""The words of a range: its first and last byte; the accesses that count; 1 for an early one. Bit 2n of the accesses is
for loads at ELn, the next one for stores."""
WATCHPOINT_WORDS: Final = 5
"""The words of a guest's watchpoint, after the ranges, in the engine's form: address, size, address of the hit,
attributes and flags, unused. It is free if the size is 0."""
WATCHPOINTS: Final = 16
WORDS: Final = FIRST_RANGE + RANGES * RANGE_WORDS + WATCHPOINTS * WATCHPOINT_WORDS
_ENTRIES: Final = 64
_FREE: Final = 1


class StubRange(Record):
    """A range in the stub's form; see :data:`RANGE_WORDS`."""

    first: int
    last: int
    accesses: int
    early: bool = False


class Table:
    """The table that the stubs search: pairs of an engine's state and its words. A state of 0 marks the end."""

    def __init__(self) -> None:
        self._memory = (ctypes.c_uint64 * (2 * _ENTRIES + 2))(*([_FREE, 0] * _ENTRIES))
        self._unused = list(range(_ENTRIES))
        keep(self._memory)

    @property
    def address(self) -> int:
        """The address of the table."""
        return ctypes.addressof(self._memory)

    def take(self, state: int) -> Words | None:
        """Return words for the engine whose state is at this address; None if all entries are taken."""
        if not self._unused:
            return None
        number = self._unused.pop()
        words = Words(self, number)
        self._memory[2 * number + 1] = words.address
        self._memory[2 * number] = state
        return words

    def give_back(self, number: int) -> None:
        """Free the entry of an engine that is gone."""
        self._memory[2 * number : 2 * number + 2] = [_FREE, 0]
        self._unused.append(number)


class Words:
    """The words of one engine, by the numbers above."""

    def __init__(self, table: Table, number: int) -> None:
        self._memory = (ctypes.c_uint64 * WORDS)()
        self.words = memoryview(self._memory).cast("B").cast("Q")
        self._table = table
        self._number = number

    @property
    def address(self) -> int:
        """The address of the words."""
        return ctypes.addressof(self._memory)

    def set_ranges(self, ranges: Sequence[StubRange]) -> None:
        """Replace all ranges by these."""
        for number, each in enumerate(ranges):
            at = FIRST_RANGE + number * RANGE_WORDS
            self.words[at], self.words[at + 1], self.words[at + 3] = each.first, each.last, each.early
            self.words[at + 2] = each.accesses
        self.words[COUNT] = len(ranges)

    def hit_early(self) -> bool:
        """Whether the range hit last is an early one."""
        return bool(ctypes.c_uint64.from_address(self.words[RANGE] + 3 * WORD).value)

    def give_back(self) -> None:
        """Free the words of an engine that is gone."""
        self._table.give_back(self._number)


@cache
def watchpoint_table() -> Table | None:
    """Return the table of this process; None if watchpoints are impossible. The first call redirects the functions."""
    names = _RESTORE, _RAISE, _IS_ENABLED, _FLUSH, _UPDATE_ALL
    functions = [function for function in map(library_function, names) if function is not None]
    if len(functions) < len(names):
        return None
    table = Table()
    return None if interpose(_STUBS, (table.address, *functions)) is None else table


@cache
def notes_blocks() -> bool:
    """Record the blocks that are left from now on; return whether that is possible."""
    table = watchpoint_table()
    return table is not None and interpose(_BLOCK_STUBS, (table.address,)) is not None
