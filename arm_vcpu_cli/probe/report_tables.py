"""Tables as data: the content of a report before it is rendered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

NOT_HERE: Final = "-"


class Row(NamedTuple):
    """A line of a table: its label, and a text for each column."""

    label: str
    values: tuple[str, ...]


class Section(NamedTuple):
    """A table. ``columns`` has the headings of the columns of values; empty if there is just one subject."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def row(label: str, texts: Iterable[str | None]) -> Row:
    """Return a line with a dash in place of each missing text."""
    return Row(label, tuple(text or NOT_HERE for text in texts))


def yes(flag: bool) -> str:
    """Return ``yes`` or ``no``."""
    return "yes" if flag else "no"
