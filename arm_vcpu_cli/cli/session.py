"""Running a guest for a person: console, signals, and what is said at the end."""

from __future__ import annotations

from collections.abc import Callable

from arm_vcpu_cli.cli.options import GuestOptions, say, tell
from arm_vcpu_cli.cli.terminal import open_console, raw_terminal, signals_stop
from arm_vcpu_cli.machine.builder import Machine, build_machine, start
from arm_vcpu_cli.machine.report import death_report, register_dump, wants_report
from arm_vcpu_cli.machine.runner import Ending, RunResult, run_machine
from arm_vcpu_cli.machine.watchdog import Watchdog


def run_guest(
    options: GuestOptions,
    prepare: Callable[[Machine], None] | None = None,
    finish: Callable[[RunResult], None] | None = None,
) -> int:
    """Load and run a guest; the exit status.

    ``prepare`` gets the machine before its vCPU is bound, ``finish`` the end before it is told to the user.
    """
    description, image = options.load()
    console = open_console()
    with build_machine(description, image, console) as machine:
        if prepare is not None:
            prepare(machine)
        start(machine)
        watchdog = Watchdog(machine.host.core(0).stop, description.limits.timeout)
        with raw_terminal() as terminal, signals_stop(watchdog):
            console.connect(
                quit_requested=watchdog.interrupt,
                ignored=terminal.hint_once,
                cancelled=watchdog.has_fired,
            )
            result = run_machine(machine, watchdog)
        if console.in_line and result.ending is not Ending.POWERED_OFF:
            tell("")
        if finish is not None:
            finish(result)
        _tell(machine, result, regs=options.regs)
        return result.status


def _tell(machine: Machine, result: RunResult, *, regs: bool) -> None:
    if wants_report(result, regs=regs):
        tell("\n".join(death_report(machine)))
    elif regs:
        tell("\n".join(register_dump(machine)))
    if regs:
        say(f"{result.message} ({result.exits} exits to EL2, {result.seconds:.3f} s)")
    elif result.ending is not Ending.POWERED_OFF:
        say(result.message)
