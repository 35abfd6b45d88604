"""Random numbers derived from a seed, with a position that can be saved."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from arm_vcpu_cli.saved import Saved

if TYPE_CHECKING:
    from random import Random

_ALGORITHM: Final = 3
"""The generator's own version of its state: the Mersenne Twister, which has this many words of 32 bits."""
_WORDS: Final = 624
_MASK32: Final = (1 << 32) - 1


class RandomNumbers:
    """Random numbers derived from ``seed``, or without one the host's, which are not repeatable.

    Few guests draw any, so the generator is loaded and seeded at the first use.
    """

    def __init__(self, seed: int | str | None) -> None:
        self._seed = seed
        self._source: Random | None = None

    @property
    def source(self) -> Random:
        """The generator."""
        if self._source is None:
            module = import_module("random")
            self._source = module.SystemRandom() if self._seed is None else module.Random(self._seed)
        return self._source

    def randbytes(self, count: int) -> bytes:
        """Draw ``count`` bytes."""
        return self.source.randbytes(count)

    def getrandbits(self, count: int) -> int:
        """Draw an integer of ``count`` bits."""
        return self.source.getrandbits(count)

    def save(self) -> dict[str, Any] | None:
        """Return the position, None for the host's random numbers."""
        if self._seed is None:
            return None
        algorithm, words, _ = self.source.getstate()
        return {"version": algorithm, "words": list(words[:-1]), "place": words[-1]}

    def load(self, saved: Saved) -> None:
        """Continue at a position. Raises ValueError if it is not one."""
        if saved.number("version", _ALGORITHM) != _ALGORITHM:
            raise ValueError("random numbers of another generator")
        words = saved.numbers("words", _WORDS, _MASK32)
        self.source.setstate((_ALGORITHM, (*words, saved.number("place", _WORDS)), None))
