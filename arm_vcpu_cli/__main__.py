"""The ``armvcpu`` command, also as ``python -m arm_vcpu_cli``: a signal is one line, however early or late it comes.

Loading the command takes long enough to be interrupted. Nothing that takes long is imported here.
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
    # What signal is made of. That makes enumerations first, longer than all else here takes; whoever interrupts it
    # meets the interpreter.
    import _signal as signal

_COMMAND: Final = "arm_vcpu_cli.cli.main"
_INHERITANCE: Final = "arm_vcpu_cli.cli.inheritance"
_PLAIN: Final = 2
"""Words: a command and its guest."""
_STDERR: Final = 2
_INTERRUPTED: Final = 130
_PATIENCE: Final = 1.0
"""Seconds for which a reader of stderr is waited for."""
_AGAIN_SECONDS: Final = 0.01


class _Interrupt(BaseException):
    """Ctrl-C. For a KeyboardInterrupt click prints an empty line, and the interpreter may kill itself at the end."""


class _Interrupts:
    """What the signals do that ask a command to end. Those that are ignored from outside (nohup) stay so."""

    def __init__(self) -> None:
        self.raises = False
        """Whether there may be something to tidy up, so that the command is left by an exception. An exception in the
        middle of an import may be printed and lost, or taken for a missing module."""
        self._said = False
        self._number = int(signal.SIGINT)

    def begin(self) -> None:
        """Handle them from now on, for the rest of the process."""
        if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, self._handle)
        signal.signal(signal.SIGALRM, self._repeat)
        sys.unraisablehook = self._lost

    def say(self) -> None:
        """The one line."""
        if self._said:
            return
        self._said = True
        try:
            if not import_module("select").select([], [_STDERR], [], _PATIENCE)[1]:
                # Nobody reads it.
                return
            os.write(_STDERR, b"armvcpu: interrupted\n")
        except (OSError, ValueError):
            return

    def _handle(self, number: int, _frame: FrameType | None) -> NoReturn:
        self._number = number
        if self.raises:
            raise _Interrupt
        # There and then: nothing has been begun, or everything is done.
        self.say()
        os._exit(_INTERRUPTED)

    def _lost(self, unraisable: sys.UnraisableHookArgs) -> None:
        """An exception in a destructor or a callback from C goes no further: try again a little later."""
        if isinstance(unraisable.exc_value, _Interrupt):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        else:
            sys.__unraisablehook__(unraisable)

    def _repeat(self, _number: int, _frame: FrameType | None) -> None:
        # Whoever has taken the signal over since gets it.
        signal.raise_signal(self._number)


def _archived(words: Sequence[str]) -> str:
    """The name of the archive for a command line. A run without options loads less than one with."""
    if not words or not (words[0].isascii() and words[0].isalpha()):
        return "archive"
    return f"{words[0]}.archive" if len(words) == _PLAIN else f"{words[0]}.options.archive"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its status.

    Without ``arguments`` the command line is that of the process, which is the command's own then: its signals, what it
    has inherited, and its end.
    """
    if arguments is not None:
        import_module(_COMMAND).main(arguments)
    interrupts = _Interrupts()
    interrupts.begin()
    status = _INTERRUPTED
    try:
        try:
            # Nothing of what is loaded is ever garbage, and looking for some takes a tenth of the start. What runs
            # for long switches the collector on again.
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
    # The interpreter would take its time to shut down, and die of a signal in the middle of it. All is written.
    os._exit(status)


if __name__ == "__main__":
    main()
