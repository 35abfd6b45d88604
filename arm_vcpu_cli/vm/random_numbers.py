"""Random numbers derived from a seed, with a position that can be saved."""

from __future__ import annotations

from random import Random, SystemRandom
from typing import Any, Final

from arm_vcpu_cli.saved import Saved

_ALGORITHM: Final = 3
"""The generator's own version of its state: the Mersenne Twister, which has this many words of 32 bits."""
_WORDS: Final = 624
_MASK32: Final = (1 << 32) - 1


def random_numbers(seed: int, purpose: str, *, of_host: bool) -> Random:
    """Random numbers derived from the seed, separately for each purpose, or the host's, which are not repeatable."""
    return SystemRandom() if of_host else Random(f"{seed} {purpose}")


def save_random(random: Random) -> dict[str, Any] | None:
    """The position, None for the host's random numbers."""
    if isinstance(random, SystemRandom):
        return None
    algorithm, words, _ = random.getstate()
    return {"version": algorithm, "words": list(words[:-1]), "place": words[-1]}


def load_random(random: Random, saved: Saved) -> None:
    """Continue at a position. Raises ValueError if it is not one."""
    if saved.number("version", _ALGORITHM) != _ALGORITHM:
        raise ValueError("random numbers of another generator")
    words = saved.numbers("words", _WORDS, _MASK32)
    random.setstate((_ALGORITHM, (*words, saved.number("place", _WORDS)), None))
