"""A machine on fake cores: real devices, platform, scheduler and run loop, scripted exceptions, no engine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from arm_vcpu_cli.arm_vcpu.platform import Platform
from arm_vcpu_cli.board.description import Limits, MachineDescription, MemoryRegion
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.board.placement import BackedRegion
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.guest.image import GuestImage, Segment
from arm_vcpu_cli.guest.symbol import Symbol
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.record import replace
from arm_vcpu_cli.vm.builder import build_machine
from arm_vcpu_cli.vm.machine import Machine
from tests.support.fake_core import FakeCore, Trap
from tests.support.fake_host import FakeHost, FakePhysical

RAM = 0x4000_0000
ENTRY = RAM + 0x8_0000
UART = 0x0900_0000


def back(physical: FakePhysical, region: MemoryRegion) -> BackedRegion:
    """Memory for a region."""
    return BackedRegion(region, physical.alloc_guest_memory(region.size, region.base))


def image(*segments: Segment, symbols: SymbolTable | None = None, entry: int = ENTRY) -> GuestImage:
    """A guest image of these segments."""
    return GuestImage(Path("guest.elf"), "elf", entry, segments, symbols or SymbolTable())


def segment(address: int, data: bytes = b"", memory_size: int | None = None, name: str = "segment 0") -> Segment:
    """A segment with all permissions."""
    return Segment(address, data, len(data) if memory_size is None else memory_size, True, True, True, name)


def description(*, timeout: float = 0, max_exits: int = 0, cpus: int = 1) -> MachineDescription:
    """The virt preset with 1 MiB of RAM and these limits."""
    return replace(load_machine(None, memory_size=1 << 20, cpus=cpus), limits=Limits(timeout, max_exits))


@contextmanager
def fake_machine(described: MachineDescription, cores: Sequence[FakeCore]) -> Iterator[tuple[Machine, int]]:
    """(a machine of this description that is not started, a descriptor from which its console's output can be read).

    Its guest has two functions, ``main`` at the entry point and ``leaf`` behind it.
    """
    symbols = SymbolTable([Symbol("main", ENTRY, 0x100), Symbol("leaf", ENTRY + 0x100, 0x100)])
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    console = Console(writer, None, sleep=lambda _seconds: None)
    try:
        with build_machine(described, image(symbols=symbols), console, FakeHost(*cores)) as made:
            yield made, reader
    finally:
        os.close(reader)
        os.close(writer)


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
    """(a started machine of one CPU, its core, a descriptor from which its console's output can be read)."""
    core = FakeCore(script) if core is None else core
    described = description(timeout=timeout, max_exits=max_exits)
    described = replace(described, semihosting=semihosting, cpu=replace(described.cpu, affinities=(mpidr,)))
    with fake_machine(described, [core]) as (made, reader):
        if platform is not None:
            # No machine is told to have another one; its vCPU asks only when it is bound.
            made.current.arch._platform = platform
        made.start()
        yield made, core, reader
