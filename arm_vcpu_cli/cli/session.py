"""Running a guest for a person: console, signals, and what is said at the end."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Final

from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.output import say, tell
from arm_vcpu_cli.cli.progress import doing
from arm_vcpu_cli.cli.terminal import Terminal, open_console, raw_terminal, signals_stop, signals_wake
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.machine.builder import Machine, build_machine, start
from arm_vcpu_cli.machine.description import NO_LIMITS, ClockSource
from arm_vcpu_cli.machine.host import engine_version
from arm_vcpu_cli.machine.postmortem.report_wanted import wants_advice, wants_report
from arm_vcpu_cli.machine.runner import STATUS_INTERRUPTED, Ending, RunResult, run_machine
from arm_vcpu_cli.machine.watchdog import Watchdog
from arm_vcpu_cli.record import replace

_INPUT_LOG: Final = "arm_vcpu_cli.machine.inputlog"
"""Needed by runs that are recorded or repeated only."""
_REPORT: Final = "arm_vcpu_cli.machine.postmortem.report"
"""Most guests end well, and a report takes longer to load than a small one to run."""


def run_guest(
    options: GuestOptions,
    prepare: Callable[[Machine], None] | None = None,
    finish: Callable[[RunResult], None] | None = None,
) -> int:
    """Load and run a guest; the exit status.

    ``prepare`` gets the machine before its vCPU is bound, ``finish`` the end before it is told to the user.
    """
    with doing(f"loading {options.guest.name}"):
        description, image = options.load()
    console = open_console()
    with build_machine(description, image, console) as machine:
        if prepare is not None:
            prepare(machine)
        result = run_loaded(machine, options, raw_terminal())
        if console.in_line and result.ending is not Ending.POWERED_OFF:
            tell("")
        if finish is not None:
            finish(result)
        _tell(machine, result, regs=options.regs)
        return result.status


def run_loaded(machine: Machine, options: GuestOptions, keys: AbstractContextManager[Terminal]) -> RunResult:
    """Start a machine and run it to its end, or until a signal or a limit stops it.

    ``keys`` is where the user types, as it has to be while the guest runs.
    """
    start(machine)
    watchdog = Watchdog(machine.host.core(0).request_stop, machine.description.limits.timeout)
    # The terminal is set and put back where no signal can come in between.
    with signals_stop(watchdog) as arrivals, keys as terminal, watchdog, signals_wake(watchdog):
        machine.console.connect(
            quit_requested=watchdog.interrupt, ignored=terminal.hint_once, cancelled=watchdog.has_fired
        )
        _connect_input(machine, options)
        # What has been loaded stays: the collector need not look at it again.
        gc.freeze()
        gc.enable()
        result = run_machine(machine, watchdog)
        arrivals.answered = result.ending is Ending.PANIC or result.status == STATUS_INTERRUPTED
    return result


def _connect_input(machine: Machine, options: GuestOptions) -> None:
    """Where what the guest receives comes from."""
    if options.replay is not None:
        log = import_module(_INPUT_LOG).load_input_log(options.replay)
        log.check(_facts(machine, options))
        machine.input.replay(log)
        return
    if options.record is not None:
        machine.input.record(import_module(_INPUT_LOG).InputRecorder(options.record, _facts(machine, options)))
    if machine.gic is not None or options.record is not None:
        # Input may interrupt the guest, wherever it is; and what is recorded has to have come between instructions.
        machine.console.watch(machine.host.core(0).request_stop)


def _facts(machine: Machine, options: GuestOptions) -> dict[str, str]:
    """What a run depends on beside its input."""
    description = machine.description
    if description.clock.source is not ClockSource.INSTRUCTIONS:
        option = "--record" if options.record is not None else "--replay"
        raise UsageError(f"{option} needs --clock instructions: the host never repeats itself")
    log = import_module(_INPUT_LOG)
    files = {"guest": options.guest, "initrd": description.boot.initrd}
    files |= {f"memory.{region.name}.file": region.file for region in description.memory}
    # Limits say when a run is cut short, and names of files nothing about what is in them.
    machine_alone = replace(
        description,
        name="",
        path=None,
        limits=NO_LIMITS,
        boot=replace(description.boot, initrd=None, bootargs=""),
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


def _tell(machine: Machine, result: RunResult, *, regs: bool) -> None:
    if regs or wants_report(result) or wants_advice(result):
        report = import_module(_REPORT)
        color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        if wants_report(result, regs=regs):
            lines = report.death_report(machine, result, color=color)
        elif wants_advice(result):
            lines = report.brief_report(machine, result, color=color)
        else:
            lines = report.register_dump(machine)
        if lines:
            tell("\n".join(lines))
    if regs:
        say(f"{result.message} ({result.exits} exits to EL2, {result.seconds:.3f} s)")
    elif result.ending is not Ending.POWERED_OFF:
        say(result.message)
