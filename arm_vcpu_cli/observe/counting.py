"""Counts the exits of a running machine, each at little more than the cost of a dictionary look-up.

An exit is counted by its reason, its place and its caller, as plain numbers. Its properties in a trace are built only
for the first exit of each kind, so live figures and those of a trace are counted alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final

from arm_vcpu_cli.arch.registers.intid import intid_kind
from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT
from arm_vcpu_cli.arm_vcpu.observer import El1ExceptionRecord, ExitRecord, RepeatedAccess
from arm_vcpu_cli.axvcpu.exit import (
    Halt,
    Hypercall,
    IoRead,
    IoWrite,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    SendIPI,
    SysRegRead,
    SysRegWrite,
    SystemDown,
)
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.observe.callers import caller_finder
from arm_vcpu_cli.observe.describing import EventDescriber, interrupt_names, seen_bus
from arm_vcpu_cli.observe.exit_fields import EXIT_FIELDS, Fields, Places
from arm_vcpu_cli.observe.latency import InterruptLatency
from arm_vcpu_cli.observe.vcpu_times import VcpuTimes
from arm_vcpu_cli.observe.vector_watch import watch_vectors
from arm_vcpu_cli.trace.event import Hex
from arm_vcpu_cli.trace.exitkey import exit_key
from arm_vcpu_cli.trace.statistics import Cell, Statistics
from arm_vcpu_cli.vm.machine import Machine

_MAX_KEYS: Final = 1 << 15
_ACCESSES: Final = (MmioRead, MmioWrite)
_ADDRESS: Final = attrgetter("addr")
_DETAILS: Final[Mapping[type, Callable[[Any], object]]] = MappingProxyType(
    {
        MmioRead: _ADDRESS,
        MmioWrite: _ADDRESS,
        SysRegRead: _ADDRESS,
        SysRegWrite: _ADDRESS,
        Hypercall: attrgetter("nr"),
        NestedPageFault: attrgetter("addr", "access_flags"),
        SystemDown: attrgetter("action"),
        SendIPI: attrgetter("vector", "target_cpu", "target_cpu_aux", "send_to_all"),
        # One place that calls the firmware may request a standby as well as deeper states.
        Halt: lambda exit_: exit_.entry_point is None,
        IoRead: attrgetter("port"),
        IoWrite: attrgetter("port"),
    }
)
"""The properties that distinguish exits of a reason besides PC and syndrome; other reasons have none that count."""

FindCaller = Callable[[int, int, int], int]
"""Returns a return address, 0 if unknown, from PC, x30 and x29."""


class ExitCounter:
    """Counts the exits of a vCPU in ``statistics``; implements :class:`~arm_vcpu_cli.arm_vcpu.observer.RepeatObserver`.

    ``clock`` returns the time in nanoseconds of the current vCPU, which ``current`` returns, and ``clock_of`` that of
    any vCPU if there are several; callers are found only with ``caller``, exceptions counted only with ``exceptions``.
    ``at_exit`` is called at each exit, before it is counted.
    """

    wants_entries: Final = False
    wants_repeats: Final = True
    timing: Final = True

    def __init__(
        self,
        symbols: SymbolTable,
        bus: Bus,
        clock: Callable[[], int],
        *,
        interrupts: Mapping[int, str] | None = None,
        caller: FindCaller | None = None,
        exceptions: bool = False,
        affinities: Sequence[int] = (0,),
        clock_of: Callable[[int], int] | None = None,
        current: Callable[[], int] = lambda: 0,
    ) -> None:
        self.statistics = Statistics()
        self.wants_exceptions = exceptions
        self.at_exit: Callable[[], None] | None = None
        self._symbols = symbols
        self._places = Places(bus, affinities)
        self._describer = EventDescriber(symbols, bus)
        start = clock()
        self.now: Final[Callable[[], int]] = (lambda: clock() - start) if start else clock
        """Returns the nanoseconds since the counter was created."""
        self._current = current
        self._now_of: Final[Callable[[int], int]] = (
            (lambda _vcpu: self.now()) if clock_of is None else lambda vcpu: clock_of(vcpu) - start
        )
        self._sources = {} if interrupts is None else interrupts
        self._caller = caller
        self._cells: dict[tuple[object, ...], Cell] = {}
        self._kinds: dict[tuple[int, int | None], str] = {}
        self._latency = InterruptLatency()

    def exit(self, record: ExitRecord) -> None:
        """Count one exit."""
        if self.at_exit is not None:
            self.at_exit()
        self.statistics.exit(self._cell(record), record.time, record.host_ns)

    def repeat_of(self, record: ExitRecord) -> RepeatedAccess:
        """Return a counter of accesses like the one in ``record``."""
        if self._caller is not None or self.at_exit is not None:
            return self._with_callers(record)
        count, cell = self.statistics.exit, self._cell(record)

        def again(time: int, host_ns: int | None, _value: int, _lr: int, _fp: int, _lines: int) -> None:
            count(cell, time, host_ns)

        return again

    def _with_callers(self, record: ExitRecord) -> RepeatedAccess:
        def again(time: int, host_ns: int | None, _value: int, lr: int, fp: int, _lines: int) -> None:
            record.time, record.host_ns, record.lr, record.fp = time, host_ns, lr, fp
            self.exit(record)

        return again

    def _cell(self, record: ExitRecord) -> Cell:
        reason, pc = record.reason, record.pc
        kind = type(reason)
        detail = _DETAILS.get(kind)
        caller = 0 if self._caller is None else self._caller(pc, record.lr, record.fp)
        # The syndrome distinguishes HVC, SMC and semihosting, and usually different programs at one address.
        key = (kind, None if detail is None else detail(reason), pc, caller, record.esr, record.vcpu)
        cell = self._cells.get(key)
        return self._new(key, record, caller) if cell is None else cell

    def entry(self, vcpu: int, pc: int, el: int, *, irq: bool, fiq: bool) -> None:
        """Ignore entries."""

    def exception(self, record: El1ExceptionRecord) -> None:
        """Count an exception that the guest takes without an exit."""
        key = (record.kind, None if record.esr is None else record.esr >> EC_SHIFT)
        name = self._kinds.get(key)
        if name is None:
            name = self._kinds[key] = self._describer.exception(0, record).name
        self.statistics.exception(name, record.time)

    def interrupt(self, action: str, cpu: int, intid: int) -> None:
        """Count a step in the life of an interrupt; see :meth:`~arm_vcpu_cli.devices.gic.v3.GicV3.watch`."""
        # An interrupt without a target vCPU is counted for the current one.
        vcpu = cpu if cpu >= 0 else self._current()
        now = self._now_of(vcpu)
        latency = self._latency.step(action, cpu, intid, now)
        source = self._sources.get(intid) or intid_kind(intid)
        self.statistics.interrupt(vcpu, intid, source, action, now, None, latency)

    def _new(self, key: tuple[object, ...], record: ExitRecord, caller: int) -> Cell:
        if len(self._cells) >= _MAX_KEYS:
            # Bound the cache: a guest may exit from any number of places. Their names are kept elsewhere.
            self._cells.clear()
        cell = self._cells[key] = self.statistics.cell(exit_key(self._said(record, caller)))
        return cell

    def _said(self, record: ExitRecord, caller: int) -> dict[str, str]:
        """The properties of an exit in a trace by which it is counted."""
        reason = record.reason
        kind = type(reason)
        if isinstance(reason, _ACCESSES):
            # The meaning of the value is not needed here.
            fields: Fields = (("ipa", Hex(reason.addr)), *self._places.access(reason.addr, int(reason.width)))
        else:
            describe = EXIT_FIELDS.get(kind)
            fields = () if describe is None else describe(self._places, reason, record)
        said = {name: str(value) for name, value in fields}
        said |= {"reason": kind.__name__, "pc": hex(record.pc), "el": str(record.el), "vcpu": str(record.vcpu)}
        said |= {"symbol": self._function(record.pc), "caller": self._function(caller) if caller else ""}
        return said

    def _function(self, address: int) -> str:
        found = self._symbols.resolve(address)
        return "" if found is None else found[0]


def attach_counter(machine: Machine, *, callers: bool = False, exceptions: bool = False) -> ExitCounter:
    """Count the exits and interrupts of a machine from now on; before its vCPU is bound.

    ``callers`` and ``exceptions`` cost the guest some of its speed.
    """
    gic, several = machine.gic, len(machine.cpus) > 1
    times = VcpuTimes(machine)
    counter = ExitCounter(
        machine.image.symbols,
        seen_bus(machine),
        times.now if several else machine.timeline.reader(),
        interrupts=interrupt_names(machine.description),
        caller=caller_finder(machine).return_address if callers else None,
        exceptions=exceptions,
        affinities=[cpu.affinity for cpu in machine.cpus],
        clock_of=times.of if several else None,
        current=lambda: machine.current.index,
    )
    machine.observe(counter)
    if gic is not None:
        gic.watch(counter.interrupt)
    if exceptions:
        counter.at_exit = watch_vectors(machine, counter.now, counter.exception)
    return counter
