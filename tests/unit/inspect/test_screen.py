"""Fitting a report on a screen: long lines are wrapped, long sections shortened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.inspect.postmortem.screen import HEIGHT, INDENT, MARK, WIDTH, Keep, Section, fit, wrapped


def rows(sections: list[Section]) -> int:
    return sum(len(wrapped(f"{section.heading}:", WIDTH)) + len(section.lines) for section in sections)


def numbered(count: int, mark: int | None = None) -> tuple[str, ...]:
    return tuple(f"{MARK if number == mark else ''}line {number}" for number in range(count))


def test_a_long_line_is_wrapped_and_indented() -> None:
    first, *rest = wrapped("  " + "word " * 40, 50)
    assert first.startswith("  word word")
    assert all(row.startswith("      word") and len(row) <= 50 for row in rest)
    assert " ".join(" ".join([first, *rest]).split()) == ("word " * 40).strip()


def test_what_fits_stays_as_it_is() -> None:
    sections = [Section("one", numbered(3)), Section("two", numbered(4), Keep.LAST, 2)]
    assert fit(sections, 9) == sections


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (Keep.LAST, [f"line {number}" for number in range(26, 30)]),
        (Keep.FIRST, ["line 0", "line 1", "line 2", "... 27 more lines: --report full"]),
        (Keep.AROUND_MARK, ["line 13", "line 14", f"{MARK}line 15", "line 16"]),
    ],
)
def test_what_is_kept_of_a_section(keep: Keep, expected: list[str]) -> None:
    found, other = fit([Section("one", numbered(30, mark=15 if keep is Keep.AROUND_MARK else None), keep, 2),
                        Section("two", numbered(3))], 9)  # fmt: skip
    assert list(found.lines) == expected
    assert len(other.lines) == 3


def test_a_section_without_any_room_has_no_heading_either() -> None:
    found = fit([Section("one", numbered(8)), Section("two", numbered(9), Keep.LAST, 4)], 9)
    assert [section.heading for section in found] == ["one"]


@given(
    st.lists(st.integers(0, 3), max_size=3),
    st.lists(
        st.tuples(st.sampled_from([Keep.FIRST, Keep.LAST, Keep.AROUND_MARK]), st.integers(1, 400), st.integers(1, 6)),
        max_size=5,
    ),
)
def test_it_always_fits_if_what_is_kept_whole_does(whole: list[int], elastic: list[tuple[Keep, int, int]]) -> None:
    sections = [Section(f"whole {n}", numbered(1 + n)) for n in whole]
    sections += [Section("elastic", tuple("x " * (length % 130) + "y" for length in range(size)), keep, least)
                 for keep, size, least in elastic]  # fmt: skip
    found = fit(sections, HEIGHT)
    assert rows(found) <= HEIGHT
    assert all(len(line) <= WIDTH - len(INDENT) for section in found for line in section.lines)
