"""Passes events on once, in a run that goes back in time and repeats some of them."""

from __future__ import annotations

from collections.abc import Callable

from arm_vcpu_cli.trace.event import TraceEvent


class Once:
    """Passes an event on to ``tell`` if it is further on than all that were passed on before. What is repeated is equal
    to what it repeats, so a number says which one it is."""

    def __init__(self, tell: Callable[[TraceEvent], object]) -> None:
        self._tell = tell
        self.number = 0
        """How many events there have been at this point of the run. Whoever goes back sets it."""
        self.told = 0
        """How many were passed on."""

    def event(self, event: TraceEvent) -> None:
        """The next event of the run."""
        self.number += 1
        if self.number > self.told:
            self.told = self.number
            self._tell(event)
