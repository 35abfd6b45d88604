"""The flight recorder: the state at each of the latest exits, kept at next to no cost and decoded only for a report."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.context_frame import ZERO_REGISTER, TrapFrame
from arm_vcpu_cli.arm_vcpu.exit_reason import ExitReasons
from arm_vcpu_cli.arm_vcpu.observer import ExitRecord
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, MmioRead, MmioWrite, NestedPageFault, Nothing
from arm_vcpu_cli.engine.layout import CpuState

_EL2: Final = 2
RECENT: Final = 20
"""How many exits are kept."""


class RecentExit(NamedTuple):
    """An exit: its number, what it was, and x0 to x30 at that time."""

    number: int
    record: ExitRecord
    registers: tuple[int, ...]


Kept = tuple[bytes, int, AxVCpuExitReason | None]
"""A part of a saved state, the number of the exit, and its reason if the state does not tell."""


class FlightRecorder:
    """Copies of the part of a saved state that an exit is decoded from.

    On the exit path ``append((snapshot(), number, None))`` takes one, before anything is done about the exit; what
    cannot be told from the state has its reason beside the copy. ``forget`` drops the latest, which said nothing new.
    """

    def __init__(self, state: CpuState) -> None:
        layout = state.layout
        # What a reason is made of lies between these two, and nothing of it far from the rest.
        parts = [layout.x0, layout.x0 + 8 * ZERO_REGISTER, layout.sp, layout.pc, layout.pstate, layout.aarch64]
        parts += [layout.n, layout.z, layout.c, layout.v, layout.daif, layout.btype]
        parts += [layout.syndrome, layout.fault_address, layout.target_el, layout.sysregs[lookup("HPFAR_EL2")]]
        self._first, self._last = min(parts) // 8, max(parts) // 8 + 1
        self._kept: deque[Kept] = deque(maxlen=RECENT)
        self.snapshot: Final[Callable[[], bytes]] = state.u64[self._first : self._last].tobytes
        self.append: Final[Callable[[Kept], None]] = self._kept.append
        self.forget: Final[Callable[[], object]] = self._kept.pop

    def __len__(self) -> int:
        return len(self._kept)

    def decode(self, scratch: CpuState, frame: TrapFrame, reasons: ExitReasons) -> Iterator[RecentExit]:
        """What is kept, the oldest first. ``frame`` and ``reasons`` look at ``scratch``, a state that nobody needs."""
        words = scratch.u64[self._first : self._last]
        u32, layout = scratch.u32, scratch.layout
        for state, number, known in self._kept:
            words[:] = memoryview(state).cast("Q")
            esr = None
            if known is None and u32[layout.target_el // 4] == _EL2:
                known = reasons.reason()
                # As it has been corrected.
                esr = u32[layout.syndrome // 4]
            elif known is None:
                known, esr = reasons.el1_reason(), reasons.el1_syndrome()
            record = ExitRecord(0, known or Nothing(), esr, frame.elr, frame.spsr.el)
            if isinstance(known, (MmioRead, MmioWrite, NestedPageFault)):
                record.va = scratch.u64[layout.fault_address // 8]
            record.take_callers(frame)
            yield RecentExit(number, record, frame.gprs())
