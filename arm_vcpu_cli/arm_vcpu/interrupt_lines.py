"""The virtual interrupt lines of a vCPU (DDI 0487, D1.3.4): HCR_EL2.VI and VF, which lie outside the saved state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.registers.el2regs import Hcr

VI: Final = int(Hcr.of(VI=1))
VF: Final = int(Hcr.of(VF=1))


class VirtualInterruptLines:
    """HCR_EL2.VI and VF: what they are to be (``wanted``), and what the core has been told (``driven``)."""

    __slots__ = ("_base", "_write", "driven", "wanted")

    def __init__(self) -> None:
        self.wanted = 0
        self.driven = 0
        self._base = 0
        self._write: Callable[[int], object] = lambda _value: None

    def set(self, *, irq: bool, fiq: bool) -> None:
        """Say what the lines are to be; :meth:`drive` makes it so."""
        self.wanted = (VI if irq else 0) | (VF if fiq else 0)

    @property
    def irq(self) -> bool:
        """Whether VI is to be set."""
        return bool(self.wanted & VI)

    @property
    def fiq(self) -> bool:
        """Whether VF is to be set."""
        return bool(self.wanted & VF)

    def connect(self, write: Callable[[int], object], hcr: int) -> None:
        """To a core that has just been given this HCR_EL2."""
        self._write = write
        self._base = hcr & ~(VI | VF)
        self.driven = hcr & (VI | VF)

    def disconnect(self) -> None:
        """From the core."""
        self._write = lambda _value: None

    def drive(self) -> None:
        """Tell the core."""
        if self.wanted != self.driven:
            self._write(self._base | self.wanted)
            self.driven = self.wanted
