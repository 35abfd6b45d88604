"""``armvcpu completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from arm_vcpu_cli.cli.output import show

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Print the completion script of a shell.

    \b
    Examples:
      armvcpu completion bash >> ~/.bashrc
      armvcpu completion zsh  >> ~/.zshrc
      armvcpu completion fish > ~/.config/fish/completions/armvcpu.fish
    """
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"no completion for {shell}")
    show(completion(ctx.find_root().command, {}, "armvcpu", "_ARMVCPU_COMPLETE").source())
    return 0
