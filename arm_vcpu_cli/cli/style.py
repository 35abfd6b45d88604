"""When to use colour, and what each colour means."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TextIO

import click

_STYLES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "read": {"fg": "cyan"},
        "write": {"fg": "green"},
        "call": {"fg": "magenta"},
        "fault": {"fg": "red", "bold": True},
        "exception": {"fg": "yellow"},
        "irq": {"fg": "blue"},
        "state": {"dim": True},
        "console": {"bold": True},
        "place": {"bold": True},
        "syndrome": {"dim": True},
        "faint": {"dim": True},
        "changed": {"fg": "yellow", "bold": True},
        "heading": {"bold": True},
        "added": {"fg": "green"},
        "removed": {"fg": "red"},
    }
)


def colours(stream: TextIO, choice: bool | None = None) -> bool:
    """Whether to write in colour to ``stream``: the user's choice, else on a terminal unless NO_COLOR is set and not
    empty (no-color.org)."""
    if choice is not None:
        return choice
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def event_style(text: str, role: str) -> str:
    """``text`` in the colour of its role; unchanged if the role has none."""
    style = _STYLES.get(role)
    return text if style is None else click.style(text, **style)
