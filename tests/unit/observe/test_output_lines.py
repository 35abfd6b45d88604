"""Output that arrives in pieces, and the lines in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.observe.output_lines import complete_lines

PIECES = st.lists(st.one_of(st.sampled_from([b"a", b"\n", b"\r\n", b"x" * 3000]), st.binary(max_size=20)), max_size=30)


@given(PIECES)
def test_lines_end_with_a_newline_or_are_cut_and_nothing_is_lost(pieces: list[bytes]) -> None:
    line = bytearray()
    complete = [each for piece in pieces for each in complete_lines(line, piece)]
    assert b"".join(complete) + bytes(line) == b"".join(pieces)
    assert all(each.endswith(b"\n") or len(each) >= 4096 for each in complete)
    assert not any(b"\n" in each[:-1] for each in complete)
    assert b"\n" not in line


def test_characters_one_by_one_are_one_line() -> None:
    line = bytearray()
    assert [complete_lines(line, bytes([byte])) for byte in b"hi\nx"] == [[], [], [b"hi\n"], []]
    assert line == b"x"
