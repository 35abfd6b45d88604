"""Names like one that is not known, among a million."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest
from typing import Final

_MAX_COMPARED: Final = 500
"""Names that are compared in full with one that is not known: each takes longer than all else about it."""
_COMPARED_LENGTH: Final = 128
"""Characters of that one; the time grows with their square."""


def close_names(known_names: Iterable[str], name: str) -> list[str]:
    """Up to three names like ``name``.

    Only those of a fitting length that have most pairs of letters in common with it, for their length, are compared in
    full.
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
    """Those that can be alike, by difflib's measure: of all letters of both, three in five are in common."""
    return [known for known in names if 3 * length <= 7 * len(known) and 3 * len(known) <= 7 * length]
