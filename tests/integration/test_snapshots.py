"""Snapshots: a run continued from one, in another process, is the rest of the run that never stopped."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from arm_vcpu_cli import Machine
from arm_vcpu_cli.errors import FileError, UsageError
from tests.integration.command import GUESTS, SAMPLES, Finished, armvcpu, assert_refused, sample
from tests.support.tools import require_file

TICKS: Final = sample("ticks")
LINUX: Final = SAMPLES / "linux" / "build"
SUMMARY: Final = 1
"""Records at the end of a trace that count what the command has seen."""


def traced(path: Path, *arguments: object) -> tuple[list[str], Finished]:
    finished = armvcpu("trace", "--format", "jsonl", "-o", path, *arguments)
    return path.read_text().splitlines()[1:-SUMMARY], finished


def assert_goes_on(folder: Path, whole: tuple[list[str], Finished], *where: object, guest: tuple[object, ...]) -> None:
    snap = folder / "it.snap"
    first = armvcpu("snapshot", *guest, *where, "-o", snap)
    assert first.status == 0, first
    rest, then = traced(folder / "rest.jsonl", "--from", snap)
    assert rest == whole[0][-len(rest) :]
    assert first.out + then.out == whole[1].out
    assert then.status == whole[1].status


@pytest.mark.parametrize(
    ("guest", "points"),
    [
        (
            (TICKS,),
            [
                ("--at", "main+0x70"),
                ("--instructions", 57),
                ("--time", "60ns"),
                ("--time", "0.01"),
                ("--console", "ck 2"),
                ("--max-exits", 31),
                ("--max-exits", 12),
            ],
        ),
        (
            (sample("paging"),),
            [("--at", "user_main"), ("--instructions", 15_001), ("--time", "7us"), ("--max-exits", 333)],
        ),
        (
            ("--smp", 4, GUESTS / "smp" / "psci.elf"),
            [("--instructions", 40_000), ("--time", "12.345us"), ("--max-exits", 150), ("--max-exits", 301)],
        ),
        (("--smp", 4, "--gic", 2, sample("smp")), [("--max-exits", 97)]),
        ((GUESTS / "suspended.elf",), [("--max-exits", 5), ("--max-exits", 6), ("--max-exits", 8)]),
        ((sample("exits"),), [("--max-exits", 400), ("--no-compress", "--max-exits", 77)]),
    ],
    ids=["ticks", "paging", "psci", "gicv2", "suspended", "exits"],
)
def test_the_trace_goes_on(tmp_path: Path, guest: tuple[object, ...], points: list[tuple[object, ...]]) -> None:
    whole = traced(tmp_path / "whole.jsonl", *guest)
    for where in points:
        assert_goes_on(tmp_path, whole, *where, guest=guest)


@pytest.mark.parametrize("cpus", [1, 4])
def test_linux_goes_on(tmp_path: Path, cpus: int) -> None:
    """At more points: tests/fuzz/snapshots.py."""
    for name in ("vmlinuz", "initrd.gz"):
        require_file(str(LINUX / name))
    boot = ("--initrd", LINUX / "initrd.gz", "--append", "console=ttyAMA0 poweroff", "--smp", cpus)
    guest: tuple[object, ...] = (LINUX / "vmlinuz", *boot)
    whole = traced(tmp_path / "whole.jsonl", *guest)
    last = max(json.loads(line)["seq"] for line in whole[0][:-1])
    assert_goes_on(tmp_path, whole, "--max-exits", random.Random(cpus).randrange(last), guest=guest)


def ticks_snapshot(folder: Path, *options: object) -> Path:
    path = folder / "ticks.snap"
    taken = armvcpu("snapshot", TICKS, "--console", "tick 1", "-o", path, *options)
    assert taken.status == 0, taken
    return path


def test_the_file_is_enough(tmp_path: Path) -> None:
    """The guest's file may be gone; if it is still there, its symbols are used."""
    here = tmp_path / "guest.elf"
    shutil.copy(TICKS, here)
    snap = tmp_path / "it.snap"
    assert armvcpu("snapshot", here, "--at", "main+0x70", "-o", snap).status == 0
    assert b"main" in armvcpu("walk", "--from", snap, "--max-exits", 1, "pc").out
    here.unlink()
    alone = armvcpu("run", "--from", snap)
    assert (alone.status, alone.out) == (0, b"tick 1\ntick 2\ntick 3\n")
    assert b"main" not in armvcpu("walk", "--from", snap, "--max-exits", 1, "pc").out
    assert b"main" in armvcpu("walk", "--from", snap, "--max-exits", 1, "--symbols", TICKS, "pc").out


def test_a_snapshot_of_a_run_that_goes_on(tmp_path: Path) -> None:
    first, second = ticks_snapshot(tmp_path), tmp_path / "second.snap"
    assert armvcpu("snapshot", "--from", first, "--max-exits", 10, "-o", second).status == 0
    assert armvcpu("run", "--from", second).out.endswith(b"tick 3\n")


def test_what_it_is_of(tmp_path: Path) -> None:
    found: dict[str, Any] = json.loads(armvcpu("snapshot", "--info", ticks_snapshot(tmp_path), "--json").out)
    assert (found["guest"], found["taken"], found["vcpus"]) == ("ticks.elf", "the console shows 'tick 1'", 1)


@pytest.mark.parametrize("option", ["-m x.toml", "--smp 2", "--append x", "--seed 1", "--reboot", "--memory 1G"])
def test_options_of_the_machine_are_refused(tmp_path: Path, option: str) -> None:
    refused = armvcpu("run", "--from", tmp_path / "any.snap", *option.split())
    assert_refused(refused, f"{option.split()[0]} does not go with --from: the snapshot determines guest and machine")


@pytest.mark.parametrize("time", ["1us", "777us", "12345678ns", "0.002"])
def test_a_time_is_exact(tmp_path: Path, time: str) -> None:
    """A nanosecond is an instruction here, and the guest, which only computes, has blocks of many."""
    wanted = {"1us": 1_000, "777us": 777_000, "0.002": 2_000_000}.get(time, 12_345_678)
    taken = armvcpu("snapshot", sample("compute"), "--time", time, "-o", tmp_path / "it.snap")
    assert taken.last.endswith(f": is at 0.{wanted:09} s of its time, after {0 if wanted == 1_000 else 2} exits")
    more = armvcpu("snapshot", "--from", tmp_path / "it.snap", "--time", "1ns", "-o", tmp_path / "more.snap")
    assert_refused(more, f"--time 0.000000001 s: the guest is at 0.{wanted:09} s already")


@pytest.mark.parametrize("time", ["", "soon", "-1s", "1h", "1e3", "\x1b[1ms"])
def test_what_is_no_time_is_refused(tmp_path: Path, time: str) -> None:
    refused = armvcpu("snapshot", sample("compute"), "--time", time, "-o", tmp_path / "it.snap")
    assert_refused(refused, "--time: expected a time such as 100ns")


def test_a_time_that_does_not_come_is_no_snapshot(tmp_path: Path) -> None:
    missed = armvcpu("snapshot", TICKS, "--time", "10min", "-o", tmp_path / "it.snap")
    assert (missed.status, missed.last) == (
        3,
        "armvcpu: no snapshot: --time 600.000000000 s was not reached: the guest powered off",
    )
    assert not (tmp_path / "it.snap").exists()


def test_another_guest_is_refused(tmp_path: Path) -> None:
    assert_refused(
        armvcpu("run", "--from", ticks_snapshot(tmp_path), sample("hello")), "is not the guest of the snapshot"
    )


def test_files_that_are_damaged_are_refused(tmp_path: Path) -> None:
    snap = ticks_snapshot(tmp_path)
    whole = snap.read_bytes()
    chance = random.Random(1)
    for size in (0, 3, 20, len(whole) // 2, len(whole) - 1):
        snap.write_bytes(whole[:size])
        with pytest.raises(FileError):
            Machine.open(from_snapshot=snap)
    for _ in range(40):
        at = chance.randrange(len(whole))
        snap.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :])
        with pytest.raises(FileError), Machine.open(from_snapshot=snap) as machine:
            machine.start()
    assert_refused(armvcpu("run", "--from", snap), str(snap))
    assert_refused(armvcpu("run", "--from", TICKS), "this is no snapshot of armvcpu")


def test_there_is_no_snapshot_of_a_guest_that_ends_before(tmp_path: Path) -> None:
    path = tmp_path / "it.snap"
    for where in (("--console", "tick 9"), ("--at", "main", "--count", 7), ()):
        ended = armvcpu("snapshot", TICKS, *where, "-o", path)
        assert (ended.status, path.exists()) == (3, False)
        assert ended.last.startswith("armvcpu: no snapshot: ")


def test_usage(tmp_path: Path) -> None:
    assert_refused(armvcpu("snapshot", TICKS), "Missing option '-o'")
    assert_refused(armvcpu("snapshot", "-o", tmp_path / "x"), "Missing argument 'GUEST'")
    assert_refused(armvcpu("snapshot", TICKS, "-o", TICKS), "would overwrite the guest")
    assert_refused(armvcpu("snapshot", TICKS, "-o", tmp_path / "x", "--console", "("), "is no regular expression")
    assert_refused(armvcpu("snapshot", TICKS, "-o", tmp_path / "x", "--count", 2), "--at PLACE")


# Input ---------------------------------------------------------------------------------------------------------------


def test_a_run_that_goes_on_is_recorded_and_repeated(tmp_path: Path) -> None:
    snap, log = tmp_path / "echo.snap", tmp_path / "log"
    taken = armvcpu("snapshot", sample("echo"), "--console", "ends", "-o", snap)
    assert taken.status == 0, taken
    live = armvcpu("run", "--from", snap, "--record", log, stdin=b"hello\nquit\n")
    assert b"HELLO" in live.out
    assert live == armvcpu("run", "--from", snap, "--replay", log)
    other = tmp_path / "other.snap"
    assert armvcpu("snapshot", "--from", snap, "--max-exits", 3, "-o", other).status == 0
    assert_refused(armvcpu("run", "--from", other, "--replay", log), "this is no recording of what comes after")


def test_a_snapshot_in_the_middle_of_a_recording(tmp_path: Path) -> None:
    snap, log, part = tmp_path / "echo.snap", tmp_path / "log", tmp_path / "part"
    text = b"hello\nyou\nquit\n"
    live = armvcpu("run", "--record", log, sample("echo"), stdin=text)
    repeated = armvcpu("snapshot", "--replay", log, sample("echo"), "--console", "HELLO", "-o", snap)
    assert repeated.status == 0, repeated
    rest = armvcpu("run", "--from", snap, "--replay", log)
    assert repeated.out + rest.out == live.out
    recorded = armvcpu("snapshot", "--record", part, sample("echo"), "--console", "HELLO", "-o", snap, stdin=text)
    assert recorded.status == 0, recorded
    assert armvcpu("run", "--from", snap, "--replay", part).status == 130


def test_what_was_typed_ahead_is_not_lost(tmp_path: Path) -> None:
    snap = tmp_path / "echo.snap"
    text = tmp_path / "text"
    text.write_bytes(b"hello\nyou\nquit\n")
    with text.open("rb") as file:
        taken = armvcpu("snapshot", sample("echo"), "--console", "HELLO", "-o", snap, stdin=file.read())
    rest = armvcpu("run", "--from", snap, stdin=b"")
    assert (taken.out + rest.out).count(b"YOU") == 1


# The library --------------------------------------------------------------------------------------------------------


def test_the_library_saves_and_goes_on(tmp_path: Path) -> None:
    snap = tmp_path / "echo.snap"
    with Machine.open(sample("echo")) as machine:
        machine.expect("ends")
        machine.snapshot(snap)
        machine.send("quit\n")
        whole = machine.run().console
    with Machine.open(from_snapshot=snap, input=b"quit\n") as again:
        assert again.run().console in whole
    with Machine.open(from_snapshot=snap) as again:
        again.send("one\n")
        assert again.expect("ONE")
        again.snapshot(snap)


def test_machines_that_cannot_be_saved(tmp_path: Path) -> None:
    snap = tmp_path / "it.snap"
    with Machine.open(TICKS, reboot=True) as machine, pytest.raises(UsageError, match="cannot be saved"):
        machine.snapshot(snap)
    with pytest.raises(UsageError, match="the snapshot says what the machine is"):
        Machine.open(from_snapshot=snap, cpus=2)
    with pytest.raises(UsageError, match="a machine needs a guest, or a snapshot"):
        Machine.open()
    assert not snap.exists()
