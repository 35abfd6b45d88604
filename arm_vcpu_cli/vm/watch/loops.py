"""A loop that only computes and reads memory, and in which a CPU returns to the state that it had.

It is found by trying out what the CPU would do next, block by block, before any of it really happens, so the guest
notices nothing. Each block is examined before it is executed: one that writes is not executed. A CPU in such a loop
stays in it as long as nobody else writes the memory that it reads, and nothing interrupts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.instructions.inert import is_branch, is_inert
from arm_vcpu_cli.arch.instructions.loadstore import SP, LoadStore, Unemulated, decode_load_store
from arm_vcpu_cli.arm_vcpu.context_frame import INSTRUCTION_SIZE, TrapFrame
from arm_vcpu_cli.arm_vcpu.rehearsal import Rehearsal
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.watch.hang import MOST_BLOCKS, Registers, registers_of

_LONGEST_BLOCK: Final = 512
"""Instructions between two branches, at most."""

Fetch = Callable[[int], int | None]


class Read(Record):
    """A word of memory that a loop reads: the virtual address, and that of the instruction."""

    address: int
    loaded_at: int


class Loop(Record):
    """``place`` is the lowest address at which a block of the loop begins: where the CPU happens to be depends on when
    it is looked at. ``watched`` is what it most likely waits for, None if that is not known."""

    place: int
    watched: Read | None = None


class _Block(Record):
    code: tuple[int, ...]
    reads: tuple[Read, ...]
    exclusive: tuple[Read, ...]


def find_loops(machine: Machine, cpus: Sequence[Cpu], *, all_or_none: bool = False) -> dict[int, Loop]:
    """The loops that these CPUs are in, by number; none for a CPU that does anything else.

    With ``all_or_none`` the first CPU that is in none is the last that is looked at.
    """
    found: dict[int, Loop] = {}
    # The one that the core holds comes first, and is put back there last.
    order = sorted(cpus, key=lambda cpu: cpu is not machine.current)
    if not order:
        return found
    with machine.scheduler.aside(), ExitStack() as undone:
        if order[0] is not machine.current:
            undone.enter_context(Rehearsal(machine.current.arch, machine.core))
        for cpu in order:
            if cpu.core is not machine.core:
                # Another core may have written what this one has cached.
                cpu.core.flush_tlb()
                cpu.core.flush_code()
            loop = _follow(undone.enter_context(Rehearsal(cpu.arch, cpu.core)), cpu)
            if loop is not None:
                found[cpu.index] = loop
            elif all_or_none:
                break
    return found


def _follow(rehearsal: Rehearsal, cpu: Cpu) -> Loop | None:
    frame, fetch = cpu.arch.ctx, cpu.core.fetcher()
    seen: list[Registers] = []
    blocks: list[_Block] = []
    while (registers := registers_of(frame)) not in seen:
        block = None if len(seen) >= MOST_BLOCKS else _look(fetch, frame)
        if block is None:
            return None
        seen.append(registers)
        blocks.append(block)
        if not rehearsal.execute(len(block.code)):
            return None
    first = seen.index(registers)
    return Loop(min(state[0] for state in seen[first:]), _watched(blocks[first:]))


def _look(fetch: Fetch, frame: TrapFrame) -> _Block | None:
    """What a CPU executes next, up to a branch; None if any of it does more than compute and read."""
    code: list[int] = []
    reads: list[Read] = []
    exclusive: list[Read] = []
    written: set[int] = set()
    for place in range(frame.elr, frame.elr + _LONGEST_BLOCK * INSTRUCTION_SIZE, INSTRUCTION_SIZE):
        word = fetch(place)
        if word is None or not is_inert(word):
            return None
        code.append(word)
        access = decode_load_store(word)
        address = None if access is None else _address(access, word, frame, written)
        if address is not None:
            (exclusive if isinstance(access, Unemulated) else reads).append(Read(address, place))
        # Most instructions have their result there; for one that has not, an address is not known that could be.
        written.add(word & 31)
        if isinstance(access, Unemulated):
            written.add(word >> 10 & 31)
        if isinstance(access, LoadStore):
            written.update(transfer.register for transfer in access.transfers)
            written.update(() if access.writeback is None else (access.base,))
        if is_branch(word):
            return _Block(tuple(code), tuple(reads), tuple(exclusive))
    return None


def _address(access: LoadStore | Unemulated, word: int, frame: TrapFrame, written: set[int]) -> int | None:
    """The address of a load whose base register is still what it was when the block was begun."""
    if isinstance(access, LoadStore):
        base, offset = access.base, access.offset
    elif access.kind == "exclusive":
        base, offset = word >> 5 & 31, 0
    else:
        return None
    if offset is None or base in written:
        return None
    return (frame.sp if base == SP else frame.gpr(base)) + offset & MASK64


def _watched(blocks: Sequence[_Block]) -> Read | None:
    """What the loop most likely waits for: what it reads exclusively, since those who do so mean to write it; else what
    it reads last before it goes round again."""
    for reads in (_all(block.exclusive for block in blocks), _all(block.reads for block in blocks)):
        if reads:
            return reads[-1]
    return None


def _all(reads: Iterator[tuple[Read, ...]]) -> list[Read]:
    return [read for some in reads for read in some]
