"""``armvcpu test``: guests that pass and fail in every way, in parallel."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml

from tests.integration.command import (
    COMMAND,
    GUARD_SECONDS,
    SAMPLES,
    Finished,
    armvcpu,
    assert_refused,
    environment,
    sample,
)
from tests.support.saying_guest import READS_A_LINE, End, saying
from tests.support.tools import require_file

LINUX = SAMPLES / "linux" / "build"
TAP = "TAP version 13\n1..3\nok 1 - one\nok 2 - two # SKIP no disk\n{result} 3 - three\n"


def run(*arguments: object, cwd: Path | None = None) -> Finished:
    return armvcpu("test", *arguments, cwd=cwd)


def results(finished: Finished) -> list[tuple[str, str]]:
    """The word and the guest of each line of the results."""
    text = finished.out.decode().partition("\n\n")[0]
    return [(found[1], found[2]) for found in re.finditer(r"^([A-Z]+) +(\S+)  .* s", text, re.MULTILINE)]


def reason(finished: Finished) -> str:
    """What is said of the only guest."""
    return finished.out.decode().splitlines()[0].partition(" s  ")[2].strip()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    """A suite of all kinds of guests, and its results in each form."""
    folder = tmp_path_factory.mktemp("mixed")
    saying(folder / "a_pass.elf", "hello\n")
    saying(folder / "b_status.elf", "bye\n", status=3)
    saying(folder / "c_tap.elf", TAP.format(result="ok"))
    saying(folder / "d_tap.elf", TAP.format(result="not ok") + "#   3 is not 4\n")
    saying(folder / "e_hang.elf", "hanging\n", end=End.HANG)
    saying(folder / "f_wait.elf", "\x1b[31mwaiting\x1b[0m \x03\n", end=End.WAIT)
    saying(folder / "g_flood.elf", "all work and no play\n", end=End.FLOOD)
    (folder / "h_broken.elf").write_bytes(b"\x7fELF and no more")
    saying(folder / "i_skip.elf", "1..0 # SKIP no hardware\n")
    saying(folder / "deep" / "j_status77.elf", "", status=77)
    saying(folder / "k_bytes.elf", b"\xff\xfe\x00\x80 1..1\n")
    finished = run(
        *("--max-exits", 20_000, "--jobs", 2, "--skip-status", 77, "--junit", "r.xml", "--json", "r.json"),
        *("--keep", "kept", "--trace", "."),
        cwd=folder,
    )
    return folder, finished


def test_each_has_its_verdict_in_the_order_of_the_names(mixed: tuple[Path, Finished]) -> None:
    _, finished = mixed
    assert results(finished) == [
        ("PASS", "a_pass.elf"),
        ("FAIL", "b_status.elf"),
        ("PASS", "c_tap.elf"),
        ("FAIL", "d_tap.elf"),
        ("SKIP", "deep/j_status77.elf"),
        ("FAIL", "e_hang.elf"),
        ("FAIL", "f_wait.elf"),
        ("FAIL", "g_flood.elf"),
        ("ERROR", "h_broken.elf"),
        ("SKIP", "i_skip.elf"),
        ("PASS", "k_bytes.elf"),
    ]
    assert (finished.status, finished.err) == (1, "")
    last = finished.out.decode().splitlines()[-1]
    assert re.fullmatch(
        r"11 guests in [\d.]+ s: 3 passed, 5 failed, 1 error, 2 skipped; tests: 3 passed, 1 failed, 2 skipped", last
    )


def test_failures_are_told_with_the_console_and_what_the_tests_say(mixed: tuple[Path, Finished]) -> None:
    text = mixed[1].out.decode()
    assert "\nFAIL  b_status.elf\n  the guest exited with status 3\n  console:\n  | bye\n" in text
    assert "\nFAIL  d_tap.elf\n  1 of 3 tests failed: three\n  not ok  three\n    #   3 is not 4\n" in text
    assert "  console, last 20 lines:\n" in text
    # Nothing of a guest does anything to the terminal.
    assert "  | waiting \\x03\n" in text
    assert "\x1b" not in text


def test_the_results_as_xml(mixed: tuple[Path, Finished]) -> None:
    suites = list(JUnitXml.fromfile(str(mixed[0] / "r.xml")))
    assert [suite.name for suite in suites][:3] == ["a_pass.elf", "b_status.elf", "c_tap.elf"]
    assert [(suite.tests, suite.failures, suite.errors, suite.skipped) for suite in suites] == [
        (1, 0, 0, 0),
        (1, 1, 0, 0),
        (3, 0, 0, 1),
        (3, 1, 0, 1),
        (1, 0, 0, 1),
        (1, 1, 0, 0),
        (1, 1, 0, 0),
        (1, 1, 0, 0),
        (1, 0, 1, 0),
        (1, 0, 0, 1),
        (1, 0, 0, 0),
    ]


def test_the_results_as_json(mixed: tuple[Path, Finished]) -> None:
    found: dict[str, Any] = json.loads((mixed[0] / "r.json").read_text())
    assert (found["type"], found["version"]) == ("armvcpu test results", 1)
    assert found["guests"] == {"passed": 3, "failed": 5, "skipped": 2, "error": 1}
    by_name = {result["guest"]: result for result in found["results"]}
    assert (by_name["b_status.elf"]["status"], by_name["b_status.elf"]["ending"]) == (3, "exited")
    assert [test["outcome"] for test in by_name["d_tap.elf"]["tests"]] == ["passed", "skipped", "failed"]
    assert by_name["h_broken.elf"]["status"] is None
    assert set(by_name["b_status.elf"]["kept"]) == {"console", "report", "trace"}
    assert any("loop" in line for line in by_name["e_hang.elf"]["report"])


def test_what_is_kept_of_failures(mixed: tuple[Path, Finished]) -> None:
    kept = mixed[0] / "kept"
    names = {path.name for path in kept.iterdir()}
    assert {f"b_status.elf.{kind}" for kind in ("console", "report", "trace.jsonl.gz")} <= names
    assert not [name for name in names if name.startswith(("a_pass", "c_tap", "i_skip", "h_broken"))]
    assert "the guest hangs in a loop at " in (kept / "e_hang.elf.report").read_text()
    assert (kept / "f_wait.elf.console").read_bytes() == b"\x1b[31mwaiting\x1b[0m \x03\n"
    assert (kept / "g_flood.elf.console").stat().st_size < 3 << 19
    traced = armvcpu("stat", "-i", kept / "b_status.elf.trace.jsonl.gz")
    assert traced.status == 0


def test_all_that_pass_are_status_0(tmp_path: Path) -> None:
    finished = run(sample("hello"), sample("tap"))
    assert (finished.status, finished.err) == (0, "")
    assert re.fullmatch(
        r"(PASS .*\n){2}2 guests in .* s: 2 passed; tests: 3 passed, 1 skipped\n", finished.out.decode()
    )


def test_a_guest_that_never_ends_passes_once_it_has_printed_what_is_expected(tmp_path: Path) -> None:
    guest = saying(tmp_path / "g.elf", "booting\nready 42\n", end=End.FLOOD)
    assert run("--expect", r"^ready \d+$", "--expect", "boot", guest).status == 0
    finished = run("--expect", "ready", "--fail", "boot", guest)
    assert (finished.status, reason(finished)) == (1, "--fail 'boot' matches: booting")


def test_both_status_and_console_count_with_a_status(tmp_path: Path) -> None:
    guest = saying(tmp_path / "g.elf", "ready\n", status=5)
    assert run("--expect", "ready", "--status", 5, guest).status == 0
    assert reason(run("--expect", "ready", "--status", 0, guest)) == "the guest exited with status 5"
    assert (
        reason(run("--expect", "steady", guest)) == "--expect 'steady' matches no line; the guest exited with status 5"
    )


def test_prompts_are_answered_at_the_same_instruction_in_every_run(tmp_path: Path) -> None:
    text = f"login: {READS_A_LINE}password: {READS_A_LINE}welcome\n"
    guest = saying(tmp_path / "g.elf", text, end=End.WAIT)
    found = []
    for number in range(2):
        arguments = ("--send", "login: =root", "--send", "password: =x y", "--expect", "^welcome")
        assert run(*arguments, "--json", tmp_path / f"{number}.json", guest).status == 0
        result = json.loads((tmp_path / f"{number}.json").read_text())["results"][0]
        found.append((result["exits"], result["guest_seconds"]))
    assert found[0] == found[1]
    said = reason(run("--send", "user: =root", "--expect", "welcome", guest))
    assert "--expect 'welcome' matches no line; the prompt 'user: ' never appeared; the guest waits for input" in said


def test_a_limit_of_guest_time_ends_every_run_at_the_same_instruction(tmp_path: Path) -> None:
    guest = saying(tmp_path / "g.elf", "computing\n", end=End.COMPUTE)
    for attempt in ("0", "1"):
        assert run("--guest-timeout", "0.01", "--json", tmp_path / attempt, guest).status == 1
    first, second = (json.loads((tmp_path / name).read_text())["results"][0] for name in ("0", "1"))
    assert "stopped after 0.01 s of guest time at 0x" in first["reason"]
    assert (first["reason"], first["exits"], first["guest_seconds"]) == (
        second["reason"],
        second["exits"],
        second["guest_seconds"],
    )


def test_a_limit_of_host_time(tmp_path: Path) -> None:
    guest = saying(tmp_path / "g.elf", "computing\n", end=End.COMPUTE)
    assert reason(run("--timeout", "0.5", guest)).startswith("stopped after 0.5 s at 0x")


def test_a_guest_that_fails_is_run_again_as_often_as_was_asked(tmp_path: Path) -> None:
    guest = saying(tmp_path / "g.elf", "", status=1)
    assert reason(run("--retries", 2, guest, sample("hello"))) == "the guest exited with status 1; attempt 3"


def test_arguments_reach_the_guests() -> None:
    guest = Path(__file__).parent / "guests" / "semihosting" / "semihosting.elf"
    assert reason(run("--arg", "exit", "--arg", "9", guest)) == "the guest exited with status 9"


def test_linux_is_booted_and_asked() -> None:
    finished = run(
        *(require_file(f"{LINUX}/vmlinuz"), "--initrd", require_file(f"{LINUX}/initrd.gz")),
        *("--append", "console=ttyAMA0"),
        *(
            "--send",
            "# =uname -m",
            "--send",
            "# =echo $((40 + 2)) done",
            "--expect",
            "^aarch64$",
            "--expect",
            "^42 done",
        ),
        *("--fail", "Kernel panic", "--guest-timeout", "60"),
    )
    assert finished.status == 0, finished.out.decode()


def test_a_guest_that_looks_for_a_key_only_now_and_then_gets_it() -> None:
    """U-Boot counts down behind its prompt, without waiting for input or ending the line."""
    finished = run(
        *("-m", SAMPLES / "uboot" / "uboot.toml", require_file("/usr/lib/u-boot/qemu_arm64/u-boot.bin")),
        *("--send", r"autoboot: = \c", "--send", r"\x3d> =version", "--expect", "^aarch64-linux-gnu-gcc"),
    )
    assert finished.status == 0, finished.out.decode()


# What is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "Missing argument 'GUEST...'"),
        (("none.elf",), "none.elf: no such file or folder"),
        (("*.nothing",), "*.nothing: matches no file"),
        (("-",), "-: expected the name of a file"),
        (("--expect", "(", "GUEST"), "--expect: ( is no regular expression"),
        (("--fail", "a{2,1}", "GUEST"), "--fail: a{2,1} is no regular expression"),
        (("--send", "prompt", "GUEST"), "--send: prompt is not a prompt and an answer"),
        (("--jobs", "0", "GUEST"), "'0' is not a number of processes"),
        (("--status", "200", "GUEST"), "'200' is not a status of armvcpu run"),
        (("--skip-status", "0", "GUEST"), "'0' is not an exit status of a guest"),
        (("--retries", "1000", "GUEST"), "'1000' is more than 100"),
        (("--tap", "xunit", "GUEST"), "'xunit'"),
        (("--trace", "GUEST"), "--trace needs --keep DIR"),
        (("--initrd", "none.gz", "GUEST"), "none.gz: no such file"),
        (("--symbols", "none.map", "GUEST"), "none.map: no such file"),
        (("-m", "none.toml", "GUEST"), "none.toml"),
        (("--memory", "1K", "GUEST"), "--memory"),
        (("--junit", "GUEST", "GUEST"), "--junit would overwrite the guest"),
        (("--junit", "same", "--json", "same", "GUEST"), "would be the same file"),
        (("--json", "/nowhere/r.json", "GUEST"), "/nowhere/r.json"),
        (("--keep", "/proc/none", "GUEST"), "/proc/none: cannot be made"),
    ],
)
def test_what_makes_no_sense_for_any_guest_is_refused(
    arguments: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    guest = str(saying(tmp_path / "guest.elf", ""))
    finished = run(*(guest if word == "GUEST" else word for word in arguments), cwd=tmp_path)
    assert_refused(finished, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["guest.elf"]


# What happens to processes ------------------------------------------------------------------------------------------


def start(*arguments: object, **named: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, "test", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=named.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        env=environment(),
        **named,
    )


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def await_child(process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + GUARD_SECONDS
    while not (found := children(process.pid)):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    return found[0]


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Path]:
    yield saying(tmp_path / "endless.elf", "computing\n", end=End.COMPUTE)


def test_a_process_that_dies_is_an_error_of_its_guest_alone(endless: Path, tmp_path: Path) -> None:
    process = start("--jobs", 1, endless, sample("hello"))
    os.kill(await_child(process), signal.SIGKILL)
    out, err = process.communicate(timeout=GUARD_SECONDS)
    assert results(Finished(1, out, "")) == [("ERROR", str(endless)), ("PASS", str(sample("hello")))]
    assert b"its process was killed by signal 9 (Killed)" in out
    assert (process.returncode, err) == (1, b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_one_line_and_the_results_so_far(
    number: signal.Signals, endless: Path, tmp_path: Path
) -> None:
    files = tmp_path / "r.xml", tmp_path / "r.json"
    process = start("--jobs", 1, "--junit", files[0], "--json", files[1], sample("hello"), endless, sample("exit"))
    assert process.stdout is not None
    # The first has ended; the second never does.
    first = process.stdout.readline()
    child = await_child(process)
    process.send_signal(number)
    out, err = process.communicate(timeout=GUARD_SECONDS)
    assert first.startswith(b"PASS ")
    assert out == b""
    assert re.fullmatch(rb"armvcpu: interrupted: 3 guests in [\d.]+ s: 1 passed, 2 not run\n", err)
    assert process.returncode == 130
    assert not Path(f"/proc/{child}").exists()
    assert [result["outcome"] for result in json.loads(files[1].read_text())["results"]] == [
        "passed",
        "not run",
        "not run",
    ]
    assert [suite.skipped for suite in JUnitXml.fromfile(str(files[0]))] == [0, 1, 1]


def test_guests_end_with_the_command_that_runs_them(endless: Path) -> None:
    process = start("--jobs", 1, endless)
    child = await_child(process)
    process.kill()
    process.communicate(timeout=GUARD_SECONDS)
    deadline = time.monotonic() + GUARD_SECONDS
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{child}").exists()


def test_a_reader_that_goes_away_ends_it(endless: Path) -> None:
    process = start("--jobs", 1, sample("hello"), sample("hello").parent / ".." / "exit" / "exit.elf", endless)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait(timeout=GUARD_SECONDS) in (120, 130)
    assert err.count(b"\n") == 1


# On a terminal ------------------------------------------------------------------------------------------


def on_terminal(*arguments: object, **variables: str) -> tuple[int, bytes]:
    """Run it on a pseudo terminal."""
    master, slave = pty.openpty()
    named = {name: value for name, value in environment().items() if name not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [*COMMAND, "test", *map(str, arguments)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**named, "TERM": "xterm-256color", **variables},
        start_new_session=True,
    )
    os.close(slave)
    seen = b""
    try:
        while data := os.read(master, 1 << 16):
            seen += data
    except OSError:
        # Linux reports the end of a terminal so.
        pass
    finally:
        os.close(master)
    return process.wait(timeout=GUARD_SECONDS), seen


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_for_terminals_that_want_it(variables: dict[str, str], coloured: bool) -> None:
    status, seen = on_terminal(sample("hello"), sample("exit"), **variables)
    assert status == 1
    assert (b"\x1b[1;32m" in seen) is coloured
    assert (b"\x1b[" in seen) is (variables.get("TERM") != "dumb")
    assert b"1 passed" in seen


def test_no_line_of_a_result_takes_more_than_one_of_a_narrow_terminal(tmp_path: Path) -> None:
    guest = saying(tmp_path / "g.elf", "", end=End.WAIT)
    _, seen = on_terminal(guest, COLUMNS="60", NO_COLOR="1")
    lines = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", seen).decode().splitlines()
    assert max(map(len, lines)) <= 60
    assert sum("FAIL " in line for line in lines) == 2


# From a snapshot -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest that waits at its prompt, for two lines."""
    folder = tmp_path_factory.mktemp("booted")
    text = f"booting\n# {READS_A_LINE}> \n{READS_A_LINE}the end\n"
    guest = saying(folder / "guest.elf", text)
    saved = armvcpu("snapshot", guest, "--console", "^# ", "-o", folder / "booted.snap")
    assert saved.status == 0, saved
    return folder / "booted.snap"


def test_a_suite_boots_once_and_types_a_file_into_each_run(booted: Path, tmp_path: Path) -> None:
    for name, text in (
        ("a.sh", "ok 1\n1..1\n"),
        ("b.sh", "not ok 1\n1..1\n"),
        ("c.sh", "ok 1\n1..2\n"),
        ("no.txt", ""),
    ):
        (tmp_path / name).write_text(text)
    finished = run("--from", booted, ".", "--json", "r.json", cwd=tmp_path)
    assert results(finished) == [("PASS", "a.sh"), ("FAIL", "b.sh"), ("FAIL", "c.sh")]
    consoles = [result["console_end"] for result in json.loads((tmp_path / "r.json").read_text())["results"]]
    assert consoles[1] == ["not ok 1", "> ", "1..1", "the end", ""]


def test_without_files_a_snapshot_is_one_test(booted: Path) -> None:
    finished = run("--from", booted, "--send", "=hello", "--send", "> =world", "--expect", "^world")
    assert (finished.status, results(finished)) == (0, [("PASS", str(booted))])
    assert run("--from", booted, "--guest-timeout", "1").status == 1


def test_what_does_not_go_with_a_snapshot_is_refused(booted: Path, tmp_path: Path) -> None:
    script = tmp_path / "a.sh"
    script.write_text("x\n")
    assert_refused(run("--from", booted, "--smp", 2, script), "--smp does not go with --from")
    assert_refused(run("--from", script, script), "a.sh: this is no snapshot")
    assert_refused(run("--from", booted, tmp_path / "none.sh"), "none.sh: no such file")
    assert_refused(run("--from", booted, "--junit", booted, script), "--junit would overwrite the snapshot")
    (tmp_path / "large.sh").write_bytes(b"x" * ((1 << 20) + 1))
    assert reason(run("--from", booted, tmp_path / "large.sh")) == f"{tmp_path}/large.sh: more than 1 MiB to type"
