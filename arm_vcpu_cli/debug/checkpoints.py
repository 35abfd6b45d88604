"""Decides which moments of a run to keep for going back: few, and the closer to the present, the denser.

The first is always kept, and so is every moment at which the machine was changed from outside, because execution cannot
reproduce it. Of the others at most two are kept for each doubling of the distance from the present, and fewer if memory
is short. So going back to any moment takes little more than its distance, and even a long run keeps few.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Final

from arm_vcpu_cli.debug.moment import Moment
from arm_vcpu_cli.debug.pages import memory_of
from arm_vcpu_cli.sizes import GIB

INTERVAL: Final = 20_000_000
"""Instructions: all moments within this distance of the present count as equally far."""
MEMORY: Final = 2 * GIB
"""The limit for the pages of all moments, in bytes; the first and those changed from outside are kept beyond it."""


def surplus(places: Sequence[int], present: int) -> list[int]:
    """Return the indices of the places to drop; ``places`` are instruction counts in ascending order."""
    found: list[int] = []
    groups: dict[tuple[bool, int], list[int]] = {}
    for number, place in enumerate(places):
        distance = abs(present - place)
        groups.setdefault((place > present, (distance // INTERVAL).bit_length()), []).append(number)
    for numbers in groups.values():
        # Keep the outermost, so that they still have their places when the present has moved on.
        found += numbers[1:-1]
    return sorted(found)


class Checkpoints:
    """The kept moments in the order of the run."""

    def __init__(self, first: Moment) -> None:
        self._moments = [first]

    @property
    def first(self) -> Moment:
        """The beginning of history."""
        return self._moments[0]

    def add(self, moment: Moment, present: int) -> None:
        """Keep a moment, replacing one at the same place, and drop those no longer needed."""
        at = bisect_left(self._moments, moment.executed, key=_place)
        same = at < len(self._moments) and self._moments[at].executed == moment.executed
        if same and (moment.changed or not (self._moments[at].changed or at == 0)):
            self._moments[at] = moment
        elif not same:
            insort(self._moments, moment, key=_place)
        self._drop(surplus(self._places(), present))
        while memory_of([each.image for each in self._moments]) > MEMORY and self._drop(self._densest()):
            pass

    def before(self, executed: int) -> Moment | None:
        """Return the latest moment at or before instruction number ``executed``; None if there is none."""
        at = bisect_left(self._moments, executed, key=_place)
        return self._moments[at - 1] if at else None

    def changed_after(self, executed: int) -> Moment | None:
        """Return the first moment behind that place that cannot be reached from before."""
        return next((each for each in self._moments if each.changed and each.executed > executed), None)

    def forget_from(self, executed: int) -> None:
        """Drop all moments at that place and behind it, except the first."""
        self._moments = [each for number, each in enumerate(self._moments) if not number or each.executed < executed]

    def _places(self) -> list[int]:
        return [each.executed for each in self._moments]

    def _drop(self, numbers: Sequence[int]) -> bool:
        dropped = {number for number in numbers if number and not self._moments[number].changed}
        self._moments = [each for number, each in enumerate(self._moments) if number not in dropped]
        return bool(dropped)

    def _densest(self) -> list[int]:
        """Return the index of the moment whose removal leaves the shortest gap; empty if none may go."""
        inner = [number for number in range(1, len(self._moments) - 1) if not self._moments[number].changed]
        places = self._places()
        return sorted(inner, key=lambda number: places[number + 1] - places[number - 1])[:1]


def _place(moment: Moment) -> int:
    return moment.executed
