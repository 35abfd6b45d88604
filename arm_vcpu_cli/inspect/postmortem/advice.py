"""Advice on a guest that went wrong: what its end usually means, and one thing to do about it."""

from __future__ import annotations

from typing import NamedTuple


class Advice(NamedTuple):
    """What it usually means, as a sentence or two, and one concrete next step; nothing where there is none."""

    meaning: str
    step: str
