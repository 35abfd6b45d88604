"""Makes the next block of code check for a request or a stop, from any thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import get_ident
from typing import Final

_ASKED_AGAIN_AFTER: Final = tuple(0.0002 * 2**n for n in range(9))
"""Seconds; 0.1 in all."""


def ask_until(ask: Callable[[int], object], words: int, thread: int, seen: Callable[[], object] = bool) -> None:
    """Call ``ask`` with the address of the words, and repeat that until a block has checked. ``thread`` is the one that
    executes the guest.

    A request is lost if that thread is between loading the budget and the store that follows, which may take as long as
    something else occupies its processor.
    """
    ask(words)
    if get_ident() == thread:
        # The guest is not executing: its thread is in a hook, or outside the engine.
        return
    for wait in _ASKED_AGAIN_AFTER:
        time.sleep(wait)
        if seen():
            return
        ask(words)
