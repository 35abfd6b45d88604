"""Handles each exit that a vCPU returns, and the end of its turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

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
from arm_vcpu_cli.vm.diagnosis import explain_stuck, in_handler, place_of, with_symbol
from arm_vcpu_cli.vm.endings import (
    STATUS_FAULT,
    STATUS_NO_PROGRESS,
    STATUS_OFF,
    STATUS_RESET,
    Ending,
    RunResult,
    exited,
)
from arm_vcpu_cli.vm.guest_run import RESET, GuestRun
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.power import Start
from arm_vcpu_cli.vm.watch.hang import are_interrupts_masked
from arm_vcpu_cli.vm.watch.idle import wait_for_interrupt

_STANDING: Final = "arm_vcpu_cli.vm.standing"
"""Loaded only if several CPUs cannot make progress."""
_FLAG_POLL: Final = "arm_vcpu_cli.vm.watch.flag_poll"
_AWAITED: Final = "arm_vcpu_cli.vm.awaited_words"
"""Loaded only if a guest waits in vain."""

Verdict = RunResult | None
"""The end of the run, or None if the guest continues."""


def _fault(message: str) -> RunResult:
    return RunResult(Ending.FAULT, STATUS_FAULT, message)


def no_progress(message: str) -> RunResult:
    """Return the result for a guest that cannot continue."""
    return RunResult(Ending.NO_PROGRESS, STATUS_NO_PROGRESS, message)


def stop_in_vain(machine: Machine, why: str) -> None:
    """Stop a guest, from inside an exit, that makes no progress; it can continue once that has changed."""
    machine.seen_enough = no_progress(in_vain(machine, why))
    machine.request_stop()


def in_vain(machine: Machine, why: str) -> str:
    """Why a guest that waits for input makes no progress, unless its code shows that it waits for something else."""
    if import_module(_FLAG_POLL).polls_another_flag(machine):
        why = "the guest polls UARTFR, which will not change any more"
    return f"{why}, at {place_of(machine)}"


def _nobody_gets_on(run: GuestRun) -> RunResult:
    """The result for a machine whose CPUs wait for each other, or all in vain."""
    run.culprit, message = import_module(_STANDING).blame(run.machine)
    # After a failure, a missing interrupt is not the reason.
    failed = in_handler(run.machine, run.culprit)
    held = None if failed else import_module(_AWAITED).why_none_comes(run.machine)
    return no_progress(message if held is None else f"{message}; {held}")


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
        return RunResult(Ending.RESET, STATUS_RESET, "the guest requested a reset")
    import_module(RESET).reset_machine(run.machine, run.power_on)
    run.panic.forget()
    return None


def _cpu_up(run: GuestRun, exit_: CpuUp) -> Verdict:
    machine = run.machine
    refused = None if machine.faults is None else machine.faults.cpu_on(exit_.target_cpu)
    if refused is not None:
        machine.current.vcpu.set_return_value(to_u64(refused))
        return None
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
        return no_progress(f"the last CPU switched itself off at {run.place()}")
    machine.current.switch_off()
    machine.scheduler.switch_off()
    return None


def _halt(run: GuestRun, exit_: Halt | SystemDown) -> Verdict:
    machine = run.machine
    if isinstance(exit_, Halt) and exit_.for_event:
        machine.scheduler.wait_for_others()
        return None
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


def next_turn(run: GuestRun) -> Verdict:
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
        return no_progress(f"the guest waits for input at {run.place()}, and the input has ended")
    if len(machine.cpus) > 1:
        return _nobody_gets_on(run)
    failed = in_handler(machine)
    held = None if failed else import_module(_AWAITED).why_none_comes(machine)
    if held is not None:
        return no_progress(f"the guest waits for an interrupt at {run.place()}, but {held}")
    masked = ", with interrupts masked" if are_interrupts_masked(machine) else ""
    return no_progress(f"the guest waits for an interrupt at {run.place()}{failed}{masked}, and nothing can raise one")


def _idle_for_ever(run: GuestRun) -> Verdict:
    """End a guest idle at its prompt: its kernel keeps setting timers, but makes no progress without further input."""
    limit = run.machine.description.limits.idle
    if not limit or not run.machine.input.starved():
        return None
    idle = run.idle.seconds(run.machine.timeline.now(), run.panic.printed)
    if idle < limit:
        return None
    return no_progress(
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
    if stopped_by is StopReason.COUNT and machine.faults is not None:
        machine.faults.at_limit()
        return None
    budget_used = stopped_by is StopReason.BUDGET
    if budget_used and run.hang.has_stopped():
        why = run.hang.look()
        if not why:
            return None if why is None else _nobody_gets_on(run)
        loop = f"the guest hangs in a loop at {with_symbol(machine, run.hang.place)}, {why}"
        return no_progress(loop + in_handler(machine))
    machine.timeline.expire(budget_used=budget_used)
    machine.input.deliver()
    machine.scheduler.look()
    return None


def _page_fault(run: GuestRun, exit_: NestedPageFault) -> Verdict:
    access = (exit_.access_flags.name or "access").lower()
    backed = run.machine.ram.find(exit_.addr, 1)
    where = f"in memory region {backed.region.name}" if backed is not None else "where nothing is"
    return _fault(f"stage 2 denies the {access} of IPA {exit_.addr:#x}, {where}, at {run.place()}")


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
