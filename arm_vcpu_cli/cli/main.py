"""The ``armvcpu`` command: the one place where errors become a line and a status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final, NoReturn

from arm_vcpu_cli.cli.output import null_stream, say
from arm_vcpu_cli.errors import OUTPUT_FAILED, ArmVcpuError, MachineFileError, StoppedError

INTERRUPTED: Final = 130
_COMMANDS: Final = "arm_vcpu_cli.cli.commands"
_DOCUMENT: Final = "arm_vcpu_cli.board.document"
COMPLETION: Final = "_ARMVCPU_COMPLETE"
"""The variable by which a shell asks for words in the place of a run."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line (by default that of the process) and exit with its status."""
    sys.exit(load(arguments)())


def load(arguments: Sequence[str] | None = None) -> Callable[[], int]:
    """As :func:`main`, in two steps: what the command line needs is loaded, and returned is what runs it to the
    status."""
    _open_missing_streams()
    words = sys.argv[1:] if arguments is None else arguments
    guest = only_guest(words)
    if guest is None:
        return partial(_end, import_module(_COMMANDS).load(words))
    options = import_module("arm_vcpu_cli.cli.guest_options").GuestOptions(guest)
    return partial(_end, partial(import_module("arm_vcpu_cli.cli.session").run_guest, options))


def _end(command: Callable[[], object]) -> int:
    """The status of a command. What it has printed is written by then."""
    try:
        status = _status_of(command)
        sys.stdout.flush()
    except KeyboardInterrupt:
        say("interrupted", _no_longer)
        status = INTERRUPTED
    except StoppedError as error:
        say(str(error), _no_longer)
        status = error.exit_status
    except MachineFileError as error:
        # Loaded by now, unless there is no file.
        status = _fail(str(import_module(_DOCUMENT).located(error)), error.exit_status)
    except ArmVcpuError as error:
        status = _fail(str(error), error.exit_status)
    except OSError as error:
        # Files that the user named have errors of their own; what is left is stdout and stderr.
        status = _fail(error.strerror or str(error), OUTPUT_FAILED)
    return status


def _status_of(command: Callable[[], object]) -> int:
    try:
        status = command()
    except SystemExit as ended:
        # The parser's, of a shell that asks for words.
        status = ended.code
    return status if isinstance(status, int) else 0


def _no_longer() -> bool:
    """Somebody wants to get away: a reader that does not read is not waited for."""
    return True


def only_guest(arguments: Sequence[str]) -> Path | None:
    """The guest of ``run GUEST``; None if there is anything else to parse, or to say about the file.

    The parser takes about as long to load as all that runs a small guest.
    """
    if len(arguments) != 2 or arguments[0] != "run" or arguments[1].startswith("-") or COMPLETION in os.environ:
        return None
    guest = Path(arguments[1])
    # Unlike Path's, this never raises, as for a guest in a folder that may not be searched.
    return guest if os.path.isfile(guest) and os.access(guest, os.R_OK) else None  # noqa: PTH113


def _fail(message: str, status: int) -> int:
    # Errors have a line each; several come of a machine file only.
    for line in message.split("\n"):
        say(f"error: {line}")
    return status


def _open_missing_streams() -> None:
    """Have the null device where a standard stream is closed: nothing else may get its number by accident."""
    sys.stdin = sys.stdin or null_stream("r")
    sys.stdout = sys.stdout or null_stream("w")
    sys.stderr = sys.stderr or null_stream("w")
