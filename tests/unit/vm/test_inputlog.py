"""The recording of a run's input: it reads back unchanged, and an untrusted one is checked line by line."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.errors import ArmVcpuError, FileError
from arm_vcpu_cli.vm.inputlog import InputRecorder, file_digest, load_input_log
from tests.support.files import appended_to

FACTS = {"seed": "7", "guest": "ab" * 32}
HEADER = '{"type": "armvcpu input log", "version": 2, "facts": {}}'

ticks_and_data = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.binary(min_size=1)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=ticks_and_data, ended=st.booleans())
def test_what_is_recorded_is_read_again(tmp_path: Path, entries: list[tuple[int, bytes]], ended: bool) -> None:
    entries.sort(key=lambda entry: entry[0])
    if ended:
        entries.append((2**64 - 1, b""))
    recorder = InputRecorder(appended_to(tmp_path / "log"), FACTS)
    for tick, data in entries:
        recorder.record(tick, data)
    recorder.close(2**64 - 1)
    log = load_input_log(tmp_path / "log")
    assert (dict(log.facts), list(log.deliveries), log.end) == (FACTS, entries, 2**64 - 1)
    log.check(FACTS)


def test_a_run_that_is_cut_off_leaves_complete_lines(tmp_path: Path) -> None:
    recorder = InputRecorder(appended_to(tmp_path / "log"), FACTS)
    assert load_input_log(tmp_path / "log").deliveries == ()
    recorder.record(5, b"ls\r")
    log = load_input_log(tmp_path / "log")
    assert (log.deliveries, log.end) == (((5, b"ls\r"),), None)


def test_a_log_is_ascii_and_can_be_read_by_people(tmp_path: Path) -> None:
    recorder = InputRecorder(appended_to(tmp_path / "log"), {"seed": "1"})
    recorder.record(1031337, b"ls\r\xff\x00")
    recorder.close(9)
    lines = (tmp_path / "log").read_bytes().decode("ascii").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"type": "armvcpu input log", "version": 2, "facts": {"seed": "1"}},
        {"tick": 1031337, "data": "ls\r\u00ff\u0000"},
        {"end": 9},
    ]


@pytest.mark.parametrize(
    ("facts", "parts"),
    [
        ({**FACTS, "seed": "8"}, ("seed 7", "it is 8")),
        ({**FACTS, "guest": "cd" * 32}, ("guest abababab", "...,", "it is cdcdcdcd")),
        ({"seed": "7"}, ("guest", "not known")),
        ({**FACTS, "initrd": "x"}, ("initrd not known", "it is x")),
    ],
)
def test_a_fact_that_differs_is_named_with_both_values(
    tmp_path: Path, facts: dict[str, str], parts: tuple[str, ...]
) -> None:
    InputRecorder(appended_to(tmp_path / "log"), FACTS)
    with pytest.raises(FileError) as caught:
        load_input_log(tmp_path / "log").check(facts)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'log'}: recorded with ")
    assert "\n" not in message
    assert len(message) < 200 + len(str(tmp_path))
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("lines", "number", "words"),
    [
        (["x"], 1, "JSON"),
        (["[]"], 1, "JSON"),
        (["[" * 100_000], 1, "JSON"),
        (['{"tick": 1, "data": ""}'], 1, "not an input log"),
        (['{"type": "armvcpu input log", "version": 1, "facts": {}}'], 1, "version 1, whose times are not those"),
        (['{"type": "armvcpu input log", "version": 3, "facts": {}}'], 1, "version 3, expected 2"),
        (['{"type": "armvcpu input log", "version": true, "facts": {}}'], 1, "version True"),
        (['{"type": "armvcpu input log", "version": 2}'], 1, "facts"),
        (['{"type": "armvcpu input log", "version": 2, "facts": []}'], 1, "facts"),
        (['{"type": "armvcpu input log", "version": 2, "facts": {"seed": 1}}'], 1, "seed is not a string"),
        (['{"type": "armvcpu input log", "version": 2, "facts": {}, "more": 1}'], 1, "expected the keys"),
        ([HEADER, ""], 2, "JSON"),
        ([HEADER, "{}"], 2, "expected the keys"),
        ([HEADER, '{"tick": 1}'], 2, "expected the keys"),
        ([HEADER, '{"tick": 1, "data": "", "x": 1}'], 2, "expected the keys"),
        ([HEADER, '{"tick": 1, "tick": 2, "data": ""}'], 2, "JSON"),
        ([HEADER, '{"tick": "1", "data": ""}'], 2, "expected a tick"),
        ([HEADER, '{"tick": 1.0, "data": ""}'], 2, "expected a tick"),
        ([HEADER, '{"tick": true, "data": ""}'], 2, "expected a tick"),
        ([HEADER, '{"tick": -1, "data": ""}'], 2, "expected a tick"),
        ([HEADER, f'{{"tick": {2**72}, "data": ""}}'], 2, "expected a tick"),
        ([HEADER, f'{{"tick": {"9" * 10_000}, "data": ""}}'], 2, "JSON"),
        ([HEADER, '{"tick": NaN, "data": ""}'], 2, "expected a tick"),
        ([HEADER, '{"tick": 1, "data": 1}'], 2, "string"),
        ([HEADER, '{"tick": 1, "data": "\\u0100"}'], 2, "no byte"),
        ([HEADER, '{"tick": 1, "data": "\\ud800"}'], 2, "no byte"),
        ([HEADER, '{"tick": 2, "data": "a"}', '{"tick": 1, "data": "b"}'], 3, "tick 1 comes after tick 2"),
        ([HEADER, '{"tick": 2, "data": "a"}', '{"end": 1}'], 3, "tick 1 comes after tick 2"),
        ([HEADER, '{"tick": 2, "data": ""}', '{"tick": 2, "data": "b"}'], 3, "after the end of the input"),
        ([HEADER, '{"end": 1}', '{"tick": 2, "data": "b"}'], 3, "the end of the run"),
        ([HEADER, '{"tick": 1, "data": "' + "x" * (1 << 20) + '"}'], 2, "longer than"),
    ],
    ids=lambda value: None if isinstance(value, list) else str(value)[:30],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, lines: list[str], number: int, words: str) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(FileError) as caught:
        load_input_log(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: line {number}: ")
    assert words in message
    assert "\n" not in message
    assert len(message) < 200 + len(str(path))


def test_a_last_line_without_its_end_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f'{HEADER}\n{{"tick": 1, "data": "a"}}')
    with pytest.raises(FileError, match="line 2: the line is cut off"):
        load_input_log(tmp_path / "log")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tail=st.binary())
def test_whatever_follows_the_header_is_read_or_refused(tmp_path: Path, tail: bytes) -> None:
    (tmp_path / "log").write_bytes(HEADER.encode() + b"\n" + tail)
    try:
        load_input_log(tmp_path / "log")
    except FileError as error:
        assert "line " in str(error)
        assert "\n" not in str(error)


def test_an_empty_file_a_missing_one_and_a_directory_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(FileError, match="empty"):
        load_input_log(tmp_path / "empty")
    with pytest.raises(FileError, match="No such file"):
        load_input_log(tmp_path / "missing")
    with pytest.raises(FileError, match="cannot be read"):
        load_input_log(tmp_path)


def test_nothing_is_recorded_after_the_end(tmp_path: Path) -> None:
    recorder = InputRecorder(appended_to(tmp_path / "log"), FACTS)
    recorder.close(1)
    recorder.close(2)
    with pytest.raises(ArmVcpuError, match="ended"):
        recorder.record(3, b"x")
    assert load_input_log(tmp_path / "log").end == 1


def test_the_digest_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "guest").write_bytes(b"x" * 3_000_000)
    assert file_digest(tmp_path / "guest") == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    with pytest.raises(FileError, match="cannot be read"):
        file_digest(tmp_path / "missing")


def test_what_cannot_be_read_again_has_no_digest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "."):
        with pytest.raises(FileError, match="expected a regular file"):
            file_digest(tmp_path / name)
