"""Converts a guest's output into text to search, without terminal control sequences."""

from __future__ import annotations

import codecs
import re
from typing import Final

_ESCAPE: Final = "\x1b"
_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z^-~\\])")
"""Control sequences of a terminal (ECMA-48): CSI, OSC and the short ones. Each ends at its last character."""
_LONGEST_SEQUENCE: Final = 256


class ConsoleText:
    """Decodes UTF-8 piece by piece, without carriage returns and control sequences, even if a piece ends inside one."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def take(self, data: bytes) -> str:
        """Return the text of the next bytes."""
        text = self._held + self._decoder.decode(data).replace("\r", "")
        self._held = ""
        if _ESCAPE not in text:
            return text
        text = _SEQUENCE.sub("", text)
        begun = text.find(_ESCAPE)
        if begun >= 0 and len(text) - begun <= _LONGEST_SEQUENCE:
            # The rest of the sequence has not been printed yet.
            text, self._held = text[:begun], text[begun:]
        return text


def plain_text(data: bytes) -> str:
    """Return the text of everything that a guest has printed."""
    return ConsoleText().take(data)
