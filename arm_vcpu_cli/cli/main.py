"""The ``armvcpu`` command: its subcommands, and the one place where errors become a line and a status."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from types import MappingProxyType
from typing import Final

import click

from arm_vcpu_cli.errors import ArmVcpuError

INTERRUPTED: Final = 130

COMMANDS: Final = MappingProxyType(
    {
        "run": "arm_vcpu_cli.cli.run",
        "trace": "arm_vcpu_cli.cli.trace",
        "dtb": "arm_vcpu_cli.cli.dtb",
        "probe": "arm_vcpu_cli.cli.probe",
        "completion": "arm_vcpu_cli.cli.completion",
    }
)
"""Subcommand -> module with a click command named ``command``; loaded when it is used."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name]).command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("arm-vcpu-cli"), prog_name="armvcpu")
def cli() -> None:
    """Run AArch64 guests at EL1 under a modelled EL2, and see every exit.

    \b
    Examples:
      armvcpu run guest.elf                  run it, its console on stdout
      armvcpu trace guest.elf                the log of its exits on stderr
      armvcpu probe                          what the host and the modelled CPU support
    """


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        status = cli.main(prog_name="armvcpu", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("armvcpu: interrupted", err=True)
        status = INTERRUPTED
    except ArmVcpuError as error:
        click.echo(f"armvcpu: error: {error}", err=True)
        status = error.exit_status
    sys.exit(status if isinstance(status, int) else 0)
