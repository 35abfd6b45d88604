"""Who called whom: the chain of frame records of a stopped guest (AAPCS64, 6.2.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.context_frame import FRAME_POINTER, INSTRUCTION_SIZE, LINK_REGISTER
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.vm.diagnosis import vector_failures
from arm_vcpu_cli.vm.machine import Machine

_RECORD_SIZE: Final = 16
_MAX_FRAMES: Final = 64


def place(machine: Machine, address: int, *, called_from: bool = False) -> str:
    """An address in full, with symbol and source line where they are known.

    ``called_from``: it is a return address, and the line is that of the call before it.
    """
    symbol = machine.image.symbols.format(address)
    source = machine.image.source(address - INSTRUCTION_SIZE if called_from else address)
    return f"{address:#018x}" + (f" <{symbol}>" if symbol else "") + (f" {source}" if source else "")


def backtrace(machine: Machine) -> Iterator[str]:
    """The chain of frame records from x29, ending at the first that cannot be one.

    Where the first instruction of a vector could not be executed, what was interrupted stands below it.
    """
    frame = machine.current.arch.ctx
    core = machine.core
    exceptions = machine.current.arch.exception_chain().exceptions
    failures = vector_failures(exceptions, machine.current.arch.read_sysreg(lookup("VBAR_EL1")))
    addresses = []
    if failures and frame.elr == exceptions[-1].pc:
        # The vector has changed no register: the frame pointer is still that of the code below it.
        yield f"    {place(machine, frame.elr)} (exception vector)"
        if failures < len(exceptions):
            addresses.append(exceptions[-1 - failures].pc)
    else:
        addresses.append(frame.elr)
    pointer = frame.gpr(FRAME_POINTER)
    record = _frame_record(core, pointer)
    link = frame.gpr(LINK_REGISTER)
    if (record is None or record[1] != link) and core.read_virtual(link, INSTRUCTION_SIZE) is not None:
        # A leaf function has made no record of its own; its caller is only in x30, if that still is an address.
        addresses.append(link)
    while record is not None and len(addresses) < _MAX_FRAMES:
        following, back = record
        if not back:
            break
        addresses.append(back)
        record = _frame_record(core, following) if following > pointer else None
        pointer = following
    for number, address in enumerate(addresses):
        yield f"#{number:<2} {place(machine, address, called_from=number > 0)}"


def _frame_record(core: CpuCore, pointer: int) -> tuple[int, int] | None:
    """The frame record at an address: the address of the next one, and the return address."""
    record = core.read_virtual(pointer, _RECORD_SIZE) if pointer and pointer % 8 == 0 else None
    if record is None:
        return None
    return int.from_bytes(record[:8], "little"), int.from_bytes(record[8:], "little")
