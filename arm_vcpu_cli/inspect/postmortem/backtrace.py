"""Who called whom: the chain of frame records of a stopped guest (AAPCS64, 6.2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from arm_vcpu_cli.arm_vcpu.context_frame import FRAME_POINTER, INSTRUCTION_SIZE, LINK_REGISTER
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.vm.diagnosis import interrupted_by, vector_base, vector_failures
from arm_vcpu_cli.vm.machine import Machine

_RECORD_SIZE: Final = 16
_MAX_FRAMES: Final = 4096
_MAX_LINES: Final = 64
_LONGEST_CYCLE: Final = 4
"""Functions that call each other in turn."""
_WORTH_FOLDING: Final = 3
"""Repetitions."""


def place(machine: Machine, address: int, *, called_from: bool = False) -> str:
    """An address in full, with symbol and source line where they are known.

    ``called_from``: it is a return address, and the line is that of the call before it.
    """
    symbol = machine.image.symbols.format(address)
    source = machine.image.source(address - INSTRUCTION_SIZE if called_from else address)
    return f"{address:#018x}" + (f" <{symbol}>" if symbol else "") + (f" {source}" if source else "")


def backtrace(machine: Machine) -> Iterator[str]:
    """The chain of frame records from x29, ending at the first that cannot be one; equal frames are told once.

    Where the first instruction of a vector could not be executed, what was interrupted stands below it.
    """
    frame = machine.current.arch.ctx
    core = machine.core
    exceptions = machine.current.arch.exception_chain().exceptions
    failures = vector_failures(exceptions, vector_base(machine))
    addresses = []
    if failures and frame.elr == exceptions[-1].pc:
        # The vector has changed no register: the frame pointer is still that of the code below it.
        yield f"    {place(machine, frame.elr)} (exception vector)"
        if failures < len(exceptions):
            addresses.append(exceptions[-1 - failures].pc)
        elif interrupted_by(exceptions[0], vector_base(machine)) is not None:
            addresses.append(exceptions[0].elr)
    else:
        addresses.append(frame.elr)
    pointer = frame.gpr(FRAME_POINTER)
    record = _frame_record(core, pointer)
    link = frame.gpr(LINK_REGISTER)
    if (record is None or record[1] != link) and core.read_virtual(link, INSTRUCTION_SIZE) is not None:
        # A leaf function has made no record of its own; its caller is only in x30, if that still is an address.
        addresses.append(link)
    addresses += islice(frame_chain(core, pointer), _MAX_FRAMES)
    yield from _folded(machine, addresses)


def frame_chain(core: CpuCore, pointer: int) -> Iterator[int]:
    """The return addresses in the frame records from ``pointer`` on: each lies above the one before."""
    record = _frame_record(core, pointer)
    while record is not None and record[1]:
        following, back = record
        yield back
        record = _frame_record(core, following) if following > pointer else None
        pointer = following


def _folded(machine: Machine, addresses: Sequence[int]) -> Iterator[str]:
    """A line for each; what is repeated, also in turn, once and with a count."""
    number = lines = 0
    while number < len(addresses) and lines < _MAX_LINES:
        period, times = _repetition(addresses, number)
        for index in range(number, number + period):
            yield f"#{index:<2} {place(machine, addresses[index], called_from=index > 0)}"
        number += period * times
        lines += period
        if times > 1:
            frames = f"frame #{number - period * times}" if period == 1 else f"these {period} frames"
            yield f"    ({frames} {times - 1} {'time' if times == 2 else 'times'} more)"


def _repetition(addresses: Sequence[int], start: int) -> tuple[int, int]:
    """How many addresses from ``start`` on are repeated how often; (1, 1) if none is."""
    for period in range(1, _LONGEST_CYCLE + 1):
        cycle = addresses[start : start + period]
        times = 1
        while addresses[start + times * period : start + (times + 1) * period] == cycle:
            times += 1
        if times >= _WORTH_FOLDING:
            return period, times
    return 1, 1


def _frame_record(core: CpuCore, pointer: int) -> tuple[int, int] | None:
    """The frame record at an address: the address of the next one, and the return address."""
    record = core.read_virtual(pointer, _RECORD_SIZE) if pointer and pointer % 8 == 0 else None
    if record is None:
        return None
    return int.from_bytes(record[:8], "little"), int.from_bytes(record[8:], "little")
