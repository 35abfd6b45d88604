"""The run loop: runs a machine to its end and says how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from arm_vcpu_cli.arch.regs import AFFINITY_MASK
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
from arm_vcpu_cli.machine.builder import Machine
from arm_vcpu_cli.machine.console import ConsoleCancelledError, ConsoleClosedError, InputEndedError
from arm_vcpu_cli.machine.diagnosis import explain_stuck, with_symbol
from arm_vcpu_cli.machine.idle import wait_for_interrupt
from arm_vcpu_cli.machine.watchdog import StopCause, Watchdog

STATUS_OFF: Final = 0
STATUS_FAULT: Final = 122
STATUS_NO_PROGRESS: Final = 123
STATUS_LIMIT: Final = 124
STATUS_INTERRUPTED: Final = 130


class Ending(Enum):
    """How a run ended."""

    POWERED_OFF = "powered off"
    RESET = "reset"
    EXITED = "exited"
    FAULT = "fault"
    NO_PROGRESS = "no progress"
    LIMIT = "limit"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class RunResult:
    """The end of a run: ``status`` is the command's exit status, ``message`` one line for people."""

    ending: Ending
    status: int
    message: str
    exits: int = 0
    seconds: float = 0.0


Verdict = RunResult | None
"""None: the guest goes on."""


def _place(machine: Machine) -> str:
    return with_symbol(machine, machine.arch_vcpu.ctx.elr)


def _fault(message: str) -> RunResult:
    return RunResult(Ending.FAULT, STATUS_FAULT, message)


def _system_down(_machine: Machine, exit_: SystemDown) -> Verdict:
    if exit_.action is PowerAction.EXIT:
        return RunResult(Ending.EXITED, exit_.status, f"the guest exited with status {exit_.status}")
    if exit_.action is PowerAction.RESET:
        return RunResult(Ending.RESET, STATUS_OFF, "the guest asked for a reset")
    return RunResult(Ending.POWERED_OFF, STATUS_OFF, "the guest powered off")


def _cpu_up(machine: Machine, exit_: CpuUp) -> Verdict:
    own = machine.arch_vcpu.mpidr & AFFINITY_MASK
    status = PsciStatus.ALREADY_ON if exit_.target_cpu == own else PsciStatus.INVALID_PARAMETERS
    machine.vcpu.set_return_value(to_u64(status))
    return None


def _cpu_down(machine: Machine, _exit: CpuDown) -> Verdict:
    return RunResult(Ending.NO_PROGRESS, STATUS_NO_PROGRESS, f"the last CPU switched itself off at {_place(machine)}")


def _halt(machine: Machine, _exit: Halt) -> Verdict:
    if wait_for_interrupt(machine):
        return None
    return RunResult(
        Ending.NO_PROGRESS,
        STATUS_NO_PROGRESS,
        f"the guest waits for an interrupt at {_place(machine)}, and nothing can raise one",
    )


def _external_interrupt(machine: Machine, _exit: ExternalInterrupt) -> Verdict:
    machine.clock.expire(budget_used=True)
    return None


def _nothing(machine: Machine, _exit: Nothing) -> Verdict:
    # A stop that somebody asked for, or an alarm of the machine's own.
    machine.clock.expire(budget_used=machine.arch_vcpu.stopped_by is StopReason.BUDGET)
    machine.input.deliver()
    return None


def _page_fault(machine: Machine, exit_: NestedPageFault) -> Verdict:
    access = (exit_.access_flags.name or "access").lower()
    backed = machine.ram.find(exit_.addr, 1)
    where = f"in memory region {backed.region.name}" if backed is not None else "where nothing is"
    return _fault(f"stage 2 refuses the {access} of IPA {exit_.addr:#x}, {where}, at {_place(machine)}")


def _fail_entry(machine: Machine, exit_: FailEntry) -> Verdict:
    if exit_.hardware_entry_failure_reason == STUCK:
        return _fault(explain_stuck(machine))
    return _fault(f"{exit_.description} (at {_place(machine)})")


def _go_on(_machine: Machine, _exit: AxVCpuExitReason) -> Verdict:
    return None


def _unexpected(machine: Machine, exit_: AxVCpuExitReason) -> Verdict:
    return _fault(f"{type(exit_).__name__} that this machine does not handle at {_place(machine)}")


EXIT_HANDLERS: Final[Mapping[type, Callable[[Machine, Any], Verdict]]] = MappingProxyType(
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


def _stopped(machine: Machine, watchdog: Watchdog) -> Verdict:
    if watchdog.cause is StopCause.INTERRUPT:
        return RunResult(Ending.INTERRUPTED, STATUS_INTERRUPTED, f"interrupted at {_place(machine)}")
    if watchdog.cause is StopCause.TIMEOUT:
        seconds = machine.description.limits.timeout
        return RunResult(Ending.LIMIT, STATUS_LIMIT, f"stopped after {seconds:g} s at {_place(machine)}")
    if machine.input.replay_over:
        return RunResult(Ending.INTERRUPTED, STATUS_INTERRUPTED, f"the recorded run ended here, at {_place(machine)}")
    limit = machine.arch_vcpu.max_exits
    if limit and machine.arch_vcpu.exits >= limit:
        return RunResult(Ending.LIMIT, STATUS_LIMIT, f"stopped after {limit} exits at {_place(machine)}")
    return None


def _lost_console(message: str) -> RunResult:
    return RunResult(Ending.INTERRUPTED, STATUS_INTERRUPTED, message)


def _loop(machine: Machine, watchdog: Watchdog) -> RunResult:
    run = machine.vcpu.run
    while True:
        reason = run()
        verdict = EXIT_HANDLERS[type(reason)](machine, reason) or _stopped(machine, watchdog)
        if verdict is not None:
            return verdict


def run_machine(machine: Machine, watchdog: Watchdog) -> RunResult:
    """Run a started machine to its end. ``watchdog`` is entered here; its limits come from the description."""
    machine.arch_vcpu.max_exits = machine.description.limits.max_exits
    started = time.perf_counter()
    with watchdog:
        try:
            result = _loop(machine, watchdog)
            machine.console.flush()
        except ConsoleCancelledError:
            result = _stopped(machine, watchdog) or _lost_console("the console was abandoned")
        except InputEndedError as error:
            result = RunResult(Ending.NO_PROGRESS, STATUS_NO_PROGRESS, f"{error}, at {_place(machine)}")
        except ConsoleClosedError as error:
            result = _lost_console(str(error))
    machine.input.finish()
    machine.arch_vcpu.close_record()
    machine.arch_vcpu.synchronise()
    return RunResult(
        result.ending, result.status, result.message, machine.arch_vcpu.exits, time.perf_counter() - started
    )
