"""A guest that executes but cannot make progress: a loop that is the same in every iteration, and no interrupt.

One of the machine's own alarms checks the guest periodically. A guest that has not exited to the hypervisor, and that
nothing can interrupt any more, is followed from block to block. If its registers return to earlier values, and all code
executed in between only computes, they will return to them forever: there is one CPU, no device writes to memory, and a
load from a device would be an exit.

Following a guest does not change its execution or its virtual times: it only stops more often.

Several CPUs can only hang together: each one that is on waits in vain, or is in such a loop. Their continuation is
tried out one by one at a single moment of guest time. None of them writes, so the order of execution makes no
difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.instructions.inert import is_inert
from arm_vcpu_cli.arm_vcpu.context_frame import TrapFrame
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.vm.cpu import Activity, Cpu
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.timeline import NEVER

INTERVAL: Final = 50_000_000
"""Nanoseconds of the guest between two checks: short, since virtual time passes slowly in a tight loop."""
_VERSION: Final = 1
"""The version of a saved state."""
_GENERAL_REGISTERS: Final = 31
_ACTIVE_LOOKS: Final = 20
"""After this many consecutive checks that find an active guest, the interval is reset to the shortest."""
_MOST_QUIET_LOOKS: Final = 80
"""The most checks between two attempts to follow a guest that only computes."""
MOST_BLOCKS: Final = 64
_MOST_STEPS: Final = 2048
"""The most entries into the guest in one attempt."""
_LONGEST_BLOCK: Final = 512
"""The most instructions that the engine translates at once."""
_INSTRUCTION_SIZE: Final = 4
_LOOPS: Final = "arm_vcpu_cli.vm.watch.loops"
"""Loaded only for machines with several CPUs."""

_NUMBERS: Final = tuple("preemptions activity active_looks quiet_looks gap follow_at steps budget block".split())
"""The attributes that are saved unchanged."""

Registers = tuple[int, int, int, tuple[int, ...]]


def registers_of(frame: TrapFrame) -> Registers:
    """The registers that determine a CPU's further execution."""
    return frame.elr, frame.sp, int(frame.spsr), frame.gprs()


def why_uninterrupted(machine: Machine, cpu: Cpu | None = None) -> str | None:
    """The reason why no interrupt will ever reach a CPU (by default the current one); None if one may.

    Set alarms count, including the machine's own.
    """
    cpu = machine.current if cpu is None else cpu
    if are_interrupts_masked(machine, cpu):
        return "with interrupts masked"
    pstate = cpu.arch.ctx.spsr
    irq, fiq = _enabled_groups(machine, cpu)
    if not (irq and not pstate.I) and not (fiq and not pstate.F):
        return "and no interrupt is enabled that could end it"
    return None if _may_be_signalled(machine, cpu) else "and nothing is left that could interrupt it"


def are_interrupts_masked(machine: Machine, cpu: Cpu | None = None) -> bool:
    """Whether PSTATE masks interrupts: IRQ, and FIQ too unless no interrupt is signalled as one."""
    cpu = machine.current if cpu is None else cpu
    pstate = cpu.arch.ctx.spsr
    return bool(pstate.I) and (bool(pstate.F) or not _enabled_groups(machine, cpu)[1])


def are_left_alone(machine: Machine) -> bool:
    """Whether no interrupt will ever reach any of several CPUs, unless one of them raises it."""
    for cpu in machine.cpus:
        if cpu.activity is Activity.WAITING and _may_be_signalled(machine, cpu):
            return False
        if cpu.activity is Activity.RUNNING and (cpu.starts or why_uninterrupted(machine, cpu) is None):
            return False
    return True


def _may_be_signalled(machine: Machine, cpu: Cpu) -> bool:
    """Whether an interrupt is signalled to a CPU, or may come from a device, its own timer or outside."""
    timeline = machine.timeline
    if cpu.arch.interrupt_pending or machine.input.listening():
        return True
    return min(timeline.due(cpu.index), timeline.due(None)) < NEVER


def _enabled_groups(machine: Machine, cpu: Cpu) -> tuple[bool, bool]:
    """Whether the CPU interface signals interrupts of Group 1 (IRQ) and Group 0 (FIQ) at all."""
    return (False, False) if machine.gic is None else machine.gic.enabled_groups(cpu.index)


class HangWatch:
    """Watches one running machine. ``monotonic`` is the host's time in seconds, which affects no decision.

    Only a machine whose WFI traps is watched: otherwise the core stops at one just as for an alarm. A guest with
    devices that are passed through is not followed, because it uses them without an exit.
    """

    def __init__(self, machine: Machine, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._machine = machine
        self._clock = machine.timeline
        self._monotonic = monotonic
        self._alarm = machine.timeline.alarm(self._missed, name="hang", silent=True, again=True)
        self._alone = len(machine.cpus) == 1
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
        self._seen: list[Registers] = []
        self.also: Callable[[], object] | None = None
        """Called at each check, for another watch: with its own alarm that would stop the guest more often, which
        changes the turns of several CPUs."""
        self.place = 0
        """The lowest address at which a block of the loop begins, once there is a verdict."""

    def start(self) -> None:
        """Start the checks, or continue from a loaded state."""
        if self._machine.description.el2.trap_wfi and self._alarm.due == NEVER:
            self._wait()

    def save(self) -> dict[str, Any]:
        """Return the observations so far as plain data; the timeline saves the alarm."""
        return {
            "version": _VERSION,
            "numbers": {name: getattr(self, f"_{name}") for name in _NUMBERS},
            "following": self._following,
            "why": self._why,
            "deadline": self._deadline,
            "executed": self._machine.core.instruction_count() - self._count,
            "seen": [[pc, sp, pstate, *registers] for pc, sp, pstate, registers in self._seen],
            "place": self.place,
        }

    def load(self, state: object) -> None:
        """Restore the state that :meth:`save` returned. Raises ValueError, without any change, for any other state."""
        saved = Saved(state, "hang", version=_VERSION)
        numbers = saved.part("numbers")
        values = {name: numbers.integer(name) for name in _NUMBERS}
        following, why, place = saved.flag("following"), saved.text("why"), saved.number("place", MASK64)
        deadline = None if saved.is_none("deadline") else saved.number("deadline", NEVER)
        executed, rows = saved.integer("executed"), saved.rows("seen", _GENERAL_REGISTERS + 3, MASK64)
        for name, value in values.items():
            setattr(self, f"_{name}", value)
        self._following, self._why, self._deadline, self.place = following, why, deadline, place
        self._count = self._machine.core.instruction_count() - executed
        self._seen = [(pc, sp, pstate, tuple(registers)) for pc, sp, pstate, *registers in rows]
        self._active_at = self._monotonic()
        if following:
            self._machine.core.set_budget(min(self._budget, self._machine.core.budget_left()))

    def pause(self) -> Callable[[], None]:
        """Suspend the checks until the returned function is called: the guest waits, and our alarm must not wake it."""
        due, alarm = self._alarm.due, self._alarm
        alarm.cancel()
        return lambda: alarm.set_at(due)

    def preempted(self) -> None:
        """Record that the host's timer interrupted the guest: an exit that the guest did not cause."""
        self._preemptions += 1

    def quiet_seconds(self) -> float:
        """The host seconds without an exit caused by the guest, as far as the checks show."""
        return self._monotonic() - self._active_at if self._causes() == self._activity else 0.0

    def has_stopped(self) -> bool:
        """Whether this alarm alone stopped a guest whose budget was used up."""
        if not self._clock.ends_by(self._alarm):
            return False
        return not self._clock.follows_host or self._clock.now() >= self._alarm.due

    def look(self) -> str | None:
        """Check the guest in that case: None lets it continue; otherwise the reason why nothing will end its loop,
        empty for several CPUs, each of which has its own reasons."""
        if self.also is not None:
            self.also()
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
        if self._quiet_looks < self._follow_at or not self._may_follow:
            self._wait()
            return None
        # The watch's own alarm must not count as a reason to wait.
        self._alarm.cancel()
        if not self._alone:
            return self._try_out()
        if not self._begin():
            self._wait()
        return None

    def _causes(self) -> int:
        """The number of exits that the guest has caused."""
        return self._machine.exits - self._preemptions

    def _wait(self) -> None:
        self._following = False
        self._alarm.set_at(self._clock.now() + INTERVAL)

    def _missed(self) -> None:
        """Handle an alarm that fired together with another, or while the guest was stopped for another reason."""
        if self.also is not None:
            self.also()
        if self._alone:
            self._wait()
        else:
            # CPUs that take turns stop so often that every alarm may end up here.
            self._alarm.set_at(self._clock.now())

    def _give_up(self) -> None:
        """End an attempt without proof, and lengthen the interval to the next one."""
        self._gap = min(2 * self._gap, _MOST_QUIET_LOOKS)
        self._follow_at = self._quiet_looks + self._gap
        self._wait()

    def _try_out(self) -> str | None:
        """Check whether no interrupt can reach any of several CPUs, and none of them does anything to end the hang."""
        machine = self._machine
        if not are_left_alone(machine):
            self._wait()
            return None
        running = [cpu for cpu in machine.cpus if cpu.activity is Activity.RUNNING]
        if len(import_module(_LOOPS).find_loops(machine, running, all_or_none=True)) == len(running):
            return ""
        self._give_up()
        return None

    def _begin(self) -> bool:
        """Start to follow a guest that nothing will interrupt."""
        why = why_uninterrupted(self._machine)
        if why is None:
            return False
        self._why = why
        self._deadline = self._clock.next_deadline()
        self._following = True
        self._steps = 0
        self._seen = [self._registers()]
        # The alarm stays due, so that every stop counts as the watch's own.
        self._alarm.set_at(self._clock.now())
        self._enter()
        return True

    def _follow(self) -> str | None:
        self._steps += 1
        executed = self._machine.core.instruction_count() - self._count
        if self._causes() != self._activity or self._steps > _MOST_STEPS:
            self._give_up()
        elif not executed:
            # The block is longer than that. This finds its length, so that exactly one block is executed.
            self._budget += 1
            if self._budget > _LONGEST_BLOCK or self._is_due_soon():
                self._give_up()
            else:
                self._machine.core.set_budget(self._budget)
        elif not self._only_computes(executed) or len(self._seen) > MOST_BLOCKS:
            self._give_up()
        elif (registers := self._registers()) in self._seen:
            # The guest's present place depends on the moment of the check; the start of its loop does not.
            self.place = min(state[0] for state in self._seen[self._seen.index(registers) :])
            return self._why
        else:
            self._seen.append(registers)
            self._enter()
        return None

    def _enter(self) -> None:
        """Make the guest stop at the next block but one."""
        self._block = self._machine.current.arch.ctx.elr
        self._count = self._machine.core.instruction_count()
        self._budget = 1
        if self._is_due_soon():
            self._wait()
        else:
            self._machine.core.set_budget(1)

    def _is_due_soon(self) -> bool:
        """Whether another alarm is due before the guest stops again."""
        return self._deadline is not None and self._clock.now() + self._budget > self._deadline

    def _only_computes(self, instructions: int) -> bool:
        fetch = self._machine.core.fetcher()
        for address in range(self._block, self._block + instructions * _INSTRUCTION_SIZE, _INSTRUCTION_SIZE):
            insn = fetch(address)
            if insn is None or not is_inert(insn):
                return False
        return True

    def _registers(self) -> Registers:
        return registers_of(self._machine.current.arch.ctx)
