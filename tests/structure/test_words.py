"""Docstrings, comments and the manual contain none of the phrases that this project has replaced by plain ones."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from .source import PACKAGE, ROOT, modules

PHRASES: Final = (
    r"as it were",
    r"by (?:its|their) own means",
    r"for ever",
    r"gives? way",
    r"go(?:es)? on",
    r"has a say",
    r"in front of",
    r"(?:is|are) (?:asked for|had|told)",
    r"lends",
    r"of (?:its|their) own accord",
    r"on purpose",
    r"once more",
    r"see the port",
    r"shall",
    r"somebody",
    r"there(?:by|of|upon)",
    r"to be had",
    r"what (?:is said|it costs)",
    r"whoever",
    r"whom",
    r"who asks",
    r"works? out",
)
"""Use instead, for example: continues, reports, forever, before, deliberately, again, computes, should."""
_PHRASE: Final = re.compile(rf"\b(?:{'|'.join(PHRASES)})\b", re.IGNORECASE)
_MANUAL: Final = (ROOT / PACKAGE / "README.md", *sorted((ROOT / PACKAGE / "manual").glob("*.md")))


def phrases(text: str) -> Iterator[str]:
    """The phrases in a text, also across the ends of its lines."""
    yield from _PHRASE.findall(" ".join(text.split()))


def prose(source: str) -> str:
    """The docstrings and comments of a module."""
    strings = [
        node.value.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "\n\n".join([*strings, *(token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT)])


def test_no_module_has_one() -> None:
    found = {module.name: list(phrases(prose(module.path.read_text(encoding="utf-8")))) for module in modules()}
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize("path", _MANUAL, ids=lambda path: path.name)
def test_the_manual_has_none(path: Path) -> None:
    assert list(phrases(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        '"""The guest goes on."""',
        "def f():\n    '''It gives\n    way.'''",
        "x = 1  # for ever",
        "X = 1\n'''Whoever.'''",
    ],
)
def test_a_phrase_is_found(source: str) -> None:
    assert list(phrases(prose(source)))


def test_code_is_not_searched() -> None:
    assert list(phrases(prose("shall = 'goes on'"))) == []
