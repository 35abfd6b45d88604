"""Text from guests, files and command lines cannot control the terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .command import COMMAND, GUARD_SECONDS, armvcpu, environment, sample

# A colour, a control sequence of C1, text from right to left, the end of a line, and a byte that is no UTF-8.
HOSTILE = os.fsdecode(b"e\x1b[31m\xc2\x9b2J\xe2\x80\xaex\ny\xe9")
SHOWN = r"e\x1b[31m\x9b2J\u202ex\x0ay\xe9"
PROGRESS = re.compile(r"armvcpu: [^\r\n]* \.\.\.\r\x1b\[K")
"""What is being done, which erases itself."""
ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest, its machine and its traces, all with names that nobody should have."""
    made = tmp_path_factory.mktemp("hostile")
    shutil.copy(sample("hello"), made / f"{HOSTILE}.elf")
    (made / f"{HOSTILE}.toml").write_text('base = "virt"\n')
    (made / "wrong.toml").write_text('[device.uart0]\ntype = "\\u001b[2J\\u009b\\u202e"\n"\\u001b\\u202e" = 1\n')
    (made / f"{HOSTILE}.map").write_text("0000000000001000 T \x1b[2J\n")
    trace = made / f"{HOSTILE}.jsonl"
    assert armvcpu("trace", "-m", made / f"{HOSTILE}.toml", "-o", trace, made / f"{HOSTILE}.elf").status == 0
    lines = trace.read_text().splitlines()
    header, event, end = json.loads(lines[0]), json.loads(lines[3]), json.loads(lines[-2])
    assert end["type"] == "end"
    header |= dict.fromkeys(("guest", "machine", "cpu", "clock", "tool"), HOSTILE)
    event |= {"symbol": HOSTILE, "note": HOSTILE, HOSTILE: HOSTILE, "device": HOSTILE, "register": HOSTILE}
    changed = [json.dumps(each) for each in (header, event, {**end, "message": HOSTILE, "ending": HOSTILE})]
    lines[0], lines[3], lines[-2] = changed
    (made / "changed.jsonl").write_text("\n".join(lines) + "\n")
    return made


def commands() -> Iterator[tuple[str, ...]]:
    """Command lines; {0} is the hostile name."""
    guest, machine, trace = "{0}.elf", "{0}.toml", "{0}.jsonl"
    yield ("run", "--regs", "-m", machine, guest)
    yield ("run", "{0}")
    yield ("run", machine)
    yield ("run", "-m", "{0}", guest)
    yield ("run", "-m", "wrong.toml", guest)
    yield ("run", "--memory", "{0}", guest)
    yield ("run", "--{0}", guest)
    yield ("run", "--initrd", "{0}", guest)
    yield ("run", "--symbols", "{0}.map", guest)
    yield ("run", "--replay", trace, "--clock", "instructions", guest)
    yield ("run", "--record", "{0}/x", "--clock", "instructions", guest)
    yield ("trace", "-m", machine, guest)
    yield ("trace", "--format", "ftrace", "-m", machine, guest)
    yield ("trace", "--format", "jsonl", "-m", machine, guest)
    yield ("trace", "-o", "{0}/x", guest)
    yield ("trace", "--start-at", "{0}", guest)
    yield ("trace", "--device", "{0}", guest)
    yield ("trace", "--only", "{0}", guest)
    yield ("stat", "-m", machine, guest)
    yield ("stat", "-i", "changed.jsonl")
    yield ("stat", "--json", "-i", "changed.jsonl")
    yield ("stat", "-i", guest)
    yield ("report", "--html", "{0}.html", trace)
    yield ("report", "{0}")
    yield ("diff", trace, "changed.jsonl")
    yield ("diff", "--json", trace, "changed.jsonl")
    yield ("diff", "-q", trace, "changed.jsonl")
    yield ("walk", "-m", machine, guest, "main")
    yield ("walk", "--json", guest, "main")
    yield ("walk", guest, "{0}")
    yield ("dtb", "-o", "{0}/x")
    yield ("probe", "--for", guest)
    yield ("probe", "--for", "{0}")
    yield ("explain", "{0}")
    yield ("explain", "--list", "{0}")
    yield ("completion", "{0}")
    yield ("{0}",)


COMMANDS = pytest.mark.parametrize("words", list(commands()), ids=" ".join)


def on_a_terminal(arguments: list[str], folder: Path) -> str:
    """What the command writes where both its outputs are a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**environment(), "NO_COLOR": "1", "TERM": "xterm", "LC_ALL": "C.UTF-8"},
    ) as process:
        os.close(theirs)
        written = b""
        while part := _read(ours):
            written += part
        process.wait(GUARD_SECONDS)
    os.close(ours)
    return PROGRESS.sub("", written.decode("utf-8", "surrogateescape").replace("\r\n", "\n"))


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # EIO: nobody holds the other end any more
        return b""


@COMMANDS
def test_a_terminal_gets_nothing_but_text(words: tuple[str, ...], folder: Path) -> None:
    shown = on_a_terminal([word.format(HOSTILE) for word in words], folder)
    assert shown
    assert [line for line in shown.split("\n") if not line.isprintable()] == []
    assert "Traceback" not in shown


@COMMANDS
def test_a_pipe_that_takes_only_ascii_gets_only_that(words: tuple[str, ...], folder: Path) -> None:
    finished = subprocess.run(
        [*COMMAND, *(word.format(HOSTILE) for word in words)],
        cwd=folder,
        env={**environment(), **ASCII},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=GUARD_SECONDS,
        check=False,
    )
    shown = (finished.stdout + finished.stderr).decode("ascii")
    assert [line for line in shown.split("\n") if not line.isprintable()] == []
    assert "Traceback" not in shown


def test_the_name_of_a_file_can_be_told(folder: Path) -> None:
    finished = armvcpu("run", HOSTILE, cwd=folder)
    assert finished.status == 2
    assert SHOWN in finished.err
    assert finished.err.count("\n") == 1


def strings(value: object) -> Iterator[str]:
    """All strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from strings(each)


@pytest.mark.parametrize("words", [("walk", "--json", "{0}.elf", "main"), ("probe", "--json", "--for", "{0}.elf")])
def test_objects_name_files_as_text(words: tuple[str, ...], folder: Path) -> None:
    found = json.loads(armvcpu(*(word.format(HOSTILE) for word in words), cwd=folder).out)
    assert f"{SHOWN}.elf" in set(strings(found))
    assert [text for text in strings(found) if not text.isprintable()] == []


def test_a_trace_names_its_guest_as_text(folder: Path) -> None:
    header = json.loads((folder / f"{HOSTILE}.jsonl").read_text().splitlines()[0])
    assert (header["guest"], header["machine"]) == (f"{SHOWN}.elf", SHOWN)


def test_a_page_holds_nothing_but_text(folder: Path) -> None:
    assert armvcpu("report", "--html", "page.html", "changed.jsonl", cwd=folder).status == 0
    page = (folder / "page.html").read_text(encoding="utf-8")
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)
    found = re.search(r'<script[^>]*id="data"[^>]*>(.*?)</script>', page, re.S)
    assert found is not None
    data = found[1]
    assert SHOWN.replace("\\", "\\\\") in data
    assert [text for text in strings(json.loads(data)) if not text.isprintable()] == []
    unwanted = {char for char in body if not char.isprintable()} - set("\n\t\u200b\u2009\u202f\u00a0")
    assert unwanted == set()
