"""The budget of a core: the parts handed out, withheld and clipped add up in any order of calls."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.engine.instruction_budget import BASE, BUDGET, InstructionBudget
from arm_vcpu_cli.engine.stubs import ASKED, BlockWords, ReadWords

NUMBERS = st.integers(0, 1 << 40)


def budget(instructions: int = 1 << 50) -> InstructionBudget:
    made = InstructionBudget(BlockWords(), ReadWords())
    made.set(instructions)
    return made


def execute(of: InstructionBudget, instructions: int) -> None:
    """What the stubs do at the beginning of a block."""
    of.counts[BUDGET] -= instructions


@given(NUMBERS, st.integers(0, 1 << 16), NUMBERS)
def test_setting_and_spending_leave_the_count_alone(first: int, executed: int, spent: int) -> None:
    made = budget(first)
    ran = min(executed, made.counts[BUDGET])
    execute(made, ran)
    made.spend(spent)
    assert made.instruction_count() == ran
    assert made.elapsed() == ran + spent
    assert made.left() == max(first - ran - spent, 0)


@given(NUMBERS, st.lists(st.integers(1, 512), max_size=50))
def test_what_is_withheld_is_taken_by_the_block(instructions: int, blocks: list[int]) -> None:
    made = budget(instructions)
    made.counts[BUDGET] |= ASKED
    slices: list[int] = []
    made.withhold()
    assert made.counts[BUDGET] == 0
    taken = 0
    for block in blocks:
        fits = made.take_block(block, partial(slices.append, block))
        assert fits == (taken + block <= instructions)
        if not fits:
            break
        taken += block
        assert (made.elapsed(), made.left()) == (taken, instructions - taken)
    made.hand_out()
    assert (made.elapsed(), made.left()) == (taken, instructions - taken)
    assert made.counts[BUDGET] <= min(made.slice, instructions - taken)
    assert not slices


def test_the_slice_ends_where_it_would_have_ended() -> None:
    made, plain = budget(), budget()
    size = plain.counts[BUDGET]
    ended: list[int] = []
    made.withhold()
    for block in (size - 3, 2, 2):
        made.take_block(block, lambda: ended.append(made.elapsed()))
    assert ended == [size - 1]
    made.hand_out()
    assert made.counts[BUDGET] == 2 * size - 2


@given(st.integers(0, 100_000), st.integers(0, 100_000), NUMBERS)
def test_it_is_clipped_at_a_count(executed: int, end: int, again: int) -> None:
    made = budget()
    execute(made, min(executed, made.counts[BUDGET]))
    before, left, handed = made.instruction_count(), made.left(), made.counts[BUDGET]
    made.clip(end)
    assert made.counts[BUDGET] == min(handed, max(end - before, 0))
    assert (made.instruction_count(), made.left()) == (before, left)
    made.set(again)
    assert made.counts[BUDGET] <= max(end - before, 0)
    assert (made.instruction_count(), made.left()) == (before, again)
    made.unclip()
    assert (made.instruction_count(), made.left()) == (before, again)
    assert made.counts[BUDGET] == min(again, made.slice)


@pytest.mark.parametrize("asked", [0, ASKED])
def test_a_stop_that_is_asked_for_counts_nothing(asked: int) -> None:
    made = budget(100)
    made.counts[BUDGET] |= asked
    assert (made.left(), made.elapsed(), made.counts[BASE]) == (100, 0, 100)
    made.set(50)
    assert made.counts[BUDGET] == 50 | asked
