"""The Redistributors' registers (IHI 0069H, 12.10 and 12.11): two frames for each PE, RD_base and SGI_base.

The latter has the registers of SGIs and PPIs, as the Distributor has those of SPIs (bank_registers).
"""

from __future__ import annotations

from functools import partial
from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import GicdIrouter, GicrTyper, GicrWaker
from arm_vcpu_cli.devices.gic.common.bank_registers import BankRegisters
from arm_vcpu_cli.devices.gic.common.frame import FRAME_SIZE, RegisterFrame
from arm_vcpu_cli.devices.gic.common.frame_id import IIDR
from arm_vcpu_cli.devices.gic.v3.identification import id_registers
from arm_vcpu_cli.devices.gic.v3.iri import Iri
from arm_vcpu_cli.devices.gic.v3.registers import GICR_CTLR, GICR_IIDR, GICR_TYPER, ID_BASE, RD_BASE, SGI_BASE, WAKER
from arm_vcpu_cli.devices.naming import RegisterMap

_FRAMES: Final = 2
"""Of each PE."""
_PART: Final = 0x93
_CONTROL_SIZE: Final = 0x80
_SLEEP: Final = int(GicrWaker.of(ProcessorSleep=1))
_ASLEEP: Final = int(GicrWaker.of(ProcessorSleep=1, ChildrenAsleep=1))
_ENABLE_LPIS: Final = 1
"""In GICR_CTLR."""
_WORD: Final = 0xFFFF_FFFF


class _ControlFrame:
    """RD_base of one PE. The interface to the PE is quiescent as soon as ProcessorSleep is set: ChildrenAsleep follows
    at once.

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
            GICR_TYPER: self._typer & _WORD,
            GICR_TYPER + 4: self._typer >> 32,
            **id_registers(_PART),
        }
        self.frame = RegisterFrame()
        self.frame.add(0, _CONTROL_SIZE, 4, self._read, self._write)
        self.frame.add(0, _CONTROL_SIZE, 8, lambda offset: self._typer if offset == GICR_TYPER else 0)
        self.frame.add(ID_BASE, _CONTROL_SIZE, 4, self._read)

    def _read(self, offset: int) -> int:
        if offset == WAKER:
            return _ASLEEP if self._iri.pes[self._cpu].asleep else 0
        return self._constants.get(offset, 0)

    def _write(self, offset: int, value: int) -> None:
        if offset == WAKER:
            self._iri.set_asleep(self._cpu, bool(value & _SLEEP))
        elif offset == GICR_CTLR and value & _ENABLE_LPIS:
            self._iri.lpis_wanted = True


class Redistributors:
    """The frames of all PEs in order; reads after the last one return zero."""

    kind: Final = "gicv3-redistributor"

    def __init__(self, iri: Iri) -> None:
        self._several = len(iri.pes) > 1
        self._frames: list[RegisterFrame] = []
        for cpu, pe in enumerate(iri.pes):
            sgi_frame = RegisterFrame()
            BankRegisters(pe.bank, partial(iri.configured, cpu), partial(iri.changed, cpu)).add_to(sgi_frame)
            self._frames += (_ControlFrame(iri, cpu).frame, sgi_frame)

    def read(self, offset: int, width: int) -> int:
        """Return ``width`` bytes (1, 2, 4 or 8) at ``offset``."""
        index = offset // FRAME_SIZE
        return self._frames[index].read(offset % FRAME_SIZE, width) if index < len(self._frames) else 0

    def write(self, offset: int, width: int, value: int) -> None:
        """Write ``width`` bytes at ``offset``."""
        index = offset // FRAME_SIZE
        if index < len(self._frames):
            self._frames[index].write(offset % FRAME_SIZE, width, value)

    def register_name(self, offset: int, width: int) -> str:
        """Return ``GICR_WAKER``, or with several PEs ``GICR[1]_WAKER``; see
        :class:`~arm_vcpu_cli.devices.naming.NamedRegisters`."""
        index, offset = divmod(offset, FRAME_SIZE)
        name = self._map(index).name(offset, width) if 0 <= index < len(self._frames) else ""
        return name.replace("GICR", f"GICR[{index // _FRAMES}]", 1) if self._several else name

    def register_meaning(self, offset: int, width: int, value: int) -> str:
        """Return the meaning of a register's value at this offset."""
        index, offset = divmod(offset, FRAME_SIZE)
        return self._map(index).meaning(offset, width, value) if 0 <= index < len(self._frames) else ""

    @staticmethod
    def _map(index: int) -> RegisterMap:
        return SGI_BASE if index % _FRAMES else RD_BASE
