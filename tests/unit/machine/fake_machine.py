"""A machine on a fake core: real devices, platform and run loop, scripted exceptions, no engine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.platform import Platform
from arm_vcpu_cli.arm_vcpu.vcpu import Aarch64VCpu
from arm_vcpu_cli.axvcpu.vcpu import AxPerCpu, AxVCpu
from arm_vcpu_cli.board.description import Limits, MachineDescription, MemoryRegion
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.board.placement import BackedRegion, GuestRam
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.guest.image import GuestImage, Segment
from arm_vcpu_cli.guest.symbols import Symbol, SymbolTable
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.vm.builder import Machine
from arm_vcpu_cli.vm.clock import InstructionClock
from arm_vcpu_cli.vm.guest_input import GuestInput
from arm_vcpu_cli.vm.platform import MachinePlatform
from arm_vcpu_cli.vm.semihosting import Semihosting
from tests.support.fake_core import FakeCore, FakeHal, Trap

RAM = 0x4000_0000
ENTRY = RAM + 0x8_0000
UART = 0x0900_0000


class FakePhysical:
    """Host-physical memory that is only there where it was touched: a bytearray for each region."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytearray] = {}

    def back(self, region: MemoryRegion) -> BackedRegion:
        """Memory for a region, at a host-physical address unlike its IPA."""
        paddr = 0x10_0000_0000 + region.base
        self.blocks[paddr] = bytearray(region.size)
        return BackedRegion(region, paddr)

    def memory(self, paddr: int, size: int) -> memoryview:
        for base, block in self.blocks.items():
            if base <= paddr and paddr + size <= base + len(block):
                return memoryview(block)[paddr - base : paddr - base + size]
        raise AssertionError(f"no memory at PA {paddr:#x} size {size:#x}")


def image(*segments: Segment, symbols: SymbolTable | None = None, entry: int = ENTRY) -> GuestImage:
    """A guest image of these segments."""
    return GuestImage(Path("guest.elf"), "elf", entry, segments, symbols or SymbolTable())


def segment(address: int, data: bytes = b"", memory_size: int | None = None, name: str = "segment 0") -> Segment:
    """A segment with all permissions."""
    return Segment(address, data, len(data) if memory_size is None else memory_size, True, True, True, name)


def description(*, timeout: float = 0, max_exits: int = 0) -> MachineDescription:
    """The virt preset with 1 MiB of RAM and these limits."""
    return replace(load_machine(None, memory_size=1 << 20), limits=Limits(timeout, max_exits))


@contextmanager
def machine(
    script: Iterable[Trap | EngineError] = (),
    *,
    timeout: float = 0,
    max_exits: int = 0,
    platform: Platform | None = None,
    mpidr: int = 0,
    semihosting: bool = False,
    core: FakeCore | None = None,
) -> Iterator[tuple[Machine, FakeCore, int]]:
    """(a started machine, its core, a descriptor from which its console's output can be read)."""
    core = FakeCore(script) if core is None else core
    hal = FakeHal(core)
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    console = Console(writer, None, sleep=lambda _seconds: None)
    described = description(timeout=timeout, max_exits=max_exits)
    bus = Bus()
    uart = Pl011(console)
    bus.add("uart0", UART, 0x1000, uart)
    vmm = MachinePlatform(bus, described.memory)
    arch = Aarch64VCpu(Aarch64VCpuCreateConfig(mpidr_el1=mpidr), hal, platform or vmm)
    vmm.connect(arch, semihosting=Semihosting(core.read_virtual, console.write) if semihosting else None)
    vcpu: AxVCpu[Aarch64VCpuSetupConfig, Aarch64PerCpu] = AxVCpu(0, 0, arch)
    vcpu.setup(ENTRY, 0x20_0000, Aarch64VCpuSetupConfig(vtcr=0x8002_3559))
    symbols = SymbolTable([Symbol("main", ENTRY, 0x100), Symbol("leaf", ENTRY + 0x100, 0x100)])
    physical = FakePhysical()
    clock = InstructionClock(core)
    made = Machine(
        description=described,
        image=image(symbols=symbols),
        host=cast(Any, SimpleNamespace(core=hal.core, close=core.close)),
        ram=GuestRam(physical, [physical.back(region) for region in described.memory]),
        stage2=cast(Any, None),
        bus=bus,
        console=console,
        clock=clock,
        gic=None,
        input=GuestInput(console, clock, [uart]),
        arch_vcpu=arch,
        vcpu=vcpu,
        dtb_address=None,
        on_demand=cast(Any, None),
    )
    cpu = Aarch64PerCpu(0, hal)
    cpu.hardware_enable()
    vcpu.bind(AxPerCpu(cpu))
    try:
        yield made, core, reader
    finally:
        os.close(reader)
        os.close(writer)
