"""The call chain: the frame records of a stopped guest (AAPCS64, 6.2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from arm_vcpu_cli.arm_vcpu.byte_order import data_order
from arm_vcpu_cli.arm_vcpu.context_frame import FRAME_POINTER, INSTRUCTION_SIZE, LINK_REGISTER
from arm_vcpu_cli.vm.diagnosis import interrupted_by, vector_base, vector_failures
from arm_vcpu_cli.vm.machine import Machine

_RECORD_SIZE: Final = 16
_MOST_FRAMES: Final = 1 << 15
"""The longest chain followed: enough for a 1 MiB stack of small frames."""
_MOST_LINES: Final = 64
_LONGEST_CYCLE: Final = 4
"""The longest cycle of mutually recursive functions that is folded."""
_LEAST_ROUNDS: Final = 3
"""Frames that repeat at least this many times in a row are printed once."""


def place(machine: Machine, address: int, *, called_from: bool = False) -> str:
    """An address with its symbol and source line where these are known.

    With ``called_from`` the address is a return address, and the line is that of the call before it.
    """
    symbol = machine.image.symbols.format(address)
    source = machine.image.source(address - INSTRUCTION_SIZE if called_from else address)
    return f"{address:#018x}" + (f" <{symbol}>" if symbol else "") + (f" {source}" if source else "")


def backtrace(machine: Machine) -> Iterator[str]:
    """The chain of frame records from x29, up to the first invalid one; a recursion is shown as its first round and a
    repeat count.

    If the first instruction of a vector failed, the interrupted code follows below it.
    """
    frame = machine.current.arch.ctx
    vectors = vector_base(machine)
    exceptions = machine.current.arch.exception_chain().exceptions
    failures = vector_failures(exceptions, vectors)
    addresses = []
    if failures and frame.elr == exceptions[-1].pc:
        # The vector has changed no register: the frame pointer is still that of the code below it.
        yield f"    {place(machine, frame.elr)} (exception vector)"
        if failures < len(exceptions):
            addresses.append(exceptions[-1 - failures].pc)
        elif interrupted_by(exceptions[0], vectors) is not None:
            addresses.append(exceptions[0].elr)
    else:
        addresses.append(frame.elr)
    addresses += _callers(machine, frame.gpr(FRAME_POINTER), frame.gpr(LINK_REGISTER))
    lines = _folded(machine, addresses)
    yield from islice(lines, _MOST_LINES)
    if next(lines, None) is not None:
        yield f"... and so on, {len(addresses)} frames in all"


def _callers(machine: Machine, pointer: int, link: int) -> Iterator[int]:
    """The return addresses, most recent first."""
    record = _frame_record(machine, pointer)
    if (record is None or record[1] != link) and machine.core.read_virtual(link, INSTRUCTION_SIZE) is not None:
        # A leaf function has no frame record; only x30 identifies its caller, if it still holds a return address.
        yield link
    yield from frame_chain(machine, pointer)


def frame_chain(machine: Machine, pointer: int) -> Iterator[int]:
    """The return addresses in the frame records from ``pointer`` on, most recent first; each record lies above the
    previous one."""
    record = _frame_record(machine, pointer)
    for _ in range(_MOST_FRAMES):
        if record is None:
            return
        following, back = record
        if not back:
            return
        yield back
        record = _frame_record(machine, following) if following > pointer else None
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
    """The number of frames from ``start`` on that repeat, and how often; (1, 1) if nothing repeats."""
    for length in range(1, _LONGEST_CYCLE + 1):
        end = start + length
        while end < len(addresses) and addresses[end] == addresses[end - length]:
            end += 1
        rounds = (end - start) // length
        if rounds >= _LEAST_ROUNDS:
            return length, rounds
    return 1, 1


def _frame_record(machine: Machine, pointer: int) -> tuple[int, int] | None:
    """The frame record at an address: the address of the next one, and the return address."""
    record = machine.core.read_virtual(pointer, _RECORD_SIZE) if pointer and pointer % 8 == 0 else None
    if record is None:
        return None
    order = data_order(machine.current.arch)
    return int.from_bytes(record[:8], order), int.from_bytes(record[8:], order)
