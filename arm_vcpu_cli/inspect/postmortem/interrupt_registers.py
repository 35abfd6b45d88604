"""The registers that interrupts depend on, by name: those of the timers, the GIC's frames and its CPU interfaces.

Reading them has no side effects: registers that acknowledge an interrupt when read are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.layouts import layout_of
from arm_vcpu_cli.arch.registers.el1regs import CntCtl
from arm_vcpu_cli.arch.registers.gicregs import ICC_REGISTERS, INTID_SPURIOUS, IccIntid
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.devices.bus import MmioDevice
from arm_vcpu_cli.devices.device_clock import COUNTER_HZ
from arm_vcpu_cli.devices.gic.common.frame import FRAME_SIZE
from arm_vcpu_cli.devices.gic.v2.registers import CPU_INTERFACE
from arm_vcpu_cli.devices.gic.v2.registers import DISTRIBUTOR as DISTRIBUTOR_V2
from arm_vcpu_cli.devices.gic.v3.registers import DISTRIBUTOR, RD_BASE, SGI_BASE
from arm_vcpu_cli.devices.naming import RegisterMap, device_kind, meaning, name_access
from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.machine import Machine

_OTHER_NAMES: Final = re.compile(r"_(IC(ENABLE|PEND|ACTIVE)R\d*E?|PIDR\d|CIDR\d|A?IAR|A?EOIR|DIR|IIDR|TYPER2?)$")
"""Registers left out: clear registers, identification registers, and registers with side effects when read."""
_ALWAYS: Final = re.compile(r"GIC[DC]_CTLR|GICR(\[\d+\])?_(WAKER|IGROUPR0|ISENABLER0|ISPENDR0|ISACTIVER0)|GICC_[BP]\w+")
"""Registers shown even when zero; all others are left out if they are zero."""
_ACKNOWLEDGING: Final = ("ICC_IAR0_EL1", "ICC_IAR1_EL1")
_DISTRIBUTOR_KINDS: Final = {"gicv3-distributor": DISTRIBUTOR, "gicv2-distributor": DISTRIBUTOR_V2}
_TIMERS: Final = (("virtual", "CNTV"), ("physical", "CNTP"))


class Named(NamedTuple):
    """A register: its name, its value in full width, and the value decoded."""

    name: str
    value: int
    bits: int = 64
    text: str = ""

    def line(self, width: int = 15) -> str:
        """The register in columns."""
        return f"{self.name:<{width}} {self.value:#0{2 + self.bits // 4}x} {self.text}".rstrip()


def timer_registers(cpu: Cpu) -> Iterator[Named]:
    """Both timers of a CPU, and the counters that they compare with; the CPU must be the current one."""
    read = cpu.timer.read
    for kind, prefix in _TIMERS:
        control, compare = (read(lookup(f"{prefix}_{name}_EL0")) or 0 for name in ("CTL", "CVAL"))
        count = read(lookup("CNTVCT_EL0" if prefix == "CNTV" else "CNTPCT_EL0")) or 0
        yield Named(f"{prefix}_CTL_EL0", control, 64, CntCtl(control).describe() if control else "off")
        yield Named(f"{prefix}_CVAL_EL0", compare, 64, _when(compare - count) if CntCtl(control).ENABLE else "")
        yield Named("CNTVCT_EL0" if kind == "virtual" else "CNTPCT_EL0", count)


def _when(ticks: int) -> str:
    seconds = abs(ticks) / COUNTER_HZ
    return f"in {seconds:.9f} s" if ticks > 0 else f"reached {seconds:.9f} s ago"


def distributor_registers(cpu: Cpu) -> Iterator[Named]:
    """The Distributor as a CPU sees it."""
    for window in cpu.bus.windows():
        registers = _DISTRIBUTOR_KINDS.get(device_kind(window.device))
        if registers is not None:
            yield from _named(window.device, registers)


def redistributor_registers(cpu: Cpu) -> Iterator[Named]:
    """The Redistributor of a CPU; nothing with a GICv2, which has none."""
    for window in cpu.bus.windows():
        if device_kind(window.device) == "gicv3-redistributor":
            base = 2 * FRAME_SIZE * cpu.index
            yield from _named(window.device, RD_BASE, base)
            yield from _named(window.device, SGI_BASE, base + FRAME_SIZE)


def interface_registers(cpu: Cpu) -> Iterator[Named]:
    """The CPU interface of a CPU: system registers of a GICv3, the frame of a GICv2."""
    kinds = {device_kind(window.device): window.device for window in cpu.bus.windows()}
    if "gicv2-cpu-interface" in kinds:
        yield from _named(kinds["gicv2-cpu-interface"], CPU_INTERFACE)
    elif "gicv3-redistributor" in kinds:
        for reg in sorted(ICC_REGISTERS):
            value = None if reg.name in _ACKNOWLEDGING else cpu.platform.sysreg_read(reg)
            if isinstance(value, int):
                yield Named(reg.name, value, 64, _said(reg.name, value))


def _said(name: str, value: int) -> str:
    layout = layout_of(name, value)
    if layout is IccIntid:
        # Decimal, as everywhere else.
        intid = IccIntid(value).INTID
        return "none" if intid == INTID_SPURIOUS else f"INTID {intid}"
    return layout(value).describe() if layout is not None and value else ""


def _named(device: MmioDevice, registers: RegisterMap, base: int = 0) -> Iterator[Named]:
    for offset, size in registers.places():
        name = name_access(device, base + offset, size)
        if _OTHER_NAMES.search(name):
            continue
        value = device.read(base + offset, size)
        if value or _ALWAYS.fullmatch(name):
            yield Named(name, value, 8 * size, meaning(device, base + offset, size, value))


# Sections ----------------------------------------------------------------------------------------------------------

_PARTS: Final[tuple[tuple[str, Callable[[Cpu], Iterable[Named]]], ...]] = (
    ("timers", timer_registers),
    ("redistributor", redistributor_registers),
    ("CPU interface", interface_registers),
)
_MOST_CPUS: Final = 16


def interrupt_sections(machine: Machine) -> Iterator[tuple[str, list[str]]]:
    """All groups with their headings; on a machine with very many CPUs only the first CPUs' registers."""
    current = machine.current
    try:
        yield "distributor", [named.line() for named in distributor_registers(current)]
        for cpu in sorted(machine.cpus, key=lambda cpu: cpu is not current)[:_MOST_CPUS]:
            machine.look_at(cpu)
            for title, registers in _PARTS:
                heading = title if len(machine.cpus) == 1 else f"{title} of cpu{cpu.index}"
                yield heading, [named.line(16) for named in registers(cpu)]
    finally:
        machine.look_at(current)
