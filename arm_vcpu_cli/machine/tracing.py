"""From the exits of a vCPU to trace events: names of devices, registers, calls and symbols."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
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
from arm_vcpu_cli.trace.event import Field, Hex, TraceEnd, TraceEvent
from arm_vcpu_cli.trace.sinks import TraceSink

Fields = tuple[Field, ...]
_DOUBLEWORD: Final = 8
_MAX_PLACES: Final = 1 << 14
_X_NAMES: Final = (*(f"x{number}" for number in range(31)), "xzr")
_W_NAMES: Final = (*(f"w{number}" for number in range(31)), "wzr")


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
        self._event = sink.event
        self._places = _Places(bus)
        self._symbol = lru_cache(_MAX_PLACES)(symbols.format)
        self._only = None if only is None else frozenset(only)
        self._clock = clock
        self._start = clock()
        self._seen = 0
        self.counts: Counter[str] = Counter()

    def now(self) -> int:
        """Nanoseconds since the tracer was made."""
        return self._clock() - self._start

    def exit(self, record: ExitRecord) -> None:
        """Count one exit, and write it if it is wanted: what is not is never formatted."""
        exit_, pc = record.reason, record.pc
        kind = type(exit_)
        reason = kind.__name__
        self.counts[reason] += 1
        self._seen += 1
        if self._only is not None and reason not in self._only:
            return
        describe = FIELDS.get(kind)
        fields = () if describe is None else describe(self._places, exit_, record)
        self._event(
            TraceEvent(
                self._seen, 0, record.time, reason, pc, self._symbol(pc), record.el, record.esr, fields, record.note
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
        self._sink.summary(self.counts, self._seen)


class _Places(dict[int, Fields]):
    """What is told of an address, kept for those that were told before; a guest may use very many."""

    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self._bus = bus

    def __missing__(self, address: int) -> Fields:
        if len(self) >= _MAX_PLACES:
            self.clear()
        window = self._bus.find(address)
        fields: Fields = (("addr", Hex(address)),)
        if window is not None:
            fields += (("device", window.name), ("offset", Hex(address - window.base)))
        self[address] = fields
        return fields


def _mmio_read(places: _Places, exit_: MmioRead, record: ExitRecord) -> Fields:
    names = _X_NAMES if exit_.reg_width == _DOUBLEWORD else _W_NAMES
    fields = (*places[exit_.addr], ("width", int(exit_.width)), ("reg", names[exit_.reg]))
    return fields if record.value is None else (*fields, ("value", Hex(record.value)))


def _mmio_write(places: _Places, exit_: MmioWrite, _record: ExitRecord) -> Fields:
    return (*places[exit_.addr], ("width", int(exit_.width)), ("data", Hex(exit_.data)))


@lru_cache(maxsize=4096)
def _register_name(iss: int) -> str:
    return SysReg.from_iss(iss).name


def _sysreg_read(_places: _Places, exit_: SysRegRead, record: ExitRecord) -> Fields:
    fields: Fields = (("sysreg", _register_name(exit_.addr)), ("reg", _X_NAMES[exit_.reg]))
    return fields if record.value is None else (*fields, ("value", Hex(record.value)))


def _sysreg_write(_places: _Places, exit_: SysRegWrite, _record: ExitRecord) -> Fields:
    return (("sysreg", _register_name(exit_.addr)), ("value", Hex(exit_.value)))


@lru_cache(maxsize=4096)
def _function_name(number: int) -> str:
    return function_name(number)


def _conduit(record: ExitRecord) -> str:
    if record.esr is None:
        return "semihosting"
    return "smc" if record.esr >> EC_SHIFT == ExceptionClass.SMC64 else "hvc"


def _hypercall(_places: _Places, exit_: Hypercall, record: ExitRecord) -> Fields:
    name = OPERATIONS.get(exit_.nr, "?") if record.esr is None else _function_name(exit_.nr)
    fields: list[Field] = [("conduit", _conduit(record)), ("nr", Hex(exit_.nr)), ("call", name)]
    # What lies in the registers behind the last argument of a known function is no part of the call.
    count = None if record.esr is None else argument_count(exit_.nr)
    fields += [(f"x{n}", Hex(value)) for n, value in enumerate(exit_.args[:count], 1) if value]
    return (*fields, *_result(record, psci=record.esr is not None and is_psci(exit_.nr & 0xFFFF_FFFF)))


def _cpu_up(_places: _Places, exit_: CpuUp, record: ExitRecord) -> Fields:
    return (
        ("conduit", _conduit(record)),
        ("call", "CPU_ON"),
        ("target_cpu", Hex(exit_.target_cpu)),
        ("entry_point", Hex(exit_.entry_point)),
        ("arg", Hex(exit_.arg)),
        *_result(record, psci=True),
    )


def _cpu_down(_places: _Places, exit_: CpuDown, record: ExitRecord) -> Fields:
    return (("conduit", _conduit(record)), ("call", "CPU_OFF"), ("state", exit_.state))


def _system_down(_places: _Places, exit_: SystemDown, record: ExitRecord) -> Fields:
    return (("conduit", _conduit(record)), ("action", exit_.action.value), ("status", exit_.status))


def _page_fault(places: _Places, exit_: NestedPageFault, _record: ExitRecord) -> Fields:
    return (*places[exit_.addr], ("access", (exit_.access_flags.name or "?").lower()))


def _external_interrupt(_places: _Places, exit_: ExternalInterrupt, _record: ExitRecord) -> Fields:
    return (("vector", exit_.vector),)


def _io_read(_places: _Places, exit_: IoRead, _record: ExitRecord) -> Fields:
    return (("port", Hex(exit_.port)), ("width", int(exit_.width)))


def _io_write(_places: _Places, exit_: IoWrite, _record: ExitRecord) -> Fields:
    return (("port", Hex(exit_.port)), ("width", int(exit_.width)), ("data", Hex(exit_.data)))


def _send_ipi(_places: _Places, exit_: SendIPI, _record: ExitRecord) -> Fields:
    return (
        ("target_cpu", Hex(exit_.target_cpu)),
        ("target_list", Hex(exit_.target_cpu_aux)),
        ("send_to_all", exit_.send_to_all),
        ("send_to_self", exit_.send_to_self),
        ("vector", exit_.vector),
    )


def _fail_entry(_places: _Places, exit_: FailEntry, _record: ExitRecord) -> Fields:
    return (("code", exit_.hardware_entry_failure_reason), ("description", exit_.description))


def _result(record: ExitRecord, *, psci: bool) -> Fields:
    if record.value is None:
        return ()
    signed = from_u64(record.value)
    if signed >= 0:
        return (("result", Hex(record.value)),)
    known = {int(status): status.name for status in PsciStatus}
    # Other functions than PSCI's share one code with it; semihosting's -1 means something else.
    shared = record.esr is not None and signed == PsciStatus.NOT_SUPPORTED
    name = known.get(signed) if psci or shared else None
    return (("result", f"{signed} ({name})" if name else str(signed)),)


FIELDS: Final[Mapping[type, Callable[[_Places, Any, ExitRecord], Fields]]] = MappingProxyType(
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
