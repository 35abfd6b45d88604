"""The guest's own watchpoints and breakpoints on the real engine: DBGWVR<n>_EL1 to DBGBCR<n>_EL1."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arm_vcpu_cli.engine.watchpoint_stubs import watchpoint_table
from tests.support.tools import missing

from .harness import CURRENT_SPX, DATA, EL0T, EL1H, LOWER_64, Guest, Script, is_call

AT = DATA + 0x1_0800
HVC = 0xD400_2002
UNMASKED, MASKED_D = 0x1C0, 0x3C0
"""PSTATE.DAIF without and with D."""
MDE, KDE = 1 << 15, 1 << 13
LOADS, STORES = 0b01, 0b10
EC_LOWER, EC_SAME, EC_BREAKPOINT = 0x34, 0x35, 0x31
DFSC, WNR = 0b10_0010, 1 << 6
LDR, STR, LDRB, STP, LDTR, DC_ZVA = 0xF940_0020, 0xF900_0020, 0x3940_0020, 0xA900_0020, 0xF840_0820, 0xD50B_7421
EL0_ONLY, EL1_ONLY, BOTH = 0b10, 0b01, 0b11
"""DBGWCR<n>_EL1.PAC, with HMC and SSC 0."""


def wcr(accesses: int, *, bas: int = 0xFF, pac: int = BOTH, mask: int = 0, linked: int | None = None) -> int:
    """DBGWCR<n>_EL1, enabled."""
    link = 0 if linked is None else 1 << 20 | linked << 16
    return mask << 24 | link | bas << 5 | accesses << 3 | pac << 1 | 1


@pytest.fixture(autouse=True, scope="module")
def available() -> None:
    if watchpoint_table() is None:
        missing("the host that the stubs are for")


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    with Guest("exceptions", platform=Script()) as guest:
        guest["SCTLR_EL1"] |= 1 << 14
        yield guest


def fired(
    guest: Guest,
    instruction: int,
    control: int,
    value: int = AT,
    *,
    at: int = AT,
    mode: int = EL1H,
    pstate: int = UNMASKED,
    mdscr: int = MDE | KDE,
    number: int = 0,
    locked: int = 0,
) -> int | None:
    """ESR_EL1 of the Watchpoint exception that an access at x1 takes, None if it is made."""
    guest["OSLAR_EL1"] = locked
    guest["MDSCR_EL1"] = mdscr
    guest[f"DBGWVR{number}_EL1"], guest[f"DBGWCR{number}_EL1"] = value, control
    guest.write_code(DATA, instruction, HVC)
    guest.core.flush_code()
    guest["ESR_EL1"] = 0
    assert is_call(guest.start(DATA, mode=mode, pstate=pstate, x={1: at}))
    guest[f"DBGWCR{number}_EL1"] = 0
    if guest.esr >> 26 in (EC_LOWER, EC_SAME):
        assert guest.slot == (LOWER_64 if mode == EL0T else CURRENT_SPX)
        assert guest["ELR_EL1"] == DATA
        return guest.esr
    assert guest.finished(DATA)
    return None


@pytest.mark.parametrize(("mode", "exception_class"), [(EL1H, EC_SAME), (EL0T, EC_LOWER)])
@pytest.mark.parametrize("number", [0, 3])
def test_it_fires_before_the_access(guest: Guest, mode: int, exception_class: int, number: int) -> None:
    guest.write_u64(AT, 7)
    expected = exception_class << 26 | 1 << 25 | DFSC
    assert fired(guest, LDR, wcr(LOADS), mode=mode, number=number) == expected
    assert (guest["FAR_EL1"], guest.x(0)) == (AT, 0)
    assert fired(guest, STR, wcr(STORES), mode=mode, number=number) == expected | WNR
    assert int.from_bytes(guest.read(AT, 8), "little") == 7
    assert fired(guest, LDR, wcr(STORES), mode=mode, number=number) is None
    assert fired(guest, STR, wcr(LOADS), mode=mode, number=number) is None
    assert fired(guest, STP, wcr(STORES), AT + 8, mode=mode, number=number) == expected | WNR
    assert guest["FAR_EL1"] == AT + 8
    assert fired(guest, DC_ZVA, wcr(STORES), AT + 16, mode=mode, number=number) == expected | WNR


def test_bytes_are_selected(guest: Guest) -> None:
    for offset in range(8):
        for bas in (1, 0x80, 0b0011_1100, 0xF0):
            hit = fired(guest, LDRB, wcr(LOADS, bas=bas), at=AT + offset)
            assert (hit is not None) == bool(bas >> offset & 1)
    assert fired(guest, LDR, wcr(LOADS, bas=0x80)) is not None
    assert guest["FAR_EL1"] == AT + 7


def test_a_mask_makes_it_longer(guest: Guest) -> None:
    for distance, hit in ((0, True), (0xFF, True), (0x100, False), (-1, False)):
        assert (fired(guest, LDRB, wcr(LOADS, mask=8), at=AT + distance) is not None) == hit


@pytest.mark.parametrize("mode", [EL1H, EL0T])
@pytest.mark.parametrize("pac", [EL0_ONLY, EL1_ONLY, BOTH])
def test_the_exception_level_is_selected(guest: Guest, mode: int, pac: int) -> None:
    wanted = EL0_ONLY if mode == EL0T else EL1_ONLY
    assert (fired(guest, LDR, wcr(LOADS, pac=pac), mode=mode) is not None) == bool(pac & wanted)


def test_unprivileged_accesses_are_those_of_el0(guest: Guest) -> None:
    assert fired(guest, LDTR, wcr(LOADS, pac=EL0_ONLY)) == EC_SAME << 26 | 1 << 25 | DFSC
    assert fired(guest, LDTR, wcr(LOADS, pac=EL1_ONLY)) is None


@pytest.mark.parametrize("mode", [EL1H, EL0T])
def test_debug_exceptions_may_be_off(guest: Guest, mode: int) -> None:
    el1 = mode == EL1H
    assert fired(guest, LDR, wcr(LOADS), mode=mode, mdscr=0) is None
    assert fired(guest, LDR, wcr(LOADS), mode=mode, mdscr=KDE) is None
    assert (fired(guest, LDR, wcr(LOADS), mode=mode, mdscr=MDE) is None) == el1
    assert (fired(guest, LDR, wcr(LOADS), mode=mode, pstate=MASKED_D) is None) == el1
    assert fired(guest, LDR, wcr(LOADS), mode=mode, locked=1) is None
    assert fired(guest, LDR, wcr(LOADS) & ~1, mode=mode) is None


def test_a_linked_one_fires_in_its_context(guest: Guest) -> None:
    """Breakpoint 5 is context-aware: linked Context ID match."""
    guest["DBGBVR5_EL1"], guest["DBGBCR5_EL1"] = 42, 0b0011 << 20 | 0xF << 5 | 0b11 << 1 | 1
    for context in (41, 42):
        guest["CONTEXTIDR_EL1"] = context
        assert (fired(guest, LDR, wcr(LOADS, linked=5)) is not None) == (context == 42)
    guest["DBGBCR5_EL1"] = 0


def test_several_are_told_apart(guest: Guest) -> None:
    guest["DBGWVR1_EL1"], guest["DBGWCR1_EL1"] = AT + 64, wcr(STORES)
    assert fired(guest, STR, wcr(STORES), at=AT + 64) is not None
    assert guest["FAR_EL1"] == AT + 64
    assert fired(guest, LDR, wcr(LOADS)) is not None
    assert fired(guest, LDR, wcr(LOADS), at=AT + 64) is None
    guest["DBGWCR1_EL1"] = 0
    assert fired(guest, STR, wcr(STORES), at=AT + 64) is None


def test_a_saved_state_has_no_addresses_of_the_host() -> None:
    with Guest("exceptions", platform=Script()) as guest:
        guest["DBGBVR0_EL1"], guest["DBGBCR0_EL1"] = DATA + 4, 0xF << 5 | 0b11 << 1 | 1
        guest.write_code(DATA, LDR, HVC)
        assert is_call(guest.start(DATA, x={1: AT}))
        addresses = guest.core.layout.addresses
        assert any(guest.vcpu.state.u64[-addresses // 8 :])
        assert guest.vcpu.save()["registers"][-addresses:] == bytes(addresses)


def test_each_vcpu_has_its_own_and_a_saved_state_has_them() -> None:
    """Saved states of the engine have addresses of its own in them, which another engine must not use."""
    with Guest("exceptions", platform=Script()) as first, Guest("exceptions", platform=Script()) as second:
        for guest in (first, second):
            guest.write_code(DATA, LDR, 0x9100_0442, HVC)
            guest["OSLAR_EL1"], guest["MDSCR_EL1"] = 0, MDE | KDE
        first["DBGWVR0_EL1"], first["DBGWCR0_EL1"] = AT, wcr(LOADS)
        first["DBGBVR0_EL1"], first["DBGBCR0_EL1"] = DATA + 4, 0xF << 5 | 0b11 << 1 | 1
        first.prepare(DATA, pstate=UNMASKED, x={1: AT})
        saved = first.vcpu.save()
        second.prepare(DATA, pstate=UNMASKED, x={1: AT})
        plain = second.vcpu.save()
        for _ in range(3):
            second.vcpu.load(saved)
            second.core.flush_code()
            assert is_call(second.run())
            assert second.ec == EC_SAME
            second.vcpu.load(saved)
            second.core.flush_code()
            second["DBGWCR0_EL1"] = 0
            assert is_call(second.run())
            assert (second.ec, second["ELR_EL1"]) == (EC_BREAKPOINT, DATA + 4)
            second.vcpu.load(plain)
            second.core.flush_code()
            assert is_call(second.run())
            assert second.pc == DATA + 12
        assert is_call(first.run())
        assert first.ec == EC_SAME
