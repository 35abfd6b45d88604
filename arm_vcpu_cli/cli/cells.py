"""Text in the tables of a terminal."""

from __future__ import annotations

from rich.text import Text

from arm_vcpu_cli.printable import LONGEST_LINE, printable


def cell(text: str, style: str = "") -> Text:
    """A piece of text as it may be shown: on one line, and never markup."""
    return Text(printable(text, LONGEST_LINE), style=style)
