"""The exceptions that EL1 is handling: a fault, the fault of its handler, and so on, from first to last.

Nothing reports the return of a handler: the core executes an ERET by itself. But an ERET clears the exclusive monitor
(AArch64.ExceptionReturn), so a mark set there on exception entry is gone as soon as the guest has returned. The
architecture lets an exclusive store fail for any reason, so the mark changes nothing that a guest may rely on; no
aligned address equals it. Handlers that take locks replace the mark. Then the effect that the faulting instruction
would have now distinguishes a handler that has returned to it from one that is still running.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.syndrome.esr import DATA_ABORTS, EC_SHIFT, INSTRUCTION_ABORTS
from arm_vcpu_cli.engine.layout import NOT_EXCLUSIVE
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.saved import Saved

UNRETURNED: Final = NOT_EXCLUSIVE - 1
"""The value in the exclusive monitor from the entry into EL1 to the first ERET, LDXR, STXR or CLREX."""
FIRST: Final = 6
LATEST: Final = 6
"""The number of different exceptions kept at each end of a longer chain: the first and the latest ones."""

_EL: Final = int(Spsr.of(M=0b1100))
_MODE: Final = int(Spsr.of(M=0b1101))
_ABORTS: Final = frozenset(map(int, (*DATA_ABORTS, *INSTRUCTION_ABORTS)))


class El1Exception(Record):
    """An exception that EL1 took: syndrome, fault address, the place where it was raised and the stack pointer there.

    ``spsr`` is the PSTATE that it was taken from; ``elr`` and ``cause`` are ELR_EL1 and ESR_EL1 from before. ``times``
    is how often EL1 has taken it in this chain, ``last_far`` and ``last_sp`` are the values at the last time.
    ``is_nested``: the first time, the previous exception's handler certainly raised it; ``repeats_itself``: so did a
    handler the last time, without having returned.
    """

    esr: int
    far: int
    pc: int
    sp: int
    spsr: int = 0
    elr: int = 0
    cause: int = 0
    times: int = 1
    last_far: int = 0
    last_sp: int = 0
    is_nested: bool = False
    repeats_itself: bool = False


_PC, _TIMES, _LAST_FAR, _LAST_SP, _REPEATS = map(
    El1Exception.__match_args__.index, ("pc", "times", "last_far", "last_sp", "repeats_itself")
)
_FLAGS: Final = 2
"""The number of truth values, which are the last fields."""


class Chain(Record):
    """The exceptions that EL1 is handling, or handled last, from the first to the last: each is the fault of the
    previous one's handler. ``dropped`` is the number omitted in the middle; ``is_unfinished``: the last handler has not
    returned."""

    exceptions: tuple[El1Exception, ...] = ()
    dropped: int = 0
    is_unfinished: bool = False


NO_EXCEPTION: Final = Chain()


class ExceptionChain:
    """Keeps the exceptions taken since the guest last executed at EL0 or outside handlers.

    Equal ones, by syndrome and place, are kept as one with a count.
    """

    def __init__(self) -> None:
        self._links: dict[tuple[int, int], list[Any]] = {}
        self._last: list[Any] = []
        self._last_spsr = 0
        self._dropped = 0

    def take(
        self, esr: int, far: int, pc: int, sp: int, spsr: int, elr: int, old_spsr: int, cause: int, monitor: int
    ) -> None:
        """Add an exception. ``spsr`` is PSTATE; ELR_EL1, SPSR_EL1, ESR_EL1 and the monitor are as they were before
        it."""
        links, last = self._links, self._last
        is_nested = monitor == UNRETURNED
        if not spsr & _EL or not last:
            links.clear()
            self._dropped = 0
            is_nested = False
        elif not is_nested and (elr != last[_PC] or old_spsr != self._last_spsr):
            links.clear()
            self._dropped = 0
        key = (esr, pc)
        link = links.get(key)
        if link is not None:
            link[_TIMES] += 1
            link[_LAST_FAR], link[_LAST_SP], link[_REPEATS] = far, sp, is_nested
        else:
            if len(links) >= FIRST + LATEST:
                del links[list(links)[FIRST]]
                self._dropped += 1
            links[key] = link = [esr, far, pc, sp, spsr, elr, cause, 1, far, sp, is_nested, False]
        self._last, self._last_spsr = link, spsr

    def forget(self) -> None:
        """Remove all exceptions: the guest restarts."""
        self._links.clear()
        self._last = []

    def exceptions(self, is_mapped: Callable[[int, int], bool]) -> tuple[El1Exception, ...]:
        """Return the exceptions in order of appearance, but with the latest at the end. ``is_mapped`` returns whether
        an access that once had a syndrome succeeds now."""
        found: list[El1Exception] = []
        for link in self._links.values():
            exception = El1Exception(*link)
            if found and not exception.is_nested and _may_return(found[-1], exception.spsr, is_mapped):
                found.clear()
            found.append(exception)
        if found and (latest := El1Exception(*self._last)) in found:
            found.remove(latest)
            found.append(latest)
        return tuple(found)

    @property
    def dropped(self) -> int:
        """The number of omitted exceptions between the first ones and the latest."""
        return self._dropped

    def is_unfinished(
        self, *, spsr: int, elr: int, old_spsr: int, monitor: int, is_mapped: Callable[[int, int], bool]
    ) -> bool:
        """Return whether the handler of the last one has not returned yet, judging by the current PSTATE, ELR_EL1,
        SPSR_EL1 and monitor."""
        last = self._last
        if not last or not spsr & _EL:
            return False
        if monitor == UNRETURNED:
            return True
        if (elr, old_spsr) != (last[_PC], self._last_spsr):
            return False
        return not _may_return(El1Exception(*last), spsr, is_mapped)

    def save(self) -> dict[str, Any]:
        """Return everything as plain data."""
        links = list(self._links.values())
        return {
            "links": [[int(value) for value in link] for link in links],
            "last": next((number for number, link in enumerate(links) if link is self._last), -1),
            "spsr": self._last_spsr,
            "dropped": self._dropped,
        }

    def load(self, saved: Saved) -> None:
        """Restore what :meth:`save` returned. Raises ValueError, without a change, for anything else."""
        rows = saved.rows("links", len(El1Exception.__match_args__), MASK64)
        last, spsr, dropped = saved.integer("last"), saved.number("spsr", MASK64), saved.number("dropped", MASK64)
        if not -1 <= last < len(rows):
            raise ValueError(f"the last exception is number {last} of {len(rows)}")
        links: list[list[Any]] = [[*row[:-_FLAGS], *map(bool, row[-_FLAGS:])] for row in rows]
        self._links = {(link[0], link[_PC]): link for link in links}
        self._last, self._last_spsr = (links[last] if last >= 0 else []), spsr
        self._dropped = dropped


def _may_return(exception: El1Exception, spsr: int, is_mapped: Callable[[int, int], bool]) -> bool:
    """Return whether code with PSTATE ``spsr`` may be the result of an ERET from this exception."""
    if (spsr ^ exception.spsr) & _MODE:
        return False
    return exception.esr >> EC_SHIFT in _ABORTS and is_mapped(exception.far, exception.esr)
