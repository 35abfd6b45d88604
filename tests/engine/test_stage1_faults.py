"""Stage 1 over stage 2: faults of each stage at each level, and translations on which all agree."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Spsr
from arm_vcpu_cli.arch.syndrome.iss import DataAbortIss
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.axvcpu.exit import AccessFlags, MmioRead, MmioWrite, NestedPageFault
from tests.support.observer import Observer

from .harness import CURRENT_SPX, DATA, DEVICE, EL0T, EL1H, LOWER_64, MASKED, Guest, Script
from .stage1 import AF, AP_EL0, AP_RO, KERNEL, PAGE, PXN, SIZES, TABLE, UPPER, USER, UXN, VALID, Stage1

MODES = {"EL1h": EL1H, "EL0t": EL0T}
PLACES = {Access.READ: "load", Access.WRITE: "store", Access.EXECUTE: "jump"}
VA = 0x20_1234_5000
UNBACKED = 0x7000_0000
TRANSLATION, ACCESS_FLAG, PERMISSION, EXTERNAL, EXTERNAL_WALK = 0x04, 0x08, 0x0C, 0x10, 0x14


@pytest.fixture
def guest() -> Iterator[Guest]:
    with Guest("exceptions") as guest:
        yield guest


def check_fault(guest: Guest, place: str, mode: int, va: int, status: int) -> None:
    """The guest took an abort of that status for an access to ``va``."""
    assert guest.slot == (LOWER_64 if mode == EL0T else CURRENT_SPX)
    fetch = place == "jump"
    lower = 0x20 if fetch else 0x24
    assert guest.ec == (lower if mode == EL0T else lower + 1)
    assert guest.iss == DataAbortIss.of(WnR=int(place == "store"), DFSC=status)
    assert guest["FAR_EL1"] == va
    assert guest["ELR_EL1"] == (va if fetch else guest.label(place))


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("place", PLACES.values())
@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("half", [0, UPPER], ids=["TTBR0", "TTBR1"])
def test_translation_fault(guest: Guest, mode: int, place: str, level: int, half: int) -> None:
    tables = Stage1(guest)
    tables.set(VA | half, level, 0)
    tables.enable()
    guest.start(place, mode=mode, x={1: VA | half})
    check_fault(guest, place, mode, VA | half, TRANSLATION + level)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("place", PLACES.values())
@pytest.mark.parametrize("level", [1, 2, 3])
def test_access_flag_fault(guest: Guest, mode: int, place: str, level: int) -> None:
    tables = Stage1(guest)
    va = VA & -SIZES[level]
    tables.map(va, DATA & -SIZES[level], level, USER & ~AF)
    tables.enable()
    guest.start(place, mode=mode, x={1: va})
    check_fault(guest, place, mode, va, ACCESS_FLAG + level)


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize(
    ("place", "mode", "attributes"),
    [
        ("store", EL1H, KERNEL | AP_RO),
        ("store", EL0T, USER | AP_RO),
        ("store", EL0T, KERNEL),
        ("load", EL0T, KERNEL),
        ("jump", EL1H, KERNEL | PXN),
        ("jump", EL1H, USER),
        ("jump", EL0T, USER | UXN),
    ],
)
def test_permission_fault(guest: Guest, level: int, place: str, mode: int, attributes: int) -> None:
    tables = Stage1(guest)
    va = VA & -SIZES[level]
    tables.map(va, DATA & -SIZES[level], level, attributes)
    tables.enable()
    guest.start(place, mode=mode, x={1: va})
    check_fault(guest, place, mode, va, PERMISSION + level)


@pytest.mark.parametrize("va", [1 << 39, UPPER - PAGE, 0x00FF_0000_0000_0000, 0xFF00_0000_0000_0000])
@pytest.mark.parametrize("place", PLACES.values())
def test_address_outside_both_halves_is_a_translation_fault_at_level_0(guest: Guest, va: int, place: str) -> None:
    Stage1(guest).enable()
    guest.start(place, x={1: va})
    assert guest.iss & 0x3F == TRANSLATION
    assert guest["FAR_EL1"] == va


def test_write_execute_never(guest: Guest) -> None:
    tables = Stage1(guest)
    tables.map(VA, DATA, 3, KERNEL)
    # The program itself is writable by nobody but EL1 through this mapping, which WXN then forbids to execute.
    tables.enable(sctlr=int(Sctlr(0x30C5_0831).replace(WXN=1)))
    guest.start("jump", mode=EL1H, x={1: VA})
    check_fault(guest, "jump", EL1H, VA, PERMISSION + 3)


@pytest.mark.parametrize(("pan", "status"), [(0, None), (1, PERMISSION + 3)])
def test_pan_keeps_el1_out_of_el0s_pages(pan: int, status: int | None) -> None:
    with Guest("exceptions", model="max") as guest:
        tables = Stage1(guest)
        tables.map(VA, DATA, 3, USER)
        tables.enable()
        guest.start("load", mode=EL1H, pstate=MASKED | Spsr.of(PAN=pan), x={1: VA})
        if status is None:
            assert guest.finished("load")
        else:
            check_fault(guest, "load", EL1H, VA, status)
        walk = guest.vcpu.memory().translate(VA, access=Access.READ, pan=bool(pan)).stage1
        assert (walk.fault.fault_status if walk.fault else None) == status


# Stage 2 under stage 1 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("place", PLACES.values())
@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("where", [UNBACKED, DEVICE, 0x5000_0000], ids=["unbacked", "device", "not readable"])
def test_table_that_stage_2_does_not_give(mode: int, place: str, level: int, where: int) -> None:
    observer = Observer()
    with Guest("exceptions", platform=Script(), observer=observer) as guest:
        guest.map(0x5000_0000, PAGE, "wx")
        # What is in there would do as a table at any level: it must not be read.
        guest.write_u64(0x5000_0000, *[DATA & -SIZES[1] | KERNEL | VALID | (TABLE if level == 3 else 0)] * 512)
        tables = Stage1(guest)
        if level == 1:
            tables.roots = (tables.roots[0], where)
            va = UPPER | VA
        else:
            va = VA
            tables.set(va, level - 1, where | TABLE | VALID)
        tables.enable()
        guest["FAR_EL1"] = 0
        guest.start(place, mode=mode, x={1: va})
        check_fault(guest, place, mode, va, EXTERNAL_WALK + level)
        esr = observer.records[0].esr or 0
        refused = guest.stage2.translate(where, Access.READ).fault
        assert refused is not None
        assert (esr >> 7 & 1, esr & 0x3F) == (1, refused.fault_status)


@pytest.mark.parametrize("place", ["translate_read_el1", "translate_write_el0"])
def test_address_translation_over_a_table_that_stage_2_does_not_give(place: str) -> None:
    with Guest("exceptions", platform=Script()) as guest:
        tables = Stage1(guest)
        tables.set(VA, 1, UNBACKED | TABLE | VALID)
        tables.enable()
        guest.start(place, x={1: VA})
        assert guest.slot == CURRENT_SPX
        assert guest["ELR_EL1"] == guest.label(place)
        assert guest.esr == 0x25 << 26 | 1 << 25 | DataAbortIss.of(CM=1, WnR=1, DFSC=EXTERNAL_WALK + 2)
        assert guest["FAR_EL1"] == VA


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_device_behind_stage_1(mode: int) -> None:
    with Guest("exceptions") as guest:
        tables = Stage1(guest)
        tables.map(VA, DEVICE, 3, USER)
        tables.enable()
        reason = guest.start("load", mode=mode, x={1: VA + 0x18})
        assert isinstance(reason, MmioRead)
        assert reason.addr == DEVICE + 0x18
        guest.vcpu.complete(99)
        guest.run()
        assert guest.finished("load")
        assert guest.x(0) == 99
        reason = guest.start("store", mode=mode, x={0: 7, 1: VA + 0xFF8})
        assert isinstance(reason, MmioWrite)
        assert (reason.addr, reason.data) == (DEVICE + 0xFF8, 7)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("place", PLACES.values())
def test_unbacked_page_behind_stage_1(mode: int, place: str) -> None:
    with Guest("exceptions", platform=Script()) as guest:
        tables = Stage1(guest)
        tables.map(VA, UNBACKED, 3, USER if mode == EL0T else KERNEL)
        tables.enable()
        guest.start(place, mode=mode, x={1: VA})
        check_fault(guest, place, mode, VA, EXTERNAL)


def test_stage_1_fault_comes_before_stage_2(guest: Guest) -> None:
    tables = Stage1(guest)
    tables.map(VA, UNBACKED, 3, KERNEL | AP_RO)
    tables.enable()
    guest.start("store", x={1: VA})
    check_fault(guest, "store", EL1H, VA, PERMISSION + 3)


def test_permission_of_stage_2_behind_stage_1(guest: Guest) -> None:
    guest.map(0x5000_0000, PAGE, "r")
    tables = Stage1(guest)
    tables.map(VA, 0x5000_0000, 3, KERNEL)
    tables.enable()
    assert guest.start("store", x={1: VA + 8}) == NestedPageFault(0x5000_0008, AccessFlags.WRITE)
    assert guest.start("jump", x={1: VA + 8}) == NestedPageFault(0x5000_0008, AccessFlags.EXECUTE)
    guest.start("load", x={1: VA + 8})
    assert guest.finished("load")


# Everybody agrees --------------------------------------------------------------------------------------------------

LEAF_BITS = (AF, AP_EL0, AP_RO, PXN, UXN, 3 << 8, 1 << 11)
TABLE_BITS = (1 << 59, 1 << 60, 1 << 61, 1 << 62)
EPD1, TBI0, TBI1 = 1 << 23, 1 << 37, 1 << 38
NO_TAG = (1 << 56) - 1
AT = (
    ("translate_read_el1", EL1H, Access.READ),
    ("translate_write_el1", EL1H, Access.WRITE),
    ("translate_read_el0", EL0T, Access.READ),
    ("translate_write_el0", EL0T, Access.WRITE),
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Guest]:
    with Guest("exceptions") as guest:
        yield guest


@st.composite
def leaves(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """(VA, level, descriptor bits, bits of the table above)."""
    level = draw(st.sampled_from([1, 2, 3]))
    half = draw(st.sampled_from([0, UPPER]))
    # Gigabytes 8 to 11, far from where the program is.
    index = draw(st.integers(8, 11)) << 30 | draw(st.integers(0, 2)) << 21 | draw(st.integers(0, 3)) << 12
    bits = sum(bit for bit in LEAF_BITS if draw(st.booleans())) | AF * draw(st.booleans()) & AF
    above = sum(bit for bit in TABLE_BITS if draw(st.integers(0, 4)) == 0)
    return half | index, level, bits, above


def write_leaves(guest: Guest, tables: Stage1, drawn: list[tuple[int, int, int, int]]) -> list[int]:
    """Write what does not collide; the addresses that may mean something."""
    seen: dict[tuple[int, int], bool] = {}
    found = []
    for va, level, bits, above in drawn:
        places = [(n, va // SIZES[n]) for n in range(1, level + 1)]
        if places[-1] in seen or any(seen.get(place) for place in places):
            continue
        seen.update({place: place[0] == level for place in places})
        tables.map(va, DATA & -SIZES[level], level, bits)
        if above and level > 1:
            tables.add_bits(va, level - 1, above)
        found.append(va & -SIZES[level])
    return found


@settings(max_examples=100, deadline=None)
@given(
    drawn=st.lists(leaves(), min_size=1, max_size=6),
    wxn=st.booleans(),
    tcr=st.sampled_from([0, EPD1, TBI0, TBI1, TBI0 | TBI1]),
    offset=st.sampled_from([0, 8, 0xFF8]),
    tag=st.sampled_from([0, 0x5A << 56]),
)
def test_walker_engine_and_at_agree(
    shared: Guest, drawn: list[tuple[int, int, int, int]], wxn: bool, tcr: int, offset: int, tag: int
) -> None:
    guest = shared
    tables = Stage1(guest)
    addresses = write_leaves(guest, tables, drawn)
    tables.enable(tcr=tables.tcr | tcr, sctlr=int(Sctlr(0x30C5_0831).replace(WXN=int(wxn))))
    for va in [(address ^ tag) + offset for address in addresses]:
        memory = guest.vcpu.memory()
        for place, mode, access in AT:
            # The AT instructions are EL1's. Where stage 2 refuses the walk they are trapped, which is not meant here.
            walk = memory.translate(va, el=mode >> 2, access=access).stage1
            guest.start(place, x={1: va})
            if not wxn:
                assert guest.finished(place)
                par = guest["PAR_EL1"]
                if walk.fault is None:
                    assert par & 1 == 0
                    assert par & 0xFFFF_FFFF_F000 == (walk.output or 0) & -PAGE
                else:
                    assert par & 1 == 1
                    assert par >> 1 & 0x3F == walk.fault.fault_status
        for access, place in PLACES.items():
            for mode in (EL1H, EL0T):
                check_agreement(guest, va, access, place, mode)


def check_agreement(guest: Guest, va: int, access: Access, place: str, mode: int) -> None:
    """A real access ends as the walk of both stages says."""
    both = guest.vcpu.memory().translate(va, el=mode >> 2, access=access)
    guest.start(place, mode=mode, x={1: va})
    if both.stage1.fault is not None:
        if place == "jump" or guest.slot is not None:
            assert guest.iss & 0x3F == both.stage1.fault.fault_status
            # A branch drops the tag of its target (BranchAddr, J1.1.3), a load or store keeps it.
            assert (guest["FAR_EL1"] ^ va) & (NO_TAG if place == "jump" else -1) == 0
        else:
            raise AssertionError(f"{place} at {va:#x} succeeded, but {both.stage1.fault}")
    elif place == "jump":
        # What is there is zeroes, an undefined instruction.
        assert guest.ec == 0, both
        assert (guest["ELR_EL1"] ^ va) & NO_TAG == 0
    else:
        assert guest.finished(place), both
