"""Cells of tables on a terminal."""

from __future__ import annotations

from rich.text import Text

from arm_vcpu_cli.printable import LONGEST_LINE, printable


def cell(text: str, style: str = "") -> Text:
    """Text safe to display: on one line, and never interpreted as markup."""
    return Text(printable(text, LONGEST_LINE), style=style)
