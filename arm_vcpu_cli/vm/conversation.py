"""Talking to a guest on its console: run it until it has printed something, answer, and go on.

A guest is stopped right behind the byte that completes what is awaited, or that shows that it is complete. So a
conversation under the instruction clock repeats exactly, and leaves no mark in a trace.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.errors import ArmVcpuError, UsageError
from arm_vcpu_cli.printable import printable, printable_message
from arm_vcpu_cli.vm.console_text import ConsoleText
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.machine import Machine

_SPAN: Final = 4096
"""Characters that what is awaited may have, if it comes in several lines."""
_SHOWN_LINES: Final = 10
_NEWLINE: Final = "\n"
_MORE: Final = "0aA\0"
"""Characters of the kinds that may follow."""


class ExpectationError(ArmVcpuError):
    """The guest has not printed what was awaited. ``result`` says how the run ended, ``printed`` is what it has printed
    since the last match; the message shows the last lines of that."""

    def __init__(self, awaited: str, result: RunResult, printed: str) -> None:
        self.awaited = awaited
        self.result = result
        self.printed = printed
        super().__init__(awaited)

    def __str__(self) -> str:
        lines = self.printed.strip(_NEWLINE).split(_NEWLINE) if self.printed.strip() else []
        shown = lines[-_SHOWN_LINES:]
        count = f"the last {len(shown)} of {len(lines)} lines" if len(shown) < len(lines) else "all that was printed"
        told = [
            f"the console does not show {self.awaited!r}: {self.result.message}",
            f"{count} since the last match:" if lines else "nothing was printed since the last match",
            *(f"  | {line.expandtabs()}" for line in shown),
        ]
        return "\n".join([printable_message(line) for line in told])


class Conversation:
    """What a guest has printed since the last match, and what is awaited. ``printed`` is what it has printed so far."""

    def __init__(self, machine: Machine, printed: bytes = b"") -> None:
        self._machine = machine
        self._text = ConsoleText()
        self._fresh = [self._text.take(printed)]
        self._window = ""
        """The end of that, which is searched while the guest runs."""
        self._awaited: re.Pattern[str] | None = None
        self._match: re.Match[str] | None = None
        machine.console.observe(self._hear)

    def expect(self, pattern: str | re.Pattern[str], run: Callable[[], RunResult]) -> re.Match[str]:
        """Have ``run`` run the guest until the console shows ``pattern``, unless it does already.

        Raises :class:`ExpectationError` if the run ends before, and :class:`UsageError` for what is no pattern.
        """
        awaited = compiled(pattern)
        fresh = "".join(self._fresh)
        match = _search(awaited, fresh)
        if match is not None:
            self._fresh = [fresh[match.end() :]]
            return match
        self._window = fresh[-_SPAN:]
        result, match = self._run(awaited, run)
        if match is None:
            # Nothing follows for now, so what depends on that counts as well.
            fresh = "".join(self._fresh)
            match = awaited.search(fresh)
            if match is None:
                raise ExpectationError(awaited.pattern, result, fresh)
            self._fresh = [fresh[match.end() :]]
        return match

    def _run(self, awaited: re.Pattern[str], run: Callable[[], RunResult]) -> tuple[RunResult, re.Match[str] | None]:
        console, machine = self._machine.console, self._machine
        before, console.by_byte = console.by_byte, True
        self._awaited, self._match = awaited, None
        try:
            result = run()
        finally:
            console.by_byte = before
            self._awaited = None
        if self._match is not None:
            machine.seen_enough = None
            # What the same call of the guest has printed behind it.
            self._fresh = [self._window]
        return result, self._match

    def _hear(self, data: bytes) -> None:
        text = self._text.take(data)
        self._fresh.append(text)
        awaited = self._awaited
        if awaited is None or not text:
            return
        window = self._window = self._window + text
        if self._match is not None:
            return
        # What ends in an unfinished line is looked for in that and the one before: to search all of it for each byte
        # would take far longer than the guest.
        start = 0
        if _NEWLINE not in text:
            start = max(window.rfind(_NEWLINE, 0, max(window.rfind(_NEWLINE), 0)), 0)
        self._match = _search(awaited, window, start)
        if self._match is not None:
            self._window = window[self._match.end() :]
            self._machine.seen_enough = f"the console shows {printable(repr(awaited.pattern))}"
            self._machine.request_stop()
        elif len(window) > 2 * _SPAN:
            self._window = window[-_SPAN:]


def _search(awaited: re.Pattern[str], text: str, start: int = 0) -> re.Match[str] | None:
    """The first match in a text that goes on. One that may become longer (``\\d+``), or that is there only because
    nothing follows yet (``$`` in the middle of a line), is none."""
    match = awaited.search(text, start)
    if match is None or match.end() < len(text) or text.endswith(_NEWLINE):
        return match
    for more in _MORE:
        longer = awaited.search(text + more, start)
        if longer is None or longer.span() != match.span():
            return None
    return match


def compiled(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    """A regular expression for text, in which ``^`` and ``$`` are the ends of lines. Raises :class:`UsageError`."""
    if isinstance(pattern, re.Pattern):
        if isinstance(pattern.pattern, str):
            return pattern
        raise UsageError("expected a regular expression for text, found one for bytes")
    if not isinstance(pattern, str):
        raise UsageError(f"expected a regular expression, found {type(pattern).__name__}")
    try:
        return re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise UsageError(f"{printable(repr(pattern))} is no regular expression: {error}") from error
