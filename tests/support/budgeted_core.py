"""A core that executes nothing but counts instructions and keeps a budget, as the engine's block stub does."""

from __future__ import annotations

from typing import Final

from tests.support.fake_core import FakeCore

MAX_BUDGET: Final = 1 << 62
"""What clocks give where there is no alarm."""
_SIGN64: Final = 1 << 63


class BudgetedCore(FakeCore):
    """A core whose budget is a signed 64-bit number, to which what it is given is cut."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = MAX_BUDGET
        self.counting = False

    def count_instructions(self) -> None:
        """See the port."""
        self.counting = True

    def set_budget(self, instructions: int) -> None:
        """See the port."""
        self.budget = ((instructions + _SIGN64) % (2 * _SIGN64)) - _SIGN64

    def begin(self, instructions: int) -> bool:
        """Execute a block of so many instructions if it does not exceed the budget."""
        if instructions > self.budget:
            return False
        self.budget -= instructions
        self.executed += instructions
        return True
