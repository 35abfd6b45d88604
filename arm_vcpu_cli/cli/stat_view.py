"""The tables of ``armvcpu stat``, and their format in a file; for terminals see ``stat_terminal``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Final, TextIO

from arm_vcpu_cli.printable import printable, printable_lines
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.trace.exitkey import (
    CALL,
    CALLER,
    DEVICE,
    EL,
    EXIT_DIMENSIONS,
    IPI,
    REASON,
    REGISTER,
    SYMBOL,
    SYSREG,
    VCPU,
)
from arm_vcpu_cli.trace.histogram import PRECISION, Durations
from arm_vcpu_cli.trace.statistics import Interrupt, Row, Statistics

EXCEPTION: Final = "exception"
INTERRUPT: Final = "interrupt"
VCPU_INTERRUPT: Final = "vcpu-interrupt"
TABLES: Final = (*EXIT_DIMENSIONS, INTERRUPT, VCPU_INTERRUPT, EXCEPTION)
_DEFAULT_TABLES: Final = (REASON, REGISTER, SYSREG, CALL, SYMBOL, INTERRUPT, EXCEPTION)
_TABLES_OF_SEVERAL: Final = (REASON, VCPU, REGISTER, SYSREG, CALL, SYMBOL, IPI, INTERRUPT, VCPU_INTERRUPT, EXCEPTION)
COUNT: Final = "count"
TIME: Final = "time"

_TITLES: Final = {
    REASON: "exits by reason",
    DEVICE: "exits by device",
    REGISTER: "exits by device register",
    SYSREG: "exits by system register",
    CALL: "calls to the hypervisor",
    SYMBOL: "exits by function",
    CALLER: "exits by caller of the function",
    EL: "exits by exception level",
    VCPU: "exits by vCPU",
    IPI: "inter-processor interrupts sent",
    INTERRUPT: "interrupts, with the guest time they wait and take",
    VCPU_INTERRUPT: "interrupts of each vCPU",
    EXCEPTION: "exceptions taken by the guest itself",
}
_RANKS: Final = {
    "over time": 7, "per s": 6, "min": 5, "wait: p99": 5, "handled: p99": 5, "time share": 4, "wait: max": 4,
    "handled: max": 4, "ended": 3, "p99": 3, "max": 2, "wait: median": 2, "handled: median": 2, "median": 1,
    "share": 1, "raised": 1,
}  # fmt: skip
"""The order in which columns are dropped for lack of room: the highest number first; others are never dropped."""
_GAP: Final = 2
_LEAST_NAME: Final = 24
"""The least width of names before figures are dropped."""
_PIPE_WIDTH: Final = 132
_HISTORY: Final = 32
_BAR: Final = 40
_BARS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = ".:-=+*#@"
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_NAMES: Final = 60
_TERMINAL: Final = "arm_vcpu_cli.cli.stat_terminal"
"""Loaded only for a terminal."""


class View(Record):
    """The tables to show, the number of rows of each (0: all), their order, and whether to show the histogram."""

    tables: tuple[str, ...] = ()
    top: int = 10
    sort: str = COUNT
    histogram: bool = False


class Line(Record):
    """A line of text, with a style for terminals that support it."""

    text: str
    style: str = ""


class Column(Record):
    """A column of a table, with a style for terminals that support it. ``rank`` is the order in which it is dropped for
    lack of room, 0 for never; ``wraps``: its text may have more than one line."""

    title: str
    right: bool = False
    style: str = ""
    rank: int = 0
    wraps: bool = False


class Table(Record):
    """Columns below their titles; each row has a cell for each."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]

    def widths(self) -> list[int]:
        """The width of each column in characters."""
        return [
            max(len(column.title), *(len(row[index]) for row in self.rows)) for index, column in enumerate(self.columns)
        ]

    def fitted(self, width: int) -> Table:
        """The table without the columns that do not fit into ``width`` characters."""
        kept = list(range(len(self.columns)))
        widths = [
            min(each, _LEAST_NAME) if column.wraps else each
            for each, column in zip(self.widths(), self.columns, strict=True)
        ]
        while sum(widths[index] for index in kept) + _GAP * (len(kept) - 1) > width:
            last = max(kept, key=lambda index: self.columns[index].rank)
            if not self.columns[last].rank:
                break
            kept.remove(last)
        return Table(
            tuple(self.columns[index] for index in kept),
            tuple(tuple(row[index] for index in kept) for row in self.rows),
        )


Part = Line | Table
_BLANK: Final = Line("")
_NAME: Final = Column("", style="cyan", wraps=True)


def print_statistics(statistics: Statistics, view: View, heading: str, stream: TextIO) -> None:
    """Write everything to a stream: framed and in colour on a terminal, plain columns elsewhere."""
    if stream.isatty():
        import_module(_TERMINAL).print_statistics(statistics, view, heading, stream)
        return
    parts = parts_of(statistics, view, heading, Look(_PIPE_WIDTH, blocks=has_blocks(stream)))
    lines = [line for part in parts for line in ([part.text] if isinstance(part, Line) else _plain(part))]
    # Strip the trailing blanks with which columns are padded to their width.
    stream.write(printable_lines("\n".join(line.rstrip() for line in lines)) + "\n")
    stream.flush()


def _plain(table: Table) -> list[str]:
    rows = (tuple(column.title for column in table.columns), *table.rows)
    widths = table.widths()
    layout = [
        f"{{:{'>' if column.right else '<'}{width}}}" for column, width in zip(table.columns, widths, strict=True)
    ]
    return ["  ".join(layout).format(*cells) for cells in rows]


class Look(Record):
    """The width of the output, and whether it has block characters."""

    width: int
    blocks: bool


def has_blocks(stream: TextIO) -> bool:
    """Whether a stream can encode the characters of bars."""
    try:
        (_BARS + _EIGHTHS).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def tables_of(statistics: Statistics, view: View) -> tuple[str, ...]:
    """The requested tables, else the default ones that are not empty."""
    return view.tables or (_TABLES_OF_SEVERAL if statistics.vcpus > 1 else _DEFAULT_TABLES)


def parts_of(statistics: Statistics, view: View, heading: str, look: Look) -> list[Part]:
    """Everything that is shown, from top to bottom."""
    together = statistics.durations()
    parts: list[Part] = [Line(_summary(statistics, together, heading), "bold")]
    parts += map(Line, _remarks(statistics))
    for name in tables_of(statistics, view):
        title, table = _table(statistics, together, name, view, look)
        if table:
            parts += [_BLANK, Line(title, "bold"), *table]
        elif view.tables:
            parts += [_BLANK, Line(f"{title}: none", "bold")]
    if view.histogram:
        parts += _histogram(statistics, together, look)
    return parts


def _summary(statistics: Statistics, together: Durations, heading: str) -> str:
    exits, seconds = statistics.exits, statistics.seconds
    text = f"{heading}: {exits} {'exit' if exits == 1 else 'exits'} in {seconds:.6f} s of guest time"
    if seconds:
        text += f" ({exits / seconds:.0f}/s)"
    if together.count:
        text += f"; {duration(together.total)} of the host to handle them, {duration(round(together.mean))} each"
    return text


def _remarks(statistics: Statistics) -> list[str]:
    others = ", ".join(f"{count} {shown_name(kind)}" for kind, count in sorted(statistics.events.items()))
    remarks = [f"other events: {others}"] if others else []
    ipis = statistics.ipis()
    if ipis:
        remarks.append(f"inter-processor interrupts (SGIs): {ipis['raised']} raised, {ipis['acknowledged']} taken")
    if statistics.folded:
        remarks.append(f"{statistics.folded} exits came from further places, which are counted together")
    return remarks


def _table(statistics: Statistics, together: Durations, name: str, view: View, look: Look) -> tuple[str, list[Part]]:
    """The title, and the table with its footer; empty if there are no rows."""
    if name == INTERRUPT:
        return _TITLES[name], _interrupt_table(statistics.interrupts(), view)
    if name == VCPU_INTERRUPT:
        return _TITLES[name], _interrupt_table(statistics.interrupts_by_vcpu(), view, by_vcpu=True)
    if name == EXCEPTION:
        rows, whole = statistics.exceptions(), statistics.events.get(EXCEPTION, 0)
    else:
        rows, whole = statistics.by(name, width=_HISTORY), statistics.exits
    if not rows:
        return _TITLES[name], []
    if view.sort == TIME:
        rows.sort(key=lambda row: (-row.durations.total, row.label))
    return _TITLES[name], _count_table(statistics, rows, whole, together, view.top, look)


def _count_table(
    statistics: Statistics, rows: list[Row], whole: int, together: Durations, top: int, look: Look
) -> list[Part]:
    shown = rows[:top] if top else rows
    timed = any(row.durations.count for row in rows)
    history = any(row.over_time for row in rows)
    titles = ("count", "share", "per s", *(_TIME_TITLES if timed else ()))
    columns = (*_figures(titles), _NAME, *((Column("over time", rank=_RANKS["over time"]),) if history else ()))
    lines: list[tuple[str, ...]] = []
    for row in shown:
        cells = [str(row.count), _percent(row.count, whole)]
        cells.append(f"{row.count / statistics.seconds:.0f}" if statistics.seconds else "-")
        if timed:
            cells += _times(row.durations, together)
        cells.append(shown_name(row.label))
        if history:
            cells.append(sparkline(row.over_time, blocks=look.blocks))
        lines.append(tuple(cells))
    return _with_rest(
        Table(columns, tuple(lines)), len(rows) - len(shown), sum(row.count for row in rows[len(shown) :])
    )


_TIME_TITLES: Final = ("time", "time share", "min", "median", "p99", "max")


def _times(durations: Durations, together: Durations) -> list[str]:
    """The cells below :data:`_TIME_TITLES`."""
    if not durations.count:
        return ["-"] * len(_TIME_TITLES)
    return [
        duration(durations.total),
        _percent(durations.total, together.total),
        duration(durations.minimum),
        duration(durations.quantile(0.5)),
        duration(durations.quantile(0.99)),
        duration(durations.maximum),
    ]


def _interrupt_table(interrupts: list[Interrupt], view: View, *, by_vcpu: bool = False) -> list[Part]:
    if not interrupts:
        return []
    interrupts.sort(key=lambda each: (-each.actions.total(), each.intid, each.vcpu))
    shown = interrupts[: view.top] if view.top else interrupts
    whose = ("vCPU",) if by_vcpu else ()
    spans = [f"{what}: {quantile}" for what in ("wait", "handled") for quantile in ("median", "p99", "max")]
    titles = (*whose, "INTID", "raised", "taken", "ended", *spans)
    lines: list[tuple[str, ...]] = []
    for each in shown:
        cells = [f"cpu{each.vcpu}"] if by_vcpu else []
        cells += [str(each.intid), *(str(each.actions[name]) for name in ("raised", "acknowledged", "ended"))]
        for durations in (each.pending, each.active):
            known = durations.count
            cells += [duration(durations.quantile(q)) if known else "-" for q in (0.5, 0.99)]
            cells.append(duration(durations.maximum) if known else "-")
        lines.append((*cells, shown_name(each.source)))
    rest = interrupts[len(shown) :]
    return _with_rest(
        Table((*_figures(titles), _NAME), tuple(lines)), len(rest), sum(each.actions.total() for each in rest)
    )


def _figures(titles: Sequence[str]) -> tuple[Column, ...]:
    return tuple(Column(title, right=True, rank=_RANKS.get(title, 0)) for title in titles)


def _with_rest(table: Table, rows: int, count: int) -> list[Part]:
    if not rows:
        return [table]
    return [table, Line(f"({rows} more {'row' if rows == 1 else 'rows'}, {count} in all: --top)", "dim")]


def _histogram(statistics: Statistics, together: Durations, look: Look) -> list[Part]:
    """A histogram of all exits by duration, a bar for each power of two, and one line for each reason."""
    powers = together.by_power()
    if not powers:
        return [_BLANK, Line("histogram: none of the exits says how long it took (armvcpu trace --timing)", "bold")]
    first, last = min(powers), max(powers)
    most = max(powers.values())
    title = f"time of the host to handle an exit (quantiles above are within {PRECISION * 100:.1f} %)"
    lines: list[tuple[str, ...]] = []
    for power in range(first, last + 1):
        count = powers.get(power, 0)
        low = 0 if power < 0 else 1 << power
        cells = (duration(low), duration(1 << power + 1), str(count), _percent(count, together.count))
        lines.append((*cells, bar(count, most, min(_BAR, look.width - _BAR), blocks=look.blocks)))
    table = Table((*_figures(("from", "to", "exits", "share")), Column("", style="green")), tuple(lines))
    reasons: list[tuple[str, ...]] = []
    for row in statistics.by(REASON):
        of_row = row.durations.by_power()
        line = sparkline([of_row.get(power, 0) for power in range(first, last + 1)], blocks=look.blocks)
        reasons.append((line, shown_name(row.label)))
    span = f"{duration(1 << max(first, 0))} to {duration(1 << last + 1)}"
    columns = Column(span, style="green"), Column("", style="cyan")
    parts: list[Part] = [_BLANK, Line(title, "bold"), table, _BLANK, Line("the same by reason", "bold")]
    return [*parts, Table(columns, tuple(reasons))]


def bar(count: int, most: int, width: int, *, blocks: bool = True) -> str:
    """A bar of ``width`` characters for ``most``; a count above 0 is always visible."""
    if not count:
        return ""
    eighths = max(1, count * width * 8 // most)
    if not blocks:
        return "#" * max(1, eighths // 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def sparkline(counts: Sequence[int], *, blocks: bool = True) -> str:
    """A character for each count, its height relative to the greatest; a blank for 0."""
    bars, most = _BARS if blocks else _PLAIN_BARS, max(counts, default=0)
    return "".join(bars[(count * len(bars) - 1) // most] if count else " " for count in counts).rstrip()


def duration(nanoseconds: int) -> str:
    """Three digits and a unit: ``812 ns``, ``2.61 us``, ``12.4 ms``."""
    value = float(nanoseconds)
    for unit in ("ns", "us", "ms"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "ns" or value >= 99.95 else f"{value:#.3g} {unit}"
        value /= 1000
    return f"{value:#.3g} s" if value < 999.5 else f"{value:.0f} s"


def shown_name(text: str) -> str:
    """A name from a file, for a column."""
    return printable(text, _NAMES)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
