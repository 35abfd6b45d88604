"""Every example of the README and of the manual runs, and prints what it shows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from arm_vcpu_cli.board.loading import load_machine
from tests.integration.command import GUARD_SECONDS, REPOSITORY, SAMPLES, environment
from tests.support.tools import require_file

from .examples import FILES, Block, assignments, blocks, mismatch, run

NOT_RUN: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("linux.md", "samples/linux/fetch.sh"): "it downloads a kernel",
        ("smp.md", "armvcpu run --smp 4 --schedule 1 tests/integration/guests/smp/torture.elf | grep ^broken"): (
            "it takes a minute; test_several.py runs a smaller one"
        ),
        ("smp.md", "armvcpu run --smp 4 --schedule 2 tests/integration/guests/smp/torture.elf | grep ^broken"): (
            "the same"
        ),
    }
)
"""(file, first line of a command) -> why the test does not run it."""

BLOCKS: Final = tuple(block for path in FILES for block in blocks(path))
CONSOLES: Final = tuple(block for block in BLOCKS if block.language == "console")
NEEDED: Final[Mapping[str, tuple[Path, ...]]] = MappingProxyType(
    {
        "linux": (SAMPLES / "linux" / "build" / "vmlinuz", SAMPLES / "linux" / "build" / "initrd.gz"),
        "gdb": (Path("/usr/bin/gdb-multiarch"),),
        "u-boot": (Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin"),),
    }
)
"""The files without which an example with this mark cannot run."""
MARKS: Final = frozenset({*NEEDED, "numbers"})
LANGUAGES: Final = frozenset({"console", "python", "text", "toml"})
"""Of the fenced blocks; the two of the README that set up an environment have none, and ``.ci/run`` runs them."""


def ident(block: Block) -> str:
    return block.name


@pytest.mark.parametrize("block", CONSOLES, ids=ident)
def test_an_example_prints_what_it_shows(block: Block, tmp_path: Path) -> None:
    for mark in block.marks:
        for path in NEEDED.get(mark, ()):
            require_file(str(path))
    wanted = [command for command in block.commands if (block.file.name, command.first_line) not in NOT_RUN]
    ran = run([command.text for command in wanted], assignments(block), tmp_path)
    assert len(ran) == len(wanted), ran
    last = max((index for index, each in enumerate(wanted) if not each.text.startswith("echo ")), default=-1)
    for index, (command, result) in enumerate(zip(wanted, ran, strict=True)):
        numbers = not {"linux", "numbers"}.isdisjoint(block.marks)
        difference = mismatch(command.output, result.output, numbers=numbers)
        assert not difference, f"$ {command.text}\n{difference}\n\nall that it printed:\n" + "\n".join(result.output)
        assert result.status == (block.status if index == last else 0), f"$ {command.text}"


def test_what_is_not_run_is_there() -> None:
    commands = {(block.file.name, command.first_line) for block in CONSOLES for command in block.commands}
    assert set(NOT_RUN) <= commands


def test_no_block_passes_by() -> None:
    """A block in another language than these, or without one, would not be looked at."""
    unknown = [block for block in BLOCKS if block.language not in LANGUAGES]
    assert [(block.file.name, block.language) for block in unknown] == [("README.md", "")] * 2
    for block in BLOCKS:
        prompts = [line for line in block.lines if line.startswith("$ ")]
        assert bool(prompts) == (block.language == "console"), block.name
        assert all(mark in MARKS or mark.startswith("status ") for mark in block.marks), block.name


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language == "python"], ids=ident)
def test_a_program_prints_what_the_text_below_it_shows(block: Block) -> None:
    below = next(each for each in blocks(block.file) if each.line > block.line)
    assert below.language == "text", f"no output below {block.name}"
    finished = subprocess.run(
        [sys.executable, "-c", "\n".join(block.lines)],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GUARD_SECONDS,
        check=False,
        env=environment(),
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert mismatch(below.lines, finished.stdout.splitlines(), numbers=False) == ""


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language == "toml"], ids=ident)
def test_a_machine_file_is_one(block: Block, tmp_path: Path) -> None:
    for name in ("rom.bin", "initrd.gz", "blob.bin"):
        (tmp_path / name).write_bytes(b"\0")
    path = tmp_path / "machine.toml"
    path.write_text("\n".join(block.lines))
    assert load_machine(path).path == path


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["a", "b"], ["a"]),
        (["a"], ["a", "b"]),
        ([], ["a"]),
        (["a", "...", "c"], ["a", "b"]),
        (["a", "...", "c"], ["b", "c"]),
        (["a", "...", "c"], ["a", "c", "d"]),
        (["a ...", "c"], ["a b", "b", "c"]),
        (["1 exit"], ["2 exit"]),
    ],
)
def test_a_difference_is_found(shown: list[str], printed: list[str]) -> None:
    assert mismatch(shown, printed, numbers=False)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["a", "b"], ["a", "b "]),
        (["..."], []),
        (["...", "c"], ["c"]),
        (["a", "...", "c", "..."], ["a", "b", "c", "d"]),
        (["a", "...", "c d"], ["a", "c", "c d"]),
        (["a...", "...b"], ["a (", ") b"]),
    ],
)
def test_what_is_left_out_may_be_anything(shown: list[str], printed: list[str]) -> None:
    assert mismatch(shown, printed, numbers=False) == ""


def test_numbers_may_differ_where_they_are_not_compared() -> None:
    assert mismatch(["[ 0.1] up 12 s, 0x1f"], ["[   10.25] up 7 s, 0x3"], numbers=True) == ""
    assert mismatch(["[ 0.1] up"], ["[ 0.1] down"], numbers=True)
