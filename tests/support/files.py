"""Files that tests write step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def appended_to(path: Path) -> Callable[[bytes], object]:
    """A function that writes behind what is in ``path``, which is made anew; the file is never left open."""
    path.write_bytes(b"")

    def write(data: bytes) -> None:
        with path.open("ab") as file:
            file.write(data)

    return write
