"""Turns reports of vCPUs and a machine into trace events that name devices, registers, calls, interrupts and places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, NamedTuple

from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass
from arm_vcpu_cli.arm_vcpu.observer import El1ExceptionRecord, ExitRecord
from arm_vcpu_cli.arm_vcpu.vectors import TrapKind
from arm_vcpu_cli.axvcpu.exit import MmioRead, MmioWrite
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.naming import intid_kind, meaning, name_access
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.observe.exit_fields import EXIT_FIELDS, Fields, Places
from arm_vcpu_cli.printable import LONGEST_LINE, printable, undecoded
from arm_vcpu_cli.trace.event import (
    ACCESS,
    CODE,
    CONSOLE,
    ENTRY,
    EXCEPTION,
    EXIT,
    FAULT,
    IRQ,
    STATE,
    Field,
    Hex,
    TraceEvent,
)
from arm_vcpu_cli.vm.cpu_building import PHYSICAL_TIMER, VIRTUAL_TIMER
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.passthrough import PassedThrough

if TYPE_CHECKING:
    from arm_vcpu_cli.vm.faults.armed_fault import Injection

_REMEMBERED: Final = 1 << 14
_new: Final = tuple.__new__
"""Creates a named tuple as its constructor does, without the call that collects the arguments."""
_SVC_IMMEDIATE: Final = 0xFFFF
_KINDS: Final = {TrapKind.IRQ: "irq", TrapKind.FIQ: "fiq", TrapKind.SERROR: "serror"}
_CLASSES: Final = {
    ExceptionClass.UNKNOWN: "undefined",
    ExceptionClass.SVC64: "svc",
    ExceptionClass.INSTRUCTION_ABORT_LOWER: "instruction abort",
    ExceptionClass.INSTRUCTION_ABORT: "instruction abort",
    ExceptionClass.DATA_ABORT_LOWER: "data abort",
    ExceptionClass.DATA_ABORT: "data abort",
    ExceptionClass.PC_ALIGNMENT: "pc alignment",
    ExceptionClass.SP_ALIGNMENT: "sp alignment",
    ExceptionClass.BRK64: "brk",
    ExceptionClass.SERROR: "serror",
}


class InterruptStep(NamedTuple):
    """A step in the life of an interrupt at a vCPU; ``latency`` is in nanoseconds, None if it was not measured."""

    action: str
    vcpu: int
    intid: int
    latency: int | None


class EventDescriber:
    """Creates the events of one machine. Only names are cached."""

    def __init__(
        self,
        symbols: SymbolTable,
        bus: Bus,
        *,
        interrupts: Mapping[int, str] | None = None,
        affinities: Sequence[int] = (0,),
    ) -> None:
        self._places = Places(bus, affinities)
        self._symbol: Callable[[int], str] = lru_cache(_REMEMBERED)(symbols.format)
        self._source: Callable[[int], str] = lru_cache(_REMEMBERED)(symbols.source)
        self._function: Callable[[int], str] = lru_cache(_REMEMBERED)(lambda address: _function(symbols, address))
        self._interrupts = {} if interrupts is None else dict(interrupts)

    @classmethod
    def for_machine(cls, machine: Machine) -> EventDescriber:
        """Create a describer with the names of a machine and its guest."""
        return cls(
            machine.image.symbols,
            seen_bus(machine),
            interrupts=interrupt_names(machine.description),
            affinities=[cpu.affinity for cpu in machine.cpus],
        )

    def exit(self, number: int, record: ExitRecord, caller: int = 0) -> TraceEvent:
        """An exit; ``caller`` is a return address, 0 if unknown."""
        exit_, pc = record.reason, record.pc
        kind = type(exit_)
        describe = EXIT_FIELDS.get(kind)
        fields = () if describe is None else describe(self._places, exit_, record)
        if record.host_ns is not None:
            fields = (*fields, ("host_ns", record.host_ns))
        return _new(
            TraceEvent,
            (
                EXIT,
                number,
                record.vcpu,
                record.time,
                kind.__name__,
                pc,
                self._symbol(pc),
                self._source(pc),
                self._function(caller) if caller else "",
                record.el,
                record.esr,
                fields,
                record.note,
            ),
        )

    def access_like(self, record: ExitRecord) -> Callable[[int, int, int, int | None, int], TraceEvent]:
        """A function from the number, the time, the value, the host's time and the caller of an access like the one in
        ``record`` to its event."""
        reason, va, pc, vcpu, el, esr = record.reason, record.va, record.pc, record.vcpu, record.el, record.esr
        name, symbol, source = type(reason).__name__, self._symbol(pc), self._source(pc)
        name_of = self._function
        if isinstance(reason, MmioRead):
            load, ipa, width = self._places.load, reason.addr, int(reason.width)
            register, register_width = reason.reg, int(reason.reg_width)

            def fields_of(value: int) -> Fields:
                return load(ipa, va, width, register, register_width, value)

        elif isinstance(reason, MmioWrite):
            fields_of = partial(self._places.store, reason.addr, va, int(reason.width))
        else:
            raise TypeError(f"{name} is not an access to a device")

        def event(number: int, time: int, value: int, host_ns: int | None, caller: int) -> TraceEvent:
            fields = fields_of(value)
            if host_ns is not None:
                fields = (*fields, ("host_ns", host_ns))
            function = name_of(caller) if caller else ""
            return _new(TraceEvent, (EXIT, number, vcpu, time, name, pc, symbol, source, function, el, esr, fields, ""))

        return event

    def entry_like(self, vcpu: int, pc: int, el: int) -> Callable[[int, int], TraceEvent]:
        """A function from the number and the time of an entry at ``pc``, without interrupts, to its event."""
        symbol = self._symbol(pc)

        def event(number: int, time: int) -> TraceEvent:
            return _new(TraceEvent, (ENTRY, number, vcpu, time, "", pc, symbol, "", "", el, None, (), ""))

        return event

    def entry(self, number: int, time: int, vcpu: int, pc: int, el: int, virq: str) -> TraceEvent:
        """The guest resumes; ``virq`` says which virtual interrupts are pending."""
        fields: Fields = (("virq", virq),) if virq else ()
        return _new(TraceEvent, (ENTRY, number, vcpu, time, "", pc, self._symbol(pc), "", "", el, None, fields, ""))

    def exception(self, number: int, record: El1ExceptionRecord, intid: int | None = None) -> TraceEvent:
        """An exception that the guest takes without an exit; ``intid`` is the interrupt that it will acknowledge."""
        fields: list[Field] = []
        name = _KINDS.get(TrapKind(record.kind))
        if record.esr is not None:
            exception_class = record.esr >> EC_SHIFT
            name = next((text for known, text in _CLASSES.items() if known == exception_class), "other")
            if record.far is not None:
                fields.append(("far", Hex(record.far)))
            if exception_class == ExceptionClass.SVC64:
                fields += [("imm", record.esr & _SVC_IMMEDIATE), ("nr", record.x8 & 0xFFFF_FFFF)]
        if intid is not None:
            fields += [("intid", intid), ("source_name", self._interrupt(intid))]
        fields.append(("vector", Hex(record.vector)))
        pc = record.pc
        return TraceEvent(
            EXCEPTION,
            number,
            record.vcpu,
            record.time,
            name or "other",
            pc,
            self._symbol(pc),
            self._source(pc),
            el=record.el,
            esr=record.esr,
            fields=tuple(fields),
        )

    def interrupt(self, number: int, time: int, step: InterruptStep) -> TraceEvent:
        """A step in the life of an interrupt."""
        fields: Fields = (("intid", step.intid), ("source_name", self._interrupt(step.intid)))
        if step.latency is not None:
            fields = (*fields, ("latency_ns", step.latency))
        return TraceEvent(IRQ, number, step.vcpu, time, step.action, fields=fields)

    def state(self, number: int, time: int, vcpu: int, before: str, after: str) -> TraceEvent:
        """A change of a vCPU's state."""
        return TraceEvent(STATE, number, vcpu, time, after, fields=(("from", before),))

    def console(self, number: int, time: int, said: tuple[int, bytes]) -> TraceEvent:
        """A line of the guest's output, with its line end, and the vCPU that printed the end."""
        vcpu, line = said
        fields: Fields = (("text", undecoded(line)),)
        return TraceEvent(CONSOLE, number, vcpu, time, "", fields=fields)

    def access(
        self,
        number: int,
        time: int,
        vcpu: int,
        device: PassedThrough,
        is_write: bool,
        offset: int,
        width: int,
        value: int,
    ) -> TraceEvent:
        """An access to a device without an exit."""
        name = name_access(device.device, offset, width)
        said = meaning(device.device, offset, width, value)
        fields: list[Field] = [("ipa", Hex(device.base + offset)), ("device", device.name)]
        if name:
            fields.append(("register", name))
        fields += [("offset", Hex(offset)), ("width", width), ("data" if is_write else "value", Hex(value))]
        if said:
            fields.append(("meaning", said))
        return TraceEvent(ACCESS, number, vcpu, time, "", fields=tuple(fields))

    def code(self, number: int, time: int, vcpu: int, vaddr: int, ipas: range) -> TraceEvent:
        """The guest's first execution from ``ipas``, at ``vaddr``."""
        fields: Fields = (("ipa", Hex(ipas.start)), ("size", len(ipas)))
        return TraceEvent(CODE, number, vcpu, time, "", vaddr, self._symbol(vaddr), fields=fields)

    def fault(self, number: int, time: int, injection: Injection) -> TraceEvent:
        """A fault as it is injected."""
        pc = injection.pc
        fields: Fields = (
            ("fault", injection.fault),
            ("number", injection.number),
            ("effect", printable(injection.effect, LONGEST_LINE)),
        )
        symbol, source = self._symbol(pc), self._source(pc)
        return TraceEvent(FAULT, number, injection.vcpu, time, injection.kind, pc, symbol, source, fields=fields)

    def _interrupt(self, intid: int) -> str:
        return self._interrupts.get(intid) or intid_kind(intid)


def _function(symbols: SymbolTable, address: int) -> str:
    found = symbols.resolve(address)
    return "" if found is None else found[0]


def seen_bus(machine: Machine) -> Bus:
    """The bus as a vCPU sees it: devices private to a vCPU have the same name and address for all."""
    return machine.cpus[0].bus


def interrupt_names(description: MachineDescription) -> dict[int, str]:
    """The sources of interrupts, by INTID."""
    names = {VIRTUAL_TIMER: "virtual timer", PHYSICAL_TIMER: "physical timer"}
    names |= {device.intid: device.name for device in description.devices if device.intid is not None}
    return names
