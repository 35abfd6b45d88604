"""The ``armvcpu`` command: the only place that turns errors into a line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Final, NoReturn

from arm_vcpu_cli.cli.output import null_stream, say
from arm_vcpu_cli.errors import OUTPUT_FAILED, ArmVcpuError, MachineFileError, StoppedError

INTERRUPTED: Final = 130
_COMMANDS: Final = "arm_vcpu_cli.cli.commands"
_DOCUMENT: Final = "arm_vcpu_cli.board.document"
COMPLETION: Final = "_ARMVCPU_COMPLETE"
"""The environment variable by which a shell requests completions instead of a run."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line (by default that of the process) and exit with its status."""
    sys.exit(load(arguments)())


def load(arguments: Sequence[str] | None = None) -> Callable[[], int]:
    """As :func:`main`, in two steps: load the modules that the command line needs, and return a function that runs it
    and returns the status."""
    _open_missing_streams()
    words = sys.argv[1:] if arguments is None else arguments
    guest, snapshot = only_guest(words), only_snapshot(words)
    if guest is None and snapshot is None:
        return partial(_end, import_module(_COMMANDS).load(words))
    options = import_module("arm_vcpu_cli.cli.guest_options").GuestOptions(guest, from_snapshot=snapshot)
    return partial(_end, partial(import_module("arm_vcpu_cli.cli.session").run_guest, options))


def _end(command: Callable[[], object]) -> int:
    """Run a command and return its status, with its output flushed."""
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
        # The module is loaded by now, unless there is no file.
        status = _fail(str(import_module(_DOCUMENT).located(error)), error.exit_status)
    except ArmVcpuError as error:
        status = _fail(str(error), error.exit_status)
    except OSError as error:
        # Errors of files named by the user are caught above; the remaining files are stdout and stderr.
        status = _fail(error.strerror or str(error), OUTPUT_FAILED)
    return status


def _status_of(command: Callable[[], object]) -> int:
    try:
        status = command()
    except SystemExit as ended:
        # Raised by the parser for shell completion.
        status = ended.code
    return status if isinstance(status, int) else 0


def _no_longer() -> bool:
    """Whether to stop waiting for a reader: always, because the user has asked to exit."""
    return True


def only_guest(arguments: Sequence[str]) -> str | None:
    """The guest of ``run GUEST``; None if there is anything else to parse, or if the file is in error.

    Loading the parser takes about as long as loading everything that runs a small guest.
    """
    if len(arguments) != 2 or arguments[0] != "run" or arguments[1].startswith("-") or COMPLETION in os.environ:
        return None
    guest = arguments[1]
    # Unlike Path's method, this never raises, for example for a guest in a folder without search permission.
    return guest if os.path.isfile(guest) and os.access(guest, os.R_OK) else None  # noqa: PTH113


def only_snapshot(arguments: Sequence[str]) -> str | None:
    """The snapshot of ``run --from FILE``; as :func:`only_guest`."""
    if len(arguments) != 3 or arguments[1] != "--from":
        return None
    return only_guest((arguments[0], arguments[2]))


def _fail(message: str, status: int) -> int:
    # Each error is one line; only a machine file has several.
    for line in message.split("\n"):
        say(f"error: {line}")
    return status


def _open_missing_streams() -> None:
    """Open the null device for each closed standard stream, so that no other file gets its number."""
    sys.stdin = sys.stdin or null_stream("r")
    sys.stdout = sys.stdout or null_stream("w")
    sys.stderr = sys.stderr or null_stream("w")
