"""Making the next block of code look for a request or a stop, from any thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import get_ident
from typing import Final

_ASKED_AGAIN_AFTER: Final = tuple(0.0002 * 2**n for n in range(9))
"""Seconds; 0.1 in all."""


def ask_until(ask: Callable[[int], object], words: int, thread: int, seen: Callable[[], object] = bool) -> None:
    """Call ``ask`` with the address of the words, and repeat that until a block has looked. ``thread`` is the one that
    executes the guest.

    A request is lost if that thread is between a load of the budget and the store that follows, which may last for as
    long as something else has its processor.
    """
    ask(words)
    if get_ident() == thread:
        # The guest does not execute now: its thread is in a hook, or not in the engine.
        return
    for wait in _ASKED_AGAIN_AFTER:
        time.sleep(wait)
        if seen():
            return
        ask(words)
