"""A suite on a terminal: coloured result lines, and below them the running guests."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from arm_vcpu_cli.cli.style import colours
from arm_vcpu_cli.cli.suite_lines import FAILED, Line
from arm_vcpu_cli.printable import printable_path
from arm_vcpu_cli.suite.pool import Result

_STYLES: Final = MappingProxyType(
    {
        "passed": "bold green",
        "failed": "bold red",
        "error": "bold red",
        "skipped": "yellow",
        "expected failure": "yellow",
        "not run": "dim",
        "heading": "bold",
        "faint": "dim",
    }
)
_MOST_RUNNING: Final = 8
_BAR: Final = 30
_PATIENCE: Final = 0.5
"""Seconds before the running guests are displayed."""


class TerminalView:
    """Writes to stdout, a terminal."""

    def __init__(self, total: int) -> None:
        coloured = colours(sys.stdout)
        self._console = Console(
            file=sys.stdout,
            color_system="auto" if coloured else None,
            no_color=not coloured,
            force_terminal=True,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._total = total
        self._done = self._failures = 0
        self._began = time.monotonic()
        self._running: dict[int, tuple[Path, float]] = {}
        # The loop that waits for the guests refreshes it: a process with a thread must not be forked.
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            get_renderable=self._render,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def start(self) -> None:
        """Prepare to display running guests."""
        self._live.start()

    def stop(self) -> None:
        """Remove the display of running guests."""
        self._running.clear()
        self._total = 0
        self._live.stop()

    def write(self, line: Line, *, cuts: bool = False) -> None:
        """Write a line above the running guests; with ``cuts`` it takes at most one line."""
        text = Text(no_wrap=cuts, overflow="ellipsis" if cuts else "fold")
        for part in line:
            text.append(part.text, style=_STYLES.get(part.role, ""))
        text.rstrip()
        indent = len(text.plain) - len(text.plain.lstrip())
        if indent and not cuts:
            # A line that does not fit continues on the next.
            self._console.print(Padding(text[indent:], (0, 0, 0, indent), expand=False))
        else:
            self._console.print(text, no_wrap=cuts, overflow="ellipsis" if cuts else "fold", crop=cuts)

    def started(self, index: int, guest: Path) -> None:
        """Show that a guest runs."""
        self._running[index] = guest, time.monotonic()

    def ended(self, index: int, result: Result) -> None:
        """Record that a guest has a result."""
        self._running.pop(index, None)
        self._done += 1
        self._failures += result.verdict.outcome in FAILED

    def tick(self) -> None:
        """Refresh the display of running guests."""
        self._live.refresh()

    def _render(self) -> RenderableType:
        now = time.monotonic()
        if not self._total or now - self._began < _PATIENCE:
            return Text("", end="")
        return Group(*self._rows(now))

    def _rows(self, now: float) -> Iterator[RenderableType]:
        for _, (guest, begun) in sorted(self._running.items())[:_MOST_RUNNING]:
            text = f"       {printable_path(guest)}  {now - begun:.0f} s"
            yield Text(text, style="dim", no_wrap=True, overflow="ellipsis")
        if len(self._running) > _MOST_RUNNING:
            yield Text(f"       and {len(self._running) - _MOST_RUNNING} more", style="dim")
        grid = Table.grid(padding=(0, 2))
        failures = f"{self._failures} failed" if self._failures else ""
        grid.add_row(
            ProgressBar(self._total, self._done, width=_BAR),
            Text(f"{self._done} of {self._total}"),
            Text(failures, style=_STYLES["failed"]),
            Text(f"{now - self._began:.0f} s", style="dim"),
        )
        yield grid
