"""Finds loops that only compute and read memory, and in which a CPU returns to an earlier state.

The CPU's next blocks are executed on trial, one by one, without any effect on the guest. Each block is examined first,
and one that writes is not executed. A CPU in such a loop stays in it until another CPU writes the memory that it reads,
or an interrupt arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.instructions.inert import is_branch, is_inert
from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import SP, LoadStore, Unemulated
from arm_vcpu_cli.arm_vcpu.context_frame import INSTRUCTION_SIZE, TrapFrame
from arm_vcpu_cli.arm_vcpu.rehearsal import Rehearsal
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.watch.hang import MOST_BLOCKS, Registers, registers_of

_LONGEST_BLOCK: Final = 512
"""The most instructions between two branches."""

Fetch = Callable[[int], int | None]


class Read(Record):
    """A word of memory that a loop reads: its virtual address, and the address of the instruction."""

    address: int
    loaded_at: int


class Loop(Record):
    """``place`` is the lowest address at which a block of the loop begins: unlike the CPU's present place, it does not
    depend on the moment of observation. ``watched`` is the read that it most likely waits on, None if unknown."""

    place: int
    watched: Read | None = None


class _Block(Record):
    code: tuple[int, ...]
    reads: tuple[Read, ...]
    exclusive: tuple[Read, ...]


def find_loops(machine: Machine, cpus: Sequence[Cpu], *, all_or_none: bool = False) -> dict[int, Loop]:
    """The loops of these CPUs, by number; a CPU with any other activity is missing.

    With ``all_or_none`` the search ends at the first CPU without a loop.
    """
    found: dict[int, Loop] = {}
    # The CPU loaded in the core comes first, and is restored last.
    order = sorted(cpus, key=lambda cpu: cpu is not machine.current)
    if not order:
        return found
    with machine.scheduler.aside(), ExitStack() as undone:
        if order[0] is not machine.current:
            undone.enter_context(Rehearsal(machine.current.arch, machine.core))
        for cpu in order:
            if cpu.core is not machine.core:
                # Another core may have written translations that this one has cached.
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
    """The CPU's next instructions, up to a branch; None if any of them does more than compute and read."""
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
        # Most instructions have their result in Rd; for any other, at worst a known address counts as unknown.
        written.add(word & 31)
        if isinstance(access, Unemulated):
            written.add(word >> 10 & 31)
        if isinstance(access, LoadStore):
            written.update(transfer.register for transfer in access.transfers)
            written.update((access.base,) if access.writes_base else ())
        if is_branch(word):
            return _Block(tuple(code), tuple(reads), tuple(exclusive))
    return None


def _address(access: LoadStore | Unemulated, word: int, frame: TrapFrame, written: set[int]) -> int | None:
    """The address of a load whose base register is unchanged since the start of the block."""
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
    """The read that the loop most likely waits on: an exclusive one, which implies an intended write; else the last
    read of an iteration."""
    for reads in (_all(block.exclusive for block in blocks), _all(block.reads for block in blocks)):
        if reads:
            return reads[-1]
    return None


def _all(reads: Iterator[tuple[Read, ...]]) -> list[Read]:
    return [read for some in reads for read in some]
