"""Fits the sections of a report on a screen: long lines are wrapped, long sections shortened."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final, NamedTuple

WIDTH: Final = 100
"""Columns of the screen."""
HEIGHT: Final = 50
"""Rows of the screen."""
INDENT: Final = "  "
MARK: Final = "=> "
"""The marker at the start of the line at the centre of a code section."""

Rows = tuple[str, ...]


class Keep(Enum):
    """The part of a section to keep when space runs out."""

    ALL = "all"
    FIRST = "first"
    LAST = "last"
    AROUND_MARK = "around the mark"


class Section(NamedTuple):
    """A part of the report. ``least`` is the number of rows that it keeps while another section can still be
    shortened."""

    heading: str
    lines: Rows
    keep: Keep = Keep.ALL
    least: int = 0


def wrapped(line: str, width: int) -> Rows:
    """A line in rows of ``width``; those after the first are indented further."""
    if len(line) <= width:
        return (line,)
    indent = line[: len(line) - len(line.lstrip())] + 2 * INDENT
    return tuple(textwrap.wrap(line, width, subsequent_indent=indent, drop_whitespace=True, break_on_hyphens=False))


def fit(sections: Iterable[Section], rows: int) -> list[Section]:
    """Return the sections with their lines wrapped, shortened until they fit into ``rows`` including headings.

    Sections that keep everything are never shortened, so these may still exceed ``rows``.
    """
    pages = [(section, [wrapped(line, WIDTH - len(INDENT)) for line in section.lines]) for section in sections]
    left = rows - sum(_heading(section) + _count(items) for section, items in pages if section.keep is Keep.ALL)
    elastic = [(section, items) for section, items in pages if section.keep is not Keep.ALL]
    shares = dict(zip((id(section) for section, _ in elastic), _share(elastic, left), strict=True))
    fitted = []
    for section, items in pages:
        share = shares.get(id(section))
        kept = items if share is None else _shorten(items, share, section.keep)
        if kept:
            fitted.append(section._replace(lines=tuple(row for item in kept for row in item)))
    return fitted


def _heading(section: Section) -> int:
    return len(wrapped(f"{section.heading}:", WIDTH))


def _count(items: Iterable[Rows]) -> int:
    return sum(map(len, items))


def _share(elastic: Sequence[tuple[Section, list[Rows]]], rows: int) -> list[int]:
    """The rows that each section gets, not counting its heading; 0 drops the heading too."""
    headings = [_heading(section) for section, _ in elastic]
    sizes = [_count(items) for _, items in elastic]
    shares = [min(size, section.least) for size, (section, _) in zip(sizes, elastic, strict=True)]

    def spare() -> int:
        return rows - sum(share + heading for share, heading in zip(shares, headings, strict=True) if share)

    for index in reversed(range(len(shares))):
        if spare() < 0:
            shares[index] = max(0, shares[index] + spare())
    while (short := [i for i, share in enumerate(shares) if 0 < share < sizes[i]]) and spare() > 0:
        for index in short[: spare()]:
            shares[index] += 1
    return shares


def _shorten(items: list[Rows], rows: int, keep: Keep) -> list[Rows]:
    if _count(items) <= rows:
        return items
    if rows <= 0:
        return []
    if keep is Keep.LAST:
        return _as_many(items[::-1], rows)[::-1]
    if keep is Keep.AROUND_MARK:
        return _around(items, rows)
    kept = _as_many(items, rows - 1)
    return [*kept, (f"... {len(items) - len(kept)} more lines: --report full",)]


def _as_many(items: list[Rows], rows: int) -> list[Rows]:
    """The first items that fit into ``rows``."""
    kept: list[Rows] = []
    for item in items:
        if _count(kept) + len(item) > rows:
            break
        kept.append(item)
    return kept


def _around(items: list[Rows], rows: int) -> list[Rows]:
    """The marked item and its surroundings, more of them before it than after."""
    mark = next((index for index, item in enumerate(items) if item[0].startswith(MARK)), len(items) - 1)
    first = last = mark
    while True:
        grown = False
        for down, up in ((1, 0), (1, 0), (0, 1)):
            start, end = max(0, first - down), min(len(items) - 1, last + up)
            if (start, end) != (first, last) and _count(items[start : end + 1]) <= rows:
                first, last, grown = start, end, True
        if not grown:
            return items[first : last + 1]
