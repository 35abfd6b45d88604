"""Selects the events of a trace, before anything is formatted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.trace.event import ACCESS, EVENT_TYPES, EXCEPTION, EXIT, TIME_BITS, UNASKED_TYPES

UNBOUNDED: Final = 1 << TIME_BITS


class Span(NamedTuple):
    """A range of numbers, both ends included."""

    first: int
    last: int = UNBOUNDED

    def holds(self, value: int) -> bool:
        """Return whether ``value`` is in it."""
        return self.first <= value <= self.last


class Facts(NamedTuple):
    """The properties of an event that a selection checks: ``pc`` and ``ipa`` are None if it has none."""

    seq: int
    vcpu: int
    time: int
    reason: str
    esr: int | None
    pc: int | None
    ipa: int | None


Test = Callable[[Facts], bool]


class Selection(Record):
    """The selection criteria. An empty collection accepts everything.

    ``reasons`` are exit reasons, ``classes`` exception classes (ESR_ELx.EC), ``ipas`` ranges of IPAs (including the
    windows of devices), ``pcs`` ranges of virtual addresses (including functions), ``vcpus`` numbers, ``times``
    nanoseconds of the guest, ``numbers`` those of exits. ``types`` are event types, None if the user has not named any.
    """

    types: frozenset[str] | None = None
    reasons: frozenset[str] = frozenset()
    classes: frozenset[int] = frozenset()
    ipas: tuple[Span, ...] = ()
    pcs: tuple[Span, ...] = ()
    vcpus: frozenset[int] = frozenset()
    times: tuple[Span, ...] = ()
    numbers: tuple[Span, ...] = ()
    without: frozenset[str] = frozenset()
    """Types that are omitted unless the user names them."""

    def wanted_types(self) -> frozenset[str]:
        """Return the types of events to create at all: those that the user has named; else all, or only those that can
        meet the other criteria."""
        if self.types is not None:
            return self.types
        if self.reasons:
            return frozenset({EXIT})
        if self.classes or self.pcs:
            return frozenset({EXIT} if self.ipas else {EXIT, EXCEPTION}) - self.without
        if self.ipas:
            return frozenset({EXIT, ACCESS}) - self.without
        return frozenset(EVENT_TYPES) - UNASKED_TYPES - self.without

    def test(self) -> Test | None:
        """Return a test for an exit, exception or entry; None if all are wanted."""
        tests: list[Test] = []
        if self.reasons:
            tests.append(lambda facts: facts.reason in self.reasons)
        if self.classes:
            tests.append(lambda facts: facts.esr is not None and facts.esr >> EC_SHIFT in self.classes)
        if self.pcs:
            tests.append(lambda facts: facts.pc is not None and _any(self.pcs, facts.pc))
        return _all([*tests, *self._places(), *self._general()])

    def test_access(self) -> Test | None:
        """Return a test for an access without an exit: by IPA, vCPU, time and number."""
        return _all([*self._places(), *self._general()])

    def test_general(self) -> Test | None:
        """Return a test for an event of another type: by vCPU, time and number only."""
        return _all(self._general())

    def _places(self) -> list[Test]:
        return [lambda facts: facts.ipa is not None and _any(self.ipas, facts.ipa)] if self.ipas else []

    def _general(self) -> list[Test]:
        tests: list[Test] = []
        if self.vcpus:
            tests.append(lambda facts: facts.vcpu in self.vcpus)
        if self.times:
            tests.append(lambda facts: _any(self.times, facts.time))
        if self.numbers:
            tests.append(lambda facts: _any(self.numbers, facts.seq))
        return tests


def _any(spans: tuple[Span, ...], value: int) -> bool:
    return any(first <= value <= last for first, last in spans)


def _all(tests: list[Test]) -> Test | None:
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda facts: all(test(facts) for test in tests)


EVERYTHING: Final = Selection()
