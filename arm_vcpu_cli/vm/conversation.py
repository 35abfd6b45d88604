"""Converses with a guest on its console: runs it until it has printed a text, answers, and continues.

The guest stops right behind the byte that completes the awaited text, or that shows that it is complete. So a
conversation under the instruction clock repeats exactly, and is invisible in a trace.
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
"""The maximum length in characters of a match that spans several lines."""
_SHOWN_LINES: Final = 10
_NEWLINE: Final = "\n"
_MORE: Final = "0aA\0"
"""Sample characters of the kinds that may follow."""


class ExpectationError(ArmVcpuError):
    """The guest has not printed the awaited text. ``result`` is the end of the run, ``printed`` the output since the
    last match, whose last lines the message shows."""

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
    """The guest's output since the last match, and the awaited text. ``printed`` is the output so far."""

    def __init__(self, machine: Machine, printed: bytes = b"") -> None:
        self._machine = machine
        self._text = ConsoleText()
        self._fresh = [self._text.take(printed)]
        self._window = ""
        """The end of the output, which is searched while the guest runs."""
        self._awaited: re.Pattern[str] | None = None
        self._match: re.Match[str] | None = None
        machine.console.observe(self._hear)

    def expect(self, pattern: str | re.Pattern[str], run: Callable[[], RunResult]) -> re.Match[str]:
        """Run the guest with ``run`` until the console shows ``pattern``, unless it does already.

        Raises :class:`ExpectationError` if the run ends first, and :class:`UsageError` for an invalid pattern.
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
            # Nothing follows for now, so matches that depend on that count as well.
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
            # Output that the same call of the guest has printed behind the match.
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
        # A match that ends in an unfinished line is searched for in that line and the one before: searching everything
        # for each byte would take far longer than the guest.
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
    """Return the first match in a text that continues. A match that may become longer (``\\d+``), or that exists only
    because nothing follows yet (``$`` in the middle of a line), does not count."""
    match = awaited.search(text, start)
    if match is None or match.end() < len(text) or text.endswith(_NEWLINE):
        return match
    for more in _MORE:
        longer = awaited.search(text + more, start)
        if longer is None or longer.span() != match.span():
            return None
    return match


def compiled(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    """Compile a regular expression for text, in which ``^`` and ``$`` match at line ends. Raises
    :class:`UsageError`."""
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
