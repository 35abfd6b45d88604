"""Output on a terminal or a pipe that cannot encode every character."""

from __future__ import annotations

import io
from typing import TextIO


def escape_unknown(stream: TextIO) -> TextIO:
    """Have a stream write ``\\xe9`` for a character that its encoding does not have, instead of failing."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream
