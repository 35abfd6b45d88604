"""A guest that can do nothing any more, though it executes: a loop that is the same at every turn, and no interrupt.

An alarm of the machine's own looks at the guest now and then. One that has neither left for the hypervisor nor anything
left that could interrupt it is followed from block to block. If it comes back to registers that it had before, and all
that it has executed since only computes, it will come back to them for ever: there is one CPU, no device writes to
memory, and a load from one would be an exit.

A guest that is followed executes what it would have executed, at the same virtual times: it is only stopped more often.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.instructions.inert import is_inert
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.vm.builder import Machine

INTERVAL: Final = 50_000_000
"""Nanoseconds of the guest between two looks: short, since a tight loop makes virtual time pass slowly."""
_ACTIVE_LOOKS: Final = 20
"""After so many looks in a row at a guest that does something, it is trusted as little as at first."""
_MOST_QUIET_LOOKS: Final = 80
"""So many looks lie between two attempts at following a guest that only computes, at most."""
_MOST_BLOCKS: Final = 64
_MOST_STEPS: Final = 2048
"""Entries into the guest in one attempt."""
_LONGEST_BLOCK: Final = 512
"""Instructions that the engine translates at once, at most."""
_INSTRUCTION_SIZE: Final = 4
_GROUP_ENABLES: Final = (lookup("ICC_IGRPEN1_EL1"), lookup("ICC_IGRPEN0_EL1"))

_Registers = tuple[int, int, int, tuple[int, ...]]


def why_uninterrupted(machine: Machine) -> str | None:
    """Why no interrupt will ever reach the guest as it is, in words; None if one may.

    Alarms that are set count, also those of the machine's own.
    """
    if are_interrupts_masked(machine):
        return "with interrupts masked"
    pstate = machine.arch_vcpu.ctx.spsr
    irq, fiq = _enabled_groups(machine)
    if not (irq and not pstate.I) and not (fiq and not pstate.F):
        return "and no interrupt is enabled that could end it"
    if machine.arch_vcpu.interrupt_pending or machine.input.listening() or machine.clock.next_deadline() is not None:
        return None
    return "and nothing is left that could interrupt it"


def are_interrupts_masked(machine: Machine) -> bool:
    """Whether PSTATE masks interrupts: IRQ, and FIQ too unless no interrupt is signalled as one."""
    pstate = machine.arch_vcpu.ctx.spsr
    return bool(pstate.I) and (bool(pstate.F) or not _enabled_groups(machine)[1])


def _enabled_groups(machine: Machine) -> tuple[bool, bool]:
    """Whether the CPU interface signals interrupts of Group 1 (IRQ) and Group 0 (FIQ) at all."""
    if machine.gic is None:
        return False, False
    interface = machine.gic.cpu_interface(0)
    irq, fiq = (bool(interface.read(enable)) for enable in _GROUP_ENABLES)
    return irq, fiq


class HangWatch:
    """Watches one machine that runs. ``monotonic`` is the host's time in seconds, which decides nothing.

    Only a machine whose WFI traps is watched: otherwise the core comes back at one as it does for an alarm. One with
    devices that are passed through is not followed, because it uses them without an exit.
    """

    def __init__(self, machine: Machine, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._machine = machine
        self._core = machine.host.core(0)
        self._clock = machine.clock
        self._fetch = self._core.fetcher()
        self._monotonic = monotonic
        self._alarm = machine.clock.alarm(self._missed, silent=True)
        self._may_follow = not any(device.passthrough for device in machine.description.devices)
        self._preemptions = 0
        self._activity = 0
        self._active_at = monotonic()
        self._active_looks = 0
        self._quiet_looks = 0
        self._gap = self._follow_at = 1
        # While the guest is followed:
        self._following = False
        self._why = ""
        self._deadline: int | None = None
        self._steps = 0
        self._budget = 0
        self._block = 0
        self._count = 0
        self._seen: list[_Registers] = []
        self.place = 0
        """The lowest address at which a block of the loop begins, once there is a verdict."""

    def start(self) -> None:
        """Begin to look."""
        if self._machine.description.el2.trap_wfi:
            self._wait()

    def pause(self) -> Callable[[], None]:
        """Do not look until the function that is returned is called: the guest waits, for alarms but not for ours."""
        due, alarm = self._alarm.due, self._alarm
        alarm.cancel()
        return lambda: alarm.set_at(due)

    def preempted(self) -> None:
        """The host's timer has interrupted the guest, which is an exit, but none that the guest has caused."""
        self._preemptions += 1

    def quiet_seconds(self) -> float:
        """For how long the guest has caused no exit, by the host's time, as far as looks can tell."""
        return self._monotonic() - self._active_at if self._causes() == self._activity else 0.0

    def has_stopped(self) -> bool:
        """Whether a guest whose budget was used up was stopped by this alarm, and no other."""
        due = self._alarm.due
        if self._clock.next_deadline() != due or not self._clock.next_is_silent():
            return False
        return not self._clock.follows_host or self._clock.now() >= due

    def look(self) -> str | None:
        """What to do when it has: None if the guest may go on, or in words why nothing will end its loop."""
        if self._following:
            return self._follow()
        activity = self._causes()
        if activity != self._activity:
            self._activity = activity
            self._active_at = self._monotonic()
            self._quiet_looks = 0
            self._active_looks += 1
            if self._active_looks >= _ACTIVE_LOOKS:
                self._gap = 1
            self._follow_at = self._gap
            self._wait()
            return None
        self._active_looks = 0
        self._quiet_looks += 1
        if self._quiet_looks < self._follow_at or not self._may_follow or not self._begin():
            self._wait()
        return None

    def _causes(self) -> int:
        """Exits that the guest has caused."""
        return self._machine.arch_vcpu.exits - self._preemptions

    def _wait(self) -> None:
        self._following = False
        self._alarm.set_at(self._clock.now() + INTERVAL)

    def _missed(self) -> None:
        """The alarm went off together with another, or while the guest was stopped for something else."""
        self._wait()

    def _give_up(self) -> None:
        """Nothing is proved: try again, but later every time."""
        self._gap = min(2 * self._gap, _MOST_QUIET_LOOKS)
        self._follow_at = self._quiet_looks + self._gap
        self._wait()

    def _begin(self) -> bool:
        """Start to follow a guest that nothing will interrupt."""
        self._alarm.cancel()
        why = why_uninterrupted(self._machine)
        if why is None:
            return False
        self._why = why
        self._deadline = self._clock.next_deadline()
        self._following = True
        self._steps = 0
        self._seen = [self._registers()]
        # It stays due, so that every stop is taken for one of ours.
        self._alarm.set_at(self._clock.now())
        self._enter()
        return True

    def _follow(self) -> str | None:
        self._steps += 1
        executed = self._core.instruction_count() - self._count
        if self._causes() != self._activity or self._steps > _MOST_STEPS:
            self._give_up()
        elif not executed:
            # The block is longer than that. Its length is found this way, so that exactly one is executed.
            self._budget += 1
            if self._budget > _LONGEST_BLOCK or self._is_due_soon():
                self._give_up()
            else:
                self._core.set_budget(self._budget)
        elif not self._only_computes(executed) or len(self._seen) > _MOST_BLOCKS:
            self._give_up()
        elif (registers := self._registers()) in self._seen:
            # Where the guest happens to be depends on when it was looked at; where its loop begins does not.
            self.place = min(state[0] for state in self._seen[self._seen.index(registers) :])
            return self._why
        else:
            self._seen.append(registers)
            self._enter()
        return None

    def _enter(self) -> None:
        """Have the guest stopped at the next block but one."""
        self._block = self._machine.arch_vcpu.ctx.elr
        self._count = self._core.instruction_count()
        self._budget = 1
        if self._is_due_soon():
            self._wait()
        else:
            self._core.set_budget(1)

    def _is_due_soon(self) -> bool:
        """Whether another alarm would have to go off before the guest stops again."""
        return self._deadline is not None and self._clock.now() + self._budget > self._deadline

    def _only_computes(self, instructions: int) -> bool:
        for address in range(self._block, self._block + instructions * _INSTRUCTION_SIZE, _INSTRUCTION_SIZE):
            insn = self._fetch(address)
            if insn is None or not is_inert(insn):
                return False
        return True

    def _registers(self) -> _Registers:
        frame = self._machine.arch_vcpu.ctx
        return frame.elr, frame.sp, int(frame.spsr), frame.gprs()
