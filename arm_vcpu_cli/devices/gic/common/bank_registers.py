"""The registers that configure interrupts, which a Distributor and the SGI frame of a Redistributor have in common.

(IHI 0069H, 12.9 and 12.11; IHI 0048B, 4.3). In a GICv3, ITARGETSR is RES0 with affinity routing, IGRPMODR and NSACR
with GICD_CTLR.DS = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.devices.gic.common.bank import InterruptBank
from arm_vcpu_cli.devices.gic.common.frame import Reader, RegisterFrame, Writer
from arm_vcpu_cli.devices.gic.common.registers import (
    ICACTIVER,
    ICENABLER,
    ICFGR,
    ICPENDR,
    IGROUPR,
    IPRIORITYR,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
)

_BITMAP_SIZE: Final = 0x80
_PRIORITY_SIZE: Final = 0x400
_CFG_SIZE: Final = 0x100
_WORD: Final = 0xFFFF_FFFF


class BankRegisters:
    """Handlers over the masks of one bank; INTIDs that the bank does not have are RES0.

    ``configured`` is called after a change of enables or groups, ``changed`` after any other. These registers show the
    INTIDs ``fixed``, but cannot enable them or make them pending.
    """

    def __init__(
        self, bank: InterruptBank, configured: Callable[[], None], changed: Callable[[], None], *, fixed: int = 0
    ) -> None:
        self._bank = bank
        self._free = ~fixed
        self._configured = configured
        self._changed = changed

    def add_to(self, frame: RegisterFrame) -> None:
        """Add all the registers to a frame."""
        bank = self._bank
        bitmaps: tuple[tuple[int, Reader, Writer], ...] = (
            (IGROUPR, self._bitmap(lambda: bank.group), self._write_group),
            (ISENABLER, self._bitmap(lambda: bank.enabled), self._enable),
            (ICENABLER, self._bitmap(lambda: bank.enabled), self._disable),
            (ISPENDR, self._bitmap(bank.pending), self._set_pending),
            (ICPENDR, self._bitmap(bank.pending), self._clear_pending),
            (ISACTIVER, self._bitmap(lambda: bank.active), self._set_active),
            (ICACTIVER, self._bitmap(lambda: bank.active), self._clear_active),
        )
        for base, read, write in bitmaps:
            frame.add(base, _BITMAP_SIZE, 4, read, write)
        for width in (1, 4):
            frame.add(IPRIORITYR, _PRIORITY_SIZE, width, self._priority_reader(width), self._priority_writer(width))
        frame.add(ICFGR, _CFG_SIZE, 4, self._read_configuration, self._write_configuration)

    @staticmethod
    def _bitmap(mask: Callable[[], int]) -> Reader:
        return lambda offset: mask() >> 8 * (offset % _BITMAP_SIZE) & _WORD

    def _bits(self, offset: int, value: int) -> int:
        """Return the INTIDs that a write of a bitmap register names."""
        return value << 8 * (offset % _BITMAP_SIZE) & self._bank.valid

    def _write_group(self, offset: int, value: int) -> None:
        bank = self._bank
        bank.group = bank.group & ~self._bits(offset, _WORD) | self._bits(offset, value)
        self._configured()

    def _enable(self, offset: int, value: int) -> None:
        self._bank.enabled |= self._bits(offset, value) & self._free
        self._configured()

    def _disable(self, offset: int, value: int) -> None:
        self._bank.enabled &= ~(self._bits(offset, value) & self._free)
        self._configured()

    def _set_pending(self, offset: int, value: int) -> None:
        self._bank.latch |= self._bits(offset, value) & self._free
        self._changed()

    def _clear_pending(self, offset: int, value: int) -> None:
        """Clear the latch only: an interrupt asserted by a level-sensitive input stays pending."""
        self._bank.latch &= ~(self._bits(offset, value) & self._free)
        self._changed()

    def _set_active(self, offset: int, value: int) -> None:
        self._bank.active |= self._bits(offset, value)
        self._changed()

    def _clear_active(self, offset: int, value: int) -> None:
        self._bank.active &= ~self._bits(offset, value)
        self._changed()

    def _priority_reader(self, width: int) -> Reader:
        priorities = self._bank.priorities
        return lambda offset: int.from_bytes(priorities[offset - IPRIORITYR : offset - IPRIORITYR + width], "little")

    def _priority_writer(self, width: int) -> Writer:
        def write(offset: int, value: int) -> None:
            self._bank.set_priorities(offset - IPRIORITYR, value.to_bytes(width, "little"))
            self._changed()

        return write

    def _read_configuration(self, offset: int) -> int:
        edge = self._bank.edge
        first = 4 * (offset - ICFGR)
        return sum(2 << 2 * bit for bit in range(16) if edge >> first + bit & 1)

    def _write_configuration(self, offset: int, value: int) -> None:
        """Set the triggers: of two bits for each interrupt, the upper one means edge-triggered, the lower one is RES0
        (12.9)."""
        bank = self._bank
        first = 4 * (offset - ICFGR)
        chosen = 0xFFFF << first & bank.configurable
        edge = sum(1 << first + bit for bit in range(16) if value >> 2 * bit & 2)
        bank.edge = bank.edge & ~chosen | edge & chosen
        self._changed()
