"""Watchpoints on one engine: the watched ranges, and the handling of hits.

The stubs (``watchpoint_stubs``) check every access to memory. A trapped device has no TLB entry, so its accesses are
detected in the hook for exceptions.

A hit is in the middle of a block, of which all instructions have been counted. The remaining ones are deducted, and
counted again when the guest continues: the counts are those of a run without watchpoints.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.instructions.access_extent import Access, accesses_of, is_pair_swap, is_store_exclusive, untagged
from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass, decode_data_abort
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.engine.port import ExceptionHook, HitHandler, StopReason, WatchedRange, WatchHit
from arm_vcpu_cli.engine.stubs import BlockWords
from arm_vcpu_cli.engine.switched_hooks import WATCHPOINT
from arm_vcpu_cli.engine.unicorn_api import Engine
from arm_vcpu_cli.engine.watchpoint_stubs import (
    ADDRESS,
    BLOCK,
    BLOCK_WORDS,
    KIND,
    PASSING,
    PASSING_AT,
    PASSING_EARLY,
    PASSING_PC,
    PC,
    RANGES,
    RECORD,
    SIZE,
    SYNDROME,
    TARGET_EL_AT,
    StubRange,
    Words,
)
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.record import replace

_READS, _WRITES = 0b0101, 0b1010
"""Loads and stores at EL0 and EL1, in the form of a range."""
_ANY_STORE: Final = 0xAA
_BLOCK_SIZE: Final = 0x14
"""Offset of the size of an engine's block, 16 bits in bytes; its PC is at 0."""
_INSTRUCTION: Final = 4
_U32: Final = (1 << 32) - 1
_PASSES_WITHIN: Final = 1024
_EL2: Final = 2
_DATA_ABORT: Final = int(ExceptionClass.DATA_ABORT_LOWER)
_MOST: Final = RANGES // 2
_PAIR, _HALF = 16, 4
_BUDGET, _BASE = 0, 3
"""Words of the block stub, by number."""
_BUDGET_BITS: Final = MASK64 >> 1


class _Control(Protocol):
    """The control that stops the guest in the middle of blocks: ``unfinished`` instructions of one are counted and not
    executed. ``apart``: the engine stops after each exception, including watchpoints."""

    unfinished: int
    apart: bool


class Watchpoints:
    """The watchpoints of one engine. ``saver`` returns a function that saves the engine's state into ``state``; ``use``
    sets a function that wraps the vCPU's exception hook; ``stop`` stops the engine. ``control`` returns the control
    that executes the rest of a block later, if there is one."""

    def __init__(
        self,
        engine: Engine,
        taken: Words,
        counts: BlockWords,
        state: CpuState,
        saver: Callable[[CpuState], Callable[[], object]],
        use: Callable[[Callable[[ExceptionHook], ExceptionHook] | None], None],
        stop: Callable[[], None],
        control: Callable[[], _Control | None],
    ) -> None:
        self._taken = taken
        self._words = words = taken.words
        self._counts = memoryview(counts).cast("B").cast("q")
        self._state = state
        self._save = saver(state)
        self._use = use
        self._stop_engine = stop
        self._control = control
        self._stopping = False
        self._fetch = engine.fetcher()
        self._ranges: tuple[WatchedRange, ...] = ()
        self._hit: HitHandler = _nobody
        self._pc = ctypes.c_uint64.from_address(words[PC])
        self._syndrome = ctypes.c_uint32.from_address(words[SYNDROME])
        self._target_el = ctypes.c_uint32.from_address(words[SYNDROME] + TARGET_EL_AT)
        words[BLOCK_WORDS] = ctypes.addressof(counts)

    def set(self, ranges: Sequence[WatchedRange], hit: HitHandler) -> None:
        """Watch these ranges only. The TLB must be emptied."""
        if len(ranges) > _MOST:
            raise EngineError(f"{len(ranges)} watchpoints: at most {_MOST}")
        ranges = [replace(each, address=untagged(each.address)) for each in ranges]
        found = [each for watched in ranges for each in _stub_ranges(watched)]
        if self._words[PASSING] and not set(self._ranges) <= set(ranges):
            self._words[PASSING] = 0
        self._ranges = tuple(ranges)
        self._hit = hit
        self._taken.set_ranges(found)
        self._use(self._watching if ranges else None)

    def ended(self, reason: StopReason) -> StopReason:
        """Return why a run has ended, if the engine was stopped for that reason or for a hit."""
        stopping, self._stopping = self._stopping, False
        return StopReason.WATCHPOINT if stopping and reason is StopReason.STOP else reason

    def _watching(self, hook: ExceptionHook) -> ExceptionHook:
        def on_exception(kind: int) -> None:
            if kind == WATCHPOINT:
                self._on_hit()
            elif kind or not self._stops_at_abort():
                hook(kind)

        return on_exception

    # Memory ----------------------------------------------------------------------------------------------------

    def _on_hit(self) -> None:
        words = self._words
        # This is not an exception of the guest, whose last one is still in the core's record.
        self._syndrome.value, self._target_el.value = words[RECORD] & _U32, words[RECORD] >> 32
        left = self._take_off()
        self._save()
        stores = bool(words[KIND] & _ANY_STORE)
        word = self._fetch(self._pc.value) or 0
        accesses = self._accesses(word)
        words[PASSING_EARLY] = accesses is None and self._taken.hit_early()
        if accesses is None:
            accesses = [(words[ADDRESS], words[SIZE])]
        # The engine loads before a conditional store. Architecturally, an exclusive one only stores.
        loads = is_pair_swap(word) or not (stores or is_store_exclusive(word))
        stores = stores or is_pair_swap(word) or is_store_exclusive(word)
        hit = self._hit_among(accesses, loads=loads, stores=stores)
        # None: the engine accesses more than the instruction does when that crosses a page, or the range is early.
        stops = hit is not None and self._hit(hit)
        if stops:
            self._stop()
        control = self._control()
        if control is not None and (stops or control.apart):
            # The block is not begun again: its rest executes as a block that is counted.
            self._counts[_BUDGET] -= left
            control.unfinished = left

    def _stop(self) -> None:
        self._stopping = True
        self._stop_engine()

    def _take_off(self) -> int:
        """Deduct the rest of the block from the count, and let the instruction at the PC pass the next time.

        Returns the number deducted.
        """
        words, pc = self._words, self._pc.value
        left = self.left(pc)
        self._counts[_BUDGET] += left
        words[PASSING_PC], words[PASSING_AT], words[PASSING] = pc, self._moment(), 1
        return left

    def _moment(self) -> int:
        """Return the instructions counted, negated, as the stub computes them."""
        counts = self._counts
        return (counts[_BUDGET] & _BUDGET_BITS) - counts[_BASE] & MASK64

    def left(self, pc: int) -> int:
        """Return the number of unexecuted instructions in the block that was left last."""
        block = self._words[BLOCK]
        if not block:
            return 0
        start, size = ctypes.c_uint64.from_address(block).value, ctypes.c_uint16.from_address(block + _BLOCK_SIZE).value
        return (start + size - pc) // _INSTRUCTION if start <= pc < start + size else 0

    # Devices ---------------------------------------------------------------------------------------------------

    def _stops_at_abort(self) -> bool:
        """Return whether the exception is an access to a watched range before which the guest is to stop."""
        self._save()
        state = self._state
        layout = state.layout
        esr = state.u32[layout.syndrome // 4]
        if state.u32[layout.target_el // 4] != _EL2 or esr >> EC_SHIFT != _DATA_ABORT:
            return False
        abort = decode_data_abort(esr)
        if abort.stage1_walk or abort.cache_maintenance:
            return False
        if self._passes(state.u64[layout.pc // 8]):
            return False
        accesses = self._accesses(self._fetch(state.u64[layout.pc // 8]))
        if accesses is None:
            accesses = [(untagged(state.u64[layout.fault_address // 8]), abort.size if abort.valid else 1)]
        hit = self._hit_among(accesses, loads=not abort.is_write, stores=abort.is_write)
        if hit is None:
            return False
        left = self._take_off()
        stops = self._hit(hit)
        control = self._control()
        if stops:
            self._stop()
            if control is not None:
                control.unfinished = left
        else:
            self._words[PASSING] = 0
        if not stops or control is not None:
            self._counts[_BUDGET] -= left
        return stops

    def _passes(self, pc: int) -> bool:
        words = self._words
        if words[PASSING] != 1 or words[PASSING_PC] != pc:
            return False
        words[PASSING] = 0
        return words[PASSING_AT] - self._moment() & MASK64 <= _PASSES_WITHIN

    def _accesses(self, word: int | None) -> Sequence[Access] | None:
        u64, layout = self._state.u64, self._state.layout
        x0 = layout.x0 // 8
        found = None if word is None else accesses_of(word, lambda number: u64[x0 + number], u64[layout.sp // 8])
        return found and [(untagged(address), size) for address, size in found]

    def _hit_among(self, accesses: Sequence[Access], *, loads: bool, stores: bool) -> WatchHit | None:
        for address, size in accesses:
            for number, each in enumerate(self._ranges):
                is_load, is_store = each.reads and loads, each.writes and stores
                if (is_load or is_store) and address <= each.last and address + size - 1 >= each.address:
                    return WatchHit(number, max(address, each.address), not is_load)
        return None


def _stub_ranges(watched: WatchedRange) -> Iterator[StubRange]:
    """Yield the range in the stub's form, and an early one if the engine could store half a pair before it hits.

    Conditional stores of a pair load both halves, compare, and store both. If the watched range begins in the upper
    half, half of the pair would be stored at the hit, and another comparison would fail.
    """
    first = watched.address
    yield StubRange(first, watched.last, (_READS if watched.reads else 0) | (_WRITES if watched.writes else 0))
    if watched.writes and first % _PAIR >= _HALF:
        yield StubRange(first & -_PAIR, (first & -_HALF) - 1, _READS, early=True)


def _nobody(_hit: WatchHit) -> bool:
    return False
