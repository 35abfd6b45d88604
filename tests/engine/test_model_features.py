"""Every feature that a CPU model announces works: one instruction or one translation of each on the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from arm_vcpu_cli.arch.identification.features import announced_features
from arm_vcpu_cli.arch.identification.idregs import Aa64Mmfr0
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.id_registers import guest_id_registers
from arm_vcpu_cli.engine.hidden_registers import hide_registers
from arm_vcpu_cli.engine.walk_checks import take_walk_checks
from tests.support.tools import missing

from .harness import CURRENT_SPX, DATA, EL0T, EL1H, LOWER_64, MASKED, RAM, STACK, Guest, is_call
from .stage1 import AF, KERNEL, MAIR, SCTLR_MMU_ON, TCR, USER, Stage1

MODELS = ("cortex-a53", "cortex-a57", "cortex-a72", "max")
HVC_END = 0xD400_2002
PLACE = RAM + 0x18_0000
"""X1 of every snippet: memory with 0x1111, 0x2222, 0x3333."""
VA = 0x1000_0000
TABLES_16K, VA_16K = RAM + 0x30_0000, 0x1000_0000
TCR_16K = 28 | 2 << 14 | 1 << 23 | 5 << 32
"""T0SZ = 28, TG0 = 16 KiB, EPD1, 48-bit output."""
GP, AP_TABLE_RO = 1 << 50, 1 << 62
HA, HPD0 = 1 << 39, 1 << 41
PAN, UAO = 1 << 22, 1 << 23
HALF = 0x3C00
"""1.0 in half precision."""
LOAD, LOAD_UNPRIVILEGED, STORE = 0xF940_0020, 0xF840_0820, 0xF900_0020


def lanes(value: int, width: int, count: int = 128) -> int:
    """``value`` in every lane of ``width`` bits, ``count`` bits in all."""
    return sum(value << at for at in range(0, count, width))


@dataclass(frozen=True)
class Snippet:
    """Instructions, X and V registers before, and what X, V, memory and NZCV hold after them."""

    words: tuple[int, ...]
    x: Mapping[int, int] = field(default_factory=dict)
    v: Mapping[int, int] = field(default_factory=dict)
    gives_x: Mapping[int, int] = field(default_factory=dict)
    gives_v: Mapping[int, int] = field(default_factory=dict)
    gives_memory: int = 0x1111
    gives_nzcv: int = 0


ONES = {1: lanes(1, 8), 2: lanes(2, 8)}
SNIPPETS: dict[str, Snippet] = {
    # fadd d0, d1, d2 of 1.0 and 2.0; fadd h0, h1, h2 of 1.0 and 1.0; add v0.4s, v1.4s, v2.4s
    "FEAT_FP": Snippet((0x1E622820,), v={1: 0x3FF0 << 48, 2: 0x4000 << 48}, gives_v={0: 0x4008 << 48}),
    "FEAT_FP16": Snippet((0x1EE22820,), v={1: HALF, 2: HALF}, gives_v={0: 0x4000}),
    "FEAT_AdvSIMD": Snippet((0x4EA28420,), v={1: lanes(1, 32), 2: lanes(2, 32)}, gives_v={0: lanes(3, 32)}),
    # aese v0, v1 of zeros is the S-box of 0; pmull of 3 and 3 without carry is 5
    "FEAT_AES": Snippet((0x4E284820,), gives_v={0: lanes(0x63, 8)}),
    "FEAT_PMULL": Snippet((0x0EE2E020,), v={1: 3, 2: 3}, gives_v={0: 5}),
    # sha1h rotates left by 30; sha256su0 adds sigma0 (7, 18, 3) of the next word
    "FEAT_SHA1": Snippet((0x5E280820,), v={1: 1}, gives_v={0: 1 << 30}),
    "FEAT_SHA256": Snippet((0x5E282820,), v={0: 5 | 8 << 32}, gives_v={0: 5 + (8 << 25 | 8 << 14 | 1) | 8 << 32}),
    # sha512su0 adds sigma0 (1, 8, 7) of the next word, here the low half of v0's upper word
    "FEAT_SHA512": Snippet((0xCEC08020,), v={0: 128 << 64, 1: 0}, gives_v={0: (64 ^ 128 << 56 ^ 1) | 128 << 64}),
    # eor3; sm3ss1 rotates the sum of the rotated top words left by 7; sm4e, one round of zeros is L(S-box of 0)
    "FEAT_SHA3": Snippet((0xCE020C20,), v={1: 1, 2: 2, 3: 4 << 64}, gives_v={0: 3 | 4 << 64}),
    "FEAT_SM3": Snippet((0xCE420C20,), v={1: 1 << 96, 2: 2 << 96, 3: 4 << 96}, gives_v={0: (0x1006 << 7) << 96}),
    "FEAT_SM4": Snippet((0xCEC08420, 0x1E260000), gives_x={0: 0x5B5B5B5B}),
    # crc32b w0, w0, w2 of a byte 1
    "FEAT_CRC32": Snippet((0x1AC24000,), x={2: 1}, gives_x={0: 0x77073096}),
    # ldadd x0, x2, [x1]; sqrdmlah v0.4s of 1/2 and 1/2; udot of 16 ones and twos; fmlal v0.2s of 1.0 and 1.0
    "FEAT_LSE": Snippet((0xF8200022,), x={0: 5}, gives_x={2: 0x1111}, gives_memory=0x1116),
    "FEAT_RDM": Snippet(
        (0x6E828420,), v={1: lanes(1 << 30, 32), 2: lanes(1 << 30, 32)}, gives_v={0: lanes(1 << 29, 32)}
    ),
    "FEAT_DotProd": Snippet((0x6E829420,), v=ONES, gives_v={0: lanes(8, 32)}),
    "FEAT_FHM": Snippet(
        (0x0E22EC20,), v={1: lanes(HALF, 16), 2: lanes(HALF, 16)}, gives_v={0: lanes(0x3F800000, 32, 64)}
    ),
    # cfinv; rmif x0, #0, #15; axflag with Z and V set clears V and sets C
    "FEAT_FlagM": Snippet((0xBA00040F, 0xD500401F), x={0: 0b0100}, gives_nzcv=0b0110),
    "FEAT_FlagM2": Snippet((0xBA00040F, 0xD500405F), x={0: 0b0101}, gives_nzcv=0b0100),
    # dc cvap, x1; dc cvadp, x1; fjcvtzs w0, d1 of 2^32 + 5; fcadd v0.2s, v1.2s, v2.2s, #90
    "FEAT_DPB": Snippet((0xD50B7C21,)),
    "FEAT_DPB2": Snippet((0xD50B7D21,)),
    "FEAT_JSCVT": Snippet((0x1E7E0020,), v={1: 0x41F0_0000_0050_0000}, gives_x={0: 5}),
    "FEAT_FCMA": Snippet(
        (0x2E82E420,),
        v={1: lanes(0x3F800000, 32, 64), 2: 0x40000000 << 32 | 0x3F800000},
        gives_v={0: 0x40000000 << 32 | 0xBF800000},
    ),
    # ldapr x0, [x1]; ldapur x0, [x1, #8] and stlur x0, [x1]; frint32z d0, d1 of 1.5
    "FEAT_LRCPC": Snippet((0xF8BFC020,), gives_x={0: 0x1111}),
    "FEAT_LRCPC2": Snippet((0xD9408020, 0xD9000020), gives_x={0: 0x2222}, gives_memory=0x2222),
    "FEAT_FRINTTS": Snippet((0x1E684020,), v={1: 0x3FF8 << 48}, gives_v={0: 0x3FF0 << 48}),
    # sb; cfp, dvp and cpp rctx, x0
    "FEAT_SB": Snippet((0xD50330FF,)),
    "FEAT_SPECRES": Snippet((0xD50B7380, 0xD50B73A0, 0xD50B73E0)),
    # cntb x0 with the shortest vectors; add z0.d, z1.d, z2.d
    "FEAT_SVE": Snippet(
        (0x0420E3E0, 0x04E20020), v={1: lanes(1, 64), 2: lanes(2, 64)}, gives_x={0: 16}, gives_v={0: lanes(3, 64)}
    ),
}
"""A computation whose result tells that the instructions are there and right."""

WORDS = {
    "FEAT_BF16": 0x2E42FC20,  # bfdot v0.2s, v1.4h, v2.4h
    "FEAT_I8MM": 0x0E829C20,  # usdot v0.2s, v1.8b, v2.8b
    "FEAT_LS64": 0xF83FD028,  # ld64b x8, [x1]
    "FEAT_MOPS": 0x19010440,  # cpyfp [x0]!, [x1]!, x2!
    "FEAT_HBC": 0x54000030,  # bc.eq .+4
    "FEAT_WFxT": 0xD5031000,  # wfet x0
    "FEAT_XS": 0xD5033A3F,  # dsb ishnxs
    "FEAT_MTE": 0x9ADF1020,  # irg x0, x1
    "FEAT_SME": 0xD503437F,  # smstart sm
    "FEAT_SVE2": 0x4502F820,  # saba z0.b, z1.b, z2.b
    "FEAT_F32MM": 0x64A2E420,  # fmmla z0.s, z1.s, z2.s
    "FEAT_TME": 0xD5233060,  # tstart x0
    "FEAT_TLBIOS": 0xD508811F,  # tlbi vmalle1os
    "FEAT_TLBIRANGE": 0xD5088620,  # tlbi rvae1, x0
    "FEAT_DIT": 0xD503415F,  # msr dit, #1
    "FEAT_SSBS2": 0xD503413F,  # msr ssbs, #1
    "FEAT_CSSC": 0xDAC02020,  # abs x0, x1
    "FEAT_SPECRES2": 0xD50B73C0,  # cosp rctx, x0
    "FEAT_ECV": 0xD53BE0C0,  # mrs x0, cntvctss_el0
    "FEAT_RAS": 0xD5385300,  # mrs x0, erridr_el1
    "FEAT_AMUv1": 0xD53BD200,  # mrs x0, amcr_el0
    "FEAT_LOR": 0xD538A460,  # mrs x0, lorc_el1
}
"""An instruction of each feature that no model has so far; those that are hints cannot be told from their absence."""

TRANSLATIONS = {"FEAT_PAN", "FEAT_PAN2", "FEAT_UAO", "FEAT_BTI", "FEAT_PAuth", "FEAT_HPDS", "FEAT_TTCNP", "FEAT_RNG"}
"""Features with a test of their own below."""


@pytest.fixture(scope="module", params=MODELS)
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    with Guest("exceptions", model=request.param) as guest:
        yield guest


@pytest.fixture
def modern() -> Iterator[Guest]:
    with Guest("exceptions", model="max") as guest:
        yield guest


def run(guest: Guest, snippet: Snippet) -> bool:
    """Whether all of it was executed; if not, its first instruction was undefined."""
    guest["CPACR_EL1"] = 0b11 << 20 | 0b11 << 16
    guest.write_code(DATA, *snippet.words, HVC_END)
    guest.write_u64(PLACE, 0x1111, 0x2222, 0x3333)
    guest.core.flush_code()
    for number in range(4):
        guest.set_v(number, snippet.v.get(number, 0))
    assert is_call(guest.start(DATA, x={1: PLACE, **snippet.x}))
    if guest.slot is None:
        assert guest.pc == DATA + 4 * len(snippet.words) + 4
        return True
    assert (guest.slot, guest.ec, guest["ELR_EL1"]) == (CURRENT_SPX, 0, DATA)
    return False


def test_every_announced_feature_is_tested(guest: Guest) -> None:
    announced = announced_features(guest_id_registers(guest.core))
    assert announced <= set(SNIPPETS) | TRANSLATIONS


@pytest.mark.parametrize("name", SNIPPETS)
def test_an_instruction_computes_where_it_is_announced_and_is_undefined_elsewhere(guest: Guest, name: str) -> None:
    snippet = SNIPPETS[name]
    is_there = run(guest, snippet)
    assert is_there is (name in announced_features(guest_id_registers(guest.core)))
    if not is_there:
        return
    assert {number: guest.x(number) for number in snippet.gives_x} == snippet.gives_x
    assert {number: guest.v(number) for number in snippet.gives_v} == snippet.gives_v
    assert int.from_bytes(guest.read(PLACE, 8), "little") == snippet.gives_memory
    assert guest.pstate >> 28 == snippet.gives_nzcv


@pytest.mark.parametrize("name", WORDS)
def test_an_instruction_of_a_feature_is_undefined_where_it_is_not_announced(guest: Guest, name: str) -> None:
    if not hide_registers():
        missing("the host that hides registers")
    is_there = run(guest, Snippet((WORDS[name],)))
    assert is_there is (name in announced_features(guest_id_registers(guest.core)))


@pytest.mark.parametrize("register", [0xD53B2400, 0xD53B2420], ids=["RNDR", "RNDRRS"])
def test_random_numbers_come_with_the_condition_flags_clear(modern: Guest, register: int) -> None:
    seen = set()
    for _ in range(4):
        assert run(modern, Snippet((0xBA00040F, register), x={0: 0b1111}))
        seen.add(modern.x(0))
        assert modern.pstate >> 28 == 0
    assert len(seen) == 4


@pytest.mark.parametrize("mode", [EL1H, EL0T], ids=["EL1h", "EL0t"])
def test_sve_is_trapped_where_the_guest_says_so(modern: Guest, mode: int) -> None:
    modern["CPACR_EL1"] = 0b11 << 20
    modern.write_code(DATA, 0x04E20020, HVC_END)
    modern.start(DATA, mode=mode)
    assert (modern.slot, modern.ec) == (LOWER_64 if mode == EL0T else CURRENT_SPX, 0x19)


def access(guest: Guest, instruction: int, attributes: int, pstate: int = 0, *, tcr: int = TCR, table: int = 0) -> bool:
    """Whether one load or store at EL1 of a page with those attributes goes through."""
    tables = Stage1(guest)
    tables.map(VA, DATA, 3, attributes)
    tables.add_bits(VA, 1, table)
    tables.enable(tcr=tcr)
    guest.write_code(STACK, instruction, HVC_END)
    guest.core.flush_code()
    guest.start(STACK, pstate=MASKED | pstate, x={1: VA})
    if guest.slot is None:
        return True
    assert (guest.slot, guest.ec, guest["FAR_EL1"], guest.iss & 0x3F) == (CURRENT_SPX, 0x25, VA, 0x0F)
    return False


def test_pan_keeps_el1_from_memory_of_el0(modern: Guest) -> None:
    assert access(modern, LOAD, USER)
    assert not access(modern, LOAD, USER, PAN)
    assert access(modern, LOAD, KERNEL, PAN)
    assert access(modern, LOAD_UNPRIVILEGED, USER, PAN)


def test_uao_makes_unprivileged_accesses_privileged_ones(modern: Guest) -> None:
    assert not access(modern, LOAD_UNPRIVILEGED, KERNEL)
    assert access(modern, LOAD_UNPRIVILEGED, KERNEL, UAO)
    assert not access(modern, LOAD_UNPRIVILEGED, USER, UAO | PAN)


@pytest.mark.parametrize(("pstate", "fails"), [(0, 0), (PAN, 1)])
def test_address_translation_with_pan_looks_at_pan(modern: Guest, pstate: int, fails: int) -> None:
    tables = Stage1(modern)
    tables.map(VA, DATA, 3, USER)
    tables.enable()
    modern.write_code(STACK, 0xD5087901, 0xD5387400, HVC_END)
    modern.start(STACK, pstate=MASKED | pstate, x={1: VA})
    assert modern.x(0) & 1 == fails


def test_hierarchical_permissions_can_be_disabled(modern: Guest) -> None:
    assert not access(modern, STORE, KERNEL, table=AP_TABLE_RO)
    assert access(modern, STORE, KERNEL, table=AP_TABLE_RO, tcr=TCR | HPD0)


def test_tables_may_be_marked_as_common(modern: Guest) -> None:
    tables = Stage1(modern)
    tables.map(VA, DATA, 3, KERNEL)
    tables.enable()
    modern["TTBR0_EL1"] = tables.roots[0] | 1
    modern.write_code(STACK, LOAD, HVC_END)
    modern.start(STACK, x={1: VA})
    assert modern.slot is None


@pytest.mark.parametrize(
    ("target", "guarded", "lands"),
    [(0xD503201F, 0, True), (0xD503201F, GP, False), (0xD503245F, GP, True), (0xD50324DF, GP, True)],
    ids=["nop, not guarded", "nop", "bti c", "bti jc"],
)
def test_an_indirect_branch_into_a_guarded_page_needs_a_landing_pad(
    modern: Guest, target: int, guarded: int, lands: bool
) -> None:
    tables = Stage1(modern)
    tables.map(VA, DATA, 3, KERNEL | guarded)
    tables.enable()
    modern.write_code(DATA, target, HVC_END)
    modern.write_code(STACK, 0xD61F0020)
    modern.start(STACK, x={1: VA})
    assert modern.slot == (None if lands else CURRENT_SPX)
    assert lands or (modern.ec, modern["ELR_EL1"]) == (0x0D, VA)


@pytest.mark.parametrize("modifier", [77, 78], ids=["right modifier", "wrong modifier"])
def test_a_signed_pointer_authenticates_with_its_modifier_only(modern: Guest, modifier: int) -> None:
    Stage1(modern).enable()
    modern["SCTLR_EL1"] = modern["SCTLR_EL1"] | 1 << 31
    modern["APIAKeyLo_EL1"] = 0x1234_5678_9ABC_DEF0
    # pacia x0, x2; mov x3, x0; autia x0, x4; pacga x5, x0, x2
    modern.write_code(DATA, 0xDAC10040, 0xAA0003E3, 0xDAC11080, 0x9AC23005, HVC_END)
    modern.start(DATA, x={0: RAM + 0x1234, 2: 77, 4: modifier})
    assert modern.slot is None
    assert modern.x(3) != RAM + 0x1234
    assert (modern.x(0) == RAM + 0x1234) is (modifier == 77)
    assert modern.x(5)
    assert not modern.x(5) & 0xFFFF_FFFF


@pytest.mark.parametrize("model", MODELS)
def test_tables_of_16_kib_pages_are_walked_where_they_are_announced(model: str) -> None:
    with Guest("exceptions", model=model) as guest:
        announced = Aa64Mmfr0(guest_id_registers(guest.core)[lookup("ID_AA64MMFR0_EL1")]).TGran16
        if not announced and not take_walk_checks():
            missing("the host that keeps the engine from walking them")
        # Level 2 is the first, and has blocks of 32 MiB.
        block = 1 << 25
        guest.write(TABLES_16K, bytes(0x4000))
        for va in (RAM, VA_16K):
            guest.write_u64(TABLES_16K + va // block * 8, RAM | KERNEL | 1)
        guest["MAIR_EL1"], guest["TTBR0_EL1"], guest["TCR_EL1"] = MAIR, TABLES_16K, TCR_16K
        guest["SCTLR_EL1"] = SCTLR_MMU_ON
        guest.core.flush_tlb()
        walked = guest.core.translate(VA_16K + DATA - RAM) == guest.stage2.translate(DATA).output
        assert walked is bool(announced)


@pytest.mark.parametrize("model", MODELS)
def test_no_model_announces_or_has_hardware_management_of_the_access_flag(model: str) -> None:
    with Guest("exceptions", model=model) as guest:
        assert "FEAT_HAFDBS" not in announced_features(guest_id_registers(guest.core))
        tables = Stage1(guest)
        tables.map(VA, DATA, 3, KERNEL & ~AF)
        tables.enable(tcr=TCR | HA)
        guest.write_code(STACK, LOAD, HVC_END)
        guest.start(STACK, x={1: VA})
        assert (guest.ec, guest.iss & 0x3F) == (0x25, 0x0B)
