"""Injects the faults of a machine: arms their triggers, applies their effects, and reports both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from arm_vcpu_cli.arch.smccc import PsciStatus
from arm_vcpu_cli.axvcpu.vcpu import VCpuState
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.fault_description import AtAccess, AtCode, AtInstruction, AtTime, CpuOnFails, FaultDescription
from arm_vcpu_cli.devices.irq import IrqLine
from arm_vcpu_cli.engine.port import ExecutionControl
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.vm.cpu import Activity, Cpu
from arm_vcpu_cli.vm.faults.armed_fault import NOBODY, ArmedFault, Injection
from arm_vcpu_cli.vm.faults.fault_checking import check_interrupts, with_addresses
from arm_vcpu_cli.vm.faults.fault_effects import apply_effect
from arm_vcpu_cli.vm.faults.faulty_accesses import FaultyAccesses
from arm_vcpu_cli.vm.faults.faulty_lines import FaultyLines
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.timeline import Timeline, TimelineAlarm

_VERSION: Final = 1
"""The version of a saved state."""
_FIRST_LOOK: Final = 1_000
"""Nanoseconds until the first check of a PSTATE that masks an SError: more than any block of instructions takes. The
interval doubles with each further check."""
_LAST_LOOK: Final = 1 << 20
"""The longest time between two checks, in nanoseconds."""
_ELSEWHERE: Final = 100_000
"""Nanoseconds until the next check of a vCPU without the turn, under the host's clock."""
_NANOSECONDS: Final = 1_000_000_000


class Faults:
    """The faults of one machine. ``timeline`` exists before the machine, which :meth:`connect` adds."""

    def __init__(self, descriptions: tuple[FaultDescription, ...], timeline: Timeline) -> None:
        self.armed: Final = tuple(ArmedFault(each) for each in descriptions)
        self.observer: Callable[[Injection], None] | None = None
        """Called with each injection."""
        self._timeline = timeline
        self._machine: Machine | None = None
        self._lines = FaultyLines(
            list(self.armed),
            current=lambda: self._connected().current.index,
            occurs=self._occurs,
            tell=self._tell,
            later=self._queue,
        )
        self._queues: list[list[int]] = []
        """For each vCPU, the numbers of the faults that it must take as soon as it can."""
        self._looks: list[int] = []
        """For each vCPU, the time until the next check of its PSTATE."""
        self._controls: list[ExecutionControl] = []
        """The cores, if there are faults at an instruction."""
        self._alarms: list[TimelineAlarm] = []
        self._timers: dict[int, TimelineAlarm] = {}
        """The alarms of faults at a time, by the number of the fault."""

    def connect(self, machine: Machine) -> None:
        """Arm all triggers; call this before the vCPUs are bound. Raises MachineFileError for one that the guest rules
        out."""
        self._machine = machine
        descriptions = tuple(fault.description for fault in self.armed)
        check_interrupts(machine.description, descriptions, machine.gic, frozenset(self._lines.driven))
        timeline = self._timeline
        for cpu in machine.cpus:
            self._queues.append([])
            self._looks.append(_FIRST_LOOK)
            deliver = partial(self._deliver, cpu.index)
            self._alarms.append(timeline.alarm(deliver, f"faults.cpu{cpu.index}", cpu=cpu.index, silent=True))
            self._wrap_accesses(cpu)
        for number, fault in enumerate(self.armed):
            if isinstance(fault.description.trigger, AtTime):
                owner = None if fault.concerns_machine else fault.description.cpu or 0
                alarm = timeline.alarm(
                    partial(self._at_time, number), f"fault.{fault.description.name}", cpu=owner, silent=True
                )
                self._timers[number] = alarm
                alarm.set_at(fault.description.trigger.time)
        self._stop_at_code(machine)
        if self.limit is not None:
            self._controls = [core.control() for core in machine.host.cores]
            self._limit_cores()

    def line(self, cpu: int, intid: int, line: IrqLine) -> IrqLine:
        """Return the input of an interrupt, with the faults that affect it."""
        return self._lines.wrap(cpu, intid, line)

    @property
    def limit(self) -> int | None:
        """The number of the instruction at which the next fault is due; None if none waits for one."""
        return min((number for _, number in self._instructions()), default=None)

    def at_limit(self, executed: int | None = None) -> None:
        """Inject the faults that are due at the number of instructions executed so far."""
        machine = self._connected()
        if executed is None:
            executed = sum(control.executed() for control in self._controls)
        due = [fault for fault, number in self._instructions() if number <= executed]
        for fault in due:
            fault.seen += 1
            vcpu = machine.current.index if fault.description.cpu is None else fault.description.cpu
            self._queues[vcpu].append(self.armed.index(fault))
            self._deliver(vcpu)
        for cpu in machine.cpus:
            # What follows differs from the run without the fault.
            cpu.arch.interrupted = False
        self._limit_cores()

    def cpu_on(self, target: int) -> PsciStatus | None:
        """Return the result of a CPU_ON for the vCPU with the affinity ``target`` that a fault makes fail, else
        None."""
        machine = self._connected()
        vcpu = next((cpu.index for cpu in machine.cpus if cpu.affinity == target), NOBODY)
        for fault in self.armed:
            effect = fault.description.effect
            if isinstance(effect, CpuOnFails) and self._occurs(fault, vcpu):
                named = f"vCPU {vcpu}" if vcpu != NOBODY else f"{target:#x}"
                self._tell(fault, machine.current.index, f"CPU_ON of {named} returns {effect.status.name}")
                return effect.status
        return None

    def reset(self) -> None:
        """Record a reset of the machine. The counts continue: they apply to the whole run."""
        self._lines.reset()
        for fault in self.armed:
            fault.resuming = NOBODY

    def _instructions(self) -> Iterator[tuple[ArmedFault, int]]:
        """Yield the pending faults at an instruction, with the count at which they are due on their core."""
        earlier = self._connected().earlier_instructions
        for fault in self.armed:
            trigger = fault.description.trigger
            if isinstance(trigger, AtInstruction) and not fault.seen and not fault.past:
                yield fault, trigger.number - earlier

    def _limit_cores(self) -> None:
        """Make the cores stop before the next instruction with a fault."""
        limit = self.limit
        for control in self._controls:
            control.limit = limit

    # Triggers --------------------------------------------------------------------------------------------------

    def _wrap_accesses(self, cpu: Cpu) -> None:
        mine = [
            fault
            for fault in self.armed
            if isinstance(fault.description.trigger, AtAccess) and fault.description.cpu in (None, cpu.index)
        ]
        if not mine:
            return
        platform = cpu.platform
        accesses = FaultyAccesses(
            cpu.index,
            mine,
            platform.mmio_read,
            platform.mmio_write,
            occurs=self._occurs,
            tell=self._tell,
            delay=self._delay,
            later=self._queue,
        )
        platform.mmio_read, platform.mmio_write = accesses.read, accesses.write

    def _stop_at_code(self, machine: Machine) -> None:
        places: dict[int, list[int]] = {}
        for number, fault in enumerate(self.armed):
            trigger = fault.description.trigger
            if isinstance(trigger, AtCode):
                assert isinstance(trigger.place, int)  # symbols have been looked up
                places.setdefault(trigger.place, []).append(number)
        for core in machine.host.cores:
            for address, numbers in places.items():
                core.stop_before(address, partial(self._at_code, numbers))

    def _at_code(self, numbers: list[int]) -> bool:
        """Count an arrival at an instruction, inside the core's hook; return whether the guest must stop."""
        vcpu = self._connected().current.index
        stops = False
        for number in numbers:
            fault = self.armed[number]
            if fault.resuming == vcpu:
                # It was counted before the stop, and continues only now.
                fault.resuming = NOBODY
            elif self._occurs(fault, vcpu):
                self._queue(fault, vcpu)
                stops = True
        if stops:
            for number in numbers:
                self.armed[number].resuming = vcpu
        return stops

    def _at_time(self, number: int) -> None:
        """Inject a fault at its time, with the guest stopped."""
        machine, fault = self._connected(), self.armed[number]
        trigger = fault.description.trigger
        assert isinstance(trigger, AtTime)
        fault.seen += 1
        if trigger.every and (not trigger.times or fault.seen < trigger.times):
            self._timers[number].set_at(trigger.time + fault.seen * trigger.every)
        vcpu = fault.description.cpu
        if vcpu is None:
            vcpu = machine.current.index if fault.concerns_machine else 0
        self._queues[vcpu].append(number)
        self._deliver(vcpu)

    def _occurs(self, fault: ArmedFault, vcpu: int) -> bool:
        return fault.occurs(vcpu, self._timeline.now)

    # Effects ---------------------------------------------------------------------------------------------------

    def _queue(self, fault: ArmedFault, vcpu: int) -> None:
        """Make a vCPU take a fault as soon as it has stopped, which is before its next instruction."""
        self._queues[vcpu].append(self.armed.index(fault))
        self._alarms[vcpu].set_at(self._timeline.now())

    def _deliver(self, vcpu: int) -> None:
        """Apply the faults that wait for a vCPU, with the guest stopped."""
        machine = self._connected()
        cpu, queue = machine.cpus[vcpu], self._queues[vcpu]
        for number in [each for each in queue if self.armed[each].concerns_machine]:
            queue.remove(number)
            self._apply(machine, cpu, self.armed[number])
        if not queue:
            return
        now = self._timeline.now()
        if machine.current is not cpu or cpu.activity is not Activity.RUNNING or cpu.vcpu.state is VCpuState.BLOCKED:
            # A WFI may end at any time (DDI 0487, D1.6): it ends for the fault, which is taken after it.
            machine.scheduler.raised(vcpu)
            self._alarms[vcpu].set_at(now if machine.current is cpu else now + _ELSEWHERE)
            return
        for number in list(queue):
            if self._apply(machine, cpu, self.armed[number]):
                queue.remove(number)
        look = self._looks[vcpu]
        self._looks[vcpu] = min(2 * look, _LAST_LOOK) if queue else _FIRST_LOOK
        if queue:
            self._alarms[vcpu].set_at(now + look)

    def _apply(self, machine: Machine, cpu: Cpu, fault: ArmedFault) -> bool:
        pc = cpu.arch.ctx.elr
        if not apply_effect(machine, cpu, fault.description.effect, partial(self._tell, fault, cpu.index, pc=pc)):
            return False
        if cpu.arch.ctx.elr != pc:
            for control in self._controls:
                # The rest of the block is not executed.
                control.unfinished = 0
            for each in self.armed:
                if each.resuming == cpu.index:
                    each.resuming = NOBODY
        return True

    def _tell(self, fault: ArmedFault, vcpu: int, effect: str, *, pc: int | None = None) -> None:
        """Record an injection, and report it."""
        fault.injected += 1
        machine, description = self._connected(), fault.description
        where = machine.cpus[vcpu].arch.ctx.elr if pc is None else pc
        now = self._timeline.now()
        injection = Injection(description.name, description.kind, fault.injected, vcpu, now, where, effect)
        fault.first, fault.last = fault.first or injection, injection
        if self.observer is not None:
            self.observer(injection)

    def _delay(self, nanoseconds: int) -> None:
        if self._timeline.follows_host:
            time.sleep(nanoseconds / _NANOSECONDS)
        else:
            self._timeline.spend(nanoseconds)

    def _connected(self) -> Machine:
        if self._machine is None:
            raise ValueError("the faults are not connected to a machine")
        return self._machine

    # Snapshots -------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Return the counts, the faults in progress, and the levels of interrupt inputs, as plain data."""
        faults = [{"description": fault.description.identity, **fault.save()} for fault in self.armed]
        return {
            "version": _VERSION,
            "faults": faults,
            "queues": [list(queue) for queue in self._queues],
            "looks": list(self._looks),
            "lines": self._lines.save(),
        }

    def load(self, state: object) -> None:
        """Restore the state that :meth:`save` returned, once everything else has been restored; None is the state of a
        machine without faults.

        A fault that is not in the state is armed anew: its counts begin at 0. Raises ValueError for any other state.
        """
        if state is None:
            nothing: list[list[int]] = [[] for _ in self._queues]
            looks = [_FIRST_LOOK for _ in self._queues]
            state = {
                "version": _VERSION,
                "faults": [],
                "queues": nothing,
                "looks": looks,
                "lines": {"high": [], "lost": []},
            }
        saved = Saved(state, "faults", version=_VERSION)
        rows = saved.parts("faults", None)
        mine = {fault.description.identity: number for number, fault in enumerate(self.armed)}
        numbers = [mine.get(row.text("description"), NOBODY) for row in rows]
        for number, row in zip(numbers, rows, strict=True):
            if number != NOBODY:
                self.armed[number].load(row)
        self._looks = saved.numbers("looks", len(self._queues), _LAST_LOOK)
        self._lines.load(saved.part("lines"))
        for queue, row in zip(self._queues, saved.lists("queues", len(self._queues)), strict=True):
            known = row.numbers("row", None, len(numbers) - 1)
            queue[:] = [numbers[number] for number in known if numbers[number] != NOBODY]
        for number, fault in enumerate(self.armed):
            if number not in numbers:
                self._arm_anew(number, fault)
        self._limit_cores()

    def _arm_anew(self, number: int, fault: ArmedFault) -> None:
        """Arm a fault in the middle of a run, unless its time is over."""
        trigger = fault.description.trigger
        if isinstance(trigger, AtInstruction):
            fault.past = trigger.number < self._connected().instructions
        elif isinstance(trigger, AtTime):
            fault.past = trigger.time < self._timeline.now()
            if fault.past:
                self._timers[number].cancel()
            else:
                self._timers[number].set_at(trigger.time)


def make_faults(description: MachineDescription, image: GuestImage, timeline: Timeline) -> Faults:
    """Return the faults of a description, before its machine is built. Raises MachineFileError for a symbol that the
    guest does not have."""
    return Faults(with_addresses(description, image), timeline)
