"""Output that a run repeats after going back is not shown again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.host.shown_once import ShownOnce

TEXT = b"all that the guest prints in the course of its run"


@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.lists(st.integers(1, 9), max_size=8)), max_size=8))
def test_each_byte_is_shown_once(travels: list[tuple[int, list[int]]]) -> None:
    once = ShownOnce()
    shown = bytearray()
    known = {0: once.remembered()}
    for to, pieces in travels:
        at = max(place for place in known if place <= to)
        once.recall(known[at])
        for size in pieces:
            out = bytearray(TEXT[at : at + size])
            at += len(out)
            once.drop(1, out)
            shown += out
            known[at] = once.remembered()
        assert shown == TEXT[: max(known)]


def test_another_future_is_shown() -> None:
    once = ShownOnce()
    start = once.remembered()
    once.drop(1, bytearray(b"abc"))
    once.drop(2, bytearray(b"error"))
    once.recall(start)
    once.drop(1, bytearray(b"a"))
    once.forget_future()
    out = bytearray(b"xy")
    once.drop(1, out)
    assert out == b"xy"
