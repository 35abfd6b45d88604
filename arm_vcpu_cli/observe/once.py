"""Passes each event on once, in a run that goes back in time and repeats some of them."""

from __future__ import annotations

from collections.abc import Callable

from arm_vcpu_cli.trace.event import TraceEvent


class Once:
    """Passes an event on to ``tell`` unless it was passed on before. A repeated event equals the original, so its
    number identifies it."""

    def __init__(self, tell: Callable[[TraceEvent], object]) -> None:
        self._tell = tell
        self.number = 0
        """The number of events up to this point of the run. Going back in time resets it."""
        self.told = 0
        """The number of events passed on."""

    def event(self, event: TraceEvent) -> None:
        """Take the next event of the run."""
        self.number += 1
        if self.number > self.told:
            self.told = self.number
            self._tell(event)
