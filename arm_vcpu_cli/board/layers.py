"""What lies over what: a file's keys over those of a preset, and over both what a command line says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypedDict

from arm_vcpu_cli.board.presets import INTERRUPT_CONTROLLERS
from arm_vcpu_cli.board.schema import COMMON_DEVICE_KEYS, DEVICE_TYPES, GIC_VERSIONS, Table


class Overrides(TypedDict, total=False):
    """What takes the place of what a file says; None, as what is missing, leaves it to the file.

    ``memory_size`` (bytes) is that of the main RAM, ``cpus`` the number of CPUs, ``gic`` the version of the interrupt
    controller, ``schedule`` the seed of the schedule. The others have the names of their keys.
    """

    memory_size: int | None
    bootargs: str | None
    gic: int | None
    cpus: int | None
    phys_cpus: int | None
    schedule: int | None
    reboot: bool | None


_KEYS: Final = MappingProxyType(
    {
        "bootargs": ("boot", "bootargs"),
        "cpus": ("cpu", "count"),
        "phys_cpus": ("cpu", "phys_cpus"),
        "schedule": ("schedule", "seed"),
        "reboot": ("boot", "reboot"),
    }
)
"""The table and the key in it that an override takes the place of. For the others that depends on the machine."""


def over_preset(preset: Mapping[str, object], document: Mapping[str, object]) -> dict[str, object]:
    """``preset`` with a file's keys laid over it. A device that gets another type keeps no keys that this one lacks."""
    devices, changes = preset.get("device"), document.get("device")
    if isinstance(devices, Mapping) and isinstance(changes, Mapping):
        preset = {**preset, "device": {name: _retyped(table, changes.get(name)) for name, table in devices.items()}}
    return merge(preset, document)


def _retyped(table: Mapping[str, object], changes: object) -> Mapping[str, object]:
    """The preset's ``table`` of a device, as far as it means something for the type that ``changes`` ask for."""
    kind = changes.get("type") if isinstance(changes, Mapping) else None
    if not isinstance(kind, str) or kind not in DEVICE_TYPES or kind == table["type"]:
        return table
    if kind in INTERRUPT_CONTROLLERS and table["type"] in GIC_VERSIONS:
        return INTERRUPT_CONTROLLERS[kind]
    return {key: value for key, value in table.items() if key in (*COMMON_DEVICE_KEYS, *DEVICE_TYPES[kind].keys)}


def over_document(source: Path, document: Mapping[str, object], overrides: Overrides) -> dict[str, object]:
    """``document`` with ``overrides`` laid over it, but for the size of the main RAM: which one that is has to be read.

    Raises MachineFileError, with ``source`` as the file, for an interrupt controller that cannot be replaced.
    """
    laid = dict(document)
    version = overrides.get("gic")
    if version is not None:
        laid = _with_gic(source, laid, f"gicv{version}")
    for name, value in overrides.items():
        if name in _KEYS and value is not None:
            table, key = _KEYS[name]
            laid = merge(laid, {table: {key: value}})
    return laid


def _with_gic(source: Path, document: dict[str, object], kind: str) -> dict[str, object]:
    """``document`` with the virt board's interrupt controller of another type in the place of the one it has."""
    devices = document.get("device", {})
    if not isinstance(devices, Mapping):
        return document  # which is then refused
    # Files may have values of any type, those included that cannot be looked up.
    known = tuple(INTERRUPT_CONTROLLERS)
    found = [
        (name, table)
        for name, table in devices.items()
        if isinstance(table, Mapping) and table.get("type") in known and table.get("enabled", True) is True
    ]
    if not found:
        raise Table(source, document).error("device", "the machine has no interrupt controller to replace")
    name, table = found[0]
    if table["type"] == kind:
        return document
    place = {key: value for key, value in INTERRUPT_CONTROLLERS[table["type"]].items() if key.endswith("base")}
    if any(table.get(key) != value for key, value in place.items()):
        expected = " and ".join(f"{key} = {value:#x}" for key, value in place.items())
        message = f"only the virt board's interrupt controller can be replaced ({expected}), and this one is elsewhere"
        raise Table(source, {}, parent=Table(source, {}), name="device").error(name, message)
    return {**document, "device": {**devices, name: INTERRUPT_CONTROLLERS[kind]}}


def merge(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """``base`` with the keys of ``over`` laid over it, table by table; anything but a table is replaced.

    The depth of the recursion is that of ``base``, which is a document of our own.
    """
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[name] = merge(below, value)
        else:
            merged[name] = value
    return merged
