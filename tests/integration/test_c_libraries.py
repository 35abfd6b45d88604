"""A program for several C libraries, each with its own semihosting for input, output and files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .command import GUESTS, Finished, armvcpu

# picolibc gives the program a name of its own, and takes the name in the command line for an argument; its stderr is
# the stream that stdout is.
BEGINNING = {
    "picolibc": b"argument 0: program-name\nargument 1: picolibc.elf\nargument 2: first\nargument 3: 33\nan error\n",
    "newlib": b"argument 0: newlib.elf\nargument 1: first\nargument 2: 33\n",
}
ERRORS = {"picolibc": "", "newlib": "an error\n"}

INPUT = b"read: ok\ninput: a line of input\nallocate: ok\n"

FILES = b"""\
open for writing: ok
print: ok
close: ok
append: ok
seek to the end: ok
length 25
read a line: ok
one line, 42
seek: ok
read 4: line
close: ok
write: ok
overwrite: ok
read 10: 012x456789, end 1
close: ok
rename: ok
open what was renamed: No such file or directory
close: ok
remove: ok
remove again: No such file or directory
"""

CLOCKS = b"the clock went on: 1\ntime 1767225600\n"

EVERY_LIBRARY = {
    "SYS_CLOSE",
    "SYS_FLEN",
    "SYS_GET_CMDLINE",
    "SYS_OPEN",
    "SYS_READ",
    "SYS_REMOVE",
    "SYS_RENAME",
    "SYS_SEEK",
    "SYS_TIME",
    "SYS_WRITE",
}

# How each library does what can be done in more than one way.
OPERATIONS = {
    "picolibc": EVERY_LIBRARY | {"SYS_ELAPSED", "SYS_ERRNO", "SYS_READC", "SYS_TICKFREQ", "SYS_WRITEC"},
    "newlib": EVERY_LIBRARY | {"SYS_CLOCK", "SYS_ERRNO", "SYS_HEAPINFO", "SYS_ISTTY"},
}


def run(command: str, library: str, *options: object) -> Finished:
    elf = GUESTS / "semihosting" / f"{library}.elf"
    return armvcpu(command, *options, elf, "--", "first", "33", stdin=b"a line of input\n")


@pytest.mark.parametrize("library", BEGINNING)
def test_a_program_uses_the_console_files_and_clocks(tmp_path: Path, library: str) -> None:
    finished = run("run", library, "--semihosting-dir", tmp_path)
    assert finished.out == BEGINNING[library] + INPUT + FILES + CLOCKS
    assert finished.err == ERRORS[library] + "armvcpu: the guest exited with status 33\n"
    assert finished.status == 33
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        "kept.txt": b"one line, 42\nand another\n",
        "renamed.txt": b"012x456789",
    }


@pytest.mark.parametrize("library", BEGINNING)
def test_without_a_folder_a_program_gets_the_librarys_error(library: str) -> None:
    finished = run("run", library)
    assert finished.out == BEGINNING[library] + INPUT + b"open for writing: Permission denied\n" + CLOCKS
    assert finished.status == 33


@pytest.mark.parametrize("library", BEGINNING)
def test_a_trace_names_the_operations_of_a_library(tmp_path: Path, library: str) -> None:
    trace = tmp_path / "trace.jsonl"
    (tmp_path / "files").mkdir()
    assert run("trace", library, "-o", trace, "--semihosting-dir", tmp_path / "files").status == 33
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    calls = [event for event in events if event.get("conduit") == "semihosting" and event["reason"] == "Hypercall"]
    assert {call["call"] for call in calls} == OPERATIONS[library]
    last = next(event for event in reversed(events) if event["type"] == "exit")
    assert (last["reason"], last["conduit"], last["status"]) == ("SystemDown", "semihosting", 33)
