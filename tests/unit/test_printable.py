"""Text from guests and files, made printable."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.errors import ArmVcpuError, FileError, GuestFileError, UsageError
from arm_vcpu_cli.printable import (
    LONGEST_LINE,
    LONGEST_NAME,
    LONGEST_PATH,
    decoded,
    pictured,
    printable,
    printable_lines,
    printable_path,
    undecoded,
)

HOSTILE = (
    *(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))),
    *(chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)),
    "\u2028",
    "\u2029",
    "\ud800",
    "\udcff",
    "\U000e0001",
)
texts = st.text() | st.lists(st.sampled_from([*HOSTILE, "a", "\N{SNOWMAN}", "\x1b[31m", "\x1b]0;t\x07"])).map("".join)


@pytest.mark.parametrize("char", HOSTILE, ids=ascii)
def test_nothing_gets_through_that_is_not_printable(char: str) -> None:
    for shown in (printable(f"a{char}b"), printable_path(f"a{char}b"), printable_lines(f"a{char}b", coloured=True)):
        assert all(line.isprintable() for line in shown.split("\n"))
        assert shown.startswith("a")
        assert shown.endswith("b")
    assert pictured(f"a{char}b").replace("\t", "").isprintable()
    assert decoded(f"a{char}b".encode("utf-8", "surrogatepass")).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\u00e9 \N{SNOWMAN}", "caf\u00e9 \N{SNOWMAN}"),
        ("\x1b[2J\n\x9b", r"\x1b[2J\x0a\x9b"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("caf\udce9", r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_what_is_shown_instead(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(texts, st.integers(4, 60))
def test_it_is_one_line_and_never_longer_than_asked_for(text: str, longest: int) -> None:
    shown = printable(text, longest)
    assert shown.isprintable()
    assert len(shown) <= longest
    assert printable(shown, longest) == shown


def test_long_text_ends_in_dots() -> None:
    assert printable("x" * LONGEST_NAME) == "x" * LONGEST_NAME
    assert printable("x" * (LONGEST_NAME + 1)) == "x" * (LONGEST_NAME - 3) + "..."
    assert printable("\x1b" * LONGEST_NAME) == (r"\x1b" * LONGEST_NAME)[: LONGEST_NAME - 3] + "..."
    assert printable_path("x" * LONGEST_PATH) == "x" * LONGEST_PATH


def test_lines_stay_and_so_do_changes_of_colour_where_there_are_any() -> None:
    text = "\x1b[1;31mred\x1b[0m\n\x1b[2Jx\x1b]0;t\x07\n"
    assert printable_lines(text, coloured=True) == "\x1b[1;31mred\x1b[0m\n" + r"\x1b[2Jx\x1b]0;t\x07" + "\n"
    assert printable_lines(text) == r"\x1b[1;31mred\x1b[0m" + "\n" + r"\x1b[2Jx\x1b]0;t\x07" + "\n"


@given(texts)
def test_lines_without_colour_hold_nothing_else(text: str) -> None:
    shown = printable_lines(text)
    assert shown.count("\n") == text.count("\n")
    assert all(line.isprintable() for line in shown.split("\n"))


@given(st.binary())
def test_bytes_become_one_line(raw: bytes) -> None:
    assert decoded(raw).isprintable()
    assert len(decoded(raw, 5)) <= 5


def test_bytes_that_are_no_text() -> None:
    assert decoded("caf\u00e9".encode()) == "caf\u00e9"
    assert decoded(b"a\x1b[31m\xff\n") == "a\ufffd[31m\ufffd\ufffd"
    assert undecoded(b"a\x1b\xff") == "a\x1b" + r"\xff"


def test_a_line_of_a_page_has_pictures() -> None:
    assert pictured("\x1b[31mred\x1b[0m\t\x07\u202e\u2028") == "red\t\N{SYMBOL FOR BELL}\ufffd\ufffd"


@pytest.mark.parametrize(
    "error",
    [
        ArmVcpuError("\x1b[2J\n\u202e\udce9"),
        UsageError("\x1b[2J\n\u202e\udce9"),
        FileError("\x1b[2J\n\u202e\udce9", "\x9b2J"),
        GuestFileError(Path("\x1b[2J\n\u202e\udce9"), "\x9b2J", offset=1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_are_one_line(error: ArmVcpuError) -> None:
    assert r"\x1b[2J\x0a\u202e\xe9" in str(error)
    assert str(error).isprintable()


def test_errors_about_long_names_say_what_is_wrong() -> None:
    shown = str(FileError("\x1b" * LONGEST_PATH, "cannot be read"))
    assert shown.endswith("...: cannot be read")
    shown = str(UsageError("x" * 10 * LONGEST_LINE + "\x1b is too long"))
    assert LONGEST_LINE - 1 <= len(shown) <= LONGEST_LINE
    assert shown.endswith(r"x\x1b is too long")
    assert len(str(UsageError("\x1b" * LONGEST_LINE))) <= LONGEST_LINE
