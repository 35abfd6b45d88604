"""From the exits of a vCPU to trace events: names of devices, registers, calls and symbols."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from arm_vcpu_cli.arch.esr import EC_SHIFT, ExceptionClass
from arm_vcpu_cli.arch.smccc import PsciStatus, argument_count, from_u64, function_name, is_psci
from arm_vcpu_cli.arch.sysreg import SysReg
from arm_vcpu_cli.arm_vcpu.observer import ExitRecord
from arm_vcpu_cli.axvcpu.exit import (
    CpuDown,
    CpuUp,
    ExternalInterrupt,
    FailEntry,
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
from arm_vcpu_cli.machine.runner import RunResult
from arm_vcpu_cli.machine.semihosting import OPERATIONS
from arm_vcpu_cli.trace.event import Hex, TraceEnd, TraceEvent
from arm_vcpu_cli.trace.sinks import TraceSink

Fields = list[tuple[str, "Hex | int | str | bool"]]


class Tracer:
    """Observes a vCPU and sends its exits to a sink. ``only`` names the reasons wanted; None wants all.

    Implements :class:`~arm_vcpu_cli.arm_vcpu.observer.ExitObserver`.
    """

    def __init__(
        self,
        sink: TraceSink,
        symbols: SymbolTable,
        bus: Bus,
        *,
        only: Collection[str] | None = None,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._sink = sink
        self._symbols = symbols
        self._bus = bus
        self._only = None if only is None else frozenset(only)
        self._clock = clock
        self._start = clock()
        self.counts: Counter[str] = Counter()

    def now(self) -> int:
        """Nanoseconds since the tracer was made."""
        return self._clock() - self._start

    def exit(self, record: ExitRecord) -> None:
        """Count one exit, and write it if it is wanted: what is not is never formatted."""
        reason = type(record.reason).__name__
        self.counts[reason] += 1
        if self._only is not None and reason not in self._only:
            return
        describe = FIELDS.get(type(record.reason))
        self._sink.event(
            TraceEvent(
                seq=self.counts.total(),
                vcpu=0,
                time=record.time,
                reason=reason,
                pc=record.pc,
                symbol=self._symbols.format(record.pc),
                el=record.el,
                esr=record.esr,
                fields=() if describe is None else tuple(describe(self._bus, record.reason, record)),
                note=record.note,
            )
        )

    def end(self, result: RunResult) -> None:
        """Write how the run ended."""
        self._sink.end(
            TraceEnd(
                ending=result.ending.value,
                status=result.status,
                message=result.message,
                exits=result.exits,
                time=self.now(),
            )
        )

    def close(self) -> None:
        """Write the counts by reason, of all exits."""
        self._sink.summary(self.counts, self.counts.total())


def _device(bus: Bus, address: int) -> Fields:
    window = bus.find(address)
    if window is None:
        return [("addr", Hex(address))]
    return [("addr", Hex(address)), ("device", window.name), ("offset", Hex(address - window.base))]


def _mmio_read(bus: Bus, exit_: MmioRead, record: ExitRecord) -> Fields:
    fields = _device(bus, exit_.addr)
    fields += [("width", int(exit_.width)), ("reg", _register(exit_.reg, int(exit_.reg_width)))]
    return fields + _value(record)


def _mmio_write(bus: Bus, exit_: MmioWrite, _record: ExitRecord) -> Fields:
    return [*_device(bus, exit_.addr), ("width", int(exit_.width)), ("data", Hex(exit_.data))]


def _sysreg_read(_bus: Bus, exit_: SysRegRead, record: ExitRecord) -> Fields:
    fields: Fields = [("sysreg", SysReg.from_iss(exit_.addr).name), ("reg", _register(exit_.reg, 8))]
    return fields + _value(record)


def _sysreg_write(_bus: Bus, exit_: SysRegWrite, _record: ExitRecord) -> Fields:
    return [("sysreg", SysReg.from_iss(exit_.addr).name), ("value", Hex(exit_.value))]


def _conduit(record: ExitRecord) -> str:
    if record.esr is None:
        return "semihosting"
    return "smc" if record.esr >> EC_SHIFT == ExceptionClass.SMC64 else "hvc"


def _hypercall(_bus: Bus, exit_: Hypercall, record: ExitRecord) -> Fields:
    conduit = _conduit(record)
    name = OPERATIONS.get(exit_.nr, "?") if record.esr is None else function_name(exit_.nr)
    fields: Fields = [("conduit", conduit), ("nr", Hex(exit_.nr)), ("call", name)]
    # What lies in the registers behind the last argument of a known function is no part of the call.
    count = None if record.esr is None else argument_count(exit_.nr)
    fields += [(f"x{n}", Hex(value)) for n, value in enumerate(exit_.args[:count], 1) if value]
    return fields + _result(record, psci=record.esr is not None and is_psci(exit_.nr & 0xFFFF_FFFF))


def _cpu_up(_bus: Bus, exit_: CpuUp, record: ExitRecord) -> Fields:
    fields: Fields = [
        ("conduit", _conduit(record)),
        ("call", "CPU_ON"),
        ("target_cpu", Hex(exit_.target_cpu)),
        ("entry_point", Hex(exit_.entry_point)),
        ("arg", Hex(exit_.arg)),
    ]
    return fields + _result(record, psci=True)


def _cpu_down(_bus: Bus, exit_: CpuDown, record: ExitRecord) -> Fields:
    return [("conduit", _conduit(record)), ("call", "CPU_OFF"), ("state", exit_.state)]


def _system_down(_bus: Bus, exit_: SystemDown, record: ExitRecord) -> Fields:
    return [("conduit", _conduit(record)), ("action", exit_.action.value), ("status", exit_.status)]


def _page_fault(bus: Bus, exit_: NestedPageFault, _record: ExitRecord) -> Fields:
    return [*_device(bus, exit_.addr), ("access", (exit_.access_flags.name or "?").lower())]


def _external_interrupt(_bus: Bus, exit_: ExternalInterrupt, _record: ExitRecord) -> Fields:
    return [("vector", exit_.vector)]


def _io_read(_bus: Bus, exit_: IoRead, _record: ExitRecord) -> Fields:
    return [("port", Hex(exit_.port)), ("width", int(exit_.width))]


def _io_write(_bus: Bus, exit_: IoWrite, _record: ExitRecord) -> Fields:
    return [("port", Hex(exit_.port)), ("width", int(exit_.width)), ("data", Hex(exit_.data))]


def _send_ipi(_bus: Bus, exit_: SendIPI, _record: ExitRecord) -> Fields:
    return [
        ("target_cpu", Hex(exit_.target_cpu)),
        ("target_list", Hex(exit_.target_cpu_aux)),
        ("send_to_all", exit_.send_to_all),
        ("send_to_self", exit_.send_to_self),
        ("vector", exit_.vector),
    ]


def _fail_entry(_bus: Bus, exit_: FailEntry, _record: ExitRecord) -> Fields:
    return [("code", exit_.hardware_entry_failure_reason), ("description", exit_.description)]


def _register(number: int, width: int) -> str:
    name = "zr" if number == 31 else str(number)
    return f"{'x' if width == 8 else 'w'}{name}"


def _value(record: ExitRecord) -> Fields:
    return [] if record.value is None else [("value", Hex(record.value))]


def _result(record: ExitRecord, *, psci: bool) -> Fields:
    if record.value is None:
        return []
    signed = from_u64(record.value)
    if signed >= 0:
        return [("result", Hex(record.value))]
    known = {int(status): status.name for status in PsciStatus}
    # Other functions than PSCI's share one code with it; semihosting's -1 means something else.
    shared = record.esr is not None and signed == PsciStatus.NOT_SUPPORTED
    name = known.get(signed) if psci or shared else None
    return [("result", f"{signed} ({name})" if name else str(signed))]


FIELDS: Final[Mapping[type, Callable[[Bus, Any, ExitRecord], Fields]]] = MappingProxyType(
    {
        MmioRead: _mmio_read,
        MmioWrite: _mmio_write,
        SysRegRead: _sysreg_read,
        SysRegWrite: _sysreg_write,
        Hypercall: _hypercall,
        CpuUp: _cpu_up,
        CpuDown: _cpu_down,
        SystemDown: _system_down,
        IoRead: _io_read,
        IoWrite: _io_write,
        ExternalInterrupt: _external_interrupt,
        NestedPageFault: _page_fault,
        SendIPI: _send_ipi,
        FailEntry: _fail_entry,
    }
)
"""How each exit reason that has fields is told; the others have none."""
