"""A progress message for a long operation, on a terminal only."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.printable import printable

_PATIENCE: Final = 0.4
"""Seconds before the message appears."""
_ERASE_LINE: Final = "\r\x1b[K"


@contextlib.contextmanager
def doing(what: str) -> Iterator[None]:
    """Print ``what`` is being done on stderr while the block runs: only on a terminal, and only if it takes long."""
    stream = sys.stderr
    if not stream.isatty():
        yield
        return
    shown = threading.Event()
    over = threading.Lock()

    def show() -> None:
        with over:
            shown.set()
            stream.write(f"armvcpu: {printable(what)} ...")
            stream.flush()

    timer = threading.Timer(_PATIENCE, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with over:
            if shown.is_set():
                stream.write(_ERASE_LINE)
                stream.flush()
