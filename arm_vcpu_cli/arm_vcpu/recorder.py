"""The flight recorder: keeps the state at each of the latest exits at almost no cost, decoded only for a report."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.context_frame import ZERO_REGISTER, TrapFrame
from arm_vcpu_cli.arm_vcpu.exit_reason import ExitReasons
from arm_vcpu_cli.arm_vcpu.observer import ExitRecord
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, MmioRead, MmioWrite, NestedPageFault, Nothing
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.record import Record

_EL2: Final = 2
RECENT: Final = 20
"""The number of exits kept."""


class RecentExit(Record):
    """An exit: its number, its reason, and x0 to x30 at that time."""

    number: int
    record: ExitRecord
    registers: tuple[int, ...]


Kept = bytes | tuple[bytes, int, AxVCpuExitReason | None]
"""A part of a saved state; the number of the exit unless it is one less than the next one's; the reason if the state
does not show it."""


class FlightRecorder:
    """Copies of the part of a saved state that an exit is decoded from.

    On the exit path ``append(snapshot())`` takes a copy before the exit is handled. If the state does not show
    everything, the number and the reason are stored beside the copy.
    """

    def __init__(self, state: CpuState) -> None:
        layout = state.layout
        # Everything that a reason depends on is between these two, and close together.
        parts = [layout.x0, layout.x0 + 8 * ZERO_REGISTER, layout.sp, layout.pc, layout.pstate, layout.aarch64]
        parts += [layout.n, layout.z, layout.c, layout.v, layout.daif, layout.btype]
        parts += [layout.syndrome, layout.fault_address, layout.target_el, layout.sysregs[lookup("HPFAR_EL2")]]
        self._first, self._last = min(parts) // 8, max(parts) // 8 + 1
        self._kept: deque[Kept] = deque(maxlen=RECENT)
        self.snapshot: Final[Callable[[], bytes]] = state.u64[self._first : self._last].tobytes
        self.append: Final[Callable[[Kept], None]] = self._kept.append

    def remembered(self) -> Any:
        """Return the exits kept."""
        return tuple(self._kept)

    def recall(self, remembered: Any) -> None:
        """Restore the exits that :meth:`remembered` returned."""
        self._kept.clear()
        self._kept.extend(remembered)

    def forget(self, number: int) -> None:
        """Drop the latest exit, which has that number and adds nothing to the one before."""
        self._kept.pop()
        if self._kept and isinstance(self._kept[-1], bytes):
            self._kept[-1] = (self._kept[-1], number - 1, None)

    def _numbered(self, last: int) -> list[tuple[bytes, int, AxVCpuExitReason | None]]:
        """Return the kept exits with numbers; the next exit will have the number after ``last``."""
        found: list[tuple[bytes, int, AxVCpuExitReason | None]] = []
        for kept in reversed(self._kept):
            found.append((kept, last, None) if isinstance(kept, bytes) else kept)
            last = found[-1][1] - 1
        return found[::-1]

    def decode(self, scratch: CpuState, frame: TrapFrame, reasons: ExitReasons, count: int) -> Iterator[RecentExit]:
        """Yield the kept exits, oldest first. ``frame`` and ``reasons`` read ``scratch``, a state for temporary use;
        ``count`` is the total number of exits."""
        words = scratch.u64[self._first : self._last]
        u32, layout = scratch.u32, scratch.layout
        for state, number, known in self._numbered(count):
            words[:] = memoryview(state).cast("Q")
            esr = None
            if known is None and u32[layout.target_el // 4] == _EL2:
                known = reasons.reason()
                # As corrected.
                esr = u32[layout.syndrome // 4]
            elif known is None:
                known, esr = reasons.el1_reason(), reasons.el1_syndrome()
            record = ExitRecord(0, known or Nothing(), esr, frame.elr, frame.spsr.el)
            if isinstance(known, (MmioRead, MmioWrite, NestedPageFault)):
                record.va = scratch.u64[layout.fault_address // 8]
            record.take_callers(frame)
            yield RecentExit(number, record, frame.gprs())
