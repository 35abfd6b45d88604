"""One run of a guest as a test, in its own process: writes its files and returns its verdict."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.inspect.postmortem.report_wanted import FULL, wants_report
from arm_vcpu_cli.printable import printable_lines
from arm_vcpu_cli.record import Record, replace
from arm_vcpu_cli.suite.cases import Outcome
from arm_vcpu_cli.suite.console_watch import ConsoleWatch
from arm_vcpu_cli.suite.expectations import Wanted
from arm_vcpu_cli.suite.kept_console import KeptConsole
from arm_vcpu_cli.suite.verdict import Verdict, decide
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.machine import Machine as Parts

_REPORT: Final = "arm_vcpu_cli.inspect.postmortem.report"
_ATTACHING: Final = "arm_vcpu_cli.observe.attaching"
_TRACING: Final = "arm_vcpu_cli.observe.tracing"
_SINKS: Final = "arm_vcpu_cli.trace.jsonlines"
_STREAMS: Final = "arm_vcpu_cli.trace.output_stream"
"""Loaded only for guests that fail or are traced."""
_AT_ONCE: Final = 1e-3
"""Seconds; 0 would mean no limit."""
_NANOSECONDS: Final = 1_000_000_000

CONSOLE: Final = "console"
REPORT: Final = "report"
TRACE: Final = "trace.jsonl.gz"
ERRORS: Final = "errors"

Open = Callable[[Console], Machine]
"""Opens a machine with this console."""


class Files(Record):
    """The output files of a run: ``FOLDER/NAME.console`` and the others."""

    folder: Path
    name: str
    tracer: str = ""
    """The name and version of the tool, if the guest is traced."""

    def path(self, kind: str) -> Path:
        """Return the path of the file of one kind."""
        return self.folder / f"{self.name}.{kind}"


def run_trial(make: Open, wanted: Wanted, files: Files, begun: float) -> Verdict:
    """Open a machine, run its guest to the end, and judge it. The time limit counts from ``begun``
    (``time.monotonic``)."""
    with (
        contextlib.closing(KeptConsole(files.path(CONSOLE))) as kept,
        _nowhere() as output,
        make(Console(output, None)) as machine,
        contextlib.ExitStack() as traced,
    ):
        parts = machine.parts
        watch = ConsoleWatch(wanted, partial(_answer, parts), partial(_stop, parts))
        parts.input.shows_prompts = bool(wanted.expect or wanted.fail)
        parts.console.observe(kept.see)
        parts.console.observe(watch.see)
        finish = _trace(parts, files, traced) if files.tracer else None
        machine.start()
        watch.begin()
        # A guest may check for an answer only occasionally, without waiting for it.
        parts.console.by_byte = watch.unanswered is not None
        limit = parts.description.limits.timeout
        left = max(limit - (time.monotonic() - begun), _AT_ONCE) if limit else limit
        with Watchdog(parts.request_stop, left) as watchdog:
            result = machine.run_watched(watchdog)
            watchdog.rest()
        watch.finish()
        verdict = decide(wanted, watch, result, parts.timeline.now() / _NANOSECONDS)
        lines: list[str] = []
        if verdict.outcome is Outcome.FAILED:
            lines = import_module(_REPORT).report_lines(parts, result, form=FULL)
            text = printable_lines("\n".join([*lines, result.message]))
            files.path(REPORT).write_text(f"{text}\n", encoding="utf-8", errors="backslashreplace")
            if wants_report(result):
                verdict = replace(verdict, report=tuple(import_module(_REPORT).report_lines(parts, result)))
        if finish is not None:
            finish(result, lines)
        return verdict


def _answer(machine: Parts, text: bytes, is_last: bool) -> None:
    machine.input.answer(text)
    if is_last:
        machine.console.by_byte = False


def _stop(machine: Parts, why: str) -> None:
    machine.seen_enough = why
    machine.request_stop()


def _trace(machine: Parts, files: Files, opened: contextlib.ExitStack) -> Callable[[RunResult, list[str]], None]:
    """Trace a machine; return a function to call at the end of its run."""
    attaching, tracing = import_module(_ATTACHING), import_module(_TRACING)
    stream = opened.enter_context(import_module(_STREAMS).open_output(files.path(TRACE)))
    sink = import_module(_SINKS).JsonLinesSink(stream)
    sink.header(attaching.trace_header(machine, files.tracer, timing=False))
    tracer = attaching.attach_tracer(machine, sink, tracing.TraceOptions())

    def finish(result: RunResult, report: list[str]) -> None:
        tracer.end(result, report)
        tracer.close()

    return finish


@contextlib.contextmanager
def _nowhere() -> Iterator[int]:
    """A descriptor that discards everything: an observer keeps the console, within its limit."""
    fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
