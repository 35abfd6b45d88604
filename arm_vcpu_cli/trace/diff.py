"""Compares two traces: finds where they differ and where they match again, streaming, in constant memory.

The traces are compared event by event. Where two events differ, the following events are searched, up to a window, for
the nearest place from which both traces match for a few events. The best such place is one that is unique in both, as
in a "patience" diff. Everything before it is compared in detail.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Final

from arm_vcpu_cli.trace.diffkeys import Comparison, Event, Side

WINDOW: Final = 1 << 14
"""The most events of each trace searched for a place where they match again."""
MIN_WINDOW: Final = 64
_FIRST_WINDOW: Final = MIN_WINDOW
_GROWTH: Final = 16
_RUN: Final = 6
"""The number of consecutive equal events that counts as a match."""
_MAX_PRODUCT: Final = 1 << 18
"""Above this many pairs of events, the events between two matches are not compared in detail."""
MAX_HUNK: Final = 100
"""The most pairs of events kept of a hunk; the rest is counted."""

Pair = tuple["Event | None", "Event | None"]
"""An event of each trace; None if it has no counterpart. Two different events are one event with different results."""
Runs = list[tuple[str, ...]]


@dataclass
class Hunk:
    """A place where the traces differ, with common events around it. ``pairs`` are the first :data:`MAX_HUNK`,
    ``omitted`` is the number of further ones."""

    pairs: list[Pair] = field(default_factory=list)
    omitted: int = 0


@dataclass
class Totals:
    """The numbers of events that are equal, differ, and are in one trace only; the first pair that differs; the number
    of hunks."""

    same: int = 0
    changed: int = 0
    only_a: int = 0
    only_b: int = 0
    first: Pair | None = None
    hunks: int = 0

    @property
    def differ(self) -> bool:
        """Whether there is any difference."""
        return self.first is not None


def align(a: Side, b: Side, comparison: Comparison, window: int = WINDOW) -> Iterator[Pair]:
    """Yield all events of both traces in order, corresponding ones as pairs."""
    counts_a, counts_b = a.counts, b.counts
    while True:
        first, second = a.next(), b.next()
        if first is not None and second is not None and first.key == second.key:
            counts_a[first.name] += 1
            counts_b[second.name] += 1
            yield first, second
            continue
        if first is None and second is None:
            return
        for side, event in ((a, first), (b, second)):
            if event is not None:
                side.pending.insert(0, event)
        yield from _resynchronise(a, b, comparison, window)


def _resynchronise(a: Side, b: Side, comparison: Comparison, window: int) -> Iterator[Pair]:
    """Yield the events up to a place from which the traces match. Their next events differ."""
    size = min(_FIRST_WINDOW, window)
    while True:
        more = a.fill(size), b.fill(size)
        met = _meeting(a.pending, b.pending, ends=not any(more))
        if met is not None:
            yield from _detailed(a, b, a.take(met[0]), b.take(met[1]), comparison)
            return
        if size == _FIRST_WINDOW or size >= window:
            # No match nearby: if every other event differs, the traces never match although they run in parallel.
            together = _together(a, b, comparison)
            if together:
                yield from zip(a.take(together), b.take(together), strict=True)
                return
        if size >= window:
            break
        size = min(size * _GROWTH, window)
    # Keep the last few: they may be the start of a match that reaches into the next window.
    taken_a, taken_b = (side.take(max(0, len(side.pending) - _RUN)) for side in (a, b))
    yield from _detailed(a, b, taken_a, taken_b, comparison)


def _meeting(first: Sequence[Event], second: Sequence[Event], *, ends: bool) -> tuple[int, int] | None:
    """Return the nearest place where the traces match; ``ends``: both traces end behind these events, which counts as
    one."""
    runs_a, runs_b = _runs(first, ends=ends), _runs(second, ends=ends)
    places: dict[tuple[str, ...], int] = {}
    for place, run in enumerate(runs_b):
        places.setdefault(run, place)
    common = [(place, places[run], run) for place, run in enumerate(runs_a) if run in places]
    if not common:
        return None
    often_a, often_b = Counter(runs_a), Counter(runs_b)
    unique = [(i, j) for i, j, run in common if often_a[run] == often_b[run] == 1]
    return min(unique or [(i, j) for i, j, _ in common], key=sum)


def _runs(events: Sequence[Event], *, ends: bool) -> Runs:
    """Return the keys of each few consecutive events."""
    keys = [event.key for event in events]
    if ends:
        # No event has such keys.
        keys += [f"end {number}" for number in range(_RUN)]
    return [tuple(keys[place : place + _RUN]) for place in range(len(keys) - _RUN + 1)]


def _together(a: Side, b: Side, comparison: Comparison) -> int:
    """Return how many of the next events, at most a few, are the same except for their results."""
    count = 0
    for first, second in zip(a.pending[:_FIRST_WINDOW], b.pending[:_FIRST_WINDOW], strict=False):
        if comparison.identity(a.record(first)) != comparison.identity(b.record(second)):
            break
        count += 1
    # A single one may be coincidence, unless no more are left.
    return count if count >= _RUN or count == min(len(a.pending), len(b.pending)) else 0


def _detailed(a: Side, b: Side, first: list[Event], second: list[Event], comparison: Comparison) -> Iterator[Pair]:
    """Yield pairs of two stretches that begin with different events."""
    keys = [event.key for event in first], [event.key for event in second]
    for tag, i, i_end, j, j_end in _opcodes(*keys):
        if tag == "equal":
            yield from zip(first[i:i_end], second[j:j_end], strict=True)
        else:
            yield from _changed(a, b, first[i:i_end], second[j:j_end], comparison)


def _changed(a: Side, b: Side, first: list[Event], second: list[Event], comparison: Comparison) -> Iterator[Pair]:
    """Yield pairs of two stretches that have no event in common."""
    identities: tuple[list[str], list[str]] = ([], [])
    if first and second and len(first) * len(second) <= _MAX_PRODUCT:
        identities = (
            [comparison.identity(a.record(event)) for event in first],
            [comparison.identity(b.record(event)) for event in second],
        )
    else:
        yield from ((event, None) for event in first)
        yield from ((None, event) for event in second)
        return
    for tag, i, i_end, j, j_end in _opcodes(*identities):
        if tag == "equal":
            yield from zip(first[i:i_end], second[j:j_end], strict=True)
        else:
            yield from ((event, None) for event in first[i:i_end])
            yield from ((None, event) for event in second[j:j_end])


def _opcodes(first: list[str], second: list[str]) -> Iterable[tuple[str, int, int, int, int]]:
    if not first or not second or len(first) * len(second) > _MAX_PRODUCT:
        return (("replace", 0, len(first), 0, len(second)),)
    return SequenceMatcher(None, first, second, autojunk=False).get_opcodes()


def hunks(pairs: Iterable[Pair], context: int, totals: Totals) -> Iterator[Hunk]:
    """Yield the places where the traces differ, each with up to ``context`` common events before and after it;
    differences with at most twice as many between them form one place. Counts everything in ``totals``."""
    before: deque[Pair] = deque(maxlen=context)
    hunk: Hunk | None = None
    behind: list[Pair] = []
    for pair in pairs:
        first, second = pair
        if first is not None and second is not None and first.key == second.key:
            totals.same += 1
            if hunk is None:
                before.append(pair)
                continue
            behind.append(pair)
            if len(behind) > 2 * context:
                yield _closed(hunk, behind[:context])
                before.extend(behind[context:])
                hunk, behind = None, []
            continue
        _count(totals, pair)
        if hunk is None:
            hunk = Hunk(list(before))
            totals.hunks += 1
            before.clear()
        _add(hunk, behind)
        behind = []
        _add(hunk, [pair])
    if hunk is not None:
        yield _closed(hunk, behind[:context])


def _count(totals: Totals, pair: Pair) -> None:
    if totals.first is None:
        totals.first = pair
    first, second = pair
    if first is None:
        totals.only_b += 1
    elif second is None:
        totals.only_a += 1
    else:
        totals.changed += 1


def _add(hunk: Hunk, pairs: list[Pair]) -> None:
    room = max(0, MAX_HUNK - len(hunk.pairs))
    hunk.pairs += pairs[:room]
    hunk.omitted += len(pairs[room:])


def _closed(hunk: Hunk, behind: list[Pair]) -> Hunk:
    if not hunk.omitted:
        hunk.pairs += behind
    return hunk
