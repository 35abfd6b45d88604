"""Finds the guests that are meant by files, folders and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from arm_vcpu_cli.errors import FileError

SUFFIX: Final = ".elf"
"""Of the guests in a folder."""
_MAGIC: Final = frozenset("*?[")


def find_guests(words: Iterable[str]) -> list[Path]:
    """The guests, each once: those of a folder, and of those below it, and of a pattern in the order of their names.

    Raises :class:`FileError` where there is none.
    """
    found: dict[str, Path] = {}
    for word in words:
        for path in _of(word):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _of(word: str) -> Iterator[Path]:
    path = Path(word)
    # Unlike Path's, these never raise.
    if os.path.isdir(word):  # noqa: PTH112
        found = sorted(_below(path))
        if not found:
            raise FileError(path, f"no guests in this folder: nothing is called *{SUFFIX}")
        yield from found
    elif os.path.lexists(word) or _MAGIC.isdisjoint(word):
        if not os.path.exists(word):  # noqa: PTH110
            raise FileError(path, "no such file or folder")
        yield path
    else:
        matches = sorted(Path(name) for name in glob.glob(word, recursive=True) if os.path.isfile(name))  # noqa: PTH113, PTH207
        if not matches:
            raise FileError(path, "matches no file")
        yield from matches


def _below(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where) / name for name in names if name.endswith(SUFFIX))
