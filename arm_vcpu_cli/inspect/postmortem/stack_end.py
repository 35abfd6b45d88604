"""The end of an overflowed stack, and the functions that filled it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arm_vcpu.context_frame import FRAME_POINTER
from arm_vcpu_cli.inspect.postmortem.backtrace import frame_chain
from arm_vcpu_cli.vm.machine import Machine

_NEAR: Final = 256
"""Pages searched for the end of a stack, 1 MiB: frames are rarely larger."""
_GUARD: Final = 16
"""The most pages of a guard."""
_MOST_FRAMES: Final = 1 << 16
_OFTEN: Final = 4
"""From this many frames on, a function counts as recursive."""


class StackEnd(NamedTuple):
    """``bottom`` is the lowest mapped address above the faulting one, None if there is none near; ``guard`` the number
    of unmapped bytes below it, 0 if the whole range searched is unmapped.

    ``recursive`` are the functions with most of the ``frames``, mutually recursive ones together; empty if there are
    none.
    """

    bottom: int | None
    guard: int
    recursive: tuple[str, ...]
    frames: int


def stack_end(machine: Machine, address: int, sp: int | None) -> StackEnd:
    """The surroundings of ``address``, where an access through SP failed. ``sp`` is SP at that time, None if the stack
    may have been overwritten since."""
    page = address & -PAGE_SIZE
    above = _first_mapped(machine, range(page, page + _NEAR * PAGE_SIZE, PAGE_SIZE))
    below = _first_mapped(machine, range(page, max(page - _GUARD * PAGE_SIZE, -1), -PAGE_SIZE))
    guard = 0 if above is None or below is None else above - below - PAGE_SIZE
    callers = [] if sp is None else list(islice(_callers(machine, sp), _MOST_FRAMES))
    return StackEnd(above, guard, _recursive(machine, callers), len(callers))


def _first_mapped(machine: Machine, pages: range) -> int | None:
    memory = machine.current.arch.memory()
    return next((page for page in pages if memory.translate(page, access=Access.WRITE).paddr is not None), None)


def _callers(machine: Machine, sp: int) -> Iterator[int]:
    """The return addresses on the stack: from x29 if that is still above SP, else from the frame record at SP."""
    pointer = machine.current.arch.ctx.gpr(FRAME_POINTER)
    return frame_chain(machine, pointer if pointer >= sp else sp)


def _recursive(machine: Machine, callers: list[int]) -> tuple[str, ...]:
    symbols = machine.image.symbols
    places = Counter(callers)
    counts: Counter[str] = Counter()
    for place, times in places.items():
        found = symbols.resolve(place)
        counts[f"{place:#x}" if found is None else found[0]] += times
    most = counts.most_common(1)
    if not most or most[0][1] < _OFTEN:
        return ()
    # Functions that call each other have about as many frames each.
    return tuple(name for name, count in counts.items() if 2 * count > most[0][1])
