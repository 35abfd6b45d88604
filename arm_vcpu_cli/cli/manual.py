"""The manual for the command line: Markdown files in the package, one for each topic, and their index.

The index, ``manual/README.md``, defines the order of the topics and the line for each in a list.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final, NamedTuple

_FOLDER: Final = "manual"
_INDEX: Final = "README"
_ENTRY: Final = re.compile(r"^- \[([\w-]+)\]\(\1\.md\): (.+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_LANGUAGE: Final = re.compile(r"^```\w+$", re.MULTILINE)
_LINK: Final = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")


class Topic(NamedTuple):
    """A topic and its line in the list of topics."""

    name: str
    summary: str


def topics() -> tuple[Topic, ...]:
    """All topics, in the order of the index."""
    return tuple(Topic(*entry) for entry in _ENTRY.findall(_read(_INDEX)))


def read_topic(name: str) -> str:
    """The Markdown of a topic, without comments, which control the tests of its examples."""
    return _COMMENT.sub("", _read(name))


def for_a_terminal(text: str) -> str:
    """``text`` without markup that only a code host can render: links to other files become their text, and code blocks
    lose their language."""
    return _LANGUAGE.sub("```", _LINK.sub(r"\1", text))


def _read(name: str) -> str:
    return files("arm_vcpu_cli").joinpath(_FOLDER).joinpath(f"{name}.md").read_text(encoding="utf-8")
