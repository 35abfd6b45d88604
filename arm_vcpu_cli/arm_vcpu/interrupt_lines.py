"""The virtual interrupt lines of a vCPU (DDI 0487, D1.3.4): HCR_EL2.VI and VF, which lie outside the saved state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.registers.el2regs import Hcr

VI: Final = int(Hcr.of(VI=1))
VF: Final = int(Hcr.of(VF=1))


_UNKNOWN: Final = -1


def _nowhere(_value: int) -> None:
    """There is no core to tell."""


class VirtualInterruptLines:
    """HCR_EL2.VI and VF: what they are to be (``wanted``), and what the core has been told (``driven``).

    Only the vCPU that a core holds may tell it anything: it does from :meth:`enter` to :meth:`leave`.
    """

    __slots__ = ("_base", "_here", "_write", "driven", "wanted")

    def __init__(self) -> None:
        self.wanted = 0
        self.driven = 0
        self._base = 0
        self._here = False
        self._write: Callable[[int], object] = _nowhere

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
        """To a core, by what writes its HCR_EL2, which has the value ``hcr`` for this vCPU."""
        self._write = write
        self._here = True
        self._base = hcr & ~(VI | VF)
        self.driven = hcr & (VI | VF)

    def enter(self, driven: int = _UNKNOWN) -> None:
        """The core holds this vCPU from now on, and was told ``driven`` for another one."""
        self._here = True
        if driven or self.driven:
            # Only where neither has a line up the saved HCR_EL2 and what the core has made of it agree for certain.
            self.driven = _UNKNOWN

    def load(self, *, irq: bool, fiq: bool) -> None:
        """What they are to be in a saved state that was exchanged for another: the core has to be told."""
        self.set(irq=irq, fiq=fiq)
        self.driven = _UNKNOWN

    def leave(self) -> None:
        """The core is another vCPU's."""
        self._here = False

    def disconnect(self) -> None:
        """From the core."""
        self._write = _nowhere

    def drive(self) -> None:
        """Tell the core, if it holds this vCPU."""
        if self.wanted != self.driven and self._here:
            self._write(self._base | self.wanted)
            self.driven = self.wanted
