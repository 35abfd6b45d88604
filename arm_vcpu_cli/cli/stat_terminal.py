"""The tables of ``armvcpu stat`` on a terminal: framed, in colour, and live."""

from __future__ import annotations

from typing import Final, TextIO

from rich import box, table
from rich.console import Console, Group, RenderableType
from rich.live import Live

from arm_vcpu_cli.cli.cells import cell
from arm_vcpu_cli.cli.stat_view import Line, Look, Part, View, has_blocks, parts_of
from arm_vcpu_cli.cli.style import colours
from arm_vcpu_cli.trace.statistics import Statistics

_LIVE_TOP: Final = 6
_REFRESHES: Final = 1  # per second: each takes some hundredths of a second, during which the guest waits


def print_statistics(statistics: Statistics, view: View, heading: str, stream: TextIO) -> None:
    """Write everything to a terminal."""
    console = Console(
        file=stream,
        color_system="auto" if colours(stream) else None,
        force_terminal=True,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(_group(statistics, view, heading, Look(console.width, blocks=has_blocks(stream))))


def live(statistics: Statistics, view: View, heading: str, stream: TextIO) -> Live:
    """A context in which ``stream``, a terminal, shows the tables live. A thread writes them, so writes must not
    raise."""
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    shorter = View(view.tables, min(view.top or _LIVE_TOP, _LIVE_TOP), view.sort, view.histogram)
    return Live(
        console=console,
        get_renderable=lambda: _group(statistics, shorter, heading, Look(console.width, blocks=has_blocks(stream))),
        refresh_per_second=_REFRESHES,
        screen=True,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    )


def _group(statistics: Statistics, view: View, heading: str, look: Look) -> Group:
    return Group(*(_framed(part, look.width) for part in parts_of(statistics, view, heading, look)))


def _framed(part: Part, width: int) -> RenderableType:
    if isinstance(part, Line):
        return cell(part.text, part.style)
    part = part.fitted(width)
    framed = table.Table(
        box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False, show_edge=False
    )
    for column, needed in zip(part.columns, part.widths(), strict=True):
        # Names are shortened in favour of figures, which are shown in full or not at all.
        framed.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            min_width=None if column.wraps else needed,
            overflow="fold",
            style=column.style,
        )
    for row in part.rows:
        framed.add_row(*map(cell, row))
    return framed
