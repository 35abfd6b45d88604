"""Each trap that a machine file may set, on each instruction that it covers, on each model.

The coverage of a bit is that of the Arm ARM's pseudocode (DDI 0487, C5 and D24: the accessibility of each register). A
covered instruction exits with EC 0x18 and the syndrome that names it, and the guest continues as without the trap; for
every other one nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arm_vcpu_cli.arch.registers.sysreg import SysReg, SystemMove, decode_system_move, encode_system_move, lookup
from arm_vcpu_cli.arch.syndrome.esr import system_trap_esr
from arm_vcpu_cli.board.el2_loading import CPTR_TRAPS, HCR_TRAPS, MDCR_TRAPS
from tests.fuzz.encodings import MODELS, Lab
from tests.fuzz.qemu.system_rules import EXECUTED

RT = 3
CHANGING = (9, 14)
"""CRn of monitors and timers."""
_TRANSLATION = """
    SCTLR_EL1 TTBR0_EL1 TTBR1_EL1 TCR_EL1 ESR_EL1 FAR_EL1 AFSR0_EL1 AFSR1_EL1 MAIR_EL1 AMAIR_EL1
    CONTEXTIDR_EL1""".split()
_TLB = [f"TLBI {name}E1{where}" for name in ("VMALL", "VA", "ASID", "VAA", "VAL", "VAAL") for where in ("", "IS")]
_DEBUG = [
    *"MDSCR_EL1 MDCCINT_EL1 DBGDTR_EL0 OSDTRRX_EL1 OSDTRTX_EL1 OSECCR_EL1 DBGCLAIMSET_EL1 DBGCLAIMCLR_EL1".split(),
    *(f"DBG{kind}{number}_EL1" for kind in ("BVR", "BCR", "WVR", "WCR") for number in range(16)),
]
READS: dict[str, list[str]] = {
    "TRVM": _TRANSLATION,
    "TACR": ["ACTLR_EL1"],
    "TID1": ["REVIDR_EL1", "AIDR_EL1"],
    "TID2": ["CTR_EL0", "CCSIDR_EL1", "CLIDR_EL1", "CSSELR_EL1"],
    "TCPAC": ["CPACR_EL1"],
    "TDRA": ["MDRAR_EL1"],
    "TDOSA": ["OSLSR_EL1", "OSDLR_EL1", "DBGPRCR_EL1"],
    "TDA": [*_DEBUG, "MDCCSR_EL0", "DBGDTRRX_EL0", "DBGAUTHSTATUS_EL1"],
}
WRITES: dict[str, list[str]] = {
    "TVM": _TRANSLATION,
    "TTLB": _TLB,
    "TACR": ["ACTLR_EL1"],
    "TSW": ["DC ISW", "DC CSW", "DC CISW"],
    "TPC": ["DC IVAC", "DC CVAC", "DC CIVAC", "DC CVAP", "DC CVADP"],
    "TDZ": ["DC ZVA"],
    "TPU": ["IC IALLU", "IC IALLUIS", "IC IVAU", "DC CVAU"],
    "TID2": ["CSSELR_EL1"],
    "TCPAC": ["CPACR_EL1"],
    "TDOSA": ["OSLAR_EL1", "OSDLR_EL1", "DBGPRCR_EL1"],
    "TDA": [*_DEBUG, "DBGDTRTX_EL0"],
}
for _way in (READS, WRITES):
    # It includes these.
    _way["TDE"] = [name for bit in ("TDRA", "TDOSA", "TDA") for name in _way.get(bit, [])]
DZP = 1 << 4
"""Of DCZID_EL0: DC ZVA is prohibited."""
ALWAYS = ("TPM", "TPMCR")
"""Set whether a machine file says so or not: nothing changes."""
FP = {"TFP": 0x1FE0_0000, "TZ": 0x6600_0000}
"""The syndromes of traps of FP, SIMD and SVE."""
_FADD, _FADD_VECTOR, _LDR_Q, _READ_FPCR, _WRITE_FPSR = 0x1E60_2800, 0x4E20_D400, 0x3DC0_0080, 0xD53B_4403, 0xD51B_4423
_PTRUE, _CNTB, _RDVL = 0x2518_E3E0, 0x0420_E3E3, 0x04BF_5023
_WFE = 0xD503_205F
FP_WORDS = (_FADD, _FADD_VECTOR, _LDR_Q, _READ_FPCR, _WRITE_FPSR)
SVE_WORDS = (_PTRUE, _CNTB, _RDVL)
IMPLEMENTATION = [SysReg(op0, op1, crn, 4, 2) for op0 in (1, 3) for op1 in range(8) for crn in (11, 15)]
"""Some registers and instructions of the space that TIDCP traps, which no model has."""


def covered(bit: str) -> set[SystemMove]:
    """The instructions that a trap covers."""
    moves = {SystemMove(lookup(name), RT, True) for name in READS.get(bit, [])}
    moves |= {SystemMove(lookup(name), RT, False) for name in WRITES.get(bit, [])}
    return moves


@pytest.fixture(scope="module", params=MODELS)
def plain(request: pytest.FixtureRequest) -> Iterator[Lab]:
    lab = Lab(request.param)
    yield lab
    lab.close()


def seen(lab: Lab, move: SystemMove, el: int) -> tuple[tuple[int, int], list[int]]:
    """What :meth:`Lab.execute` says, and the syndromes of the exits before the hypercall."""
    return seen_of_word(lab, encode_system_move(move), el)


def seen_of_word(lab: Lab, word: int, el: int) -> tuple[tuple[int, int], list[int]]:
    """The same of any instruction."""
    before = lab.vcpu.exits
    outcome = lab.execute(word, el, True)
    exits = lab.vcpu.exits - before
    return outcome, [record.record.esr or 0 for record in lab.vcpu.recent_exits()[-exits:-1]] if exits > 1 else []


TABLE = [
    *(("hcr", bit) for bit in HCR_TRAPS),
    *(("cptr", bit) for bit in CPTR_TRAPS if bit not in FP),
    *(("mdcr", bit) for bit in MDCR_TRAPS),
]


@pytest.mark.parametrize(("register", "bit"), TABLE)
def test_what_a_bit_covers_exits_with_its_syndrome_and_goes_on(plain: Lab, register: str, bit: str) -> None:
    lab = Lab(plain.machine.description.cpu.model, (bit,), register)
    moves = covered(bit)
    registers = [reg for reg in plain.manual.registers if reg.crn not in CHANGING and not reg.name.startswith("RNDR")]
    others = {SystemMove(reg, RT, is_read) for reg in registers for is_read in (True, False)}
    for move in sorted(moves | others, key=encode_system_move):
        for el in (1, 0):
            wanted, without = seen(plain, move, el)
            found, exits = seen(lab, move, el)
            name = f"{move} at EL{el}"
            if move in moves and wanted[0] == EXECUTED:
                assert exits == [system_trap_esr(move)], name
            else:
                assert exits == without, name
            if bit == "TDZ" and move == SystemMove(lookup("DCZID_EL0"), RT, True):
                wanted = wanted[0], wanted[1] | DZP
            assert found == wanted, name
    lab.close()


def test_tidcp_traps_what_the_cpu_does_not_have_too(plain: Lab) -> None:
    lab = Lab(plain.machine.description.cpu.model, ("TIDCP",))
    for reg in IMPLEMENTATION:
        for is_read in (True, False):
            move = SystemMove(reg, RT, is_read)
            (outcome, _), exits = seen(lab, move, 1)
            assert (outcome, exits) == (0x0200_0000, [system_trap_esr(move)]), move
            assert seen(plain, move, 1) == ((0x0200_0000, 0), []), move
    lab.close()


def test_every_bit_has_its_instructions() -> None:
    assert {*READS, *WRITES, "TIDCP", "TWE", *ALWAYS, *FP} == {*HCR_TRAPS, *CPTR_TRAPS, *MDCR_TRAPS}
    assert all(decode_system_move(encode_system_move(move)) == move for _, bit in TABLE for move in covered(bit))


@pytest.mark.parametrize("bits", [("TFP",), ("TZ",), ("TFP", "TZ")], ids="+".join)
def test_fp_and_sve_exit_with_their_syndrome_and_are_executed_then(plain: Lab, bits: tuple[str, ...]) -> None:
    model = plain.machine.description.cpu.model
    if "TZ" in bits and model != "max":
        pytest.skip("no SVE")
    lab = Lab(model, bits, "cptr")
    for word in (*FP_WORDS, *(SVE_WORDS if model == "max" else ())):
        # SVE has the trap of its own first (CheckSVEEnabled).
        wanted = [FP[bit] for bit in ("TZ", "TFP") if bit in bits and (word in SVE_WORDS or bit == "TFP")]
        for el in (1, 0):
            outcome, without = seen_of_word(plain, word, el)
            assert (outcome[0], without) == (EXECUTED, [])
            assert seen_of_word(lab, word, el) == (outcome, wanted), f"{word:#x} at EL{el}"
    lab.close()


@pytest.mark.parametrize("el", [1, 0])
def test_wfe_exits_where_there_is_no_event(plain: Lab, el: int) -> None:
    lab = Lab(plain.machine.description.cpu.model, ("TWE",))
    # The return from EL2 that starts the instruction has set the event register.
    for each in (lab, plain):
        (outcome, _), exits = seen_of_word(each, _WFE, el)
        assert (outcome, exits) == (EXECUTED, [])
    lab.close()


def test_what_traps_to_el1_is_no_exit(plain: Lab) -> None:
    lab = Lab(plain.machine.description.cpu.model, ("TFP",), "cptr")
    with lab.edited("CPACR_EL1", 3 << 20):
        assert seen_of_word(lab, _FADD, 1) == ((FP["TFP"], 0), [])
    lab.close()
