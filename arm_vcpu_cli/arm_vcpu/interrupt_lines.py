"""The virtual interrupt lines of a vCPU (DDI 0487, D1.3.4): HCR_EL2.VI and VF, which are outside the saved state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.registers.el2regs import Hcr

VI: Final = int(Hcr.of(VI=1))
VF: Final = int(Hcr.of(VF=1))


UNKNOWN: Final = -1
"""The state of a core's lines before the first write."""


def _nowhere(_value: int) -> None:
    """Do nothing: the vCPU is on no core."""


class VirtualInterruptLines:
    """HCR_EL2.VI and VF: the desired values (``wanted``), and those in the core (``driven``).

    Only the vCPU that a core holds may write to it: from :meth:`enter` to :meth:`leave`.
    """

    __slots__ = ("_base", "_here", "_saved", "_write", "driven", "wanted")

    def __init__(self) -> None:
        self.wanted = 0
        self.driven = 0
        self._base = 0
        self._here = False
        self._saved = 0
        self._write: Callable[[int], object] = _nowhere

    def set(self, *, irq: bool, fiq: bool) -> None:
        """Set the desired lines; :meth:`drive` passes them to the core."""
        self.wanted = (VI if irq else 0) | (VF if fiq else 0)

    @property
    def irq(self) -> bool:
        """Whether VI should be set."""
        return bool(self.wanted & VI)

    @property
    def fiq(self) -> bool:
        """Whether VF should be set."""
        return bool(self.wanted & VF)

    def connect(self, write: Callable[[int], object], hcr: int) -> None:
        """Attach to a core by the function that writes its HCR_EL2, whose value for this vCPU is ``hcr``."""
        self._write = write
        self._here = True
        self._base = hcr & ~(VI | VF)
        self.driven = hcr & (VI | VF)

    def enter(self, driven: int = UNKNOWN) -> None:
        """Record that the core holds this vCPU from now on, with the lines ``driven`` by another one."""
        self._here = True
        if driven or self.driven:
            # The saved HCR_EL2 certainly agrees with the core's only if neither vCPU has a line raised.
            self._saved = self.wanted if self.driven == UNKNOWN else self.driven
            self.driven = UNKNOWN

    def load(self, *, irq: bool, fiq: bool, driven: int = UNKNOWN) -> None:
        """Set the desired lines of a saved state that was replaced, and the core's lines; an update is due."""
        self.set(irq=irq, fiq=fiq)
        self._saved = self.wanted if driven == UNKNOWN else driven
        self.driven = UNKNOWN

    def recall(self, driven: int) -> None:
        """Restore the core's lines at the time of a saved state, which is loaded: for a vCPU stopped by a debugger,
        these may differ from the desired ones."""
        if driven != UNKNOWN and self._here:
            self._write(self._base | driven)
        self.driven = driven

    def leave(self) -> None:
        """Record that the core holds another vCPU."""
        self._here = False

    def disconnect(self) -> None:
        """Detach from the core."""
        self._write = _nowhere

    def drive_again(self) -> None:
        """Restore the core's lines, after a saved state has been loaded."""
        if self.driven == UNKNOWN and self._here:
            self._write(self._base | self._saved)
            self.driven = self._saved

    def drive(self) -> None:
        """Pass the lines to the core, if it holds this vCPU."""
        if self.wanted != self.driven and self._here:
            self._write(self._base | self.wanted)
            self.driven = self.wanted
