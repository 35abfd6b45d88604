"""``armvcpu trace``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import click

from arm_vcpu_cli.axvcpu.exit import EXIT_REASONS
from arm_vcpu_cli.cli.options import FILE, GuestOptions, guest_options
from arm_vcpu_cli.cli.session import run_guest
from arm_vcpu_cli.errors import ArmVcpuError, FileError
from arm_vcpu_cli.machine.builder import Machine
from arm_vcpu_cli.machine.runner import RunResult
from arm_vcpu_cli.machine.tracing import Tracer
from arm_vcpu_cli.trace.sinks import JsonLinesSink, TextSink

REASONS = tuple(reason.__name__ for reason in EXIT_REASONS)
_BUFFER = 1 << 16


@click.command("trace", short_help="Run a guest and log its exits.")
@guest_options
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "jsonl"]),
    default="text",
    show_default=True,
    help="Aligned text for people, or one JSON object a line.",
)
@click.option("-o", "--output", type=FILE, metavar="FILE", help="Write the log to FILE instead of stderr.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(REASONS, case_sensitive=False),
    metavar="REASON",
    help=f"Only exits of this reason; may be given more than once. One of {', '.join(REASONS)}.",
)
def command(format_: str, output: Path | None, only: tuple[str, ...], **options: Any) -> int:
    """Run GUEST like `armvcpu run`, and log each of its exits: number, vCPU, time, reason, PC with symbol, the
    fields of the reason, and ESR_EL2 decoded; at the end a count by reason.

    The guest's console stays on stdout; the log goes to stderr or FILE. The counts are those of all exits, whatever
    --only picks; the exit status is that of `armvcpu run`.

    \b
    Examples:
      armvcpu trace samples/exits/exits.elf
      armvcpu trace --only MmioWrite --only Hypercall guest.elf
      armvcpu trace --format jsonl -o exits.jsonl guest.elf
    """
    with contextlib.ExitStack() as opened:
        tracers: list[Tracer] = []

        def prepare(machine: Machine) -> None:
            # Only now: a guest that cannot be loaded must not cost the user an earlier log.
            stream = opened.enter_context(_open(output))
            sink = TextSink(stream) if format_ == "text" else JsonLinesSink(stream)
            tracer = Tracer(sink, machine.image.symbols, machine.bus, only=only or None, clock=machine.clock.now)
            machine.arch_vcpu.set_observer(tracer)
            tracers.append(tracer)

        def finish(result: RunResult) -> None:
            for tracer in tracers:
                tracer.end(result)
                tracer.close()

        return run_guest(GuestOptions(**options), prepare, finish)


@contextlib.contextmanager
def _open(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stderr
        return
    try:
        stream = path.open("w", encoding="utf-8", buffering=_BUFFER)
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror}") from error
    try:
        with stream:
            yield stream
    except OSError as error:
        # The guest has run by now: this is not the status of a bad command line.
        raise ArmVcpuError(f"{path}: cannot be written: {error.strerror}") from error
