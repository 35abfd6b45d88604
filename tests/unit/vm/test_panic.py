"""A Linux kernel's panic in the guest's output."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.vm.watch.panic import PanicWatch

REASON = "VFS: Unable to mount root fs on unknown-block(0,0)"
FIRST = f"[    0.761139] Kernel panic - not syncing: {REASON}\r\n".encode()
TRACE = b"[    0.761151] Call trace:\r\n[    0.761161]  panic+0x184/0x364\r\n"
END = f"[    0.761380] ---[ end Kernel panic - not syncing: {REASON} ]---\r\n".encode()


class Seen:
    """A watch that has seen these pieces of output, and how often it wanted the guest stopped."""

    def __init__(self, *pieces: bytes) -> None:
        self.stops = 0
        self.watch = PanicWatch(self._stop)
        for piece in pieces:
            self.watch.see(piece)

    def _stop(self) -> None:
        self.stops += 1

    @property
    def found(self) -> tuple[str | None, bool, int]:
        return self.watch.text, self.watch.over, self.stops


def test_the_end_of_a_panic_stops_the_guest_once() -> None:
    assert Seen(b"Booting\r\n", FIRST, TRACE, END, END, TRACE).found == (REASON, True, 1)


def test_a_panic_that_has_not_ended_stops_nobody() -> None:
    assert Seen(FIRST, TRACE).found == (REASON, False, 0)


def test_an_end_without_a_panic_stops_nobody() -> None:
    assert Seen(TRACE, END).found == (None, False, 0)


def test_a_line_counts_when_it_is_complete() -> None:
    seen = Seen(FIRST, END.rstrip())
    assert seen.found == (REASON, False, 0)
    seen.watch.see(b"\r\n")
    assert seen.found == (REASON, True, 1)


@given(st.lists(st.integers(0, len(FIRST + TRACE + END)), max_size=8))
def test_it_does_not_matter_how_the_output_is_cut(cuts: list[int]) -> None:
    whole = FIRST + TRACE + END
    edges = sorted({0, len(whole), *cuts})
    assert Seen(*(whole[a:b] for a, b in pairwise(edges))).found == (REASON, True, 1)


def test_byte_by_byte() -> None:
    assert Seen(*((FIRST + TRACE + END)[n : n + 1] for n in range(len(FIRST + TRACE + END)))).found[1:] == (True, 1)


def test_an_orderly_shutdown_means_that_it_was_no_panic() -> None:
    assert Seen(FIRST, b"[    1.0] reboot: Power down\r\n").found == (None, False, 0)


def test_the_last_reason_is_the_one_that_counts() -> None:
    assert Seen(b"Kernel panic - not syncing: said by hand\n", FIRST, END).found == (REASON, True, 1)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"Kernel panic - not syncing: Attempted to kill init!\n", "Attempted to kill init!"),
        (b"Kernel panic - not syncing\n", "no reason given"),
        (b"Kernel panic - not syncing: \x1b[2Jx\xff\n", "\N{REPLACEMENT CHARACTER}[2Jx\N{REPLACEMENT CHARACTER}"),
        (b"Kernel panic - not syncing: " + b"x" * 1000 + b"\n", "x" * 200),
    ],
)
def test_the_reason_is_fit_to_be_printed(line: bytes, text: str) -> None:
    assert Seen(line).watch.text == text


def test_a_line_that_never_ends_is_not_kept() -> None:
    seen = Seen(*[b"x" * 1000] * 100)
    assert len(seen.watch._rest) < 10_000
    seen.watch.see(b"\n" + FIRST)
    assert seen.watch.text == REASON


def test_all_that_is_printed_is_counted() -> None:
    assert Seen(b"a", b"bc\n", FIRST).watch.printed == 4 + len(FIRST)
