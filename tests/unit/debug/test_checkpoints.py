"""The moments kept: the first, those that execution cannot reproduce, and few others, denser near the present."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.debug import checkpoints
from arm_vcpu_cli.debug.checkpoints import INTERVAL, Checkpoints, surplus
from arm_vcpu_cli.debug.moment import Moment

FAR = 1 << 40


def moment(executed: int, changed: bool = False, page: bytes | None = None) -> Moment:
    return Moment(executed, (((page,),),), None, {}, (), changed)


@given(st.lists(st.integers(0, FAR), min_size=1, unique=True), st.integers(0, FAR))
def test_few_are_kept(places: list[int], present: int) -> None:
    places.sort()
    dropped = set(surplus(places, present))
    kept = [place for number, place in enumerate(places) if number not in dropped]
    assert len(kept) <= 2 * 2 * (FAR // INTERVAL).bit_length() + 4
    for place in places:
        nearest = max((each for each in kept if each <= place), default=None)
        if nearest is not None and place <= present:
            assert present - nearest <= 4 * max(present - place, INTERVAL)


def test_a_long_run_keeps_moments_of_all_ages() -> None:
    kept = Checkpoints(moment(0))
    for number in range(1, 2000):
        kept.add(moment(number * INTERVAL), number * INTERVAL)
    present = 2000 * INTERVAL
    for back in (1, 3, 10, 30, 100, 300, 1000):
        found = kept.before(present - back * INTERVAL)
        assert found is not None and present - found.executed <= 4 * (back + 1) * INTERVAL


def test_the_first_and_the_changed_ones_stay() -> None:
    kept = Checkpoints(moment(0))
    for number in range(1, 100):
        kept.add(moment(number, changed=number == 50), number)
    assert kept.first.executed == 0
    assert (found := kept.changed_after(10)) is not None and found.executed == 50
    kept.add(moment(50), 50)
    assert (found := kept.before(51)) is not None and found.changed
    kept.forget_from(0)
    assert kept.before(1000) is kept.first


def test_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Checkpoints(moment(0))
    monkeypatch.setattr(checkpoints, "MEMORY", 3 * 4096)
    for number in range(1, 20):
        kept.add(moment(number << 32, page=bytes([number]) * 4096), number << 32)
    assert kept.first.executed == 0 and kept.before(20 << 32) is not None
