"""Completion in an interactive bash, of names that a shell would execute if it could."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import subprocess
import sys
import termios
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.unit.guest.elf_writer import ElfFile, Load, Symbol

from .command import GUARD_SECONDS, REPOSITORY, armvcpu, environment

BASH: Final = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="no bash")

RAM: Final = 0x4008_0000
SHOW_LINE: Final = "\x07"
"""A key that is bound to telling what is on the line."""
NAMES: Final = {
    "a": "a$(touch pwned)",
    "b": "b`touch pwned`",
    "c": "c;touch pwned",
    "d": "d'\"x",
    "e": "e  two  blanks ",
    "f": "f\ntouch pwned\n",
    "g": "g*",
    "h": "h!!x!$",
    "i": r"i\back\\slash",
    "j": "j,comma,",
    "k": "k&touch pwned",
    "l": "l|touch pwned",
    "m": "m>pwned",
    "n": "n#x",
    "o": "o{1,2}",
    "p": "p$HOME$'x'",
    "q": 'q"$(touch pwned)"',
    "r": "r\N{SNOWMAN}\u00e9",
    "s": "s\x1b[31m$(touch pwned)",
    "t": "t<(touch pwned)",
    "u": "u=(x)",
    "v": "v~?[x]",
    "w": "w${x:=y}:z@",
}
TOGETHER: Final = ("z$(touch pwned)'1", "z$(touch pwned)'2")
COMPLETED: Final = {start: name.replace("\n", "\ufffd").replace("\x1b", "\ufffd") for start, name in NAMES.items()}
"""The names as the command knows them: control characters are none in any name."""


@dataclass(frozen=True)
class Typed:
    """What became of the keys: the line before return, the words that the command got, and the files there are."""

    line: str
    words: list[str]
    files: set[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    symbols = [Symbol(name, RAM) for name in (*NAMES.values(), *TOGETHER)]
    (tmp_path / "g.elf").write_bytes(ElfFile([Load(RAM)], RAM, symbols=symbols).to_bytes())
    (tmp_path / "gfile").touch()
    command = tmp_path / "bin" / "armvcpu"
    command.parent.mkdir()
    # Asked for words it is the command; run, it tells what it was given.
    command.write_text(
        f'#!/bin/sh\n[ -n "$_ARMVCPU_COMPLETE" ] && exec {shlex.quote(sys.executable)} -m arm_vcpu_cli "$@"\n'
        "printf '%s\\0' \"$@\" > words\n"
    )
    command.chmod(0o755)
    script = armvcpu("completion", "bash")
    assert script.status == 0
    (tmp_path / "rc").write_text(
        script.out.decode()
        + "PS1=\nset -H\nbind 'set enable-bracketed-paste off'\nbind 'set bell-style none'\n"
        + 'bind -x \'"\\C-g": printf %s "$READLINE_LINE" > line\'\n'
    )
    return tmp_path


def typed(folder: Path, keys: str, locale: str = "C.UTF-8") -> Typed:
    """Type ``keys`` and return in an interactive bash, and leave it."""
    ours, theirs = pty.openpty()
    # What is typed before bash is there must not be lost: a line ends where it says, and nothing echoes.
    modes = termios.tcgetattr(theirs)
    modes[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(theirs, termios.TCSANOW, modes)
    path = os.pathsep.join((str(folder / "bin"), os.environ["PATH"]))
    own = {"PATH": path, "TERM": "dumb", "LC_ALL": locale, "HISTFILE": "", "PYTHONPATH": str(REPOSITORY)}
    assert BASH is not None
    with subprocess.Popen(
        [BASH, "--noprofile", "--rcfile", "rc", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**environment(), **own},
        start_new_session=True,
    ) as shell:
        os.close(theirs)
        os.write(ours, f"{keys}{SHOW_LINE}\nexit\n".encode())
        # A line that bash does not take for a whole one would have it wait for the rest.
        guard = threading.Timer(GUARD_SECONDS, shell.kill)
        guard.start()
        while _read(ours):
            pass
        guard.cancel()
    os.close(ours)
    words = (folder / "words").read_bytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
    return Typed((folder / "line").read_text(encoding="utf-8"), words, {each.name for each in folder.iterdir()})


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # EIO: nobody holds the other end any more
        return b""


def assert_given(found: Typed, name: str) -> None:
    assert found.words == ["trace", "g.elf", "--start-at", name]
    assert "pwned" not in found.files


@pytest.mark.parametrize("start", NAMES)
def test_a_name_completes_to_itself(folder: Path, start: str) -> None:
    found = typed(folder, f"armvcpu trace g.elf --start-at {start}\t")
    assert_given(found, COMPLETED[start])
    # As bash itself takes the line apart, and as another shell's rules do.
    assert shlex.split(found.line)[-1] == COMPLETED[start]


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("start", ["a", "b", "d", "h", "i", "p", "q"])
def test_a_name_that_was_begun_in_quotes_completes_to_itself(folder: Path, start: str, quote: str) -> None:
    found = typed(folder, f"armvcpu trace g.elf --start-at {quote}{start}\t")
    assert_given(found, COMPLETED[start])


def test_names_that_begin_alike_complete_as_far_as_they_do(folder: Path) -> None:
    found = typed(folder, "armvcpu trace g.elf --start-at z\t\t\t2\t")
    assert_given(found, TOGETHER[1])


def test_a_shell_whose_locale_is_c(folder: Path) -> None:
    assert_given(typed(folder, "armvcpu trace g.elf --start-at a\t", "C"), COMPLETED["a"])


def test_files_complete_as_they_do_everywhere(folder: Path) -> None:
    found = typed(folder, "armvcpu trace gf\t")
    assert found.words == ["trace", "gfile"]


def test_a_file_name_that_is_not_utf_8_is_no_error(folder: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "arm_vcpu_cli"],
        env={
            **environment(),
            "_ARMVCPU_COMPLETE": "bash_complete",
            "COMP_WORDS": os.fsdecode(b"armvcpu\ntrace\ncaf\xe9"),
            "COMP_CWORD": "2",
        },
        cwd=folder,
        capture_output=True,
        timeout=GUARD_SECONDS,
        check=False,
    )
    assert asked.stderr == b""
    assert asked.stdout.startswith(b"file,")
