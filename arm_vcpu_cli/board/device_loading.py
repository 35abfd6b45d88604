"""The ``[device.<name>]`` tables of a machine description."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.board.description import DEFAULT_SPIS, DeviceDescription, GicDescription, MemoryRegion, Window
from arm_vcpu_cli.board.schema import (
    COMMON_DEVICE_KEYS,
    DEVICE_KEYS,
    DEVICE_TYPES,
    EMPTY_TRANSPORTS,
    FIRST_SPI,
    GIC_VERSIONS,
    LAST_SPI,
    MAX_PASSTHROUGH,
    MAX_REGIONS,
    REDISTRIBUTOR_SIZE,
    Table,
)

_MIN_CPU_INTERFACE: Final = 0x2000  # IHI 0048, 4.1.3: GICC_DIR is at 0x1000
_MAX_CPU_INTERFACE: Final = 0x1_0000
_GIC_ALIGNMENT: Final = 0x1_0000  # IHI 0069, 12.8: the frames of a GICv3 have 64 KiB
_MAX_REDISTRIBUTORS: Final = 512
_SPI_LINES: Final = 32  # the unit of GICD_TYPER.ITLinesNumber
_MOST_SPIS: Final = 960
_DEFAULT_REDISTRIBUTORS: Final = 123  # as many as QEMU's virt board has room for below its UART


def read_devices(table: Table, limit: int) -> tuple[list[DeviceDescription], GicDescription | None]:
    """The enabled devices and, separately, the interrupt controller; any with an error is left out.

    Addresses are below ``limit``.
    """
    devices: list[DeviceDescription] = []
    gic: GicDescription | None = None
    controller: str | None = None
    owners: dict[int, str] = {}
    for name, device_table in table.tables(DEVICE_KEYS, most=MAX_REGIONS):
        if not device_table.boolean("enabled", True):
            continue
        kind = device_table.choice("type", tuple(DEVICE_TYPES))
        if not device_table.is_valid("type"):
            # The other keys depend on the type.
            continue
        for key in DEVICE_KEYS:
            if key in device_table and key not in (*COMMON_DEVICE_KEYS, *DEVICE_TYPES[kind].keys):
                device_table.refuse(key, f'devices of type "{kind}" have no such key')
        if kind in GIC_VERSIONS:
            read = _read_gicv3 if kind == "gicv3" else _read_gicv2
            described = read(name, device_table, limit)
            if controller is not None:
                device_table.refuse(None, f"the machine already has an interrupt controller: {controller}")
            elif not device_table.flawed:
                gic = described
            controller = controller or device_table.key
            continue
        device = _read_device(name, kind, device_table, limit)
        if device.intid is not None:
            if device.intid in owners:
                shown = device_table.found("intid", device.intid)
                device_table.refuse("intid", f"{shown} is already used by {owners[device.intid]}")
            owners.setdefault(device.intid, device_table.key)
        if not device_table.flawed:
            devices.append(device)
    return devices, gic


def make_room(
    devices: list[DeviceDescription], memory: list[MemoryRegion], gic: GicDescription | None
) -> list[DeviceDescription]:
    """The devices, without empty transports of the preset whose place another device takes."""
    placed = [(region.base, region.end) for region in memory]
    placed += [(device.base, device.end) for device in devices if device.type != EMPTY_TRANSPORTS]
    placed += [(window.base, window.end) for window in (() if gic is None else gic.windows)]
    return [
        device
        for device in devices
        if device.type != EMPTY_TRANSPORTS or all(end <= device.base or device.end <= base for base, end in placed)
    ]


def _read_device(name: str, kind: str, table: Table, limit: int) -> DeviceDescription:
    passthrough = table.boolean("passthrough", False)
    alignment = PAGE_SIZE if passthrough else 4
    window = DEVICE_TYPES[kind]
    greatest = min(window.greatest, MAX_PASSTHROUGH) if passthrough else window.greatest
    return DeviceDescription(
        name=name,
        type=kind,
        base=table.integer("base", low=0, high=limit - 1, multiple_of=alignment),
        size=table.size("size", low=window.least, high=greatest, multiple_of=alignment, default=PAGE_SIZE),
        intid=table.optional_integer("intid", low=FIRST_SPI, high=LAST_SPI),
        passthrough=passthrough,
    )


def _read_gicv2(name: str, table: Table, limit: int) -> GicDescription:
    least, greatest = DEVICE_TYPES["gicv2"].least, DEVICE_TYPES["gicv2"].greatest
    distributor = Window(
        table.integer("base", low=0, high=limit - 1, multiple_of=PAGE_SIZE),
        table.size("size", low=least, high=greatest, multiple_of=PAGE_SIZE, default=least),
    )
    low, high = _MIN_CPU_INTERFACE, _MAX_CPU_INTERFACE
    cpu_interface = Window(
        table.integer("cpu_interface_base", low=0, high=limit - 1, multiple_of=PAGE_SIZE),
        table.size("cpu_interface_size", low=low, high=high, multiple_of=PAGE_SIZE, default=low),
    )
    return GicDescription(name, GIC_VERSIONS["gicv2"], distributor, cpu_interface=cpu_interface, spis=_spis(table))


def _read_gicv3(name: str, table: Table, limit: int) -> GicDescription:
    base = table.integer("base", low=0, high=limit - 1, multiple_of=_GIC_ALIGNMENT)
    redistributor_base = table.integer("redistributor_base", low=0, high=limit - 1, multiple_of=_GIC_ALIGNMENT)
    redistributor_size = table.size(
        "redistributor_size",
        low=REDISTRIBUTOR_SIZE,
        high=_MAX_REDISTRIBUTORS * REDISTRIBUTOR_SIZE,
        multiple_of=REDISTRIBUTOR_SIZE,
        default=_DEFAULT_REDISTRIBUTORS * REDISTRIBUTOR_SIZE,
    )
    return GicDescription(
        name=name,
        version=GIC_VERSIONS["gicv3"],
        distributor=Window(base, DEVICE_TYPES["gicv3"].least),
        redistributors=Window(redistributor_base, redistributor_size),
        spis=_spis(table),
    )


def _spis(table: Table) -> int:
    found = table.optional_integer("spis", low=_SPI_LINES, high=_MOST_SPIS, multiple_of=_SPI_LINES)
    return DEFAULT_SPIS if found is None else found
