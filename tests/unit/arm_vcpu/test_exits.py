"""Exceptions to EL2 on a fake core: the reason of each, its completion, and where the guest continues."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.axvcpu.exit import (
    AccessFlags,
    AccessWidth,
    CpuUp,
    FailEntry,
    Halt,
    Hypercall,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    Nothing,
    PowerAction,
    SendIPI,
    SysRegRead,
    SysRegWrite,
    SystemDown,
)
from arm_vcpu_cli.errors import EngineError, VCpuError
from tests.support.arm_vcpu_bench import ENTRY, VTCR, Bench, TestPlatform, bench
from tests.support.fake_core import Trap, data_abort, hvc, instruction_abort, smc, system_move, wfi

UART = 0x0900_0000
VECTORS = 0x4010_0000
FSC_EXTERNAL, FSC_PERMISSION_L3, FSC_ALIGNMENT, FSC_UNSUPPORTED_ATOMIC = 0x10, 0x0F, 0x21, 0x35
LDR_W1_X2, STR_W1_X2 = 0xB940_0041, 0xB900_0041
LDRB_POST = 0x3840_1441  # ldrb w1, [x2], #1
STR_POST = 0xB800_4441  # str w1, [x2], #4
LDP_W1_W3 = 0x2940_0C41  # ldp w1, w3, [x2]
STP_W1_W3 = 0x2900_0C41  # stp w1, w3, [x2]
LDR_Q1 = 0x3DC0_0041  # ldr q1, [x2]
STR_Q1 = 0x3D80_0041  # str q1, [x2]
LDXR_W1 = 0x885F_7C41  # ldxr w1, [x2]
LDADD = 0xB821_0043  # ldadd w1, w3, [x2]
PRFM = 0xF980_0040  # prfm pldl1keep, [x2]
DC_ZVA_X2 = 0xD50B_7422  # dc zva, x2


def exception_to_el1(box: Bench) -> tuple[int, int, int]:
    """(PC, ESR_EL1, FAR_EL1) after an exception was injected."""
    assert box.core.resumed_at or box.core.started_at
    return box.core.pc, box.core.sysreg("ESR_EL1"), box.core.sysreg("FAR_EL1")


def boxed(*traps: Trap | EngineError, platform: TestPlatform | None = None) -> Bench:
    box = bench(traps, platform=platform)
    box.vcpu.guest_system_regs["VBAR_EL1"] = VECTORS
    return box


# The dispatch table --------------------------------------------------------------------------------------------

HANDLED = {
    ExceptionClass.WFX,
    ExceptionClass.HVC64,
    ExceptionClass.SMC64,
    ExceptionClass.SYSTEM,
    ExceptionClass.INSTRUCTION_ABORT_LOWER,
    ExceptionClass.DATA_ABORT_LOWER,
}


@pytest.mark.parametrize("exception_class", range(64))
def test_every_exception_class_is_handled_or_ends_the_run_naming_itself(exception_class: int) -> None:
    box = boxed(Trap(exception_class << EC_SHIFT | 1 << 25 | 0x7), platform=TestPlatform())
    reason = box.vcpu.run()
    if exception_class in HANDLED:
        assert not isinstance(reason, FailEntry)
        return
    assert isinstance(reason, FailEntry)
    assert reason.hardware_entry_failure_reason == exception_class
    assert f"EC=0x{exception_class:02x}" in reason.description


@settings(max_examples=300)
@given(esr=st.integers(0, 2**32 - 1), far=st.integers(0, 2**64 - 1), word=st.integers(0, 2**32 - 1), seed=st.data())
def test_no_syndrome_brings_the_handlers_down(esr: int, far: int, word: int, seed: st.DataObject) -> None:
    if seed.draw(st.booleans()):
        esr = seed.draw(st.sampled_from(sorted(HANDLED))) << EC_SHIFT | esr & 0x3FF_FFFF
    platform = TestPlatform() if seed.draw(st.booleans()) else None
    box = boxed(Trap(esr, far=far, hpfar=seed.draw(st.integers(0, 2**44 - 1)), regs={2: far}), platform=platform)
    box.core.instructions[ENTRY] = word
    box.vcpu.run()
    box.vcpu.run()
    assert box.core.pc < 2**64


# Calls ---------------------------------------------------------------------------------------------------------


def test_a_hypercall_carries_its_number_and_six_arguments() -> None:
    box = boxed(hvc(0x8600_FF77, 1, 2, 3, 4, 5, 6, 7), wfi())
    assert box.vcpu.run() == Hypercall(0x8600_FF77, (1, 2, 3, 4, 5, 6))
    box.vcpu.set_return_value(0x55)
    assert box.vcpu.run() == Halt()
    assert box.core.gpr(0) == 0x55
    assert box.core.started_at == [ENTRY, ENTRY + 4], "ELR is past an HVC already: nothing is skipped"


def test_a_hypercall_that_the_vmm_answers_does_not_leave() -> None:
    platform = TestPlatform(hypercall_answer=0x77)
    box = boxed(hvc(0x8600_FF77, 1), platform=platform)
    assert box.vcpu.run() == Nothing()
    assert platform.log == [("hypercall", 0x8600_FF77, (1, 0, 0, 0, 0, 0))]
    assert box.core.gpr(0) == 0x77
    assert box.core.resumed_at == [ENTRY + 4]


@pytest.mark.parametrize("call", [hvc, smc])
def test_psci_is_answered_in_place_by_either_conduit(call: object) -> None:
    box = boxed(call(0x8400_0000), platform=TestPlatform())  # type: ignore[operator]
    box.vcpu.run()
    assert box.core.gpr(0) == 0x1_0001
    assert box.core.resumed_at == [ENTRY + 4]


@pytest.mark.parametrize("call", [hvc, smc])
def test_cpu_on_leaves_and_its_result_is_the_vmms(call: object) -> None:
    box = boxed(call(0xC400_0003, 1, 0x8000, 9), wfi())  # type: ignore[operator]
    assert box.vcpu.run() == CpuUp(1, 0x8000, 9)
    box.vcpu.set_return_value(2**64 - 2)
    box.vcpu.run()
    assert box.core.gpr(0) == 2**64 - 2
    assert box.core.started_at[1] == ENTRY + 4


@pytest.mark.parametrize("call", [hvc, smc])
def test_cpu_suspend_is_a_standby_that_succeeds(call: object) -> None:
    box = boxed(call(0xC400_0001, 0, 0x8000, 9))  # type: ignore[operator]
    assert box.vcpu.run() == Halt()
    box.vcpu.run()
    assert box.core.gpr(0) == 0
    assert box.core.started_at[1] == ENTRY + 4


@pytest.mark.parametrize("call", [hvc, smc])
def test_a_cpu_that_gives_up_its_registers_leaves_with_where_it_starts_again(call: object) -> None:
    box = boxed(call(0xC400_0001, 1 << 16, 0x8000, 9))  # type: ignore[operator]
    assert box.vcpu.run() == Halt(entry_point=0x8000, arg=9)
    # A VMM that does not start it anew has treated it as a standby.
    box.vcpu.run()
    assert box.core.gpr(0) == 0
    assert box.core.started_at[1] == ENTRY + 4


@pytest.mark.parametrize("call", [hvc, smc])
def test_a_power_state_with_reserved_bits_is_refused_in_place(call: object) -> None:
    box = boxed(call(0xC400_0001, 1 << 30, 0x8000, 9), wfi(), platform=TestPlatform())  # type: ignore[operator]
    assert box.vcpu.run() == Halt()
    assert box.core.gpr(0) == 2**64 - 2
    assert box.core.resumed_at[0] == ENTRY + 4


def test_waiting_is_stepped_over_when_the_vmm_runs_the_guest_again() -> None:
    box = boxed(wfi())
    assert box.vcpu.run() == Halt()
    assert box.vcpu.ctx.elr == ENTRY
    box.vcpu.run()
    assert box.core.started_at == [ENTRY, ENTRY + 4]


# Device accesses with a syndrome -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "sign_extend", "is_64bit", "value", "register"),
    [
        (1, False, False, 0x180, 0x80),
        (1, True, False, 0x80, 0xFFFF_FF80),
        (1, True, True, 0x80, 0xFFFF_FFFF_FFFF_FF80),
        (2, True, False, 0x8000, 0xFFFF_8000),
        (4, True, True, 0x8000_0000, 0xFFFF_FFFF_8000_0000),
        (4, False, False, 0x1_8000_0000, 0x8000_0000),
        (8, False, True, 2**64 - 1, 2**64 - 1),
    ],
)
@pytest.mark.parametrize("in_place", [True, False])
def test_a_load_is_cut_to_its_width_and_extended(
    size: int, sign_extend: bool, is_64bit: bool, value: int, register: int, in_place: bool
) -> None:
    platform = TestPlatform(reads=[value] if in_place else [Outcome.EXIT])
    trap = data_abort(
        UART + 8,
        is_write=False,
        size=size,
        register=3,
        sign_extend=sign_extend,
        is_64bit=is_64bit,
        regs={3: 0xAAAA_AAAA_AAAA_AAAA},
    )
    box = boxed(trap, platform=platform)
    reason = box.vcpu.run()
    if in_place:
        assert reason == Nothing()
    else:
        width = AccessWidth.QWORD if is_64bit else AccessWidth.DWORD
        assert reason == MmioRead(UART + 8, AccessWidth(size), 3, width, sign_extend)
        assert box.vcpu.ctx.elr == ENTRY, "not before the access has succeeded"
        box.vcpu.complete(value)
        box.vcpu.run()
    assert platform.log == [("mmio_read", UART + 8, size)]
    assert box.core.gpr(3) == register
    assert box.core.pc == ENTRY + 4


def test_a_load_may_be_completed_as_with_the_crate_by_setting_its_register() -> None:
    box = boxed(data_abort(UART, is_write=False, size=1, register=3, sign_extend=True))
    box.vcpu.run()
    box.vcpu.set_gpr(3, 0x80)
    box.vcpu.run()
    assert box.core.gpr(3) == 0xFFFF_FF80


@pytest.mark.parametrize(("size", "stored"), [(1, 0x88), (2, 0x7788), (4, 0x5566_7788), (8, 0x1122_3344_5566_7788)])
def test_a_store_hands_over_as_many_bytes_as_it_has(size: int, stored: int) -> None:
    trap = data_abort(UART, is_write=True, size=size, register=3, regs={3: 0x1122_3344_5566_7788})
    platform = TestPlatform()
    box = boxed(trap, platform=platform)
    box.vcpu.run()
    assert platform.log == [("mmio_write", UART, size, stored)]
    assert box.core.resumed_at == [ENTRY + 4]
    box = boxed(trap)
    assert box.vcpu.run() == MmioWrite(UART, AccessWidth(size), stored)
    assert box.vcpu.ctx.elr == ENTRY
    box.vcpu.run()
    assert box.core.started_at == [ENTRY, ENTRY + 4]


def test_register_31_is_zero_for_stores_and_nowhere_for_loads() -> None:
    platform = TestPlatform(reads=[0xFF])
    box = boxed(
        data_abort(UART, is_write=True, register=31), data_abort(UART, is_write=False, register=31), platform=platform
    )
    box.vcpu.ctx.sp = 0x1234_5678
    box.vcpu.run()
    assert platform.log[0] == ("mmio_write", UART, 4, 0)
    assert box.vcpu.ctx.sp == 0x1234_5678
    assert box.core.resumed_at == [ENTRY + 4, ENTRY + 8]


def test_the_address_is_the_page_of_hpfar_and_the_offset_of_far() -> None:
    box = boxed(data_abort(UART + 0x18, is_write=False, va=0xFFFF_0000_1234_5018))
    assert box.vcpu.run() == MmioRead(UART + 0x18, AccessWidth.DWORD, 1, AccessWidth.DWORD)


@pytest.mark.parametrize("is_write", [False, True])
@pytest.mark.parametrize("from_el0", [False, True])
def test_where_nothing_answers_the_guest_takes_an_external_abort(is_write: bool, from_el0: bool) -> None:
    platform = TestPlatform(reads=[Outcome.ABORT], write_outcome=Outcome.ABORT)
    trap = data_abort(UART, is_write=is_write, va=0x5000)
    trap.pstate = 0 if from_el0 else 0x3C5
    box = boxed(trap, platform=platform)
    assert box.vcpu.run() == Nothing()
    ec = 0x24 if from_el0 else 0x25
    pc, esr, far = exception_to_el1(box)
    assert pc == VECTORS + (0x400 if from_el0 else 0x200)
    assert esr == ec << 26 | 1 << 25 | is_write << 6 | FSC_EXTERNAL
    assert far == 0x5000
    assert box.core.sysreg("ELR_EL1") == ENTRY
    assert box.core.sysreg("SPSR_EL1") == trap.pstate
    assert box.core.pstates[-1] == 0x3C5


def test_the_vmm_may_have_the_guest_take_an_abort_for_an_access_it_was_shown() -> None:
    box = boxed(data_abort(UART, is_write=False, va=0x5000))
    box.vcpu.run()
    box.vcpu.inject_external_abort()
    box.vcpu.run()
    assert box.core.started_at == [ENTRY, VECTORS + 0x200]
    assert box.core.sysreg("ESR_EL1") & 0x3F == FSC_EXTERNAL


def test_completing_what_is_no_read_is_refused() -> None:
    box = boxed(data_abort(UART, is_write=True), hvc(0x8600_FF77), data_abort(UART, is_write=False))
    for _ in range(2):
        box.vcpu.run()
        with pytest.raises(VCpuError, match=r"no .*read to complete"):
            box.vcpu.complete(1)
    box.vcpu.run()
    box.vcpu.complete(1)
    with pytest.raises(VCpuError, match=r"no .*read to complete"):
        box.vcpu.complete(1)


# Device accesses that only the instruction explains ------------------------------------------------------------


def at(box: Bench, word: int) -> Bench:
    box.core.instructions[ENTRY] = word
    return box


@pytest.mark.parametrize("valid", [True, False])
def test_a_load_with_write_back_moves_its_base_whatever_the_syndrome_claims(valid: bool) -> None:
    platform = TestPlatform(reads=[0x1FF])
    trap = data_abort(UART, is_write=False, size=1, register=1, valid=valid, regs={2: UART})
    box = at(boxed(trap, platform=platform), LDRB_POST)
    box.vcpu.run()
    assert platform.log == [("mmio_read", UART, 1)]
    assert (box.core.gpr(1), box.core.gpr(2), box.core.pc) == (0xFF, UART + 1, ENTRY + 4)


def test_the_base_stays_when_the_access_aborts() -> None:
    platform = TestPlatform(write_outcome=Outcome.ABORT)
    box = at(boxed(data_abort(UART, is_write=True, regs={2: UART}), platform=platform), STR_POST)
    box.vcpu.run()
    assert box.core.gpr(2) == UART
    assert box.core.pc == VECTORS + 0x200


def test_a_pair_makes_two_accesses_in_order() -> None:
    platform = TestPlatform(reads=[0x11, 0x22])
    box = at(boxed(data_abort(UART, is_write=False, valid=False, regs={2: UART}), platform=platform), LDP_W1_W3)
    box.vcpu.run()
    assert platform.log == [("mmio_read", UART, 4), ("mmio_read", UART + 4, 4)]
    assert (box.core.gpr(1), box.core.gpr(3), box.core.pc) == (0x11, 0x22, ENTRY + 4)


def test_a_pair_is_shown_to_the_caller_one_access_at_a_time_and_commits_at_the_end() -> None:
    trap = data_abort(UART, is_write=False, valid=False, regs={1: 0xA, 2: UART, 3: 0xB})
    box = at(boxed(trap), LDP_W1_W3)
    assert box.vcpu.run() == MmioRead(UART, AccessWidth.DWORD, 1, AccessWidth.DWORD)
    box.vcpu.complete(0x11)
    assert box.vcpu.run() == MmioRead(UART + 4, AccessWidth.DWORD, 3, AccessWidth.DWORD)
    assert box.vcpu.ctx.gpr(1) == 0xA
    box.vcpu.complete(0x22)
    box.vcpu.run()
    assert (box.core.gpr(1), box.core.gpr(3)) == (0x11, 0x22)
    assert box.core.started_at == [ENTRY, ENTRY + 4]


def test_a_pair_is_stored_one_access_at_a_time() -> None:
    trap = data_abort(UART, is_write=True, valid=False, regs={1: 0xA, 2: UART, 3: 0xB})
    box = at(boxed(trap), STP_W1_W3)
    assert box.vcpu.run() == MmioWrite(UART, AccessWidth.DWORD, 0xA)
    assert box.vcpu.run() == MmioWrite(UART + 4, AccessWidth.DWORD, 0xB)
    box.vcpu.run()
    assert box.core.started_at == [ENTRY, ENTRY + 4]


def test_a_pair_whose_second_half_aborts_changes_nothing() -> None:
    platform = TestPlatform(reads=[0x11, Outcome.ABORT])
    trap = data_abort(UART, is_write=False, valid=False, regs={1: 0xA, 2: UART, 3: 0xB})
    box = at(boxed(trap, platform=platform), LDP_W1_W3)
    box.vcpu.run()
    assert (box.core.gpr(1), box.core.gpr(3), box.core.pc) == (0xA, 0xB, VECTORS + 0x200)


def test_a_vector_register_is_moved_in_two_halves() -> None:
    platform = TestPlatform(reads=[0x1111, 0x2222])
    box = at(boxed(data_abort(UART, is_write=False, valid=False, regs={2: UART}), platform=platform), LDR_Q1)
    box.vcpu.run()
    state = box.core.new_state()
    word = (box.core.layout.v0 + box.core.layout.vector_stride) // 8
    assert list(state.u64[word : word + 4]) == [0x1111, 0x2222, 0, 0]
    assert platform.log == [("mmio_read", UART, 8), ("mmio_read", UART + 8, 8)]


def test_a_vector_register_is_stored_in_two_halves() -> None:
    platform = TestPlatform()
    trap = data_abort(UART, is_write=True, valid=False, regs={2: UART})
    trap.vectors = {4: 0xAAAA, 5: 0xBBBB}
    box = at(boxed(trap, platform=platform), STR_Q1)
    box.vcpu.run()
    assert platform.log == [("mmio_write", UART, 8, 0xAAAA), ("mmio_write", UART + 8, 8, 0xBBBB)]


def test_a_pair_across_a_page_is_two_accesses() -> None:
    platform = TestPlatform()
    trap = data_abort(UART + 0xFFC, is_write=False, valid=False, regs={2: UART + 0xFFC})
    box = at(boxed(trap, platform=platform), LDP_W1_W3)
    box.vcpu.run()
    assert platform.log == [("mmio_read", UART + 0xFFC, 4), ("mmio_read", UART + 0x1000, 4)]


def test_zeroing_a_block_of_device_memory_is_an_alignment_fault() -> None:
    platform = TestPlatform()
    box = at(boxed(data_abort(UART, is_write=True, valid=False, regs={2: UART}), platform=platform), DC_ZVA_X2)
    box.vcpu.run()
    assert platform.log == []
    assert box.core.sysreg("ESR_EL1") & 0x3F == FSC_ALIGNMENT


@pytest.mark.parametrize("word", [LDXR_W1, LDADD])
def test_exclusives_and_atomics_on_a_device_are_unsupported(word: int) -> None:
    platform = TestPlatform()
    box = at(boxed(data_abort(UART, is_write=False, valid=False, regs={2: UART}), platform=platform), word)
    box.vcpu.run()
    assert platform.log == []
    assert box.core.sysreg("ESR_EL1") & 0x3F == FSC_UNSUPPORTED_ATOMIC


@pytest.mark.parametrize("word", [0xA400_A041, 0xD503_201F])
def test_what_cannot_be_emulated_aborts(word: int) -> None:
    platform = TestPlatform()
    box = at(boxed(data_abort(UART, is_write=True, valid=False, regs={2: UART}), platform=platform), word)
    box.vcpu.run()
    assert platform.log == []
    assert box.core.sysreg("ESR_EL1") & 0x3F == FSC_EXTERNAL


def test_an_instruction_that_cannot_be_read_and_no_syndrome_abort() -> None:
    platform = TestPlatform()
    box = boxed(data_abort(UART, is_write=True, valid=False), platform=platform)
    box.vcpu.run()
    assert platform.log == []
    assert box.core.pc == VECTORS + 0x200


def test_a_prefetch_of_a_device_does_nothing() -> None:
    platform = TestPlatform()
    box = at(boxed(data_abort(UART, is_write=False, valid=False, regs={2: UART}), platform=platform), PRFM)
    box.vcpu.run()
    assert platform.log == []
    assert box.core.pc == ENTRY + 4


def test_cache_maintenance_of_a_device_is_skipped() -> None:
    platform = TestPlatform()
    box = boxed(data_abort(UART, is_write=True, valid=False, cache_maintenance=True), platform=platform)
    box.vcpu.run()
    assert platform.log == []
    assert box.core.pc == ENTRY + 4


# Page faults ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trap", "access"),
    [
        (data_abort(0x8000_1008, is_write=True, status=FSC_PERMISSION_L3), AccessFlags.WRITE),
        (data_abort(0x8000_1008, is_write=False, status=FSC_PERMISSION_L3), AccessFlags.READ),
        (instruction_abort(0x8000_1008, status=FSC_PERMISSION_L3), AccessFlags.EXECUTE),
        (instruction_abort(0x8000_1008), AccessFlags.EXECUTE),
    ],
)
def test_a_refused_access_is_a_nested_page_fault_with_what_was_tried(trap: Trap, access: AccessFlags) -> None:
    box = boxed(trap)
    assert box.vcpu.run() == NestedPageFault(0x8000_1008, access)
    assert box.vcpu.ctx.elr == ENTRY
    box.vcpu.run()
    assert box.core.started_at == [ENTRY, ENTRY], "the VMM may have mapped it: the access is made again"


@pytest.mark.parametrize(
    ("trap", "outcome", "pc"),
    [
        (data_abort(0x8000_1000, is_write=True, status=FSC_PERMISSION_L3), Outcome.DONE, ENTRY + 4),
        (data_abort(0x8000_1000, is_write=True, status=FSC_PERMISSION_L3), Outcome.ABORT, VECTORS + 0x200),
        (data_abort(0x8000_1000, is_write=False, status=FSC_PERMISSION_L3), Outcome.ABORT, VECTORS + 0x200),
        (instruction_abort(0x8000_1000), Outcome.ABORT, VECTORS + 0x200),
        (instruction_abort(0x8000_1000), Outcome.DONE, VECTORS + 0x200),
    ],
)
def test_the_platform_decides_what_a_page_fault_does(trap: Trap, outcome: Outcome, pc: int) -> None:
    box = boxed(trap, platform=TestPlatform(fault_outcome=outcome))
    assert box.vcpu.run() == Nothing()
    assert box.core.pc == pc
    if pc != ENTRY + 4:
        assert box.core.sysreg("ESR_EL1") & 0x3F == FSC_EXTERNAL


def test_an_ignored_store_still_writes_its_base_back() -> None:
    trap = data_abort(0x8000_1000, is_write=True, status=FSC_PERMISSION_L3, regs={2: 0x8000_1000})
    box = at(boxed(trap, platform=TestPlatform(fault_outcome=Outcome.DONE)), STR_POST)
    box.vcpu.run()
    assert (box.core.gpr(2), box.core.pc) == (0x8000_1004, ENTRY + 4)


@pytest.mark.parametrize("trap", [data_abort(UART, is_write=False, s1ptw=True), instruction_abort(UART, s1ptw=True)])
def test_a_stage_1_table_that_stage_2_does_not_reach_is_an_external_abort_of_the_walk(trap: Trap) -> None:
    platform = TestPlatform()
    box = boxed(trap, platform=platform)
    assert box.vcpu.run() == Nothing()
    assert platform.log == []
    assert 0x14 <= box.core.sysreg("ESR_EL1") & 0x3F <= 0x17
    assert box.core.pc == VECTORS + 0x200


# System registers ----------------------------------------------------------------------------------------------


def test_a_trapped_register_is_addressed_as_in_the_syndrome() -> None:
    box = boxed(system_move("CNTPCT_EL0", 3, is_read=True), system_move("CNTP_CTL_EL0", 4, is_read=False, regs={4: 5}))
    address = 3 << 20 | 1 << 17 | 3 << 14 | 14 << 10
    assert box.vcpu.run() == SysRegRead(address, 3)
    box.vcpu.complete(0x1234)
    assert box.vcpu.run() == SysRegWrite(3 << 20 | 1 << 17 | 3 << 14 | 14 << 10 | 2 << 1, 5)
    assert box.core.gpr(3) == 0x1234
    box.vcpu.run()
    assert box.core.started_at == [ENTRY, ENTRY + 4, ENTRY + 8]


def test_the_platform_completes_registers_in_place() -> None:
    platform = TestPlatform(sysreg_value=0x99)
    box = boxed(
        system_move("CNTPCT_EL0", 3, is_read=True),
        system_move("TTBR0_EL1", 31, is_read=False),
        platform=platform,
    )
    box.vcpu.run()
    assert platform.log == [("sysreg_read", "CNTPCT_EL0"), ("sysreg_write", "TTBR0_EL1", 0)]
    assert box.core.gpr(3) == 0x99
    assert box.core.resumed_at == [ENTRY + 4, ENTRY + 8]


@pytest.mark.parametrize("is_read", [True, False])
def test_a_register_that_nobody_has_is_undefined(is_read: bool) -> None:
    platform = TestPlatform(sysreg_value=Outcome.UNDEFINED, sysreg_outcome=Outcome.UNDEFINED)
    box = boxed(system_move("CNTPCT_EL0", 3, is_read=is_read), platform=platform)
    box.vcpu.run()
    assert exception_to_el1(box)[:2] == (VECTORS + 0x200, 1 << 25)
    assert box.core.sysreg("ELR_EL1") == ENTRY


def test_the_vmm_may_make_a_register_undefined() -> None:
    box = boxed(system_move("CNTPCT_EL0", 3, is_read=True))
    box.vcpu.run()
    box.vcpu.inject_undefined()
    box.vcpu.run()
    assert box.core.started_at == [ENTRY, VECTORS + 0x200]


def test_id_registers_are_answered_without_the_platform() -> None:
    platform = TestPlatform()
    names = ("ID_AA64PFR0_EL1", "ID_AA64MMFR0_EL1", "ID_PFR0_EL1")
    traps = [system_move(name, number, is_read=True) for number, name in enumerate(names)]
    box = boxed(*traps, platform=platform)
    box.vcpu.run()
    assert platform.log == []
    assert box.core.gpr(0) == 0x11, "EL0 and EL1 AArch64 only; no EL2, no EL3"
    assert box.core.gpr(1) == 0x1124
    assert box.core.gpr(2) == 0


SGI = 0xD518_CBA3  # msr icc_sgi1r_el1, x3


@pytest.mark.parametrize("by", ["trap", "undefined"])
def test_a_write_of_sgi1r_sends_interrupts(by: str) -> None:
    value = 0x12 << 48 | 1 << 44 | 0x34 << 32 | 5 << 24 | 0x56 << 16 | 0b1001
    if by == "trap":
        box = boxed(system_move("ICC_SGI1R_EL1", 3, is_read=False, regs={3: value}))
    else:
        box = at(boxed(Trap(1 << 25, target_el=1, regs={3: value})), SGI)
    assert box.vcpu.run() == SendIPI(0x12_0034_5600, 0b1001 << 16, False, False, 5)
    box.vcpu.run()
    assert box.core.started_at == [ENTRY, ENTRY + 4]


def test_an_sgi_for_all_others_says_so() -> None:
    box = boxed(system_move("ICC_SGI1R_EL1", 3, is_read=False, regs={3: 1 << 40 | 7 << 24}))
    assert box.vcpu.run() == SendIPI(0, 0, True, False, 7)


def test_sgi1r_cannot_be_read() -> None:
    platform = TestPlatform(sysreg_value=5)
    box = boxed(system_move("ICC_SGI1R_EL1", 3, is_read=True, regs={3: 9}), platform=platform)
    box.vcpu.run()
    assert (box.core.gpr(3), platform.log) == (9, [])
    assert box.core.sysreg("ELR_EL1") == ENTRY, "it is write-only: undefined"
    assert box.core.sysreg("ESR_EL1") >> 26 == 0


def test_sgis_are_the_guests_own_where_interrupts_are_passed_through() -> None:
    setup = Aarch64VCpuSetupConfig(vtcr=VTCR, passthrough_interrupt=True)
    box = bench([Trap(1 << 25, target_el=1)], setup=setup)
    box.core.instructions[ENTRY] = SGI
    assert box.vcpu.run() == Nothing()
    assert box.core.sysreg("ELR_EL1") == ENTRY, "the core has no such register: undefined"


# Exceptions to EL1 ---------------------------------------------------------------------------------------------


def test_an_exception_to_el1_enters_the_guests_vector_and_counts_no_exit() -> None:
    box = boxed(Trap(0x15 << 26 | 1 << 25 | 7, target_el=1, step=4, pstate=0), wfi())
    assert box.vcpu.run() == Halt()
    assert box.core.resumed_at[0] == VECTORS + 0x400
    assert box.core.sysreg("ELR_EL1") == ENTRY + 4
    assert box.core.sysreg("ESR_EL1") == 0x15 << 26 | 1 << 25 | 7
    assert box.vcpu.exits == 1


def test_semihosting_is_the_platforms() -> None:
    platform = TestPlatform(semihosting_answer=-1)
    box = at(boxed(Trap(1 << 25, target_el=1, regs={0: 0xF_0000_0005, 1: 0x77}), platform=platform), 0xD45E_0000)
    box.vcpu.run()
    assert platform.log == [("semihosting", 5, 0x77)]
    assert (box.core.gpr(0), box.core.pc) == (2**64 - 1, ENTRY + 4)


def test_semihosting_may_end_the_guest() -> None:
    platform = TestPlatform(semihosting_answer=SystemDown(PowerAction.EXIT, 3))
    box = at(boxed(Trap(1 << 25, target_el=1), platform=platform), 0xD45E_0000)
    assert box.vcpu.run() == SystemDown(PowerAction.EXIT, 3)


def test_without_semihosting_its_instruction_is_undefined() -> None:
    box = at(boxed(Trap(1 << 25, target_el=1)), 0xD45E_0000)
    box.vcpu.run()
    assert exception_to_el1(box)[:2] == (VECTORS + 0x200, 1 << 25)


def test_a_guest_that_faults_at_its_own_vector_is_stopped() -> None:
    abort = 0x21 << 26 | 1 << 25 | 0x10
    loop = [Trap(abort, target_el=1, far=VECTORS + 0x200) for _ in range(3000)]
    box = boxed(*loop)
    reason = box.vcpu.run()
    assert isinstance(reason, FailEntry)
    assert "over and over" in reason.description
    assert box.core.script, "long before the script is at its end"


# The end of a run ----------------------------------------------------------------------------------------------


def test_an_engine_that_gives_up_is_a_failed_entry() -> None:
    box = boxed(EngineError("execution stopped: out of something"))
    reason = box.vcpu.run()
    assert isinstance(reason, FailEntry)
    assert "out of something" in reason.description


def test_a_stop_from_outside_is_nothing_and_the_guest_can_go_on() -> None:
    box = boxed()
    assert box.vcpu.run() == Nothing()
    assert box.vcpu.run() == Nothing()
    assert box.core.started_at == [ENTRY, ENTRY]


def test_the_limit_of_exits_ends_the_run_after_the_exit_was_completed() -> None:
    box = boxed(*[hvc(0x8400_0000) for _ in range(5)], platform=TestPlatform())
    box.vcpu.max_exits = 3
    assert box.vcpu.run() == Nothing()
    assert box.vcpu.exits == 3
    assert len(box.core.script) == 2
    assert box.vcpu.ctx.elr == ENTRY + 12
    assert box.vcpu.ctx.gpr(0) == 0x1_0001


def test_no_limit_is_no_limit() -> None:
    box = boxed(Trap(0x15 << 26 | 1 << 25, target_el=1), hvc(0x8400_0000), platform=TestPlatform())
    box.vcpu.run()
    assert box.core.script == []


def test_an_error_in_a_handler_of_the_vmm_comes_out_of_run() -> None:
    class Broken(TestPlatform):
        def mmio_read(self, ipa: int, width: int) -> int | Outcome:
            raise ZeroDivisionError

    box = boxed(data_abort(UART, is_write=False), platform=Broken())
    with pytest.raises(ZeroDivisionError):
        box.vcpu.run()
