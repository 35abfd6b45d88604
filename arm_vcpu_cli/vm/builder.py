"""The composition root: from a description and a guest file to a machine that is ready to run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.arch.identification.idregs import Aa64Isar0, Aa64Mmfr0, pa_range_bits
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.translation.descriptor import Stage2Attributes
from arm_vcpu_cli.arch.translation.memtype import MemoryType
from arm_vcpu_cli.arm_vcpu.id_registers import guest_id_registers
from arm_vcpu_cli.arm_vcpu.stage2 import MIN_BITS, Stage2AddressSpace
from arm_vcpu_cli.board.boot_files import entry_point, load_boot_files
from arm_vcpu_cli.board.description import (
    ClockDescription,
    ClockSource,
    DeviceDescription,
    MachineDescription,
    MemoryRegion,
)
from arm_vcpu_cli.board.placement import BackedRegion, Extent, GuestRam, load_files, load_segments, preload_files
from arm_vcpu_cli.devices.bus import Bus, MmioDevice
from arm_vcpu_cli.devices.irq import IrqLine, unconnected
from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.devices.pl031 import Pl031
from arm_vcpu_cli.devices.regions import EmptyTransports, ReadAsZero, Scratch
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import MachineFileError, MemoryMapError, Stage2Error
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.machine_host import Host
from arm_vcpu_cli.record import Record, replace
from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.cpu_building import CpuParts, build_cpu
from arm_vcpu_cli.vm.gic_building import BuiltGic, build_gic
from arm_vcpu_cli.vm.guest_input import GuestInput, UartLine
from arm_vcpu_cli.vm.hosting import MachineHost
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.passthrough import PassedThrough, pass_through
from arm_vcpu_cli.vm.power import PowerController
from arm_vcpu_cli.vm.random_numbers import RandomNumbers
from arm_vcpu_cli.vm.scheduler import Scheduler
from arm_vcpu_cli.vm.semihosting.lazy_service import SemihostingPort
from arm_vcpu_cli.vm.timeline import DeviceClock, HostClock, InstructionClock

if TYPE_CHECKING:
    from arm_vcpu_cli.vm.faults.fault_injector import Faults
    from arm_vcpu_cli.vm.semihosting.folder import Folder
    from arm_vcpu_cli.vm.semihosting.service import Service

_GUEST_ARGUMENTS: Final = "arm_vcpu_cli.board.guest_arguments"
"""Loaded only for guests that receive or request arguments."""
_SERVICE: Final = "arm_vcpu_cli.vm.semihosting.machine_service"
"""Loaded only for guests that make a semihosting call."""
_FOLDER: Final = "arm_vcpu_cli.vm.semihosting.folder"
"""Loaded only for guests that may use a folder."""
_FAULTS: Final = "arm_vcpu_cli.vm.faults.fault_injector"
"""Loaded only for machines with faults."""
_MMFR0: Final = lookup("ID_AA64MMFR0_EL1")
_ISAR0: Final = lookup("ID_AA64ISAR0_EL1")
_INSTRUCTION: Final = 4
"""Bytes."""


class Surroundings(Record):
    """The parts that a device may be connected to."""

    uart_line: UartLine
    clock: DeviceClock
    interrupt: IrqLine
    epoch: int


DeviceFactory = Callable[[DeviceDescription, Surroundings], MmioDevice]
DEVICE_FACTORIES: Final[dict[str, DeviceFactory]] = {
    "pl011": lambda _description, around: Pl011(around.uart_line, around.interrupt),
    "pl031": lambda _description, around: Pl031(around.clock, around.interrupt, now=around.epoch),
    "zero": lambda _description, _around: ReadAsZero(),
    "virtio-mmio": lambda _description, _around: EmptyTransports(),
    "ram": lambda description, _around: Scratch(description.size),
}


class Loaded(Record):
    """The contents of a machine whose memory comes from elsewhere: the address of its device tree, and the extents of
    all files but the guest's."""

    dtb_address: int | None
    extents: tuple[Extent, ...]


def build_machine(
    description: MachineDescription,
    image: GuestImage,
    console: Console,
    host: MachineHost | None = None,
    *,
    loaded: Loaded | None = None,
) -> Machine:
    """Build a machine and load the guest into it, unless it was ``loaded`` before.

    ``host`` has the physical CPUs that the description requires, and the machine closes it; one is created if there is
    none. Raises :class:`GuestFileError`, :class:`MachineFileError` or :class:`EngineError`.
    """
    if host is None:
        host = Host(description.cpu.model, cpus=description.cpu.phys_cpus)
    try:
        return _build(description, image, console, host, loaded)
    except BaseException:
        host.close()
        raise


def _build(
    description: MachineDescription, image: GuestImage, console: Console, host: MachineHost, loaded: Loaded | None
) -> Machine:
    description = _with_clock_chosen(description, console)
    if description.boot.arguments and loaded is None:
        description = import_module(_GUEST_ARGUMENTS).with_kernel_arguments(description, image)
    core = host.core(0)
    _check_features(description, core)
    make = HostClock if description.clock.source is ClockSource.HOST else InstructionClock
    timeline = make(host.cores)
    host.timer_is_due = lambda: not timeline.next_is_silent()
    pa_bits = pa_range_bits(Aa64Mmfr0(core.read_sysreg(_MMFR0)))
    stage2 = Stage2AddressSpace(host, pa_bits=pa_bits, ipa_bits=max(description.address_bits, MIN_BITS))
    backed = []
    for region in description.memory:
        with _blaming(description, f"memory.{region.name}"):
            backed.append(_map_region(host, stage2, region))
    ram = GuestRam(host, backed, host.forget_code)
    random = {purpose: _random(description, purpose) for purpose in ("boot", "trng", "rndr")}
    if loaded is None:
        preload_files(ram, description)
        load_segments(ram, image)
        load_files(ram, description, image)
        dtb_address = load_boot_files(ram, description, image, random["boot"].randbytes)
    else:
        dtb_address, ram.loaded = loaded.dtb_address, loaded.extents

    scheduler = Scheduler(timeline, quantum=description.schedule.quantum, seed=description.schedule.seed)
    cpus: list[Cpu] = []
    gic = _build_gic(description, cpus, scheduler)
    faults: Faults | None = None
    if description.faults:
        faults = import_module(_FAULTS).make_faults(description, image, timeline)
        if gic is not None:
            gic.model.wrap_lines(faults.line)
    bus = Bus()
    if gic is not None:
        gic.add_shared_windows(bus)

    def settle() -> None:
        """Stop the guest if an interrupt line changed without an exit, so that it takes the interrupt."""
        current = scheduler.current
        if current.arch.lines_changed:
            current.core.request_stop()

    uarts = []
    models: dict[str, MmioDevice] = {}
    passed_through: list[PassedThrough] = []
    for device in description.devices:
        line = gic.model.spi(device.intid) if gic is not None and device.intid is not None else unconnected
        around = Surroundings(
            UartLine(console, timeline), DeviceClock(timeline, device.name), line, _epoch(description.clock)
        )
        models[device.name] = model = DEVICE_FACTORIES[device.type](device, around)
        if isinstance(model, Pl011):
            uarts.append(model)
        if device.passthrough:
            with _blaming(description, f"device.{device.name}"):
                passed_through.append(pass_through(host, stage2, device, model, settle))
        else:
            bus.add(device.name, device.base, device.size, model)

    console.ask(lambda byte: any(uart.holds(byte) for uart in uarts))
    power = PowerController(description.cpu.affinities, lambda address: _may_start_at(description, address))
    semihosting = _semihosting(description)
    parts = CpuParts(
        description=description,
        host=host,
        timeline=timeline,
        stage2=stage2,
        bus=bus,
        gic=gic,
        semihosting=semihosting,
        power=power,
        entry=entry_point(description, image),
        dtb_address=dtb_address or 0,
        entropy=random["trng"].randbytes,
        random=random["rndr"] if Aa64Isar0(core.read_sysreg(_ISAR0)).RNDR else None,
        settle=settle,
    )
    cpus += [build_cpu(parts, index) for index in range(description.cpu.count)]
    scheduler.connect(cpus)
    for each in host.cores:
        physical_counter = description.el2.passthrough_timer
        each.answer_counters(timeline.counter_reads(description.clock.counter_read, physical=physical_counter))
    machine = Machine(
        description,
        image,
        host,
        ram,
        stage2,
        bus,
        console,
        timeline,
        scheduler,
        power,
        None if gic is None else gic.model,
        GuestInput(console, timeline, uarts),
        tuple(cpus),
        dtb_address,
        tuple(passed_through),
        models,
        random,
        semihosting,
        faults,
    )
    if faults is not None:
        faults.connect(machine)
    if semihosting is not None:
        semihosting.connect(partial(_semihosting_service, machine))
    return machine


def _semihosting_service(machine: Machine, folder: Folder | None) -> Service:
    made: Service = import_module(_SERVICE).service_of(machine, folder)
    return made


def _semihosting(description: MachineDescription) -> SemihostingPort | None:
    """Semihosting, if the machine has any. Raises FileError if its folder does not exist."""
    if not description.semihosting:
        return None
    path = description.semihosting_dir
    return SemihostingPort(None if path is None else import_module(_FOLDER).Folder(path))


def _may_start_at(description: MachineDescription, address: int) -> bool:
    """Whether a CPU can start at an IPA, that is, whether it is in executable memory."""
    return any(region.executable and region.holds(address, _INSTRUCTION) for region in description.memory)


@contextmanager
def _blaming(description: MachineDescription, key: str) -> Iterator[None]:
    """Attribute a lack of memory to the key that requests it. Raises MachineFileError."""
    try:
        yield
    except (MemoryMapError, Stage2Error) as error:
        raise MachineFileError(description.path or description.name, str(error), key=key) from error


def _with_clock_chosen(description: MachineDescription, console: Console) -> MachineDescription:
    """The description with a clock: at a terminal it is the host's; otherwise runs repeat exactly."""
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


def _build_gic(description: MachineDescription, cpus: Sequence[Cpu], scheduler: Scheduler) -> BuiltGic | None:
    """The interrupt controller of the description; ``cpus`` will hold the CPUs."""
    if description.gic is None:
        return None
    raised = scheduler.raised

    def signal(index: int, irq: bool, fiq: bool) -> None:
        cpus[index].arch.set_interrupt_lines(irq=irq, fiq=fiq)
        if irq or fiq:
            raised(index)

    return build_gic(description, signal)


def _map_region(host: MachineHost, stage2: Stage2AddressSpace, region: MemoryRegion) -> BackedRegion:
    paddr = host.alloc_guest_memory(region.size, region.base)
    attributes = Stage2Attributes(region.readable, region.writable, region.executable, MemoryType.NORMAL)
    on_demand = host.core(0).prefers_execute_on_demand
    stage2.map(region.base, paddr, region.size, attributes, execute_on_demand=on_demand)
    return BackedRegion(region, paddr)


def _random(description: MachineDescription, purpose: str) -> RandomNumbers:
    """The host's random numbers if the guest uses the host's clock; otherwise numbers derived from the seed."""
    clock = description.clock
    return RandomNumbers(None if clock.source is ClockSource.HOST else f"{clock.seed} {purpose}")


def _epoch(clock: ClockDescription) -> int:
    return int(time.time()) if clock.source is ClockSource.HOST else clock.epoch
