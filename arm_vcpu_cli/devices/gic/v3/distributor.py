"""The Distributor's registers (IHI 0069H, 12.8 and 12.9): one frame for all PEs."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_SPI, LAST_SPI, GicdCtlr, GicdSpi, GicdTyper
from arm_vcpu_cli.devices.gic.common.bank import INTID_BITS
from arm_vcpu_cli.devices.gic.common.bank_registers import BankRegisters
from arm_vcpu_cli.devices.gic.common.frame import RegisterFrame
from arm_vcpu_cli.devices.gic.common.frame_id import IIDR
from arm_vcpu_cli.devices.gic.common.registers import GICD_CTLR, GICD_IIDR, GICD_TYPER
from arm_vcpu_cli.devices.gic.v3.identification import id_registers
from arm_vcpu_cli.devices.gic.v3.iri import Iri
from arm_vcpu_cli.devices.gic.v3.registers import (
    CLRSPI_NSR,
    DISTRIBUTOR,
    ID_BASE,
    IROUTER,
    IROUTER_SIZE,
    SETSPI_NSR,
)

_PART: Final = 0x92
_CTLR_FIXED: Final = int(GicdCtlr.of(DS=1, ARE=1))
_ENABLE0: Final = int(GicdCtlr.of(EnableGrp0=1))
_ENABLE1: Final = int(GicdCtlr.of(EnableGrp1=1))
_SPI: Final = int(GicdSpi.of(INTID=0x1FFF))
_CONTROL_SIZE: Final = 0x80
_WORD: Final = 0xFFFF_FFFF


class Distributor:
    """The frame GICD over an infrastructure.

    Security is disabled and affinity routing is permanently on (GICD_CTLR.DS and ARE are RAO/WI), so everything that is
    banked by PE is RES0 here. A write takes effect at once: RWP reads as 0. Message-based SPIs are implemented through
    SETSPI_NSR and CLRSPI_NSR; the _SR pair is WI with DS = 1, STATUSR is not implemented. 32-bit accesses, bytes for
    IPRIORITYR, 64 bits for IROUTER, 16 for SETSPI_NSR and CLRSPI_NSR; for all others see :class:`RegisterFrame`.
    """

    kind: Final = "gicv3-distributor"

    def __init__(self, iri: Iri) -> None:
        self._iri = iri
        last = len(iri.routers) - 1
        self._constants = {
            GICD_TYPER: int(
                GicdTyper.of(RSS=1, A3V=1, IDbits=INTID_BITS - 1, MBIS=1, ITLinesNumber=last // FIRST_SPI),
            ),
            GICD_IIDR: IIDR,
            **id_registers(_PART),
        }
        frame = RegisterFrame()
        frame.add(0, _CONTROL_SIZE, 4, self._read_control, self._write_control)
        frame.add(0, _CONTROL_SIZE, 2, write=self._write_message)
        BankRegisters(iri.spis, iri.shared_configured, iri.shared_changed).add_to(frame)
        size = IROUTER_SIZE * (LAST_SPI + 1)
        frame.add(IROUTER, size, 8, self._read_router, self._write_router)
        frame.add(IROUTER, size, 4, self._read_router_half, self._write_router_half)
        frame.add(ID_BASE, _CONTROL_SIZE, 4, self._read_control)
        self.read = frame.read
        self.write = frame.write

    def register_name(self, offset: int, width: int) -> str:
        """Return ``GICD_ISENABLER1``; see :class:`~arm_vcpu_cli.devices.naming.NamedRegisters`."""
        return DISTRIBUTOR.name(offset, width)

    def register_meaning(self, offset: int, width: int, value: int) -> str:
        """Return ``INTID 33``; see :class:`~arm_vcpu_cli.devices.naming.NamedRegisters`."""
        return DISTRIBUTOR.meaning(offset, width, value)

    def _read_control(self, offset: int) -> int:
        if offset == GICD_CTLR:
            iri = self._iri
            return _CTLR_FIXED | (_ENABLE0 if iri.enable0 else 0) | (_ENABLE1 if iri.enable1 else 0)
        return self._constants.get(offset, 0)

    def _write_control(self, offset: int, value: int) -> None:
        if offset == GICD_CTLR:
            self._iri.enable_groups(bool(value & _ENABLE0), bool(value & _ENABLE1))
        else:
            self._write_message(offset, value)

    def _write_message(self, offset: int, value: int) -> None:
        if offset in (SETSPI_NSR, CLRSPI_NSR):
            self._iri.set_message(value & _SPI, offset == SETSPI_NSR)

    def _read_router(self, offset: int) -> int:
        intid = (offset - IROUTER) // IROUTER_SIZE
        routers = self._iri.routers
        return routers[intid] if intid < len(routers) else 0

    def _write_router(self, offset: int, value: int) -> None:
        intid = (offset - IROUTER) // IROUTER_SIZE
        if FIRST_SPI <= intid < len(self._iri.routers):
            self._iri.set_router(intid, value)

    def _read_router_half(self, offset: int) -> int:
        return self._read_router(offset) >> 8 * (offset & 4) & _WORD

    def _write_router_half(self, offset: int, value: int) -> None:
        shift = 8 * (offset & 4)
        self._write_router(offset, self._read_router(offset) & ~(_WORD << shift) | value << shift)
