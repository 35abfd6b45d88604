"""The run loop: runs a machine to its end and reports how it ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from arm_vcpu_cli.errors import OutputCancelledError, OutputError
from arm_vcpu_cli.host.console import InputEndedError
from arm_vcpu_cli.host.console_output import ConsoleCancelledError, ConsoleClosedError
from arm_vcpu_cli.host.watchdog import StopCause, Watchdog
from arm_vcpu_cli.vm.endings import (
    ENDS_OF_A_PANIC,
    STATUS_FAULT,
    STATUS_INTERRUPTED,
    STATUS_LIMIT,
    Ending,
    RunResult,
)
from arm_vcpu_cli.vm.exit_handlers import EXIT_HANDLERS, Verdict, in_vain, next_turn, no_progress
from arm_vcpu_cli.vm.guest_run import GuestRun
from arm_vcpu_cli.vm.machine import Machine


def stopped(run: GuestRun) -> Verdict:
    """The result if the run has been asked to end here."""
    machine, cause = run.machine, run.watchdog.cause
    if run.panic.over:
        return _panicked(run, None)
    if cause is StopCause.INTERRUPT:
        return _interrupted(f"interrupted at {run.place()}{run.doing()}")
    if cause is StopCause.TIMEOUT:
        seconds = machine.description.limits.timeout or run.watchdog.timeout
        return RunResult(Ending.LIMIT, STATUS_LIMIT, f"stopped after {seconds:g} s at {run.place()}{run.doing()}")
    if machine.input.replay_over:
        return _interrupted(f"the recorded run ended here, at {run.place()}")
    limit = machine.description.limits.max_exits
    if limit and machine.exits >= limit:
        return RunResult(Ending.LIMIT, STATUS_LIMIT, f"stopped after {limit} exits at {run.place()}")
    enough = machine.seen_enough
    return RunResult(Ending.LIMIT, STATUS_LIMIT, enough) if isinstance(enough, str) else enough


def _interrupted(message: str) -> RunResult:
    return RunResult(Ending.INTERRUPTED, STATUS_INTERRUPTED, message)


def stopped_short() -> RunResult:
    """Return the result of a run that will not be continued."""
    return _interrupted("stopped")


def _panicked(run: GuestRun, end: RunResult | None) -> RunResult:
    """The result for a guest whose kernel has panicked; ``end`` is the later ending, if any."""
    then = "" if end is None else f"; then {end.message}"
    return RunResult(Ending.PANIC, STATUS_FAULT, f"the guest's kernel panicked: {run.panic.text}{then}")


def _loop(run: GuestRun) -> RunResult:
    scheduler = run.machine.scheduler
    while True:
        run_vcpu = scheduler.current.vcpu.run
        while not scheduler.over:
            reason = run_vcpu()
            verdict = EXIT_HANDLERS[type(reason)](run, reason) or stopped(run)
            if verdict is not None:
                return verdict
        verdict = next_turn(run) or stopped(run)
        if verdict is not None:
            return verdict


def run_on(run: GuestRun, loop: Callable[[GuestRun], Verdict]) -> Verdict:
    """Run by ``loop`` to the end, or until it leaves the guest stopped, and flush the remaining output."""
    console = run.machine.console
    try:
        result = loop(run)
        run.note_idle()
        console.flush()
    except (ConsoleCancelledError, OutputCancelledError):
        return stopped(run) or _interrupted("the console was abandoned")
    except ConsoleClosedError as error:
        return RunResult(Ending.INTERRUPTED, error.exit_status, str(error))
    except OutputError as error:
        # The owner of the output reports the error. The guest's output up to now can still be printed.
        with contextlib.suppress(ConsoleClosedError, ConsoleCancelledError):
            console.flush()
        return RunResult(Ending.INTERRUPTED, error.exit_status, str(error))
    except InputEndedError as error:
        return no_progress(in_vain(run.machine, str(error)))
    if result is not None and run.silent_kernel is not None and result.ending in ENDS_OF_A_PANIC:
        run.silent_kernel.read()
    if result is not None and run.panic.text is not None and result.ending in ENDS_OF_A_PANIC:
        return _panicked(run, result)
    return result


def conclude(run: GuestRun, result: RunResult, seconds: float) -> RunResult:
    """Return the result of a run that ended after ``seconds``; its recordings and reports are complete then."""
    machine = run.machine
    quiet, idle = run.hang.quiet_seconds(), run.idle_seconds
    with contextlib.suppress(OutputError):
        # The recording cannot be written; closing it reports the error.
        machine.input.finish()
    for cpu in machine.cpus:
        cpu.arch.close_record()
    machine.look_at(run.culprit or machine.current)
    return RunResult(
        result.ending, result.status, result.message, machine.exits, seconds, quiet, idle, run.panic.printed
    )


def run_machine(machine: Machine, watchdog: Watchdog, run: GuestRun | None = None) -> RunResult:
    """Run a started machine to its end. ``watchdog`` must be entered; limits come from the description. ``run``
    provides the watchers, by default new ones."""
    started = time.perf_counter()
    run = GuestRun(machine, watchdog) if run is None else run
    run.start()
    result = run_on(run, _loop) or stopped_short()
    return conclude(run, result, time.perf_counter() - started)
