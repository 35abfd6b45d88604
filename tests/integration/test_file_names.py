"""File names that are not text, and locales without letters: every command accepts and prints them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from .command import COMMAND, GUARD_SECONDS, environment, sample

NAME: Final = b"caf\xe9 \xe2\x98\x83"
"""A byte that is no UTF-8, a blank, and a snowman in UTF-8."""
LOCALES: Final[Mapping[str, Mapping[str, str]]] = {
    "C": {"LC_ALL": "C"},
    "POSIX": {"LC_ALL": "POSIX"},
    "C.UTF-8": {"LC_ALL": "C.UTF-8"},
    # Without what Python does of itself where a locale has no letters.
    "ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ASCII output": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"},
}


class Place:
    """A folder, and the command run in it with file names as bytes."""

    def __init__(self, folder: Path, locale: str) -> None:
        self.folder = os.fsencode(folder)
        self._environment = {**environment(), **LOCALES[locale]}

    def armvcpu(self, *arguments: str | bytes, status: int = 0) -> subprocess.CompletedProcess[bytes]:
        """Run the command to its end, which is to be ``status``."""
        finished = subprocess.run(
            [*map(os.fsencode, COMMAND), *map(os.fsencode, arguments)],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GUARD_SECONDS,
            check=False,
        )
        assert b"Traceback" not in finished.stderr, finished.stderr.decode()
        assert finished.returncode == status, finished
        return finished

    def names(self) -> set[bytes]:
        """The files that there are."""
        return {os.fsencode(each.name) for each in Path(os.fsdecode(self.folder)).iterdir()}


@pytest.fixture(params=LOCALES)
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    inner = tmp_path / os.fsdecode(NAME)
    inner.mkdir()
    shutil.copy(sample("hello"), inner / os.fsdecode(NAME + b".elf"))
    # The snowman is in the document; what is no UTF-8 cannot be.
    (inner / os.fsdecode(b"\xe2\x98\x83.bin")).write_bytes(bytes(64))
    (inner / os.fsdecode(NAME + b".toml")).write_bytes(
        b'[memory.blob]\nbase = 0x9000_0000\nsize = "64KiB"\npermissions = "r"\nfile = "\xe2\x98\x83.bin"\n'
    )
    yield Place(inner, request.param)


def test_guests_and_machines(place: Place) -> None:
    plain = place.armvcpu("run", NAME + b".elf")
    assert plain.stdout
    given = place.armvcpu("run", "--regs", "-m", NAME + b".toml", "--symbols", NAME + b".elf", NAME + b".elf")
    assert given.stdout == plain.stdout
    walked = json.loads(place.armvcpu("walk", "--json", "-m", NAME + b".toml", NAME + b".elf", "main").stdout)
    assert walked["guest"].startswith("caf\\xe9 ")
    judged = json.loads(place.armvcpu("probe", "--json", "--for", NAME + b".elf", "-m", NAME + b".toml").stdout)
    assert judged["guest"]["path"].startswith("caf\\xe9 ")
    assert b"caf\\xe9 " in place.armvcpu("probe", "--for", NAME + b".elf").stdout


def test_traces(place: Place) -> None:
    trace, page = NAME + b".jsonl", NAME + b".html"
    place.armvcpu("trace", "-m", NAME + b".toml", "-o", trace, NAME + b".elf")
    assert trace in place.names()
    place.armvcpu("report", trace)
    assert page in place.names()
    assert b"exits" in place.armvcpu("stat", "-i", trace).stdout
    assert json.loads(place.armvcpu("stat", "--json", "-i", trace).stdout)["trace"].startswith("caf\\xe9 ")
    assert b"the same" in place.armvcpu("diff", trace, trace).stdout
    lines = Path(os.fsdecode(place.folder), os.fsdecode(trace)).read_text(encoding="utf-8").splitlines()
    event = json.loads(lines[5])
    # What is shown of another trace has letters in it, wherever it is shown.
    lines[5] = json.dumps({**event, "symbol": "\N{SNOWMAN}"})
    Path(os.fsdecode(place.folder), "other.jsonl").write_text("\n".join(lines) + "\n")
    for words in ((), ("-q",)):
        assert b"caf\\xe9 " in place.armvcpu("diff", *words, trace, "other.jsonl", status=1).stdout
    place.armvcpu("diff", "--json", trace, "other.jsonl", status=1)
    place.armvcpu("stat", "-i", "other.jsonl")
    for suffix in (b".pftrace", b".json", b".gz"):
        place.armvcpu("trace", "-o", NAME + suffix, NAME + b".elf")
    assert {NAME + b".pftrace", NAME + b".json", NAME + b".gz"} <= place.names()


def test_other_outputs(place: Place) -> None:
    place.armvcpu("dtb", "-m", NAME + b".toml", "-o", NAME + b".dtb")
    place.armvcpu("run", "--record", NAME + b".rec", "--clock", "instructions", NAME + b".elf")
    place.armvcpu("run", "--replay", NAME + b".rec", "--clock", "instructions", NAME + b".elf")
    place.armvcpu("stat", "-o", NAME + b".txt", NAME + b".elf")
    assert {NAME + b".dtb", NAME + b".rec", NAME + b".txt"} <= place.names()


@pytest.mark.parametrize(
    "words",
    [
        (b"run", NAME),
        (b"run", b"-m", NAME, b"x"),
        (b"run", b"--symbols", NAME, NAME + b".elf"),
        (b"run", NAME + b".toml"),
        (b"report", NAME),
        (b"stat", b"-i", NAME),
        (b"diff", NAME, NAME),
        (b"probe", b"--for", NAME),
        (b"dtb", b"-o", NAME + b"/x"),
        (b"trace", b"-o", NAME + b"/x", NAME + b".elf"),
    ],
    ids=lambda words: os.fsdecode(words[0]),
)
def test_errors_name_the_file(place: Place, words: tuple[bytes, ...]) -> None:
    finished = place.armvcpu(*words, status=2)
    assert b"caf\\xe9 " in finished.stderr
    assert finished.stderr.count(b"\n") == 1
