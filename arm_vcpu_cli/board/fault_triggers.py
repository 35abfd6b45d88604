"""The key ``at`` of a ``[[fault]]``: when the fault is injected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.durations import parse_duration
from arm_vcpu_cli.board.fault_description import (
    AtAccess,
    AtCode,
    AtCpuOn,
    AtInstruction,
    AtInterrupt,
    AtTime,
    Direction,
    Trigger,
)
from arm_vcpu_cli.board.schema import LAST_SPI, Table

FIRST_INTID: Final = 16
"""Software-generated interrupts have no input."""
MAX_COUNT: Final = 1 << 48
CPU_ON: Final = "cpu-on"
LONGEST: Final = 1 << 60
"""Nanoseconds."""
_COUNTED: Final = ("count", "times", "after")
KEYS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "time": ("every", "times"),
        "instructions": (),
        "symbol": _COUNTED,
        "address": _COUNTED,
        "access": ("offset", "direction", *_COUNTED),
        "intid": _COUNTED,
        "call": _COUNTED,
    }
)
"""The keys that select a trigger, and the further keys of each."""
ALL_KEYS: Final = (*KEYS, *dict.fromkeys(key for keys in KEYS.values() for key in keys))
_INSTRUCTION: Final = 4
"""The size of an instruction in bytes."""


def duration(table: Table, name: str, *, low: int = 0, default: str | None = None) -> int:
    """A length of guest time in nanoseconds: a string with a unit."""
    text = table.string(name, default)
    if not table.is_valid(name):
        return low
    try:
        nanoseconds = parse_duration(text)
    except ValueError as error:
        table.refuse(name, str(error))
        return low
    if not low <= nanoseconds < LONGEST:
        table.refuse(name, f"expected a time from {low} ns to 36 years, found {table.found(name, text)}")
        return low
    return nanoseconds


def one_of(table: Table, keys: tuple[str, ...]) -> str | None:
    """The only one of ``keys`` that the table has; None, with an error recorded, if there is none or there are two."""
    found = [key for key in keys if key in table]
    if len(found) == 1:
        return found[0]
    if found:
        table.refuse(found[1], f"cannot be combined with {table.key_of(found[0])}")
    elif not table.flawed:
        # A misspelt key is reported as one error.
        table.refuse(None, f"missing, expected one of the keys {', '.join(keys)}")
    return None


def read_trigger(table: Table, kind: str, allowed: tuple[str, ...], machine: MachineDescription) -> Trigger | None:
    """The trigger of a fault of that ``kind``, which may have the ``allowed`` triggers; None if it is refused."""
    trigger = one_of(table, tuple(KEYS))
    if trigger is None:
        return None
    if trigger not in allowed:
        table.refuse(trigger, f'a fault of the kind "{kind}" is triggered by {" or ".join(allowed)}')
        return None
    for key in ALL_KEYS:
        if key in table and key not in (trigger, *KEYS[trigger], *KEYS):
            table.refuse(key, f"has no meaning with {table.key_of(trigger)}")
    found = _READERS[trigger](table, machine)
    return None if table.flawed else found


def _counts(table: Table) -> tuple[int, int, int]:
    """``count``, ``times`` and ``after``."""
    count = table.integer("count", low=1, high=MAX_COUNT, default=1)
    times = table.integer("times", low=0, high=MAX_COUNT, default=1)
    return count, times, duration(table, "after", default="0ns")


def _time(table: Table, _machine: MachineDescription) -> AtTime:
    every = duration(table, "every", low=1) if "every" in table else 0
    if "times" in table and not every:
        table.refuse("times", f"is only allowed with {table.key_of('every')}")
    return AtTime(duration(table, "time"), every, table.integer("times", low=0, high=MAX_COUNT, default=1))


def _instructions(table: Table, machine: MachineDescription) -> AtInstruction:
    if machine.cpu.phys_cpus > 1:
        table.refuse("instructions", "instructions are counted on a single physical CPU only (cpu.phys_cpus)")
    return AtInstruction(table.integer("instructions", low=0, high=MAX_COUNT))


def _symbol(table: Table, _machine: MachineDescription) -> AtCode:
    return AtCode(table.string("symbol"), *_counts(table))


def _address(table: Table, _machine: MachineDescription) -> AtCode:
    return AtCode(table.integer("address", low=0, high=MASK64, multiple_of=_INSTRUCTION), *_counts(table))


def _access(table: Table, machine: MachineDescription) -> AtAccess:
    direction = Direction(table.choice("direction", tuple(each.value for each in Direction), Direction.ANY.value))
    windows: tuple[range, ...]
    if table.is_array("access"):
        pair = table.integers("access", low=0, high=MASK64, counts=(2, 2))
        windows = (_range(table, machine, *pair),) if pair else ()
        name = f"{windows[0].start:#x} to {windows[0][-1]:#x}" if windows else ""
    else:
        name = table.string("access")
        windows = _windows(table, machine, name) if table.is_valid("access") else ()
    if "offset" in table and windows:
        offset = table.integer("offset", low=0, high=len(windows[0]) - 1)
        windows = (windows[0][offset : offset + 1],)
        name += f"+{offset:#x}"
    return AtAccess(name, windows, direction, *_counts(table))


def _range(table: Table, machine: MachineDescription, base: int, size: int) -> range:
    window = range(base, base + max(size, 1))
    region = next((each for each in machine.memory if base < each.end and each.base < window.stop), None)
    if region is not None:
        message = f"accesses to memory.{region.name} do not exit, so they cannot be counted; expected no memory there"
        table.refuse("access", message)
    return window


def _windows(table: Table, machine: MachineDescription, name: str) -> tuple[range, ...]:
    device = next((each for each in machine.devices if each.name == name), None)
    if device is not None:
        if device.passthrough:
            table.refuse("access", f'"{name}" is passed through, so its accesses do not exit and cannot be counted')
        return (range(device.base, device.end),)
    if machine.gic is not None and machine.gic.name == name:
        return tuple(range(window.base, window.end) for window in machine.gic.windows)
    names = [each.name for each in machine.devices] + ([] if machine.gic is None else [machine.gic.name])
    expected = f"expected a device ({', '.join(names) or 'there is none'}) or [base, size]"
    table.refuse("access", f"{expected}, found {table.found('access', name)}")
    return ()


def _intid(table: Table, machine: MachineDescription) -> AtInterrupt:
    return AtInterrupt(read_intid(table, machine), *_counts(table))


def read_intid(table: Table, machine: MachineDescription) -> int:
    """The INTID of an interrupt that has an input."""
    if machine.gic is None and not table.flawed:
        table.refuse("intid", "the machine has no interrupt controller")
    return table.integer("intid", low=FIRST_INTID, high=LAST_SPI)


def _call(table: Table, _machine: MachineDescription) -> AtCpuOn:
    table.choice("call", (CPU_ON,))
    return AtCpuOn(*_counts(table))


_READERS: Final[Mapping[str, Callable[[Table, MachineDescription], Trigger]]] = MappingProxyType(
    {
        "time": _time,
        "instructions": _instructions,
        "symbol": _symbol,
        "address": _address,
        "access": _access,
        "intid": _intid,
        "call": _call,
    }
)
