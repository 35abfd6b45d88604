"""The sections on guests in the report on a failed test: how each ended and why, its console, its last exits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from arm_vcpu_cli.inspect.postmortem.last_exits import folded_exits
from arm_vcpu_cli.inspect.postmortem.report import report_lines, standstill_lines
from arm_vcpu_cli.inspect.postmortem.report_wanted import FULL, NONE, SHORT, wants_report
from arm_vcpu_cli.printable import printable
from arm_vcpu_cli.pytest_plugin.goldens import diffs_of
from arm_vcpu_cli.pytest_plugin.machines import GuestMachine
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.endings import RunResult

_INDENT: Final = "  "
_EXITS_HEADING: Final = "last exits (the latest last):"


class _Form(Record):
    """The level of detail: the form of the report on the guest, and the numbers of console lines and exits."""

    report: str
    console: int
    exits: int


_BRIEF: Final = _Form(NONE, 10, 0)
_NORMAL: Final = _Form(SHORT, 20, 10)
_COMPLETE: Final = _Form(FULL, 200, 40)


def sections(item: pytest.Item, machines: Sequence[GuestMachine]) -> list[tuple[str, str]]:
    """Return a heading and text for each machine, and for each golden that did not match."""
    config = item.config
    asked = config.getoption("armvcpu_report")
    if asked == NONE:
        return [*diffs_of(item)]
    verbosity = config.get_verbosity()
    form = _NORMAL if not verbosity else _BRIEF if verbosity < 0 else _COMPLETE
    if asked is not None:
        form = _COMPLETE if asked == FULL else _NORMAL
    found = [*diffs_of(item)]
    for number, machine in enumerate(machines, 1):
        name = printable(machine.settings.file.name)
        which = f" ({number} of {len(machines)})" if len(machines) > 1 else ""
        found.append((f"guest {name}{which}", "\n".join(_about(machine, form))))
    return found


def _about(machine: GuestMachine, form: _Form) -> Iterator[str]:
    result = machine.last
    if result is None:
        yield "it has not run"
        return
    yield f"{result.message} ({result.exits} exits to EL2)"
    if form.report != NONE:
        yield from _report(machine, result, form)
    yield from _console(machine, form.console)


def _report(machine: GuestMachine, result: RunResult, form: _Form) -> Iterator[str]:
    if not machine.is_open:
        yield "(it was closed before the test failed, so there is no report)"
        return
    parts = machine.machine.parts
    try:
        if wants_report(result, kernel=parts.image.kind == "linux"):
            yield from report_lines(parts, result, form=form.report)
            return
        recent = parts.current.arch.recent_exits()[-form.exits :]
        if recent:
            yield _EXITS_HEADING
            yield from (f"{_INDENT}{line}" for line in folded_exits(parts, recent))
        yield from standstill_lines(parts, result)
    except Exception as error:  # noqa: BLE001
        # The test has failed already, and must be reported whatever else goes wrong.
        yield f"(there is no report: {printable(f'{type(error).__name__}: {error}')})"


def _console(machine: GuestMachine, most: int) -> Iterator[str]:
    printed = machine.console.rstrip("\n")
    lines = printed.split("\n") if printed else []
    if not lines:
        yield "console: nothing was printed"
        return
    shown = lines[-most:]
    yield f"console (the last {len(shown)} of {len(lines)} lines):" if len(shown) < len(lines) else "console:"
    yield from (f"{_INDENT}{printable(line.expandtabs())}" for line in shown)
