"""The connections of a PL011 in loop-back (Arm DDI 0183G, UARTCR.LBE, 3.3.8): from its outputs to its own inputs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.devices.pl011_registers import Control, Data, FlagRegister, Interrupts, ReceiveStatus

LOOP_BACK: Final = int(Control.of(LBE=1))
OVERRUN, BREAK = int(Data.of(OE=1)), int(Data.of(BE=1))
"""Errors of a character in UARTDR."""
OVERRUN_STATUS: Final = int(ReceiveStatus.of(OE=1))
OVERRUN_INTERRUPT, BREAK_INTERRUPT = int(Interrupts.of(OEI=1)), int(Interrupts.of(BEI=1))
ERRORS: Final = Data.DATA.msb + 1
"""The shift of the errors in UARTDR; they are as in UARTRSR."""
ALL_ERRORS: Final = 0xF
LOOPED: Final = 1 << 16
"""Marks data that the UART has received from itself."""
_ON: Final = int(Control.of(RXE=1, TXE=1, UARTEN=1))
_MODEM: Final[Mapping[int, tuple[int, int]]] = MappingProxyType(
    {
        int(Control.of(RTS=1)): (int(FlagRegister.of(CTS=1)), int(Interrupts.of(CTSMI=1))),
        int(Control.of(DTR=1)): (int(FlagRegister.of(DSR=1)), int(Interrupts.of(DSRMI=1))),
        int(Control.of(Out1=1)): (int(FlagRegister.of(DCD=1)), int(Interrupts.of(DCDMI=1))),
        int(Control.of(Out2=1)): (int(FlagRegister.of(RI=1)), int(Interrupts.of(RIMI=1))),
    }
)
"""For each output in UARTCR, the connected input in UARTFR, and that input's interrupt."""


def modem_inputs(control: int) -> int:
    """Return the modem lines in UARTFR by UARTCR. Outside loop-back nothing is connected to them."""
    if not control & LOOP_BACK:
        return 0
    return sum(flag for output, (flag, _) in _MODEM.items() if control & output)


def modem_interrupts(before: int, after: int) -> int:
    """Return the interrupts that a change of the inputs raises, in UARTRIS (2.8.1)."""
    return sum(interrupt for flag, interrupt in _MODEM.values() if (before ^ after) & flag)


def receives_itself(control: int) -> bool:
    """Return whether sent data arrives in loop-back: transmitter, receiver and the UART itself must be enabled."""
    return control & _ON == _ON
