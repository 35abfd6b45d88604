"""Watchpoints without help from the core: computes the accesses of each instruction before it executes.

While anything is watched, the guest executes one instruction at a time: very slowly, and otherwise unchanged. Accesses
that do not follow from the instruction word are missed: those of SVE, memory copies, and addresses with authentication
codes. If an interrupt is taken in place of the instruction, its access hits twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.instructions.access_extent import Access, accesses_of, is_pair_swap, is_store_exclusive, untagged
from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import SP, LoadStore
from arm_vcpu_cli.arm_vcpu.context_frame import TrapFrame
from arm_vcpu_cli.debug.memory import Memory
from arm_vcpu_cli.engine.port import ExecutionControl, WatchedRange, WatchHit
from arm_vcpu_cli.record import replace
from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.machine import Machine

_INSTRUCTION: Final = 4
_Form = tuple[int, int]
"""(value, mask) of instruction words (DDI 0487, C4.1, "Loads and Stores")."""
_EXCLUSIVE: Final = 0x0800_0000, 0x3F00_0000
"""Exclusive and ordered accesses, of one register or a pair, and compare and swap."""
_COMPARE_AND_SWAP: Final = 0x08A0_0000, 0x3FA0_0000
_ATOMIC: Final = 0x3820_0000, 0x3B20_0C00
_LOAD_ACQUIRE: Final = 0x38A0_C000, 0x3FE0_FC00
"""LDAPR, which is encoded among the atomics."""
_STRUCTURES: Final = 0x0C00_0000, 0xBF20_0000
_LOAD: Final = 1 << 22


class SteppedWatchpoints:
    """The watchpoints of a machine, by virtual address."""

    def __init__(self, machine: Machine, ranges: Sequence[WatchedRange]) -> None:
        self._ranges = [replace(each, address=untagged(each.address)) for each in ranges]
        self._memory = Memory(machine)
        self._directions: dict[int, tuple[bool, bool]] = {}

    def hit(self, cpu: Cpu, control: ExecutionControl) -> WatchHit | None:
        """Return the access to watched memory that the next instruction of a CPU makes, None if it makes none.
        ``control`` is that of its core."""
        frame = cpu.arch.ctx
        word = self._next_word(cpu, control)
        known = self._directions.get(word)
        if known is None:
            known = self._directions[word] = directions(word)
        loads, stores = known
        if not (loads or stores):
            return None
        for address, size in _accesses(word, frame):
            first = untagged(address)
            for number, each in enumerate(self._ranges):
                is_load, is_store = each.reads and loads, each.writes and stores
                if (is_load or is_store) and first <= each.last and first + size - 1 >= each.address:
                    return WatchHit(number, max(first, each.address), not is_load)
        return None

    def _next_word(self, cpu: Cpu, control: ExecutionControl) -> int:
        """Return the next instruction word, 0 (which accesses nothing) if there is none."""
        at, residency = cpu.arch.ctx.elr, cpu.arch.residency
        if residency is not None and residency.here:
            word = control.fetch(at)
            if word is not None:
                return word
        # The instruction is the first on another page, or its vCPU is not on the core.
        fetched = self._memory.read(cpu, at, _INSTRUCTION)
        return int.from_bytes(fetched, "little") if len(fetched) == _INSTRUCTION else 0


def _accesses(word: int, frame: TrapFrame) -> Sequence[Access]:
    """Return the accesses of a load or store, as far as they can be computed."""
    found = accesses_of(word, frame.gpr, frame.sp)
    if found is not None:
        return found
    decoded = decode_load_store(word)
    if isinstance(decoded, LoadStore):
        address = decoded.address(frame.gpr, frame.sp, frame.elr)
        return [] if address is None else [(address + each.offset & MASK64, each.size) for each in decoded.transfers]
    # An exclusive or atomic access.
    base = word >> 5 & 0x1F
    return [(frame.sp if base == SP else frame.gpr(base), 1 << (word >> 30))]


def directions(word: int) -> tuple[bool, bool]:
    """Return whether an instruction loads, and whether it stores, as far as its accesses can be computed."""
    decoded = decode_load_store(word)
    if isinstance(decoded, LoadStore):
        return decoded.is_load, not decoded.is_load
    if is_pair_swap(word) or _is(word, _COMPARE_AND_SWAP):
        return True, True
    if is_store_exclusive(word):
        return False, True
    if _is(word, _EXCLUSIVE) or _is(word, _STRUCTURES):
        return bool(word & _LOAD), not word & _LOAD
    if _is(word, _LOAD_ACQUIRE):
        return True, False
    if _is(word, _ATOMIC):
        return True, True
    is_zeroing = decoded is not None and decoded.kind == "dc zva"
    return False, is_zeroing


def _is(word: int, form: _Form) -> bool:
    value, mask = form
    return word & mask == value
