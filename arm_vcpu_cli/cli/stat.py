"""``armvcpu stat``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import click

from arm_vcpu_cli.cli.encoding import escape_unknown
from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.options import FILE, GuestCommand, count, guest_arguments, guest_options, report_options
from arm_vcpu_cli.cli.overwriting import check_outputs
from arm_vcpu_cli.cli.session import run_guest
from arm_vcpu_cli.cli.stat_json import as_json
from arm_vcpu_cli.cli.stat_view import COUNT, TABLES, TIME, View, print_statistics, shown_name
from arm_vcpu_cli.errors import OutputError, UsageError
from arm_vcpu_cli.file_paths import base_name
from arm_vcpu_cli.observe.counting import ExitCounter, attach_counter
from arm_vcpu_cli.printable import printable_path
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.trace.output_stream import open_output, open_stderr
from arm_vcpu_cli.trace.patience import Cancelled, never
from arm_vcpu_cli.trace.statistics import Statistics
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.machine import Machine

_JSON = "json"
_STDIN = "/dev/stdin"
_TRACE = "arm_vcpu_cli.cli.stat_trace"
_TERMINAL = "arm_vcpu_cli.cli.stat_terminal"
# Loaded in advance, so that the guest does not wait.


class _Output(Record):
    """The destination and format of the summary."""

    path: Path | None
    as_object: bool
    view: View


@click.command("stat", cls=GuestCommand, short_help="Count and time the exits of a guest or a trace.")
@guest_options
@guest_arguments
@report_options()
@click.option(
    "-i",
    "--input",
    "trace",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="TRACE",
    help=(
        "Count the events of a trace (armvcpu trace --format jsonl; .gz, .zst, - for stdin) instead of running a guest."
    ),
)
@click.option("-o", "--output", type=FILE, metavar="FILE", help="Write the summary to FILE.")
@click.option(
    "--by",
    multiple=True,
    type=click.Choice(TABLES),
    metavar="TABLE",
    help=f"Show only these tables; may be given more than once. One of {', '.join(TABLES)}.",
)
@click.option("--top", type=count, default="10", show_default=True, metavar="N", help="Rows of each table; 0: all.")
@click.option(
    "--sort",
    type=click.Choice((COUNT, TIME)),
    default=COUNT,
    show_default=True,
    help="Column that the rows are sorted by.",
)
@click.option("--histogram", is_flag=True, help="Also draw a histogram of the durations of exits.")
@click.option("--live", is_flag=True, help="Show the tables on stderr while the guest runs.")
@click.option("--json", "as_object", is_flag=True, help="One JSON object instead of tables.")
def command(
    trace: Path | None,
    output: Path | None,
    by: tuple[str, ...],
    top: int,
    sort: str,
    histogram: bool,
    live: bool,
    as_object: bool,
    **options: Any,
) -> int:
    """Run GUEST like `armvcpu run`, count its exits and measure the host's time for each; at the end print a summary:
    by reason, device and system register, call, function, and interrupt; by vCPU too if there are several. With -i,
    summarise a trace instead.

    The guest's console stays on stdout; the summary goes to stderr or FILE, that of a trace to stdout. Median and p99
    are within 1.6 %, everything else is exact. A trace has the host's time if it was made with --timing, and those
    interrupts and exceptions that were logged.

    Callers and exceptions are only examined with `--by caller` and `--by exception`, because they slow the guest down.

    \b
    Examples:
      armvcpu stat samples/exits/exits.elf
      armvcpu stat --by register --by symbol --top 5 guest.elf
      armvcpu stat --histogram --sort time guest.elf
      armvcpu stat --live vmlinuz --append "console=ttyAMA0" > console.txt
      armvcpu stat -i exits.jsonl.gz
      armvcpu stat --json -i exits.jsonl | jq '.tables.reason[0]'
    """
    wanted = _Output(output, as_object, View(by, top, sort, histogram))
    if trace is not None:
        _check_alone(options, live=live)
        return _of_trace(trace, wanted)
    if options["guest"] is None and options["from_snapshot"] is None:
        raise click.UsageError("Missing argument 'GUEST', or -i TRACE", click.get_current_context())
    if live:
        _check_live()
    return _of_guest(GuestOptions(**options, repeatable=True), wanted, live=live)


# A trace has no guest to run.
for _parameter in command.params:
    if _parameter.name == "guest":
        _parameter.callback = None


def _check_alone(options: dict[str, Any], *, live: bool) -> None:
    """Refuse options for running a guest together with a trace, which is not run."""

    def is_given(value: object) -> bool:
        return value is not None and value is not False and value != ()

    given = [name for name, value in {**options, "live": live}.items() if is_given(value)]
    if given:
        named = {"guest": "GUEST", "from_snapshot": "--from", "loads": "--load", "arguments": "-- ARGS"}
        name = named.get(given[0]) or f"--{given[0].replace('_', '-')}"
        raise UsageError(f"-i: a trace is summarised without running a guest; {name} does not go with it")


def _check_live() -> None:
    if not sys.stderr.isatty():
        raise UsageError("--live needs a terminal on stderr")
    if sys.stdout.isatty():
        raise UsageError("--live: the guest's console would overwrite the tables; redirect stdout to a file (> FILE)")


def _of_trace(path: Path, wanted: _Output) -> int:
    check_outputs({"-o": wanted.path}, {"the trace": Path(_STDIN) if str(path) == "-" else path})
    with contextlib.ExitStack() as opened:
        file = None if wanted.path is None else opened.enter_context(open_output(wanted.path))
        statistics, heading, about = import_module(_TRACE).count_trace(path)
        summary = partial(_write, statistics, wanted, heading, about)
        if file is None:
            summary(escape_unknown(sys.stdout))
        else:
            _write_file(summary, file, opened, never)
    return 0


def _of_guest(options: GuestOptions, wanted: _Output, *, live: bool) -> int:
    view, heading = wanted.view, shown_name(base_name(options.file))
    with contextlib.ExitStack() as opened, contextlib.ExitStack() as shown:
        prepared: list[tuple[ExitCounter, TextIO | None, Cancelled]] = []

        def prepare(machine: Machine, cancelled: Cancelled) -> None:
            # Before the guest runs, so that a failure does not waste the run.
            file = None if wanted.path is None else opened.enter_context(open_output(wanted.path, cancelled=cancelled))
            counter = attach_counter(machine, callers="caller" in view.tables, exceptions="exception" in view.tables)
            prepared.append((counter, file, cancelled))
            if live:
                stream = shown.enter_context(open_stderr(cancelled, drops=True))
                shown.enter_context(import_module(_TERMINAL).live(counter.statistics, view, heading, stream))

        def finish(result: RunResult, _report: Sequence[str]) -> None:
            shown.close()
            for counter, file, cancelled in prepared:
                about = {"guest": printable_path(options.file), "ending": result.ending.value, "status": result.status}
                summary = partial(_write, counter.statistics, wanted, heading, about)
                if file is None:
                    with open_stderr(cancelled) as stream:
                        summary(stream)
                else:
                    _write_file(summary, file, opened, cancelled)

        return run_guest(options, prepare, finish, output=wanted.path)


def _write_file(
    summary: Callable[[TextIO], None], file: TextIO, opened: contextlib.ExitStack, cancelled: Cancelled
) -> None:
    """Write the summary to the file that ``opened`` closes; if that fails, write to stderr and raise the error."""
    try:
        with opened.pop_all():
            summary(file)
    except OutputError:
        with open_stderr(cancelled) as stream:
            summary(stream)
        raise


def _write(statistics: Statistics, wanted: _Output, heading: str, about: Mapping[str, object], stream: TextIO) -> None:
    if wanted.as_object:
        stream.write(import_module(_JSON).dumps({**about, **as_json(statistics, wanted.view)}, indent=2) + "\n")
        stream.flush()
    else:
        print_statistics(statistics, wanted.view, heading, stream)
