"""Finds names similar to an unknown one, among as many as a million."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest
from typing import Final

_MAX_COMPARED: Final = 500
"""The most names compared in full with an unknown one: each comparison takes longer than everything else."""
_COMPARED_LENGTH: Final = 128
"""The most characters of the unknown name; the time grows with their square."""


def close_names(known_names: Iterable[str], name: str) -> list[str]:
    """Return up to three names like ``name``.

    Only names of a suitable length that share the most pairs of letters with it, relative to their length, are compared
    in full.
    """
    wanted = name[:_COMPARED_LENGTH]
    length = len(wanted)
    names = _fitting(known_names, length)
    if len(names) > _MAX_COMPARED:
        pairs = {wanted[at : at + 2] for at in range(length - 1)}
        names = nlargest(
            _MAX_COMPARED, names, key=lambda known: sum([pair in known for pair in pairs]) / (len(known) + length)
        )
    return get_close_matches(wanted, names, n=3)


def _fitting(names: Iterable[str], length: int) -> list[str]:
    """Return the names that can be similar by difflib's measure, which requires three fifths of all letters in
    common."""
    return [known for known in names if 3 * length <= 7 * len(known) and 3 * len(known) <= 7 * length]
