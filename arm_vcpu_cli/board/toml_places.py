"""Where the keys and values of a TOML document stand in its text: the parser does not tell.

The document has been parsed before, so that what is looked at here is valid TOML, and only has to be told apart.
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
"""What may stand between statements, or between the values of an array or an inline table."""
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR: Final = re.compile(r"[^,\]}#\r\n]*")
_STRING: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})' r"|'''.*?'''(?:'{0,2})" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'",
    re.DOTALL,
)
"""Up to two quotes of a multi-line string may stand right before those that end it."""


class Place(NamedTuple):
    """The line of a key or of an array's value, from 1, and the value as it is written; nothing for what has parts."""

    line: int
    text: str = ""


def find_places(text: str) -> Mapping[Trail, Place]:
    """The places of all keys and values in a valid document; a table that is only implied is where it is first."""
    return _Scanner(text).scan()


def line_of(places: Mapping[Trail, Place], trail: Trail) -> int | None:
    """The line of a key, or of the innermost table around it that there is; None if there is none."""
    for length in range(len(trail), 0, -1):
        place = places.get(trail[:length])
        if place is not None:
            return place.line
    return None


class _Open:
    """An array or an inline table whose end has not been seen yet."""

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
        """For each array of tables the index of its latest one."""

    def scan(self) -> Mapping[Trail, Place]:
        table: Trail = ()
        while self._skip(_BETWEEN):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._assignment(table)
        return self._places

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Pass what matches; whether there is anything behind it."""
        match = pattern.match(self._text, self._at)
        self._at = self._at if match is None else match.end()
        return self._at < len(self._text)

    def _header(self) -> Trail:
        """``[a.b]`` or ``[[a.b]]``: the table that is meant from here on."""
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
        """What a key of a header means: itself, or the latest of the tables that it is an array of."""
        self._note(trail, line)
        if trail in self._last:
            trail = (*trail, self._last[trail])
            self._note(trail, line)
        return trail

    def _assignment(self, table: Trail) -> None:
        """``a.b = value``, also in an inline table; all that is in the value."""
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
        # Behind the equals sign.
        self._skip(_BLANK)
        self._at += 1
        self._skip(_BLANK)
        return trail

    def _value(self, trail: Trail) -> _Open | None:
        """Pass a value that has no parts, or the beginning of one that has."""
        first = self._text[self._at]
        if first in "[{":
            self._at += 1
            return _Open(trail, "]" if first == "[" else "}")
        start = self._at
        self._skip(_STRING if first in "\"'" else _SCALAR)
        self._places[trail] = self._places[trail]._replace(text=self._text[start : self._at].rstrip())
        return None

    def _next(self, stack: list[_Open]) -> Trail | None:
        """The trail of the next value in the innermost array or inline table that is open; None where none is."""
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
        """A key with its dots."""
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
