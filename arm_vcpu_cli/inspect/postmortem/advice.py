"""Advice on a guest that failed: the usual cause of such an end, and one thing to try."""

from __future__ import annotations

from typing import NamedTuple


class Advice(NamedTuple):
    """The usual cause, in a sentence or two, and one concrete next step; empty if there is none."""

    meaning: str
    step: str
