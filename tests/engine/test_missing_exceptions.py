"""Exceptions that the engine does not take by itself: an illegal exception return, and a misaligned PC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.engine.missing_exceptions import exceptions_are_taken, take_missing_exceptions
from arm_vcpu_cli.engine.unicorn_core import UnicornCore
from tests.support.tools import missing

from .harness import CURRENT_SP0, CURRENT_SPX, DATA, EL0T, EL1H, EL1T, LOWER_64, MASKED, Guest, Script, is_call

ILLEGAL, MISALIGNED = 0x3A00_0000, 0x8A00_0000
HVC: Final = 0xD400_2002
NOP: Final = 0xD503_201F
BR_X1: Final = 0xD61F_0020
ERET_BY_X1_X2: Final = (0xD518_4021, 0xD518_4002, 0xD69F_03E0)
IL: Final = 1 << 20
NOWHERE: Final = 0x8000_0000_0000
AARCH32: Final = 1 << 4
LEGAL: Final = (EL0T, EL1T, EL1H)


@pytest.fixture(autouse=True, scope="module")
def available() -> None:
    if not take_missing_exceptions():
        missing("the host that the stubs are for")


@pytest.fixture(scope="module", params=["cortex-a72", "max"])
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    with Guest("exceptions", model=request.param, platform=Script()) as guest:
        guest.write_code(DATA, BR_X1)
        guest.write_code(DATA + 0x100, *ERET_BY_X1_X2)
        guest.write_code(DATA + 0x200, NOP, HVC)
        yield guest


@pytest.mark.parametrize("mode", [mode for mode in range(16) if mode not in LEGAL])
def test_a_return_to_what_is_no_lower_level_is_illegal(guest: Guest, mode: int) -> None:
    assert is_call(guest.start(DATA + 0x100, x={1: DATA + 0x200, 2: 0x6000_0000 | MASKED | mode}))
    assert (guest.slot, guest.esr, guest["ELR_EL1"]) == (CURRENT_SPX, ILLEGAL, DATA + 0x200)
    assert guest["SPSR_EL1"] == 0x6000_0000 | MASKED | IL | EL1H


@pytest.mark.parametrize(("mode", "slot"), [(EL0T, LOWER_64), (EL1T, CURRENT_SP0), (EL1H, CURRENT_SPX)])
def test_a_return_brings_back_an_illegal_state(guest: Guest, mode: int, slot: int) -> None:
    assert is_call(guest.start(DATA + 0x100, x={1: DATA + 0x200, 2: IL | MASKED | mode}))
    assert (guest.slot, guest.esr, guest["ELR_EL1"]) == (slot, ILLEGAL, DATA + 0x200)
    assert guest["SPSR_EL1"] == IL | MASKED | mode


def test_it_is_left_with_the_exception(guest: Guest) -> None:
    test_a_return_brings_back_an_illegal_state(guest, EL1H, CURRENT_SPX)
    assert is_call(guest.start(DATA + 0x100, x={1: DATA + 0x200, 2: MASKED | EL1H}))
    assert guest.pc == DATA + 0x208


@pytest.mark.parametrize("low", [1, 2, 3])
@pytest.mark.parametrize("target", [DATA + 0x200, NOWHERE], ids=["mapped", "unmapped"])
def test_a_branch_to_a_misaligned_address_faults_there(guest: Guest, low: int, target: int) -> None:
    far = target + low
    for mode, slot in ((EL1H, CURRENT_SPX), (EL0T, LOWER_64)):
        assert is_call(guest.start(DATA, mode=mode, x={1: far}))
        assert (guest.slot, guest.esr, guest["ELR_EL1"], guest["FAR_EL1"]) == (slot, MISALIGNED, far, far)


def test_it_comes_before_an_illegal_state(guest: Guest) -> None:
    assert is_call(guest.start(DATA + 0x100, x={1: DATA + 0x202, 2: MASKED | 0b1001}))
    assert (guest.esr, guest["ELR_EL1"], guest["SPSR_EL1"]) == (MISALIGNED, DATA + 0x202, IL | MASKED | EL1H)


@settings(deadline=None, max_examples=60)
@given(
    flags=st.integers(0, 15),
    mode=st.integers(0, 15),
    target=st.sampled_from([DATA + 0x200, DATA + 0x201, DATA + 0x206]),
)
def test_instructions_are_counted_as_ever(guest: Guest, flags: int, mode: int, target: int) -> None:
    """ERET at launch; MSR, MSR, ERET; HVC in the vector, or NOP and HVC at the target."""
    guest.core.count_instructions()
    before = guest.core.instruction_count()
    assert is_call(guest.start(DATA + 0x100, x={1: target, 2: flags << 28 | MASKED | mode}))
    from_el0 = mode == EL0T and target == DATA + 0x200
    counted = 4 + (2 if mode in LEGAL and target == DATA + 0x200 else 1)
    assert guest.core.instruction_count() - before == counted + from_el0


def test_the_trial_succeeds() -> None:
    assert exceptions_are_taken()


def test_a_core_corrects() -> None:
    UnicornCore("cortex-a72").close()
    assert take_missing_exceptions()
