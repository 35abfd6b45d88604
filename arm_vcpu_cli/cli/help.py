"""``armvcpu help``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click
from click.shell_completion import CompletionItem
from rich.console import Console
from rich.markdown import Markdown
from rich.theme import Theme

from arm_vcpu_cli.cli.manual import for_a_terminal, read_topic, topics
from arm_vcpu_cli.cli.output import show
from arm_vcpu_cli.cli.style import colours
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.guest.close_names import close_names
from arm_vcpu_cli.printable import printable_lines

_WIDEST: Final = 120
"""The most columns of a page: longer lines are hard to read."""
_ABOUT_COMMANDS: Final = "For the options of a command: armvcpu COMMAND --help, or armvcpu help COMMAND."


def _complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The topics, and the commands, which have their own help."""
    known = [CompletionItem(topic.name, help=topic.summary) for topic in topics()]
    known += [CompletionItem(name) for name in _commands(ctx).list_commands(ctx)]
    return [item for item in known if str(item.value).startswith(incomplete)]


@click.command("help", short_help="Show a topic of the manual, or list the topics.")
@click.argument("topic", required=False, shell_complete=_complete)
@click.pass_context
def command(ctx: click.Context, topic: str | None) -> int:
    """Show TOPIC of the manual, or the help of a command; without TOPIC, list the topics.

    On a terminal a topic is formatted and shown by a pager (PAGER). Otherwise it is printed as Markdown.

    \b
    Examples:
      armvcpu help
      armvcpu help getting-started
      armvcpu help trace                 the same as armvcpu trace --help
      armvcpu help machine-files | less
    """
    known = topics()
    if topic is None:
        width = max(len(each.name) for each in known)
        lines = [f"  {each.name:{width}}  {each.summary}" for each in known]
        show("\n".join(["Topics of the manual (armvcpu help TOPIC):", *lines, "", _ABOUT_COMMANDS]))
    elif topic in {each.name for each in known}:
        _show_topic(topic)
    else:
        _show_command(ctx, topic, [each.name for each in known])
    return 0


def _show_topic(name: str) -> None:
    text = read_topic(name)
    if not sys.stdout.isatty():
        show(text.rstrip("\n"))
        return
    coloured = colours(sys.stdout)
    console = Console(
        width=min(Console(file=sys.stdout).width, _WIDEST),
        color_system="standard" if coloured else None,
        force_terminal=coloured,
        theme=Theme({"markdown.code": "bold cyan"}),
    )
    with console.capture() as captured:
        console.print(Markdown(for_a_terminal(text), code_theme="ansi_dark", hyperlinks=False))
    with _interrupts_for_the_pager():
        # click determines whether the pager supports colours.
        click.echo_via_pager(printable_lines(captured.get(), coloured=coloured))


@contextmanager
def _interrupts_for_the_pager() -> Iterator[None]:
    """Leave Ctrl-C to the pager, where it ends a search: if this process ended, pager and shell would compete for the
    keys."""
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _show_command(ctx: click.Context, name: str, names: list[str]) -> None:
    group = _commands(ctx)
    found = group.get_command(ctx, name)
    if found is None:
        close = close_names([*names, *group.list_commands(ctx)], name)
        hint = f"did you mean {' or '.join(close)}?" if close else "`armvcpu help` lists them"
        raise UsageError(f"there is no topic or command {name!r}; {hint}")
    show(found.get_help(click.Context(found, info_name=name, parent=ctx.find_root())))


def _commands(ctx: click.Context) -> click.Group:
    group = ctx.find_root().command
    assert isinstance(group, click.Group)
    return group
