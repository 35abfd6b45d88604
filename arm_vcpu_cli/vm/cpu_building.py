"""Builds one CPU of a machine from shared and private parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from arm_vcpu_cli.arch.registers.constant_registers import constant_registers
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.stage2 import Stage2AddressSpace
from arm_vcpu_cli.arm_vcpu.vcpu import Aarch64VCpu
from arm_vcpu_cli.axvcpu.vcpu import AxVCpu
from arm_vcpu_cli.board.boot_files import Entropy
from arm_vcpu_cli.board.description import CpuDescription, MachineDescription
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.irq import unconnected
from arm_vcpu_cli.devices.timer import GenericTimer
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.gic_building import BuiltGic
from arm_vcpu_cli.vm.hosting import MachineHost
from arm_vcpu_cli.vm.platform import MachinePlatform
from arm_vcpu_cli.vm.power import PowerController
from arm_vcpu_cli.vm.random_numbers import RandomNumbers
from arm_vcpu_cli.vm.semihosting.lazy_service import SemihostingPort
from arm_vcpu_cli.vm.system_moves import SystemMoves, trapped_handlers
from arm_vcpu_cli.vm.timeline import DeviceClock, Timeline

VIRTUAL_TIMER: Final = 27
PHYSICAL_TIMER: Final = 30
"""The private interrupts of EL1's two timers (DEN0029, the base system architecture)."""


class CpuParts(Record):
    """The parts that CPUs are built from. ``settle`` is called after any event that may have changed an interrupt line
    without an exit; ``entropy`` supplies the TRNG and ``random`` supplies RNDR."""

    description: MachineDescription
    host: MachineHost
    timeline: Timeline
    stage2: Stage2AddressSpace
    bus: Bus
    gic: BuiltGic | None
    semihosting: SemihostingPort | None
    power: PowerController
    entry: int
    dtb_address: int
    entropy: Entropy
    random: RandomNumbers | None
    settle: Callable[[], None]


def build_cpu(parts: CpuParts, index: int) -> Cpu:
    """The CPU of that number, initialised but not yet bound; the first will start at the entry point."""
    description, gic, timeline = parts.description, parts.gic, parts.timeline
    cpu = description.cpu
    core = parts.host.core(_favourite(cpu, index))
    bus = parts.bus if gic is None else gic.bus_of(index, parts.bus)
    platform = MachinePlatform(bus, description.memory)
    create = Aarch64VCpuCreateConfig(mpidr_el1=cpu.affinities[index], dtb_addr=parts.dtb_address, number=index)
    arch = Aarch64VCpu(create, parts.host, platform)
    vcpu: AxVCpu[Aarch64VCpuSetupConfig, Aarch64PerCpu] = AxVCpu(
        0, index, arch, favor_phys_cpu=_favourite(cpu, index), phys_cpu_set=cpu.phys_cpu_sets[index]
    )
    setup = _setup(parts, index)
    vcpu.setup(parts.entry, parts.stage2.root, setup)
    model = None if gic is None else gic.model
    timer = GenericTimer(
        DeviceClock(timeline, f"cpu{index}", index),
        virtual=model.ppi(index, VIRTUAL_TIMER) if model is not None else unconnected,
        physical=model.ppi(index, PHYSICAL_TIMER) if model is not None else unconnected,
    )
    spend = partial(timeline.spend, description.clock.counter_read)
    trapped = {} if description.el2.passthrough_timer else trapped_handlers(timer, spend)
    moves = SystemMoves(
        core,
        {reg: handlers for reg, handlers in timer.handlers.items() if reg not in trapped},
        random=parts.random,
        spend=spend,
        changed=parts.settle,
    )
    platform.connect(
        arch,
        interface=gic.interface(index) if gic is not None else None,
        timer=trapped,
        constants=setup.constants,
        semihosting=None if parts.semihosting is None else parts.semihosting.calls_of(core, parts.host, arch),
    )
    reset_interface = _nothing if model is None else partial(model.reset_interface, index)
    return Cpu(
        index, core, arch, vcpu, bus, platform, timer, moves, reset_interface, parts.power, cpu.affinities[index]
    )


def _setup(parts: CpuParts, index: int) -> Aarch64VCpuSetupConfig:
    description, el2 = parts.description, parts.description.el2
    return Aarch64VCpuSetupConfig(
        vtcr=parts.stage2.vtcr,
        passthrough_interrupt=el2.passthrough_interrupt,
        passthrough_timer=el2.passthrough_timer,
        gic_cpu_interface=description.has_gic_registers,
        trap_wfi=el2.trap_wfi,
        trap_id_registers=el2.trap_id_registers,
        hcr=el2.hcr,
        cptr=el2.cptr,
        mdcr=el2.mdcr,
        features=description.cpu.features,
        on_demand=parts.stage2,
        entropy=parts.entropy,
        power=parts.power,
        smc_table={function.id: function.returns for function in description.smc.functions},
        constants=constant_registers(description.cpu.model, description.cpu.cluster_of(index)),
    )


def _favourite(cpu: CpuDescription, index: int) -> int:
    """The physical CPU that a vCPU is bound to, assigned round-robin within its set."""
    allowed = cpu.phys_cpu_sets[index]
    numbers = [number for number in range(cpu.phys_cpus) if allowed is None or allowed >> number & 1]
    return numbers[index % len(numbers)]


def _nothing() -> None:
    """Do nothing: there is no interface to reset."""
