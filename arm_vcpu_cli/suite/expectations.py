"""What a guest must print and must not print, and the answers to its prompts."""

from __future__ import annotations

import re
import warnings
from typing import Final

from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.printable import console_text, printable
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.suite.tap import AUTO

Pattern = re.Pattern[str]

_ESCAPE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.)|$)")
_ESCAPES: Final = {"n": b"\n", "r": b"\r", "t": b"\t", "e": b"\x1b", "\\": b"\\", "0": b"\0"}.get
_NO_NEWLINE: Final = r"\c"
_LONGEST_PATTERN: Final = 4096


class Answer(Record):
    """Sends ``text`` to the guest after it has printed ``prompt``, or at once without one."""

    prompt: str
    text: bytes


class Wanted(Record):
    """The conditions for a guest to pass. A ``status`` of None stands for 0; with ``expect``, the guest is then stopped
    as soon as it has printed everything expected, and its status does not matter."""

    expect: tuple[Pattern, ...] = ()
    fail: tuple[Pattern, ...] = ()
    answers: tuple[Answer, ...] = ()
    tap: str = AUTO
    status: int | None = None
    skip_statuses: tuple[int, ...] = ()

    @property
    def stops_early(self) -> bool:
        """Whether the guest is stopped once it has printed everything expected."""
        return bool(self.expect) and self.status is None


def parse_pattern(option: str, text: str) -> Pattern:
    """Compile a regular expression. Raises :class:`UsageError`."""
    if len(text) > _LONGEST_PATTERN:
        raise UsageError(f"{option}: a regular expression has at most {_LONGEST_PATTERN} characters")
    try:
        with warnings.catch_warnings():
            # Users of a command cannot act on warnings about later versions of Python.
            warnings.simplefilter("ignore")
            return re.compile(text)
    except (re.error, OverflowError, RecursionError, MemoryError) as error:
        raise UsageError(f"{option}: {printable(text)} is no regular expression: {printable(str(error))}") from error


def parse_answer(option: str, text: str) -> Answer:
    r"""Parse ``PROMPT=TEXT`` with C escapes; a newline is appended to the text unless it ends in ``\c``. Raises
    :class:`UsageError`."""
    prompt, equals, answer = text.partition("=")
    if not equals:
        raise UsageError(f"{option}: {printable(text)} is not a prompt and an answer such as 'login: =root'")
    ending = b"\n"
    if answer.endswith(_NO_NEWLINE):
        answer, ending = answer.removesuffix(_NO_NEWLINE), b""
    shown = console_text(_unescaped(option, prompt))
    if "\n" in shown or bool(prompt) is not bool(shown):
        raise UsageError(f"{option}: {printable(text)}: a prompt is part of one line")
    return Answer(shown, _unescaped(option, answer) + ending)


def _unescaped(option: str, text: str) -> bytes:
    found = bytearray()
    at = 0
    for escape in _ESCAPE.finditer(text):
        found += text[at : escape.start()].encode("utf-8", "surrogateescape")
        at = escape.end()
        code, letter = escape[1], escape[2]
        byte = bytes.fromhex(code) if code else _ESCAPES(letter or "")
        if byte is None:
            raise UsageError(rf"{option}: {printable(escape[0])} is none of \n \r \t \e \0 \\ \xHH")
        found += byte
    return bytes(found) + text[at:].encode("utf-8", "surrogateescape")
