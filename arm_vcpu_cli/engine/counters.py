"""The counters that the read stub answers in machine code."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.engine.port import CounterReads
from arm_vcpu_cli.engine.stubs import BlockWords, host_clock_function
from arm_vcpu_cli.engine.unicorn_api import Engine

_PHYSICAL, _VIRTUAL, _AT_EL0 = 0b01, 0b10, 2
"""The bits of ``ReadWords.answered``."""
_MAX_OFFSET: Final = 1 << 62


class Counters:
    """The words of one engine's read stub, which initially answers nothing. Times are in nanoseconds."""

    def __init__(self, engine: Engine, block: BlockWords) -> None:
        """``block`` are the words of its block stub."""
        self.words = engine.read_words(block)
        self._known = 0

    def answer(self, reads: CounterReads) -> None:
        """Set which counters the stub answers, and how; none if it cannot read the host's clock."""
        words = self.words
        words.cost = reads.cost
        self._known = _VIRTUAL | _PHYSICAL if reads.physical else _VIRTUAL
        words.answered = self._known
        if reads.host_start is not None:
            host_clock = host_clock_function()
            if host_clock is None:
                self._known = words.answered = 0
                return
            words.host_clock, words.start = host_clock, reads.host_start

    def set_offset(self, nanoseconds: int) -> None:
        """Set how far the stub's counter is ahead of the elapsed time."""
        if nanoseconds < _MAX_OFFSET:
            self.words.offset = nanoseconds
        else:
            # Centuries from now, beyond the stub's range.
            self._known = self.words.answered = 0

    def allow_el0(self, *, physical: bool, virtual: bool) -> None:
        """Set which counters the stub answers for EL0 (CNTKCTL_EL1)."""
        allowed = (_PHYSICAL if physical else 0) | (_VIRTUAL if virtual else 0)
        self.words.answered = self._known | (self._known & allowed) << _AT_EL0
