"""The help of a command that runs a guest, in sections."""

from __future__ import annotations

import re

from click.testing import CliRunner

from arm_vcpu_cli.cli.run import command as run
from arm_vcpu_cli.cli.trace import command as trace


def sections(text: str) -> dict[str, set[str]]:
    """The long options that stand in each section of a help text."""
    found: dict[str, set[str]] = {}
    title = ""
    for line in text.splitlines():
        if line and not line.startswith(" ") and line.endswith(":"):
            title = line[:-1]
        option = re.match(r"  (?:-\w, )?(--[\w-]+)", line)
        if option is not None:
            found.setdefault(title, set()).add(option[1])
    return found


def test_the_options_of_trace_stand_in_three_sections_its_own_first() -> None:
    found = sections(CliRunner().invoke(trace, ["--help"]).output)
    assert list(found) == [
        "Options",
        "What to log (an event must meet all criteria)",
        "The guest and its machine",
    ]
    own, selection, guest = found.values()
    assert {"--format", "--output", "--timing", "--help"} <= own
    assert {"--only", "--last", "--start-at", "--el1"} <= selection
    assert {"--machine", "--initrd", "--timeout", "--regs"} <= guest


def test_every_option_has_its_place_once() -> None:
    found = sections(CliRunner().invoke(trace, ["--help"]).output)
    declared = {name for parameter in trace.params for name in parameter.opts if name.startswith("--")}
    assert {name for options in found.values() for name in options} == declared | {"--help"}


def test_a_section_without_options_is_left_out() -> None:
    assert list(sections(CliRunner().invoke(run, ["--help"]).output)) == ["Options", "The guest and its machine"]
