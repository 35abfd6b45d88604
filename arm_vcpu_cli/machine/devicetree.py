"""The device tree that a machine description stands for: what the guest's kernel is told about its machine.

The bindings are those of the Linux kernel: arm/cpus, arm/psci, serial/pl011, clock/fixed-clock. There are no
interrupts in it, since the machine has no interrupt controller.
"""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.machine.description import DeviceDescription, MachineDescription, MemoryRegion
from arm_vcpu_cli.machine.fdt import Node, flatten, string, stringlist, u32, u64
from arm_vcpu_cli.machine.schema import CPU_MODELS

APB_CLOCK_HZ: Final = 24_000_000

_APB_PHANDLE: Final = 1
_AFF3_SHIFT: Final = 32


def build_device_tree(description: MachineDescription) -> bytes:
    """The flattened device tree of the machine.

    Memory regions that the guest cannot write are not announced as memory, and devices without a binding (of
    type "zero" and "ram") not at all.
    """
    uarts = [device for device in description.devices if device.type == "pl011"]
    children = [
        _chosen(description, uarts),
        *_aliases(uarts),
        _psci(description),
        _cpus(description),
        *(_memory(region) for region in description.memory if region.writable),
        *_clock(uarts),
        *(_pl011(uart) for uart in uarts),
    ]
    model = f"armvcpu {description.name}".encode("ascii", "replace").decode("ascii")
    root = Node(
        "",
        {
            "#address-cells": u32(2),
            "#size-cells": u32(2),
            "compatible": string("linux,dummy-virt"),
            "model": string(model),
        },
        children,
    )
    return flatten(root, boot_cpu=description.cpu.mpidr & 0xFFFF_FFFF)


def _chosen(description: MachineDescription, uarts: list[DeviceDescription]) -> Node:
    properties = {"bootargs": string(description.boot.bootargs)} if description.boot.bootargs else {}
    if uarts:
        properties["stdout-path"] = string(f"/{_unit_name('pl011', uarts[0].base)}")
    return Node("chosen", properties)


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


def _cpus(description: MachineDescription) -> Node:
    """The CPU, named by its affinity; Aff3 takes a cell of its own, which is there only if it is needed."""
    mpidr = description.cpu.mpidr
    wide = mpidr >> _AFF3_SHIFT != 0
    cpu = Node(
        _unit_name("cpu", mpidr),
        {
            "device_type": string("cpu"),
            "compatible": string(CPU_MODELS[description.cpu.model].compatible),
            "reg": u64(mpidr) if wide else u32(mpidr),
            "enable-method": string("psci"),
        },
    )
    return Node("cpus", {"#address-cells": u32(2 if wide else 1), "#size-cells": u32(0)}, [cpu])


def _memory(region: MemoryRegion) -> Node:
    return Node(
        _unit_name("memory", region.base),
        {"device_type": string("memory"), "reg": u64(region.base) + u64(region.size)},
    )


def _clock(uarts: list[DeviceDescription]) -> list[Node]:
    if not uarts:
        return []
    properties = {
        "compatible": string("fixed-clock"),
        "#clock-cells": u32(0),
        "clock-frequency": u32(APB_CLOCK_HZ),
        "clock-output-names": string("clk24mhz"),
        "phandle": u32(_APB_PHANDLE),
    }
    return [Node("apb-pclk", properties)]


def _pl011(device: DeviceDescription) -> Node:
    return Node(
        _unit_name("pl011", device.base),
        {
            "compatible": stringlist("arm,pl011", "arm,primecell"),
            "reg": u64(device.base) + u64(device.size),
            "clocks": u32(_APB_PHANDLE) + u32(_APB_PHANDLE),
            "clock-names": stringlist("uartclk", "apb_pclk"),
        },
    )


def _unit_name(name: str, address: int) -> str:
    return f"{name}@{address:x}"
