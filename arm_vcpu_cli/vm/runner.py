"""The run loop: runs a machine to its end and reports how it ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from arm_vcpu_cli.arch.smccc import PsciStatus, to_u64
from arm_vcpu_cli.arm_vcpu.exit_path import STUCK
from arm_vcpu_cli.axvcpu.exit import (
    AxVCpuExitReason,
    CpuDown,
    CpuUp,
    ExternalInterrupt,
    FailEntry,
    Halt,
    Hypercall,
    IoRead,
    IoWrite,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    Nothing,
    PowerAction,
    SendIPI,
    SysRegRead,
    SysRegWrite,
    SystemDown,
)
from arm_vcpu_cli.engine.port import StopReason
from arm_vcpu_cli.errors import OutputCancelledError, OutputError
from arm_vcpu_cli.host.console import InputEndedError
from arm_vcpu_cli.host.console_output import ConsoleCancelledError, ConsoleClosedError
from arm_vcpu_cli.host.watchdog import StopCause, Watchdog
from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.diagnosis import explain_stuck, in_handler, place_of, with_symbol
from arm_vcpu_cli.vm.endings import (
    ENDS_OF_A_PANIC,
    STATUS_FAULT,
    STATUS_INTERRUPTED,
    STATUS_LIMIT,
    STATUS_NO_PROGRESS,
    STATUS_OFF,
    STATUS_RESET,
    Ending,
    RunResult,
    exited,
)
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.power import Start
from arm_vcpu_cli.vm.watch.hang import HangWatch, are_interrupts_masked
from arm_vcpu_cli.vm.watch.idle import IdleTime, wait_for_interrupt
from arm_vcpu_cli.vm.watch.panic import PanicWatch

if TYPE_CHECKING:
    from arm_vcpu_cli.vm.reset import PowerOn

_RESET: Final = "arm_vcpu_cli.vm.reset"
"""Loaded only for runs that continue after a reset."""
_STANDING: Final = "arm_vcpu_cli.vm.standing"
"""Loaded only if several CPUs cannot make progress."""
_AWAITED: Final = "arm_vcpu_cli.vm.awaited_words"
"""Loaded only if a guest waits in vain."""
_GUEST_TIME: Final = "arm_vcpu_cli.vm.watch.guest_time"
"""Loaded only for runs that are limited by it."""
_WORTH_TELLING: Final = 1.0
"""The least seconds of quiet or idle time to mention."""

Verdict = RunResult | None
"""The end of the run, or None if the guest continues."""


class GuestRun:
    """One run of a machine, with its watchers."""

    def __init__(self, machine: Machine, watchdog: Watchdog) -> None:
        self.machine = machine
        self.watchdog = watchdog
        self.panic = PanicWatch(machine.request_stop)
        self.hang = HangWatch(machine)
        self.idle = IdleTime()
        self.culprit: Cpu | None = None
        """The CPU that the others wait for, if that is why the run is over."""
        self.power_on: PowerOn | None = None
        """The state that a reset restores; None if a reset ends the run."""

    def start(self) -> None:
        """Start the watchers."""
        self.share_exits()
        self.machine.input.cancelled = self.watchdog.has_fired
        if self.machine.description.boot.reboot:
            self.power_on = import_module(_RESET).power_on(self.machine)
        self.machine.console.observe(self.panic.see)
        self.hang.start()
        if self.machine.description.limits.guest_timeout:
            import_module(_GUEST_TIME).end_in_time(self.machine)

    def share_exits(self) -> None:
        """Give the current CPU the machine's remaining exits."""
        limit = self.machine.description.limits.max_exits
        if limit:
            arch = self.machine.current.arch
            arch.max_exits = arch.exits + limit - self.machine.exits

    def place(self) -> str:
        """The guest's location, in words."""
        return place_of(self.machine)

    def doing(self) -> str:
        """The guest's recent activity, as a suffix to its place; empty if it was busy."""
        machine = self.machine
        quiet = self.hang.quiet_seconds()
        if quiet >= _WORTH_TELLING:
            masked = ", interrupts masked" if are_interrupts_masked(machine) else ""
            return f": no exit for the last {quiet:.0f} s{masked}"
        idle = self.idle.seconds(machine.timeline.now(), self.panic.printed)
        if idle >= _WORTH_TELLING:
            ended = ", and its input has ended" if machine.input.starved() else ""
            return f": idle for the last {idle:.0f} s of its time{ended}"
        return ""


def _fault(message: str) -> RunResult:
    return RunResult(Ending.FAULT, STATUS_FAULT, message)


def _no_progress(message: str) -> RunResult:
    return RunResult(Ending.NO_PROGRESS, STATUS_NO_PROGRESS, message)


def _nobody_gets_on(run: GuestRun) -> RunResult:
    """The result for a machine whose CPUs wait for each other, or all in vain."""
    run.culprit, message = import_module(_STANDING).blame(run.machine)
    held = import_module(_AWAITED).why_none_comes(run.machine)
    return _no_progress(message if held is None else f"{message}; {held}")


def _system_down(run: GuestRun, exit_: SystemDown) -> Verdict:
    if exit_.action is PowerAction.SUSPEND:
        # The only CPU that is on waits for the same events as if it alone were suspended.
        return _halt(run, exit_)
    if exit_.action is PowerAction.EXIT:
        return exited(exit_.status)
    if exit_.action is PowerAction.RESET:
        return _reset(run)
    return RunResult(Ending.POWERED_OFF, STATUS_OFF, "the guest powered off")


def _reset(run: GuestRun) -> Verdict:
    if run.power_on is None:
        return RunResult(Ending.RESET, STATUS_RESET, "the guest asked for a reset")
    import_module(_RESET).reset_machine(run.machine, run.power_on)
    run.panic.forget()
    return None


def _cpu_up(run: GuestRun, exit_: CpuUp) -> Verdict:
    machine = run.machine
    status = machine.power.cpu_on(exit_.target_cpu, exit_.entry_point, exit_.arg)
    machine.current.vcpu.set_return_value(to_u64(status))
    if status is PsciStatus.SUCCESS:
        target = next(cpu for cpu in machine.cpus if cpu.affinity == exit_.target_cpu)
        target.starts = True
        machine.scheduler.switch_on(target)
    return None


def _cpu_down(run: GuestRun, _exit: CpuDown) -> Verdict:
    machine = run.machine
    machine.power.cpu_off(machine.current.affinity)
    if not machine.power.online():
        return _no_progress(f"the last CPU switched itself off at {run.place()}")
    machine.current.switch_off()
    machine.scheduler.switch_off()
    return None


def _halt(run: GuestRun, exit_: Halt | SystemDown) -> Verdict:
    machine = run.machine
    cpu = machine.current
    cpu.vcpu.block()
    if exit_.entry_point is not None:
        cpu.starts = True
        machine.power.suspend(cpu.affinity, Start(exit_.entry_point, exit_.arg))
    machine.input.deliver()
    machine.timeline.expire()
    if cpu.arch.interrupt_pending:
        cpu.enter()
        return None
    machine.scheduler.wait()
    if exit_.entry_point is not None and machine.gic is not None:
        machine.gic.on_wake_request(cpu.index, partial(machine.scheduler.raised, cpu.index))
    return None


def _next_turn(run: GuestRun) -> Verdict:
    """Switch to another CPU if it is due; if all of them wait, let time pass."""
    machine = run.machine
    verdict = None if machine.scheduler.choose() is not None else _idle(run)
    if machine.description.limits.max_exits:
        run.share_exits()
    return verdict


def _idle(run: GuestRun) -> Verdict:
    machine = run.machine
    begun = machine.timeline.now()
    go_on_looking = run.hang.pause()
    woken = wait_for_interrupt(machine)
    go_on_looking()
    run.idle.waited(begun, machine.timeline.now(), run.panic.printed)
    if woken:
        return _idle_for_ever(run)
    if machine.input.starved():
        return _no_progress(f"the guest waits for input at {run.place()}, and the input has ended")
    if len(machine.cpus) > 1:
        return _nobody_gets_on(run)
    held = import_module(_AWAITED).why_none_comes(machine)
    if held is not None:
        return _no_progress(f"the guest waits for an interrupt at {run.place()}, but {held}")
    masked = ", with interrupts masked" if are_interrupts_masked(machine) else ""
    return _no_progress(f"the guest waits for an interrupt at {run.place()}{masked}, and nothing can raise one")


def _idle_for_ever(run: GuestRun) -> Verdict:
    """End a guest idle at its prompt: its kernel sets timers for ever, but without further input makes no progress."""
    limit = run.machine.description.limits.idle
    if not limit or not run.machine.input.starved():
        return None
    idle = run.idle.seconds(run.machine.timeline.now(), run.panic.printed)
    if idle < limit:
        return None
    return _no_progress(
        f"the guest has been idle for {idle:.0f} s of its time, and its input has ended (limits.idle), at {run.place()}"
    )


def _external_interrupt(run: GuestRun, _exit: ExternalInterrupt) -> Verdict:
    run.hang.preempted()
    run.machine.timeline.expire(budget_used=True)
    run.machine.scheduler.look()
    return None


def _nothing(run: GuestRun, _exit: Nothing) -> Verdict:
    # A requested stop, one of the machine's own alarms, or the end of a turn.
    machine = run.machine
    stopped_by = machine.current.arch.stopped_by
    if stopped_by is StopReason.WAIT:
        machine.scheduler.wait_for_others()
        return None
    budget_used = stopped_by is StopReason.BUDGET
    if budget_used and run.hang.has_stopped():
        why = run.hang.look()
        if not why:
            return None if why is None else _nobody_gets_on(run)
        loop = f"the guest hangs in a loop at {with_symbol(machine, run.hang.place)}, {why}"
        return _no_progress(loop + in_handler(machine))
    machine.timeline.expire(budget_used=budget_used)
    machine.input.deliver()
    machine.scheduler.look()
    return None


def _page_fault(run: GuestRun, exit_: NestedPageFault) -> Verdict:
    access = (exit_.access_flags.name or "access").lower()
    backed = run.machine.ram.find(exit_.addr, 1)
    where = f"in memory region {backed.region.name}" if backed is not None else "where nothing is"
    return _fault(f"stage 2 refuses the {access} of IPA {exit_.addr:#x}, {where}, at {run.place()}")


def _fail_entry(run: GuestRun, exit_: FailEntry) -> Verdict:
    if exit_.hardware_entry_failure_reason == STUCK:
        return _fault(explain_stuck(run.machine))
    return _fault(f"{exit_.description} (at {run.place()})")


def _go_on(_run: GuestRun, _exit: AxVCpuExitReason) -> Verdict:
    return None


def _unexpected(run: GuestRun, exit_: AxVCpuExitReason) -> Verdict:
    return _fault(f"{type(exit_).__name__} that this machine does not handle at {run.place()}")


EXIT_HANDLERS: Final[Mapping[type, Callable[[GuestRun, Any], Verdict]]] = MappingProxyType(
    {
        SystemDown: _system_down,
        CpuUp: _cpu_up,
        CpuDown: _cpu_down,
        Halt: _halt,
        NestedPageFault: _page_fault,
        FailEntry: _fail_entry,
        # An SGI on a machine of one CPU without an interrupt controller has no target.
        SendIPI: _go_on,
        ExternalInterrupt: _external_interrupt,
        Nothing: _nothing,
        # The platform completes these in place; one that gets here is an internal error, and reported as such.
        Hypercall: _unexpected,
        MmioRead: _unexpected,
        MmioWrite: _unexpected,
        SysRegRead: _unexpected,
        SysRegWrite: _unexpected,
        IoRead: _unexpected,
        IoWrite: _unexpected,
    }
)
"""The handler for each exit that ``run()`` returns."""


def _stopped(run: GuestRun) -> Verdict:
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
    if machine.seen_enough is not None:
        return RunResult(Ending.LIMIT, STATUS_LIMIT, machine.seen_enough)
    return None


def _interrupted(message: str) -> RunResult:
    return RunResult(Ending.INTERRUPTED, STATUS_INTERRUPTED, message)


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
            verdict = EXIT_HANDLERS[type(reason)](run, reason) or _stopped(run)
            if verdict is not None:
                return verdict
        verdict = _next_turn(run) or _stopped(run)
        if verdict is not None:
            return verdict


def _end(run: GuestRun) -> RunResult:
    """Run to the end, and flush the remaining output."""
    console = run.machine.console
    try:
        result = _loop(run)
        console.flush()
    except (ConsoleCancelledError, OutputCancelledError):
        return _stopped(run) or _interrupted("the console was abandoned")
    except ConsoleClosedError as error:
        return RunResult(Ending.INTERRUPTED, error.exit_status, str(error))
    except OutputError as error:
        # The owner of the output reports the error. The guest's output up to now can still be printed.
        with contextlib.suppress(ConsoleClosedError, ConsoleCancelledError):
            console.flush()
        return RunResult(Ending.INTERRUPTED, error.exit_status, str(error))
    except InputEndedError as error:
        return _no_progress(f"{error}, at {run.place()}")
    if run.panic.text is not None and result.ending in ENDS_OF_A_PANIC:
        return _panicked(run, result)
    return result


def run_machine(machine: Machine, watchdog: Watchdog) -> RunResult:
    """Run a started machine to its end. ``watchdog`` is entered already; limits come from the description."""
    started = time.perf_counter()
    run = GuestRun(machine, watchdog)
    run.start()
    result = _end(run)
    quiet, idle = run.hang.quiet_seconds(), run.idle.seconds(machine.timeline.now(), run.panic.printed)
    with contextlib.suppress(OutputError):
        # The recording cannot be written; closing it reports the error.
        machine.input.finish()
    for cpu in machine.cpus:
        cpu.arch.close_record()
    machine.look_at(run.culprit or machine.current)
    seconds = time.perf_counter() - started
    return RunResult(
        result.ending, result.status, result.message, machine.exits, seconds, quiet, idle, run.panic.printed
    )
