"""TAP and KTAP as read from a console."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.suite.cases import Outcome, Protocol
from arm_vcpu_cli.suite.plain_verdict import LONGEST, to_bytes
from arm_vcpu_cli.suite.tap import AUTO, KTAP, MOST_CASES, NONE, TAP, TapReader
from arm_vcpu_cli.suite.verdict import Verdict

PASSED, FAILED, SKIPPED, EXPECTED = Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED, Outcome.EXPECTED_FAILURE

KUNIT = """\
[    0.100000] Freeing unused kernel memory: 4608K
[    0.200000] KTAP version 1
[    0.200000] 1..2
[    0.210000]     KTAP version 1
[    0.210000]     # Subtest: example
[    0.210000]     # module: kunit_example_test
[    0.210000]     1..4
[    0.220000]     # example_simple_test: initializing
[    0.230000]     ok 1 example_simple_test
[    0.240000]     ok 2 example_skip_test # SKIP this test should be skipped
[    0.250000]     # example_fail: EXPECTATION FAILED at lib/kunit/example.c:42
[    0.250000]     Expected 1 == 2
[    0.260000]     not ok 3 example_fail
[    0.260000]         # Subtest: example_params
[    0.260000]         ok 1 example value 3
[    0.260000]         ok 2 example value 2 # SKIP unsupported param value
[    0.270000]     ok 4 example_params
[    0.280000] # example: pass:2 fail:1 skip:1 total:4
[    0.280000] not ok 1 example
[    0.290000]     KTAP version 1
[    0.290000]     # Subtest: list
[    0.290000]     1..1
[    0.300000]     ok 1 list_init
[    0.300000] ok 2 list
[    0.310000] reboot: Power down
"""

KSELFTEST = """\
TAP version 13
1..3
# selftests: timers: posix_timers
# TAP version 13
# 1..1
# not ok 1 this is the output of a program
ok 1 selftests: timers: posix_timers
# selftests: timers: nanosleep
not ok 2 selftests: timers: nanosleep # TIMEOUT 45 seconds
ok 3 selftests: timers: raw # XFAIL known
"""


def read(text: str, dialect: str = AUTO) -> Protocol:
    reader = TapReader(dialect)
    for line in text.splitlines():
        reader.take(line)
    return reader.finish()


def outcomes(found: Protocol) -> list[tuple[str, Outcome]]:
    return [(case.name, case.outcome) for case in found.cases]


@pytest.mark.parametrize("version", ["", "TAP version 12\n", "TAP version 13\n", "TAP version 14\n"])
def test_results_of_a_document(version: str) -> None:
    found = read(
        version + "1..6\nok 1 - one\nnot ok 2 - two\nok\nok 4 # skip no room\nnot ok 5 - five # TODO later\nok 6 six\n"
    )
    assert outcomes(found) == [
        ("one", PASSED),
        ("two", FAILED),
        ("test 3", PASSED),
        ("test 4", SKIPPED),
        ("five", EXPECTED),
        ("six", PASSED),
    ]
    assert [case.reason for case in found.cases[3:5]] == ["no room", "later"]
    assert (found.seen, found.problems, found.skipped) == (True, (), None)


def test_the_kernels_unit_tests() -> None:
    found = read(KUNIT)
    assert outcomes(found) == [
        ("example.example_simple_test", PASSED),
        ("example.example_skip_test", SKIPPED),
        ("example.example_fail", FAILED),
        ("example.example_params.example value 3", PASSED),
        ("example.example_params.example value 2", SKIPPED),
        ("list.list_init", PASSED),
    ]
    assert found.problems == ()
    assert found.cases[2].detail[-2:] == (
        "    # example_fail: EXPECTATION FAILED at lib/kunit/example.c:42",
        "    Expected 1 == 2",
    )
    assert read(KUNIT, KTAP) == found


def test_the_kernels_selftests() -> None:
    found = read(KSELFTEST, KTAP)
    assert [case.outcome for case in found.cases] == [PASSED, FAILED, EXPECTED]
    assert found.cases[1].reason == "timeout 45 seconds"
    assert found.problems == ()


def test_a_subtest_of_tap_14_has_the_name_of_its_result() -> None:
    found = read("TAP version 14\n1..1\n# Subtest: s\n    1..2\n    ok 1 - a\n    not ok 2 - b # TODO\nok 1 - s\n")
    assert outcomes(found) == [("s.a", PASSED), ("s.b", EXPECTED)]


def test_a_parent_that_fails_alone_is_a_failure() -> None:
    found = read("KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 a\nnot ok 1 s\n")
    assert outcomes(found) == [("s.a", PASSED), ("s", FAILED)]


def test_a_failure_in_a_subtest_is_one_though_its_parent_passes() -> None:
    found = read("KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  not ok 1 a\nok 1 s\n")
    assert outcomes(found) == [("s.a", FAILED)]


def test_the_failures_of_a_subtest_that_may_fail_are_expected() -> None:
    found = read("TAP version 14\n1..1\n    1..1\n    not ok 1 - a\nnot ok 1 - s # TODO\n")
    assert outcomes(found) == [("s.a", EXPECTED)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ok 1\nok 2\n", "no plan (1..N)"),
        ("TAP version 13\n", "no plan (1..N)"),
        ("1..3\nok 1\n", "3 tests planned, 1 run"),
        ("1..1\nok 1\nok 2\n", "1 tests planned, 2 run"),
        ("1..2\nok 1\nok 1\n", "test 1 where test 2 was due"),
        ("1..2\nok 2\nok 1\n", "test 2 where test 1 was due"),
        ("1..2\nok 1\n1..1\n", "more than one plan"),
        ("1..2\nok 1\nBail out! no disk\nok 2\n", "Bail out! no disk"),
        ("Bail out!\n", "Bail out!"),
        ("TAP version 14\n1..1\n    Bail out! deep\nok 1\n", "Bail out! deep"),
        ("KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  ok 1 a\nok 1 s\n", "s: 2 tests planned, 1 run"),
        ("KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 a\n", "a subtest has no result"),
        ("TAP version 14\n1..1\n    TAP version 14\n    ok 1\nok 1 - s\n", "s: no plan (1..N)"),
        ("1..1\nok 1\nTAP version 13\nok 1\n", "no plan (1..N)"),
    ],
)
def test_what_is_wrong_besides_failures(text: str, problem: str) -> None:
    assert problem in read(text).problems


def test_nothing_counts_after_a_bail_out() -> None:
    assert outcomes(read("1..3\nok 1 - a\nBail out!\nok 2 - b\nTAP version 13\n1..1\nok 1 - c\n")) == [("a", PASSED)]


@pytest.mark.parametrize(
    "text", ["1..2\nok 1\nok 2\n", "ok 1\nok 2\n1..2\n", "1..1\nok 1\n\nTAP version 13\n1..1\nok 1\n"]
)
def test_a_plan_may_come_first_or_last_and_documents_may_follow_each_other(text: str) -> None:
    found = read(text)
    assert ([case.outcome for case in found.cases], found.problems) == ([PASSED, PASSED], ())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1..0 # SKIP no hardware\n", "no hardware"),
        ("1..0\n", "no tests planned"),
        ("TAP version 14\n1..0 # no\n", "no"),
    ],
)
def test_a_plan_of_nothing_skips_everything(text: str, reason: str) -> None:
    assert (read(text).skipped, read(text).problems) == (reason, ())


def test_a_document_that_ran_is_not_skipped_by_a_later_one() -> None:
    assert read("TAP version 13\n1..1\nnot ok 1\nTAP version 13\n1..0 # SKIP forged\n").skipped is None


@pytest.mark.parametrize(
    "noise", ["", "hello", "ok: done", "okay", "  ok 1", "OK", "not okay", "1..", "1..x", "notok 1"]
)
def test_what_is_no_test_is_none(noise: str) -> None:
    assert not read(noise).seen
    assert read(f"1..1\n{noise}\nok 1 - a\n{noise}\n").problems == ()


@pytest.mark.parametrize("dialect", [TAP, KTAP])
def test_a_console_without_the_tests_that_have_to_be_there(dialect: str) -> None:
    assert read("hello\n", dialect).problems == (f"no {dialect.upper()} on the console",)


def test_ktap_begins_with_a_version() -> None:
    assert read("1..1\nok 1\n", KTAP).problems == ("no KTAP on the console",)


def test_none_reads_nothing() -> None:
    assert read("1..2\nnot ok 1\n", NONE) == Protocol(seen=False)


def test_yaml_belongs_to_the_failure_before_it() -> None:
    found = read("1..2\nnot ok 1 - a\n  ---\n  message: 3 is not 4\n  not ok 2\n  ...\nok 2 - b\n")
    assert outcomes(found) == [("a", FAILED), ("b", PASSED)]
    assert found.cases[0].detail == ("  message: 3 is not 4", "  not ok 2")


def test_yaml_without_an_end_hides_no_failure() -> None:
    assert outcomes(read("1..2\nok 1 - a\n  ---\n  x\nnot ok 2 - b\n")) == [("a", PASSED), ("b", FAILED)]


def test_escapes_in_a_name() -> None:
    assert outcomes(read("1..1\nok 1 - a \\# SKIP \\\\ b\n")) == [("a # SKIP \\ b", PASSED)]


def test_more_tests_than_are_remembered_are_counted() -> None:
    total = MOST_CASES + 7
    found = read("".join([f"1..{total}\n", *(f"ok {number}\n" for number in range(1, total)), f"not ok {total}\n"]))
    assert len(found.cases) == MOST_CASES
    assert (found.count(PASSED), found.count(FAILED), found.problems) == (total - 1, 1, ())


def test_more_subtests_than_are_remembered_are_counted() -> None:
    lines = [f"  ok {number}\n" for number in range(1, MOST_CASES + 5)]
    text = f"KTAP version 1\n1..2\n  KTAP version 1\n{''.join(lines)}  not ok {MOST_CASES + 5}\n"
    found = read(f"{text}not ok 1 s\nok 2 t\n")
    assert (found.count(PASSED), found.count(FAILED)) == (MOST_CASES + 5, 1)
    forgiven = read(f"{text}not ok 1 s # TODO\nok 2 t\n")
    assert (forgiven.count(FAILED), forgiven.count(EXPECTED)) == (0, 1)


def test_what_a_guest_says_of_its_failures_has_a_limit() -> None:
    reader = TapReader()
    reader.take(f"1..{MOST_CASES}")
    for number in range(1, MOST_CASES + 1):
        reader.take("# " + "\u2665" * 4000)
        reader.take(f"not ok {number} - " + "\u2665" * 4000 + " # TIMEOUT " + "\u2665" * 4000)
    found = reader.finish()
    assert (found.count(FAILED), found.problems) == (MOST_CASES, ())
    assert found.cases[0].detail
    assert len(to_bytes(Verdict(FAILED, protocol=found))) < LONGEST


@pytest.mark.parametrize(
    "complete", ["1..1\nok 1\n", "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 a\nok 1 s\n"]
)
def test_it_is_complete_when_all_that_were_planned_have_run(complete: str) -> None:
    reader = TapReader()
    *lines, last = complete.splitlines()
    for line in lines:
        reader.take(line)
        assert not reader.is_complete
    reader.take(last)
    assert reader.is_complete


PIECES = st.sampled_from(
    "TAP version 14|KTAP version 1|1..2|1..0|ok 1|ok 2 - b|not ok 1 # TODO|# Subtest: s|# x|---|...|Bail out!||noise|"
    "ok|not ok".split("|")
)


@given(st.lists(st.tuples(st.integers(0, 6), PIECES), max_size=30))
def test_any_lines_give_a_result_and_a_failure_stays_one(lines: list[tuple[int, str]]) -> None:
    """A failure at the top level, outside of YAML and before a bail-out, is there whatever follows."""
    text = "".join(f"{' ' * indent}{piece}\n" for indent, piece in lines)
    found = read("1..9\nnot ok 1 - early\n" + text)
    assert ("early", FAILED) in outcomes(found)


@given(st.text(max_size=200))
def test_any_text_gives_a_result(text: str) -> None:
    read(text)
    read(f"KTAP version 1\n{text}")
