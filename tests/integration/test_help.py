"""``armvcpu help``: the manual on a terminal and through a pipe."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from arm_vcpu_cli.cli.manual import topics

from .command import COMMAND, GUARD_SECONDS, REPOSITORY, armvcpu, assert_refused, environment
from .test_terminal import Terminal

MANUAL = REPOSITORY / "arm_vcpu_cli" / "manual"


def on_a_terminal(*arguments: str, **variables: str) -> str:
    """What the command shows on a terminal whose pager is cat."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**environment(), "PAGER": "cat", "TERM": "xterm", "COLUMNS": "100", **variables},
    )
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 65536):
            shown += piece
    except OSError:
        # Linux has EIO for a terminal whose other end is closed.
        pass
    finally:
        os.close(master)
    assert process.wait(GUARD_SECONDS) == 0
    return shown.decode().replace("\r\n", "\n")


def test_each_topic_has_its_line() -> None:
    finished = armvcpu("help")
    assert (finished.status, finished.err) == (0, "")
    lines = finished.out.decode().splitlines()
    assert [tuple(line.split(maxsplit=1)) for line in lines[1:-2]] == [tuple(topic) for topic in topics()]


def test_a_topic_through_a_pipe_is_markdown() -> None:
    finished = armvcpu("help", "stat-and-diff")
    assert (finished.status, finished.err) == (0, "")
    written = (MANUAL / "stat-and-diff.md").read_text(encoding="utf-8").splitlines()
    assert "<!-- example: linux -->" in written
    assert finished.out.decode().splitlines() == [line for line in written if not line.startswith("<!--")]


@pytest.mark.parametrize("topic", [topic.name for topic in topics()])
def test_a_topic_on_a_terminal_is_formatted(topic: str) -> None:
    shown = on_a_terminal("help", topic)
    title = (MANUAL / f"{topic}.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    assert shown.split("\n")[0].strip() == title
    assert not any(mark in shown for mark in ("```", "|---", "](", "<!--", "\x1b"))
    assert max(map(len, shown.splitlines())) <= 100


def test_an_interrupt_is_for_the_pager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pager = tmp_path / "pager"
    pager.write_text(
        "#!/bin/sh\ntrap 'echo noticed; exit 0' INT\ncat > /dev/null\necho ready\nwhile :; do sleep 0.05; done\n"
    )
    pager.chmod(0o755)
    monkeypatch.setenv("PAGER", str(pager))
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal("help", "limits", controlling=True)
    terminal.expect(b"ready")
    terminal.type(b"\x03")
    terminal.expect(b"noticed")
    assert terminal.end() == 0
    assert b"armvcpu:" not in terminal.seen


def test_a_command_has_its_help() -> None:
    finished = armvcpu("help", "trace")
    assert (finished.status, finished.err) == (0, "")
    assert finished.out == armvcpu("trace", "--help").out


@pytest.mark.parametrize(("name", "hint"), [("limts", "did you mean limits?"), ("xyzzy", "`armvcpu help` lists them")])
def test_what_is_neither_is_refused_with_a_hint(name: str, hint: str) -> None:
    assert_refused(armvcpu("help", name), name, hint)


def test_a_reader_that_is_gone_is_an_error() -> None:
    read, write = os.pipe()
    os.close(read)
    finished = subprocess.run(
        [*COMMAND, "help", "limits"],
        stdout=write,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        timeout=GUARD_SECONDS,
        check=False,
        env=environment(),
    )
    os.close(write)
    assert (finished.returncode, finished.stderr.count(b"\n")) == (120, 1)


def test_the_shell_completes_topics_and_commands() -> None:
    words = {"_ARMVCPU_COMPLETE": "bash_complete", "COMP_WORDS": "armvcpu help tr", "COMP_CWORD": "2"}
    finished = subprocess.run(
        [*COMMAND],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=GUARD_SECONDS,
        check=False,
        env={**environment(), **words},
    )
    assert finished.stdout.split() == ["plain,traces", "plain,trace-schema", "plain,trace"]
