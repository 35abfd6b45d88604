"""The run loop: runs a machine to its end and says how it ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from arm_vcpu_cli.arch.registers.el1regs import AFFINITY_MASK
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
from arm_vcpu_cli.host.console import ConsoleCancelledError, ConsoleClosedError, InputEndedError
from arm_vcpu_cli.host.watchdog import StopCause, Watchdog
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.builder import Machine
from arm_vcpu_cli.vm.diagnosis import explain_stuck, with_symbol
from arm_vcpu_cli.vm.watch.hang import HangWatch, are_interrupts_masked
from arm_vcpu_cli.vm.watch.idle import IdleTime, wait_for_interrupt
from arm_vcpu_cli.vm.watch.panic import PanicWatch

STATUS_OFF: Final = 0
STATUS_FAULT: Final = 122
STATUS_NO_PROGRESS: Final = 123
STATUS_LIMIT: Final = 124
STATUS_INTERRUPTED: Final = 130
_WORTH_TELLING: Final = 1.0
"""Seconds that a guest has to be quiet or idle for it to be mentioned."""


class Ending(Enum):
    """How a run ended."""

    POWERED_OFF = "powered off"
    RESET = "reset"
    PANIC = "panic"
    EXITED = "exited"
    FAULT = "fault"
    NO_PROGRESS = "no progress"
    LIMIT = "limit"
    INTERRUPTED = "interrupted"


_ENDS_OF_A_PANIC: Final = (Ending.POWERED_OFF, Ending.RESET, Ending.NO_PROGRESS)
"""How a guest ends that has panicked and does not wait to be looked at."""


class RunResult(Record):
    """The end of a run: ``status`` is the command's exit status, ``message`` one line for people."""

    ending: Ending
    status: int
    message: str
    exits: int = 0
    seconds: float = 0.0


Verdict = RunResult | None
"""None: the guest goes on."""


class GuestRun:
    """One run of a machine, and those who watch it."""

    def __init__(self, machine: Machine, watchdog: Watchdog) -> None:
        self.machine = machine
        self.watchdog = watchdog
        self.panic = PanicWatch(machine.host.core(0).request_stop)
        self.hang = HangWatch(machine)
        self.idle = IdleTime()

    def start(self) -> None:
        """Begin to watch."""
        self.machine.arch_vcpu.max_exits = self.machine.description.limits.max_exits
        self.machine.console.observe(self.panic.see)
        self.hang.start()

    def place(self) -> str:
        """Where the guest is."""
        return with_symbol(self.machine, self.machine.arch_vcpu.ctx.elr)

    def doing(self) -> str:
        """What is known of the guest's last seconds, to be put behind its place; nothing if it was busy."""
        machine = self.machine
        quiet = self.hang.quiet_seconds()
        if quiet >= _WORTH_TELLING:
            masked = ", interrupts masked" if are_interrupts_masked(machine) else ""
            return f": no exit for the last {quiet:.0f} s{masked}"
        idle = self.idle.seconds(machine.clock.now(), self.panic.printed)
        if idle >= _WORTH_TELLING:
            ended = ", and its input has ended" if machine.input.starved() else ""
            return f": idle for the last {idle:.0f} s of its time{ended}"
        return ""


def _fault(message: str) -> RunResult:
    return RunResult(Ending.FAULT, STATUS_FAULT, message)


def _no_progress(message: str) -> RunResult:
    return RunResult(Ending.NO_PROGRESS, STATUS_NO_PROGRESS, message)


def _system_down(_run: GuestRun, exit_: SystemDown) -> Verdict:
    if exit_.action is PowerAction.EXIT:
        return RunResult(Ending.EXITED, exit_.status, f"the guest exited with status {exit_.status}")
    if exit_.action is PowerAction.RESET:
        return RunResult(Ending.RESET, STATUS_OFF, "the guest asked for a reset")
    return RunResult(Ending.POWERED_OFF, STATUS_OFF, "the guest powered off")


def _cpu_up(run: GuestRun, exit_: CpuUp) -> Verdict:
    own = run.machine.arch_vcpu.mpidr & AFFINITY_MASK
    status = PsciStatus.ALREADY_ON if exit_.target_cpu == own else PsciStatus.INVALID_PARAMETERS
    run.machine.vcpu.set_return_value(to_u64(status))
    return None


def _cpu_down(run: GuestRun, _exit: CpuDown) -> Verdict:
    return _no_progress(f"the last CPU switched itself off at {run.place()}")


def _halt(run: GuestRun, _exit: Halt) -> Verdict:
    machine = run.machine
    begun = machine.clock.now()
    go_on_looking = run.hang.pause()
    machine.vcpu.block()
    woken = wait_for_interrupt(machine)
    machine.vcpu.unblock()
    go_on_looking()
    run.idle.waited(begun, machine.clock.now(), run.panic.printed)
    if woken:
        return _idle_for_ever(run)
    if machine.input.starved():
        return _no_progress(f"the guest waits for input at {run.place()}, and the input has ended")
    masked = ", with interrupts masked" if are_interrupts_masked(machine) else ""
    return _no_progress(f"the guest waits for an interrupt at {run.place()}{masked}, and nothing can raise one")


def _idle_for_ever(run: GuestRun) -> Verdict:
    """A kernel at its prompt never stops setting timers. Once nobody can type any more, that is no progress."""
    limit = run.machine.description.limits.idle
    if not limit or not run.machine.input.starved():
        return None
    idle = run.idle.seconds(run.machine.clock.now(), run.panic.printed)
    if idle < limit:
        return None
    return _no_progress(
        f"the guest has been idle for {idle:.0f} s of its time, and its input has ended (limits.idle), at {run.place()}"
    )


def _external_interrupt(run: GuestRun, _exit: ExternalInterrupt) -> Verdict:
    run.hang.preempted()
    run.machine.clock.expire(budget_used=True)
    return None


def _nothing(run: GuestRun, _exit: Nothing) -> Verdict:
    # A stop that somebody asked for, or an alarm of the machine's own.
    machine = run.machine
    budget_used = machine.arch_vcpu.stopped_by is StopReason.BUDGET
    if budget_used and run.hang.has_stopped():
        why = run.hang.look()
        if why is None:
            return None
        return _no_progress(f"the guest hangs in a loop at {with_symbol(machine, run.hang.place)}, {why}")
    machine.clock.expire(budget_used=budget_used)
    machine.input.deliver()
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
        # An SGI to a machine of one CPU without an interrupt controller reaches nobody.
        SendIPI: _go_on,
        ExternalInterrupt: _external_interrupt,
        Nothing: _nothing,
        # The platform completes these in place; coming here they are a fault of ours, and reported as one.
        Hypercall: _unexpected,
        MmioRead: _unexpected,
        MmioWrite: _unexpected,
        SysRegRead: _unexpected,
        SysRegWrite: _unexpected,
        IoRead: _unexpected,
        IoWrite: _unexpected,
    }
)
"""What the machine does about each exit that ``run()`` returns."""


def _stopped(run: GuestRun) -> Verdict:
    machine, cause = run.machine, run.watchdog.cause
    if run.panic.over:
        return _panicked(run, None)
    if cause is StopCause.INTERRUPT:
        return _interrupted(f"interrupted at {run.place()}{run.doing()}")
    if cause is StopCause.TIMEOUT:
        seconds = machine.description.limits.timeout
        return RunResult(Ending.LIMIT, STATUS_LIMIT, f"stopped after {seconds:g} s at {run.place()}{run.doing()}")
    if machine.input.replay_over:
        return _interrupted(f"the recorded run ended here, at {run.place()}")
    limit = machine.arch_vcpu.max_exits
    if limit and machine.arch_vcpu.exits >= limit:
        return RunResult(Ending.LIMIT, STATUS_LIMIT, f"stopped after {limit} exits at {run.place()}")
    return None


def _interrupted(message: str) -> RunResult:
    return RunResult(Ending.INTERRUPTED, STATUS_INTERRUPTED, message)


def _panicked(run: GuestRun, end: RunResult | None) -> RunResult:
    """The end of a guest whose kernel has panicked; ``end`` is what else there is to say."""
    then = "" if end is None else f"; then {end.message}"
    return RunResult(Ending.PANIC, STATUS_FAULT, f"the guest's kernel panicked: {run.panic.text}{then}")


def _loop(run: GuestRun) -> RunResult:
    run_vcpu = run.machine.vcpu.run
    while True:
        reason = run_vcpu()
        verdict = EXIT_HANDLERS[type(reason)](run, reason) or _stopped(run)
        if verdict is not None:
            return verdict


def _end(run: GuestRun) -> RunResult:
    """Run to the end; what is still to be printed is printed."""
    console = run.machine.console
    try:
        result = _loop(run)
        console.flush()
    except (ConsoleCancelledError, OutputCancelledError):
        return _stopped(run) or _interrupted("the console was abandoned")
    except ConsoleClosedError as error:
        return RunResult(Ending.INTERRUPTED, error.exit_status, str(error))
    except OutputError as error:
        # Whoever has the output open reports it. What the guest has printed by now can still be shown.
        with contextlib.suppress(ConsoleClosedError, ConsoleCancelledError):
            console.flush()
        return RunResult(Ending.INTERRUPTED, error.exit_status, str(error))
    except InputEndedError as error:
        return _no_progress(f"{error}, at {run.place()}")
    if run.panic.text is not None and result.ending in _ENDS_OF_A_PANIC:
        return _panicked(run, result)
    return result


def run_machine(machine: Machine, watchdog: Watchdog) -> RunResult:
    """Run a started machine to its end. ``watchdog`` is entered already; limits come from the description."""
    started = time.perf_counter()
    run = GuestRun(machine, watchdog)
    run.start()
    result = _end(run)
    with contextlib.suppress(OutputError):
        # The recording cannot be written, which is reported when it is closed.
        machine.input.finish()
    machine.arch_vcpu.close_record()
    machine.arch_vcpu.synchronise()
    return RunResult(
        result.ending, result.status, result.message, machine.arch_vcpu.exits, time.perf_counter() - started
    )
