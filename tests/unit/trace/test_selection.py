"""Selecting events: all criteria must hold, and any of several values of one suffices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.trace.event import EVENT_TYPES, UNASKED_TYPES
from arm_vcpu_cli.trace.selection import EVERYTHING, UNBOUNDED, Facts, Selection, Span, Test

SMALL = st.integers(0, 8)
SPANS = st.lists(st.builds(lambda first, size: Span(first, first + size), SMALL, st.integers(0, 4)), max_size=3).map(
    tuple
)
REASONS = ("Halt", "MmioRead", "MmioWrite", "")
FACTS = st.builds(
    Facts,
    seq=SMALL,
    vcpu=st.integers(0, 2),
    time=SMALL,
    reason=st.sampled_from(REASONS),
    esr=st.none() | SMALL.map(lambda value: value << 26 | 0x1FF_FFFF),
    pc=st.none() | SMALL,
    ipa=st.none() | SMALL,
)
SELECTIONS = st.builds(
    Selection,
    reasons=st.frozensets(st.sampled_from(REASONS[:3]), max_size=2),
    classes=st.frozensets(SMALL, max_size=2),
    ipas=SPANS,
    pcs=SPANS,
    vcpus=st.frozensets(st.integers(0, 2), max_size=2),
    times=SPANS,
    numbers=SPANS,
)


def passes(test: Test | None, facts: Facts) -> bool:
    return test is None or test(facts)


def in_any(spans: tuple[Span, ...], value: int | None) -> bool:
    return value is not None and any(value in range(span.first, span.last + 1) for span in spans)


def general(selection: Selection, facts: Facts) -> bool:
    return (
        (not selection.vcpus or facts.vcpu in selection.vcpus)
        and (not selection.times or in_any(selection.times, facts.time))
        and (not selection.numbers or in_any(selection.numbers, facts.seq))
    )


@given(selection=SELECTIONS, facts=FACTS)
def test_an_event_passes_exactly_if_all_criteria_that_are_given_hold(selection: Selection, facts: Facts) -> None:
    expected = (
        (not selection.reasons or facts.reason in selection.reasons)
        and (not selection.classes or (facts.esr is not None and facts.esr >> 26 in selection.classes))
        and (not selection.ipas or in_any(selection.ipas, facts.ipa))
        and (not selection.pcs or in_any(selection.pcs, facts.pc))
        and general(selection, facts)
    )
    assert passes(selection.test(), facts) is expected


@given(selection=SELECTIONS, facts=FACTS)
def test_what_has_neither_reason_nor_place_passes_by_the_other_criteria(selection: Selection, facts: Facts) -> None:
    assert passes(selection.test_general(), facts) is general(selection, facts)


@given(selection=SELECTIONS, facts=FACTS)
def test_an_access_without_an_exit_has_an_address_too(selection: Selection, facts: Facts) -> None:
    expected = general(selection, facts) and (not selection.ipas or in_any(selection.ipas, facts.ipa))
    assert passes(selection.test_access(), facts) is expected


def test_where_nothing_is_asked_nothing_is_tested() -> None:
    assert (EVERYTHING.test(), EVERYTHING.test_general(), EVERYTHING.test_access()) == (None, None, None)
    assert Selection(reasons=frozenset({"Halt"})).test_general() is None
    assert Selection(pcs=(Span(0),)).test_access() is None


def test_the_ends_of_a_span_are_in_it() -> None:
    span = Span(3, 5)
    assert [value for value in range(8) if span.holds(value)] == [3, 4, 5]
    assert Span(3).holds(UNBOUNDED)


EVERY = frozenset(EVENT_TYPES)
ALL = EVERY - UNASKED_TYPES


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), ALL),
        (Selection(without=frozenset({"entry"})), ALL - {"entry"}),
        (Selection(without=frozenset({"entry"}) | {"exception"}), ALL - {"entry", "exception"}),
        (Selection(vcpus=frozenset({0}), times=(Span(1),), numbers=(Span(1),)), ALL),
        (Selection(reasons=frozenset({"Halt"})), {"exit"}),
        (Selection(ipas=(Span(0),)), {"exit", "access"}),
        (Selection(ipas=(Span(0),), reasons=frozenset({"Halt"})), {"exit"}),
        (Selection(ipas=(Span(0),), pcs=(Span(0),)), {"exit"}),
        (Selection(pcs=(Span(0),)), {"exit", "exception"}),
        (Selection(classes=frozenset({0x15})), {"exit", "exception"}),
        (Selection(classes=frozenset({0x15}), without=frozenset({"exception"})), {"exit"}),
        (Selection(types=frozenset({"irq"})), {"irq"}),
        (Selection(types=frozenset({"entry", "exit"}), without=frozenset({"entry"})), {"entry", "exit"}),
        (Selection(types=ALL, reasons=frozenset({"Halt"}), without=frozenset({"entry"})), ALL),
        (Selection(types=frozenset()), frozenset()),
        (Selection(types=EVERY), EVERY),
    ],
)
def test_which_types_are_made(selection: Selection, expected: frozenset[str]) -> None:
    assert selection.wanted_types() == expected
