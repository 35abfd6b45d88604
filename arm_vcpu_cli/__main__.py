"""The ``armvcpu`` command, also ``python -m arm_vcpu_cli``. A signal prints one line, however early or late it arrives.

Loading the command takes long enough to be interrupted, so this module imports nothing that is slow to load.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from arm_vcpu_cli.code_archive import CodeArchive

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import FrameType
    from typing import Final, NoReturn
else:
    # The C module behind signal. The signal module creates enumerations first, which takes longer than everything else
    # here, and a Ctrl-C at that time reaches the interpreter's own handler.
    import _signal as signal

_COMMAND: Final = "arm_vcpu_cli.cli.main"
_INHERITANCE: Final = "arm_vcpu_cli.cli.inheritance"
_PLAIN: Final = 2
"""The number of words in a command line of a command and its guest."""
_STDERR: Final = 2
_INTERRUPTED: Final = 130
_PATIENCE: Final = 1.0
"""Seconds to wait for the reader of stderr."""
_AGAIN_SECONDS: Final = 0.01


class _Interrupt(BaseException):
    """Ctrl-C. For a KeyboardInterrupt click prints an empty line, and the interpreter may end itself with the
    signal."""


class _Interrupts:
    """Handles the signals that ask a command to end. Signals that were ignored at the start (nohup) stay ignored."""

    def __init__(self) -> None:
        self.raises = False
        """Whether to leave the command with an exception, because there may be something to clean up. An exception in
        the middle of an import may be printed and lost, or mistaken for a missing module."""
        self._said = False
        self._number = int(signal.SIGINT)

    def begin(self) -> None:
        """Handle the signals for the rest of the process."""
        if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, self._handle)
        signal.signal(signal.SIGALRM, self._repeat)
        sys.unraisablehook = self._lost

    def say(self) -> None:
        """Print the one line."""
        if self._said:
            return
        self._said = True
        try:
            if not import_module("select").select([], [_STDERR], [], _PATIENCE)[1]:
                # Nobody reads stderr.
                return
            os.write(_STDERR, b"armvcpu: interrupted\n")
        except (OSError, ValueError):
            return

    def _handle(self, number: int, _frame: FrameType | None) -> NoReturn:
        self._number = number
        if self.raises:
            raise _Interrupt
        # Exit at once: nothing has started, or everything is done.
        self.say()
        os._exit(_INTERRUPTED)

    def _lost(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Try again a little later: the interpreter drops an exception in a destructor or in a callback from C."""
        if isinstance(unraisable.exc_value, _Interrupt):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        else:
            sys.__unraisablehook__(unraisable)

    def _repeat(self, _number: int, _frame: FrameType | None) -> None:
        # A handler installed since then gets the signal.
        signal.raise_signal(self._number)


def _archived(words: Sequence[str]) -> str:
    """Return the name of the archive for a command line. A run without options loads less than one with options."""
    if not words or not (words[0].isascii() and words[0].isalpha()):
        return "archive"
    return f"{words[0]}.archive" if len(words) == _PLAIN else f"{words[0]}.options.archive"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its status.

    Without ``arguments`` this is the command line of the process, and the command then owns the process: its signals,
    the resources that it inherited, and its exit.
    """
    if arguments is not None:
        import_module(_COMMAND).main(arguments)
    interrupts = _Interrupts()
    interrupts.begin()
    status = _INTERRUPTED
    try:
        try:
            # Loaded objects never become garbage, and searching them takes a tenth of the start-up time. Long runs
            # enable the collector again.
            gc.disable()
            archive = CodeArchive(sys.modules[__package__], _archived(sys.argv[1:]))
            sys.meta_path.insert(0, archive)
            command = import_module(_COMMAND).load()
            import_module(_INHERITANCE).give_up(sys.argv[1:])
            interrupts.raises = True
            status = command()
        finally:
            interrupts.raises = False
        if not status:
            archive.renew()
    except _Interrupt:
        interrupts.say()
        status = _INTERRUPTED
    # The interpreter's shutdown is slow, and a signal could kill it halfway. All output is written by now.
    os._exit(status)


if __name__ == "__main__":
    main()
