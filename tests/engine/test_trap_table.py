"""Each trap of HCR_EL2 that a machine file may set, on each instruction that it covers, on each model.

What a bit covers is that of the manual's pseudocode (DDI 0487, C5 and D24: the accessibility of each register). A
covered instruction exits with EC 0x18 and the syndrome that names it, and the guest goes on as without the trap; for
every other one nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arm_vcpu_cli.arch.registers.sysreg import SysReg, SystemMove, decode_system_move, encode_system_move, lookup
from arm_vcpu_cli.arch.syndrome.esr import system_trap_esr
from arm_vcpu_cli.board.schema import HCR_TRAPS
from tests.fuzz.encodings import EXECUTED, MODELS, Lab

RT = 3
CHANGING = (9, 14)
"""CRn of monitors and timers."""
_TRANSLATION = """
    SCTLR_EL1 TTBR0_EL1 TTBR1_EL1 TCR_EL1 ESR_EL1 FAR_EL1 AFSR0_EL1 AFSR1_EL1 MAIR_EL1 AMAIR_EL1
    CONTEXTIDR_EL1""".split()
_TLB = [f"TLBI {name}E1{where}" for name in ("VMALL", "VA", "ASID", "VAA", "VAL", "VAAL") for where in ("", "IS")]
READS: dict[str, list[str]] = {
    "TRVM": _TRANSLATION,
    "TACR": ["ACTLR_EL1"],
    "TID1": ["REVIDR_EL1", "AIDR_EL1"],
    "TID2": ["CTR_EL0", "CCSIDR_EL1", "CLIDR_EL1", "CSSELR_EL1"],
}
WRITES: dict[str, list[str]] = {
    "TVM": _TRANSLATION,
    "TTLB": _TLB,
    "TACR": ["ACTLR_EL1"],
    "TSW": ["DC ISW", "DC CSW", "DC CISW"],
    "TPC": ["DC IVAC", "DC CVAC", "DC CIVAC", "DC CVAP", "DC CVADP"],
    "TPU": ["IC IALLU", "IC IALLUIS", "IC IVAU", "DC CVAU"],
    "TID2": ["CSSELR_EL1"],
}
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
    before = lab.vcpu.exits
    outcome = lab.execute(encode_system_move(move), el, True)
    exits = lab.vcpu.exits - before
    return outcome, [record.record.esr or 0 for record in lab.vcpu.recent_exits()[-exits:-1]] if exits > 1 else []


@pytest.mark.parametrize("bit", HCR_TRAPS)
def test_what_a_bit_covers_exits_with_its_syndrome_and_goes_on(plain: Lab, bit: str) -> None:
    lab = Lab(plain.machine.description.cpu.model, (bit,))
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
    assert {*READS, *WRITES, "TIDCP"} == set(HCR_TRAPS)
    assert all(decode_system_move(encode_system_move(move)) == move for bit in HCR_TRAPS for move in covered(bit))
