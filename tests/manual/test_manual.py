"""The manual is complete: its index lists it, its links work, and it agrees with the code that owns its facts."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

from arm_vcpu_cli.cli.commands import COMMANDS
from arm_vcpu_cli.cli.manual import topics
from arm_vcpu_cli.probe.limits import ENGINE, LIMITS, MACHINE
from tests.integration.command import REPOSITORY

from .examples import FILES, MANUAL

MOST_README_LINES: Final = 250
PYTEST_PLUGIN: Final = REPOSITORY / "arm_vcpu_cli" / "pytest_plugin" / "__init__.py"
"""Its options are those of pytest."""
_LINK: Final = re.compile(r"\[[^\]]+\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
_OPTION: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
NOT_OURS: Final = frozenset(
    {"--count", "--exits", "--help", "--qemu", "--rounds", "--run", "--seeds", "--set", "--traps"}
)
"""Options of the click library, and of programs of the tests."""
_BULLET: Final = re.compile(r"^- \*\*.+$", re.MULTILINE)


def _section(text: str, heading: str) -> str:
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_the_index_lists_every_topic_once() -> None:
    names = [topic.name for topic in topics()]
    assert sorted(names) == sorted(path.stem for path in MANUAL.glob("*.md") if path.name != "README.md")


def test_no_topic_has_the_name_of_a_command() -> None:
    assert {topic.name for topic in topics()}.isdisjoint(COMMANDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name if path.parent == MANUAL else "the README")
def test_links_lead_to_files(path: Path) -> None:
    links = _LINK.findall(path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).is_file()] == []


def test_the_readme_stays_short() -> None:
    assert (REPOSITORY / "README.md").read_text(encoding="utf-8").count("\n") <= MOST_README_LINES


@pytest.mark.parametrize("part", [ENGINE, MACHINE])
def test_limits_are_those_that_probe_prints(part: str) -> None:
    written = _BULLET.findall(_section((MANUAL / "limits.md").read_text(encoding="utf-8"), f"Limits of the {part}"))
    of_part = [limit for limit in LIMITS if limit.part == part]
    assert written == [f"- **{limit.topic}**: {limit.text} {limit.sentence}" for limit in of_part]


def test_every_command_is_in_the_manual() -> None:
    text = (MANUAL / "getting-started.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"`armvcpu {name} " not in text and f"`armvcpu {name}`" not in text] == []


def test_options_are_those_of_the_commands() -> None:
    known = set(NOT_OURS)
    for name in COMMANDS:
        command = import_module(COMMANDS[name][0]).command
        known.update(option for each in command.params for option in (*each.opts, *each.secondary_opts))
    known.update(_OPTION.findall(PYTEST_PLUGIN.read_text(encoding="utf-8")))
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert sorted(set(_OPTION.findall(text)) - known) == [], path.name
