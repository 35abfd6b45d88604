"""Stage 2: our tables, our walker and the engine agree, and each fault is the right exit (D8.2, D24.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.arch.syndrome.iss import DataAbortIss
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.axvcpu.exit import AccessFlags, MmioRead, MmioWrite, NestedPageFault

from .harness import (
    CURRENT_SPX,
    DATA,
    DEVICE,
    EL0T,
    EL1H,
    LOWER_64,
    Guest,
    Script,
    permissions,
)

PAGE, MEGA2, GIGA = 0x1000, 0x20_0000, 0x4000_0000
WINDOW = 0x8000_0000
WINDOW_SIZE = 2 * GIGA
HVC_0 = 0xD400_0002
MODES = {"EL1h": EL1H, "EL0t": EL0T}
FLAGS = {Access.READ: AccessFlags.READ, Access.WRITE: AccessFlags.WRITE, Access.EXECUTE: AccessFlags.EXECUTE}
PLACES = {Access.READ: "load", Access.WRITE: "store", Access.EXECUTE: "jump"}


class Mapping(NamedTuple):
    """A stretch of IPAs inside the window, in pages."""

    first: int
    pages: int
    letters: str


@st.composite
def mappings(draw: st.DrawFn) -> list[Mapping]:
    """Mappings that may overlap; a later one that does is left out when they are made."""
    found = []
    for _ in range(draw(st.integers(1, 6))):
        unit = draw(st.sampled_from([1, 16, MEGA2 // PAGE, GIGA // PAGE]))
        first = draw(st.integers(0, WINDOW_SIZE // PAGE // unit - 1)) * unit
        count = draw(st.integers(1, 3)) * unit + draw(st.sampled_from([0, 0, 1, 511]))
        pages = min(count, WINDOW_SIZE // PAGE - first)
        found.append(Mapping(first, pages, draw(st.sampled_from(["rwx", "rw", "r", "rx", "w", "x", "wx", ""]))))
    return found


class Windowed(NamedTuple):
    """A guest and the memory behind the window."""

    guest: Guest
    paddr: int


@pytest.fixture(scope="module")
def windowed() -> Iterator[Windowed]:
    with Guest("exceptions") as guest:
        yield Windowed(guest, guest.host.alloc_guest_memory(WINDOW_SIZE, WINDOW))


def addresses_of(found: list[Mapping]) -> st.SearchStrategy[int]:
    """Addresses in the window, with a liking for the ends of mappings."""
    ends = sorted({at for m in found for at in (m.first, m.first + m.pages - 1, m.first + m.pages, m.first - 1)})
    pages = st.one_of(st.sampled_from(ends), st.integers(0, WINDOW_SIZE // PAGE - 1))
    offsets = st.sampled_from([0, 8, 0x7F8, 0xFF8])
    inside = st.builds(lambda page, offset: WINDOW + page * PAGE + offset, pages, offsets)
    return inside.filter(lambda address: WINDOW <= address < WINDOW + WINDOW_SIZE)


def check_access(windowed: Windowed, address: int, access: Access, mode: int) -> None:
    """What the walker says of an access is what the guest meets."""
    guest = windowed.guest
    walk = guest.stage2.translate(address, access)
    backing = guest.host.memory(windowed.paddr + address - WINDOW, 8)
    backing[:4] = HVC_0.to_bytes(4, "little")
    backing[4:] = b"\x5a\xa5\x12\x34"
    reason = guest.start(PLACES[access], mode=mode, x={0: 0x1234_5678_0000_0000 | HVC_0, 1: address})
    if walk.fault is None:
        assert walk.output == windowed.paddr + address - WINDOW
        if access is Access.EXECUTE:
            # The HVC there was executed; at EL0 it is undefined.
            assert guest.pc == address + 4 if mode == EL1H else guest["ELR_EL1"] == address
            return
        assert guest.finished(PLACES[access])
        if access is Access.READ:
            assert guest.x(0) == int.from_bytes(backing, "little")
        else:
            assert bytes(backing[4:]) == b"\x78\x56\x34\x12"
        return
    if walk.fault.kind == "permission" or access is Access.EXECUTE:
        assert reason == NestedPageFault(address, FLAGS[access])
    elif access is Access.READ:
        assert isinstance(reason, MmioRead)
        assert reason.addr == address
    else:
        assert isinstance(reason, MmioWrite)
        assert reason.addr == address
    guest.vcpu.inject_external_abort()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_walker_engine_and_exits_agree(windowed: Windowed, data: st.DataObject) -> None:
    guest = windowed.guest
    wanted = data.draw(mappings())
    made: list[Mapping] = []
    taken: set[tuple[int, int]] = set()
    try:
        for mapping in wanted:
            first, last = mapping.first, mapping.first + mapping.pages
            if any(first < end and begin < last for begin, end in taken):
                continue
            taken.add((first, last))
            ipa = WINDOW + first * PAGE
            guest.stage2.map(ipa, windowed.paddr + ipa - WINDOW, mapping.pages * PAGE, permissions(mapping.letters))
            made.append(mapping)
        guest.core.flush_tlb()
        for address in data.draw(st.lists(addresses_of(wanted), min_size=1, max_size=8)):
            access = data.draw(st.sampled_from(list(Access)))
            check_access(windowed, address, access, data.draw(st.sampled_from([EL1H, EL0T])))
            assert guest.core.translate(address) == guest.stage2.translate(address, Access.READ).output
    finally:
        for mapping in made:
            guest.unmap(WINDOW + mapping.first * PAGE, mapping.pages * PAGE)


# Faults one by one -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scripted() -> Iterator[tuple[Guest, Script]]:
    script = Script()
    with Guest("accesses", platform=script) as guest:
        guest.map(0x5000_0000, 4 * PAGE, "r")
        guest.map(0x5000_8000, PAGE, "rx")
        guest.map(0x5001_0000, PAGE, "x")
        guest.map(0x5002_0000, PAGE, "rw")
        yield guest, script


@pytest.fixture
def abort(scripted: tuple[Guest, Script]) -> tuple[Guest, Script]:
    """A guest whose stage-2 faults come back to it."""
    scripted[1].faults.clear()
    scripted[1].on_fault = Outcome.ABORT
    return scripted


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(
    ("place", "address", "access"),
    [
        ("str_x", 0x5000_0010, AccessFlags.WRITE),
        ("stp_x", 0x5000_0010, AccessFlags.WRITE),
        ("str_q", 0x5000_0010, AccessFlags.WRITE),
        ("dc_zva", 0x5000_0040, AccessFlags.WRITE),
        ("st1", 0x5000_8010, AccessFlags.WRITE),
        ("ldr_x", 0x5001_0018, AccessFlags.READ),
        ("ldxr_x", 0x5001_0018, AccessFlags.READ),
    ],
)
def test_permission_fault_as_an_abort(
    abort: tuple[Guest, Script], mode: int, place: str, address: int, access: AccessFlags
) -> None:
    guest, script = abort
    guest["SCTLR_EL1"] = 0x30C5_0830 | 1 << 14  # DZE: DC ZVA is EL0's too
    guest.start(place, mode=mode, x={0: 5, 1: address})
    assert script.faults == [(address, access)]
    assert guest.slot == (LOWER_64 if mode == EL0T else CURRENT_SPX)
    assert guest["ELR_EL1"] == guest.label(place)
    assert guest.ec == (0x24 if mode == EL0T else 0x25)
    assert guest.iss == DataAbortIss.of(WnR=int(access is AccessFlags.WRITE), DFSC=0x10)
    assert guest["FAR_EL1"] == address
    assert guest.read(address, 8) == bytes(8)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("address", [0x5000_0020, 0x5002_0040, 0x6000_0000, DEVICE], ids=["r", "rw", "none", "device"])
def test_fetch_that_stage_2_refuses_as_an_abort(abort: tuple[Guest, Script], mode: int, address: int) -> None:
    guest, script = abort
    # `br x1`, as the last instruction before the end of the data.
    guest.write_code(DATA, 0xD61F_0020)
    guest.start(DATA, mode=mode, x={1: address})
    assert script.faults == [(address, AccessFlags.EXECUTE)]
    assert guest.slot == (LOWER_64 if mode == EL0T else CURRENT_SPX)
    assert guest.esr == (0x20 if mode == EL0T else 0x21) << 26 | 1 << 25 | 0x10
    assert guest["FAR_EL1"] == address
    assert guest["ELR_EL1"] == address


@pytest.mark.parametrize(
    ("place", "base"),
    [("str_x", 0), ("str_post", 8), ("str_pre", 8), ("stp_x_pre", -16), ("stp_q_pre", -32), ("strb_w", 0)],
)
def test_ignored_store_still_moves_the_base(abort: tuple[Guest, Script], place: str, base: int) -> None:
    guest, script = abort
    script.on_fault = Outcome.DONE
    address = 0x5000_0100
    guest.start(place, x={0: 5, 1: address, 2: 6})
    assert len(script.faults) == 1
    assert guest.finished(place)
    assert guest.x(1) == address + base
    assert guest.read(0x5000_0000, 0x200) == bytes(0x200)


def test_ignored_store_with_the_stack_pointer_as_base(abort: tuple[Guest, Script]) -> None:
    guest, script = abort
    script.on_fault = Outcome.DONE
    guest.start("stp_sp_pre", sp_el1=0x5000_0100)
    assert guest.finished("stp_sp_pre")
    assert guest.vcpu.ctx.sp == 0x5000_00F0


def test_ignored_zeroing_is_skipped(abort: tuple[Guest, Script]) -> None:
    guest, script = abort
    script.on_fault = Outcome.DONE
    guest.start("dc_zva", x={1: 0x5000_0100})
    assert guest.finished("dc_zva")


def test_store_that_only_half_lies_in_the_ignored_page_is_an_abort(abort: tuple[Guest, Script]) -> None:
    guest, script = abort
    script.on_fault = Outcome.DONE
    guest.start("stp_x", x={0: 1, 1: 0x5000_8000 - 8 - 4 * PAGE, 2: 2})
    assert guest.slot == CURRENT_SPX
    assert guest.iss & 0x3F == 0x10


@pytest.mark.parametrize("place", ["load", "store", "jump"])
def test_protect_and_unmap_take_effect(place: str) -> None:
    access = {"load": Access.READ, "store": Access.WRITE, "jump": Access.EXECUTE}[place]
    with Guest("exceptions") as guest:
        paddr = guest.map(WINDOW, 4 * MEGA2)
        windowed = Windowed(guest, paddr)
        changes = (
            (WINDOW + MEGA2, MEGA2, "r"),
            (WINDOW + MEGA2 + PAGE, PAGE, "wx"),
            (WINDOW + 3 * PAGE, PAGE, None),
            (WINDOW, PAGE, ""),
        )
        for ipa, size, letters in changes:
            if letters is None:
                guest.unmap(ipa, size)
            else:
                guest.protect(ipa, size, letters)
            for address in (WINDOW, WINDOW + 3 * PAGE, WINDOW + MEGA2, WINDOW + MEGA2 + PAGE, WINDOW + 2 * MEGA2):
                check_access(windowed, address, access, EL1H)
