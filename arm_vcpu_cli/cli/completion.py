"""``armvcpu completion``."""

from __future__ import annotations

import click

from arm_vcpu_cli.cli.main import COMPLETION
from arm_vcpu_cli.cli.output import show
from arm_vcpu_cli.cli.shells import SHELLS


@click.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Print the completion script of a shell.

    \b
    Examples:
      armvcpu completion bash >> ~/.bashrc
      armvcpu completion zsh  >> ~/.zshrc
      armvcpu completion fish > ~/.config/fish/completions/armvcpu.fish
    """
    show(SHELLS[shell](ctx.find_root().command, {}, "armvcpu", COMPLETION).source().rstrip("\n"))
    return 0
