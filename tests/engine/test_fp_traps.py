"""Traps of FP and SIMD on the real engine: controlled by CPACR_EL1 and CPTR_EL2, with the specified syndrome."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arm_vcpu_cli.axvcpu.exit import FailEntry
from arm_vcpu_cli.engine.fp_traps import take_fp_traps, traps_work
from tests.support.tools import missing

from .harness import CURRENT_SPX, DATA, EL0T, EL1H, LOWER_64, Guest, Script, is_call

FP_TRAP = 0x1FE0_0000
"""ESR_EL1: EC 0x07, IL, CV, COND 0b1110."""
SVE_TRAP = 0x6600_0000
INSTRUCTIONS = {
    "fmov d0, x0": 0x9E67_0000,
    "fadd d0, d0, d0": 0x1E60_2800,
    "ldr q0, [x1]": 0x3DC0_0020,
    "stp d0, d1, [x1]": 0x6D00_0420,
    "ld1 {v0.16b}, [x1]": 0x4C40_7020,
    "add v0.4s, v0.4s, v0.4s": 0x4EA0_8400,
    "mrs x0, fpcr": 0xD53B_4400,
    "msr fpsr, x0": 0xD51B_4420,
    "aese v0.16b, v0.16b": 0x4E28_4800,
}
PLAIN = 0x8B00_0000
"""add x0, x0, x0"""
SVE_ADD = 0x04E2_0020
HVC = 0xD400_2002
TRAPPING = {EL1H: (0, 2), EL0T: (0, 1, 2)}
"""Values of FPEN, by where the guest is."""


@pytest.fixture(autouse=True, scope="module")
def available() -> None:
    if not take_fp_traps():
        missing("the host that the stub is for")


@pytest.fixture(scope="module", params=["cortex-a72", "max"])
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    with Guest("exceptions", model=request.param, platform=Script()) as guest:
        yield guest


def place(guest: Guest, *words: int) -> None:
    guest.write_code(DATA, *words, HVC)
    guest.core.flush_code()


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_a_trap_comes_where_fpen_says_so(guest: Guest, instruction: str) -> None:
    place(guest, PLAIN, INSTRUCTIONS[instruction])
    for mode, slot in ((EL1H, CURRENT_SPX), (EL0T, LOWER_64)):
        for fpen in range(4):
            guest["CPACR_EL1"] = fpen << 20
            assert is_call(guest.start(DATA, mode=mode, x={0: 1, 1: DATA + 0x1000}))
            if fpen in TRAPPING[mode]:
                assert (guest.slot, guest.esr, guest["ELR_EL1"]) == (slot, FP_TRAP, DATA + 4)
                assert guest.x(0) == 2
            else:
                assert guest.slot is None if mode == EL1H else guest.ec == 0


def test_the_guest_switches_it_by_itself(guest: Guest) -> None:
    """msr cpacr_el1, x2; isb; fmov d0, x0; msr cpacr_el1, xzr; isb; fmov d0, x1"""
    place(guest, 0xD518_1042, 0xD503_3FDF, 0x9E67_0000, 0xD518_105F, 0xD503_3FDF, 0x9E67_0020)
    guest["CPACR_EL1"] = 0
    assert is_call(guest.start(DATA, x={0: 5, 1: 6, 2: 3 << 20}))
    assert (guest.slot, guest.esr, guest["ELR_EL1"]) == (CURRENT_SPX, FP_TRAP, DATA + 20)
    assert guest.v(0) == 5


def test_sve_is_trapped_by_fpen_once_zen_lets_it_through() -> None:
    with Guest("exceptions", model="max", platform=Script()) as guest:
        place(guest, SVE_ADD)
        for mode in (EL1H, EL0T):
            for zen in range(4):
                for fpen in range(4):
                    guest["CPACR_EL1"] = fpen << 20 | zen << 16
                    assert is_call(guest.start(DATA, mode=mode))
                    traps = TRAPPING[mode]
                    if zen in traps or fpen in traps:
                        assert guest.esr == (SVE_TRAP if zen in traps else FP_TRAP)
                        assert guest["ELR_EL1"] == DATA
                    else:
                        assert guest.slot is None if mode == EL1H else guest.ec == 0


def test_a_trap_to_el2_is_an_exit(guest: Guest) -> None:
    place(guest, INSTRUCTIONS["fmov d0, x0"])
    guest["CPACR_EL1"] = 3 << 20
    before = guest["CPTR_EL2"]
    guest["CPTR_EL2"] = before | 1 << 10
    try:
        for mode in (EL1H, EL0T):
            reason = guest.start(DATA, mode=mode)
            assert isinstance(reason, FailEntry)
            assert "EC=0x07" in reason.description
            assert guest.pc == DATA
        # What EL1 traps comes first.
        guest["CPACR_EL1"] = 0
        assert is_call(guest.start(DATA))
        assert guest.esr == FP_TRAP
    finally:
        guest["CPTR_EL2"] = before


def test_the_trial_succeeds() -> None:
    assert traps_work()
