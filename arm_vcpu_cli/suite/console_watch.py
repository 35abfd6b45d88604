"""Reads the console of a running guest: expected output, its tests, and the prompts to answer.

It is called inside the guest's exits, so its reactions happen at the same instruction in every run.
"""

from __future__ import annotations

from collections.abc import Callable

from arm_vcpu_cli.suite.console_lines import ConsoleLines
from arm_vcpu_cli.suite.expectations import Answer, Pattern, Wanted
from arm_vcpu_cli.suite.tap import TapReader


class ConsoleWatch:
    """Watches the output of a guest. ``answer`` gives the guest input, and states whether it is the last; ``stop`` ends
    the run once the result is known."""

    def __init__(self, wanted: Wanted, answer: Callable[[bytes, bool], None], stop: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._answer = answer
        self._stop = stop
        self._lines = ConsoleLines()
        self._at = 0
        """The position in the incomplete line from which to search for the next prompt."""
        self._answers = list(reversed(wanted.answers))
        self.is_over = False
        """Whether the guest was stopped because its result is known."""
        self.tap = TapReader(wanted.tap)
        self.missing: list[Pattern] = list(wanted.expect)
        """The expected patterns that the guest has not printed yet."""
        self.failed: tuple[Pattern, str] | None = None
        """The forbidden pattern that was printed, and the line."""

    @property
    def unanswered(self) -> Answer | None:
        """The next answer, whose prompt has not appeared yet."""
        return self._answers[-1] if self._answers else None

    def begin(self) -> None:
        """Send the input that needs no prompt to the guest, which is about to run."""
        self._prompt("")

    def see(self, data: bytes) -> None:
        """Process output of the guest."""
        for line in self._lines.take(data):
            if self.is_over:
                return
            self._prompt(line)
            self._at = 0
            self._match(line)
            self.tap.take(line)
            self._look()
        if self._answers:
            self._prompt(self._lines.rest)
        elif self.missing or self._wanted.fail:
            self._unfinished()

    def finish(self) -> None:
        """Process the end of the run, which completes the last line."""
        rest = self._lines.rest
        if rest and not self.is_over:
            self._match(rest)
            self.tap.take(rest)

    def _unfinished(self) -> None:
        """Examine an incomplete line, which is written before the guest waits. While prompts are expected, output
        arrives byte by byte, and only complete lines are matched."""
        rest = self._lines.rest
        if rest and not self.is_over:
            self._match(rest)
            self._look()

    def _match(self, line: str) -> None:
        for pattern in self._wanted.fail:
            if self.failed is None and pattern.search(line) is not None:
                self.failed = pattern, line
        if self.missing:
            self.missing = [pattern for pattern in self.missing if pattern.search(line) is None]

    def _prompt(self, line: str) -> None:
        while self._answers:
            prompt = self._answers[-1].prompt
            found = line.find(prompt, self._at)
            if found < 0:
                return
            self._at = found + len(prompt)
            text = self._answers.pop().text
            self._answer(text, not self._answers)

    def _look(self) -> None:
        """Stop the guest as soon as its result is known."""
        if self.failed is not None:
            self._end("printed what --fail forbids")
        elif self._wanted.stops_early and not self.missing and (self.tap.is_complete or not self.tap.seen):
            self._end("printed everything that was expected")

    def _end(self, why: str) -> None:
        self.is_over = True
        self._stop(why)
