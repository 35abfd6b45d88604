"""Counts a core's instructions and limits them by a budget: the words of its block stub, which translated code
decrements.

The budget is handed out in slices: at the end of each the core empties its TLB and continues. The TLB grows only when
it is emptied, and some guests never empty it. The slices get longer, because emptying a TLB of the right size only
costs time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.engine.stubs import ASKED, BlockWords, ReadWords

BUDGET, REQUEST, BASE, SIZE, ARMED, HIT, PAUSE = 0, 2, 3, 6, 7, 10, 11
"""The words of the block stub, by number."""
_FIRST_SLICE: Final = 1 << 16
_LAST_SLICE: Final = 1 << 26


class InstructionBudget:
    """The count and the budget of one core, in the words of its stubs."""

    def __init__(self, words: BlockWords, reads: ReadWords) -> None:
        self.words = words
        self._reads = reads
        self.address: Final = ctypes.addressof(words)
        self.counts: Final = memoryview(words).cast("B").cast("q")
        """The words as a memory view, which is faster than the attributes of a structure."""
        self.slice = _FIRST_SLICE
        self.held = 0
        """The part of the budget beyond the current slice."""
        self._withheld = (0, 0, 0)
        """While the budget is withheld: the length of the slice, the rest of it, and the part that was held then."""
        self.set: Callable[[int], None] = self._set
        """Stop before the block that would exceed this many instructions from now on."""
        self._end = 0
        self._clipped = 0
        """The part of the slice that is held because of :meth:`clip`."""

    def elapsed(self) -> int:
        """Return nanoseconds: the instructions counted, plus the time spent."""
        counts = self.counts
        return counts[BASE] - (counts[BUDGET] & ~ASKED)

    def elapsed_plus(self, ahead: list[int]) -> Callable[[], int]:
        """Return a function that returns :meth:`elapsed` plus the one number in ``ahead``."""
        counts, base, budget, mask = self.counts, BASE, BUDGET, ~ASKED

        def read() -> int:
            return counts[base] - (counts[budget] & mask) + ahead[0]

        return read

    def instruction_count(self) -> int:
        """Return the number of instructions counted, without the time spent."""
        return self.elapsed() - int(self._reads.spent)

    def _set(self, instructions: int) -> None:
        counts = self.counts
        old = counts[BUDGET]
        now = min(instructions, self.slice)
        counts[BASE] += now - (old & ~ASKED)
        self.held = instructions - now
        counts[BUDGET] = now | old & ASKED

    def left(self) -> int:
        """Return the instructions left in the budget, including those beyond the current slice."""
        return (self.counts[BUDGET] & ~ASKED) + self.held

    def spend(self, nanoseconds: int) -> None:
        """Let time pass without instructions, and deduct it from the budget."""
        if self.held:
            # The read stub had to decline: the rest of the slice is less than the cost of a read.
            self.lengthen_slice()
        self.set(max(self.left() - nanoseconds, 0))
        self.counts[BASE] += nanoseconds
        self._reads.spent += nanoseconds

    def lengthen_slice(self) -> None:
        """Make the next slice longer than this one."""
        self.slice = min(2 * self.slice, _LAST_SLICE)

    # For a debugger --------------------------------------------------------------------------------------------

    def clip(self, end: int) -> None:
        """Hand out instructions only up to a count of ``end``, also whenever the budget is set, until
        :meth:`unclip`."""
        self.set, self._end = self._set_clipped, end
        self._clip()

    def unclip(self) -> None:
        """Hand out the rest of the slice too."""
        self.set = self._set
        self.counts[BUDGET] += self._clipped
        self.counts[BASE] += self._clipped
        self.held -= self._clipped

    def _set_clipped(self, instructions: int) -> None:
        self._set(instructions)
        self._clip()

    def _clip(self) -> None:
        room = max(self._end - self.instruction_count(), 0)
        self._clipped = clipped = max((self.counts[BUDGET] & ~ASKED) - room, 0)
        self.counts[BUDGET] -= clipped
        self.counts[BASE] -= clipped
        self.held += clipped

    def withhold(self) -> None:
        """Hand out nothing, so that no block begins, until :meth:`hand_out`."""
        length, rest = self.slice, self.counts[BUDGET] & ~ASKED
        self.counts[BUDGET] = rest
        self.slice = 0
        self.set(self.left())
        self._withheld = length, rest, self.held

    def take_block(self, instructions: int, next_slice: Callable[[], object]) -> bool:
        """Count a block of this many instructions, unless the budget is too small.

        ``next_slice`` is called if the slice is too small.
        """
        length, rest, held = self._withheld
        if self.held != held:
            # A hook has set the budget, which began a new slice.
            rest = min(self.held, length)
        while instructions > rest:
            if rest >= self.held:
                self._withheld = length, rest, self.held
                return False
            next_slice()
            length = min(2 * length, _LAST_SLICE)
            rest = min(self.held, length)
        self.held -= instructions
        self.counts[BASE] += instructions
        self._withheld = length, rest - instructions, self.held
        return True

    def hand_out(self) -> None:
        """Continue with the withheld slice."""
        length, rest, held = self._withheld
        left = self.left()
        self.slice = length
        if self.held == held:
            now, old = min(rest, left), self.counts[BUDGET]
            self.counts[BASE] += now - (old & ~ASKED)
            self.counts[BUDGET], self.held = now | old & ASKED, left - now
        else:
            self.set(left)
