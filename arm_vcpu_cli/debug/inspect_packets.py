"""The packets that inspect or change a stopped guest: registers, memory, breakpoints, threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.debug.agent_expression import condition_codes
from arm_vcpu_cli.debug.client import (
    BAD_ADDRESS,
    BAD_ARGUMENT,
    OK,
    UNKNOWN,
    Client,
    hex_number,
    range_of,
    thread_number,
)
from arm_vcpu_cli.debug.numbering import SVE, Numbered
from arm_vcpu_cli.debug.rsp import PACKET_SIZE
from arm_vcpu_cli.debug.target import Access, Watchpoint
from arm_vcpu_cli.errors import UsageError

Handler = Callable[[Client, bytes], bytes]

LARGEST_READ: Final = PACKET_SIZE // 2
"""The most bytes of memory that fit into an answer, two digits each."""
_SOFTWARE, _HARDWARE = b"0", b"1"
_WATCHES: Final[Mapping[bytes, Access]] = MappingProxyType(
    {b"2": Access.WRITE, b"3": Access.READ, b"4": Access.READ | Access.WRITE}
)


# Registers --------------------------------------------------------------------------------------------------------


def _read(client: Client, each: Numbered) -> bytes:
    try:
        return each.encoded(client.target.read_register(client.selected, each.register.name))
    except UsageError:
        return each.unavailable


def _write(client: Client, each: Numbered, data: bytes) -> None:
    """Write a register. Raises ValueError for data of the wrong size, and UsageError if the target refuses."""
    # lldb knows the current length of vectors, and sends no more.
    if len(data) > each.size or (len(data) < each.size and each.register.group != SVE):
        raise ValueError(f"{each.register.name} has {each.size} bytes")
    client.target.write_register(client.selected, each.register.name, int.from_bytes(data, "little"))


def _read_registers(client: Client, _argument: bytes) -> bytes:
    return b"".join(_read(client, each) for each in client.registers if each.in_file)


def _write_registers(client: Client, argument: bytes) -> bytes:
    data, at = bytes.fromhex(argument.decode("ascii")), 0
    changed = []
    for each in client.registers:
        if each.in_file and at + each.size <= len(data):
            piece = data[at : at + each.size]
            at += each.size
            # A write of the same value must have no effect.
            if _read(client, each) != piece.hex().encode():
                changed.append((each, piece))
    if at != len(data):
        return BAD_ARGUMENT
    for each, piece in changed:
        _write(client, each, piece)
    return OK


def _read_register(client: Client, argument: bytes) -> bytes:
    found = client.by_number.get(hex_number(argument))
    return BAD_ARGUMENT if found is None else _read(client, found)


def _write_register(client: Client, argument: bytes) -> bytes:
    number, _, value = argument.partition(b"=")
    found = client.by_number.get(hex_number(number))
    if found is None:
        return BAD_ARGUMENT
    if not found.register.writable:
        raise UsageError(f"{found.register.name} is read-only")
    _write(client, found, bytes.fromhex(value.decode("ascii")))
    return OK


# Memory -----------------------------------------------------------------------------------------------------------


def read_memory(client: Client, address: int, size: int) -> bytes:
    """Return memory at a VA, or at an IPA if the debugger has requested that."""
    if client.physical:
        return client.target.read_physical(address, size)
    return client.target.read_memory(client.selected, address, size)


def _store(client: Client, address: int, data: bytes) -> bytes:
    if not data:
        return OK
    if client.physical:
        return OK if client.target.write_physical(address, data) else BAD_ADDRESS
    return OK if client.target.write_memory(client.selected, address, data) else BAD_ADDRESS


def _read_memory(client: Client, argument: bytes) -> bytes:
    address, size = range_of(argument)
    if not size:
        return b""
    return read_memory(client, address, min(size, LARGEST_READ)).hex().encode() or BAD_ADDRESS


def _write_memory(client: Client, argument: bytes) -> bytes:
    where, _, data = argument.partition(b":")
    return _put(client, where, bytes.fromhex(data.decode("ascii")))


def _write_binary(client: Client, argument: bytes) -> bytes:
    where, _, data = argument.partition(b":")
    return _put(client, where, data)


def _put(client: Client, where: bytes, data: bytes) -> bytes:
    address, size = range_of(where)
    return _store(client, address, data) if len(data) == size else BAD_ARGUMENT


# Breakpoints and watchpoints --------------------------------------------------------------------------------------


def _insert(client: Client, argument: bytes) -> bytes:
    kind, address, length, more = _place(argument)
    if kind in _WATCHES:
        wanted = Watchpoint(address, length or 1, _WATCHES[kind])
        # Repeated packets must have no further effect.
        return OK if wanted in client.watchpoints else _watch(client, (*client.watchpoints, wanted))
    places = {_SOFTWARE: client.software, _HARDWARE: client.hardware}.get(kind)
    if places is None:
        return UNKNOWN
    places[address] = condition_codes(more)
    client.apply_breakpoints()
    return OK


def _remove(client: Client, argument: bytes) -> bytes:
    kind, address, length, _ = _place(argument)
    if kind in _WATCHES:
        gone = Watchpoint(address, length or 1, _WATCHES[kind])
        return _watch(client, tuple(each for each in client.watchpoints if each != gone))
    places = {_SOFTWARE: client.software, _HARDWARE: client.hardware}.get(kind)
    if places is None:
        return UNKNOWN
    places.pop(address, None)
    client.apply_breakpoints()
    return OK


def _watch(client: Client, watchpoints: tuple[Watchpoint, ...]) -> bytes:
    client.target.set_watchpoints(watchpoints)
    client.watchpoints = watchpoints
    return OK


def _place(argument: bytes) -> tuple[bytes, int, int, bytes]:
    """Return the kind, the address, the length, and the conditions that follow."""
    kind, _, rest = argument.partition(b",")
    place, _, more = rest.partition(b";")
    address, length = range_of(place)
    return kind, address, length, more


# Threads ----------------------------------------------------------------------------------------------------------


def _select(client: Client, argument: bytes) -> bytes:
    vcpu = client.vcpu(argument[1:])
    if argument[:1] == b"g":
        client.selected = vcpu
    elif argument[:1] == b"c":
        client.resumed = vcpu
    else:
        return BAD_ARGUMENT
    return OK


def _is_alive(client: Client, argument: bytes) -> bytes:
    thread_number(argument)
    client.vcpu(argument)
    return OK


PACKETS: Final[Mapping[bytes, Handler]] = MappingProxyType(
    {
        b"g": _read_registers,
        b"G": _write_registers,
        b"p": _read_register,
        b"P": _write_register,
        b"m": _read_memory,
        b"M": _write_memory,
        b"X": _write_binary,
        b"Z": _insert,
        b"z": _remove,
        b"H": _select,
        b"T": _is_alive,
    }
)
"""The handlers by the packet's first letter; the rest is their argument."""
