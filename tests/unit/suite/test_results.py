"""Verdicts between processes, files of limited size, and results for other programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml, TestSuite

from arm_vcpu_cli.errors import FileError
from arm_vcpu_cli.suite.cases import Case, Outcome, Protocol
from arm_vcpu_cli.suite.guest_paths import GUEST_SUFFIX, find_files
from arm_vcpu_cli.suite.junit import junit
from arm_vcpu_cli.suite.keeping import NOTHING_KEPT, keep_files
from arm_vcpu_cli.suite.kept_console import KeptConsole
from arm_vcpu_cli.suite.plain_verdict import from_bytes, to_bytes
from arm_vcpu_cli.suite.pool import Result
from arm_vcpu_cli.suite.results_json import results_json
from arm_vcpu_cli.suite.trial import Files
from arm_vcpu_cli.suite.verdict import Verdict

TEXT = st.text(max_size=30)
CASES = st.builds(Case, TEXT, st.sampled_from(Outcome), TEXT, st.lists(TEXT, max_size=3).map(tuple))
PROTOCOLS = st.builds(
    Protocol,
    st.booleans(),
    st.lists(CASES, max_size=4).map(tuple),
    st.lists(TEXT, max_size=2).map(tuple),
    st.none() | TEXT,
    st.lists(st.tuples(st.sampled_from(Outcome), st.integers(1, 9)), max_size=2).map(tuple),
)
VERDICTS = st.builds(
    Verdict,
    st.sampled_from(Outcome),
    TEXT,
    st.none() | st.integers(0, 130),
    TEXT,
    st.integers(0, 1 << 64),
    st.floats(0, 1e9),
    PROTOCOLS,
    st.lists(TEXT, max_size=2).map(tuple),
)


@given(VERDICTS)
def test_a_verdict_survives_its_way_between_processes(verdict: Verdict) -> None:
    assert from_bytes(to_bytes(verdict)) == verdict


@given(VERDICTS, st.data())
def test_what_is_left_of_a_verdict_is_none(verdict: Verdict, data: st.DataObject) -> None:
    whole = to_bytes(verdict)
    with pytest.raises(ValueError, match="no verdict"):
        from_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"null", b"[" * 100_000, b'{"outcome": "passed"}'])
def test_anything_else_is_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="no verdict"):
        from_bytes(data)


@given(st.lists(st.tuples(VERDICTS, TEXT, st.binary(max_size=40)), max_size=3))
def test_whatever_guests_print_the_xml_is_valid(found: list[tuple[Verdict, str, bytes]]) -> None:
    results = [Result(Path(name or "x"), verdict, 0.5, 1, None, tail) for verdict, name, tail in found]
    parsed = JUnitXml.fromroot(JUnitXml.fromstring(junit(results, 1.0))._elem)
    assert [suite.tests for suite in parsed] == [len(list(suite)) for suite in parsed]
    assert len(list(parsed)) == len(results)
    plain = json.loads(results_json(results, [NOTHING_KEPT] * len(results), 1.0))
    assert [each["reason"] for each in plain["results"]] == [verdict.reason for verdict, _, _ in found]


def one_suite(verdict: Verdict, tail: bytes = b"") -> TestSuite:
    (suite,) = JUnitXml.fromstring(junit([Result(Path("a/b.elf"), verdict, 1.5, 1, None, tail)], 2.0))
    assert isinstance(suite, TestSuite)
    return suite


def test_a_guest_that_reports_no_tests_is_the_only_case_of_its_suite() -> None:
    suite = one_suite(Verdict(Outcome.FAILED, "bad\x00 \x1b[1mend\uffff"), b"line\x07 1\r\n")
    (case,) = suite
    assert (suite.name, suite.tests, suite.failures, suite.errors) == ("a/b.elf", 1, 1, 0)
    assert (case.classname, case.name, case.time) == ("a/b.elf", "b.elf", 1.5)
    assert [each.message for each in case.result] == ["bad [1mend"]
    assert case.system_out == "line 1\n"


def test_tests_that_it_reports_are_its_cases() -> None:
    cases = (
        Case("p", Outcome.PASSED),
        Case("f", Outcome.FAILED, "why", ("# 3 is not 4",)),
        Case("s", Outcome.SKIPPED, "no disk"),
        Case("x", Outcome.EXPECTED_FAILURE, "later"),
    )
    suite = one_suite(Verdict(Outcome.FAILED, "1 of 4 tests failed: f", protocol=Protocol(True, cases)))
    assert (suite.tests, suite.failures, suite.skipped) == (4, 1, 2)
    assert [case.name for case in suite] == ["p", "f", "s", "x"]


def test_what_is_wrong_besides_tests_is_one_case_more() -> None:
    protocol = Protocol(True, (Case("p", Outcome.PASSED),), ("no plan (1..N)",))
    suite = one_suite(Verdict(Outcome.FAILED, "no plan (1..N)", protocol=protocol))
    assert [(case.name, len(case.result)) for case in suite] == [("p", 0), ("the guest", 1)]


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ((3,), b"aaa"),
        ((10,), b"a" * 10),
        ((4, 4), b"aaaabbbb"),
        ((10, 3, 50), b"a" * 10 + b"\n[... 49 bytes left out ...]\ncccc"),
        ((100,), b"a" * 10 + b"\n[... 86 bytes left out ...]\naaaa"),
    ],
)
def test_of_a_long_console_beginning_and_end_are_kept(tmp_path: Path, sizes: tuple[int, ...], kept: bytes) -> None:
    console = KeptConsole(tmp_path / "console", head=10, tail=4)
    for letter, size in zip(b"abcde", sizes, strict=False):
        console.see(bytes([letter]) * size)
    console.close()
    assert (tmp_path / "console").read_bytes() == kept


def test_what_was_printed_is_there_at_once(tmp_path: Path) -> None:
    console = KeptConsole(tmp_path / "console")
    console.see(b"hello")
    assert (tmp_path / "console").read_bytes() == b"hello"
    console.close()


def test_guests_of_files_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.elf", "a.elf", "sub/c.elf", "sub/deep/d.elf", "sub/notes.txt", "kernel", "[x].elf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)

    def found(*words: str) -> list[str]:
        return [str(path) for path in find_files(words, GUEST_SUFFIX)]

    assert found("b.elf", "a.elf", "sub/../b.elf") == ["b.elf", "a.elf"]
    assert found("sub") == ["sub/c.elf", "sub/deep/d.elf"]
    assert found("kernel", "sub/**/*.elf") == ["kernel", "sub/c.elf", "sub/deep/d.elf"]
    assert found("[x].elf") == ["[x].elf"]
    for word, why in (
        ("none.elf", "no such file"),
        ("*.bin", "matches no file"),
        ("no/", "no such file"),
        ("", "no such"),
    ):
        with pytest.raises(FileError, match=why):
            find_files([word], GUEST_SUFFIX)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="nothing in this folder is called"):
        find_files(["empty"], GUEST_SUFFIX)


def test_files_of_failures_are_kept_under_the_names_of_their_guests(tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "kept"
    source.mkdir()
    folder.mkdir()
    results = []
    for number, (guest, outcome) in enumerate(
        [("../a/x.elf", Outcome.FAILED), ("a-x.elf", Outcome.ERROR), ("p", Outcome.PASSED), ("\x1b", Outcome.FAILED)]
    ):
        files = Files(source, str(number))
        files.path("console").write_text(guest)
        results.append(Result(Path(guest), Verdict(outcome), files=files))
    kept = keep_files(results, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["a-x.elf-2.console", "a-x.elf.console", "guest.console"]
    assert (folder / "a-x.elf.console").read_text() == "../a/x.elf"
    assert kept[2] == {}
