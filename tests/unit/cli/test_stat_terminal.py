"""The tables of ``stat`` on terminals of every width: figures are complete, however long they are."""

from __future__ import annotations

import io
import re

import pytest

from arm_vcpu_cli.cli import stat_terminal, stat_view
from arm_vcpu_cli.cli.stat_view import View
from arm_vcpu_cli.trace.exitkey import ExitKey
from arm_vcpu_cli.trace.statistics import Statistics

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_LARGE = 987_654_321_987
_WIDTHS = range(80, 201)
VIEW = View(tables=stat_view.TABLES, top=0, histogram=True)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    """Long runs of many vCPUs, with names of all lengths."""
    made = Statistics()
    for number, reason in enumerate(("MmioRead", "MmioWrite", "SysRegWrite", "Hypercall", "NestedPageFault")):
        key = ExitKey(
            reason, f"dev{number}", f"GICD_ITARGETSR{number}[31:24] write", f"ICC_SGI1R_EL1 {number}",
            "SMCCC 0xc6000001 (vendor hypervisor service, fast, SMC64)", f"a_function_with_a_long_name_{number}" * 2,
            "its_caller", "EL1", f"cpu{60 + number}", f"SGI 1 to cpu{number}-63",
        )  # fmt: skip
        cell = made.cell(key)
        for time in (0, 987_654_321, 3_600_000_000_000):
            made.exit(cell, time, 10 ** (3 * number))
        cell.count += _LARGE
        for action in ("raised", "acknowledged", "ended"):
            made.interrupt(60 + number, 1000 + number, "virtual timer", action, 5, None, 123_456 * 10**number)
    for interrupt in made.interrupts_by_vcpu():
        for action in ("raised", "acknowledged", "ended"):
            interrupt.actions[action] += _LARGE
    for kind in ("data abort", "svc"):
        made.exception(kind, 7)
    return made


def shown(statistics: Statistics, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    stat_terminal.print_statistics(statistics, VIEW, "guest.elf", stream)
    return _ESCAPE.sub("", stream.getvalue()).splitlines()


def figures(lines: list[str]) -> set[str]:
    """Words with a digit in them: numbers with their signs, names of registers and the like."""
    return {word for line in lines for word in re.findall(r"\S*\d\S*", line)}


@pytest.mark.parametrize("width", _WIDTHS)
def test_figures_are_whole(statistics: Statistics, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(statistics, width, monkeypatch)
    assert max(map(len, lines)) <= width
    assert not any("\N{HORIZONTAL ELLIPSIS}" in line for line in lines)
    # The name of a function that is longer than its column goes on in the next line; no number does.
    whole = figures(shown(statistics, 400, monkeypatch))
    parts = {word for word in figures(lines) - whole if "function" not in word and "name" not in word}
    assert {word for word in parts if not any(word in other and "function" in other for other in whole)} == set()


@pytest.mark.parametrize("width", _WIDTHS)
def test_every_row_has_its_count(statistics: Statistics, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(shown(statistics, width, monkeypatch))
    # Five rows of most tables of exits, and three counts of an interrupt as far as there is room for them.
    assert text.count(str(_LARGE + 3)) >= 5 * 7
    assert text.count(str(_LARGE + 1)) >= 5


def test_more_columns_come_with_more_room(statistics: Statistics, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = [
        next(line.split() for line in shown(statistics, width, monkeypatch) if line.startswith(" ") and "count" in line)
        for width in (80, 120, 200)
    ]
    assert [len(each) for each in titles] == sorted(len(each) for each in titles)
    assert "min" not in titles[0]
    assert {"min", "over", "per"} <= set(titles[2])
