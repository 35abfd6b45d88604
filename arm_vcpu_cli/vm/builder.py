"""The composition root: from a description and a guest file to a machine that is ready to run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random, SystemRandom
from typing import Final

from arm_vcpu_cli.arch.identification.idregs import Aa64Isar0, Aa64Mmfr0, pa_range_bits
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.translation.descriptor import Stage2Attributes
from arm_vcpu_cli.arch.translation.memtype import MemoryType
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.execute_on_demand import ExecuteOnDemand
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from arm_vcpu_cli.arm_vcpu.id_registers import guest_id_registers
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.stage2 import MIN_BITS, Stage2AddressSpace
from arm_vcpu_cli.arm_vcpu.vcpu import Aarch64VCpu
from arm_vcpu_cli.axvcpu.vcpu import AxPerCpu, AxVCpu
from arm_vcpu_cli.board.boot_files import Entropy, load_boot_files
from arm_vcpu_cli.board.description import (
    ClockDescription,
    ClockSource,
    DeviceDescription,
    MachineDescription,
    MemoryRegion,
)
from arm_vcpu_cli.board.placement import BackedRegion, GuestRam, load_segments, preload_files
from arm_vcpu_cli.board.schema import FIRST_SPI, LAST_SPI
from arm_vcpu_cli.devices.bus import Bus, MmioDevice
from arm_vcpu_cli.devices.gic.v3 import GicV3
from arm_vcpu_cli.devices.irq import IrqLine, unconnected
from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.devices.pl031 import Pl031
from arm_vcpu_cli.devices.regions import ReadAsZero, Scratch
from arm_vcpu_cli.devices.timer import GenericTimer
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import MachineFileError, MemoryMapError, Stage2Error
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.machine_host import Host
from arm_vcpu_cli.record import Record, replace
from arm_vcpu_cli.vm.clock import HostClock, InstructionClock, MachineClock
from arm_vcpu_cli.vm.guest_input import GuestInput, UartLine
from arm_vcpu_cli.vm.passthrough import PassedThrough, pass_through
from arm_vcpu_cli.vm.platform import MachinePlatform
from arm_vcpu_cli.vm.semihosting import Semihosting
from arm_vcpu_cli.vm.system_moves import SystemMoves, trapped_handlers

_MMFR0: Final = lookup("ID_AA64MMFR0_EL1")
_ISAR0: Final = lookup("ID_AA64ISAR0_EL1")
VIRTUAL_TIMER: Final = 27
PHYSICAL_TIMER: Final = 30
"""The private interrupts of EL1's two timers (DEN0029, the base system architecture)."""


class Surroundings(Record):
    """What a device may be connected to."""

    uart_line: UartLine
    clock: MachineClock
    interrupt: IrqLine
    epoch: int


DeviceFactory = Callable[[DeviceDescription, Surroundings], MmioDevice]
DEVICE_FACTORIES: Final[dict[str, DeviceFactory]] = {
    "pl011": lambda _description, around: Pl011(around.uart_line, around.interrupt),
    "pl031": lambda _description, around: Pl031(around.clock, around.interrupt, now=around.epoch),
    "zero": lambda _description, _around: ReadAsZero(),
    "ram": lambda description, _around: Scratch(description.size),
}


class Machine:
    """A machine with its guest loaded. ``vcpu`` is bound and ready; close the machine when done."""

    def __init__(
        self,
        description: MachineDescription,
        image: GuestImage,
        host: Host,
        ram: GuestRam,
        stage2: Stage2AddressSpace,
        bus: Bus,
        console: Console,
        clock: MachineClock,
        gic: GicV3 | None,
        input: GuestInput,
        arch_vcpu: Aarch64VCpu,
        vcpu: AxVCpu[Aarch64VCpuSetupConfig, Aarch64PerCpu],
        dtb_address: int | None,
        on_demand: ExecuteOnDemand,
        passed_through: tuple[PassedThrough, ...] = (),
    ) -> None:
        self.description = description
        self.image = image
        self.host = host
        self.ram = ram
        self.stage2 = stage2
        self.bus = bus
        self.console = console
        self.clock = clock
        self.gic = gic
        self.input = input
        self.arch_vcpu = arch_vcpu
        self.vcpu = vcpu
        self.dtb_address = dtb_address
        self.on_demand = on_demand
        self.passed_through = passed_through

    def close(self) -> None:
        """Release the engine and the guest's memory."""
        self.host.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def build_machine(description: MachineDescription, image: GuestImage, console: Console) -> Machine:
    """Put a machine together and load the guest into it.

    Raises :class:`GuestFileError`, :class:`MachineFileError` or :class:`EngineError`.
    """
    host = Host(description.cpu.model)
    try:
        return _build(description, image, console, host)
    except BaseException:
        host.close()
        raise


def _build(description: MachineDescription, image: GuestImage, console: Console, host: Host) -> Machine:
    description = _with_clock_chosen(description, console)
    core = host.core(0)
    _check_features(description, core)
    clock = HostClock(core) if description.clock.source is ClockSource.HOST else InstructionClock(core)
    host.timer_is_due = lambda: not clock.next_is_silent()
    pa_bits = pa_range_bits(Aa64Mmfr0(core.read_sysreg(_MMFR0)))
    stage2 = Stage2AddressSpace(host, pa_bits=pa_bits, ipa_bits=max(description.address_bits, MIN_BITS))
    backed = []
    for region in description.memory:
        with _blaming(description, f"memory.{region.name}"):
            backed.append(_map_region(host, stage2, region))
    ram = GuestRam(host, backed, core.forget_code)
    preload_files(ram, description)
    load_segments(ram, image)
    dtb_address = load_boot_files(ram, description, image, _entropy(description.clock, "boot"))

    bus = Bus()
    platform = MachinePlatform(bus, description.memory)
    arch_vcpu = Aarch64VCpu(
        Aarch64VCpuCreateConfig(mpidr_el1=description.cpu.mpidr, dtb_addr=dtb_address or 0), host, platform
    )

    def settle() -> None:
        """After something that is no exit: if it moved an interrupt line, the guest has to stop to notice."""
        if arch_vcpu.lines_changed:
            core.request_stop()

    gic = _build_gic(description, bus, arch_vcpu)
    uarts = []
    passed_through: list[PassedThrough] = []
    for device in description.devices:
        line = gic.spi(device.intid) if gic is not None and device.intid is not None else unconnected
        around = Surroundings(UartLine(console, clock), clock, line, _epoch(description.clock))
        model = DEVICE_FACTORIES[device.type](device, around)
        if isinstance(model, Pl011):
            uarts.append(model)
        if device.passthrough:
            with _blaming(description, f"device.{device.name}"):
                passed_through.append(pass_through(host, stage2, device, model, settle))
        else:
            bus.add(device.name, device.base, device.size, model)

    console.ask(lambda byte: any(uart.holds(byte) for uart in uarts))
    vcpu: AxVCpu[Aarch64VCpuSetupConfig, Aarch64PerCpu] = AxVCpu(0, 0, arch_vcpu)
    entry = image.entry if description.boot.entry is None else description.boot.entry
    on_demand = ExecuteOnDemand(arch_vcpu.state, stage2, core, GuestMemory(core, host))
    vcpu.setup(entry, stage2.root, _setup(description, stage2, on_demand))
    timer = GenericTimer(
        clock,
        virtual=gic.ppi(0, VIRTUAL_TIMER) if gic is not None else unconnected,
        physical=gic.ppi(0, PHYSICAL_TIMER) if gic is not None else unconnected,
    )
    spend = partial(clock.spend, description.clock.counter_read)
    trapped = {} if description.el2.passthrough_timer else trapped_handlers(timer, spend)
    core.answer_counters(clock.counter_reads(description.clock.counter_read, physical=not trapped))
    moves = SystemMoves(
        core,
        {reg: handlers for reg, handlers in timer.handlers.items() if reg not in trapped},
        random=_random_numbers(description, core),
        spend=spend,
        changed=settle,
    )
    core.set_move_hook(moves.crns(), moves)
    platform.connect(
        arch_vcpu,
        interface=gic.cpu_interface(0) if gic is not None else None,
        timer=trapped,
        semihosting=Semihosting(core.read_virtual, console.write) if description.semihosting else None,
    )
    return Machine(
        description,
        image,
        host,
        ram,
        stage2,
        bus,
        console,
        clock,
        gic,
        GuestInput(console, clock, uarts),
        arch_vcpu,
        vcpu,
        dtb_address,
        on_demand,
        tuple(passed_through),
    )


@contextmanager
def _blaming(description: MachineDescription, key: str) -> Iterator[None]:
    """What there is no room for is the fault of the key that asks for it. Raises MachineFileError."""
    try:
        yield
    except (MemoryMapError, Stage2Error) as error:
        raise MachineFileError(description.path or description.name, str(error), key=key) from error


def _with_clock_chosen(description: MachineDescription, console: Console) -> MachineDescription:
    """Somebody at a terminal wants the host's time; everybody else wants every run to be the same."""
    if description.clock.source is not ClockSource.AUTO:
        return description
    source = ClockSource.HOST if console.interactive else ClockSource.INSTRUCTIONS
    return replace(description, clock=replace(description.clock, source=source))


def _check_features(description: MachineDescription, core: CpuCore) -> None:
    if not description.cpu.features:
        return
    try:
        guest_id_registers(core, features=dict(description.cpu.features))
    except ValueError as error:
        source = description.path or description.name
        raise MachineFileError(source, f"{error} ({description.cpu.model})", key="cpu.features") from error


def _build_gic(description: MachineDescription, bus: Bus, vcpu: Aarch64VCpu) -> GicV3 | None:
    if description.gic is None:
        return None

    def signal(_cpu: int, irq: bool, fiq: bool) -> None:
        vcpu.set_interrupt_lines(irq=irq, fiq=fiq)

    gic = GicV3([description.cpu.mpidr], spis=LAST_SPI + 1 - FIRST_SPI, signal=signal)
    distributor, redistributors = description.gic.distributor, description.gic.redistributors
    bus.add(description.gic.name, distributor.base, distributor.size, gic.distributor)
    bus.add(f"{description.gic.name}-redistributors", redistributors.base, redistributors.size, gic.redistributors)
    return gic


def _setup(
    description: MachineDescription, stage2: Stage2AddressSpace, on_demand: ExecuteOnDemand
) -> Aarch64VCpuSetupConfig:
    el2 = description.el2
    return Aarch64VCpuSetupConfig(
        vtcr=stage2.vtcr,
        passthrough_interrupt=el2.passthrough_interrupt,
        passthrough_timer=el2.passthrough_timer,
        gic_cpu_interface=description.gic is not None,
        trap_wfi=el2.trap_wfi,
        trap_id_registers=el2.trap_id_registers,
        hcr=el2.hcr,
        features=description.cpu.features,
        on_demand=on_demand,
        entropy=_entropy(description.clock, "trng"),
        smc_table={function.id: function.returns for function in description.smc.functions},
    )


def start(machine: Machine) -> None:
    """Enable virtualisation on the physical CPU and bind the vCPU to it."""
    cpu = Aarch64PerCpu(0, machine.host)
    cpu.hardware_enable()
    machine.vcpu.bind(AxPerCpu(cpu))


def _map_region(host: Host, stage2: Stage2AddressSpace, region: MemoryRegion) -> BackedRegion:
    paddr = host.alloc_guest_memory(region.size, region.base)
    attributes = Stage2Attributes(region.readable, region.writable, region.executable, MemoryType.NORMAL)
    on_demand = host.core(0).prefers_execute_on_demand
    stage2.map(region.base, paddr, region.size, attributes, execute_on_demand=on_demand)
    return BackedRegion(region, paddr)


def _entropy(clock: ClockDescription, purpose: str) -> Entropy:
    """The host's where its clock is the guest's as well; otherwise what follows from the seed, for runs alike."""
    return os.urandom if clock.source is ClockSource.HOST else Random(f"{clock.seed} {purpose}").randbytes


def _random_numbers(description: MachineDescription, core: CpuCore) -> Random | None:
    """Where RNDR comes from, None where the CPU has none."""
    if not Aa64Isar0(core.read_sysreg(_ISAR0)).RNDR:
        return None
    clock = description.clock
    return SystemRandom() if clock.source is ClockSource.HOST else Random(f"{clock.seed} rndr")


def _epoch(clock: ClockDescription) -> int:
    return int(time.time()) if clock.source is ClockSource.HOST else clock.epoch
