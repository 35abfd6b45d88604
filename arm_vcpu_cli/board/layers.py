"""Layers of a description: a file's keys override a preset's, and the command line overrides both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypedDict

from arm_vcpu_cli.board.description import LoadedFile, MachineDescription
from arm_vcpu_cli.board.presets import INTERRUPT_CONTROLLERS
from arm_vcpu_cli.board.schema import COMMON_DEVICE_KEYS, DEVICE_TYPES, GIC_VERSIONS, Findings, Table
from arm_vcpu_cli.record import replace


class Overrides(TypedDict, total=False):
    """Values that override those of a file; None, like a missing key, keeps the file's value.

    ``memory_size`` (bytes) is that of the main RAM, ``cpus`` the number of CPUs, ``gic`` the version of the interrupt
    controller, ``schedule`` the seed of the schedule, ``cpu`` the name of the CPU model. ``dtb`` is a device tree
    supplied by the caller, and ``loads`` are additional files with their load IPAs. ``semihosting_dir`` is the folder
    whose files the guest may use through semihosting. The others are named after their keys.
    """

    memory_size: int | None
    bootargs: str | None
    gic: int | None
    cpus: int | None
    phys_cpus: int | None
    schedule: int | None
    reboot: bool | None
    cpu: str | None
    arguments: Sequence[str] | None
    dtb: Path | None
    loads: Sequence[tuple[Path, int]] | None
    semihosting_dir: Path | None


_KEYS: Final = MappingProxyType(
    {
        "bootargs": ("boot", "bootargs"),
        "cpus": ("cpu", "count"),
        "phys_cpus": ("cpu", "phys_cpus"),
        "schedule": ("schedule", "seed"),
        "reboot": ("boot", "reboot"),
        "cpu": ("cpu", "model"),
        "arguments": ("boot", "arguments"),
    }
)
"""The table and key that each override replaces. For the overrides not listed these depend on the machine."""


def over_preset(preset: Mapping[str, object], document: Mapping[str, object]) -> dict[str, object]:
    """``preset`` with a file's keys laid over it. A device whose type changes keeps only keys that the new type has."""
    devices, changes = preset.get("device"), document.get("device")
    if isinstance(devices, Mapping) and isinstance(changes, Mapping):
        preset = {**preset, "device": {name: _retyped(table, changes.get(name)) for name, table in devices.items()}}
    return merge(preset, document)


def _retyped(table: Mapping[str, object], changes: object) -> Mapping[str, object]:
    """The preset's ``table`` of a device, reduced to the keys of the type that ``changes`` request."""
    kind = changes.get("type") if isinstance(changes, Mapping) else None
    if not isinstance(kind, str) or kind not in DEVICE_TYPES or kind == table["type"]:
        return table
    if kind in INTERRUPT_CONTROLLERS and table["type"] in GIC_VERSIONS:
        return INTERRUPT_CONTROLLERS[kind]
    return {key: value for key, value in table.items() if key in (*COMMON_DEVICE_KEYS, *DEVICE_TYPES[kind].keys)}


def over_document(
    source: Path, document: Mapping[str, object], overrides: Overrides, findings: Findings
) -> dict[str, object]:
    """``document`` with ``overrides`` laid over it, except the size of the main RAM, which is identified only by
    reading the regions.

    An interrupt controller that cannot be replaced is an error in ``findings``, with ``source`` as the file.
    """
    laid = dict(document)
    version = overrides.get("gic")
    if version is not None:
        laid = _with_gic(Table(source, laid, findings=findings), laid, f"gicv{version}")
    for name, value in overrides.items():
        if name in _KEYS and value is not None:
            table, key = _KEYS[name]
            laid = merge(laid, {table: {key: list(value) if isinstance(value, tuple) else value}})
    return laid


def with_files(description: MachineDescription, overrides: Overrides) -> MachineDescription:
    """``description`` with the files and folders of ``overrides``, whose names are not relative to the machine file's
    folder."""
    dtb, loads, folder = overrides.get("dtb"), overrides.get("loads"), overrides.get("semihosting_dir")
    if dtb is not None:
        boot = replace(description.boot, dtb=True, dtb_file=Path(dtb))
        description = replace(description, boot=boot)
    if loads is not None:
        added = tuple(LoadedFile(Path(path), address) for path, address in loads)
        description = replace(description, loads=description.loads + added)
    if folder is not None:
        description = replace(description, semihosting_dir=Path(folder))
    return description


def _with_gic(top: Table, document: dict[str, object], kind: str) -> dict[str, object]:
    """``document`` with its interrupt controller replaced by the virt board's of another type."""
    devices = document.get("device", {})
    if not isinstance(devices, Mapping):
        return document  # refused later
    # Files may have values of any type, including unhashable ones.
    known = tuple(INTERRUPT_CONTROLLERS)
    found = [
        (name, table)
        for name, table in devices.items()
        if isinstance(table, Mapping) and table.get("type") in known and table.get("enabled", True) is True
    ]
    if not found:
        top.refuse("device", "the machine has no interrupt controller to replace")
        return document
    name, table = found[0]
    if table["type"] == kind:
        return document
    place = {key: value for key, value in INTERRUPT_CONTROLLERS[table["type"]].items() if key.endswith("base")}
    if any(table.get(key) != value for key, value in place.items()):
        expected = " and ".join(f"{key} = {value:#x}" for key, value in place.items())
        message = f"only the virt board's interrupt controller can be replaced ({expected}), and this one is elsewhere"
        Table(top.path, {}, parent=top, name="device").refuse(name, message)
        return document
    return {**document, "device": {**devices, name: INTERRUPT_CONTROLLERS[kind]}}


def merge(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """``base`` with the keys of ``over`` laid over it, table by table; anything but a table is replaced.

    The depth of ``base``, one of our own documents, bounds the recursion.
    """
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[name] = merge(below, value)
        else:
            merged[name] = value
    return merged
