"""Colour: when it is used, and that every role has a style."""

from __future__ import annotations

import io

import click
import pytest

from arm_vcpu_cli.cli.style import colours, event_style
from arm_vcpu_cli.trace.event import EVENT_TYPES
from arm_vcpu_cli.trace.text import ROLES


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return monkeypatch


def test_there_is_colour_on_a_terminal_and_nowhere_else() -> None:
    assert colours(Terminal())
    assert not colours(io.StringIO())


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("NO_COLOR", "1", False), ("NO_COLOR", "0", False), ("NO_COLOR", "", True), ("TERM", "dumb", False)],
)
def test_the_environment_has_a_say(environment: pytest.MonkeyPatch, name: str, value: str, expected: bool) -> None:
    environment.setenv(name, value)
    assert colours(Terminal()) is expected


@pytest.mark.parametrize("choice", [True, False])
def test_the_user_has_the_last_word(environment: pytest.MonkeyPatch, choice: bool) -> None:
    environment.setenv("NO_COLOR", "1")
    for stream in (Terminal(), io.StringIO()):
        assert colours(stream, choice) is choice


@pytest.mark.parametrize(
    "role", sorted({*ROLES.values(), "place", "syndrome", "faint", "exception", "irq", "state", "console"})
)
def test_a_role_is_an_escape_sequence_around_the_same_text(role: str) -> None:
    styled = event_style("text", role)
    assert styled.endswith("\x1b[0m") == (styled != "text")
    assert click.unstyle(styled) == "text"


def test_what_is_told_apart_looks_different() -> None:
    looks = [event_style("", role) for role in ("read", "write", "call", "fault", "irq", "exception")]
    assert len(set(looks)) == len(looks)


def test_what_has_no_colour_stays_as_it_is() -> None:
    assert event_style("text", "no such role") == "text"
    assert set(EVENT_TYPES) >= {"irq", "state", "console", "exception"}
