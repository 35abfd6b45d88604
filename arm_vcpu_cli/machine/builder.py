"""The composition root: from a description and a guest file to a machine that is ready to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from arm_vcpu_cli.arch.descriptor import Stage2Attributes
from arm_vcpu_cli.arch.idregs import Aa64Mmfr0, pa_range_bits
from arm_vcpu_cli.arch.memtype import MemoryType
from arm_vcpu_cli.arch.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.stage2 import Stage2AddressSpace
from arm_vcpu_cli.arm_vcpu.vcpu import Aarch64VCpu
from arm_vcpu_cli.axvcpu.vcpu import AxPerCpu, AxVCpu
from arm_vcpu_cli.devices.bus import Bus, MmioDevice
from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.devices.regions import ReadAsZero, Scratch
from arm_vcpu_cli.devices.timer import PhysicalTimer
from arm_vcpu_cli.errors import MachineFileError
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.machine.console import Console
from arm_vcpu_cli.machine.description import DeviceDescription, MachineDescription, MemoryRegion
from arm_vcpu_cli.machine.devicetree import build_device_tree
from arm_vcpu_cli.machine.host import Host
from arm_vcpu_cli.machine.placement import BackedRegion, GuestRam, load_segments, place_device_tree, preload_files
from arm_vcpu_cli.machine.platform import MachinePlatform
from arm_vcpu_cli.machine.semihosting import Semihosting

_CNTVCT: Final = lookup("CNTVCT_EL0")
_MMFR0: Final = lookup("ID_AA64MMFR0_EL1")

DeviceFactory = Callable[[DeviceDescription, Console], MmioDevice]
DEVICE_FACTORIES: Final[dict[str, DeviceFactory]] = {
    "pl011": lambda _description, console: Pl011(console),
    "zero": lambda _description, _console: ReadAsZero(),
    "ram": lambda description, _console: Scratch(description.size),
}


@dataclass
class Machine:
    """A machine with its guest loaded. ``vcpu`` is bound and ready; close the machine when done."""

    description: MachineDescription
    image: GuestImage
    host: Host
    ram: GuestRam
    stage2: Stage2AddressSpace
    bus: Bus
    console: Console
    arch_vcpu: Aarch64VCpu
    vcpu: AxVCpu[Aarch64VCpuSetupConfig, Aarch64PerCpu]
    dtb_address: int | None

    def close(self) -> None:
        """Release the engine and the guest's memory."""
        self.host.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def build_machine(description: MachineDescription, image: GuestImage, console: Console) -> Machine:
    """Put a machine together and load the guest into it.

    Raises :class:`GuestFileError`, :class:`MachineFileError`, :class:`MemoryMapError` or :class:`EngineError`.
    """
    host = Host(description.cpu.model)
    try:
        return _build(description, image, console, host)
    except BaseException:
        host.close()
        raise


def _build(description: MachineDescription, image: GuestImage, console: Console, host: Host) -> Machine:
    core = host.core(0)
    stage2 = Stage2AddressSpace(host, pa_bits=pa_range_bits(Aa64Mmfr0(core.read_sysreg(_MMFR0))))
    ram = GuestRam(host, [_map_region(host, stage2, region) for region in description.memory])
    preload_files(ram, description)
    load_segments(ram, image)
    dtb_address = _load_device_tree(description, image, ram)

    bus = Bus()
    for device in description.devices:
        bus.add(device.name, device.base, device.size, DEVICE_FACTORIES[device.type](device, console))

    platform = MachinePlatform(bus, description.memory)
    arch_vcpu = Aarch64VCpu(
        Aarch64VCpuCreateConfig(mpidr_el1=description.cpu.mpidr, dtb_addr=dtb_address or 0), host, platform
    )
    vcpu: AxVCpu[Aarch64VCpuSetupConfig, Aarch64PerCpu] = AxVCpu(0, 0, arch_vcpu)
    el2 = description.el2
    entry = image.entry if description.boot.entry is None else description.boot.entry
    vcpu.setup(
        entry,
        stage2.root,
        Aarch64VCpuSetupConfig(
            vtcr=stage2.vtcr,
            passthrough_interrupt=el2.passthrough_interrupt,
            passthrough_timer=el2.passthrough_timer,
            trap_wfi=el2.trap_wfi,
            trap_id_registers=el2.trap_id_registers,
            hcr=el2.hcr,
            smc_table={function.id: function.returns for function in description.smc.functions},
        ),
    )
    platform.connect(
        arch_vcpu,
        None if el2.passthrough_timer else PhysicalTimer(lambda: core.read_sysreg(_CNTVCT)),
        Semihosting(core.read_virtual, console.write) if description.semihosting else None,
    )
    return Machine(description, image, host, ram, stage2, bus, console, arch_vcpu, vcpu, dtb_address)


def start(machine: Machine) -> None:
    """Enable virtualisation on the physical CPU and bind the vCPU to it."""
    cpu = Aarch64PerCpu(0, machine.host)
    cpu.hardware_enable()
    machine.vcpu.bind(AxPerCpu(cpu))


def _map_region(host: Host, stage2: Stage2AddressSpace, region: MemoryRegion) -> BackedRegion:
    paddr = host.alloc_guest_memory(region.size, region.base)
    attributes = Stage2Attributes(region.readable, region.writable, region.executable, MemoryType.NORMAL)
    stage2.map(region.base, paddr, region.size, attributes)
    return BackedRegion(region, paddr)


def _load_device_tree(description: MachineDescription, image: GuestImage, ram: GuestRam) -> int | None:
    if not description.boot.dtb:
        return None
    blob = build_device_tree(description)

    def fail(message: str) -> MachineFileError:
        return MachineFileError(description.path or description.name, message, key="boot.dtb_address")

    address = place_device_tree(ram, description, image, len(blob), fail)
    view = ram.view(address, len(blob))
    if view is None:
        raise fail(f"{address:#x} is not in memory")
    view[:] = blob
    return address
