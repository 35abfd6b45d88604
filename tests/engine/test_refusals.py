"""Words that the engine's translator gives up on are undefined instructions at their own PC, any number of times."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from arm_vcpu_cli.engine.port import StopReason
from arm_vcpu_cli.engine.refusals import FREE, Table, refusals, state_place
from tests.support.tools import missing

from .harness import CURRENT_SPX, DATA, EL0T, EL1H, LOWER_64, Guest, is_call

REFUSED: Final = (0x2EDE_3F03, 0x7E79_4B37)
"""Unallocated: advanced SIMD of three registers, half precision; vector and scalar."""
ADD_X5: Final = 0x9100_04A5
STR_X5_X1: Final = 0xF900_0025
HVC: Final = 0xD400_2002
CODE: Final = DATA + 0x1000
UNDEFINED: Final = 0x0200_0000


@pytest.fixture
def guest() -> Iterator[Guest]:
    if refusals() is None:
        missing("a host on which assertions of the engine can be caught")
    with Guest("exceptions", model="max") as guest:
        yield guest


@pytest.mark.parametrize("word", REFUSED, ids=hex)
@pytest.mark.parametrize("before", [0, 1, 7])
@pytest.mark.parametrize("mode", [EL1H, EL0T], ids=["EL1", "EL0"])
def test_it_is_undefined_where_it_stands(guest: Guest, word: int, before: int, mode: int) -> None:
    guest.write_code(CODE, *[ADD_X5] * before, word, ADD_X5, HVC)
    assert is_call(guest.start(CODE, mode=mode))
    assert guest.slot == (CURRENT_SPX if mode == EL1H else LOWER_64)
    assert (guest.esr, guest["ELR_EL1"], guest.x(5)) == (UNDEFINED, CODE + 4 * before, before)


def test_what_stands_before_it_is_executed_once(guest: Guest) -> None:
    guest.write_code(CODE, ADD_X5, STR_X5_X1, ADD_X5, REFUSED[0], HVC)
    assert is_call(guest.start(CODE, x={1: DATA}))
    assert (guest.x(5), guest.read(DATA, 8)) == (2, (1).to_bytes(8, "little"))


def test_instructions_are_counted_as_ever(guest: Guest) -> None:
    guest.core.count_instructions()
    guest.write_code(CODE, ADD_X5, ADD_X5, REFUSED[0], HVC)
    assert is_call(guest.start(CODE))
    # ERET, two additions, HVC in the vector; what is refused is not executed.
    assert guest.core.instruction_count() == 4


def test_a_budget_ends_in_what_stands_before_it(guest: Guest) -> None:
    guest.core.count_instructions()
    guest.write_code(CODE, ADD_X5, ADD_X5, ADD_X5, REFUSED[0], HVC)
    guest.prepare(CODE)
    reasons = []
    for _ in range(3):
        guest.core.set_budget(1)
        guest.vcpu.run()
        reasons.append((guest.vcpu.stopped_by, guest.pc))
    assert reasons == [(StopReason.BUDGET, CODE + 4 * n) for n in range(3)]


def test_a_thousand_times_in_one_engine(guest: Guest) -> None:
    guest.write_code(CODE, ADD_X5, REFUSED[0], ADD_X5, HVC)
    for _ in range(1000):
        assert is_call(guest.start(CODE))
        assert (guest.esr, guest["ELR_EL1"]) == (UNDEFINED, CODE + 4)
    # The engine goes on working.
    assert is_call(guest.start(CODE + 8))
    assert guest.pc == CODE + 16


def test_nothing_is_printed() -> None:
    """The engine's complaint would be on stdout, among what the guest prints."""
    if refusals() is None:
        missing("a host on which assertions of the engine can be caught")
    code = (
        "from tests.engine.harness import *; from tests.engine.test_refusals import *\n"
        "with Guest('exceptions', model='max') as guest:\n"
        "    guest.write_code(CODE, REFUSED[0], HVC)\n"
        "    guest.start(CODE)\n"
        "    print(hex(guest.esr))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("0x2000000\n", "")


def test_entries_are_given_back() -> None:
    table = Table()
    taken = [table.take(state) for state in range(1, 65)]
    assert all(entry is not None and entry.words.tolist() == [FREE, n + 1, 0, 0] for n, entry in enumerate(taken))
    assert table.take(1) is None
    entry = taken[7]
    assert entry is not None
    entry.give_back()
    entry.give_back()
    again = table.take(99)
    assert again is not None
    assert again.words.tolist() == [FREE, 99, 0, 0]
    again.words[0] = 5
    assert entry.words[0] == 5, "it is the same entry"
    assert table.take(1) is None, "what is given back twice is there once"


def test_the_state_is_found_where_assertions_are_caught() -> None:
    assert (refusals() is None) or state_place() is not None
