"""The ``armvcpu`` command, also as ``python -m arm_vcpu_cli``: Ctrl-C is one line, however early or late it comes.

Loading the command takes long enough for somebody to interrupt it. Nothing that takes long is imported here.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Final, NoReturn

_COMMAND: Final = "arm_vcpu_cli.cli.main"
_STDERR: Final = 2
_INTERRUPTED: Final = 130
_PATIENCE: Final = 1.0
"""Seconds for which a reader of stderr is waited for."""


class _Interrupt(BaseException):
    """Ctrl-C. For a KeyboardInterrupt click prints an empty line, and the interpreter may kill itself at the end."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line (by default that of the process) and exit with its status."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        try:
            if ours:
                # An exception in the middle of an import may be printed and lost, or taken for a missing module.
                signal.signal(signal.SIGINT, _leave)
            # Nothing of what is loaded is ever garbage, and looking for some takes a tenth of the start. What runs
            # for long switches the collector on again.
            gc.disable()
            run = import_module(_COMMAND).load(arguments)
            if ours:
                signal.signal(signal.SIGINT, _raise)
            run()
        finally:
            if ours:
                # While the interpreter shuts down, an interrupt ends the process without a traceback.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
    except (KeyboardInterrupt, _Interrupt):
        _say()
    sys.exit(_INTERRUPTED)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """End the process there and then: nothing has been begun."""
    _say()
    os._exit(_INTERRUPTED)


def _raise(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _Interrupt


def _say() -> None:
    try:
        if not import_module("select").select([], [_STDERR], [], _PATIENCE)[1]:
            # Nobody reads it.
            return
        os.write(_STDERR, b"armvcpu: interrupted\n")
    except (OSError, ValueError):
        return


if __name__ == "__main__":
    main()
