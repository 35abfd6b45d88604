"""``armvcpu trace``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TextIO

import click

from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.options import (
    FILE,
    GuestCommand,
    debugger_options,
    guest_arguments,
    guest_options,
    report_options,
)
from arm_vcpu_cli.cli.session import run_guest
from arm_vcpu_cli.cli.style import colours, event_style
from arm_vcpu_cli.cli.trace_options import SelectionOptions, selection_options
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.observe.attaching import attach_tracer, trace_header
from arm_vcpu_cli.observe.tracing import Tracer
from arm_vcpu_cli.trace.event import CONSOLE, ENTRY
from arm_vcpu_cli.trace.output_stream import COMPRESSED, open_output, open_stderr
from arm_vcpu_cli.trace.patience import Cancelled
from arm_vcpu_cli.trace.sinks import TraceSink
from arm_vcpu_cli.trace.time_order import TimeOrder
from arm_vcpu_cli.version import VERSION
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.machine import Machine

_SINKS = MappingProxyType(
    {
        "text": ("text", "TextSink"),
        "jsonl": ("jsonlines", "JsonLinesSink"),
        "perfetto": ("perfetto", "PerfettoSink"),
        "chrome": ("chrome", "ChromeSink"),
        "ftrace": ("ftrace", "FtraceSink"),
    }
)
"""The module and name of the sink of each format: only the one in use is loaded."""
FORMATS = tuple(_SINKS)
_BINARY = "perfetto"
_BY_TIME = frozenset({"perfetto", "chrome", "ftrace"})
"""Formats whose readers expect events in the order of time; the others keep the order of occurrence."""
_SUFFIXES = MappingProxyType(
    {".jsonl": "jsonl", ".pftrace": "perfetto", ".perfetto-trace": "perfetto", ".json": "chrome", ".ftrace": "ftrace"}
)


@click.command("trace", cls=GuestCommand, short_help="Run a guest and log its exits.")
@guest_options
@guest_arguments
@debugger_options
@report_options()
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="Aligned text for people; one JSON object per line; a file for ui.perfetto.dev (protobuf) or for "
    "chrome://tracing (JSON); the text of the kernel's own KVM events [default: by the suffix of FILE, "
    ".jsonl, .pftrace, .json or .ftrace; else text].",
)
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    help="Write the trace to FILE instead of stderr; compressed if it ends in .gz or .zst. While the guest runs it is "
    "FILE.partial.",
)
@click.option("--timing", is_flag=True, help="Also record the host's time for each exit, which differs between runs.")
@click.option(
    "--color/--no-color", default=None, help="Colour in text [default: on a terminal, unless NO_COLOR is set]."
)
@selection_options
def command(format_: str | None, output: Path | None, timing: bool, color: bool | None, **options: Any) -> int:
    """Run GUEST like `armvcpu run`, and log what happens: its exits to EL2 with their reasons, device registers, calls
    and decoded ESR_EL2, interrupts, states of the vCPU and the console; at the end a count of the exits by reason.

    The guest's console stays on stdout; the log goes to stderr or FILE. What is logged can be chosen by many criteria,
    all of which an event must meet; the counts are those of all exits.

    With several vCPUs, each has its own time, and they take turns: text and jsonl have events in the order in which
    they happen, so times may go back from one vCPU to another. The other formats are sorted by time.

    \b
    Examples:
      armvcpu trace samples/exits/exits.elf
      armvcpu trace --only MmioWrite --device uart0 guest.elf
      armvcpu trace --el1 --ec SVC64 vmlinuz             the system calls of its programs
      armvcpu trace --last 100 guest.elf                 what it did before it died
      armvcpu trace --start-on "Run /init" --format jsonl -o exits.jsonl.gz vmlinuz
      armvcpu trace --format perfetto -o boot.pftrace vmlinuz
    """
    own, options = SelectionOptions.take(options)
    format_ = _format_of(output) if format_ is None else format_
    if output is None and format_ == _BINARY and sys.stderr.isatty():
        raise UsageError("--format perfetto: a binary trace needs -o FILE")
    with contextlib.ExitStack() as opened:
        tracers: list[Tracer] = []

        def prepare(machine: Machine, cancelled: Cancelled) -> None:
            wanted = own.resolve(machine, timing=timing, unasked=_unasked(format_, output))
            if output is None and sys.stderr.isatty():
                machine.console.write_lines()
            # Open the file only now: a guest that fails to load must not destroy an earlier log.
            if format_ == _BINARY:
                sink = _sink(format_, opened.enter_context(_open_binary(output, cancelled)))
            else:
                stream = opened.enter_context(_open_text(output, cancelled))
                styled = format_ == "text" and colours(stream, color)
                sink = _sink(format_, stream, event_style) if styled else _sink(format_, stream)
            if format_ in _BY_TIME and len(machine.cpus) > 1:
                # vCPUs overrun the ends of their turns by up to a block of instructions.
                sink = TimeOrder(sink, 2 * machine.scheduler.longest_turn)
            sink.header(trace_header(machine, f"armvcpu {VERSION}", timing=timing))
            tracers.append(attach_tracer(machine, sink, wanted))

        def finish(result: RunResult, report: Sequence[str]) -> None:
            # Close it here, where the end of the run still ends a wait for the reader.
            with opened.pop_all():
                for tracer in tracers:
                    tracer.end(result, report)
                    tracer.close()

        return run_guest(GuestOptions(**options, repeatable=True), prepare, finish, output=output)


def _format_of(output: Path | None) -> str:
    """The format implied by a file's name."""
    if output is None:
        return "text"
    name = Path(output.stem) if output.suffix in COMPRESSED else output
    return _SUFFIXES.get(name.suffix, "text")


def _unasked(format_: str, output: Path | None) -> frozenset[str]:
    """The event types left out by default: resumptions after each exit, and console lines already on the terminal."""
    if format_ != "text":
        return frozenset()
    twice = output is None and sys.stdout.isatty() and sys.stderr.isatty()
    return frozenset({ENTRY, CONSOLE} if twice else {ENTRY})


def _sink(format_: str, *arguments: object) -> TraceSink:
    module, name = _SINKS[format_]
    make: Callable[..., TraceSink] = getattr(import_module(f"arm_vcpu_cli.trace.{module}"), name)
    return make(*arguments)


def _open_text(path: Path | None, cancelled: Cancelled) -> contextlib.AbstractContextManager[TextIO]:
    return open_stderr(cancelled) if path is None else open_output(path, cancelled=cancelled)


@contextlib.contextmanager
def _open_binary(path: Path | None, cancelled: Cancelled) -> Iterator[BinaryIO]:
    if path is None:
        with open_stderr(cancelled) as stream:
            yield stream.buffer
    else:
        with open_output(path, binary=True, cancelled=cancelled) as file:
            yield file
