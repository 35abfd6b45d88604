"""Generates the device tree of a machine description, which describes the machine to the guest's kernel.

The bindings are those of the Linux kernel: arm/cpus, cpu/cpu-topology, arm/psci, interrupt-controller/arm,gic and
arm,gic-v3, timer/arm,arch_timer, serial/pl011, rtc/arm,pl031, clock/fixed-clock, and the chosen node of the dt-schema
project. Without an interrupt controller the tree has no interrupts and no timer.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.board.description import (
    CpuDescription,
    DeviceDescription,
    GicDescription,
    MachineDescription,
    MemoryRegion,
)
from arm_vcpu_cli.board.fdt import Node, cells, flatten, string, stringlist, u32, u64
from arm_vcpu_cli.board.schema import CPU_MODELS, FIRST_SPI
from arm_vcpu_cli.record import Record

APB_CLOCK_HZ: Final = 24_000_000

_GIC_PHANDLE: Final = 1
_APB_PHANDLE: Final = 2
_CPU_PHANDLES: Final = 3  # and on, one for each CPU; nothing comes after them
_AFF3_SHIFT: Final = 32

_GIC_COMPATIBLE: Final = MappingProxyType({2: "arm,cortex-a15-gic", 3: "arm,gic-v3"})  # both as on QEMU's virt board

# The first and the third cell of an interrupt (arm,gic and arm,gic-v3 alike); the second is its number, counted from
# the first of its type.
_SPI: Final = 0
_PPI: Final = 1
_LEVEL_HIGH: Final = 4
_PPI_CPUS_SHIFT: Final = 8
"""The shift of the mask of CPUs that have the private interrupt, in the third cell; only with version 2 of the GIC."""

# Numbered as PPIs: INTIDs 29, 30, 27 and 26, as in the Arm Base System Architecture.
_TIMER_PPIS: Final = (13, 14, 11, 10)  # of EL3, EL1 physical, EL1 virtual, EL2; the order is the binding's


class BootParameters(Record):
    """The properties of ``/chosen`` that do not come from the description.

    ``initrd`` is the start and the exclusive end of the initial RAM disk; the seeds are random bytes, and are left out
    if empty.
    """

    initrd: tuple[int, int] | None = None
    rng_seed: bytes = b""
    kaslr_seed: bytes = b""


def build_device_tree(description: MachineDescription, parameters: BootParameters | None = None) -> bytes:
    """The flattened device tree of the machine. Its size does not depend on the values of the parameters.

    The tree does not list regions that the guest cannot write as memory, and omits devices without a binding (of type
    "zero" and "ram").
    """
    uarts = [device for device in description.devices if device.type == "pl011"]
    clocks = [device for device in description.devices if device.type == "pl031"]
    gic = description.gic
    children = [
        _chosen(description, uarts, parameters or BootParameters()),
        *_aliases(uarts),
        _psci(description),
        _cpus(description.cpu),
        *(_memory(region) for region in description.memory if region.writable),
        *([] if gic is None else [_gic(gic), _timer(gic, description.cpu.count)]),
        *_apb_clock(uarts + clocks),
        *(_pl011(uart, gic) for uart in uarts),
        *(_pl031(clock, gic) for clock in clocks),
    ]
    model = f"armvcpu {description.name}".encode("ascii", "replace").decode("ascii")
    properties = {
        "#address-cells": u32(2),
        "#size-cells": u32(2),
        "compatible": string("linux,dummy-virt"),
        "model": string(model),
    }
    if gic is not None:
        properties["interrupt-parent"] = u32(_GIC_PHANDLE)
    return flatten(Node("", properties, children), boot_cpu=description.cpu.mpidr & 0xFFFF_FFFF)


def _chosen(description: MachineDescription, uarts: list[DeviceDescription], parameters: BootParameters) -> Node:
    path = {"stdout-path": string(f"/{_unit_name('pl011', uarts[0].base)}")} if uarts else {}
    return Node("chosen", path | chosen_properties(description, parameters))


def chosen_properties(description: MachineDescription, parameters: BootParameters) -> dict[str, bytes]:
    """The properties of ``/chosen`` for this run: command line, initial RAM disk and seeds, each if present."""
    properties = {"bootargs": string(description.boot.bootargs)} if description.boot.bootargs else {}
    if parameters.initrd is not None:
        start, end = parameters.initrd
        properties |= {"linux,initrd-start": u64(start), "linux,initrd-end": u64(end)}
    seeds = {"rng-seed": parameters.rng_seed, "kaslr-seed": parameters.kaslr_seed}
    return properties | {name: seed for name, seed in seeds.items() if seed}


def _aliases(uarts: list[DeviceDescription]) -> list[Node]:
    names = [string(f"/{_unit_name('pl011', uart.base)}") for uart in uarts]
    paths = {f"serial{index}": name for index, name in enumerate(names)}
    return [Node("aliases", paths)] if paths else []


def _psci(description: MachineDescription) -> Node:
    return Node(
        "psci",
        {
            "compatible": stringlist("arm,psci-1.0", "arm,psci-0.2"),
            "method": string(description.smc.conduit.value),
        },
    )


def _cpus(cpu: CpuDescription) -> Node:
    """The CPUs, named by their affinities; Aff3 takes a cell of its own, present only if a CPU needs it."""
    wide = any(affinity >> _AFF3_SHIFT for affinity in cpu.affinities)
    nodes = [_cpu(cpu, index, wide=wide) for index in range(cpu.count)]
    if cpu.clusters:
        nodes.insert(0, _cpu_map(cpu.clusters))
    return Node("cpus", {"#address-cells": u32(2 if wide else 1), "#size-cells": u32(0)}, nodes)


def _cpu(cpu: CpuDescription, index: int, *, wide: bool) -> Node:
    affinity = cpu.affinities[index]
    properties = {
        "device_type": string("cpu"),
        "compatible": string(CPU_MODELS[cpu.model].compatible),
        "reg": u64(affinity) if wide else u32(affinity),
        "enable-method": string("psci"),
    }
    if cpu.clusters:
        properties["phandle"] = u32(_CPU_PHANDLES + index)
    return Node(_unit_name("cpu", affinity), properties)


def _cpu_map(clusters: tuple[int, ...]) -> Node:
    """The cpu-map node, which groups CPUs into clusters: a kernel must not infer these from affinities."""
    nodes = []
    phandle = _CPU_PHANDLES
    for index, count in enumerate(clusters):
        cores = [Node(f"core{core}", {"cpu": u32(phandle + core)}) for core in range(count)]
        nodes.append(Node(f"cluster{index}", children=cores))
        phandle += count
    return Node("cpu-map", children=nodes)


def _memory(region: MemoryRegion) -> Node:
    return Node(
        _unit_name("memory", region.base),
        {"device_type": string("memory"), "reg": u64(region.base) + u64(region.size)},
    )


def _gic(gic: GicDescription) -> Node:
    return Node(
        _unit_name("intc", gic.distributor.base),
        {
            "compatible": string(_GIC_COMPATIBLE[gic.version]),
            "reg": b"".join(u64(window.base) + u64(window.size) for window in gic.windows),
            "interrupt-controller": b"",
            "#interrupt-cells": u32(3),
            "#address-cells": u32(0),
            "phandle": u32(_GIC_PHANDLE),
        },
    )


def _timer(gic: GicDescription, count: int) -> Node:
    flags = _LEVEL_HIGH
    if gic.version == 2:
        flags |= (1 << count) - 1 << _PPI_CPUS_SHIFT
    return Node(
        "timer",
        {
            "compatible": string("arm,armv8-timer"),
            "interrupts": b"".join(cells(_PPI, ppi, flags) for ppi in _TIMER_PPIS),
            "always-on": b"",
        },
    )


def _apb_clock(users: list[DeviceDescription]) -> list[Node]:
    """The clock of the peripherals, if any device refers to it."""
    if not users:
        return []
    properties = {
        "compatible": string("fixed-clock"),
        "#clock-cells": u32(0),
        "clock-frequency": u32(APB_CLOCK_HZ),
        "clock-output-names": string("clk24mhz"),
        "phandle": u32(_APB_PHANDLE),
    }
    return [Node("apb-pclk", properties)]


def _pl011(device: DeviceDescription, gic: GicDescription | None) -> Node:
    return Node(
        _unit_name("pl011", device.base),
        {
            "compatible": stringlist("arm,pl011", "arm,primecell"),
            **_reg_and_interrupts(device, gic),
            "clocks": u32(_APB_PHANDLE) + u32(_APB_PHANDLE),
            "clock-names": stringlist("uartclk", "apb_pclk"),
        },
    )


def _pl031(device: DeviceDescription, gic: GicDescription | None) -> Node:
    return Node(
        _unit_name("pl031", device.base),
        {
            "compatible": stringlist("arm,pl031", "arm,primecell"),
            **_reg_and_interrupts(device, gic),
            "clocks": u32(_APB_PHANDLE),
            "clock-names": string("apb_pclk"),
        },
    )


def _reg_and_interrupts(device: DeviceDescription, gic: GicDescription | None) -> dict[str, bytes]:
    properties = {"reg": u64(device.base) + u64(device.size)}
    if gic is not None and device.intid is not None:
        properties["interrupts"] = cells(_SPI, device.intid - FIRST_SPI, _LEVEL_HIGH)
    return properties


def _unit_name(name: str, address: int) -> str:
    return f"{name}@{address:x}"
