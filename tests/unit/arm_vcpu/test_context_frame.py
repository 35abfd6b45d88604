"""The trap frame: registers, PSTATE assembled from its parts, stack pointers, advancing past an instruction."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.context_frame import GuestSystemRegisters, TrapFrame
from arm_vcpu_cli.engine.layout import CpuState
from tests.support.fake_core import LAYOUT, FakeCore, write_pstate

U64 = st.integers(0, 2**64 - 1)
EL0T, EL1T, EL1H = 0b00000, 0b00100, 0b00101


def state_of(pstate: int = EL1H) -> tuple[CpuState, TrapFrame]:
    state = FakeCore().new_state()
    write_pstate(state, pstate)
    return state, TrapFrame(state)


# General-purpose registers -------------------------------------------------------------------------------------


def test_register_31_is_the_zero_register() -> None:
    state, frame = state_of()
    sp = frame.sp = 0x1234
    frame.set_gpr(31, 0xFFFF)
    assert frame.gpr(31) == 0
    assert frame.sp == sp
    assert frame.gprs() == (0,) * 31
    assert not any(state.u64[LAYOUT.x0 // 8 : LAYOUT.x0 // 8 + 31])


@pytest.mark.parametrize("number", [-1, 32, 100])
def test_there_are_no_other_registers(number: int) -> None:
    with pytest.raises(IndexError, match=str(number)):
        state_of()[1].set_gpr(number, 1)


@given(number=st.integers(0, 30), value=st.integers(-(2**70), 2**70))
def test_a_register_keeps_64_bits_and_touches_no_other(number: int, value: int) -> None:
    _, frame = state_of()
    frame.set_gpr(number, value)
    assert frame.gpr(number) == value % 2**64
    assert frame.gprs() == (*([0] * number), value % 2**64, *([0] * (30 - number)))


@given(U64)
def test_elr_and_sp_are_the_states_own(value: int) -> None:
    state, frame = state_of()
    frame.elr = value
    frame.sp = value ^ 0xFF
    assert (frame.elr, state.u64[LAYOUT.pc // 8]) == (value, value)
    assert (frame.sp, state.u64[LAYOUT.sp // 8]) == (value ^ 0xFF, value ^ 0xFF)


def test_reset_clears_everything_but_the_device_tree_address() -> None:
    _, frame = state_of()
    for number in range(31):
        frame.set_gpr(number, number + 1)
    frame.sp = 5
    frame.sp_el0 = 6
    frame.reset(0x4000_0000)
    assert frame.gprs() == (0x4000_0000, *([0] * 30))
    assert (frame.sp, frame.sp_el0, frame.sp_el1) == (0, 0, 0)


# PSTATE --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "z", "c", "v"), list(itertools.product((0, 1), repeat=4)))
@pytest.mark.parametrize("mode", [EL0T, EL1T, EL1H])
def test_every_combination_of_flags(n: int, z: int, c: int, v: int, mode: int) -> None:
    _, frame = state_of(Spsr.of(N=n, Z=z, C=c, V=v, M=mode))
    assert frame.spsr == n << 31 | z << 30 | c << 29 | v << 28 | mode


@given(
    flags=st.integers(0, 15),
    daif=st.integers(0, 15),
    btype=st.integers(0, 3),
    bits=st.sets(st.sampled_from(("TCO", "DIT", "UAO", "PAN", "SS", "IL", "SSBS"))),
    mode=st.sampled_from((EL0T, EL1T, EL1H)),
)
def test_pstate_is_put_together_from_all_its_parts(
    flags: int, daif: int, btype: int, bits: set[str], mode: int
) -> None:
    value = flags << 28 | daif << 6 | btype << 10 | mode | Spsr.of(**dict.fromkeys(bits, 1))
    assert state_of(value)[1].spsr == value


@pytest.mark.parametrize(
    ("n", "z", "c", "v", "expected"),
    [
        (0x7FFF_FFFF, 1, 0, 0x7FFF_FFFF, 0),
        (0xFFFF_FFFF, 0xFFFF_FFFF, 1, 0x8000_0001, 0b1011 << 28),
        (0, 0, 0, 0, 0b0100 << 28),
    ],
)
def test_flags_are_taken_as_the_engine_keeps_them(n: int, z: int, c: int, v: int, expected: int) -> None:
    state, frame = state_of(0)
    for offset, value in ((LAYOUT.n, n), (LAYOUT.z, z), (LAYOUT.c, c), (LAYOUT.v, v)):
        state.u32[offset // 4] = value
    assert frame.spsr & 0xF << 28 == expected


def test_the_execution_state_is_told() -> None:
    state, frame = state_of()
    assert frame.aarch64
    state.u32[LAYOUT.aarch64 // 4] = 0
    assert not frame.aarch64


# Stack pointers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "sp_el0", "sp_el1"), [(EL0T, 0x5000, 0x1111), (EL1T, 0x5000, 0x1111), (EL1H, 0x2222, 0x5000)]
)
def test_the_stack_pointer_in_use_stands_for_the_one_that_is_selected(mode: int, sp_el0: int, sp_el1: int) -> None:
    state, frame = state_of(mode)
    state.u64[LAYOUT.sp // 8] = 0x5000
    state.u64[LAYOUT.sysregs[lookup("SP_EL1")] // 8] = 0x1111
    state.u64[LAYOUT.sysregs[lookup("SP_EL0")] // 8] = 0x2222
    assert (frame.sp_el0, frame.sp_el1, frame.sp) == (sp_el0, sp_el1, 0x5000)


@pytest.mark.parametrize(("mode", "moves_sp"), [(EL0T, True), (EL1T, True), (EL1H, False)])
def test_sp_el0_is_written_where_it_is(mode: int, moves_sp: bool) -> None:
    _, frame = state_of(mode)
    frame.sp = 1
    frame.sp_el0 = 0x7000
    assert frame.sp_el0 == 0x7000
    assert frame.sp == (0x7000 if moves_sp else 1)


# Moving on -----------------------------------------------------------------------------------------------------


@given(flags=st.integers(0, 15), daif=st.integers(0, 15), btype=st.integers(0, 3), ss=st.integers(0, 1), pc=U64)
def test_advance_completes_one_instruction(flags: int, daif: int, btype: int, ss: int, pc: int) -> None:
    rest = flags << 28 | daif << 6 | EL1H | Spsr.of(PAN=1, DIT=1)
    _, frame = state_of(rest | btype << 10 | ss << 21)
    frame.elr = pc
    frame.advance()
    assert frame.elr == (pc + 4) % 2**64
    assert frame.spsr == rest, "BTYPE and SS are cleared, everything else stays"


# System registers of an unbound vCPU ---------------------------------------------------------------------------


def test_registers_of_an_unbound_vcpu_are_kept_by_name() -> None:
    registers = GuestSystemRegisters({"TTBR0_EL1": 5})
    registers["TCR_EL1"] = 7
    assert (registers["TTBR0_EL1"], registers["TCR_EL1"], registers["MAIR_EL1"]) == (5, 7, 0)


def test_a_wrong_name_is_refused() -> None:
    with pytest.raises(KeyError, match="TTBR9_EL1"):
        GuestSystemRegisters({"TTBR9_EL1": 5})


def test_every_switched_register_is_one() -> None:
    names = GuestSystemRegisters({}).names()
    assert len(set(names)) == len(names)
    assert [lookup(name).name for name in names] == list(names)
    assert names[-1] == "HCR_EL2", "it switches stage 2 on, when everything else is in place"
    expected = (
        "CNTVOFF_EL2 CNTP_CVAL_EL0 CNTP_CTL_EL0 CNTV_CVAL_EL0 CNTV_CTL_EL0 CNTKCTL_EL1 CNTHCTL_EL2 VPIDR_EL2"
        " VMPIDR_EL2 ELR_EL1 SPSR_EL1 SCTLR_EL1 ACTLR_EL1 CPACR_EL1 TTBR0_EL1 TTBR1_EL1 TCR_EL1 ESR_EL1 FAR_EL1"
        " PAR_EL1 MAIR_EL1 AMAIR_EL1 VBAR_EL1 CONTEXTIDR_EL1 TPIDR_EL0 TPIDR_EL1 TPIDRRO_EL0 HCR_EL2 VTTBR_EL2"
        " CPTR_EL2 HSTR_EL2 VTCR_EL2 FAR_EL2 HPFAR_EL2 PMCR_EL0"
    )
    assert set(names) == set(expected.split())
