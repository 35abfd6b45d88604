"""Output on a terminal or a pipe that cannot encode every character."""

from __future__ import annotations

import io
from typing import TextIO


def escape_unknown(stream: TextIO) -> TextIO:
    """Make a stream write ``\\xe9`` for a character missing from its encoding, instead of failing."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream
