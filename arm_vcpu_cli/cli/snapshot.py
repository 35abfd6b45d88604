"""``armvcpu snapshot``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.board.durations import parse_duration
from arm_vcpu_cli.cli.completing import completer
from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.options import FILE, GuestCommand, guest_arguments, guest_options
from arm_vcpu_cli.cli.output import say, show, tell
from arm_vcpu_cli.cli.session import (
    facts_of_recording,
    load_files,
    open_input,
    open_machine,
    run_loaded,
    slow_files,
    watched,
)
from arm_vcpu_cli.cli.terminal import open_console, raw_terminal
from arm_vcpu_cli.debug.execution import Execution
from arm_vcpu_cli.debug.target import Reason, Stop
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.inspect.tables import places
from arm_vcpu_cli.observe.continuing_traces import note_for_tracers
from arm_vcpu_cli.observe.stop_at import ordinal
from arm_vcpu_cli.printable import printable_path
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.conversation import Conversation, ExpectationError, compiled
from arm_vcpu_cli.vm.endings import STATUS_INTERRUPTED, STATUS_LIMIT, Ending, RunResult
from arm_vcpu_cli.vm.machine import Machine as Parts
from arm_vcpu_cli.vm.runner import conclude, stopped_short

_NEVER_REACHED: Final = 3
_NANOSECONDS: Final = 1_000_000_000
_FACTS: Final = "arm_vcpu_cli.inspect.snapshot_facts"
"""Loaded only to show a snapshot."""


@click.command("snapshot", cls=GuestCommand, short_help="Run a guest to a chosen point and save the machine.")
@guest_options
@guest_arguments
@click.option("-o", "--output", type=FILE, metavar="FILE", help="File to write the snapshot to.")
@click.option(
    "--at",
    metavar="PLACE",
    shell_complete=completer("symbols"),
    help="Save it before the instruction at PLACE: a function, function+offset, or an address.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="With --at: at the N-th arrival there.")
@click.option("--vcpu", type=click.IntRange(min=0), metavar="N", help="With --at: when vCPU N arrives there.")
@click.option("--console", "text", metavar="REGEX", help="Save it once the guest has printed text that matches REGEX.")
@click.option(
    "--instructions",
    type=click.IntRange(min=1),
    metavar="N",
    help="Save it after its vCPUs have executed N more instructions.",
)
@click.option(
    "--time",
    "moment",
    metavar="TIME",
    help="Save it once the guest's time since reset is TIME, as traces show it: 1.5s, 20ms, 300us, 100ns.",
)
@click.option(
    "--compress/--no-compress", default=None, help="Compress the file [default: if the extra zstd is installed]."
)
@click.option("--info", type=FILE, metavar="FILE", help="Describe the snapshot in FILE, and run nothing.")
@click.option("--json", "as_object", is_flag=True, help="With --info: one JSON object.")
def command(
    output: Path | None,
    at: str | None,
    count: int | None,
    vcpu: int | None,
    text: str | None,
    instructions: int | None,
    moment: str | None,
    compress: bool | None,
    info: Path | None,
    as_object: bool,
    **options: Any,
) -> int:
    """Run GUEST like `armvcpu run`, and save the machine in FILE once the guest reaches --at PLACE, has executed
    --instructions N, reaches --time TIME, has printed --console REGEX, or is stopped (--timeout, --max-exits, Ctrl-A x,
    Ctrl-C).

    `armvcpu run --from FILE` continues from there, in any process, and so do `trace`, `stat`, `walk` and this command.
    The guest does exactly what it would have done next, to the instruction. FILE needs no other file.

    \b
    Examples:
      armvcpu snapshot vmlinuz --initrd initrd.gz --console "# " -o booted.snap
      armvcpu run --from booted.snap
      armvcpu trace --from booted.snap --max-exits 100
      armvcpu snapshot samples/paging/paging.elf --at user_main -o user.snap
      armvcpu snapshot --from booted.snap --timeout 5 -o later.snap
      armvcpu snapshot --info booted.snap
    """
    if info is not None:
        return _show(info, as_object=as_object)
    if output is None:
        raise click.UsageError("Missing option '-o'.")
    if sum(each is not None for each in (at, text, instructions, moment)) > 1:
        raise click.UsageError("--at, --console, --instructions and --time: expected one of them")
    if (count is not None or vcpu is not None) and at is None:
        raise click.UsageError("--count and --vcpu need --at PLACE")
    time = None if moment is None else _time(moment)
    goal = _Goal(at, instructions, time, count or 1, vcpu, None if text is None else _pattern(text), text or "")
    return _take(GuestOptions(**options, repeatable=True), output, goal, compress=compress)


class _Goal(Record):
    """The place for the snapshot: the ``count``-th arrival at ``place``, a number of ``instructions``, a guest ``time``
    in nanoseconds, or a text; without any, where the guest is stopped."""

    place: str | None
    instructions: int | None
    time: int | None
    count: int
    vcpu: int | None
    pattern: re.Pattern[str] | None
    text: str


def _take(options: GuestOptions, output: Path, goal: _Goal, *, compress: bool | None) -> int:
    with slow_files(options):
        loaded = load_files(options, output)
        cpus = loaded.description.cpu.count
        if goal.vcpu is not None and goal.vcpu >= cpus:
            raise UsageError(f"--vcpu {goal.vcpu}: the machine has {cpus}, counted from 0")
        address = None if goal.place is None else _address(goal.place, loaded.image.symbols)
        opened = open_machine(loaded, open_console(reads_input=options.reads_input))
    machine = opened.parts
    with opened, watched(machine, loaded) as watchdog, ExitStack() as recording:
        connect = open_input(machine, loaded, watchdog, recording)
        note_for_tracers(machine)
        machine.input.is_saved = True
        if options.record is not None:
            machine.input.keep()
        save: Callable[..., None] = partial(
            opened.snapshot, output, compress=compress, facts=facts_of_recording(machine, loaded)
        )
        saved = False
        with raw_terminal(machine.console) as terminal:
            run = partial(run_loaded, opened, watchdog, connect, ignored=terminal.hint_once)
            if goal.pattern is not None:
                result, saved = _until(machine, goal.pattern, run)
            elif goal == _ANYWHERE:
                result = run()
                saved = result.ending in (Ending.LIMIT, Ending.INTERRUPTED)
            else:
                # The machine is in the middle of a block, so save it before anything else changes it.
                exactly = _Exactly(opened, goal, address, save)
                result = run(run=exactly.run)
                saved, save = exactly.saved, _nothing
        watchdog.rest()
        watchdog.answered = True
        recording.close()
        if machine.console.in_line:
            tell("", watchdog.has_fired)
        if not saved:
            say(f"no snapshot: {_missed(goal)}{result.message}")
            interrupted = goal != _ANYWHERE and result.status == STATUS_INTERRUPTED
            return STATUS_INTERRUPTED if interrupted else _NEVER_REACHED
        save(note=result.message)
        say(f"{printable_path(output)}: {result.message}, after {result.exits} exits")
    return 0


_ANYWHERE: Final = _Goal(None, None, None, 1, None, None, "")


def _nothing(*, note: str) -> None:
    """Do nothing: the machine is saved already."""


class _Exactly:
    """Runs a machine to a place, a number of instructions or a time, and saves it there."""

    def __init__(self, opened: Machine, goal: _Goal, address: int | None, save: Callable[..., None]) -> None:
        self._opened = opened
        self._goal = goal
        self._address = address
        self._save = save
        self.saved = False

    def run(self, watchdog: Watchdog) -> RunResult:
        """Run the started machine under ``watchdog``."""
        goal = self._goal
        execution = Execution(self._opened.parts, watchdog)
        self._opened.hand_over(execution.run)
        if goal.instructions is not None:
            stop = execution.goto(execution.executed() + goal.instructions)
            message = f"executed {goal.instructions} instructions"
        elif goal.time is not None:
            now = execution.now()
            if now > goal.time:
                raise UsageError(f"--time {_seconds(goal.time)}: the guest is at {_seconds(now)} already")
            stop = execution.goto_time(goal.time)
            message = f"is at {_seconds(execution.now())} of its time"
        else:
            stop = self._go_to_place(execution)
            times = "" if goal.count == 1 else f" for the {ordinal(goal.count)} time"
            message = f"reached {goal.place}{times}"
        if execution.result is not None or stop.reason is Reason.ENDED:
            return execution.result or stopped_short()
        self._save(note=message, run=execution.run)
        self.saved = True
        return conclude(execution.run, RunResult(Ending.LIMIT, STATUS_LIMIT, message), 0.0)

    def _go_to_place(self, execution: Execution) -> Stop:
        execution.set_breakpoints((self._address or 0,), ())
        hits = 0
        while True:
            stop = execution.resume()
            if stop.reason is not Reason.SOFTWARE_BREAKPOINT:
                return stop
            hits += self._goal.vcpu in (None, stop.vcpu)
            if hits >= self._goal.count:
                return stop


def _until(machine: Parts, pattern: re.Pattern[str], run: Callable[[], RunResult]) -> tuple[RunResult, bool]:
    """Run until the console shows a match of ``pattern``; return the result, and whether it did."""
    results: list[RunResult] = []

    def once() -> RunResult:
        results.append(run())
        return results[-1]

    try:
        Conversation(machine).expect(pattern, once)
    except ExpectationError as error:
        return error.result, False
    return results[-1], True


def _missed(goal: _Goal) -> str:
    if goal.instructions is not None:
        return f"--instructions {goal.instructions} were not executed: "
    if goal.time is not None:
        return f"--time {_seconds(goal.time)} was not reached: "
    if goal.place is not None:
        times = "" if goal.count == 1 else f" {goal.count} times"
        return f"--at {goal.place} was not reached{times}: "
    return "" if goal.pattern is None else f"--console {goal.text!r} was not printed: "


def _time(text: str) -> int:
    try:
        return parse_duration(f"{text}s" if text.replace(".", "", 1).isdecimal() else text)
    except ValueError as error:
        raise UsageError(f"--time: {error}") from error


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds // _NANOSECONDS}.{nanoseconds % _NANOSECONDS:09} s"


def _address(place: str, symbols: SymbolTable) -> int:
    try:
        return places.code_address(place, symbols)
    except UsageError as error:
        raise UsageError(f"--at {error}") from error


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return compiled(text)
    except UsageError as error:
        raise UsageError(f"--console {error}") from error


def _show(path: Path, *, as_object: bool) -> int:
    facts = import_module(_FACTS).facts_of(path)
    if as_object:
        show(json.dumps(facts, indent=2))
    else:
        width = max(map(len, facts))
        show("\n".join(f"{name:<{width}}  {value}" for name, value in facts.items()))
    return 0
