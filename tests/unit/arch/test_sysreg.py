"""System registers: names, encodings, and the instructions that move them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.registers.sysreg import (
    ISS_MASK,
    SysReg,
    SystemMove,
    decode_system_move,
    encode_system_move,
    lookup,
    sysreg_names,
    sysregs,
)

# (name, word of ``mrs x1, name`` or of the system instruction with x1) as the GNU assembler has it.
ASSEMBLED = [
    ("SCTLR_EL1", 0xD5381001),
    ("HCR_EL2", 0xD53C1101),
    ("VTCR_EL2", 0xD53C2141),
    ("ID_AA64MMFR0_EL1", 0xD5380701),
    ("ID_PFR0_EL1", 0xD5380101),
    ("CNTVCT_EL0", 0xD53BE041),
    ("CNTP_CTL_EL0", 0xD53BE221),
    ("ICC_SRE_EL1", 0xD538CCA1),
    ("ICH_LR15_EL2", 0xD53CCDE1),
    ("PMEVCNTR30_EL0", 0xD53BEBC1),
    ("DBGBVR5_EL1", 0xD5300581),
    ("DBGWCR15_EL1", 0xD5300FE1),
    ("MDSCR_EL1", 0xD5300241),
    ("SP_EL1", 0xD53C4101),
    ("CONTEXTIDR_EL12", 0xD53DD021),
    ("SCR_EL3", 0xD53E1101),
    ("DC ZVA", 0xD50B7421),
    ("DC CIVAC", 0xD50B7E21),
    ("IC IVAU", 0xD50B7521),
    ("AT S1E1R", 0xD5087801),
    ("TLBI VAE1IS", 0xD5088321),
    ("TLBI VMALLS12E1", 0xD50C87C1),
]


@pytest.mark.parametrize(("name", "word"), ASSEMBLED)
def test_an_instruction_names_its_register(name: str, word: int) -> None:
    move = decode_system_move(word)
    assert move is not None
    assert move == SystemMove(sysregs()[name], 1, bool(word >> 21 & 1))
    assert move.reg.name == name
    assert encode_system_move(move) == word


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (0xD50342DF, "msr daifset, #2"),
        (0xD503201F, "nop"),
        (0xD503207F, "wfi"),
        (0xD5033FDF, "isb"),
        (0xD5033FBF, "dmb sy"),
        (0xD5781041, "mrrs: bit 22 makes it a 128-bit move"),
        (0xD4000002, "hvc #0"),
        (0x00000000, "udf #0"),
    ],
)
def test_immediates_hints_and_barriers_move_no_register(word: int, text: str) -> None:
    assert decode_system_move(word) is None, text


def test_the_iss_form_is_that_of_the_trap_syndrome() -> None:
    # ICC_SGI1R_EL1 is S3_0_C12_C11_5: Op0 = 3, Op2 = 5, CRn = 12, CRm = 11 in their places of ESR_EL2.ISS.
    assert lookup("ICC_SGI1R_EL1").iss == 3 << 20 | 5 << 17 | 12 << 10 | 11 << 1 == 0x3A3016
    assert lookup("CNTPCT_EL0") == SysReg(3, 3, 14, 0, 1)


@given(st.integers(0, ISS_MASK))
def test_the_iss_form_round_trips(iss: int) -> None:
    assert SysReg.from_iss(iss).iss == iss & ISS_MASK
    assert SysReg.from_iss(iss | 0x3E1) == SysReg.from_iss(iss)


@given(st.integers(1, 3), st.integers(0, 7), st.integers(0, 15), st.integers(0, 15), st.integers(0, 7))
def test_any_encoding_has_a_name_that_finds_it_again(op0: int, op1: int, crn: int, crm: int, op2: int) -> None:
    reg = SysReg(op0, op1, crn, crm, op2)
    assert lookup(reg.name) == reg
    assert lookup(reg.generic_name) == reg
    word = 0xD5200000 | op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5 | 7
    assert decode_system_move(word) == SystemMove(reg, 7, True)
    assert decode_system_move(word & ~(1 << 21)) == SystemMove(reg, 7, False)
    assert encode_system_move(SystemMove(reg, 7, True)) == word
    assert encode_system_move(SystemMove(reg, 7, False)) == word & ~(1 << 21)


def test_every_name_finds_its_register_in_either_case() -> None:
    for name, reg in sysregs().items():
        assert lookup(name) == lookup(name.lower()) == reg
        assert sysregs()[sysreg_names()[reg]] == reg


def test_only_known_pairs_of_names_share_an_encoding() -> None:
    shared = {name for name, reg in sysregs().items() if sysreg_names()[reg] != name}
    assert {name for name in shared if not name.startswith("ICV_")} == {"DBGDTRTX_EL0"}
    assert lookup("ICV_IAR1_EL1") == lookup("ICC_IAR1_EL1")
    assert lookup("ICC_IAR1_EL1").name == "ICC_IAR1_EL1"


def test_an_unnamed_encoding_gets_the_generic_name() -> None:
    assert SysReg(3, 1, 15, 2, 0).name == "S3_1_C15_C2_0"


def test_a_misspelt_name_is_answered_with_close_ones() -> None:
    with pytest.raises(KeyError, match="SCTLR_EL1"):
        lookup("SCTRL_EL1")
    with pytest.raises(KeyError, match="no system register"):
        lookup("S3_0_C16_C0_0")
