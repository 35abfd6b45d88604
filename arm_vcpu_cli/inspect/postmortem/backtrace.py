"""Who called whom: the chain of frame records of a stopped guest (AAPCS64, 6.2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.context_frame import FRAME_POINTER, INSTRUCTION_SIZE, LINK_REGISTER
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.vm.diagnosis import vector_failures
from arm_vcpu_cli.vm.machine import Machine

_RECORD_SIZE: Final = 16
_MOST_FRAMES: Final = 1 << 15
"""How far a chain is followed: as far as a stack of 1 MiB goes whose frames are small."""
_MOST_LINES: Final = 64
_LONGEST_CYCLE: Final = 4
"""Functions that call each other in turn; a recursion of more is not folded."""
_LEAST_ROUNDS: Final = 3
"""So many times in a row, or more, the same frames are told once."""


def place(machine: Machine, address: int, *, called_from: bool = False) -> str:
    """An address in full, with symbol and source line where they are known.

    ``called_from``: it is a return address, and the line is that of the call before it.
    """
    symbol = machine.image.symbols.format(address)
    source = machine.image.source(address - INSTRUCTION_SIZE if called_from else address)
    return f"{address:#018x}" + (f" <{symbol}>" if symbol else "") + (f" {source}" if source else "")


def backtrace(machine: Machine) -> Iterator[str]:
    """The chain of frame records from x29, ending at the first that cannot be one; of a recursion only the first
    round, and how often it comes.

    Where the first instruction of a vector could not be executed, what was interrupted stands below it.
    """
    frame = machine.current.arch.ctx
    exceptions = machine.current.arch.el1_exceptions()
    failures = vector_failures(exceptions, machine.current.arch.read_sysreg(lookup("VBAR_EL1")))
    addresses = []
    if failures and frame.elr == exceptions[-1].pc:
        # The vector has changed no register: the frame pointer is still that of the code below it.
        yield f"    {place(machine, frame.elr)} (exception vector)"
        if failures < len(exceptions):
            addresses.append(exceptions[-1 - failures].pc)
    else:
        addresses.append(frame.elr)
    addresses += _callers(machine.core, frame.gpr(FRAME_POINTER), frame.gpr(LINK_REGISTER))
    lines = _folded(machine, addresses)
    yield from islice(lines, _MOST_LINES)
    if next(lines, None) is not None:
        yield f"... and so on, {len(addresses)} frames in all"


def _callers(core: CpuCore, pointer: int, link: int) -> Iterator[int]:
    """Return addresses, the latest first."""
    record = _frame_record(core, pointer)
    if (record is None or record[1] != link) and core.read_virtual(link, INSTRUCTION_SIZE) is not None:
        # A leaf function has made no record of its own; its caller is only in x30, if that still is an address.
        yield link
    for _ in range(_MOST_FRAMES):
        if record is None:
            return
        following, back = record
        if not back:
            return
        yield back
        record = _frame_record(core, following) if following > pointer else None
        pointer = following


def _folded(machine: Machine, addresses: Sequence[int]) -> Iterator[str]:
    number = 0
    while number < len(addresses):
        length, rounds = _cycle(addresses, number)
        for offset, address in enumerate(addresses[number : number + length], number):
            where = place(machine, address, called_from=offset > 0)
            if length == 1 and rounds > 1:
                yield f"#{offset}-#{offset + rounds - 1} {where} ... {rounds} times"
            else:
                yield f"#{offset:<2} {where}"
        number += length * rounds
        if length > 1 and rounds > 1:
            yield f"#{number - length * (rounds - 1)}-#{number - 1} the same {length} frames {rounds - 1} times more"


def _cycle(addresses: Sequence[int], start: int) -> tuple[int, int]:
    """How many frames from ``start`` on come again and again, and how often; (1, 1) for one that does not."""
    for length in range(1, _LONGEST_CYCLE + 1):
        end = start + length
        while end < len(addresses) and addresses[end] == addresses[end - length]:
            end += 1
        rounds = (end - start) // length
        if rounds >= _LEAST_ROUNDS:
            return length, rounds
    return 1, 1


def _frame_record(core: CpuCore, pointer: int) -> tuple[int, int] | None:
    """The frame record at an address: the address of the next one, and the return address."""
    record = core.read_virtual(pointer, _RECORD_SIZE) if pointer and pointer % 8 == 0 else None
    if record is None:
        return None
    return int.from_bytes(record[:8], "little"), int.from_bytes(record[8:], "little")
