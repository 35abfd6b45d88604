"""The ``[[fault]]`` tables of a machine description."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.smccc import PsciStatus
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.document import read_document
from arm_vcpu_cli.board.fault_description import (
    AtAccess,
    AtCpuOn,
    CpuOnFails,
    Direction,
    Effect,
    ExternalAbort,
    FaultDescription,
    FlipMemory,
    FlipRegister,
    Late,
    LoseInterrupt,
    SError,
    SpuriousInterrupt,
    Trigger,
    WrongValue,
)
from arm_vcpu_cli.board.fault_triggers import ALL_KEYS, duration, one_of, read_intid, read_trigger
from arm_vcpu_cli.board.schema import Findings, Table
from arm_vcpu_cli.errors import MachineFileError
from arm_vcpu_cli.record import Record, replace

MAX_FAULTS: Final = 256
MAX_ISS: Final = (1 << 25) - 1
_COMMON: Final = ("name", "kind", "at", "cpu", "enabled")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ANYWHERE: Final = ("time", "instructions", "symbol", "address", "access", "intid")
_EXECUTING: Final = ("time", "instructions", "symbol", "address", "access")
_GENERAL: Final = re.compile(r"x([0-9]|[12][0-9]|30)|sp|pc")
_VECTOR: Final = re.compile(r"v([0-9]|[12][0-9]|3[01])")
SYSTEM_REGISTERS: Final = tuple(
    (
        "SCTLR_EL1 CPACR_EL1 TTBR0_EL1 TTBR1_EL1 TCR_EL1 MAIR_EL1 VBAR_EL1 CONTEXTIDR_EL1 ELR_EL1 SPSR_EL1 ESR_EL1"
        " FAR_EL1 PAR_EL1 SP_EL0 SP_EL1 TPIDR_EL0 TPIDR_EL1 TPIDRRO_EL0"
    ).split()
)
"""The system registers in which bits can be flipped: those of EL1 and EL0 that the core holds."""
_STATUSES: Final[Mapping[str, PsciStatus]] = MappingProxyType(
    {status.name.lower().replace("_", "-"): status for status in PsciStatus}
)
_MOST_BITS: Final = 64


class _Kind(Record):
    """A kind of fault: the keys that only it has, its triggers, and the function that reads its effect."""

    keys: tuple[str, ...]
    triggers: tuple[str, ...]
    read: Callable[[Table, MachineDescription], Effect]


def with_faults(described: MachineDescription, top: Table) -> MachineDescription:
    """``described`` with the faults of the document ``top``; errors are recorded there."""
    faults = []
    owners: dict[str, str] = {}
    for index, table in enumerate(top.elements("fault", ALL_FAULT_KEYS, most=MAX_FAULTS)):
        if not table.boolean("enabled", True):
            continue
        fault = _read(table, described, f"fault{index}")
        name = f"fault{index}" if fault is None else fault.name
        if name in owners:
            table.refuse("name", f'"{name}" is already that of {owners[name]}')
        owners.setdefault(name, table.key)
        if fault is not None:
            faults.append(fault)
    return replace(described, faults=tuple(faults))


def add_faults(described: MachineDescription, path: Path) -> MachineDescription:
    """``described`` with the faults of another TOML file in addition, which has nothing else. Raises
    MachineFileError."""
    document = read_document(path)
    findings = Findings(document.places)
    top = Table(path, document, known=("fault",), findings=findings)
    added = with_faults(described, top).faults
    findings.finish()
    names = {fault.name for fault in described.faults}
    for fault in added:
        if fault.name in names:
            message = f'"{fault.name}" is already that of a fault of the machine'
            raise MachineFileError(path, message, key=f"{fault.key}.name")
    return replace(described, faults=described.faults + tuple(replace(fault, file=path) for fault in added))


def _read(table: Table, machine: MachineDescription, default: str) -> FaultDescription | None:
    name = table.string("name", default)
    if table.is_valid("name") and not _NAME.fullmatch(name):
        table.refuse("name", "expected a name of at most 64 letters, digits, '-' and '_'")
    kind = table.choice("kind", tuple(_KINDS))
    cpu = table.optional_integer("cpu", low=0, high=machine.cpu.count - 1)
    if not table.is_valid("kind"):
        # The other keys depend on the kind.
        return None
    known = _KINDS[kind]
    for key in ALL_FAULT_KEYS:
        if key in table and key not in (*_COMMON, *known.keys):
            table.refuse(key, f'faults of the kind "{kind}" have no such key')
    at = table.table("at", ALL_KEYS)
    trigger: Trigger | None = None
    if known.triggers == ("call",) and "at" not in table:
        trigger = AtCpuOn()
    elif table.is_valid("at"):
        trigger = read_trigger(at, kind, known.triggers, machine)
    effect = known.read(table, machine)
    if trigger is not None:
        trigger = _checked(table, at, trigger, effect)
    if table.flawed or trigger is None:
        return None
    return FaultDescription(name, kind, trigger, effect, cpu, table.key)


def _checked(table: Table, at: Table, trigger: Trigger, effect: Effect) -> Trigger:
    """The trigger, once it fits the effect."""
    if isinstance(trigger, AtAccess):
        if isinstance(effect, ExternalAbort) and "on" in table:
            table.refuse("on", f"has no meaning with {at.key_of('access')}: it is the access that is aborted")
        if isinstance(effect, WrongValue):
            if trigger.direction is Direction.WRITE:
                at.refuse("direction", "a write returns no value")
            return replace(trigger, direction=Direction.READ)
    return trigger


# Effects -------------------------------------------------------------------------------------------------------


def _external_abort(table: Table, _machine: MachineDescription) -> Effect:
    return ExternalAbort(on_fetch=table.choice("on", ("data", "fetch"), "data") == "fetch")


def _serror(table: Table, _machine: MachineDescription) -> Effect:
    return SError(table.integer("iss", low=0, high=MAX_ISS, default=0))


def _flip(table: Table, machine: MachineDescription) -> Effect:
    where = one_of(table, ("register", "ipa", "va", "symbol"))
    if where == "register":
        register = table.string("register")
        register, width = _register(table, register) if table.is_valid("register") else ("x0", _MOST_BITS)
        return FlipRegister(register, _bits(table, width))
    bits = _bits(table, _MOST_BITS)
    if where == "symbol":
        return FlipMemory(table.string("symbol"), bits, is_virtual=True)
    if where == "va":
        return FlipMemory(table.integer("va", low=0, high=MASK64), bits, is_virtual=True)
    if where is None:
        return FlipMemory(0, bits)
    address = table.integer("ipa", low=0, high=MASK64)
    if table.is_valid("ipa") and not any(region.holds(address, max(bits) // 8 + 1) for region in machine.memory):
        table.refuse("ipa", f"expected an address in a memory region, found {table.found('ipa', address)}")
    return FlipMemory(address, bits)


def _register(table: Table, name: str) -> tuple[str, int]:
    """The register and its width in bits."""
    lower = name.lower()
    if _GENERAL.fullmatch(lower):
        return lower, 64
    if _VECTOR.fullmatch(lower):
        return lower, 128
    if name.upper() not in SYSTEM_REGISTERS:
        known = f"x0 to x30, sp, pc, v0 to v31, {', '.join(SYSTEM_REGISTERS)}"
        table.refuse("register", f"expected one of {known}, found {table.found('register', name)}")
    return name.upper(), 64


def _bits(table: Table, width: int) -> tuple[int, ...]:
    if table.is_array("bit"):
        bits = tuple(dict.fromkeys(table.integers("bit", low=0, high=width - 1, counts=(1, _MOST_BITS))))
    else:
        bits = (table.integer("bit", low=0, high=width - 1),)
    return bits or (0,)


def _wrong_value(table: Table, _machine: MachineDescription) -> Effect:
    which = one_of(table, ("value", "xor"))
    if which == "value":
        return WrongValue(table.integer("value", low=0, high=MASK64))
    return WrongValue(xor=table.integer("xor", low=1, high=MASK64) if which == "xor" else 1)


def _late(table: Table, _machine: MachineDescription) -> Effect:
    return Late(duration(table, "delay", low=1))


def _lose_interrupt(_table: Table, _machine: MachineDescription) -> Effect:
    return LoseInterrupt()


def _spurious_interrupt(table: Table, machine: MachineDescription) -> Effect:
    return SpuriousInterrupt(read_intid(table, machine))


def _cpu_on_fails(table: Table, _machine: MachineDescription) -> Effect:
    return CpuOnFails(_STATUSES[table.choice("status", tuple(_STATUSES), "internal-failure")])


_KINDS: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        "external-abort": _Kind(("on",), _EXECUTING, _external_abort),
        "serror": _Kind(("iss",), _ANYWHERE, _serror),
        "flip": _Kind(("register", "ipa", "va", "symbol", "bit"), _ANYWHERE, _flip),
        "wrong-value": _Kind(("value", "xor"), ("access",), _wrong_value),
        "late": _Kind(("delay",), ("access",), _late),
        "lose-interrupt": _Kind((), ("intid",), _lose_interrupt),
        "spurious-interrupt": _Kind(("intid",), _ANYWHERE, _spurious_interrupt),
        "cpu-on-fails": _Kind(("status",), ("call",), _cpu_on_fails),
    }
)
FAULT_KINDS: Final = tuple(_KINDS)
ALL_FAULT_KEYS: Final = (*_COMMON, *dict.fromkeys(key for kind in _KINDS.values() for key in kind.keys))
