"""Converts a machine description into the document that describes it: the content of an equivalent TOML file.

A snapshot carries the document, so its machine is checked like any other when it is read. The document omits what only
matters while a machine is built or during one run: names of files, whose contents are in the machine's memory by then,
and limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from arm_vcpu_cli.board.description import (
    BootDescription,
    CpuDescription,
    GicDescription,
    Limits,
    MachineDescription,
    MemoryRegion,
)
from arm_vcpu_cli.board.loading import machine_from_document
from arm_vcpu_cli.board.schema import GIC_VERSIONS, KERNEL_TYPES
from arm_vcpu_cli.errors import MachineFileError, UsageError
from arm_vcpu_cli.record import replace

_IMPOSSIBLE: Final = "this machine cannot be saved, because no document describes it"


def document_of(description: MachineDescription) -> dict[str, Any]:
    """Return the document of a machine, of JSON's types. Raises :class:`UsageError` for a description without a
    document, which only a caller of the library can create."""
    if description.faults:
        raise UsageError("a machine with faults of its own ([[fault]]) cannot be saved")
    kept = without_files(description)
    document = _document(kept)
    try:
        again = description_of(document, kept.name)
    except MachineFileError as error:
        raise UsageError(f"{_IMPOSSIBLE}: {error.message}") from error
    if again != kept:
        raise UsageError(_IMPOSSIBLE)
    return document


def description_of(document: Mapping[str, object], name: str) -> MachineDescription:
    """Return the machine of a document, called ``name``. Raises :class:`MachineFileError`."""
    return replace(machine_from_document(document), name=name)


def without_files(description: MachineDescription) -> MachineDescription:
    """Return a description without the names of files, and without limits except that on idleness, which may be why a
    run ended."""
    boot = replace(description.boot, initrd=None, dtb_file=None)
    return replace(
        description,
        path=None,
        boot=boot,
        loads=(),
        semihosting_dir=None,
        limits=Limits(timeout=0.0, max_exits=0, idle=description.limits.idle),
        memory=tuple(replace(region, file=None, file_offset=0) for region in description.memory),
    )


def _document(description: MachineDescription) -> dict[str, Any]:
    el2, clock, schedule = description.el2, description.clock, description.schedule
    devices: dict[str, Any] = {
        device.name: {
            "type": device.type,
            "base": device.base,
            "size": device.size,
            **_given(intid=device.intid, passthrough=device.passthrough or None),
        }
        for device in description.devices
    }
    if description.gic is not None:
        devices[description.gic.name] = _gic(description.gic)
    return {
        "base": "none",
        "cpu": _cpu(description.cpu),
        "el2": {name: _plain(getattr(el2, name)) for name in el2.__match_args__},
        "memory": {region.name: _region(region) for region in description.memory},
        "device": devices,
        "clock": {
            "source": clock.source.value,
            "seed": clock.seed,
            "epoch": clock.epoch,
            "counter_read_ns": clock.counter_read,
        },
        "schedule": {"quantum_ns": schedule.quantum, **_given(seed=schedule.seed)},
        "boot": _boot(description.boot),
        "smc": {
            "conduit": description.smc.conduit.value,
            "function": {
                function.name: {"id": function.id, "returns": list(function.returns)}
                for function in description.smc.functions
            },
        },
        "limits": {"idle": description.limits.idle},
        "semihosting": {"enabled": description.semihosting},
    }


def _plain(value: bool | tuple[str, ...]) -> bool | list[str]:
    return list(value) if isinstance(value, tuple) else value


def _given(**values: object) -> dict[str, object]:
    """Return the values that are not None: a document expresses an open choice only by a missing key."""
    return {name: value for name, value in values.items() if value is not None}


def _cpu(cpu: CpuDescription) -> dict[str, Any]:
    document: dict[str, Any] = {"model": cpu.model, "phys_cpus": cpu.phys_cpus}
    if cpu.clusters:
        document["clusters"] = list(cpu.clusters)
    else:
        document["mpidr"] = list(cpu.affinities)
    if any(allowed is not None for allowed in cpu.phys_cpu_sets):
        document["phys_cpu_sets"] = list(cpu.phys_cpu_sets)
    if cpu.features:
        document["features"] = dict(cpu.features)
    return document


def _region(region: MemoryRegion) -> dict[str, Any]:
    permissions = "r" + "w" * region.writable + "x" * region.executable
    return {"base": region.base, "size": region.size, "permissions": permissions, "on_fault": region.on_fault.value}


def _gic(gic: GicDescription) -> dict[str, Any]:
    kinds = {version: kind for kind, version in GIC_VERSIONS.items()}
    document: dict[str, Any] = {"type": kinds[gic.version], "base": gic.distributor.base, "spis": gic.spis}
    if gic.redistributors is not None:
        document["redistributor_base"] = gic.redistributors.base
        document["redistributor_size"] = gic.redistributors.size
    if gic.cpu_interface is not None:
        document["size"] = gic.distributor.size
        document["cpu_interface_base"] = gic.cpu_interface.base
        document["cpu_interface_size"] = gic.cpu_interface.size
    return document


def _boot(boot: BootDescription) -> dict[str, Any]:
    kinds = {kind: name for name, kind in KERNEL_TYPES.items()}
    return {
        "dtb": boot.dtb,
        "bootargs": boot.bootargs,
        "kaslr": boot.kaslr,
        "kernel_type": kinds[boot.kernel_type],
        "reboot": boot.reboot,
        "arguments": list(boot.arguments),
        **_given(entry=boot.entry, load_address=boot.load_address, dtb_address=boot.dtb_address),
    }
