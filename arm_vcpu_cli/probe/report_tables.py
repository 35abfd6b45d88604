"""Tables as data: what a report shows, before anybody draws it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

NOT_HERE: Final = "-"


class Row(NamedTuple):
    """A line of a table: what it is about, and a text for each column."""

    label: str
    values: tuple[str, ...]


class Section(NamedTuple):
    """A table. ``columns`` heads the columns of values; empty where there is nothing to tell apart."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def row(label: str, texts: Iterable[str | None]) -> Row:
    """A line with a dash where there is no text."""
    return Row(label, tuple(text or NOT_HERE for text in texts))


def yes(flag: bool) -> str:
    """``yes`` or ``no``."""
    return "yes" if flag else "no"
