"""Text is made printable in one place, through which all text for the user passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import text_rules
from .source import PACKAGE, Module, modules, names, parse

Rule = Callable[[Module], Iterator[str]]


def sample(name: str, text: str) -> Module:
    """A module that is not there, to show that a rule can be broken."""
    return parse(f"{PACKAGE}.{name}", Path(f"{name.replace('.', '/')}.py"), text)


@pytest.mark.parametrize(
    "rule",
    [text_rules.own_replacement, text_rules.own_output, text_rules.raw_errors],
    ids=lambda rule: rule.__name__,
)
def test_no_module_breaks(rule: Rule) -> None:
    assert [finding for module in modules() for finding in rule(module)] == []


def test_the_exceptions_are_there() -> None:
    assert {f"{PACKAGE}.{name}" for name in (*text_rules.WRITERS, *text_rules.BYTES)} <= names()


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (text_rules.own_replacement, "guest.bad", "def f(text):\n    return text if text.isprintable() else ''"),
        (text_rules.own_replacement, "guest.bad", "SHOWN = '\\ufffd'"),
        (text_rules.own_replacement, "guest.bad", "def f(raw):\n    return raw.decode('utf-8', 'replace')"),
        (text_rules.own_replacement, "guest.bad", "def f(raw):\n    return raw.decode(errors='backslashreplace')"),
        (text_rules.own_replacement, "cli.bad", "def f(text):\n    return text.encode('unicode_escape')"),
        (text_rules.own_replacement, "cli.bad", "import unicodedata\ndef f(c):\n    return unicodedata.category(c)"),
        (text_rules.own_output, "cli.bad", "print('x')"),
        (text_rules.own_output, "cli.bad", "import click\nclick.echo('x')"),
        (text_rules.own_output, "cli.bad", "from click import echo"),
        (text_rules.own_output, "cli.bad", "from sys import stderr"),
        (text_rules.own_output, "cli.bad", "import sys\nsys.stderr.write('x')"),
        (text_rules.own_output, "cli.bad", "import sys\nwhere = sys.stdout\nwhere.write('x')"),
        (text_rules.own_output, "cli.bad", "import sys\nf(sys.stdout)"),
        (text_rules.own_output, "cli.bad", "from rich.text import Text"),
        (text_rules.own_output, "trace.bad", "class C:\n    def f(self):\n        self._stream.write('x')"),
        (text_rules.own_output, "vm.bad", "import os\nos.write(2, b'x')"),
        (text_rules.own_output, "trace.text", "class C:\n    def f(self):\n        self._stream.write('x')"),
        (text_rules.own_output, "cli.output", "import sys\nsys.stderr.write('x')"),
        (text_rules.raw_errors, "errors", "class BadError(ValueError):\n    def __str__(self):\n        return self.x"),
    ],
)
def test_a_rule_finds(rule: Rule, name: str, text: str) -> None:
    assert list(rule(sample(name, text)))


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (text_rules.own_replacement, "printable", "def f(text):\n    return text.isprintable()"),
        (text_rules.own_replacement, "guest.good", "def f(raw):\n    return raw.decode('utf-8')"),
        (text_rules.own_output, "cli.good", "import sys\nif colours(sys.stdout) and sys.stderr.isatty(): pass"),
        (text_rules.own_output, "cli.good", "import sys\nsys.stderr = sys.stderr or null_stream('w')"),
        (text_rules.own_output, "cli.good", "def f(file, data):\n    file.write(data)"),
        (text_rules.own_output, "host.console_output", "import os\nos.write(1, b'x')"),
        (
            text_rules.raw_errors,
            "errors",
            "class E(ValueError):\n    def __str__(self):\n        return printable_message('')",
        ),
    ],
)
def test_a_rule_lets_pass(rule: Rule, name: str, text: str) -> None:
    assert list(rule(sample(name, text))) == []
