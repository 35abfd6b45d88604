"""Finds the tests that files, folders and patterns name."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from arm_vcpu_cli.errors import FileError

GUEST_SUFFIX: Final = ".elf"
SCRIPT_SUFFIX: Final = ".sh"
_MOST_TYPED: Final = 1 << 20
"""The maximum size of a file to type, in bytes."""
_MAGIC: Final = frozenset("*?[")


def find_files(words: Iterable[str], suffix: str) -> list[Path]:
    """Return the named files, each once: those at any depth in a folder that end in ``suffix``, and those that match a
    pattern, sorted by name.

    Raises :class:`FileError` for a word without any file.
    """
    found: dict[str, Path] = {}
    for word in words:
        for path in _of(word, suffix):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _of(word: str, suffix: str) -> Iterator[Path]:
    path = Path(word)
    # Unlike Path's, these never raise.
    if os.path.isdir(word):  # noqa: PTH112
        found = sorted(_below(path, suffix))
        if not found:
            raise FileError(path, f"nothing in this folder is called *{suffix}")
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


def _below(folder: Path, suffix: str) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where) / name for name in names if name.endswith(suffix))


def read_script(path: Path) -> bytes:
    """Read the text to type into a guest. Raises :class:`FileError`."""
    try:
        with path.open("rb") as file:
            typed = file.read(_MOST_TYPED + 1)
    except (OSError, ValueError) as error:
        raise FileError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(typed) > _MOST_TYPED:
        raise FileError(path, f"more than {_MOST_TYPED >> 20} MiB to type")
    return typed
