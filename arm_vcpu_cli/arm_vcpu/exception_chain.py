"""The exceptions that EL1 is in the middle of: a fault, the fault of its handler, and so on, from first to last.

Nothing reports when a handler returns: the core executes an ERET by itself. But an ERET clears the exclusive monitor
(AArch64.ExceptionReturn), so a mark that taking an exception leaves there is gone as soon as the guest has returned
from it. The manual lets an exclusive store fail for any reason, so the mark changes nothing that a guest may count on;
no aligned address is equal to it. Handlers that take locks replace the mark. Then a handler that has returned to the
instruction that faulted is told from one that still runs by what that instruction would do now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.syndrome.esr import DATA_ABORTS, EC_SHIFT, INSTRUCTION_ABORTS
from arm_vcpu_cli.engine.layout import NOT_EXCLUSIVE
from arm_vcpu_cli.saved import Saved

UNRETURNED: Final = NOT_EXCLUSIVE - 1
"""What the exclusive monitor holds from the entry into EL1 to the first ERET, LDXR, STXR or CLREX."""
FIRST: Final = 6
LATEST: Final = 6
"""Different exceptions that are kept of a chain that is longer than both: the first and the latest ones."""

_EL: Final = int(Spsr.of(M=0b1100))
_MODE: Final = int(Spsr.of(M=0b1101))
_ABORTS: Final = frozenset(map(int, (*DATA_ABORTS, *INSTRUCTION_ABORTS)))


class El1Exception(NamedTuple):
    """An exception that EL1 took: syndrome, fault address, where it was raised and the stack pointer there.

    ``spsr`` is the PSTATE that it was taken from; ``elr`` and ``cause`` are ELR_EL1 and ESR_EL1 from before.
    ``times`` is how often EL1 has taken it in this chain, ``last_far`` and ``last_sp`` the values of the last time.
    ``is_nested``: the first time the handler of the one before raised it for certain; ``repeats_itself``: the last time
    a handler did so too, without having returned.
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
    El1Exception._fields.index, ("pc", "times", "last_far", "last_sp", "repeats_itself")
)
_FLAGS: Final = 2
"""The last fields, which are truth values."""


class Chain(NamedTuple):
    """The exceptions that EL1 is in, or was in last, from the first to the last: each the fault of the handler of the
    one before. ``dropped`` is how many are left out in their middle; ``is_unfinished``: the last handler has not
    returned."""

    exceptions: tuple[El1Exception, ...] = ()
    dropped: int = 0
    is_unfinished: bool = False


NO_EXCEPTION: Final = Chain()


class ExceptionChain:
    """Keeps the exceptions that were taken since EL0 or code without an exception was executed last.

    Equal ones, by syndrome and place, are one that counts.
    """

    def __init__(self) -> None:
        self._links: dict[tuple[int, int], list[Any]] = {}
        self._last: list[Any] = []
        self._last_spsr = 0
        self._dropped = 0

    def take(
        self, esr: int, far: int, pc: int, sp: int, spsr: int, elr: int, old_spsr: int, cause: int, monitor: int
    ) -> None:
        """One more. ``spsr`` is PSTATE; ELR_EL1, SPSR_EL1, ESR_EL1 and the monitor are as they were before it."""
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
        """Forget everything: the guest restarts."""
        self._links.clear()
        self._last = []

    def exceptions(self, is_mapped: Callable[[int, int], bool]) -> tuple[El1Exception, ...]:
        """In the order in which they appeared, but with the latest at the end. ``is_mapped`` says whether an access
        that once gave a syndrome succeeds now."""
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
        """How many are not kept, between the first ones and the latest."""
        return self._dropped

    def is_unfinished(
        self, *, spsr: int, elr: int, old_spsr: int, monitor: int, is_mapped: Callable[[int, int], bool]
    ) -> bool:
        """Whether the handler of the last one has not returned yet, to judge by PSTATE, ELR_EL1, SPSR_EL1 and the
        monitor as they are now."""
        last = self._last
        if not last or not spsr & _EL:
            return False
        if monitor == UNRETURNED:
            return True
        if (elr, old_spsr) != (last[_PC], self._last_spsr):
            return False
        return not _may_return(El1Exception(*last), spsr, is_mapped)

    def save(self) -> dict[str, Any]:
        """All of it, as plain data."""
        links = list(self._links.values())
        return {
            "links": [[int(value) for value in link] for link in links],
            "last": next((number for number, link in enumerate(links) if link is self._last), -1),
            "spsr": self._last_spsr,
            "dropped": self._dropped,
        }

    def load(self, saved: Saved) -> None:
        """Take what :meth:`save` gave. ValueError, and nothing changes, if it is something else."""
        rows = saved.rows("links", len(El1Exception._fields), MASK64)
        last, spsr, dropped = saved.integer("last"), saved.number("spsr", MASK64), saved.number("dropped", MASK64)
        if not -1 <= last < len(rows):
            raise ValueError(f"the last exception is number {last} of {len(rows)}")
        links: list[list[Any]] = [[*row[:-_FLAGS], *map(bool, row[-_FLAGS:])] for row in rows]
        self._links = {(link[0], link[_PC]): link for link in links}
        self._last, self._last_spsr = (links[last] if last >= 0 else []), spsr
        self._dropped = dropped


def _may_return(exception: El1Exception, spsr: int, is_mapped: Callable[[int, int], bool]) -> bool:
    """Whether code that runs with PSTATE ``spsr`` may be what an ERET from this exception led to."""
    if (spsr ^ exception.spsr) & _MODE:
        return False
    return exception.esr >> EC_SHIFT in _ABORTS and is_mapped(exception.far, exception.esr)
