"""Packets are decoded completely, in order and exclusively, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.debug.rsp import PACKET_SIZE, Decoder, Packet, Received, Signal, encode, escape, unescape


def decode(*pieces: bytes) -> list[Received]:
    decoder = Decoder()
    return [found for piece in pieces for found in decoder.feed(piece)]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.binary())
def test_what_is_escaped_comes_back(data: bytes) -> None:
    assert unescape(escape(data)) == data
    assert not set(escape(data)) & set(b"#$*")


@given(st.lists(st.binary(max_size=60), max_size=5), st.lists(st.integers(0, 999), max_size=8))
def test_packets_come_out_as_they_went_in(payloads: list[bytes], places: list[int]) -> None:
    sent = b"+".join(encode(escape(payload)) for payload in payloads)
    assert decode(*cut(sent, places)) == [Packet(payload) for payload in payloads]


@given(st.binary(max_size=300), st.lists(st.integers(0, 999), max_size=8))
def test_pieces_make_no_difference(data: bytes, places: list[int]) -> None:
    assert decode(*cut(data, places)) == decode(data)


@given(st.binary(max_size=300))
def test_a_packet_comes_through_whatever_was_before_it(garbage: bytes) -> None:
    """But for a checksum that is due, which takes the two bytes after it."""
    assert decode(garbage, b"..", encode(b"g"))[-1] == Packet(b"g")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"$g#67", [Packet(b"g")]),
        (b"$g#6", []),
        (b"$g#68", [Signal.DAMAGED]),
        (b"$g#zz", [Signal.DAMAGED]),
        (b"\x03", [Signal.INTERRUPT]),
        (b"$\x03#03", [Packet(b"\x03")]),
        (b"+-", [Signal.RESEND]),
        (b"$m0,4$g#67", [Packet(b"g")]),
        (b"$}#7d", [Packet(b"")]),
        (b"$}}#fa", [Packet(b"]")]),
        (b"hello\r\n", []),
    ],
)
def test_what_bytes_are(data: bytes, found: list[Received]) -> None:
    assert decode(data) == found


def test_a_packet_of_ten_megabytes_is_refused_without_being_kept() -> None:
    decoder = Decoder()
    chunk = b"x" * 65536
    received = [found for _ in range(160) for found in decoder.feed(b"$" + chunk if not _ else chunk)]
    assert received == []
    assert len(decoder._data) <= 2 * PACKET_SIZE
    assert list(decoder.feed(b"#00" + encode(b"g"))) == [Signal.TOO_LONG, Packet(b"g")]
