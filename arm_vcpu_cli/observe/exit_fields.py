"""The fields of each exit reason in a trace: names of devices, registers and calls, arguments and results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from arm_vcpu_cli.arch.layouts import layout_of
from arm_vcpu_cli.arch.registers.gicregs import IccIntid
from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.arch.smccc import PsciStatus, argument_count, from_u64, function_name, is_psci
from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass
from arm_vcpu_cli.arm_vcpu.observer import ExitRecord
from arm_vcpu_cli.axvcpu.exit import (
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
    SendIPI,
    SysRegRead,
    SysRegWrite,
    SystemDown,
)
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.naming import meaning, name_access
from arm_vcpu_cli.trace.event import Field, Hex

Fields = tuple[Field, ...]
_OPERATIONS: Final = "arm_vcpu_cli.vm.semihosting.operations"
_DOUBLEWORD: Final = 8
_REMEMBERED: Final = 1 << 14
_ACCESSES: Final = 1 << 12
_X_NAMES: Final = (*(f"x{number}" for number in range(31)), "xzr")
_W_NAMES: Final = (*(f"w{number}" for number in range(31)), "wzr")


class Places:
    """A bounded cache of the fields for addresses and values of devices; a guest may use very many."""

    def __init__(self, bus: Bus, affinities: Sequence[int] = (0,)) -> None:
        self._bus = bus
        self._numbers = {affinity: number for number, affinity in enumerate(affinities)}
        self.ipi = lru_cache(_ACCESSES)(self._ipi)
        """The description of an inter-processor interrupt and its target, such as "SGI 1 to cpu2"."""
        self.access = lru_cache(_REMEMBERED)(self._access)
        """(IPA, width in bytes) -> fields of the access."""
        self.meaning = lru_cache(_REMEMBERED)(self._meaning)
        """(IPA, width in bytes, value) -> the field with the value's meaning, or none."""
        self.load = lru_cache(_ACCESSES)(self._load)
        """(IPA, virtual address or None, width in bytes, register, width of the register, value or None) -> fields."""
        self.store = lru_cache(_ACCESSES)(self._store)
        """(IPA, virtual address or None, width in bytes, value) -> fields."""

    def _access(self, ipa: int, width: int) -> Fields:
        window = self._bus.find(ipa)
        if window is None:
            return (("width", width),)
        offset = ipa - window.base
        register = name_access(window.device, offset, width)
        named: Fields = (("register", register),) if register else ()
        return (("device", window.name), *named, ("offset", Hex(offset)), ("width", width))

    def _meaning(self, ipa: int, width: int, value: int) -> Fields:
        window = self._bus.find(ipa)
        text = "" if window is None else meaning(window.device, ipa - window.base, width, value)
        return (("meaning", text),) if text else ()

    def _load(self, ipa: int, va: int | None, width: int, reg: int, reg_width: int, value: int | None) -> Fields:
        names = _X_NAMES if reg_width == _DOUBLEWORD else _W_NAMES
        fields = (*self.where(ipa, va), *self.access(ipa, int(width)), ("reg", names[reg]))
        if value is None:
            return fields
        return (*fields, ("value", Hex(value)), *self.meaning(ipa, int(width), value & (1 << 8 * width) - 1))

    def _store(self, ipa: int, va: int | None, width: int, data: int) -> Fields:
        return (
            *self.where(ipa, va),
            *self.access(ipa, int(width)),
            ("data", Hex(data)),
            *self.meaning(ipa, int(width), data),
        )

    def _ipi(self, exit_: SendIPI) -> str:
        if exit_.send_to_all or exit_.send_to_self:
            return f"SGI {exit_.vector} to {'all others' if exit_.send_to_all else 'itself'}"
        targets = exit_.target_cpu_aux
        affinities = [exit_.target_cpu | bit for bit in range(targets.bit_length()) if targets >> bit & 1]
        known = [self._numbers[affinity] for affinity in affinities if affinity in self._numbers]
        named = [*_numbered(known), *(f"{each:#x} (no CPU)" for each in affinities if each not in self._numbers)]
        return f"SGI {exit_.vector} to {', '.join(named) or 'nobody'}"

    def where(self, ipa: int, va: int | None) -> Fields:
        """The two addresses of an access."""
        return (("ipa", Hex(ipa)),) if va is None else (("ipa", Hex(ipa)), ("va", Hex(va)))


def _numbered(numbers: Iterable[int]) -> list[str]:
    """Numbers of CPUs as text: ``cpu0``, ``cpu2-5``."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return [f"cpu{first}" if first == last else f"cpu{first}-{last}" for first, last in spans]


def _mmio_read(places: Places, exit_: MmioRead, record: ExitRecord) -> Fields:
    return places.load(exit_.addr, record.va, exit_.width, exit_.reg, exit_.reg_width, record.value)


def _mmio_write(places: Places, exit_: MmioWrite, record: ExitRecord) -> Fields:
    return places.store(exit_.addr, record.va, exit_.width, exit_.data)


@lru_cache(maxsize=4096)
def _register_name(iss: int) -> str:
    return SysReg.from_iss(iss).name


@lru_cache(maxsize=4096)
def _register_meaning(iss: int, value: int) -> Fields:
    layout = layout_of(_register_name(iss), value)
    if layout is IccIntid:
        # INTIDs are decimal, as everywhere else.
        return (("meaning", f"INTID {IccIntid(value).INTID}"),)
    text = "" if layout is None else layout(value & (1 << layout.WIDTH) - 1).describe()
    return (("meaning", text),) if text else ()


def _sysreg_read(_places: Places, exit_: SysRegRead, record: ExitRecord) -> Fields:
    fields: Fields = (("sysreg", _register_name(exit_.addr)), ("reg", _X_NAMES[exit_.reg]))
    if record.value is None:
        return fields
    return (*fields, ("value", Hex(record.value)), *_register_meaning(exit_.addr, record.value))


def _sysreg_write(_places: Places, exit_: SysRegWrite, _record: ExitRecord) -> Fields:
    value = exit_.value
    return (("sysreg", _register_name(exit_.addr)), ("value", Hex(value)), *_register_meaning(exit_.addr, value))


@lru_cache(maxsize=4096)
def _function_name(number: int) -> str:
    return function_name(number)


def _conduit(record: ExitRecord) -> str:
    if record.esr is None:
        return "semihosting"
    return "smc" if record.esr >> EC_SHIFT == ExceptionClass.SMC64 else "hvc"


def _hypercall(_places: Places, exit_: Hypercall, record: ExitRecord) -> Fields:
    name = _operation_name(exit_.nr) if record.esr is None else _function_name(exit_.nr)
    fields: list[Field] = [("conduit", _conduit(record)), ("nr", Hex(exit_.nr)), ("call", name)]
    # Registers after the last argument of a known function are not part of the call.
    count = None if record.esr is None else argument_count(exit_.nr)
    fields += [(f"x{n}", Hex(value)) for n, value in enumerate(exit_.args[:count], 1) if value]
    return (*fields, *_result(record, psci=record.esr is not None and is_psci(exit_.nr & 0xFFFF_FFFF)))


def _operation_name(number: int) -> str:
    # Few guests use semihosting.
    return str(import_module(_OPERATIONS).OPERATIONS.get(number & 0xFFFF_FFFF, "?"))


def _cpu_up(_places: Places, exit_: CpuUp, record: ExitRecord) -> Fields:
    return (
        ("conduit", _conduit(record)),
        ("call", "CPU_ON"),
        ("target_cpu", Hex(exit_.target_cpu)),
        ("entry_point", Hex(exit_.entry_point)),
        ("arg", Hex(exit_.arg)),
        *_result(record, psci=True),
    )


def _cpu_down(_places: Places, exit_: CpuDown, record: ExitRecord) -> Fields:
    return (("conduit", _conduit(record)), ("call", "CPU_OFF"), ("state", exit_.state))


def _system_down(_places: Places, exit_: SystemDown, record: ExitRecord) -> Fields:
    fields: Fields = (("conduit", _conduit(record)), ("action", exit_.action.value), ("status", exit_.status))
    return (*fields, *_restart(exit_))


def _halt(_places: Places, exit_: Halt, record: ExitRecord) -> Fields:
    if exit_.entry_point is None:
        return ()
    return (("conduit", _conduit(record)), ("call", "CPU_SUSPEND"), *_restart(exit_))


def _restart(exit_: Halt | SystemDown) -> Fields:
    """The restart address of a CPU that loses its registers."""
    return () if exit_.entry_point is None else (("entry_point", Hex(exit_.entry_point)), ("arg", Hex(exit_.arg)))


def _page_fault(places: Places, exit_: NestedPageFault, record: ExitRecord) -> Fields:
    device = tuple(field for field in places.access(exit_.addr, 1) if field[0] == "device")
    return (*places.where(exit_.addr, record.va), *device, ("access", (exit_.access_flags.name or "?").lower()))


def _external_interrupt(_places: Places, exit_: ExternalInterrupt, _record: ExitRecord) -> Fields:
    return (("vector", exit_.vector),)


def _io_read(_places: Places, exit_: IoRead, _record: ExitRecord) -> Fields:
    return (("port", Hex(exit_.port)), ("width", int(exit_.width)))


def _io_write(_places: Places, exit_: IoWrite, _record: ExitRecord) -> Fields:
    return (("port", Hex(exit_.port)), ("width", int(exit_.width)), ("data", Hex(exit_.data)))


def _send_ipi(places: Places, exit_: SendIPI, _record: ExitRecord) -> Fields:
    return (
        ("ipi", places.ipi(exit_)),
        ("target_cpu", Hex(exit_.target_cpu)),
        ("target_list", Hex(exit_.target_cpu_aux)),
        ("send_to_all", exit_.send_to_all),
        ("send_to_self", exit_.send_to_self),
        ("vector", exit_.vector),
    )


def _fail_entry(_places: Places, exit_: FailEntry, _record: ExitRecord) -> Fields:
    return (("code", exit_.hardware_entry_failure_reason), ("description", exit_.description))


def _result(record: ExitRecord, *, psci: bool) -> Fields:
    if record.value is None:
        return ()
    signed = from_u64(record.value)
    if signed >= 0:
        return (("result", Hex(record.value)),)
    known = {int(status): status.name for status in PsciStatus}
    # Functions other than PSCI's share one error code with it; semihosting's -1 has another meaning.
    shared = record.esr is not None and signed == PsciStatus.NOT_SUPPORTED
    name = known.get(signed) if psci or shared else None
    return (("result", Hex(record.value)), ("error", name or str(signed)))


Describe = Callable[[Places, Any, ExitRecord], Fields]
EXIT_FIELDS: Final[Mapping[type, Describe]] = MappingProxyType(
    {
        MmioRead: _mmio_read,
        MmioWrite: _mmio_write,
        SysRegRead: _sysreg_read,
        SysRegWrite: _sysreg_write,
        Hypercall: _hypercall,
        CpuUp: _cpu_up,
        CpuDown: _cpu_down,
        SystemDown: _system_down,
        Halt: _halt,
        NestedPageFault: _page_fault,
        ExternalInterrupt: _external_interrupt,
        IoRead: _io_read,
        IoWrite: _io_write,
        SendIPI: _send_ipi,
        FailEntry: _fail_entry,
    }
)
"""The function that makes the fields of each reason; the remaining one (Nothing) has none."""
