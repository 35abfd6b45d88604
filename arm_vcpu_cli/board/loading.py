"""Loading machine descriptions: from a TOML file to a valid description.

A file starts from a preset of the package (``base = "virt"`` by default) and its keys override the preset's, key by
key; ``base = "none"`` starts from nothing. Everything is checked here, so that every description that loads can be
built.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.smccc import is_psci, to_u64
from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.board.cpu_loading import CPU_KEYS, read_address_limit, read_cpu
from arm_vcpu_cli.board.description import (
    DEFAULT_IDLE,
    BootDescription,
    ClockDescription,
    ClockSource,
    Conduit,
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
from arm_vcpu_cli.board.device_loading import make_room, read_devices
from arm_vcpu_cli.board.el2_loading import EL2_KEYS, read_el2
from arm_vcpu_cli.board.presets import PRESETS
from arm_vcpu_cli.board.schema import (
    DEFAULT_COUNTER_READ,
    DEFAULT_EPOCH,
    DEFAULT_QUANTUM,
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
    Findings,
    Table,
)
from arm_vcpu_cli.file_paths import FilePath, as_path, base_name
from arm_vcpu_cli.printable import printable
from arm_vcpu_cli.record import Record, replace
from arm_vcpu_cli.sizes import Written, format_size

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Unpack

    from arm_vcpu_cli.board.layers import Overrides

DEFAULT_PRESET: Final = "virt"
_LAYERS: Final = "arm_vcpu_cli.board.layers"
"""Loaded only if there is more than a preset."""
_PROBLEMS: Final = "arm_vcpu_cli.board.problems"
"""Loaded only for errors."""
_FAULTS: Final = "arm_vcpu_cli.board.fault_loading"
"""Loaded only if a file injects faults."""

_TOP_KEYS: Final = tuple("base cpu el2 memory device clock schedule boot smc limits semihosting load fault".split())
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
    """Return the machine of the TOML file at ``path``, or the virt preset, with ``overrides`` applied.

    Raises MachineFileError.
    """
    return machine_from_document(read_machine_file(path), path, **overrides)


def read_machine_file(path: Path | None) -> Mapping[str, object]:
    """Return the document in the TOML file at ``path``, or an empty one without a file. Raises MachineFileError."""
    if path is None:
        return {}
    # Loading the parser takes longer than building a preset.
    document: Mapping[str, object] = import_module("arm_vcpu_cli.board.document").read_document(path)
    return document


def machine_from_document(
    document: Mapping[str, object], path: Path | None = None, **overrides: Unpack[Overrides]
) -> MachineDescription:
    """Return the machine of a parsed document, as :func:`load_machine` does; ``path`` is for messages and for relative
    names in it."""
    source: FilePath = DEFAULT_PRESET if path is None else path
    findings = Findings(getattr(document, "places", None))
    values = _over_preset(source, document, findings)
    if overrides:
        values = import_module(_LAYERS).over_document(source, values, overrides, findings)
    top = Table(source, values, known=_TOP_KEYS, findings=findings)

    cpu_table = top.table("cpu", CPU_KEYS)
    limit = read_address_limit(cpu_table)
    memory_table = top.table("memory", None)
    memory = _read_memory(memory_table)
    memory_size = overrides.get("memory_size")
    if memory_size is not None:
        memory = _resized(memory_table, memory, memory_size)
    if main_ram(memory) is None and not memory_table.flawed:
        memory_table.refuse(None, 'the machine needs a region with permissions "rw" or "rwx"')
    device_table = top.table("device", None)
    devices, gic = read_devices(device_table, limit)
    devices = make_room(devices, memory, gic)
    extents = [_Extent(region.base, region.end, region.name, memory_table) for region in memory]
    extents += [_Extent(device.base, device.end, device.name, device_table) for device in devices]
    if gic is not None:
        extents += [_Extent(window.base, window.end, gic.name, device_table) for window in gic.windows]
    _check_placement(extents, limit)
    cpu = read_cpu(cpu_table, gic)
    described = MachineDescription(
        name=printable(os.path.splitext(base_name(source))[0]) or DEFAULT_PRESET,  # noqa: PTH122
        path=path,
        cpu=cpu,
        el2=read_el2(top.table("el2", EL2_KEYS), gic, cpu.model),
        memory=tuple(sorted(memory, key=lambda region: region.base)),
        devices=tuple(sorted(devices, key=lambda device: device.base)),
        gic=gic,
        clock=_read_clock(top.table("clock", ("source", "seed", "epoch", "counter_read_ns"))),
        schedule=_read_schedule(top.table("schedule", ("seed", "quantum_ns"))),
        boot=_read_boot(top, memory_table, memory, limit),
        smc=_read_smc(top),
        limits=_read_limits(top),
        semihosting=top.table("semihosting", ("enabled",)).boolean("enabled", True),
        loads=_read_loads(top.table("load", None), limit),
    )
    if "fault" in top:
        described = import_module(_FAULTS).with_faults(described, top)
    findings.finish()
    return import_module(_LAYERS).with_files(described, overrides) if overrides else described


def _over_preset(source: FilePath, document: Mapping[str, object], findings: Findings) -> dict[str, object]:
    base = Table(source, document, findings=findings).choice("base", (*PRESETS, "none"), DEFAULT_PRESET)
    if base == "none":
        return dict(document)
    if not document:
        return dict(PRESETS[base])
    laid: dict[str, object] = import_module(_LAYERS).over_preset(PRESETS[base], document)
    return laid


def _read_memory(table: Table) -> list[MemoryRegion]:
    """The enabled regions without errors."""
    known = ("base", "size", "permissions", "on_fault", "file", "file_offset", "enabled")
    enabled = [item for item in table.tables(known, most=MAX_REGIONS) if item[1].boolean("enabled", True)]
    read = [(_read_region(name, region), region) for name, region in enabled]
    return [region for region, table in read if not table.flawed]


def _read_region(name: str, table: Table) -> MemoryRegion:
    base = table.integer("base", low=0, high=MASK64, multiple_of=PAGE_SIZE)
    size = table.size("size", high=MAX_REGION_SIZE, multiple_of=PAGE_SIZE)
    permissions = table.choice("permissions", PERMISSIONS, "rwx")
    file, offset = None, 0
    if "file" in table:
        highest = size - 1 if table.is_valid("size") else MAX_REGION_SIZE
        offset = table.integer("file_offset", low=0, high=highest, default=0)
        file = _find_file(table, size - offset)
    elif "file_offset" in table:
        table.refuse("file_offset", f"is only allowed with {table.key_of('file')}")
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
        file_offset=offset,
    )


def _find_file(table: Table, room: int) -> Path | None:
    """The file to load into a region with ``room`` bytes for it, if its size is known."""
    path, file_size = _existing_file(table, "file")
    if file_size > room and table.is_valid("size") and table.is_valid("file_offset"):
        room_there = f"{format_size(room)} that the region has for it"
        table.refuse("file", f'"{path}" has {format_size(file_size)}, more than the {room_there}')
    return path


def _existing_file(table: Table, name: str) -> tuple[Path | None, int]:
    """The file named by the key ``name``, relative to the description's folder, and its size in bytes.

    It is read when the machine is built.
    """
    named = table.string(name)
    if not table.is_valid(name):
        return None, 0
    # A document is UTF-8; file names use the locale's encoding.
    path = as_path(table.path).parent / os.fsdecode(named.encode())
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        table.refuse(name, f'"{path}" cannot be used: {reason}')
        return None, 0
    if not stat.S_ISREG(status.st_mode):
        table.refuse(name, f'"{path}" is not a regular file')
    return path, status.st_size


def _resized(table: Table, memory: list[MemoryRegion], size: int) -> list[MemoryRegion]:
    """``memory`` with another size of the main RAM, as requested on the command line."""
    ram = main_ram(memory)
    if ram is None:
        return memory
    resized = Table(table.path, {"size": size}, parent=table, name=ram.name)
    wanted = resized.size("size", high=MAX_REGION_SIZE, multiple_of=PAGE_SIZE)
    if resized.flawed:
        return [region for region in memory if region is not ram]
    changed = replace(ram, size=wanted)
    after = [changed if region is ram else region for region in memory]
    if main_ram(after) is not changed:
        resized.refuse("size", f'with {format_size(size)} this would no longer be the main RAM: name it "ram"')
    return after


class _Extent(Record):
    """A range of addresses and the table that takes it."""

    base: int
    end: int
    name: str
    owner: Table

    @property
    def key(self) -> str:
        """The path of the table."""
        return self.owner.key_of(self.name)

    def __str__(self) -> str:
        trail = (*self.owner.trail, self.name)
        return str(import_module(_PROBLEMS).range_as_written(self.owner.findings, trail, self.base, self.end))


def _check_placement(extents: list[_Extent], limit: int) -> None:
    """Refuse extents beyond ``limit`` and extents that overlap, each table at most once for an overlap."""
    highest: _Extent | None = None
    blamed: set[str] = set()
    for extent in sorted(extents, key=lambda extent: (extent.base, extent.end, extent.name)):
        if extent.end > limit:
            space = f"{limit.bit_length() - 1}-bit address space"
            extent.owner.refuse(extent.name, f"{extent} is beyond the CPU's {space}")
        if highest is not None and extent.base < highest.end and blamed.isdisjoint({extent.key, highest.key}):
            blamed |= {extent.key, highest.key}
            # Extents from a preset have no line number.
            is_other = extent.owner.error(extent.name, "").line is None
            fault, other = (highest, extent) if is_other and extent.key != highest.key else (extent, highest)
            fault.owner.refuse(fault.name, f"{fault} overlaps {other.key} ({other})")
        if highest is None or extent.end > highest.end:
            highest = extent


def _read_boot(top: Table, memory_table: Table, memory: list[MemoryRegion], limit: int) -> BootDescription:
    table = top.table("boot", _BOOT_KEYS)
    places = {}
    for key, alignment in (("entry", 4), ("load_address", 4), ("dtb_address", 8)):
        address = table.optional_integer(key, low=0, high=limit - 1, multiple_of=alignment)
        places[key] = address
        if address is None or memory_table.flawed:
            continue
        region = next((region for region in memory if region.holds(address)), None)
        if region is None:
            table.refuse(key, f"expected an address in a memory region, found {table.found(key, address)}")
        elif key == "entry" and not region.executable:
            shown = table.found(key, address)
            table.refuse(key, f"{shown} is in memory.{region.name}, which is not executable")
    if "dtb_file" in table and not table.boolean("dtb", True):
        table.refuse("dtb_file", f"has no meaning where {table.key_of('dtb')} is false")
    bootargs = table.string("bootargs", "")
    if len(bootargs.encode("utf-8", "replace")) > MAX_BOOTARGS:
        found = f"{len(bootargs)} characters"
        table.refuse("bootargs", f"expected at most {MAX_BOOTARGS} bytes, found {found}")
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
    """The additional files to load; whether there is room is checked once the guest is placed."""
    loads = []
    for _, load in table.tables(("file", "address"), most=MAX_LOADS):
        path, _ = _existing_file(load, "file")
        address = load.integer("address", low=0, high=limit - 1)
        if path is not None:
            loads.append(LoadedFile(path, Written.of(address, load.found("address", address))))
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
        returns = function.integers("returns", low=-(1 << 63), high=MASK64, counts=(1, 4))
        if function.is_valid("id"):
            if number in owners:
                function.refuse("id", f"{function.found('id', number)} is already that of {owners[number]}")
            if is_psci(number):
                message = f"{function.found('id', number)} is a PSCI function, which the hypervisor answers itself"
                function.refuse("id", message)
            owners.setdefault(number, function.key)
        functions.append(SmcFunction(name, number, tuple(to_u64(value) for value in returns)))
    return SmcDescription(conduit, tuple(functions))


def _read_limits(top: Table) -> Limits:
    table = top.table("limits", ("timeout", "max_exits", "idle", "guest_timeout"))
    return Limits(
        timeout=table.number("timeout", high=MAX_SECONDS, default=0.0),
        max_exits=table.integer("max_exits", low=0, high=MASK64, default=0),
        idle=table.number("idle", high=MAX_SECONDS, default=DEFAULT_IDLE),
        guest_timeout=table.number("guest_timeout", high=MAX_SECONDS, default=0.0),
    )
