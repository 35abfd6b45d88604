"""Which moments of a run are kept to go back to: few, and the nearer to the present the closer together.

The first is always kept, and so is one at which the machine was changed from outside, since nothing leads there. Of the
others there are at most two for each doubling of the distance from the present, and fewer where memory is short. So the
way back to any moment is not much longer than its distance, and a run of any length has few.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Final

from arm_vcpu_cli.debug.moment import Moment
from arm_vcpu_cli.debug.pages import memory_of
from arm_vcpu_cli.sizes import GIB

INTERVAL: Final = 20_000_000
"""Instructions: moments that are no further than this from the present count as one distance."""
MEMORY: Final = 2 * GIB
"""Bytes of the pages of all moments; the first and those that were changed are kept beyond it."""


def surplus(places: Sequence[int], present: int) -> list[int]:
    """The numbers of the places that are not kept; ``places`` count instructions, and do not decrease."""
    found: list[int] = []
    groups: dict[tuple[bool, int], list[int]] = {}
    for number, place in enumerate(places):
        distance = abs(present - place)
        groups.setdefault((place > present, (distance // INTERVAL).bit_length()), []).append(number)
    for numbers in groups.values():
        # The outermost ones stay, so that they still have their places when the present has moved on.
        found += numbers[1:-1]
    return sorted(found)


class Checkpoints:
    """Moments in the order of the run."""

    def __init__(self, first: Moment) -> None:
        self._moments = [first]

    @property
    def first(self) -> Moment:
        """The beginning of history."""
        return self._moments[0]

    def add(self, moment: Moment, present: int) -> None:
        """Keep another one, in place of one at the same place, and drop what is no longer needed."""
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
        """The latest before the instruction of that number is the next one; None if there is none."""
        at = bisect_left(self._moments, executed, key=_place)
        return self._moments[at - 1] if at else None

    def changed_after(self, executed: int) -> Moment | None:
        """The first one behind that place that cannot be reached from before."""
        return next((each for each in self._moments if each.changed and each.executed > executed), None)

    def forget_from(self, executed: int) -> None:
        """Drop those at that place and behind it, but for the first."""
        self._moments = [each for number, each in enumerate(self._moments) if not number or each.executed < executed]

    def _places(self) -> list[int]:
        return [each.executed for each in self._moments]

    def _drop(self, numbers: Sequence[int]) -> bool:
        dropped = {number for number in numbers if number and not self._moments[number].changed}
        self._moments = [each for number, each in enumerate(self._moments) if number not in dropped]
        return bool(dropped)

    def _densest(self) -> list[int]:
        """The one, if any, without which the distance between its neighbours is the shortest."""
        inner = [number for number in range(1, len(self._moments) - 1) if not self._moments[number].changed]
        places = self._places()
        return sorted(inner, key=lambda number: places[number + 1] - places[number - 1])[:1]


def _place(moment: Moment) -> int:
    return moment.executed
