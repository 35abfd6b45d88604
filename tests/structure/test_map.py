"""The map of the package, ``arm_vcpu_cli/README.md``, names only what exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

import pytest

from .source import PACKAGE, ROOT, modules

MOST_LINES: Final = 250
_QUOTED: Final = re.compile(r"`([^`\n]+)`")
_PATH: Final = re.compile(r"[\w./]*/[\w./]*|\w+\.(?:py|json|toml)")
_DESCRIBED: Final = re.compile(r"`([\w/]+\.py)` \(((?:`[^`]+`(?:, )?)+)\)")
_MEMBER: Final = re.compile(r"([A-Z]\w+)\.(\w+)")


@cache
def _text() -> str:
    # A line may end between a path and the names behind it.
    return re.sub(r"\n +", " ", (ROOT / PACKAGE / "README.md").read_text(encoding="utf-8"))


def unknown_paths(text: str) -> Iterator[str]:
    """Paths that are neither in the package nor in the project."""
    for quoted in _QUOTED.findall(text):
        if _PATH.fullmatch(quoted) and not any((folder / quoted).exists() for folder in (ROOT / PACKAGE, ROOT)):
            yield quoted


def unknown_names(text: str) -> Iterator[str]:
    """Names behind a path that are not in that file, and members that are in no file that has their class."""
    for path, names in _DESCRIBED.findall(text):
        found = next((folder / path for folder in (ROOT / PACKAGE, ROOT) if (folder / path).exists()), None)
        source = "" if found is None else found.read_text(encoding="utf-8")
        for name in _QUOTED.findall(names):
            if not all(re.search(rf"\b{piece}\b", source) for piece in name.split(".")):
                yield f"{path}: {name}"
    sources = [module.path.read_text(encoding="utf-8") for module in modules()]
    for quoted in _QUOTED.findall(text):
        member = _MEMBER.fullmatch(quoted)
        if member is not None:
            owners = [source for source in sources if re.search(rf"^class {member[1]}\b", source, re.MULTILINE)]
            if not any(re.search(rf"\b{member[2]}\b", source) for source in owners):
                yield quoted


def test_paths_exist() -> None:
    assert list(unknown_paths(_text())) == []


def test_names_exist() -> None:
    assert list(unknown_names(_text())) == []


def test_it_stays_short() -> None:
    assert (ROOT / PACKAGE / "README.md").read_text(encoding="utf-8").count("\n") <= MOST_LINES


def test_every_package_is_on_it() -> None:
    packages = {module.part for module in modules() if module.is_package and module.name.count(".") == 1}
    assert [name for name in sorted(packages) if f"`{name}/`" not in _text()] == []


@pytest.mark.parametrize("text", ["`vm/nowhere.py`", "`nowhere/`", "`nowhere.py`", "in `tests/nowhere`"])
def test_a_path_that_is_not_there_is_found(text: str) -> None:
    assert list(unknown_paths(text))


@pytest.mark.parametrize("text", ["`vm/runner.py` (`_nowhere`)", "`vm/nowhere.py` (`run`)", "`Scheduler.not_there`"])
def test_a_name_that_is_not_there_is_found(text: str) -> None:
    assert list(unknown_names(text))
