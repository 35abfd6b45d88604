"""The subcommands of ``armvcpu``, and the parsing of its command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, Final

import click

from arm_vcpu_cli.cli.main import COMPLETION
from arm_vcpu_cli.cli.output import tell
from arm_vcpu_cli.cli.statuses import epilog
from arm_vcpu_cli.errors import ArmVcpuError, OutputError, UsageError
from arm_vcpu_cli.version import VERSION

WRONG_USAGE: Final = 2

COMMANDS: Final = MappingProxyType(
    {
        "run": ("arm_vcpu_cli.cli.run", "Run a guest to its end, its console on stdout."),
        "trace": ("arm_vcpu_cli.cli.trace", "Run a guest and log its exits."),
        "exec": ("arm_vcpu_cli.cli.exec", "Run a guest like a program, for other tools that run tests."),
        "test": ("arm_vcpu_cli.cli.test", "Run guests as tests, several at a time."),
        "debug": ("arm_vcpu_cli.cli.debug", "Run a guest in gdb or lldb."),
        "stat": ("arm_vcpu_cli.cli.stat", "Count and time the exits of a guest or a trace."),
        "diff": ("arm_vcpu_cli.cli.diff", "Show where two traces diverge."),
        "report": ("arm_vcpu_cli.cli.report", "Turn a trace into an HTML page with timeline, tables and plots."),
        "walk": ("arm_vcpu_cli.cli.walk", "Walk a guest's translation tables for an address."),
        "snapshot": ("arm_vcpu_cli.cli.snapshot", "Run a guest to a chosen point and save the machine."),
        "explain": ("arm_vcpu_cli.cli.explain", "Decode a register value."),
        "dtb": ("arm_vcpu_cli.cli.dtb", "Write the device tree of a machine."),
        "probe": (
            "arm_vcpu_cli.cli.probe",
            "Report what host and modelled CPU can do, and what a guest needs.",
        ),
        "help": ("arm_vcpu_cli.cli.help", "Show a topic of the manual, or list the topics."),
        "completion": ("arm_vcpu_cli.cli.completion", "Print the completion script of a shell."),
    }
)
"""Subcommand -> (module with a click command named ``command``, its short help); loaded when it is used."""


@contextmanager
def _told() -> Iterator[None]:
    """Report a broken pipe like any other error: the parser would exit with status 1 without a message."""
    try:
        yield
    except BrokenPipeError as error:
        raise OutputError(error.strerror) from error


class _Commands(click.Group):
    def make_context(self, *arguments: Any, **named: Any) -> click.Context:
        with _told():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: click.Context) -> Any:
        with _told():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        command.epilog = epilog(cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help) for name, (_, short_help) in COMMANDS.items()])


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(VERSION, prog_name="armvcpu")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run AArch64 guests at EL1 under a modelled EL2, and see every exit.

    \b
    Examples:
      armvcpu run guest.elf                  run it, its console on stdout
      armvcpu trace guest.elf                the log of its exits on stderr
      armvcpu stat guest.elf                 where its exits come from, and what they cost
      armvcpu trace --format jsonl -o a.jsonl guest.elf && armvcpu report a.jsonl
      armvcpu explain ESR_EL2=0x93258005     what a syndrome means
      armvcpu probe --for guest.elf          whether the modelled CPU has what it needs
      armvcpu help                           the topics of the manual
    """
    if ctx.invoked_subcommand is None:
        tell(ctx.get_help())
        ctx.exit(WRONG_USAGE)


def load(arguments: Sequence[str]) -> Callable[[], object]:
    """:func:`invoke` for ``arguments``, with the module of their command loaded."""
    if arguments and arguments[0] in COMMANDS:
        import_module(COMMANDS[arguments[0]][0])
    return partial(invoke, arguments)


def invoke(arguments: Sequence[str]) -> object:
    """Run the command line ``arguments`` and return its command's result. Raises UsageError for the parser's errors."""
    if COMPLETION in os.environ:
        import_module("arm_vcpu_cli.cli.shells").register()
    elif _is_odd(arguments):
        _answer_others(arguments)
    try:
        return cli.main(arguments, prog_name="armvcpu", standalone_mode=False)
    except click.UsageError as error:
        _answer_others(arguments, is_refused=True)
        command = error.ctx.command_path if error.ctx is not None else "armvcpu"
        # The parser lists choices on separate lines.
        message = error.format_message().replace("\n\t", " ").rstrip(".")
        raise UsageError(f"{message} (see {command} --help)") from error
    except click.ClickException as error:
        raise ArmVcpuError(error.format_message()) from error
    except click.Abort:
        raise KeyboardInterrupt from None


def _is_odd(arguments: Sequence[str]) -> bool:
    """Whether the parser might misread another tool's options as ours: it parses -machine as -m achine."""
    return any(
        (len(word) > 2 and word[0] == "-" and word[1].isalpha())
        or (word in ("-m", "--machine") and (following[:1].isdigit() or following.startswith(("virt", "size="))))
        for word, following in zip_longest(arguments, arguments[1:], fillvalue="")
    )


def _answer_others(arguments: Sequence[str], *, is_refused: bool = False) -> None:
    """Raise UsageError with the line to type, if the arguments are another tool's, or if the parser refuses them and no
    command comes first."""
    retyping = import_module("arm_vcpu_cli.cli.retyping")
    message = retyping.retyped(arguments, COMMANDS)
    if message is None and is_refused and arguments and arguments[0] not in COMMANDS:
        message = retyping.without_command(arguments, COMMANDS)
    if message is not None:
        raise UsageError(message)
