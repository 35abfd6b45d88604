"""``armvcpu exec``."""

from __future__ import annotations

from typing import Any

import click

from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.options import guest_options
from arm_vcpu_cli.cli.sections import SectionedCommand
from arm_vcpu_cli.cli.session import run_guest
from arm_vcpu_cli.inspect.postmortem.report_wanted import NONE


@click.command(
    "exec",
    cls=SectionedCommand,
    short_help="Run a guest like a program, for other tools that run tests.",
    context_settings={"allow_interspersed_args": False},
)
@guest_options
@click.argument("arguments", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
def command(**options: Any) -> int:
    """Run GUEST as if it were a program of the host: everything after GUEST is its arguments, so options come first.

    This is for tools that start the programs they build through a runner. The guest's console is on stdout, its status
    is that of the command, and there is one line on stderr if the guest fails, without a report. The terminal stays
    unchanged: Ctrl-C ends the run.

    \b
    Examples:
      armvcpu exec build/test_list.elf --filter sort
      armvcpu exec --timeout 10 --memory 64M build/test_list.elf
      CARGO_TARGET_AARCH64_UNKNOWN_NONE_RUNNER="armvcpu exec" cargo test
    """
    return run_guest(GuestOptions(**options, repeatable=True, as_program=True, report=NONE))
