"""The interrupts that a machine's CPUs may wait for, and the gates that hold each back, as shown by the present state
of the timers, the GIC and the CPUs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import CntCtl, Spsr
from arm_vcpu_cli.devices.device_clock import COUNTER_HZ
from arm_vcpu_cli.devices.gic.common.registers import ICFGR
from arm_vcpu_cli.devices.gic.gates.gate import Closed, Frame, Gate, Pending, RegisterAt
from arm_vcpu_cli.devices.gic.gates.view import WORD_BITS, GicView
from arm_vcpu_cli.devices.gic.gates.view_v2 import GicV2View
from arm_vcpu_cli.devices.gic.gates.view_v3 import GicV3View
from arm_vcpu_cli.devices.gic.gates.way import follow, pending_interrupts
from arm_vcpu_cli.devices.gic.v2.gicv2 import GicV2
from arm_vcpu_cli.devices.gic.v3.gicv3 import GicV3
from arm_vcpu_cli.devices.timer import CNTP_CTL, CNTP_CVAL, CNTV_CTL, CNTV_CVAL, LAST_ALARM, GenericTimer
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.cpu_building import PHYSICAL_TIMER, VIRTUAL_TIMER
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.masking_devices import masking_devices

_ENABLE: Final = int(CntCtl.of(ENABLE=1))
_MILLISECOND: Final = COUNTER_HZ // 1000
_CONFIGURATION_BITS: Final = 2
_EDGE: Final = 2
"""The bit for edge-triggered, of the two bits that each interrupt has in GICD_ICFGR<n>."""
_CLEAR_IRQ, _CLEAR_FIQ = 2, 1
"""The operands of MSR DAIFClr."""


class TimerState(Record):
    """One of the timers of a CPU: its registers and its counter."""

    name: str
    intid: int
    control: int
    compare: int
    count: int

    @property
    def is_on(self) -> bool:
        """CNTx_CTL_EL0.ENABLE."""
        return bool(CntCtl(self.control).ENABLE)

    @property
    def is_masked(self) -> bool:
        """CNTx_CTL_EL0.IMASK."""
        return bool(CntCtl(self.control).IMASK)

    @property
    def has_fired(self) -> bool:
        """Whether its condition is met, even if it is off."""
        return self.count >= self.compare

    @property
    def was_set(self) -> bool:
        """Whether the guest has programmed it since reset."""
        return bool(self.control or self.compare)

    @property
    def seconds(self) -> float:
        """The time since its condition was first met; negative until then, as the time remaining."""
        return (self.count - self.compare) / COUNTER_HZ

    @property
    def is_endless(self) -> bool:
        """Whether its condition lies too far in the future for any run to meet it."""
        return self.compare - self.count >= LAST_ALARM

    @property
    def control_name(self) -> str:
        """``CNTV_CTL_EL0`` or ``CNTP_CTL_EL0``."""
        return self.register("CTL", 0).name

    def register(self, part: str, cpu: int) -> RegisterAt:
        """Its ``CTL``, ``CVAL`` or ``TVAL``."""
        return RegisterAt(f"CNT{self.name[0].upper()}_{part}_EL0", Frame.SYSTEM, cpu, width=8)


class Awaited(Record):
    """An interrupt that may be waited for: a pending one, or that of a programmed timer.

    ``cpu`` is its target CPU, None if there is none; ``closed`` are the closed gates in order, from the timer to
    PSTATE. ``source`` names its source, "" for SGIs and interrupts that no device uses. ``fiq``: it is signalled as
    FIQ.
    """

    intid: int
    cpu: int | None
    closed: tuple[Closed, ...]
    source: str = ""
    pending: bool = True
    active: bool = False
    fiq: bool = False
    timer: TimerState | None = None

    @property
    def may_be_meant(self) -> bool:
        """Whether the guest may wait for it: a timer that is off or set to a time that is never reached may be
        unused."""
        return not self.closed or self.closed[0].gate not in (Gate.TIMER_OFF, Gate.TIMER_ENDLESS)

    @property
    def is_held(self) -> bool:
        """Whether anything but PSTATE holds it back, so that it would not end a WFI."""
        return any(each.gate is not Gate.MASKED for each in self.closed)


class CpuState(Record):
    """The relevant state of a CPU: its PSTATE and its programmed timers."""

    pstate: Spsr
    timers: tuple[TimerState, ...] = ()


NO_SOURCES: Final[Mapping[int, str]] = MappingProxyType({})


def awaited_interrupts(machine: Machine) -> list[Awaited]:
    """All interrupts that the CPUs of a stopped machine may wait for: first those of the timers, CPU by CPU, then other
    pending interrupts."""
    off = {cpu.index for cpu in machine.cpus if cpu.activity is Activity.OFF}
    states = [CpuState(cpu.arch.ctx.spsr, timer_states(cpu.timer)) for cpu in machine.cpus]
    sources = {each.intid: each.name for each in machine.description.devices if each.intid is not None}
    view = view_of(machine)
    found = find_awaited(view, states, off, sources)
    if view is not None:
        for intid, name, mask in masking_devices(machine, view):
            way = follow(view, intid, 0, off)
            found.append(_of_gic(way, states, off, source=name, before=(mask,), pending=False))
    return found


def view_of(machine: Machine) -> GicView | None:
    """A view of the registers of a machine's interrupt controller, None if it has none."""
    gic = machine.gic
    if isinstance(gic, GicV3):
        return GicV3View(gic)
    return GicV2View(gic) if isinstance(gic, GicV2) else None


def timer_states(timer: GenericTimer) -> tuple[TimerState, ...]:
    """The programmed timers of a CPU."""
    found = (
        TimerState("virtual", VIRTUAL_TIMER, *_registers(timer, virtual=True), timer.virtual_count()),
        TimerState("physical", PHYSICAL_TIMER, *_registers(timer, virtual=False), timer.physical_count()),
    )
    return tuple(each for each in found if each.was_set)


def _registers(timer: GenericTimer, *, virtual: bool) -> tuple[int, int]:
    control, compare = (CNTV_CTL, CNTV_CVAL) if virtual else (CNTP_CTL, CNTP_CVAL)
    return timer.read(control) or 0, timer.read(compare) or 0


def find_awaited(
    view: GicView | None,
    states: Sequence[CpuState],
    off: Collection[int] = (),
    sources: Mapping[int, str] = NO_SOURCES,
) -> list[Awaited]:
    """As :func:`awaited_interrupts`, for a given GIC and CPUs."""
    found = [
        _of_timer(view, cpu, state, timer, off)
        for cpu, state in enumerate(states)
        if cpu not in off
        for timer in state.timers
    ]
    timers = {(each.cpu, each.intid) for each in found}
    pending = [] if view is None else pending_interrupts(view, off)
    found += [
        _of_gic(each, states, off, source=sources.get(each.intid, ""))
        for each in pending
        if (each.cpu, each.intid) not in timers
    ]
    return found


def _of_gic(
    way: Pending,
    states: Sequence[CpuState],
    off: Collection[int],
    *,
    source: str,
    before: tuple[Closed, ...] = (),
    pending: bool = True,
    timer: TimerState | None = None,
) -> Awaited:
    masked = () if way.cpu is None or way.cpu in off else _masked(way, states[way.cpu].pstate)
    closed = (*before, *way.closed, *masked)
    return Awaited(way.intid, way.cpu, closed, source, pending, way.active, way.fiq, timer)


def _masked(way: Pending, pstate: Spsr) -> tuple[Closed, ...]:
    """Whether the CPU itself masks it (DDI 0487, D1.3.4)."""
    if not (pstate.F if way.fiq else pstate.I):
        return ()
    cpu = way.cpu or 0
    opener = RegisterAt("DAIFClr", Frame.SYSTEM, cpu)
    daif = RegisterAt("DAIF", Frame.SYSTEM, cpu, width=8)
    mask = int(Spsr.of(D=1, A=1, I=1, F=1))
    return (Closed(Gate.MASKED, daif, int(pstate) & mask, opener, _CLEAR_FIQ if way.fiq else _CLEAR_IRQ),)


def _of_timer(view: GicView | None, cpu: int, state: CpuState, timer: TimerState, off: Collection[int]) -> Awaited:
    source = f"{timer.name} timer"
    closed: list[Closed] = []
    control = timer.register("CTL", cpu)
    if not timer.is_on:
        closed.append(Closed(Gate.TIMER_OFF, control, timer.control, control, _ENABLE))
    elif timer.is_masked:
        closed.append(Closed(Gate.TIMER_MASKED, control, timer.control, control, _ENABLE))
    elif timer.is_endless:
        compare, value = timer.register("CVAL", cpu), timer.register("TVAL", cpu)
        closed.append(Closed(Gate.TIMER_ENDLESS, compare, timer.compare, value, _MILLISECOND))
    if view is None:
        return Awaited(timer.intid, cpu, tuple(closed), source, pending=False, timer=timer)
    pending = view.is_pending(cpu, timer.intid)
    if not closed and timer.has_fired and not pending:
        closed += _edge_is_past(view, cpu, timer.intid)
    way = follow(view, timer.intid, cpu, off)
    states = [CpuState(Spsr(0))] * cpu + [state]
    return _of_gic(way, states, off, source=source, before=tuple(closed), pending=pending, timer=timer)


def _edge_is_past(view: GicView, cpu: int, intid: int) -> list[Closed]:
    """The gate of a timer whose line is asserted without a pending interrupt: edge-triggered, and taken before."""
    register = view.interrupt_register(ICFGR, cpu, intid, _CONFIGURATION_BITS)
    value = view.read(register)
    edge = _EDGE << _CONFIGURATION_BITS * intid % WORD_BITS
    return [Closed(Gate.TRIGGER, register, value, register, value & ~edge)] if value & edge else []
