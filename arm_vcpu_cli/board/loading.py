"""Loading machine descriptions: from a TOML file to a description that can be built.

A file starts from a preset of the package (``base = "virt"``, also where the key is missing) and its keys are
laid over the preset's, key by key; ``base = "none"`` starts from nothing. Everything is checked here, so that
a description that loads can be built.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.smccc import is_psci, to_u64
from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.board.cpu_loading import CPU_KEYS, read_cpu, read_cpu_model
from arm_vcpu_cli.board.description import (
    DEFAULT_IDLE,
    BootDescription,
    ClockDescription,
    ClockSource,
    Conduit,
    El2Description,
    GicDescription,
    Limits,
    LoadedFile,
    MachineDescription,
    MemoryRegion,
    OnFault,
    ScheduleDescription,
    SmcDescription,
    SmcFunction,
    main_ram,
)
from arm_vcpu_cli.board.device_loading import read_devices
from arm_vcpu_cli.board.presets import PRESETS
from arm_vcpu_cli.board.schema import (
    CPU_MODELS,
    DEFAULT_COUNTER_READ,
    DEFAULT_EPOCH,
    DEFAULT_QUANTUM,
    HCR_TRAPS,
    KERNEL_TYPES,
    LAST_EPOCH,
    MAX_ARGUMENTS,
    MAX_BOOTARGS,
    MAX_COUNTER_READ,
    MAX_LOADS,
    MAX_QUANTUM,
    MAX_REGION_SIZE,
    MAX_REGIONS,
    MAX_SECONDS,
    MIN_QUANTUM,
    PERMISSIONS,
    Table,
)
from arm_vcpu_cli.printable import printable
from arm_vcpu_cli.record import Record, replace
from arm_vcpu_cli.sizes import format_size

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from arm_vcpu_cli.board.layers import Overrides

DEFAULT_PRESET: Final = "virt"
_LAYERS: Final = "arm_vcpu_cli.board.layers"
"""Needed where there is more than a preset."""

_EL2_KEYS: Final = ("passthrough_interrupt", "passthrough_timer", "trap_wfi", "trap_id_registers", "hcr")
_BOOT_KEYS: Final = (
    "entry",
    "load_address",
    "dtb",
    "dtb_address",
    "bootargs",
    "initrd",
    "kernel_type",
    "kaslr",
    "reboot",
    "dtb_file",
    "arguments",
)


def load_machine(path: Path | None, **overrides: Unpack[Overrides]) -> MachineDescription:
    """The machine of the TOML file at ``path``, or the virt preset, but for what ``overrides`` take the place of.

    Raises MachineFileError.
    """
    return machine_from_document(read_machine_file(path), path, **overrides)


def read_machine_file(path: Path | None) -> Mapping[str, object]:
    """The document in the TOML file at ``path``, an empty one where there is none. Raises MachineFileError."""
    if path is None:
        return {}
    # The parser takes longer to load than a preset to build.
    document: Mapping[str, object] = import_module("arm_vcpu_cli.board.document").read_document(path)
    return document


def machine_from_document(
    document: Mapping[str, object], path: Path | None = None, **overrides: Unpack[Overrides]
) -> MachineDescription:
    """As ``load_machine``, from a parsed document; ``path`` is for messages and for relative names in it."""
    source = Path(DEFAULT_PRESET) if path is None else path
    values = _over_preset(source, document)
    if overrides:
        values = import_module(_LAYERS).over_document(source, values, overrides)
    known = (
        "base",
        "cpu",
        "el2",
        "memory",
        "device",
        "clock",
        "schedule",
        "boot",
        "smc",
        "limits",
        "semihosting",
        "load",
    )
    top = Table(source, values, known=known)

    cpu_table = top.table("cpu", CPU_KEYS)
    limit = 1 << CPU_MODELS[read_cpu_model(cpu_table)].pa_bits
    memory_table = top.table("memory", None)
    memory = _read_memory(memory_table)
    memory_size = overrides.get("memory_size")
    if memory_size is not None:
        memory = _resized(memory_table, memory, memory_size)
    if main_ram(memory) is None:
        raise memory_table.error(None, 'the machine needs a region with permissions "rw" or "rwx"')
    device_table = top.table("device", None)
    devices, gic = read_devices(device_table, limit)
    extents = [_Extent(region.base, region.end, region.name, memory_table) for region in memory]
    extents += [_Extent(device.base, device.end, device.name, device_table) for device in devices]
    if gic is not None:
        extents += [_Extent(window.base, window.end, gic.name, device_table) for window in gic.windows]
    _check_placement(extents, limit)
    described = MachineDescription(
        name=printable(source.stem) or DEFAULT_PRESET,
        path=path,
        cpu=read_cpu(cpu_table, gic),
        el2=_read_el2(top.table("el2", _EL2_KEYS), gic),
        memory=tuple(sorted(memory, key=lambda region: region.base)),
        devices=tuple(sorted(devices, key=lambda device: device.base)),
        gic=gic,
        clock=_read_clock(top.table("clock", ("source", "seed", "epoch", "counter_read_ns"))),
        schedule=_read_schedule(top.table("schedule", ("seed", "quantum_ns"))),
        boot=_read_boot(top, memory, limit),
        smc=_read_smc(top),
        limits=_read_limits(top),
        semihosting=top.table("semihosting", ("enabled",)).boolean("enabled", True),
        loads=_read_loads(top.table("load", None), limit),
    )
    if overrides:
        described = import_module(_LAYERS).with_files(described, overrides)
    return described


def _over_preset(source: Path, document: Mapping[str, object]) -> dict[str, object]:
    base = Table(source, document).choice("base", (*PRESETS, "none"), DEFAULT_PRESET)
    if base == "none":
        return dict(document)
    if not document:
        return dict(PRESETS[base])
    laid: dict[str, object] = import_module(_LAYERS).over_preset(PRESETS[base], document)
    return laid


def _read_el2(table: Table, gic: GicDescription | None) -> El2Description:
    passthrough_interrupt = table.boolean("passthrough_interrupt", False)
    if passthrough_interrupt and gic is not None:
        message = f"true, but the interrupts of device.{gic.name} need HCR_EL2.IMO; switch that off (enabled = false)"
        raise table.error("passthrough_interrupt", message)
    return El2Description(
        passthrough_interrupt=passthrough_interrupt,
        passthrough_timer=table.boolean("passthrough_timer", True),
        trap_wfi=table.boolean("trap_wfi", True),
        trap_id_registers=table.boolean("trap_id_registers", True),
        hcr=table.choices("hcr", HCR_TRAPS),
    )


def _read_memory(table: Table) -> list[MemoryRegion]:
    known = ("base", "size", "permissions", "on_fault", "file", "file_offset", "enabled")
    enabled = [item for item in table.tables(known, most=MAX_REGIONS) if item[1].boolean("enabled", True)]
    return [_read_region(name, region) for name, region in enabled]


def _read_region(name: str, table: Table) -> MemoryRegion:
    base = table.integer("base", low=0, high=MASK64, multiple_of=PAGE_SIZE)
    size = table.size("size", high=MAX_REGION_SIZE, multiple_of=PAGE_SIZE)
    permissions = table.choice("permissions", PERMISSIONS, "rwx")
    file = _find_file(table, size) if "file" in table else None
    if file is None and "file_offset" in table:
        raise table.error("file_offset", f"has no meaning without {table.key_of('file')}")
    on_fault = table.choice("on_fault", tuple(choice.value for choice in OnFault), OnFault.ABORT.value)
    return MemoryRegion(
        name=name,
        base=base,
        size=size,
        readable=True,
        writable="w" in permissions,
        executable="x" in permissions,
        on_fault=OnFault(on_fault),
        file=file,
        file_offset=0 if file is None else table.integer("file_offset", low=0, high=size - 1, default=0),
    )


def _find_file(table: Table, size: int) -> Path:
    """The file that is to be in a region of ``size`` bytes."""
    path, file_size = _existing_file(table, "file")
    room = size - table.integer("file_offset", low=0, high=size - 1, default=0)
    if file_size > room:
        room_there = f"{format_size(room)} that the region has for it"
        raise table.error("file", f'"{path}" has {format_size(file_size)}, more than the {room_there}')
    return path


def _existing_file(table: Table, name: str) -> tuple[Path, int]:
    """The file that the key ``name`` names, from the folder of the description, and its size in bytes.

    It is read when the machine is built.
    """
    # A document is UTF-8, and the names of files are what the locale says.
    path = table.path.parent / os.fsdecode(table.string(name).encode())
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise table.error(name, f'"{path}" cannot be used: {reason}') from None
    if not stat.S_ISREG(status.st_mode):
        raise table.error(name, f'"{path}" is not a regular file')
    return path, status.st_size


def _resized(table: Table, memory: list[MemoryRegion], size: int) -> list[MemoryRegion]:
    """``memory`` with another size of the main RAM, as the command line may ask for."""
    ram = main_ram(memory)
    if ram is None:
        return memory
    resized = Table(table.path, {"size": size}, key=table.key_of(ram.name))
    resized.size("size", high=MAX_REGION_SIZE, multiple_of=PAGE_SIZE)
    changed = replace(ram, size=size)
    after = [changed if region is ram else region for region in memory]
    if main_ram(after) is not changed:
        raise resized.error("size", f'with {format_size(size)} this is no longer the main RAM: name it "ram"')
    return after


class _Extent(Record):
    """A range of addresses and the table that takes it."""

    base: int
    end: int
    name: str
    owner: Table


def _check_placement(extents: list[_Extent], limit: int) -> None:
    """Refuse what lies beyond ``limit`` and what overlaps."""
    highest: _Extent | None = None
    for extent in sorted(extents, key=lambda extent: (extent.base, extent.end, extent.name)):
        shown = f"{extent.base:#x} to {extent.end - 1:#x}"
        if extent.end > limit:
            space = f"{limit.bit_length() - 1}-bit address space"
            raise extent.owner.error(extent.name, f"{shown} is beyond the CPU's {space}")
        if highest is not None and extent.base < highest.end:
            other = f"{highest.owner.key_of(highest.name)} ({highest.base:#x} to {highest.end - 1:#x})"
            raise extent.owner.error(extent.name, f"{shown} overlaps {other}")
        highest = extent


def _read_boot(top: Table, memory: list[MemoryRegion], limit: int) -> BootDescription:
    table = top.table("boot", _BOOT_KEYS)
    places = {}
    for key, alignment in (("entry", 4), ("load_address", 4), ("dtb_address", 8)):
        address = table.optional_integer(key, low=0, high=limit - 1, multiple_of=alignment)
        places[key] = address
        if address is None:
            continue
        region = next((region for region in memory if region.holds(address)), None)
        if region is None:
            raise table.error(key, f"expected an address in a memory region, found {address:#x}")
        if key == "entry" and not region.executable:
            raise table.error(key, f"{address:#x} is in memory.{region.name}, which is not executable")
    if "dtb_file" in table and not table.boolean("dtb", True):
        raise table.error("dtb_file", f"has no meaning where {table.key_of('dtb')} is false")
    bootargs = table.string("bootargs", "")
    if len(bootargs.encode("utf-8", "replace")) > MAX_BOOTARGS:
        found = f"{len(bootargs)} characters"
        raise table.error("bootargs", f"expected at most {MAX_BOOTARGS} bytes, found {found}")
    return BootDescription(
        entry=places["entry"],
        load_address=places["load_address"],
        dtb=table.boolean("dtb", True),
        dtb_address=places["dtb_address"],
        bootargs=bootargs,
        initrd=_existing_file(table, "initrd")[0] if "initrd" in table else None,
        kaslr=table.boolean("kaslr", False),
        kernel_type=KERNEL_TYPES[table.choice("kernel_type", tuple(KERNEL_TYPES), "auto")],
        reboot=table.boolean("reboot", False),
        dtb_file=_existing_file(table, "dtb_file")[0] if "dtb_file" in table else None,
        arguments=table.strings("arguments", most=MAX_ARGUMENTS),
    )


def _read_loads(table: Table, limit: int) -> tuple[LoadedFile, ...]:
    """What else is to be in memory; whether there is room is found out when the guest has its place."""
    loads = []
    for _, load in table.tables(("file", "address"), most=MAX_LOADS):
        path, _ = _existing_file(load, "file")
        loads.append(LoadedFile(path, load.integer("address", low=0, high=limit - 1)))
    return tuple(loads)


def _read_clock(table: Table) -> ClockDescription:
    source = table.choice("source", tuple(choice.value for choice in ClockSource), ClockSource.AUTO.value)
    return ClockDescription(
        source=ClockSource(source),
        seed=table.integer("seed", low=0, high=MASK64, default=0),
        epoch=table.timestamp("epoch", high=LAST_EPOCH, default=DEFAULT_EPOCH),
        counter_read=table.integer("counter_read_ns", low=0, high=MAX_COUNTER_READ, default=DEFAULT_COUNTER_READ),
    )


def _read_schedule(table: Table) -> ScheduleDescription:
    return ScheduleDescription(
        seed=table.optional_integer("seed", low=0, high=MASK64),
        quantum=table.integer("quantum_ns", low=MIN_QUANTUM, high=MAX_QUANTUM, default=DEFAULT_QUANTUM),
    )


def _read_smc(top: Table) -> SmcDescription:
    table = top.table("smc", ("conduit", "function"))
    conduit = Conduit(table.choice("conduit", tuple(choice.value for choice in Conduit), Conduit.HVC.value))
    functions = []
    owners: dict[int, str] = {}
    for name, function in table.table("function", None).tables(("id", "returns")):
        number = function.integer("id", low=0, high=0xFFFF_FFFF)
        if number in owners:
            raise function.error("id", f"{number:#x} is already that of {owners[number]}")
        if is_psci(number):
            raise function.error("id", f"{number:#x} is a PSCI function, which the hypervisor answers itself")
        owners[number] = function.key
        returns = function.integers("returns", low=-(1 << 63), high=MASK64, counts=(1, 4))
        functions.append(SmcFunction(name, number, tuple(to_u64(value) for value in returns)))
    return SmcDescription(conduit, tuple(functions))


def _read_limits(top: Table) -> Limits:
    table = top.table("limits", ("timeout", "max_exits", "idle"))
    return Limits(
        timeout=table.number("timeout", high=MAX_SECONDS, default=0.0),
        max_exits=table.integer("max_exits", low=0, high=MASK64, default=0),
        idle=table.number("idle", high=MAX_SECONDS, default=DEFAULT_IDLE),
    )
