"""The Distributor's registers (IHI 0048B, 4.3), as each PE sees them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_SPI
from arm_vcpu_cli.arch.registers.gicv2regs import GicdCtlrV2, GicdTyperV2
from arm_vcpu_cli.devices.gic.common.bank_registers import BankRegisters
from arm_vcpu_cli.devices.gic.common.frame import RegisterFrame, ignore
from arm_vcpu_cli.devices.gic.common.frame_id import IIDR, PeripheralId
from arm_vcpu_cli.devices.gic.common.infrastructure import SGIS
from arm_vcpu_cli.devices.gic.common.registers import (
    BITMAPS,
    CPENDSGIR,
    GICD_CTLR,
    GICD_IIDR,
    GICD_TYPER,
    ICFGR,
    IPRIORITYR,
    ITARGETSR,
    SGIR,
    SPENDSGIR,
)
from arm_vcpu_cli.devices.gic.v2.forwarding import Forwarding
from arm_vcpu_cli.devices.gic.v2.registers import DISTRIBUTOR, ID_BASE, SGI_REGISTERS_SIZE

_GIC_400: Final = PeripheralId(version=2, part=0x90, size=0)
_ENABLE0: Final = int(GicdCtlrV2.of(EnableGrp0=1))
_ENABLE1: Final = int(GicdCtlrV2.of(EnableGrp1=1))
_CONTROL_SIZE: Final = 0x80
_TARGETS_SIZE: Final = 0x400
_SGI_SIZE: Final = 0x80
_BYTES: Final = 0x0101_0101
_BANKED: Final = frozenset(
    offset
    for base, size in (
        *((base, FIRST_SPI // 8) for base, _ in BITMAPS),
        (IPRIORITYR, FIRST_SPI),
        (ITARGETSR, FIRST_SPI),
        (ICFGR, FIRST_SPI // 4),
        (SGIR, 4),
        (CPENDSGIR, SGI_REGISTERS_SIZE),
        (SPENDSGIR, SGI_REGISTERS_SIZE),
    )
    for offset in range(base, base + size)
)
"""The offsets of banked registers (4.1): those of each PE's private interrupts."""


def shared_frame(forwarding: Forwarding) -> RegisterFrame:
    """Return the registers that are the same for all PEs."""
    constants = {
        GICD_TYPER: int(
            GicdTyperV2.of(CPUNumber=len(forwarding.pes) - 1, ITLinesNumber=(len(forwarding.targets) - 1) // FIRST_SPI)
        ),
        GICD_IIDR: IIDR,
        **_GIC_400.registers(ID_BASE),
    }

    def read_control(offset: int) -> int:
        if offset == GICD_CTLR:
            return (_ENABLE0 if forwarding.enable0 else 0) | (_ENABLE1 if forwarding.enable1 else 0)
        return constants.get(offset, 0)

    def write_control(offset: int, value: int) -> None:
        if offset == GICD_CTLR:
            forwarding.enable_groups(bool(value & _ENABLE0), bool(value & _ENABLE1))

    def read_targets(width: int, offset: int) -> int:
        intid = offset - ITARGETSR
        return int.from_bytes(forwarding.targets[intid : intid + width], "little")

    def write_targets(width: int, offset: int, value: int) -> None:
        forwarding.set_targets(offset - ITARGETSR, value.to_bytes(width, "little"))

    frame = RegisterFrame()
    frame.add(0, _CONTROL_SIZE, 4, read_control, write_control)
    frame.add(ID_BASE, _CONTROL_SIZE, 4, read_control)
    BankRegisters(forwarding.spis, forwarding.shared_configured, forwarding.shared_changed).add_to(frame)
    if len(forwarding.pes) > 1:
        for width in (1, 4):
            frame.add(ITARGETSR, _TARGETS_SIZE, width, partial(read_targets, width), partial(write_targets, width))
    return frame


class _PrivateRegisters(BankRegisters):
    """The registers of a PE's private interrupts. SGIs have pending bits for each sender, and stay enabled."""

    def __init__(self, forwarding: Forwarding, cpu: int) -> None:
        pe = forwarding.pes[cpu]
        super().__init__(pe.bank, partial(forwarding.configured, cpu), partial(forwarding.changed, cpu), fixed=SGIS)
        self._cpu = cpu
        self._takens = pe.takens

    def _set_active(self, offset: int, value: int) -> None:
        """Make SGIs active as if sent by the PE itself, as in KVM: no other sender is known."""
        fresh = self._bits(offset, value) & SGIS & ~self._bank.active
        for intid in range(fresh.bit_length()):
            if fresh >> intid & 1:
                self._takens[intid] = self._cpu
        super()._set_active(offset, value)


class Distributor:
    """The frame GICD as the PE ``cpu`` sees it; ``shared`` is the same for all PEs.

    Without the Security Extensions: NSACR and GICD_SGIR.NSATT are RES0. GICD_ITARGETSR0 to 7 identify the PE that
    reads; with a single PE all are RAZ/WI (4.3.12). 32-bit accesses, bytes for IPRIORITYR, ITARGETSR, CPENDSGIR and
    SPENDSGIR; for all others see :class:`~.frame.RegisterFrame`.
    """

    kind: Final = "gicv2-distributor"

    def __init__(self, forwarding: Forwarding, cpu: int, shared: RegisterFrame) -> None:
        self._forwarding = forwarding
        self._cpu = cpu
        self._sources = forwarding.pes[cpu].sources
        self._shared = shared
        self._own = own = RegisterFrame()
        _PrivateRegisters(forwarding, cpu).add_to(own)
        if len(forwarding.pes) > 1:
            mask = 1 << cpu
            for width, value in ((1, mask), (4, mask * _BYTES)):
                own.add(ITARGETSR, FIRST_SPI, width, _always(value), ignore)
        own.add(SGIR, _SGI_SIZE, 4, partial(self._read_sources, 4), self._write_sgi)
        own.add(SGIR, _SGI_SIZE, 1, partial(self._read_sources, 1), partial(self._write_sources, 1))

    def read(self, offset: int, width: int) -> int:
        """Return ``width`` bytes at ``offset``."""
        return (self._own if offset in _BANKED else self._shared).read(offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """Write ``width`` bytes at ``offset``."""
        (self._own if offset in _BANKED else self._shared).write(offset, width, value)

    def register_name(self, offset: int, width: int) -> str:
        """Return ``GICD_ISENABLER1``; see :class:`~arm_vcpu_cli.devices.naming.NamedRegisters`."""
        return DISTRIBUTOR.name(offset, width)

    def register_meaning(self, offset: int, width: int, value: int) -> str:
        """Return ``INTID 33``; see :class:`~arm_vcpu_cli.devices.naming.NamedRegisters`."""
        return DISTRIBUTOR.meaning(offset, width, value)

    def _write_sgi(self, offset: int, value: int) -> None:
        if offset == SGIR:
            self._forwarding.send_sgi(self._cpu, value)
        else:
            self._write_sources(4, offset, value)

    def _read_sources(self, width: int, offset: int) -> int:
        """Read CPENDSGIR and SPENDSGIR, which have the same value; GICD_SGIR is write-only."""
        if offset < CPENDSGIR:
            return 0
        first = offset % SGI_REGISTERS_SIZE
        return int.from_bytes(self._sources[first : first + width], "little")

    def _write_sources(self, width: int, offset: int, value: int) -> None:
        if offset >= CPENDSGIR:
            self._forwarding.change_sources(
                self._cpu, offset % SGI_REGISTERS_SIZE, value.to_bytes(width, "little"), pending=offset >= SPENDSGIR
            )


def _always(value: int) -> Callable[[int], int]:
    return lambda _offset: value
