"""A guest that waits for memory to change, such as a flag or a lock: the address and the awaited value."""

from __future__ import annotations

from functools import partial
from typing import Final

from arm_vcpu_cli.arch.instructions.conditions import Condition, awaited_condition
from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import SP, LoadStore, Unemulated
from arm_vcpu_cli.arm_vcpu.context_frame import INSTRUCTION_SIZE, LINK_REGISTER
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.memory_words import word_at
from arm_vcpu_cli.inspect.postmortem.poll_advice import NEAR, in_bits, is_in_loop
from arm_vcpu_cli.inspect.postmortem.storm_advice import is_in_interrupt_handler
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.diagnosis import with_symbol
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.watch.loops import Loop

_SIZE_SHIFT: Final = 30
_REGISTER: Final = 31
_BASE_SHIFT, _OLD_SHIFT = 5, 16
_SINGLE_EXCLUSIVE_MASK: Final = 0x3FE00000
_SINGLE_EXCLUSIVE_LOAD: Final = 0x08400000
_SWAP_MASK: Final = 0x3F20FC00
_SWAP: Final = 0x38208000
_COMPARE_MASK: Final = 0x3FA07C00
_COMPARE: Final = 0x08A07C00
"""CAS, whose first register receives the old value."""


class _Load(Record):
    """A load of ``size`` bytes to ``register``, from the address in ``base``."""

    register: int
    size: int
    base: int


def memory_poll(machine: Machine, loop: Loop | None) -> Advice | None:
    """Advice on the current CPU; ``loop`` is the loop that it executes, if that only reads."""
    if loop is not None:
        said = what_is_read(machine, loop)
        return None if said is None else Advice(said, _step(machine) if is_in_interrupt_handler(machine) else "")
    pc = machine.current.arch.ctx.elr
    for place in range(pc - NEAR, pc + NEAR, INSTRUCTION_SIZE):
        word = word_at(machine, place)
        load = None if word is None else _changing_load(word)
        if load is not None and is_in_loop(machine, pc, place):
            return _lock(machine, place, load)
    return None


def what_is_read(machine: Machine, loop: Loop) -> str | None:
    """A sentence on the memory that a loop reads forever; None if it may end, or does not wait for memory."""
    if loop.watched is None:
        return None
    address, place = loop.watched.address, loop.watched.loaded_at
    word = word_at(machine, place)
    load = None if word is None else _changing_load(word) or _plain_load(word)
    awaited = "" if load is None else _awaited(machine, place, address, load)
    if awaited is None:
        return None
    return f"The guest reads {with_symbol(machine, address)} over and over at {with_symbol(machine, place)}{awaited}."


def _lock(machine: Machine, place: int, load: _Load) -> Advice | None:
    """A loop around an exclusive or atomic access."""
    frame = machine.current.arch.ctx
    address = frame.sp if load.base == SP else frame.gpr(load.base)
    awaited = _awaited(machine, place, address, load)
    if not awaited:
        return None
    return Advice(
        f"The guest tries over and over to take {with_symbol(machine, address)}, at {with_symbol(machine, place)}"
        f"{awaited}.",
        _step(machine),
    )


def _step(machine: Machine) -> str:
    if is_in_interrupt_handler(machine):
        return "it is in the handler of an interrupt: the code that was interrupted may hold a lock, and must mask that"
    return "if it is a lock, look for the code that takes it and does not release it, or takes it twice"


def _awaited(machine: Machine, place: int, address: int, load: _Load) -> str | None:
    """The awaited change and the present value, as the continuation of a sentence; empty if they are unknown, None if
    the loop has nothing left to wait for."""
    data = machine.core.read_virtual(address, load.size)
    fetch = partial(word_at, machine)
    link = machine.current.arch.ctx.gpr(LINK_REGISTER)
    condition = awaited_condition(fetch, place, load.register, 8 * load.size, link)
    if condition is None or data is None:
        return ""
    value = int.from_bytes(data, "little")
    if _holds(condition, value):
        return None
    return f", and waits for {in_bits('', condition, 8 * load.size)}; it is {value:#x}"


def _holds(condition: Condition, value: int) -> bool:
    return (value & condition.mask == condition.value) is not condition.differs


def _changing_load(word: int) -> _Load | None:
    """The load of an instruction that takes locks: an exclusive one, SWP or CAS."""
    if not isinstance(decode_load_store(word), Unemulated):
        return None
    size, base = 1 << (word >> _SIZE_SHIFT), word >> _BASE_SHIFT & _REGISTER
    if word & _SINGLE_EXCLUSIVE_MASK == _SINGLE_EXCLUSIVE_LOAD or word & _SWAP_MASK == _SWAP:
        return _Load(word & _REGISTER, size, base)
    if word & _COMPARE_MASK == _COMPARE:
        return _Load(word >> _OLD_SHIFT & _REGISTER, size, base)
    return None


def _plain_load(word: int) -> _Load | None:
    found = decode_load_store(word)
    if not isinstance(found, LoadStore) or not found.is_load or len(found.transfers) != 1 or found.transfers[0].vector:
        return None
    return _Load(found.transfers[0].register, found.transfers[0].size, found.base)
