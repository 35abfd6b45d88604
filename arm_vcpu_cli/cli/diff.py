"""``armvcpu diff``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from arm_vcpu_cli.cli.diff_view import as_json
from arm_vcpu_cli.cli.options import count
from arm_vcpu_cli.cli.output import say, show
from arm_vcpu_cli.cli.style import colours, event_style
from arm_vcpu_cli.cli.trace_options import REASONS, named_vcpus
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.trace.diff import MIN_WINDOW, WINDOW, Hunk, Totals, align, hunks
from arm_vcpu_cli.trace.diff_text import DiffText
from arm_vcpu_cli.trace.diffkeys import END, TIMES, Comparison, Side
from arm_vcpu_cli.trace.event import EVENT_TYPES
from arm_vcpu_cli.trace.event_schema import property_names
from arm_vcpu_cli.trace.reader import STDIN, TraceReader
from arm_vcpu_cli.trace.text import plain

SAME: Final = 0
DIFFERENT: Final = 1
_TRACE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)
_CHOICES: Final = (*EVENT_TYPES, END, *REASONS)


def _complete_properties(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in property_names() if name.startswith(incomplete)]


@click.command("diff", short_help="Show where two traces diverge.")
@click.argument("a", type=_TRACE)
@click.argument("b", type=_TRACE)
@click.option(
    "-U",
    "--unified",
    "context",
    type=count,
    default="3",
    show_default=True,
    metavar="N",
    help="Common events around a difference.",
)
@click.option(
    "--max-hunks",
    type=count,
    default="20",
    show_default=True,
    metavar="N",
    help="Number of differences to show; 0: all.",
)
@click.option("--times", is_flag=True, help="Also compare guest and host times.")
@click.option(
    "--ignore",
    multiple=True,
    metavar="FIELD",
    shell_complete=_complete_properties,
    help="Do not compare this property of the events, such as value; may be given more than once.",
)
@click.option(
    "--by-symbol",
    is_flag=True,
    help="Compare functions instead of addresses, for a guest that was rebuilt: ignores PC, VA, offset in the "
    "function, source line and syndrome.",
)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(_CHOICES, case_sensitive=False),
    metavar="WHAT",
    help=f"Compare only events of this type, or exits of this reason; may be given more than once. One of "
    f"{', '.join(_CHOICES)}.",
)
@click.option(
    "--vcpu",
    "vcpus",
    multiple=True,
    type=count,
    metavar="N",
    help="Compare only events of this vCPU and ignore those of others in between; may be given more than once.",
)
@click.option(
    "--window",
    type=count,
    default=str(WINDOW),
    show_default=True,
    metavar="N",
    help="How many events ahead to look for a point where the traces agree again.",
)
@click.option("-q", "--brief", is_flag=True, help="Print only the place of the first difference.")
@click.option("--color/--no-color", default=None, help="Colour [default: on a terminal, unless NO_COLOR is set].")
@click.option("--json", "as_object", is_flag=True, help="One JSON object instead of text.")
def command(
    a: Path,
    b: Path,
    context: int,
    max_hunks: int,
    times: bool,
    ignore: tuple[str, ...],
    by_symbol: bool,
    only: tuple[str, ...],
    vcpus: tuple[int, ...],
    window: int,
    brief: bool,
    color: bool | None,
    as_object: bool,
) -> int:
    """Compare two traces event by event (from armvcpu trace --format jsonl; .gz, .zst, - for stdin). Show where they
    diverge and where they match again, as a unified diff, and end with a summary of the counts that differ.

    Exit numbers and times are not compared; everything else about an event is.

    \b
    Lines begin with
      -  an event that only A has         ?  what differs in an event
      +  an event that only B has            (- and + above it)

    \b
    Examples:
      armvcpu diff good.jsonl bad.jsonl
      armvcpu diff --only Hypercall --only SysRegWrite good.jsonl bad.jsonl
      armvcpu diff --by-symbol --ignore value old-kernel.jsonl.gz new-kernel.jsonl.gz
      armvcpu diff --vcpu 1 1.jsonl 2.jsonl              what CPU 1 did, regardless of other CPUs
      armvcpu diff --times -q 1.jsonl 2.jsonl            whether two runs are the same to the nanosecond
    """
    if str(a) == STDIN and str(b) == STDIN:
        raise UsageError("only one of the traces can come from stdin")
    if window < MIN_WINDOW:
        raise UsageError(f"--window: expected at least {MIN_WINDOW}")
    ignored = frozenset(ignore) | (frozenset() if times else TIMES)
    comparison = Comparison(ignored, by_symbol, frozenset(only), frozenset(vcpus))
    with TraceReader(a) as trace_a, TraceReader(b) as trace_b:
        _check_vcpus(vcpus, max(trace_a.header.vcpus, trace_b.header.vcpus))
        side_a, side_b = Side(trace_a, comparison), Side(trace_b, comparison)
        coloured = colours(sys.stdout, color)
        text = DiffText(side_a, side_b, comparison, event_style if coloured else plain)
        totals = Totals()
        found = hunks(align(side_a, side_b, comparison, window), context, totals)
        if brief:
            next(found, None)
            if totals.differ:
                show(f"{a} and {b} differ: {text.first(totals)}")
            return DIFFERENT if totals.differ else SAME
        if as_object:
            kept = list(islice(found, max_hunks or None))
            for _ in found:
                pass
            show(as_json(side_a, side_b, comparison, kept, totals))
        else:
            for line in _lines(text, found, totals, max_hunks):
                show(line, coloured=coloured)
        for trace in (trace_a, trace_b):
            if trace.truncated:
                say(f"{trace.name}: is cut short after line {trace.line}, probably because the run was killed")
    return DIFFERENT if totals.differ else SAME


def _check_vcpus(numbers: tuple[int, ...], vcpus: int) -> None:
    if any(number >= vcpus for number in numbers):
        raise UsageError(f"--vcpu {max(numbers)}: {named_vcpus('the traced machines have', vcpus)}")


def _lines(text: DiffText, found: Iterator[Hunk], totals: Totals, most: int) -> Iterator[str]:
    headed = False
    for hunk in found:
        if not headed:
            headed = True
            yield from text.headings()
        if not most or totals.hunks <= most:
            yield from text.hunk(hunk)
    if most and totals.hunks > most:
        yield f"... {totals.hunks - most} more places (--max-hunks)"
    if headed:
        yield ""
    yield from text.summary(totals)
