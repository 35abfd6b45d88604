"""Dispatches a packet to the handler that answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.debug import inspect_packets, query_packets, resume_packets
from arm_vcpu_cli.debug.client import BAD_ARGUMENT, UNKNOWN, Client, State
from arm_vcpu_cli.debug.rsp import escape
from arm_vcpu_cli.errors import UsageError

_PACKETS: Final[Mapping[bytes, Callable[[Client, bytes], bytes]]] = MappingProxyType(
    {**inspect_packets.PACKETS, **resume_packets.PACKETS, **query_packets.PACKETS}
)
_LONGEST: Final = max(map(len, _PACKETS))
_WORDS: Final = frozenset(b"qQv")
"""The first letters of packets whose names are words."""
_WHOLE: Final = frozenset({b"qC", b"!", b"?", b"bs", b"bc"})
"""Names that are the whole packet, because other names begin the same way."""


def answer(client: Client, packet: bytes) -> bytes | None:
    """Return the answer to a packet; None if it has none, empty if the packet is unknown."""
    if packet == b"k":
        client.state = State.KILLED
        return None
    name = _name(packet)
    if name is None:
        return UNKNOWN
    try:
        return _PACKETS[name](client, packet[len(name) :])
    except UsageError as error:
        return escape(f"E.{error}".encode())
    except ValueError:
        return BAD_ARGUMENT


def _name(packet: bytes) -> bytes | None:
    """Return the longest known name that the packet begins with, None if there is none."""
    if packet in _PACKETS:
        return packet
    shortest = 2 if packet[:1] and packet[0] in _WORDS else 1
    for length in range(min(len(packet), _LONGEST), shortest - 1, -1):
        name = packet[:length]
        if name in _PACKETS and name not in _WHOLE:
            return name
    return None
