"""PL011 UART (Arm DDI 0183G): FIFOs, flags, interrupts, identification; the line rate is not modelled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from arm_vcpu_cli.devices.irq import IrqLine, unconnected
from arm_vcpu_cli.devices.pl011_loopback import (
    ALL_ERRORS,
    BREAK,
    BREAK_INTERRUPT,
    ERRORS,
    LOOP_BACK,
    LOOPED,
    OVERRUN,
    OVERRUN_INTERRUPT,
    OVERRUN_STATUS,
    modem_inputs,
    modem_interrupts,
    receives_itself,
)
from arm_vcpu_cli.devices.pl011_registers import (
    CR,
    DR,
    FR,
    ICR,
    IDS,
    IFLS,
    IMSC,
    LCR_H,
    MIS,
    PERIPH_ID,
    REGISTERS,
    RESET_VALUES,
    RIS,
    RSR,
    WINDOW,
    WRITABLE,
    Control,
    FifoLevels,
    FlagRegister,
    Interrupts,
    LineControl,
)
from arm_vcpu_cli.devices.serial_line import SerialLine
from arm_vcpu_cli.saved import Saved

FIFO_DEPTH: Final = 16
"""Before revision r1p5, which has 32 (1.1.2 and 3.3.17)."""
POLLS_BEFORE_IDLE: Final = 256
"""After this many consecutive reads of an empty receiver, with no other access to the UART, the guest counts as
waiting."""
POLLS_BETWEEN_WAITS: Final = 16
QUIET_READS: Final = 16
"""The number of reads of its status for which a receiver that was just enabled stays empty."""

_VERSION: Final = 3
"""The version of the saved state."""
_RX_LEVELS: Final = tuple(FIFO_DEPTH * eighths // 8 for eighths in (1, 2, 4, 6, 7))
_RX: Final = int(Interrupts.of(RXI=1))
_RX_TIMEOUT: Final = int(Interrupts.of(RTI=1))
_RX_ANY: Final = _RX | _RX_TIMEOUT
_TX: Final = int(Interrupts.of(TXI=1))
_RECEIVER_ON: Final = int(Control.of(RXE=1, UARTEN=1))
_FIFOS_ON: Final = int(LineControl.of(FEN=1))
_SENDS_BREAK: Final = int(LineControl.of(BRK=1))
_WORDS: Final = WINDOW & ~3
_MASK32: Final = 0xFFFF_FFFF
_WIDTH_MASKS: Final = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF, 8: 0xFFFF_FFFF}
_FR_EMPTY: Final = int(FlagRegister.of(TXFE=1, RXFE=1))
_FR_DATA: Final = int(FlagRegister.of(TXFE=1))
_FR_FULL: Final = int(FlagRegister.of(TXFE=1, RXFF=1))


class Pl011:
    """One UART. Transmission is instantaneous; reception pulls from the line while there is room.

    Because no time passes on the wire, a byte that arrives is immediately followed by the silence after which the
    receive timeout fires, and a byte that is sent leaves the transmit FIFO immediately: the transmit interrupt follows
    each byte, and stays raised until UARTICR clears it. Switching the FIFOs on or off keeps received data.

    A driver must not discard input that waits while a guest sets up its UART: a receiver that goes from disabled to
    enabled starts empty, as it would on a wire, and receives once the guest has enabled a receive interrupt, reads
    UARTDR, or has read its status :data:`QUIET_READS` times. Otherwise UARTEN, TXE and RXE have no effect: the output
    of a guest that never enables its UART still appears.

    In loop-back the line is not connected, and input on it waits. Characters are complete whatever their format.

    Not modelled: modem lines and line errors, SIR, DMA, and the registers for integration tests.
    """

    def __init__(self, line: SerialLine, irq: IrqLine = unconnected) -> None:
        self._line = line
        self._send: Callable[[int], None] = line.send
        self._receive = line.receive
        self._wait = line.wait
        self._waiting = line.waiting
        self._asked = False
        self._irq = irq
        self._level = False
        self._registers = dict(RESET_VALUES)
        self._fifo: deque[int] = deque()
        self._held_back: deque[int] = deque()
        self._quiet_reads = 0
        self._depth = 1
        self._trigger = 1
        self._raw = 0
        self._polls = 0
        self._loops = self._breaks = self._overruns = False
        self._modem = 0
        self._status = 0
        self._readers: dict[int, Callable[[], int]] = {
            DR: self._read_data,
            RSR: lambda: self._status,
            FR: self._read_flags,
            RIS: self._read_raw,
            MIS: lambda: self._read_raw() & self._registers[IMSC],
        }
        self._writers: dict[int, Callable[[int], None]] = {
            RSR: self._clear_errors,
            LCR_H: self._write_line_control,
            IFLS: self._write_levels,
            CR: self._write_control,
            IMSC: self._write_mask,
            ICR: self._clear,
        }

    def read(self, offset: int, width: int) -> int:
        """Return ``width`` bytes (1, 2, 4 or 8) of the register at ``offset``; unknown offsets read as zero.

        Registers are 32 bits wide at most. A narrow read away from the register's own offset returns its upper bytes.
        """
        word = offset & _WORDS
        reader = self._readers.get(word)
        if reader is not None:
            value = reader()
        elif word >= PERIPH_ID:
            value = IDS[(word - PERIPH_ID) // 4]
        else:
            value = self._registers.get(word, 0)
        return value >> 8 * (offset & 3) & _WIDTH_MASKS[width]

    def write(self, offset: int, width: int, value: int) -> None:  # noqa: ARG002
        """Write a register, whatever the width: there are no byte lanes on the bus of this UART (APB).

        Unknown and read-only registers ignore it.
        """
        offset &= _WORDS
        self._polls = 0
        if offset == DR:
            self._send(value & 0xFF)
            if not self._raw & _TX:
                self._raw |= _TX
                self._update()
            return
        value &= WRITABLE.get(offset, _MASK32)
        writer = self._writers.get(offset)
        if writer is not None:
            writer(value)
        elif offset in WRITABLE:
            self._registers[offset] = value

    def register_name(self, offset: int, width: int) -> str:
        """Return ``PL011.UARTDR``; see :class:`~arm_vcpu_cli.devices.naming.NamedRegisters`."""
        return REGISTERS.name(offset & WINDOW, width)

    def register_meaning(self, offset: int, width: int, value: int) -> str:
        """Return ``'A'``, ``TXFE=1 RXFE=1``; see :class:`~arm_vcpu_cli.devices.naming.NamedRegisters`."""
        return REGISTERS.meaning(offset & WINDOW, width, value)

    def holds(self, byte: int) -> bool:
        """Return whether it has received this byte and the guest has not read it. Safe from another thread."""
        return byte in tuple(self._fifo) or byte in bytes(self._held_back)

    @property
    def receive_interrupt_enabled(self) -> bool:
        """Whether arrivals interrupt the guest."""
        return bool(self._registers[IMSC] & _RX_ANY)

    def poll(self) -> None:
        """Take input from the line; raise the interrupt if the guest has enabled it."""
        if self._asked and not self._quiet_reads:
            self._fill()
            self._update()

    @property
    def unread(self) -> int:
        """The number of bytes taken from the line that the guest has not read."""
        return sum(value < LOOPED for value in self._fifo) + len(self._held_back)

    def save(self) -> dict[str, Any]:
        """Return the registers, the received data, and how long the guest has polled for more."""
        return {
            "version": _VERSION,
            "registers": list(self._registers.values()),
            "fifo": list(self._fifo),
            "status": self._status,
            "overruns": self._overruns,
            "held_back": bytes(self._held_back),
            "quiet_reads": self._quiet_reads,
            "raw": self._raw,
            "polls": self._polls,
            "asked": self._asked,
            "level": self._level,
        }

    def load(self, state: object) -> None:
        """Restore what :meth:`save` returned. The line to the interrupt controller has its own state, and must be
        loaded too.

        Raises ValueError, without a change, for anything else.
        """
        saved = Saved(state, "PL011", version=_VERSION)
        registers = saved.numbers("registers", len(RESET_VALUES), _MASK32)
        fifo, held_back = saved.numbers("fifo", None, 2 * LOOPED - 1), saved.data("held_back")
        status, overruns = saved.number("status", ALL_ERRORS), saved.flag("overruns")
        quiet_reads, polls = saved.number("quiet_reads", QUIET_READS), saved.number("polls", POLLS_BEFORE_IDLE)
        raw, level, asked = saved.number("raw", _MASK32), saved.flag("level"), saved.flag("asked")
        self._registers = {
            offset: value & WRITABLE[offset] for offset, value in zip(RESET_VALUES, registers, strict=True)
        }
        self._fifo, self._held_back = deque(fifo), deque(held_back)
        self._quiet_reads, self._polls, self._raw, self._level = quiet_reads, polls, raw, level
        self._asked, self._status, self._overruns = asked, status, overruns
        self._set_fifo()
        self._connect()
        self._modem = modem_inputs(self._registers[CR])
        self._breaks = self._loops and bool(self._registers[LCR_H] & _SENDS_BREAK)

    def _fill(self) -> None:
        """Receive while there is room. Interrupts follow arrivals, so that UARTICR can clear them (2.8.2, 2.8.4)."""
        fifo, held_back = self._fifo, self._held_back
        while len(fifo) < self._depth and not self._loops:
            byte = held_back.popleft() if held_back else self._receive()
            if byte is None:
                return
            fifo.append(byte)
            self._raw |= _RX_TIMEOUT
            if len(fifo) >= self._trigger:
                self._raw |= _RX

    def _look(self) -> bool:
        """Check for input when the guest polls an empty receiver; return whether there is any now."""
        if self._loops:
            return False
        if self._quiet_reads:
            self._quiet_reads -= 1
            if self._quiet_reads:
                return False
        if not self._asked:
            return bool(self._held_back) or self._waiting()
        self._fill()
        if not self._fifo:
            return False
        self._update()
        return True

    def _read_flags(self) -> int:
        # A guest reads this before each byte that it prints.
        fifo = self._fifo
        if fifo or self._look():
            self._polls = 0
            return self._modem | (_FR_FULL if len(fifo) >= self._depth else _FR_DATA)
        self._polls += 1
        if self._polls >= POLLS_BEFORE_IDLE:
            self._idle()
        return self._modem | _FR_EMPTY

    def _read_raw(self) -> int:
        self._asked = True
        if not self._fifo:
            self._look()
        if self._raw:
            self._polls = 0
        else:
            self._polls += 1
            if self._polls >= POLLS_BEFORE_IDLE:
                self._idle()
        return self._raw

    def _idle(self) -> None:
        """Handle a guest that has only polled for a long time."""
        self._asked = True
        self._polls -= POLLS_BETWEEN_WAITS
        self._wait()

    def _read_data(self) -> int:
        self._polls = 0
        self._asked = True
        fifo = self._fifo
        if not fifo:
            self._quiet_reads = 0
            self._fill()
        value = 0
        if fifo:
            value = fifo.popleft() & ~LOOPED
            self._status = self._status & OVERRUN_STATUS | value >> ERRORS
        if len(fifo) < self._trigger:
            self._raw &= ~_RX
        if not fifo:
            self._raw &= ~_RX_TIMEOUT
        self._fill()
        self._update()
        return value

    def _write_line_control(self, value: int) -> None:
        if self._loops and (self._registers[LCR_H] ^ value) & _FIFOS_ON:
            self._fifo.clear()
            self._raw &= ~_RX_ANY
        self._registers[LCR_H] = value
        self._set_fifo()
        self._loop_lines()
        self._update()

    def _write_levels(self, value: int) -> None:
        self._registers[IFLS] = value
        self._set_fifo()

    def _set_fifo(self) -> None:
        """Set the depth, and the number of bytes that raises the receive interrupt (UARTIFLS.RXIFLSEL, 3.3.9)."""
        if LineControl(self._registers[LCR_H]).FEN:
            select = min(FifoLevels(self._registers[IFLS]).RXIFLSEL, len(_RX_LEVELS) - 1)
            self._depth, self._trigger = FIFO_DEPTH, _RX_LEVELS[select]
        else:
            self._depth = self._trigger = 1

    def _write_control(self, value: int) -> None:
        was = self._registers[CR]
        self._registers[CR] = value
        turned_on = value & ~was & _RECEIVER_ON and value & _RECEIVER_ON == _RECEIVER_ON
        if turned_on and not self._registers[IMSC] & _RX_ANY:
            self._hold_back()
            self._quiet_reads = QUIET_READS
        if value & ~was & LOOP_BACK:
            self._hold_back()
        self._connect()
        self._loop_lines()
        self._update()
        if was & ~value & LOOP_BACK:
            self.poll()

    def _hold_back(self) -> None:
        """Empty the receiver, and keep the input from the line."""
        self._held_back.extendleft(value for value in reversed(self._fifo) if value < LOOPED)
        self._fifo.clear()
        self._raw &= ~_RX_ANY

    def _connect(self) -> None:
        """Connect transmitter and receiver to the line or, in loop-back, to each other."""
        self._loops = bool(self._registers[CR] & LOOP_BACK)
        self._send = self._loop if self._loops else self._line.send

    def _loop_lines(self) -> None:
        """Detect outputs other than through UARTDR: changes of the modem lines, and the start of a break."""
        modem, was_breaking = self._modem, self._breaks
        self._modem = modem_inputs(self._registers[CR])
        self._raw |= modem_interrupts(modem, self._modem)
        self._breaks = self._loops and bool(self._registers[LCR_H] & _SENDS_BREAK)
        if self._breaks and not was_breaking:
            self._loop(BREAK)

    def _loop(self, value: int) -> None:
        """Receive sent data, a character with errors (3.3.1); if there is no room it is lost (table 2-4)."""
        fifo = self._fifo
        if not receives_itself(self._registers[CR]):
            return
        if len(fifo) >= self._depth:
            self._overruns = True
            self._status |= OVERRUN_STATUS
            self._raw |= OVERRUN_INTERRUPT
        else:
            fifo.append(value | LOOPED | (OVERRUN if self._overruns else 0))
            self._overruns = False
            self._raw |= _RX_TIMEOUT | (_RX if len(fifo) >= self._trigger else 0)
            self._raw |= BREAK_INTERRUPT if value & BREAK else 0
        self._update()

    def _clear_errors(self, _value: int) -> None:
        """Clear the errors on a write of UARTECR, whatever the value."""
        self._status = 0

    def _write_mask(self, value: int) -> None:
        self._registers[IMSC] = value
        if value & _RX_ANY and (self._quiet_reads or not self._asked):
            self._quiet_reads = 0
            self._asked = True
            self._fill()
        self._update()

    def _clear(self, value: int) -> None:
        self._raw &= ~value
        self._update()

    def _update(self) -> None:
        level = bool(self._raw & self._registers[IMSC])
        if level is not self._level:
            self._level = level
            self._irq(level)
