"""The command's table of subcommands, and the modules loaded to show it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from arm_vcpu_cli.cli.commands import COMMANDS, cli
from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.main import only_guest
from arm_vcpu_cli.cli.run import command

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
from arm_vcpu_cli.cli.commands import COMMANDS
from arm_vcpu_cli.cli.main import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(["--help"])
sys.exit(len({module for module, _ in COMMANDS.values()} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=GUARD_SECONDS, check=False).returncode == 0


def test_a_guest_alone_means_what_the_parser_makes_of_it(tmp_path: Path) -> None:
    guest = tmp_path / "guest"
    guest.touch()
    assert only_guest(["run", str(guest)]) == str(guest)
    assert GuestOptions(**command.make_context("run", [str(guest)]).params) == GuestOptions(guest)


def test_all_but_a_guest_alone_is_for_the_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = tmp_path / "guest"
    guest.touch()
    name = str(guest)
    others = [[], ["run"], ["trace", name], ["run", "--regs", name], ["run", name, "--regs"], ["run", "-"], ["run", ""]]
    for arguments in [*others, ["run", str(tmp_path)], ["run", f"{name}.missing"], ["run", "--help"], ["run", "a\0b"]]:
        assert only_guest(arguments) is None, arguments
    monkeypatch.setenv("_ARMVCPU_COMPLETE", "bash_complete")
    assert only_guest(["run", name]) is None


def test_a_guest_whose_name_is_too_long_is_for_the_loader_to_refuse() -> None:
    assert only_guest(["run", "x" * 100_000]) is None
