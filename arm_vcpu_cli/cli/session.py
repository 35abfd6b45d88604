"""Runs a guest for a user: console, signals, and the last line."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final, TextIO

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.board.description import NO_LIMITS, ClockSource, MachineDescription
from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.output import say, tell
from arm_vcpu_cli.cli.progress import doing
from arm_vcpu_cli.cli.terminal import open_console, raw_terminal, signals_stop, signals_wake
from arm_vcpu_cli.errors import OutputCancelledError, OutputError, StoppedError, UsageError
from arm_vcpu_cli.file_paths import base_name
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.machine_host import engine_version
from arm_vcpu_cli.host.watchdog import StopCause, Watchdog
from arm_vcpu_cli.inspect.postmortem.report_wanted import FULL, NONE, wants_report, was_stopped
from arm_vcpu_cli.printable import printable_lines, printable_path
from arm_vcpu_cli.record import Record, replace
from arm_vcpu_cli.vm.endings import STATUS_INTERRUPTED, STATUS_LIMIT, Ending, RunResult
from arm_vcpu_cli.vm.machine import Machine as Parts

if TYPE_CHECKING:
    from pathlib import Path

    from arm_vcpu_cli.cli.debugging import Debugging
    from arm_vcpu_cli.trace.patience import Cancelled
    from arm_vcpu_cli.vm.inputlog import InputLog
    from arm_vcpu_cli.vm.snapshot_loading import Snapshot

_AT_ONCE: Final = 1e-3
"""Seconds; 0 would mean no limit."""
_CONTINUING: Final = "arm_vcpu_cli.cli.continuing"
"""Loaded only for runs that resume from a snapshot."""
_INPUT_LOG: Final = "arm_vcpu_cli.vm.inputlog"
"""Loaded only for runs that are recorded or replayed."""
_DESTINATION: Final = "arm_vcpu_cli.trace.destination"
_OVERWRITING: Final = "arm_vcpu_cli.cli.overwriting"
"""Loaded only for commands that write a file."""
_STREAMS: Final = "arm_vcpu_cli.trace.output_stream"
"""Loaded only for a report to a file."""
_SLOW_FILES: Final = "arm_vcpu_cli.cli.slow_files"
"""Loaded only if a file may have to be waited for."""
_GUEST_WARNINGS: Final = "arm_vcpu_cli.cli.guest_warnings"
"""Loaded only for Linux kernels, and for files with warnings."""
_INJECTED: Final = "arm_vcpu_cli.inspect.postmortem.injected_faults"
"""Loaded only for machines with faults."""
_DEBUGGING: Final = "arm_vcpu_cli.cli.debugging"
"""Loaded only for runs that a debugger may attach to."""
_REPORT: Final = "arm_vcpu_cli.inspect.postmortem.report"
"""Loaded on demand: most guests end well, and loading a report takes longer than running a small guest."""


def run_guest(
    options: GuestOptions,
    prepare: Callable[[Parts, Cancelled], None] | None = None,
    finish: Callable[[RunResult, Sequence[str]], None] | None = None,
    *,
    output: Path | None = None,
    debug: Callable[[Loaded], Debugging] | None = None,
) -> int:
    """Load and run a guest; return the exit status.

    ``prepare`` receives the machine before its vCPU is bound, and opens ``output`` if there is one; ``finish`` receives
    the result and the lines of its report before they are printed. ``debug`` creates a GDB server in place of the one
    that the options describe.
    """
    with ExitStack() as debugged:
        with slow_files(options):
            loaded = load_files(options, output)
            debugging = _debugging(loaded, debug, debugged)
            connected = open_console if debugging is None else debugging.open_console
            console = connected(reads_input=options.reads_input, keys=not options.as_program)
            opened = open_machine(loaded, console)
        return _run_opened(opened, loaded, debugging, prepare, finish)


def _debugging(loaded: Loaded, wanted: Callable[[Loaded], Debugging] | None, entered: ExitStack) -> Debugging | None:
    options = loaded.options
    if wanted is None and options.gdb is None:
        if options.wait:
            raise UsageError("--wait needs --gdb [HOST:]PORT or --gdb unix:PATH")
        return None
    made = import_module(_DEBUGGING).Debugging(options.gdb, wait=options.wait) if wanted is None else wanted(loaded)
    debugging: Debugging = entered.enter_context(made)
    return debugging


def _run_opened(
    opened: Machine,
    loaded: Loaded,
    debugging: Debugging | None,
    prepare: Callable[[Parts, Cancelled], None] | None,
    finish: Callable[[RunResult, Sequence[str]], None] | None,
) -> int:
    options, machine = loaded.options, opened.parts
    image = loaded.image
    if (image.warnings or image.kind == "linux") and not (options.as_program or loaded.snapshot):
        import_module(_GUEST_WARNINGS).warn_of_guest(machine)
    with opened, watched(machine, loaded) as watchdog, ExitStack() as recording, ExitStack() as filing:
        connect = open_input(machine, loaded, watchdog, recording)
        file = _open_report(options, watchdog, filing)
        if prepare is not None:
            prepare(machine, watchdog.has_fired)
        with raw_terminal(machine.console) as terminal:
            run = None if debugging is None else partial(debugging.run, opened)
            result = run_loaded(opened, watchdog, connect, ignored=terminal.hint_once, run=run)
        watchdog.rest()
        if watchdog.signalled and not watchdog.answered:
            # Too late for the guest: the signal acts as on a command that runs no guest.
            return result.status
        # From here on the end of the run is reported, in one line; a signal only ends waits for readers.
        watchdog.answered = True
        is_report_due = debugging is None or not debugging.has_ended
        report = _report(machine, result, options) if is_report_due else ()
        if machine.console.in_line and (report or result.ending is not Ending.POWERED_OFF):
            tell("", watchdog.has_fired)
        # Notify each of the end, even if another fails.
        steps: list[Callable[[], None]] = [recording.close]
        if finish is not None:
            steps.append(partial(finish, result, report))
        if file is not None:
            steps.append(partial(_file_report, machine, result, file, filing))
        failures = [failure for failure in map(_failure_of, steps) if failure is not None]
        for failure in failures:
            if not isinstance(failure, OutputCancelledError) or not _was_stopped(result):
                raise failure
        if options.as_program and not options.regs:
            if result.status:
                say(f"{printable_path(options.file)}: {result.message}", watchdog.has_fired)
        elif debugging is None or not debugging.is_quiet or options.regs:
            _tell(result, report, watchdog.has_fired, regs=options.regs)
        # Write here, where signals are deferred: on the way out a signal would print a second line.
        opened.close()
        return result.status


class Loaded(Record):
    """The loaded files of a run; ``log`` is the recorded run to replay, and ``snapshot`` where the run continues.
    ``since`` is the ``time.monotonic`` at which loading began."""

    since: float
    options: GuestOptions
    description: MachineDescription
    image: GuestImage
    log: InputLog | None
    snapshot: Snapshot | None = None


def load_files(options: GuestOptions, output: Path | None = None) -> Loaded:
    """Load the files named by the options. Raises FileError if ``output``, a recording or a report would overwrite
    one."""
    since = time.monotonic()
    snapshot: Snapshot | None = None
    with doing(f"loading {base_name(options.file)}"):
        if options.from_snapshot is None:
            description, image = options.load()
        else:
            snapshot = import_module(_CONTINUING).open_snapshot(options, options.from_snapshot)
            description, image = snapshot.description, snapshot.image
    if any(path is not None for path in (output, options.record, options.report_file)):
        import_module(_OVERWRITING).check_guest(options, description, output)
    log = None if options.replay is None else import_module(_INPUT_LOG).load_input_log(options.replay)
    return Loaded(since, options, description, image, log, snapshot)


def open_machine(loaded: Loaded, console: Console) -> Machine:
    """Build the machine of the loaded files. Raises as :meth:`Machine.open` does."""
    if loaded.snapshot is not None:
        return Machine.open(console=console, from_snapshot=loaded.snapshot)
    return Machine.open(loaded.image, loaded.description, console=console)


def slow_files(options: GuestOptions) -> AbstractContextManager[None]:
    """Return a context for reading files that may have to be waited for: a FIFO may have no writer."""
    files = (
        options.guest,
        options.from_snapshot,
        options.machine,
        options.initrd,
        options.symbols,
        options.replay,
        options.dtb,
        options.faults,
        *(path for path, _ in options.loads),
    )
    # Unlike Path's method, this never raises: the reader of a file reports its errors.
    if all(os.path.isfile(path) for path in files if path is not None):  # noqa: PTH113
        return nullcontext()
    waiting: AbstractContextManager[None] = import_module(_SLOW_FILES).waiting_ends(options.timeout)
    return waiting


@contextmanager
def watched(machine: Parts, loaded: Loaded) -> Iterator[Watchdog]:
    """Make signals and the time limit stop the guest, and all waits for readers of its output.

    The limit counts from when the files were read.
    """
    limit = machine.description.limits.timeout
    left = max(limit - (time.monotonic() - loaded.since), _AT_ONCE) if limit else limit
    watchdog = Watchdog(machine.request_stop, left)
    with signals_stop(watchdog), watchdog, signals_wake(watchdog):
        try:
            yield watchdog
        except OutputCancelledError as error:
            watchdog.answered = True
            if watchdog.cause is StopCause.TIMEOUT:
                message = f"stopped after {machine.description.limits.timeout:g} s: {error}"
                raise StoppedError(message, STATUS_LIMIT) from error
            raise StoppedError(f"interrupted: {error}", STATUS_INTERRUPTED) from error


def run_loaded(
    machine: Machine,
    watchdog: Watchdog,
    connect: Callable[[], None],
    *,
    ignored: Callable[[], None],
    run: Callable[[Watchdog], RunResult] | None = None,
) -> RunResult:
    """Start a machine and run it to its end, or until a signal or a limit stops it.

    ``connect`` comes from :func:`open_input`. ``ignored`` is called when a Ctrl-C is typed at a guest that has not
    taken the one before. ``run`` runs the started machine; the default is a plain run.
    """
    machine.start()
    machine.parts.console.connect(quit_requested=watchdog.interrupt, ignored=ignored, cancelled=watchdog.has_fired)
    connect()
    # Loaded objects stay alive, so the garbage collector need not examine them again.
    gc.freeze()
    gc.enable()
    result = machine.run_watched(watchdog) if run is None else run(watchdog)
    watchdog.answered = result.ending is Ending.PANIC or result.status == STATUS_INTERRUPTED
    return result


def open_input(machine: Parts, loaded: Loaded, watchdog: Watchdog, recording: ExitStack) -> Callable[[], None]:
    """Find and check the source of the guest's input; return the function that connects it.

    A recording is opened here, and closed with ``recording``.
    """
    options = loaded.options
    if loaded.log is not None:
        if loaded.snapshot is None:
            loaded.log.check(_facts(machine, loaded))
            return partial(machine.input.replay, loaded.log)
        _check_repeatable(machine, options)
        return partial(machine.input.replay, loaded.log, loaded.snapshot.place_in(loaded.log))
    if options.record is None:
        # Going back in time repeats the input, so under a debugger it arrives as in a recorded run.
        ahead = options.gdb is not None
        return partial(_watch, machine, ahead=ahead) if machine.gic is not None or ahead else _nothing
    facts = _facts(machine, loaded)
    file = recording.enter_context(import_module(_DESTINATION).open_destination(options.record, watchdog.has_fired))

    def record() -> None:
        machine.input.record(import_module(_INPUT_LOG).InputRecorder(file.write, facts))
        _watch(machine, ahead=True)

    return record


def _watch(machine: Parts, *, ahead: bool) -> None:
    """Deliver input independently of the guest's reads: it may interrupt the guest, and recorded input must arrive
    between instructions."""
    machine.console.watch(machine.request_stop, ahead=ahead)


def _nothing() -> None:
    """Do nothing: the guest's UART checks for input itself."""


def _failure_of(step: Callable[[], None]) -> OutputError | None:
    try:
        step()
    except OutputError as error:
        return error
    return None


def _was_stopped(result: RunResult) -> bool:
    """Whether the result already says that the run was stopped from outside."""
    return result.ending in (Ending.LIMIT, Ending.INTERRUPTED)


def facts_of_recording(machine: Parts, loaded: Loaded) -> Mapping[str, str]:
    """The facts of the recording that the run is written to or read from; empty if there is none."""
    if loaded.log is not None:
        return loaded.log.facts
    return {} if loaded.options.record is None else _facts(machine, loaded)


def _check_repeatable(machine: Parts, options: GuestOptions) -> None:
    """Raise :class:`UsageError` for a run that depends on more than its input."""
    description = machine.description
    option = "--record" if options.record is not None else "--replay"
    if description.clock.source is not ClockSource.INSTRUCTIONS:
        raise UsageError(f"{option} needs --clock instructions: runs on the host's clock are not repeatable")
    if options.from_stdin:
        raise UsageError(f"{option}: the guest is read from stdin; expected a file, which can be read again")
    if description.semihosting_dir is not None:
        raise UsageError(f"{option} and --semihosting-dir: file contents that a guest reads are not recorded")


def _facts(machine: Parts, loaded: Loaded) -> dict[str, str]:
    """The facts that a run depends on besides its input."""
    options, description = loaded.options, machine.description
    _check_repeatable(machine, options)
    if loaded.snapshot is not None:
        return {"snapshot": loaded.snapshot.digest, "engine": engine_version()}
    log = import_module(_INPUT_LOG)
    files = {"guest": options.guest, "initrd": description.boot.initrd}
    files |= {f"memory.{region.name}.file": region.file for region in description.memory}
    files |= {f"the file at {load.address:#x}": load.path for load in description.loads}
    files |= {"device tree": description.boot.dtb_file}
    # Limits only cut a run short, and file names say nothing about content.
    machine_alone = replace(
        description,
        name="",
        path=None,
        limits=NO_LIMITS,
        boot=replace(description.boot, initrd=None, dtb_file=None, bootargs=""),
        loads=(),
        clock=replace(description.clock, seed=0),
        memory=tuple(replace(region, file=None) for region in description.memory),
    )
    return {
        **{name: log.file_digest(path) for name, path in files.items() if path is not None},
        "command line": description.boot.bootargs,
        "seed": str(description.clock.seed),
        "machine": log.digest(repr(machine_alone).encode()),
        "engine": engine_version(),
    }


def _open_report(options: GuestOptions, watchdog: Watchdog, filing: ExitStack) -> TextIO | None:
    """The file of the report, opened before the guest runs, so that a failure does not waste the run."""
    if options.report_file is None:
        return None
    file: TextIO = filing.enter_context(
        import_module(_STREAMS).open_output(options.report_file, cancelled=watchdog.has_fired)
    )
    return file


def _report(machine: Parts, result: RunResult, options: GuestOptions) -> Sequence[str]:
    """The report on the end of a run, before the last line; empty if the guest ended it normally."""
    if wants_report(result, options.report, regs=options.regs, kernel=machine.image.kind == "linux"):
        form = FULL if options.regs and options.report is None else options.report
        lines: list[str] = import_module(_REPORT).report_lines(machine, result, form=form, regs=options.regs)
        return lines
    if options.report != NONE and was_stopped(result):
        standstill: list[str] = import_module(_REPORT).standstill_lines(machine, result)
        return [*_faults(machine), *standstill]
    faults = [] if options.report == NONE else _faults(machine)
    return [*faults, *import_module(_REPORT).all_registers(machine)] if options.regs else faults


def _faults(machine: Parts) -> list[str]:
    """The injected faults."""
    if machine.faults is None:
        return []
    lines: list[str] = import_module(_INJECTED).injected_lines(machine)
    return lines


def _file_report(machine: Parts, result: RunResult, file: TextIO, filing: ExitStack) -> None:
    lines = import_module(_REPORT).report_lines(machine, result, form=FULL)
    with filing.pop_all():
        file.write(printable_lines("\n".join([*lines, _last_line(result, timed=True)])) + "\n")


def _last_line(result: RunResult, *, timed: bool) -> str:
    return f"{result.message} ({result.exits} exits to EL2, {result.seconds:.3f} s)" if timed else result.message


def _tell(result: RunResult, report: Sequence[str], cancelled: Cancelled, *, regs: bool) -> None:
    if report:
        coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        lines = import_module(_REPORT).painted(report) if coloured else report
        tell("\n".join(lines), cancelled, coloured=coloured)
    if regs or result.ending is not Ending.POWERED_OFF:
        say(_last_line(result, timed=regs), cancelled)
