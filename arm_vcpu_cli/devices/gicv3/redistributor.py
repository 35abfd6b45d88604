"""The Redistributors' registers (IHI 0069H, 12.10 and 12.11): two frames a PE, RD_base and SGI_base.

RD_base   0x0000 CTLR   0x0004 IIDR   0x0008 TYPER   0x0010 STATUSR   0x0014 WAKER
SGI_base  the registers of SGIs and PPIs, as the Distributor has those of SPIs (bank_registers)
"""

from __future__ import annotations

from functools import partial
from typing import Final

from arm_vcpu_cli.arch.gicregs import GicdIrouter, GicrTyper, GicrWaker
from arm_vcpu_cli.devices.gicv3.bank_registers import BankRegisters
from arm_vcpu_cli.devices.gicv3.frame import FRAME_SIZE, RegisterFrame
from arm_vcpu_cli.devices.gicv3.identification import ID_BASE, IIDR, id_registers
from arm_vcpu_cli.devices.gicv3.iri import Iri

GICR_IIDR, TYPER, WAKER, SGI_BASE = 0x0004, 0x0008, 0x0014, FRAME_SIZE
_PART: Final = 0x93
_CONTROL_SIZE: Final = 0x80
_SLEEP: Final = int(GicrWaker.of(ProcessorSleep=1))
_ASLEEP: Final = int(GicrWaker.of(ProcessorSleep=1, ChildrenAsleep=1))
_WORD: Final = 0xFFFF_FFFF


class _ControlFrame:
    """RD_base of one PE. The interface to the PE is quiet as soon as it is told to be: ChildrenAsleep follows at once.

    Without LPIs nothing in GICR_CTLR can be set. 32-bit accesses, 64 bits for TYPER; see :class:`RegisterFrame`.
    """

    def __init__(self, iri: Iri, cpu: int) -> None:
        self._iri = iri
        self._cpu = cpu
        place = GicdIrouter(iri.pes[cpu].affinity)
        last = int(cpu == len(iri.pes) - 1)
        self._typer = int(
            GicrTyper.of(
                Aff3=place.Aff3, Aff2=place.Aff2, Aff1=place.Aff1, Aff0=place.Aff0, Processor_Number=cpu, Last=last
            )
        )
        self._constants = {
            GICR_IIDR: IIDR,
            TYPER: self._typer & _WORD,
            TYPER + 4: self._typer >> 32,
            **id_registers(_PART),
        }
        self.frame = RegisterFrame()
        self.frame.add(0, _CONTROL_SIZE, 4, self._read, self._write)
        self.frame.add(0, _CONTROL_SIZE, 8, lambda offset: self._typer if offset == TYPER else 0)
        self.frame.add(ID_BASE, _CONTROL_SIZE, 4, self._read)

    def _read(self, offset: int) -> int:
        if offset == WAKER:
            return _ASLEEP if self._iri.pes[self._cpu].asleep else 0
        return self._constants.get(offset, 0)

    def _write(self, offset: int, value: int) -> None:
        if offset == WAKER:
            self._iri.set_asleep(self._cpu, bool(value & _SLEEP))


class Redistributors:
    """The frames of all PEs one after another, in the order of the PEs; behind the last one reads return zero."""

    def __init__(self, iri: Iri) -> None:
        self._frames: list[RegisterFrame] = []
        for cpu, pe in enumerate(iri.pes):
            sgi_frame = RegisterFrame()
            BankRegisters(pe.bank, partial(iri.configured, cpu), partial(iri.changed, cpu)).add_to(sgi_frame)
            self._frames += (_ControlFrame(iri, cpu).frame, sgi_frame)

    def read(self, offset: int, width: int) -> int:
        """``width`` bytes (1, 2, 4 or 8) at ``offset``."""
        index = offset // FRAME_SIZE
        return self._frames[index].read(offset % FRAME_SIZE, width) if index < len(self._frames) else 0

    def write(self, offset: int, width: int, value: int) -> None:
        """Write ``width`` bytes at ``offset``."""
        index = offset // FRAME_SIZE
        if index < len(self._frames):
            self._frames[index].write(offset % FRAME_SIZE, width, value)
