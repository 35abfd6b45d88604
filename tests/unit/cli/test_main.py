"""The command's table of subcommands, and what is loaded to show it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
from click.testing import CliRunner

from arm_vcpu_cli.cli.main import COMMANDS, cli

GUARD_SECONDS = 90
NO_LIMIT = 1000


@pytest.mark.parametrize("name", COMMANDS)
def test_the_short_help_in_the_table_is_that_of_the_command(name: str) -> None:
    module, short_help = COMMANDS[name]
    command = import_module(module).command
    assert command.name == name
    assert command.get_short_help_str(NO_LIMIT) == short_help


def test_help_lists_every_command_in_the_order_of_the_table_on_one_line_each() -> None:
    lines = CliRunner().invoke(cli, ["--help"]).stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [[name, text] for name, (_, text) in COMMANDS.items()]


def test_help_loads_no_command() -> None:
    code = """
import contextlib, io, sys
from arm_vcpu_cli.cli.main import COMMANDS, main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(["--help"])
sys.exit(len({module for module, _ in COMMANDS.values()} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=GUARD_SECONDS, check=False).returncode == 0
