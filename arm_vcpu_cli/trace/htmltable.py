"""Pieces of HTML, in which text from a guest is always text, never markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from arm_vcpu_cli.printable import pictured
from arm_vcpu_cli.trace.histogram import Durations
from arm_vcpu_cli.trace.statistics import Row

ROWS: Final = 25
"""The most rows of a table."""
_UNITS: Final = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "\N{MICRO SIGN}s"), (1, "ns"))


class Column(NamedTuple):
    """A heading; ``number`` aligns to the right."""

    heading: str
    number: bool = False


def text(value: object) -> str:
    """Return any text as HTML, on one line."""
    return html.escape(pictured(str(value)))


def duration(nanoseconds: float) -> str:
    """Return three digits and a unit: ``1.23 ms``."""
    for size, unit in _UNITS:
        if nanoseconds >= size:
            amount = nanoseconds / size
            digits = max(0, 3 - len(str(int(amount)))) if size > 1 else 0
            return f"{amount:.{digits}f} {unit}"
    return "0 ns"


def number(value: int) -> str:
    """Return digits in groups of three."""
    return f"{value:,}".replace(",", "\N{THIN SPACE}")


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], *, note: str = "") -> str:
    """Return a table; the first cell of a row is its heading. Cells are HTML."""
    heads = "".join(f'<th scope="col"{_number_class(column)}>{html.escape(column.heading)}</th>' for column in columns)
    body = "".join(f"<tr>{_cells(columns, row)}</tr>" for row in rows)
    remark = f" <small>{html.escape(note)}</small>" if note else ""
    return (
        f'<table class="sortable"><caption>{html.escape(caption)}{remark}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )


def counts(caption: str, what: str, rows: Sequence[Row], *, timed: bool, wide: bool = False) -> str:
    """Return a table of counts and their shares, with the host's times if there are any; empty without rows."""
    if not rows:
        return ""
    total = sum(row.count for row in rows) or 1
    columns = [Column(what), Column("Count", True), Column("Share")]
    if timed:
        columns += [Column("Host time", True), Column("Mean", True), Column("p99", True)]
    shown = [
        [text(row.label), number(row.count), _share(row.count / total), *(_times(row.durations) if timed else ())]
        for row in rows[:ROWS]
    ]
    left = len(rows) - ROWS
    note = f"the most frequent {ROWS} of {len(rows)}" if left > 0 else ""
    return _card(table(caption, columns, shown, note=note), wide=wide)


def _card(content: str, *, wide: bool = False) -> str:
    return f'<div class="wide">{content}</div>' if wide else f"<div>{content}</div>"


def card(content: str) -> str:
    """Return an element that is placed beside others."""
    return _card(content)


def _times(durations: Durations) -> tuple[str, str, str]:
    if not durations.count:
        return "", "", ""
    return duration(durations.total), duration(durations.mean), duration(durations.quantile(0.99))


def _share(fraction: float) -> str:
    percent = f"{100 * fraction:.1f} %"
    return (
        f'<div class="share"><svg viewBox="0 0 100 9" preserveAspectRatio="none" role="img" aria-label="{percent}">'
        f'<rect width="{100 * fraction:.2f}" height="9" rx="1"/></svg></div>'
    )


def _number_class(column: Column) -> str:
    return ' class="number"' if column.number else ""


def _cells(columns: Sequence[Column], row: Sequence[str]) -> str:
    first, *rest = row
    cells = "".join(f"<td{_number_class(column)}>{cell}</td>" for column, cell in zip(columns[1:], rest, strict=True))
    return f'<th scope="row"{_number_class(columns[0])}>{first}</th>{cells}'
