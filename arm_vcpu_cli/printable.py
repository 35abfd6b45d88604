"""Text out of a guest or a file, as it may be shown to people: nothing in it does anything to whoever shows it.

What :meth:`str.isprintable` does not count as printable never gets through: control characters (ESC, and those of C1,
which terminals obey as well), ends of lines, characters that change the direction of text, such as U+202E, or that
cannot be seen, and halves of surrogate pairs, which Python makes of the bytes of file names that are not UTF-8.

Text is made printable where it enters (tables of symbols, names of files, messages of errors); what writes to a
terminal does it once more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

LONGEST_NAME: Final = 400
"""Characters that are shown of a text, unless somebody has a reason for more."""
LONGEST_PATH: Final = 4096
"""Characters of a file name: as many as Linux has bytes for one (PATH_MAX)."""
LONGEST_LINE: Final = 16384
"""Characters of a message: some names of files, and what there is to say about them."""

_UNKNOWN: Final = "\ufffd"
_BYTES: Final = range(0xDC80, 0xDD00)
"""What stands for the bytes 0x80 to 0xFF in a file name that cannot be decoded (PEP 383)."""
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
    r"""``text`` on one line of at most ``longest`` characters; what is not printable as ``\x1b`` or ``\u202e``."""
    if len(text) <= longest and text.isprintable():
        return text
    shown = _escaped(text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - len(_CUT)] + _CUT


def printable_path(path: Path | str) -> str:
    """The name of a file, to show it. A byte that is no character is shown as such: ``\\xe9``."""
    return printable(str(path), LONGEST_PATH)


def printable_message(text: str) -> str:
    """What there is to say about something, on one line; one that is too long is cut in the middle, for what is wrong
    with a name stands behind it."""
    if len(text) <= LONGEST_LINE and text.isprintable():
        return text
    half = (LONGEST_LINE - len(_CUT)) // 2
    shown = _escaped(text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + text[-LONGEST_LINE:])
    return shown if len(shown) <= LONGEST_LINE else shown[:half] + _CUT + shown[-half:]


def printable_lines(text: str, *, coloured: bool = False) -> str:
    """Text whose lines stay lines, however long; if ``coloured``, its changes of colour stay too."""
    return "\n".join([line if line.isprintable() else _line(line, coloured) for line in text.split("\n")])


def decoded(raw: bytes, longest: int = LONGEST_NAME) -> str:
    """UTF-8 out of a file as printable text; U+FFFD stands for each thing that is neither. At most ``longest`` bytes
    of it are looked at."""
    text = raw[:longest].decode("utf-8", "replace")
    return text if text.isprintable() else "".join([char if char.isprintable() else _UNKNOWN for char in text])


def undecoded(raw: bytes) -> str:
    r"""UTF-8 as it is, for those who keep text and do not show it; bytes that are none as ``\xff``."""
    return raw.decode("utf-8", "backslashreplace")


def pictured(text: str) -> str:
    """A line of a console for a page: control sequences are left out, and other control characters are pictures of
    themselves. Tabs stay."""
    if text.isprintable():
        return text
    plain = re.sub(_ESCAPE_SEQUENCE, "", text)
    return "".join([c if c.isprintable() or c == _TAB else _PICTURES.get(c, _UNKNOWN) for c in plain])


def console_text(raw: bytes) -> str:
    """A line of a console, to search it: without control sequences and carriage returns; U+FFFD stands for bytes that
    are no UTF-8."""
    text = raw.decode("utf-8", "replace")
    return text if text.isprintable() else re.sub(_ESCAPE_SEQUENCE, "", text).replace("\r", "")


def for_xml(text: str) -> str:
    """Text without the characters that XML 1.0 cannot hold (production 2, Char)."""
    return re.sub(_NO_XML, "", text)


def _line(line: str, coloured: bool) -> str:
    if not coloured:
        return _escaped(line)
    # Every second piece is a change of colour.
    return "".join([piece if index % 2 else _escaped(piece) for index, piece in enumerate(re.split(_COLOUR, line))])


def _escaped(text: str) -> str:
    return "".join([char if char.isprintable() else _escape(char) for char in text])


def _escape(char: str) -> str:
    code = ord(char)
    if code in _BYTES:
        return f"\\x{code & _BYTE:02x}"
    return f"\\x{code:02x}" if code <= _BYTE else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
