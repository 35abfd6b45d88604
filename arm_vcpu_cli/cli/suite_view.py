"""Shows the progress of a suite: a line for each guest, in the order of the guests, and on a terminal the running
guests."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.cli.output import show
from arm_vcpu_cli.cli.suite_lines import Line, failure_lines, name_width, plain, result_line
from arm_vcpu_cli.suite.keeping import Kept
from arm_vcpu_cli.suite.pool import Result

if TYPE_CHECKING:
    from arm_vcpu_cli.cli.suite_terminal import TerminalView

_TERMINAL: Final = "arm_vcpu_cli.cli.suite_terminal"
"""Loaded only for a terminal."""


class SuiteView:
    """Implements :class:`~arm_vcpu_cli.suite.pool.Progress` on stdout. A context in which guests run."""

    def __init__(self, guests: Sequence[Path]) -> None:
        self._width = name_width(guests)
        self._held: dict[int, Result] = {}
        self._next = 0
        self._terminal: TerminalView | None = None
        if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            self._terminal = import_module(_TERMINAL).TerminalView(len(guests))

    def __enter__(self) -> SuiteView:
        if self._terminal is not None:
            self._terminal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal is not None:
            self._terminal.stop()

    def started(self, index: int, guest: Path) -> None:
        """Show on a terminal that a guest runs."""
        if self._terminal is not None:
            self._terminal.started(index, guest)

    def ended(self, index: int, result: Result) -> None:
        """Print the lines of all guests up to the first one that has not ended."""
        if self._terminal is not None:
            self._terminal.ended(index, result)
        self._held[index] = result
        while self._next in self._held:
            self.write(result_line(self._held.pop(self._next), self._width), cuts=True)
            self._next += 1

    def tick(self) -> None:
        """Update the terminal."""
        if self._terminal is not None:
            self._terminal.tick()

    def write(self, line: Line, *, cuts: bool = False) -> None:
        """Write a line; on a terminal, one that ``cuts`` takes at most one line."""
        if self._terminal is None:
            show(plain(line))
        else:
            self._terminal.write(line, cuts=cuts)

    def write_failure(self, result: Result, kept: Kept) -> None:
        """Write the details of a guest that has failed."""
        for line in failure_lines(result, kept):
            self.write(line)
