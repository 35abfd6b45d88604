"""Makes text from a guest or a file safe to show: it cannot control the terminal that displays it.

Characters that :meth:`str.isprintable` rejects never get through: control characters (ESC, and those of C1, which
terminals obey as well), line ends, characters that change the direction of text, such as U+202E, or that are invisible,
and lone surrogates, which Python makes of the bytes of file names that are not UTF-8.

Text is made printable where it enters the program (symbol tables, file names, error messages), and again where it
is written to a terminal.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.file_paths import FilePath

LONGEST_NAME: Final = 400
"""The default limit for the length of a text, in characters."""
LONGEST_PATH: Final = 4096
"""The longest file name shown, in characters: Linux's limit in bytes (PATH_MAX)."""
LONGEST_LINE: Final = 16384
"""The longest message, in characters: several file names and the text about them."""

_UNKNOWN: Final = "\ufffd"
_BYTES: Final = range(0xDC80, 0xDD00)
"""The surrogates that stand for the bytes 0x80 to 0xFF of a file name that cannot be decoded (PEP 383)."""
_BYTE: Final = 0xFF
_COLOUR: Final = r"(\x1b\[[0-9;]*m)"
"""A change of colour (ECMA-48, SGR), as our own styles write it."""
_ESCAPE_SEQUENCE: Final = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
"""Control sequences of a terminal (ECMA-48): CSI, OSC and the short ones."""
_PICTURES: Final[Mapping[str, str]] = MappingProxyType({chr(code): chr(0x2400 + code) for code in range(0x20)})
_NO_XML: Final = "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
_TAB: Final = "\t"
_CUT: Final = "..."


def printable(text: str, longest: int = LONGEST_NAME) -> str:
    r"""Return ``text`` on one line of at most ``longest`` characters; others are escaped as ``\x1b`` or ``\u202e``."""
    if len(text) <= longest and text.isprintable():
        return text
    shown = _escaped(text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - len(_CUT)] + _CUT


def printable_path(path: FilePath) -> str:
    """Return a file name for display. A byte that is not a character is shown as ``\\xe9``."""
    return printable(os.fspath(path), LONGEST_PATH)


def printable_message(text: str) -> str:
    """Return a message on one line. A message that is too long is cut in the middle, because the reason follows the
    name."""
    if len(text) <= LONGEST_LINE and text.isprintable():
        return text
    half = (LONGEST_LINE - len(_CUT)) // 2
    shown = _escaped(text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + text[-LONGEST_LINE:])
    return shown if len(shown) <= LONGEST_LINE else shown[:half] + _CUT + shown[-half:]


def printable_lines(text: str, *, coloured: bool = False) -> str:
    """Return printable text that keeps its lines, of any length, and its colour changes if ``coloured``."""
    return "\n".join([line if line.isprintable() else _line(line, coloured) for line in text.split("\n")])


def decoded(raw: bytes, longest: int = LONGEST_NAME) -> str:
    """Decode UTF-8 from a file as printable text, at most ``longest`` bytes of it; U+FFFD replaces each invalid
    sequence and each unprintable character."""
    text = raw[:longest].decode("utf-8", "replace")
    return text if text.isprintable() else "".join([char if char.isprintable() else _UNKNOWN for char in text])


def undecoded(raw: bytes) -> str:
    r"""Decode UTF-8 for storage rather than display; invalid bytes become ``\xff``."""
    return raw.decode("utf-8", "backslashreplace")


def pictured(text: str) -> str:
    """Return a console line for an HTML page, without control sequences and with other control characters as visible
    pictures (U+2400). Tabs stay."""
    if text.isprintable():
        return text
    plain = re.sub(_ESCAPE_SEQUENCE, "", text)
    return "".join([c if c.isprintable() or c == _TAB else _PICTURES.get(c, _UNKNOWN) for c in plain])


def console_text(raw: bytes) -> str:
    """Return a console line for a search, without control sequences and carriage returns; U+FFFD replaces invalid
    UTF-8."""
    text = raw.decode("utf-8", "replace")
    return text if text.isprintable() else re.sub(_ESCAPE_SEQUENCE, "", text).replace("\r", "")


def for_xml(text: str) -> str:
    """Return text without the characters that XML 1.0 cannot hold (production 2, Char)."""
    return re.sub(_NO_XML, "", text)


def _line(line: str, coloured: bool) -> str:
    if not coloured:
        return _escaped(line)
    # Odd pieces are colour changes.
    return "".join([piece if index % 2 else _escaped(piece) for index, piece in enumerate(re.split(_COLOUR, line))])


def _escaped(text: str) -> str:
    return "".join([char if char.isprintable() else _escape(char) for char in text])


def _escape(char: str) -> str:
    code = ord(char)
    if code in _BYTES:
        return f"\\x{code & _BYTE:02x}"
    return f"\\x{code:02x}" if code <= _BYTE else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
