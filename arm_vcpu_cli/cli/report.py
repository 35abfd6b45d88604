"""``armvcpu report``."""

from __future__ import annotations

from pathlib import Path

import click

from arm_vcpu_cli.cli.options import FILE
from arm_vcpu_cli.cli.output import say
from arm_vcpu_cli.cli.overwriting import check_outputs
from arm_vcpu_cli.cli.progress import doing
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.trace.digest import digest
from arm_vcpu_cli.trace.htmlpage import render
from arm_vcpu_cli.trace.output_stream import open_output
from arm_vcpu_cli.trace.reader import TraceReader

STDOUT = "/dev/stdout"
STDIN = "/dev/stdin"


@click.command("report", short_help="Turn a trace into an HTML page with timeline, tables and plots.")
@click.argument("trace", type=FILE)
@click.option(
    "--html",
    "page",
    type=FILE,
    metavar="FILE",
    help="Where to write the page [default: TRACE with .html for its suffixes]; - is stdout.",
)
def command(trace: Path, page: Path | None) -> None:
    """Make a web page of TRACE, a file from `armvcpu trace --format jsonl` (also .gz and .zst; - is stdin): a timeline
    of exits, vCPU states and interrupts, counts by every property of exits, the console, and the events with a search.

    The page is one self-contained file and needs no network. It has host times if the trace was made with --timing.

    \b
    Examples:
      armvcpu report boot.jsonl.gz
      armvcpu report --html boot.html boot.jsonl
      armvcpu trace --format jsonl -o /dev/stderr guest.elf 2>&1 >/dev/null | armvcpu report --html run.html -
    """
    target = _target(trace) if page is None else Path(STDOUT) if str(page) == "-" else page
    check_outputs({"--html": target}, {"the trace": Path(STDIN) if str(trace) == "-" else trace})
    with open_output(target) as stream:
        with TraceReader(trace) as opened, doing(f"reading {trace.name}"):
            found = digest(opened)
        stream.write(render(found))
    if str(target) != STDOUT:
        say(f"{target}: {found.events} events")


def _target(trace: Path) -> Path:
    if str(trace) == "-":
        raise UsageError("the trace comes from stdin: give the page a name with --html FILE")
    name = trace.name
    for suffix in (".partial", ".gz", ".zst", ".jsonl", ".json"):
        name = name.removesuffix(suffix)
    return trace.with_name(f"{name}.html")
