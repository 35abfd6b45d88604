"""Accesses to a device that are unaligned, or cross pages (B2.5.2, D8.4).

An access that faults leaves all registers unchanged. The parts of a store before the fault have reached the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from arm_vcpu_cli.engine.pointer_signing import sign_as_specified
from tests.support.tools import missing

from .harness import CURRENT_SPX, DEVICE, EL0T, EL1H, LOWER_64, RAM, STACK, Guest, Script
from .stage1 import AP_EL0, KERNEL, SCTLR_MMU_ON, TABLES, USER, Stage1

PAGE: Final = 0x1000
CONTENT: Final = bytes(n * 7 & 0xFF for n in range(2 * PAGE))
BEFORE: Final = {n: 0x1111_1111_1111_1111 * (n % 15 + 1) ^ n for n in range(31)} | {2: 0x10}
FAR_BEFORE: Final = 0x5555_6666
ALIGNMENT, EXTERNAL, TRANSLATION_L3 = 0x21, 0x10, 0x07
DEVICE_MEMORY: Final = 1 << 2
"""AttrIndx 1, whose byte in MAIR_EL1 is 0."""
A, SA, SA0, EE = 1 << 1, 1 << 3, 1 << 4, 1 << 25
MODES: Final = {"EL1h": EL1H, "EL0t": EL0T}
OTHER_IPA: Final = DEVICE + 0x10_0000
VA: Final = 0x1000_0000
CODE: Final = RAM + 0x8_0000


class Bench:
    """A guest over a device, with stage 1 off or on."""

    def __init__(self, model: str = "cortex-a72") -> None:
        self.script = Script(CONTENT)
        self.guest = Guest("accesses", platform=self.script, model=model)

    def run(self, place: str, address: int, *, mode: int = EL1H, sp: int | None = None) -> None:
        """Execute the instruction at a label, x1 or SP being the address."""
        stack = STACK if sp is None else sp
        self.guest["FAR_EL1"] = FAR_BEFORE
        self.guest.start(place, mode=mode, x=BEFORE | {1: address}, sp_el0=stack, sp_el1=stack)
        self.address = address

    def check_fault(self, place: str, fault: int, far: int, *, mode: int = EL1H) -> None:
        """The instruction has taken this data abort, and changed no register."""
        guest = self.guest
        assert guest.slot == (LOWER_64 if mode == EL0T else CURRENT_SPX)
        assert guest["ELR_EL1"] == guest.label(place)
        assert guest.ec == (0x24 if mode == EL0T else 0x25)
        is_write = place.startswith("st") or place == "dc_zva"
        assert guest.iss == fault | is_write << 6
        assert guest["FAR_EL1"] == far
        assert {n: guest.x(n) for n in range(31)} == BEFORE | {1: self.address}
        assert [guest.v(n) for n in (3, 4, 31)] == [0, 0, 0]

    def check_big_endian_load(self) -> None:
        """LDR W0 was completed, with the most significant byte first."""
        self.check_done("ldr_w")
        at = self.script.log[-1][1]
        assert self.guest.x(0) == int.from_bytes(CONTENT[at : at + 4], "big")

    def check_done(self, place: str) -> None:
        """The instruction was completed."""
        assert self.guest.finished(place)
        assert self.guest["FAR_EL1"] == FAR_BEFORE


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Stage 1 is off."""
    made = Bench()
    with made.guest:
        yield made


def mapped(bench: Bench, attributes: int, *, sctlr: int = SCTLR_MMU_ON, ipas: tuple[int, ...] = (DEVICE,)) -> Stage1:
    """Stage 1 on, and pages at VA."""
    tables = Stage1(bench.guest)
    for number, ipa in enumerate(ipas):
        tables.map(VA + number * PAGE, ipa, 3, attributes)
    tables.enable(sctlr=sctlr)
    return tables


UNALIGNED: Final[Mapping[str, int]] = {
    "ldr_w": 2,
    "ldrh_w": 1,
    "ldrsw_x": 1,
    "ldr_x": 4,
    "ldr_register": 1,
    "ldr_post": 2,
    "ldr_pre": 1,
    "ldp_x": 4,
    "ldp_w_post_negative": 2,
    "ldr_q": 8,
    "ldp_q_post": 8,
    "ldr_d": 4,
    "ld1_two": 4,
    "ld1_single": 2,
    "ldar_w": 1,
    "ldtr_w": 2,
    "str_w": 1,
    "str_x": 4,
    "stp_x_post": 1,
    "str_q": 8,
    "st2": 2,
    "stlr_x": 4,
}
OFFSETS: Final = {"ldr_register": 0x10, "ldr_pre": 8}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(("place", "by"), UNALIGNED.items(), ids=UNALIGNED)
def test_with_the_mmu_off_all_is_device_memory(bench: Bench, place: str, by: int, mode: int) -> None:
    bench.run(place, DEVICE + 0x80 + by, mode=mode)
    bench.check_fault(place, ALIGNMENT, DEVICE + 0x80 + by + OFFSETS.get(place, 0), mode=mode)
    assert bench.script.log == []


def test_accesses_at_the_end_of_a_page_count_from_their_first_byte(bench: Bench) -> None:
    for place in ("ldr_w", "ldr_register", "ldr_post", "str_x", "ldp_x"):
        start = DEVICE + PAGE - 2 - OFFSETS.get(place, 0)
        bench.run(place, start)
        bench.check_fault(place, ALIGNMENT, DEVICE + PAGE - 2)
    assert bench.script.log == []


@pytest.mark.parametrize("place", ["ldr_w", "ldp_x", "str_q", "stlr_x", "dc_zva"])
def test_device_memory_of_stage_1(bench: Bench, place: str) -> None:
    mapped(bench, KERNEL | DEVICE_MEMORY)
    bench.run(place, VA + 0x80 + 2)
    bench.check_fault(place, ALIGNMENT, VA + 0x82)


@pytest.mark.parametrize("place", ["ldr_w", "ldr_x", "ldr_register", "ldp_x", "ldr_q", "ld1_two", "str_w", "stp_x"])
def test_normal_memory_may_be_accessed_anyhow(bench: Bench, place: str) -> None:
    mapped(bench, KERNEL)
    bench.run(place, VA + 0x82)
    bench.check_done(place)
    assert bench.script.log[0][1] == 0x82 + OFFSETS.get(place, 0)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("place", ["ldr_w", "ldp_x", "str_w"])
def test_unless_sctlr_says_that_all_is_aligned(bench: Bench, place: str, mode: int) -> None:
    mapped(bench, USER, sctlr=SCTLR_MMU_ON | A)
    bench.run(place, VA + 0x82, mode=mode)
    bench.check_fault(place, ALIGNMENT, VA + 0x82, mode=mode)


@pytest.mark.parametrize("place", ["ldar_w", "stlr_x"])
def test_ordered_accesses_are_always_aligned(bench: Bench, place: str) -> None:
    mapped(bench, KERNEL)
    bench.run(place, VA + 0x82)
    bench.check_fault(place, ALIGNMENT, VA + 0x82)


@pytest.mark.parametrize("place", ["ldapr_w", "ldapur_x", "stlur_x"])
def test_newer_ordered_accesses_too(place: str) -> None:
    bench = Bench("max")
    with bench.guest:
        mapped(bench, KERNEL)
        bench.run(place, VA + 0x82)
        bench.check_fault(place, ALIGNMENT, VA + 0x82 - (0 if place == "ldapr_w" else 8))


@pytest.mark.parametrize("place", ["ldrb_w", "prfm_load", "ld1", "dc_civac"])
def test_what_is_always_aligned(bench: Bench, place: str) -> None:
    bench.run(place, DEVICE + 0x83)
    bench.check_done(place)


def test_zeroing_a_block_of_a_device_in_normal_memory_is_an_external_abort(bench: Bench) -> None:
    mapped(bench, KERNEL)
    bench.run("dc_zva", VA + 0x80)
    bench.check_fault("dc_zva", EXTERNAL, VA + 0x80)


def test_tables_of_a_big_endian_guest(bench: Bench) -> None:
    mapped(bench, KERNEL | DEVICE_MEMORY, sctlr=SCTLR_MMU_ON | EE)
    tables = bench.guest.read(TABLES, 16 * PAGE)
    words = (tables[at : at + 8] for at in range(0, len(tables), 8))
    bench.guest.write(TABLES, b"".join(word[::-1] for word in words))
    bench.guest.core.flush_tlb()
    bench.run("ldr_w", VA + 0x80)
    bench.check_big_endian_load()
    bench.run("ldr_w", VA + 0x82)
    bench.check_fault("ldr_w", ALIGNMENT, VA + 0x82)


# The stack pointer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "bit"), [(EL1H, SA), (EL0T, SA0)], ids=MODES)
@pytest.mark.parametrize(
    "place", ["ldr_sp", "ldr_sp_register", "ldr_sp_post", "ldp_sp_post", "ld1_sp", "str_sp", "stp_sp_pre"]
)
def test_stack_pointer_has_to_be_aligned_if_sctlr_says_so(bench: Bench, place: str, mode: int, bit: int) -> None:
    mapped(bench, USER, sctlr=SCTLR_MMU_ON & ~(SA | SA0) | bit)
    bench.run(place, 0, mode=mode, sp=VA + 0x88)
    guest = bench.guest
    assert guest.slot == (LOWER_64 if mode == EL0T else CURRENT_SPX)
    assert guest.esr == 0x26 << 26 | 1 << 25
    assert guest["ELR_EL1"] == guest.label(place)
    assert guest["FAR_EL1"] == FAR_BEFORE
    assert {n: guest.x(n) for n in range(31)} == BEFORE | {1: 0}
    assert bench.script.log == []


@pytest.mark.parametrize(("mode", "bit"), [(EL1H, SA), (EL0T, SA0)], ids=MODES)
def test_stack_pointer_of_the_other_level_is_not_concerned(bench: Bench, mode: int, bit: int) -> None:
    mapped(bench, USER, sctlr=SCTLR_MMU_ON | SA | SA0 & ~bit if mode == EL0T else (SCTLR_MMU_ON | SA0) & ~bit)
    bench.guest["SCTLR_EL1"] = bench.guest["SCTLR_EL1"] & ~bit
    bench.run("ldr_sp", 0, mode=mode, sp=VA + 0x88)
    bench.check_done("ldr_sp")


def test_aligned_stack_pointer(bench: Bench) -> None:
    mapped(bench, KERNEL, sctlr=SCTLR_MMU_ON | SA)
    bench.run("ldr_sp_offset", 0, sp=VA + 0x80)
    bench.check_done("ldr_sp_offset")
    assert bench.script.log == [("read", 0x88, 8, int.from_bytes(CONTENT[0x88:0x90], "little"))]


# More than one page ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["ldp_x", "stp_x", "ld1_two", "ldp_q_post"])
def test_pages_of_a_device_that_lie_apart(bench: Bench, place: str) -> None:
    mapped(bench, KERNEL, ipas=(DEVICE + PAGE, DEVICE))
    bench.run(place, VA + PAGE - 8 if place != "ldp_q_post" else VA + PAGE - 16)
    bench.check_done(place)
    if place in ("ldp_x", "stp_x"):
        assert [entry[1] for entry in bench.script.log] == [2 * PAGE - 8, 0]
    if place == "ldp_x":
        read = [int.from_bytes(CONTENT[at : at + 8], "little") for at in (2 * PAGE - 8, 0)]
        assert [bench.guest.x(0), bench.guest.x(2)] == read
    if place == "ldp_q_post":
        assert bench.guest.x(1) == bench.address + 32
        assert bench.guest.v(4) == int.from_bytes(CONTENT[:16], "little")


@pytest.mark.parametrize("place", ["ldp_x", "stp_x_post", "ld1_two"])
def test_second_page_that_stage_1_does_not_map(bench: Bench, place: str) -> None:
    mapped(bench, KERNEL)
    bench.run(place, VA + PAGE - 8)
    bench.check_fault(place, TRANSLATION_L3, VA + PAGE)
    assert bench.script.log == [], "nothing has reached the device"


@pytest.mark.parametrize("place", ["ldp_x", "stp_x_post", "ld1_two"])
def test_second_page_where_nothing_answers(bench: Bench, place: str) -> None:
    mapped(bench, KERNEL, ipas=(DEVICE, OTHER_IPA))
    bench.run(place, VA + PAGE - 8)
    bench.check_fault(place, EXTERNAL, VA + PAGE)
    assert [entry[:2] for entry in bench.script.log] == [("write" if place.startswith("st") else "read", PAGE - 8)]


@pytest.mark.parametrize("place", ["ldtr_x"])
def test_unprivileged_access_is_one_of_el0(bench: Bench, place: str) -> None:
    mapped(bench, KERNEL | AP_EL0)
    bench.run(place, VA)
    bench.check_done(place)


@pytest.mark.parametrize(("place", "before"), [("ldr_x", 4), ("ldr_w", 1), ("str_x", 4), ("ldr_post", 2), ("ldr_q", 8)])
@pytest.mark.parametrize("on", [False, True], ids=["MMU off", "Normal"])
def test_access_that_reaches_from_memory_into_a_device(bench: Bench, place: str, before: int, on: bool) -> None:
    """The core reports the first byte of the device's page, with a syndrome that speaks of the whole access."""
    ipa = bench.guest.map(DEVICE - PAGE, PAGE)
    assert ipa
    if on:
        mapped(bench, KERNEL, ipas=(DEVICE - PAGE, DEVICE))
    start = (VA + PAGE if on else DEVICE) - before
    bench.run(place, start)
    fault, far = (EXTERNAL, start + before) if on else (ALIGNMENT, start)
    bench.check_fault(place, fault, far)
    assert bench.script.log == []


def test_pair_that_reaches_from_memory_into_a_device(bench: Bench) -> None:
    bench.guest.map(DEVICE - PAGE, PAGE)
    bench.run("ldp_x", DEVICE - 8)
    bench.check_fault("ldp_x", EXTERNAL, DEVICE)


def test_pair_that_reaches_from_a_device_into_memory(bench: Bench) -> None:
    bench.guest.map(DEVICE + PAGE, PAGE)
    for place in ("ldp_x", "stp_x_post", "ld1_two"):
        bench.run(place, DEVICE + PAGE - 8)
        bench.check_fault(place, EXTERNAL, DEVICE + PAGE - 8)
    assert bench.script.log == []
    assert bench.guest.read(DEVICE + PAGE, 64) == bytes(64)


@pytest.mark.parametrize("place", ["ldp_x", "ldp_x_post", "ldp_w_post_negative", "ldpsw_x_post", "stp_x_post"])
@pytest.mark.parametrize("on", [False, True], ids=["device", "stage 1"])
def test_general_registers_are_kept_if_the_second_half_of_memory_faults(bench: Bench, place: str, on: bool) -> None:
    """The core does the first half. Of what it stores, that is in memory afterwards."""
    half = 8 if "_x" in place and place != "ldpsw_x_post" else 4
    bench.guest.map(DEVICE - PAGE, PAGE)
    bench.guest.write(DEVICE - 8, bytes(range(1, 9)))
    if on:
        mapped(bench, KERNEL, ipas=(DEVICE - PAGE,))
    end = VA + PAGE if on else DEVICE
    bench.run(place, end - half)
    bench.check_fault(place, TRANSLATION_L3 if on else EXTERNAL, end)
    stored = BEFORE[0].to_bytes(8, "little") if place.startswith("st") else bytes(range(1, 9))
    assert bench.guest.read(DEVICE - 8, 8) == stored


@pytest.mark.parametrize("place", ["ldp_q_post", "ld1_two", "ld2_wrapping"])
def test_the_base_is_kept_if_a_later_register_faults(bench: Bench, place: str) -> None:
    """SIMD registers that were loaded first are UNKNOWN then."""
    mapped(bench, KERNEL, ipas=(RAM + 0x10_0000,))
    bench.run(place, VA + PAGE - (8 if place == "ld2_wrapping" else 16))
    assert (bench.guest.ec, bench.guest.iss, bench.guest["FAR_EL1"]) == (0x25, TRANSLATION_L3, VA + PAGE)
    assert bench.guest.x(1) == bench.address


# Authenticated loads -----------------------------------------------------------------------------------------------

PACDZA_X1, PACDZB_X1, PACDA_X1_SP, HVC = 0xDAC1_2BE1, 0xDAC1_2FE1, 0xDAC1_0BE1, 0xD400_2002
LDRAA, LDRAA_PRE, LDRAB_PRE = 0xF820_2420, 0xF820_2C20, 0xF8FF_EC20
"""ldraa x0, [x1, #16]; ldraa x0, [x1, #16]!; ldrab x0, [x1, #-16]!"""
EN_DA, EN_DB = 1 << 27, 1 << 13


@pytest.mark.parametrize("keys", [0, EN_DA | EN_DB], ids=["off", "on"])
@pytest.mark.parametrize("tag", [0, 0x5A << 56], ids=["plain", "tagged"])
@pytest.mark.parametrize(
    ("sign", "load", "offset", "writes"),
    [(PACDZA_X1, LDRAA, 16, False), (PACDZA_X1, LDRAA_PRE, 16, True), (PACDZB_X1, LDRAB_PRE, -16, True)],
    ids=["ldraa", "ldraa_pre", "ldrab_pre"],
)
def test_authenticated_loads(sign: int, load: int, offset: int, writes: bool, tag: int, keys: int) -> None:
    if not sign_as_specified():
        missing("a build that the stubs are for")
    bench = Bench("max")
    with bench.guest as guest:
        tables = mapped(bench, KERNEL, sctlr=SCTLR_MMU_ON | keys)
        if tag:
            tables.enable(tcr=tables.tcr | 1 << 37, sctlr=SCTLR_MMU_ON | keys)
        pointer = (VA + 0x80) | tag
        guest.write_code(CODE, sign, HVC, load, HVC)
        guest.start(CODE, x={1: pointer})
        signed = guest.x(1)
        assert (signed != pointer) is bool(keys)
        guest.run()
        assert guest.pc == CODE + 16
        at = 0x80 + offset
        assert bench.script.log == [("read", at, 8, int.from_bytes(CONTENT[at : at + 8], "little"))]
        assert guest.x(0) == bench.script.log[0][3]
        assert guest.x(1) == (pointer + offset if writes else signed)


def test_a_pointer_that_is_not_authentic_faults_at_stage_1() -> None:
    bench = Bench("max")
    with bench.guest as guest:
        mapped(bench, KERNEL, sctlr=SCTLR_MMU_ON | EN_DA)
        guest.write_code(CODE, LDRAA_PRE, HVC)
        guest.start(CODE, x={1: VA + 0x80})
        assert guest.ec == 0x25
        assert guest.iss == 0x04
        assert bench.script.log == []
        assert guest.x(1) == VA + 0x80


PTRUE_P0, LD1B_Z3, ST1W_Z3 = 0x2518_E3E0, 0xA400_A023, 0xE540_E023


@pytest.mark.parametrize("word", [LD1B_Z3, ST1W_Z3], ids=["ld1b", "st1w"])
def test_sve_is_not_for_devices(word: int) -> None:
    bench = Bench("max")
    with bench.guest as guest:
        guest["CPACR_EL1"] = 3 << 20 | 3 << 16
        guest.write_code(CODE, PTRUE_P0, word, HVC)
        guest["FAR_EL1"] = FAR_BEFORE
        guest.start(CODE, x={1: DEVICE})
        assert (guest.ec, guest.iss & 0x3F, guest["FAR_EL1"]) == (0x25, EXTERNAL, DEVICE)
        assert guest["ELR_EL1"] == CODE + 4
        assert bench.script.log == []
