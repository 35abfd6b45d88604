"""The device tree that a machine description stands for: what the guest's kernel is told about its machine.

The bindings are those of the Linux kernel: arm/cpus, arm/psci, interrupt-controller/arm,gic-v3, timer/arm,arch_timer,
serial/pl011, rtc/arm,pl031, clock/fixed-clock, and the chosen node of the dt-schema project. Without an interrupt
controller there are no interrupts and no timer in it.
"""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.board.description import DeviceDescription, GicDescription, MachineDescription, MemoryRegion
from arm_vcpu_cli.board.fdt import Node, cells, flatten, string, stringlist, u32, u64
from arm_vcpu_cli.board.schema import CPU_MODELS, FIRST_SPI
from arm_vcpu_cli.record import Record

APB_CLOCK_HZ: Final = 24_000_000

_GIC_PHANDLE: Final = 1
_APB_PHANDLE: Final = 2
_AFF3_SHIFT: Final = 32

# The first and the third cell of an interrupt (arm,gic-v3); the second is its number, counted from the first of
# its type.
_SPI: Final = 0
_PPI: Final = 1
_LEVEL_HIGH: Final = 4

# Numbered as PPIs: INTIDs 29, 30, 27 and 26, as the Arm Base System Architecture has them.
_TIMER_PPIS: Final = (13, 14, 11, 10)  # of EL3, EL1 physical, EL1 virtual, EL2; the order is the binding's


class BootParameters(Record):
    """What the kernel is told in ``/chosen`` and the description does not say.

    ``initrd`` are the first address of the initial RAM disk and the first behind it; the seeds are random bytes,
    none where they are empty.
    """

    initrd: tuple[int, int] | None = None
    rng_seed: bytes = b""
    kaslr_seed: bytes = b""


def build_device_tree(description: MachineDescription, parameters: BootParameters | None = None) -> bytes:
    """The flattened device tree of the machine. Its size does not depend on the values of the parameters.

    Memory regions that the guest cannot write are not announced as memory, and devices without a binding (of
    type "zero" and "ram") not at all.
    """
    uarts = [device for device in description.devices if device.type == "pl011"]
    clocks = [device for device in description.devices if device.type == "pl031"]
    gic = description.gic
    children = [
        _chosen(description, uarts, parameters or BootParameters()),
        *_aliases(uarts),
        _psci(description),
        _cpus(description),
        *(_memory(region) for region in description.memory if region.writable),
        *([] if gic is None else [_gic(gic), _timer()]),
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
    properties = {"bootargs": string(description.boot.bootargs)} if description.boot.bootargs else {}
    if uarts:
        properties["stdout-path"] = string(f"/{_unit_name('pl011', uarts[0].base)}")
    if parameters.initrd is not None:
        start, end = parameters.initrd
        properties |= {"linux,initrd-start": u64(start), "linux,initrd-end": u64(end)}
    seeds = {"rng-seed": parameters.rng_seed, "kaslr-seed": parameters.kaslr_seed}
    return Node("chosen", properties | {name: seed for name, seed in seeds.items() if seed})


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


def _gic(gic: GicDescription) -> Node:
    windows = (gic.distributor, gic.redistributors)
    return Node(
        _unit_name("intc", gic.distributor.base),
        {
            "compatible": string("arm,gic-v3"),
            "reg": b"".join(u64(window.base) + u64(window.size) for window in windows),
            "interrupt-controller": b"",
            "#interrupt-cells": u32(3),
            "#address-cells": u32(0),
            "phandle": u32(_GIC_PHANDLE),
        },
    )


def _timer() -> Node:
    return Node(
        "timer",
        {
            "compatible": string("arm,armv8-timer"),
            "interrupts": b"".join(cells(_PPI, ppi, _LEVEL_HIGH) for ppi in _TIMER_PPIS),
            "always-on": b"",
        },
    )


def _apb_clock(users: list[DeviceDescription]) -> list[Node]:
    """The clock of the peripherals, if there is one that refers to it."""
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
