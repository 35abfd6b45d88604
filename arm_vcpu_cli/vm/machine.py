"""A machine with its guest loaded: all its parts in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from arm_vcpu_cli.arm_vcpu.observer import ExitObserver
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.stage2 import Stage2AddressSpace
from arm_vcpu_cli.axvcpu.vcpu import AxPerCpu
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.placement import GuestRam
from arm_vcpu_cli.devices.bus import Bus, MmioDevice
from arm_vcpu_cli.devices.gic.controller import InterruptController
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.saved import Remembers
from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.guest_input import GuestInput
from arm_vcpu_cli.vm.hosting import MachineHost
from arm_vcpu_cli.vm.passthrough import PassedThrough
from arm_vcpu_cli.vm.power import PowerController
from arm_vcpu_cli.vm.random_numbers import RandomNumbers
from arm_vcpu_cli.vm.scheduler import Scheduler
from arm_vcpu_cli.vm.semihosting.lazy_service import SemihostingPort
from arm_vcpu_cli.vm.timeline import Timeline

if TYPE_CHECKING:
    from arm_vcpu_cli.vm.endings import RunResult
    from arm_vcpu_cli.vm.faults.machine_faults import MachineFaults

NO_DEVICES: Final[Mapping[str, MmioDevice]] = MappingProxyType({})
NO_NOTES: Final[Mapping[str, Any]] = MappingProxyType({})
LINE: Final = "line"
"""In the notes: the line that the guest is printing."""
NO_RANDOM: Final[Mapping[str, RandomNumbers]] = MappingProxyType({})


class Machine:
    """A machine with its guest loaded; close it when done (or use it as a context manager).

    ``bus`` holds the devices that all CPUs share; private parts are in ``cpus``.
    """

    def __init__(
        self,
        description: MachineDescription,
        image: GuestImage,
        host: MachineHost,
        ram: GuestRam,
        stage2: Stage2AddressSpace,
        bus: Bus,
        console: Console,
        timeline: Timeline,
        scheduler: Scheduler,
        power: PowerController,
        gic: InterruptController | None,
        input: GuestInput,
        cpus: tuple[Cpu, ...],
        dtb_address: int | None,
        passed_through: tuple[PassedThrough, ...] = (),
        devices: Mapping[str, MmioDevice] = NO_DEVICES,
        random: Mapping[str, RandomNumbers] = NO_RANDOM,
        semihosting: SemihostingPort | None = None,
        faults: MachineFaults | None = None,
    ) -> None:
        self.description = description
        self.image = image
        self.host = host
        self.ram = ram
        self.stage2 = stage2
        self.bus = bus
        self.console = console
        self.timeline = timeline
        self.scheduler = scheduler
        self.power = power
        self.gic = gic
        self.input = input
        self.cpus = cpus
        self.dtb_address = dtb_address
        self.passed_through = passed_through
        self.devices = devices
        """The models of the description's devices, by name."""
        self.random = random
        """The sources of random numbers, by purpose."""
        self.seen_enough: str | RunResult | None = None
        """The reason to end the run, or its whole result, set by an observer whose goal is reached; it takes effect
        once the vCPU stops."""
        self.semihosting = semihosting
        self.earlier_instructions = 0
        """The number of instructions counted before the cores of this machine began to count."""
        self.observers: list[Remembers] = []
        """Observers whose knowledge of the run must follow time travel."""
        self.faults = faults
        """The faults that the description injects, None if it has none."""
        self.goes_on = False
        """Whether it continues from a snapshot; its state is restored when it is started."""
        self.when_restored: list[Callable[[], None]] = []
        """Functions to call once its state is restored."""
        self.notes: Mapping[str, Any] = NO_NOTES
        """The observers' notes from the time when it was saved."""
        self.take_notes: Callable[[], dict[str, Any]] = dict
        """Returns the observers' notes for the observers of a run that continues from here, as plain data."""

    @property
    def current(self) -> Cpu:
        """The CPU that is running its turn, or ran the last one: the one that exited."""
        return self.scheduler.current

    @property
    def core(self) -> CpuCore:
        """The physical CPU of the current CPU."""
        return self.scheduler.current.core

    @property
    def shared_parts(self) -> dict[str, object]:
        """The parts that all CPUs share and a reset restores, by name."""
        return {
            **{f"device {name}": device for name, device in self.devices.items()},
            "gic": self.gic,
            "power": self.power,
            "semihosting": self.semihosting,
        }

    @property
    def exits(self) -> int:
        """The number of exits of all vCPUs so far."""
        return sum(cpu.arch.exits for cpu in self.cpus)

    @property
    def instructions(self) -> int:
        """The number of instructions that the cores have counted since the guest started, including those before its
        state was loaded."""
        return self.earlier_instructions + sum(core.instruction_count() for core in self.host.cores)

    def observe(self, observer: ExitObserver) -> None:
        """Add an observer of the exits of all vCPUs; before the machine is started."""
        for cpu in self.cpus:
            cpu.arch.add_observer(observer)

    def start(self) -> None:
        """Enable virtualisation on the physical CPUs and bind each vCPU to one that it may run on."""
        physical = []
        for number in range(self.host.cpus):
            cpu = Aarch64PerCpu(number, self.host)
            cpu.hardware_enable()
            physical.append(AxPerCpu(cpu))
        for virtual in self.cpus:
            virtual.start(physical[virtual.vcpu.favor_phys_cpu])
        self.scheduler.begin()

    def look_at(self, cpu: Cpu) -> None:
        """Make another CPU the current one, on its core, to inspect a machine whose run is over."""
        self.scheduler.current = cpu
        cpu.arch.synchronise()

    def request_stop(self) -> None:
        """Stop the guest between two instructions, as soon as possible; safe from any thread."""
        for core in self.host.cores:
            core.request_stop()

    def close(self) -> None:
        """Release the engine and the guest's memory, and close the files that the guest has open."""
        if self.semihosting is not None:
            self.semihosting.close()
        self.host.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
