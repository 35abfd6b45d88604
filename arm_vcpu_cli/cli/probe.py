"""``armvcpu probe``."""

from __future__ import annotations

import io
import json
import os
import sys

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.machine.host import Host, engine_version
from arm_vcpu_cli.machine.schema import CPU_MODELS
from arm_vcpu_cli.probe.cpu import CpuFacts, describe_cpu
from arm_vcpu_cli.probe.host import gather_host
from arm_vcpu_cli.probe.report import EngineFacts, Report, Section, as_json, sections

ALL = "all"
_PIPE_WIDTH = 80


@click.command("probe", short_help="Report what host and modelled CPU can do.")
@click.option(
    "--cpu",
    type=click.Choice([*CPU_MODELS, ALL]),
    default="cortex-a72",
    show_default=True,
    help="The modelled CPU to describe; `all` puts them side by side.",
)
@click.option("--json", "as_object", is_flag=True, help="Print one JSON object instead of tables.")
def command(cpu: str, as_object: bool) -> int:
    """Report what the host can do, and what the modelled CPU offers a hypervisor and its guests.

    The exit status is 0 if the modelled CPU has the virtualisation extension, and 1 if not.

    \b
    Examples:
      armvcpu probe
      armvcpu probe --cpu all
      armvcpu probe --json | jq '.cpus[0].stage2'
    """
    report = _gather(tuple(CPU_MODELS) if cpu == ALL else (cpu,))
    if as_object:
        click.echo(json.dumps(as_json(report), indent=2))
    else:
        _render(sections(report))
    return 0 if report.supported else 1


def _gather(models: tuple[str, ...]) -> Report:
    """Open each CPU in turn. An engine that fails its self-check is part of the report, and the end of it."""
    cpus: list[CpuFacts] = []
    layout: StateLayout | None = None
    failure = None
    try:
        for model in models:
            with Host(model, layout=layout) as host:
                core = host.core(0)
                layout = core.layout
                cpus.append(describe_cpu(core, host))
    except EngineError as error:
        cpus, failure = [], str(error)
    return Report(gather_host(), EngineFacts("Unicorn", engine_version(), failure), tuple(cpus))


def _render(tables: tuple[Section, ...]) -> None:
    """Framed tables on a terminal, and plain columns of a fixed width everywhere else."""
    terminal = sys.stdout.isatty()
    plain = io.StringIO()
    console = Console(
        file=sys.stdout if terminal else plain,
        color_system="auto" if terminal and not os.environ.get("NO_COLOR") else None,
        width=None if terminal else _PIPE_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for number, section in enumerate(tables):
        if number:
            console.print()
        console.print(Text(section.title, style="bold"))
        console.print(_table(section, framed=terminal))
    if not terminal:
        # Columns are padded to their width; nobody wants that in a file.
        click.echo("\n".join(line.rstrip() for line in plain.getvalue().splitlines()))


def _table(section: Section, *, framed: bool) -> Table:
    table = Table(
        box=box.ROUNDED if framed else None,
        show_header=bool(section.columns),
        header_style="bold",
        padding=(0, 1) if framed else (0, 2, 0, 0),
        pad_edge=framed,
    )
    table.add_column("", style="cyan", no_wrap=True)
    for heading in section.columns or ("",):
        table.add_column(heading, overflow="fold")
    for row in section.rows:
        table.add_row(Text(row.label), *(Text(value) for value in row.values))
    return table
