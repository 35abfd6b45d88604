"""The benchmark: its guests are those that the Makefile builds, and ratios require equal output."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .bench import chosen, line, measure, show
from .processes import BenchError, Command, finish
from .rows import GUESTS, Pair, Process, Row, rows, rows_against, seconds


@dataclass(frozen=True)
class Given(Row):
    """A row whose pairs are given."""

    pairs: list[Pair] = field(default_factory=list)

    def pair(self, count: int) -> Pair:
        return self.pairs.pop(0)


def python(text: str) -> Command:
    return Command((sys.executable, "-c", text))


def test_the_makefile_builds_the_guests_of_the_rows() -> None:
    built = re.search(r"^GUESTS := (.*)$", (GUESTS / "Makefile").read_text(), re.MULTILINE)
    assert built is not None
    run = {row.guest.file.stem for row in rows() if isinstance(row, Process) and row.guest.file.parent == GUESTS}
    assert set(built[1].split()) == {file.stem for file in GUESTS.glob("*.elf")} == run


def test_the_names_of_rows_differ() -> None:
    names = [row.name for row in rows()]
    assert len(set(names)) == len(names)


def test_rows_are_chosen_by_any_part_of_their_names() -> None:
    table: list[Row] = [Given("boot", "", None), Given("boot, stat", "", None), Given("copy", "", None)]
    assert chosen(table, []) == table
    assert [row.name for row in chosen(table, ["stat", "cop"])] == ["boot, stat", "copy"]


def test_the_first_pair_does_not_count() -> None:
    row = Given("copy", "QEMU", 2, [(9, 1), (3, 1), (2, 1), (8, 2)])
    assert measure(row, 3, 0) == [2, 3, 4]


def test_a_line_has_the_limit_the_median_the_range_and_the_load() -> None:
    row = Given("copy", "QEMU", 1.35, [(1, 1), (3, 1), (2, 1), (4, 1)])
    assert re.fullmatch(r"\| copy \| QEMU \| 1\.35 \| 3\.00 \| 2\.00-4\.00 \| \d+\.\d\d \|", line(row, 3, 0))


def test_cpu_time_is_measured_and_not_how_long_it_took() -> None:
    asleep, awake = seconds(
        python("import time; time.sleep(1)"), python("import time\nwhile time.process_time() < 0.5: pass")
    )
    assert asleep < awake
    assert awake >= 0.5


def test_what_a_process_prints_is_compared() -> None:
    assert finish(python("print('same')")).output == b"same\n"
    seconds(python("print('same')"), python("print('same')"), same_output=True)
    with pytest.raises(BenchError, match=r"the output differs: b'one\\n' and b'two\\n'"):
        seconds(python("print('one')"), python("print('two')"), same_output=True)
    with pytest.raises(BenchError, match="the output differs"):
        seconds(python(""), python(""), same_output=True)


def test_a_process_that_fails_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing(Row):
        def pair(self, count: int) -> Pair:
            return seconds(python("import sys; sys.exit('no good')"), python(""))

    assert show(Failing("copy", "QEMU", 2), 1, 0) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "status 1\nno good" in printed.err


def test_another_checkout_runs_each_command_once(tmp_path: Path) -> None:
    table = rows_against(tmp_path)
    assert "boot of Linux, stat" in {row.name for row in table}
    assert len({row.name for row in table}) == len(table)
    assert all(row.against == str(tmp_path) for row in table)
