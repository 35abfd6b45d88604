"""The exit statuses of each command, as worded in its help. Errors get theirs in ``errors``, runs in ``vm/endings``."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.errors import OUTPUT_FAILED
from arm_vcpu_cli.vm.endings import (
    STATUS_FAULT,
    STATUS_INTERRUPTED,
    STATUS_LIMIT,
    STATUS_NO_PROGRESS,
    STATUS_OFF,
    STATUS_RESET,
)

Statuses = Sequence[tuple[int | str, str]]

_WIDTH: Final = 76
_USAGE: Final = (2, "usage error, or a file that cannot be read or opened for writing; nothing ran")
_OUTPUT: Final = (OUTPUT_FAILED, "the output cannot be written")
_INTERRUPTED: Final = (STATUS_INTERRUPTED, "interrupted: Ctrl-C or a signal")

OF_A_RUN: Final[Statuses] = (
    (STATUS_OFF, "the guest powered itself off"),
    ("N", "the guest's own exit status (semihosting): 0 to 119, and 1 for any other"),
    _USAGE,
    (
        OUTPUT_FAILED,
        "the console, or a file of an option (a trace, a summary, a recording), cannot be written; output written "
        "before is kept",
    ),
    (STATUS_RESET, "the guest requested a reset (with --reboot it restarts)"),
    (STATUS_FAULT, "a fault that the guest cannot handle, or a Linux kernel's panic; a report is on stderr"),
    (
        STATUS_NO_PROGRESS,
        "no more progress: it waits for something that cannot happen, or hangs in a loop that nothing can end",
    ),
    (STATUS_LIMIT, "a limit was reached (--timeout, --max-exits)"),
    (STATUS_INTERRUPTED, "interrupted: Ctrl-A x, Ctrl-C or a signal"),
)
"""Statuses of the guest's end; a failed output takes precedence."""


_OF_A_DEBUGGER: Final[Statuses] = (
    (STATUS_OFF, "the guest powered itself off, or you left the debugger before that"),
    *OF_A_RUN[1:],
)


def _of(*statuses: tuple[int, str]) -> Statuses:
    """The statuses of a command that runs no guest, or only examines one."""
    return (*sorted((*statuses, _USAGE)), _OUTPUT, _INTERRUPTED)


_DONE: Final = (0, "done")

BY_COMMAND: Final[Mapping[str, Statuses]] = MappingProxyType(
    {
        "run": OF_A_RUN,
        "trace": OF_A_RUN,
        "exec": OF_A_RUN,
        "test": _of((0, "every guest has passed, or was skipped"), (1, "at least one guest did not pass")),
        "stat": OF_A_RUN,
        "debug": _OF_A_DEBUGGER,
        "walk": _of(
            (0, "every address was translated, no matter how the guest ended"),
            (1, "at least one address faults"),
            (3, "the guest never reached --at PLACE, or not --count times; nothing is shown"),
        ),
        "snapshot": _of(
            (0, "the snapshot is written, or shown"),
            (
                3,
                "the guest never reached --at PLACE, never printed --console REGEX, or ended first; there is no "
                "snapshot",
            ),
        ),
        "diff": _of((0, "the traces are the same"), (1, "they differ")),
        "report": _of(_DONE),
        "explain": _of(_DONE),
        "dtb": _of(_DONE),
        "help": _of(_DONE),
        "probe": _of(
            (0, "every modelled CPU shown has the virtualisation extension; always with --compare"),
            (1, "at least one lacks it; with --host, the host's KVM is not usable; with --for, the guest cannot run"),
        ),
        "completion": _of(_DONE),
    }
)


def epilog(command: str) -> str | None:
    """The epilog of a command's help for click; None for an unknown command."""
    statuses = BY_COMMAND.get(command)
    if statuses is None:
        return None
    lines = ["\b", "Exit status:"]
    for status, words in statuses:
        lines += textwrap.wrap(words, _WIDTH, initial_indent=f"  {status:<5}", subsequent_indent=" " * 7)
    return "\n".join(lines)
