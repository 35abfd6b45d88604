"""Finds the positions of keys and values in the text of a TOML document, which the parser does not report.

The document has already been parsed, so its text is valid TOML and only needs to be split into tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import tomli

Trail = tuple[str | int, ...]
"""The keys that lead to a value, and in arrays the indexes."""

_BLANK: Final = re.compile(r"[ \t]*")
_BETWEEN: Final = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
"""The text allowed between statements, or between the values of an array or an inline table."""
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR: Final = re.compile(r"[^,\]}#\r\n]*")
_STRING: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})' r"|'''.*?'''(?:'{0,2})" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'",
    re.DOTALL,
)
"""A multi-line string may end with up to two quotes of its own before the closing ones."""
_LONGEST_NUMBER: Final = 60
"""Characters of a number that messages repeat."""


class Place(NamedTuple):
    """The line of a key or of an array's value, from 1, and the value as it is written; empty for an array or inline
    table."""

    line: int
    text: str = ""


def find_places(text: str) -> Mapping[Trail, Place]:
    """The places of all keys and values in a valid document; an implied table is placed at its first mention."""
    return _Scanner(text).scan()


def line_of(places: Mapping[Trail, Place], trail: Trail) -> int | None:
    """The line of a key, or of the innermost enclosing table that exists; None if there is none."""
    for length in range(len(trail), 0, -1):
        place = places.get(trail[:length])
        if place is not None:
            return place.line
    return None


def with_numbers_as_written(message: str, written: str) -> str:
    """A message with a number as it is ``written`` where the message first has it in hexadecimal."""
    try:
        digits = f"{int(written.replace('_', ''), 0):#x}"
    except ValueError:
        return message
    return re.sub(rf"\b{digits}\b", lambda _: written, message, count=1) if len(written) <= _LONGEST_NUMBER else message


class _Open:
    """An array or an inline table that is still open."""

    def __init__(self, trail: Trail, end: str) -> None:
        self.trail = trail
        self.end = end
        self.count = 0


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        self._places: dict[Trail, Place] = {}
        self._last: dict[Trail, int] = {}
        """The index of the latest table of each array of tables."""

    def scan(self) -> Mapping[Trail, Place]:
        table: Trail = ()
        while self._skip(_BETWEEN):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._assignment(table)
        return self._places

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Skip a match of ``pattern``; return whether any text follows."""
        match = pattern.match(self._text, self._at)
        self._at = self._at if match is None else match.end()
        return self._at < len(self._text)

    def _header(self) -> Trail:
        """``[a.b]`` or ``[[a.b]]``: the table that the following keys belong to."""
        is_array = self._text.startswith("[[", self._at)
        line = self._line_here()
        self._at += 2 if is_array else 1
        keys = self._keys()
        self._at += 2 if is_array else 1
        trail: Trail = ()
        for key in keys[:-1]:
            trail = self._inside((*trail, key), line)
        trail = (*trail, keys[-1])
        if is_array:
            self._last[trail] = self._last.get(trail, -1) + 1
        return self._inside(trail, line)

    def _inside(self, trail: Trail, line: int) -> Trail:
        """The trail that a header's key refers to: itself, or the latest table if it is an array of tables."""
        self._note(trail, line)
        if trail in self._last:
            trail = (*trail, self._last[trail])
            self._note(trail, line)
        return trail

    def _assignment(self, table: Trail) -> None:
        """``a.b = value``, also in an inline table, with everything in the value."""
        stack: list[_Open] = []
        trail = self._key_of_value(table)
        while True:
            opened = self._value(trail)
            if opened is not None:
                stack.append(opened)
            following = self._next(stack)
            if following is None:
                return
            trail = following

    def _key_of_value(self, table: Trail) -> Trail:
        line, trail = self._line_here(), table
        for key in self._keys():
            trail = (*trail, key)
            self._note(trail, line)
        # After the equals sign.
        self._skip(_BLANK)
        self._at += 1
        self._skip(_BLANK)
        return trail

    def _value(self, trail: Trail) -> _Open | None:
        """Skip a simple value, or the opening of an array or inline table."""
        first = self._text[self._at]
        if first in "[{":
            self._at += 1
            return _Open(trail, "]" if first == "[" else "}")
        start = self._at
        self._skip(_STRING if first in "\"'" else _SCALAR)
        self._places[trail] = self._places[trail]._replace(text=self._text[start : self._at].rstrip())
        return None

    def _next(self, stack: list[_Open]) -> Trail | None:
        """The trail of the next value in the innermost array or inline table that is open; None if none is."""
        while stack:
            self._skip(_BETWEEN)
            inner = stack[-1]
            if self._text[self._at] == inner.end:
                self._at += 1
                stack.pop()
            elif inner.end == "]":
                trail = (*inner.trail, inner.count)
                inner.count += 1
                self._note(trail, self._line_here())
                return trail
            else:
                return self._key_of_value(inner.trail)
        return None

    def _keys(self) -> list[str]:
        """The parts of a dotted key."""
        keys: list[str] = []
        while True:
            self._skip(_BLANK)
            start = self._at
            is_quoted = self._text[start] in "\"'"
            self._skip(_STRING if is_quoted else _BARE)
            written = self._text[start : self._at]
            keys.append(_unquoted(written) if is_quoted else written)
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _note(self, trail: Trail, line: int) -> None:
        self._places.setdefault(trail, Place(line))

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line


def _unquoted(written: str) -> str:
    key = tomli.loads(f"key = {written}")["key"] if "\\" in written else written[1:-1]
    assert isinstance(key, str)
    return key
