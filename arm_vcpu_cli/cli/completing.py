"""Completion of an option's value with functions that load only when a shell requests completion."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_COMPLETE: Final = "arm_vcpu_cli.cli.complete"


def completer(what: str) -> Completer:
    """Return the function ``complete_<what>`` of :mod:`arm_vcpu_cli.cli.complete`, for a parameter's
    ``shell_complete``."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found: list[CompletionItem] = getattr(import_module(_COMPLETE), f"complete_{what}")(ctx, param, incomplete)
        return found

    return complete
