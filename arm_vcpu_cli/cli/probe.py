"""``armvcpu probe``."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich import box
from rich.console import Console
from rich.table import Table

from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.schema import CPU_MODELS
from arm_vcpu_cli.cli.cells import cell
from arm_vcpu_cli.cli.described import load_description
from arm_vcpu_cli.cli.options import FILE, cpus, gic_version, size
from arm_vcpu_cli.cli.output import show
from arm_vcpu_cli.cli.probe_guest import GuestReport, guest_json, guest_sections
from arm_vcpu_cli.cli.progress import doing
from arm_vcpu_cli.cli.style import colours
from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import EngineError, MachineFileError, UsageError
from arm_vcpu_cli.guest.guest_survey import survey_guest
from arm_vcpu_cli.host.machine_host import Host, engine_levers, engine_version
from arm_vcpu_cli.inspect.suitability import GuestCpu, Verdict, guest_cpu, judge
from arm_vcpu_cli.probe.compare import compare, comparison_json, comparison_sections
from arm_vcpu_cli.probe.cpu_facts import CpuFacts, describe_cpu
from arm_vcpu_cli.probe.host_facts import gather_host
from arm_vcpu_cli.probe.host_report import host_json, host_sections
from arm_vcpu_cli.probe.probe_report import JSON_VERSION, EngineFacts, Report, as_json, sections
from arm_vcpu_cli.probe.registers import (
    HOST,
    Subject,
    cpu_subject,
    host_subject,
    register_sections,
    registers_json,
)
from arm_vcpu_cli.probe.report_tables import Section

ALL: Final = "all"
_DEFAULT: Final = "cortex-a72"
_PIPE_WIDTH: Final = 80
T = TypeVar("T")


@click.command("probe", short_help="Report what host and modelled CPU can do, and what a guest needs.")
@click.option(
    "--cpu",
    type=click.Choice([*CPU_MODELS, ALL]),
    help="The modelled CPU to describe; `all` puts them side by side.  [default: cortex-a72]",
)
@click.option("--host", "host_only", is_flag=True, help="Describe only the host; status 0 only if its KVM is usable.")
@click.option("--registers", is_flag=True, help="Show every ID register with all its fields.")
@click.option(
    "--compare",
    nargs=2,
    type=click.Choice([*CPU_MODELS, HOST]),
    metavar="A B",
    help=f"Show the differences between two of {', '.join([*CPU_MODELS, HOST])}.",
)
@click.option(
    "--for",
    "guest",
    type=FILE,
    metavar="GUEST",
    help="Check whether GUEST (ELF file, Linux kernel or raw binary) finds what it needs, and explain why not.",
)
@click.option(
    "-m", "--machine", type=FILE, metavar="FILE.toml", help="The machine for --for  [default: the virt preset]."
)
@click.option("--memory", type=size, metavar="SIZE", help="Size of its main RAM, such as 512MiB or 1G; for --for.")
@click.option("--smp", type=cpus, metavar="N", help="Number of its CPUs; for --for.")
@click.option("--gic", type=gic_version, metavar="2|3", help="Version of its interrupt controller; for --for.")
@click.option("--json", "as_object", is_flag=True, help="Print one JSON object instead of tables.")
def command(
    cpu: str | None,
    host_only: bool,
    registers: bool,
    compare: tuple[str, str] | None,
    guest: Path | None,
    machine: Path | None,
    memory: int | None,
    smp: int | None,
    gic: int | None,
    as_object: bool,
) -> int:
    """Report what the host can do, what the modelled CPU offers a hypervisor and its guests, and whether a guest
    finds what it needs.

    Features have the names of the architecture (FEAT_LSE), under the version that introduced them. `hidden` marks those
    that the CPU has and that are hidden from guests.

    --for examines the file without running it: its header, its notes, and each of its instructions. What a kernel uses
    only if it is present does not count against it.

    \b
    Examples:
      armvcpu probe
      armvcpu probe --cpu all
      armvcpu probe --host
      armvcpu probe --compare cortex-a72 max
      armvcpu probe --registers --cpu max
      armvcpu probe --for vmlinuz
      armvcpu probe --for guest.elf --cpu all
      armvcpu probe --for guest.elf -m machine.toml && armvcpu run -m machine.toml guest.elf
      armvcpu probe --json | jq '.cpus[0].stage2'
    """
    _refuse_contradictions(cpu, host_only=host_only, registers=registers, compare=compare, guest=guest)
    if guest is None and any(given is not None for given in (machine, memory, smp, gic)):
        raise UsageError("--machine, --memory, --smp and --gic describe the machine for --for, which is missing")
    if guest is not None:
        description = load_description(machine, {"gic": gic, "cpus": smp, "memory_size": memory})
        return _show_guest(guest, cpu, description, as_object)
    if compare is not None:
        return _show_comparison(compare, as_object)
    models = tuple(CPU_MODELS) if cpu == ALL else (cpu or _DEFAULT,)
    if registers:
        subjects = (_subject(HOST),) if host_only else tuple(_subject(model) for model in models)
        _show(as_object, lambda: registers_json(subjects), lambda: register_sections(subjects))
        return 0
    if host_only:
        facts = gather_host()
        found = {"version": JSON_VERSION, "supported": facts.virtualisation, "host": host_json(facts)}
        _show(as_object, lambda: found, lambda: host_sections(facts))
        return 0 if facts.virtualisation else 1
    report = _gather(models)
    _show(as_object, lambda: as_json(report), lambda: sections(report))
    return 0 if report.supported else 1


def _refuse_contradictions(
    cpu: str | None, *, host_only: bool, registers: bool, compare: tuple[str, str] | None, guest: Path | None
) -> None:
    given = {
        "--cpu": cpu is not None,
        "--host": host_only,
        "--registers": registers,
        "--compare": compare is not None,
        "--for": guest is not None,
    }
    allowed = ({"--cpu", "--for"}, {"--cpu", "--registers"}, {"--host", "--registers"})
    names = {name for name, is_given in given.items() if is_given}
    if len(names) > 1 and names not in allowed:
        raise UsageError(f"{' and '.join(name for name in given if name in names)} do not go together")


# Queries to the engine -----------------------------------------------------------------------------------


class _Engine:
    """Opens modelled CPUs one after the other; the layout of the engine's state is determined once."""

    def __init__(self) -> None:
        self._layout: StateLayout | None = None

    def ask(self, model: str, question: Callable[[CpuCore, Host], T]) -> T:
        """The result of ``question`` for a core and its host. Raises EngineError."""
        with Host(model, layout=self._layout) as host:
            core = host.core(0)
            self._layout = core.layout
            return question(core, host)


def _gather(models: Sequence[str]) -> Report:
    """Open each CPU in turn. A failed self-check of the engine is reported, and ends the report."""
    engine = _Engine()
    cpus: tuple[CpuFacts, ...] = ()
    failure = None
    try:
        cpus = tuple(engine.ask(model, describe_cpu) for model in models)
    except EngineError as error:
        failure = str(error)
    return Report(
        gather_host(),
        EngineFacts("Unicorn", engine_version(), failure, engine_levers() if failure is None else {}),
        cpus,
    )


def _subject(name: str) -> Subject:
    if name != HOST:
        return cpu_subject(_Engine().ask(name, describe_cpu))
    host = gather_host()
    if not host.id_registers:
        raise UsageError(f"the host shows no ID registers ({host.system} on {host.architecture})")
    return host_subject(host)


def _show_comparison(names: tuple[str, str], as_object: bool) -> int:
    found = compare(*(_subject(name) for name in names))
    _show(as_object, lambda: comparison_json(found), lambda: comparison_sections(found))
    return 0


def _show_guest(path: Path, cpu: str | None, description: MachineDescription, as_object: bool) -> int:
    models = tuple(CPU_MODELS) if cpu == ALL else (cpu or description.cpu.model,)
    with doing(f"looking at {path}"):
        survey = survey_guest(
            path,
            ram_base=description.ram.base,
            load_address=description.boot.load_address,
            kind=description.boot.kernel_type,
        )
        engine = _Engine()

        def held_against(model: str) -> tuple[GuestCpu, Verdict]:
            with_model = replace(description, cpu=replace(description.cpu, model=model))
            found = engine.ask(model, lambda core, _host: _guest_cpu(core, with_model))
            return found, judge(survey, found, with_model)

        found = [held_against(model) for model in models]
        elsewhere = []
        if not all(verdict.runs for _, verdict in found):
            for model in [model for model in CPU_MODELS if model not in models]:
                # The machine may request features that this model lacks.
                with suppress(MachineFileError):
                    if held_against(model)[1].runs:
                        elsewhere.append(model)
    report = GuestReport(
        survey, tuple(cpu for cpu, _ in found), tuple(verdict for _, verdict in found), tuple(elsewhere)
    )
    _show(as_object, lambda: guest_json(report), lambda: guest_sections(report))
    return 0 if report.runs else 1


def _guest_cpu(core: CpuCore, description: MachineDescription) -> GuestCpu:
    try:
        return guest_cpu(core, description)
    except ValueError as error:
        source = description.path or description.name
        raise MachineFileError(source, f"{error} ({description.cpu.model})", key="cpu.features") from error


# Output --------------------------------------------------------------------------------------------------------


def _show(as_object: bool, found: Callable[[], dict[str, Any]], tables: Callable[[], Sequence[Section]]) -> None:
    if as_object:
        show(json.dumps(found(), indent=2))
    else:
        _render(tables())


def _render(tables: Sequence[Section]) -> None:
    """Framed tables on a terminal, and plain columns of a fixed width everywhere else."""
    terminal = sys.stdout.isatty()
    plain = io.StringIO()
    console = Console(
        file=sys.stdout if terminal else plain,
        color_system="auto" if terminal and colours(sys.stdout) else None,
        width=None if terminal else _PIPE_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for number, section in enumerate(tables):
        if number:
            console.print()
        console.print(cell(section.title, "bold"))
        console.print(_table(section, framed=terminal))
    if not terminal:
        # Strip the trailing blanks with which columns are padded to their width.
        show("\n".join(line.rstrip() for line in plain.getvalue().splitlines()))


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
        table.add_row(cell(row.label), *map(cell, row.values))
    return table
