"""Examples in the README and in the manual: blocks of Markdown, what they run, and what they say it prints.

An example is a fenced block of the language ``console``: lines that begin with ``$ `` are commands (a line that ends in
``\\`` or ``|`` goes on in the next one), the lines below a command are what it prints on both streams. ``...`` alone on
a line stands for any number of lines, within a line for any text. All commands of a block share a shell; variables that
a block sets on a line of its own are set in the blocks below it too.

An HTML comment on the line before a block, ``<!-- example: MARKS -->``, says what Markdown cannot show: ``linux`` (it
boots the kernel of samples/linux; numbers are not compared), ``u-boot`` (it boots that), ``numbers`` (numbers and the
space between columns are not compared), and ``status N`` (of the last command that is not ``echo``; that of all others
is 0).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.command import REPOSITORY, environment

MANUAL: Final = REPOSITORY / "arm_vcpu_cli" / "manual"
FILES: Final = (REPOSITORY / "README.md", *sorted(MANUAL.glob("*.md")))
GUARD_SECONDS: Final = 300
"""Only so that a command that hangs fails its test."""
PROMPT: Final = "$ "
ANY: Final = "..."
_FENCE: Final = re.compile(r"```(\w*)$")
_MARKS: Final = re.compile(r"<!-- example: (.+) -->$")
_ASSIGNMENT: Final = re.compile(r"\w+=\S+$")
_NUMBER: Final = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?(?: [num]?s\b)?")
_END: Final = "\x1e"


@dataclass(frozen=True)
class Command:
    """A command of an example, and the lines that are below it."""

    text: str
    output: tuple[str, ...]

    @property
    def first_line(self) -> str:
        """Its name where examples are listed."""
        return self.text.partition("\n")[0]


@dataclass(frozen=True)
class Block:
    """A fenced block, with the marks that stand before it."""

    file: Path
    line: int
    language: str
    lines: tuple[str, ...]
    marks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Where it is: ``traces.md:12``."""
        return f"{self.file.name}:{self.line}"

    @property
    def status(self) -> int:
        """That of its last command."""
        return next((int(mark.removeprefix("status ")) for mark in self.marks if mark.startswith("status ")), 0)

    @property
    def commands(self) -> tuple[Command, ...]:
        """The commands of a console."""
        found: list[Command] = []
        text = ""
        for line in self.lines:
            if text.endswith(("\\", "|")):
                text += f"\n{line}"
            elif line.startswith(PROMPT):
                text = line.removeprefix(PROMPT)
            else:
                last = found.pop()
                found.append(Command(last.text, (*last.output, line)))
                continue
            if not text.endswith(("\\", "|")):
                found.append(Command(text, ()))
        return tuple(found)


def blocks(path: Path) -> Iterator[Block]:
    """The fenced blocks of a file of Markdown."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start: int | None = None
    language, marks = "", ()
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if start is None:
            start, language = number, fence[1]
            found = _MARKS.match(lines[number - 2]) if number > 1 else None
            marks = tuple(found[1].split(", ")) if found else ()
        else:
            yield Block(path, start, language, tuple(lines[start : number - 1]), marks)
            start = None
    assert start is None, f"{path.name}:{start}: a block that does not end"


def assignments(block: Block) -> list[str]:
    """Variables that the blocks above this one set."""
    above = (each for each in blocks(block.file) if each.language == "console" and each.line < block.line)
    return [command.text for each in above for command in each.commands if _ASSIGNMENT.match(command.text)]


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its status."""

    output: tuple[str, ...]
    status: int


def run(commands: Sequence[str], before: Sequence[str], folder: Path) -> list[Ran]:
    """Run commands in one shell, in a folder from which the project's own files have their names."""
    for name in ("samples", "tests"):
        (folder / name).symlink_to(REPOSITORY / name)
    script = [f'armvcpu() {{ "{sys.executable}" -m arm_vcpu_cli "$@"; }}', "exec 2>&1", *before, "status=0"]
    for command in commands:
        script += ["(exit $status)", command, "status=$?", "printf '\\036%d\\n' $status"]
    finished = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=GUARD_SECONDS,
        check=False,
        cwd=folder,
        env={**environment(), "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))},
    )
    text = finished.stdout.decode("utf-8", "replace").replace("\r\n", "\n")
    pieces = re.split(rf"{_END}(\d+)\n", text)
    return [
        Ran(tuple(output.splitlines()), int(status)) for output, status in zip(pieces[0::2], pieces[1::2], strict=False)
    ]


def mismatch(shown: Sequence[str], printed: Sequence[str], *, numbers: bool) -> str:
    """Why ``printed`` is not what an example shows; empty if it is."""
    at = 0
    for floats, piece in _pieces(shown):
        patterns = [_pattern(line, numbers) for line in piece]
        last = len(printed) - len(patterns)
        starts = range(at, last + 1) if floats else [at]
        found = next((start for start in starts if start <= last and _fits(patterns, printed[start:], numbers)), None)
        if found is None:
            return f"from line {at + 1} of the output on, nothing is like\n" + "\n".join(piece)
        at = found + len(patterns)
    if at != len(printed) and (not shown or shown[-1].strip() != ANY):
        return f"the output goes on with\n{printed[at]}"
    return ""


def _pieces(shown: Sequence[str]) -> Iterator[tuple[bool, list[str]]]:
    """Lines that follow each other, and whether others may come before them. The last piece ends the output."""
    piece: list[str] = []
    floats = False
    for line in shown:
        if line.strip() == ANY:
            if piece:
                yield floats, piece
            piece, floats = [], True
        else:
            piece.append(line)
    if piece:
        yield floats, piece


def _pattern(line: str, numbers: bool) -> re.Pattern[str]:
    pieces = [re.escape(_comparable(piece, numbers)) for piece in line.rstrip().split(ANY)]
    return re.compile(".*".join(pieces))


def _fits(patterns: Sequence[re.Pattern[str]], lines: Sequence[str], numbers: bool) -> bool:
    return all(
        pattern.fullmatch(_comparable(line.rstrip(), numbers)) for pattern, line in zip(patterns, lines, strict=False)
    )


def _comparable(text: str, numbers: bool) -> str:
    return re.sub(" +", " ", _NUMBER.sub("#", text)) if numbers else text
