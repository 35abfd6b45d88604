"""Exceptions that the guest takes itself, against AArch64.TakeException (DDI 0487, J1.1.2) and ESR_EL1 (D24.2)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arm_vcpu_cli.arch.registers.el1regs import Mdscr, Sctlr, Spsr
from arm_vcpu_cli.arch.syndrome.iss import SoftwareStepIss
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, Hypercall
from arm_vcpu_cli.engine.missing_exceptions import take_missing_exceptions
from arm_vcpu_cli.engine.os_lock import heed_os_lock, lock_blocks_steps
from tests.support.tools import missing

from .harness import (
    CURRENT_SP0,
    CURRENT_SPX,
    DATA,
    EL0T,
    EL1H,
    EL1T,
    LOWER_64,
    MASKED,
    STACK,
    Guest,
)

MODES = {"EL1t": EL1T, "EL1h": EL1H, "EL0t": EL0T}
SLOTS = {EL1T: CURRENT_SP0, EL1H: CURRENT_SPX, EL0T: LOWER_64}
SP_EL0, SP_EL1 = STACK - 0x1_2340, STACK - 0x5670
FAR_BEFORE = 0x1111_2222_3333_4444
BEYOND_PA = 0x1234_5678_9ABC
"""Wider than the 44 bits of the Cortex-A72: an address size fault at level 0 with the MMU off (D8.2.1)."""
EC_UNKNOWN, EC_SVC, EC_SYSTEM, EC_BRK = 0x00, 0x15, 0x18, 0x3C
EC_FETCH_LOWER, EC_FETCH, EC_DATA_LOWER, EC_DATA = 0x20, 0x21, 0x24, 0x25
EC_BREAKPOINT_LOWER, EC_BREAKPOINT, EC_STEP_LOWER, EC_STEP = 0x30, 0x31, 0x32, 0x33
DEBUG = MASKED & ~int(Spsr.of(D=1))
NZCV = (0x0, 0x5000_0000, 0xA000_0000, 0xF000_0000)
TAKES_DEBUG = int(Mdscr.of(MDE=1, KDE=1))
BREAKPOINT = 0xF << 5 | 0b11 << 1 | 1
"""DBGBCR<n>_EL1: an unlinked address match of a whole instruction, at EL1 and EL0 (D19.3.2)."""


@pytest.fixture(scope="module")
def module_guest() -> Iterator[Guest]:
    with Guest("exceptions") as guest:
        yield guest


@pytest.fixture
def guest(module_guest: Guest) -> Guest:
    """The guest of this module, with the registers that tests change as they were at reset."""
    module_guest["MDSCR_EL1"] = 0
    module_guest["SCTLR_EL1"] = 0x30C5_0830
    module_guest["FAR_EL1"] = FAR_BEFORE
    return module_guest


def start(guest: Guest, place: str, mode: int, **more: object) -> AxVCpuExitReason:
    more.setdefault("pstate", MASKED)
    return guest.start(place, mode=mode, sp_el0=SP_EL0, sp_el1=SP_EL1, **more)  # type: ignore[arg-type]


def check_entry(guest: Guest, mode: int, pstate: int, elr: int) -> None:
    """What every exception to EL1 does, whatever its kind."""
    assert guest.slot == SLOTS[mode]
    assert guest["ELR_EL1"] == elr
    assert guest["SPSR_EL1"] == pstate | mode
    assert guest.pstate == EL1H | MASKED | pstate & 0xF000_0000
    assert guest.vcpu.ctx.sp == SP_EL1
    assert guest.vcpu.ctx.sp_el0 == SP_EL0


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("pstate", [nzcv | daif for nzcv, daif in zip(NZCV, (0, 0x140, 0x280, 0x3C0), strict=True)])
@pytest.mark.parametrize(
    ("place", "ec", "iss", "after"),
    [
        ("svc_0", EC_SVC, 0, 4),
        ("svc_5a7", EC_SVC, 0x5A7, 4),
        ("svc_max", EC_SVC, 0xFFFF, 4),
        ("brk_0", EC_BRK, 0, 0),
        ("brk_max", EC_BRK, 0xFFFF, 0),
        ("undefined", EC_UNKNOWN, 0, 0),
        ("unallocated", EC_UNKNOWN, 0, 0),
        ("hlt_1", EC_UNKNOWN, 0, 0),
        ("semihosting", EC_UNKNOWN, 0, 0),
        ("dcps1", EC_UNKNOWN, 0, 0),
        ("read_unknown", EC_UNKNOWN, 0, 0),
        ("read_gic", EC_UNKNOWN, 0, 0),
        ("read_hcr", EC_UNKNOWN, 0, 0),
    ],
)
def test_instructions_that_only_raise_an_exception(
    guest: Guest, mode: int, pstate: int, place: str, ec: int, iss: int, after: int
) -> None:
    registers = {n: 0x0101_0101_0101_0101 * n for n in range(31)}
    start(guest, place, mode, pstate=pstate, x=registers)
    check_entry(guest, mode, pstate, guest.label(place) + after)
    assert guest.esr == ec << 26 | 1 << 25 | iss
    assert guest["FAR_EL1"] == FAR_BEFORE
    assert guest.vcpu.ctx.gprs() == tuple(registers.values())


@pytest.mark.parametrize("place", ["hvc_1", "smc_1", "read_vbar", "read_sgi1r", "write_sgi1r"])
def test_what_el0_may_not_do_is_undefined_there(guest: Guest, place: str) -> None:
    exits = guest.vcpu.exits
    start(guest, place, EL0T)
    check_entry(guest, EL0T, MASKED, guest.label(place))
    assert guest.esr == 1 << 25
    assert guest.vcpu.exits == exits + 1, "only the hypercall of the vector went to EL2"


@pytest.mark.parametrize(("place", "op2"), [("clean", 0x3DC3C), ("zero_line", 0x2DC28), ("instruction_cache", 0)])
def test_cache_maintenance_at_el0_is_trapped_to_el1_by_sctlr(guest: Guest, place: str, op2: int) -> None:
    start(guest, place, EL0T, x={1: DATA})
    check_entry(guest, EL0T, MASKED, guest.label(place))
    assert guest.ec == EC_SYSTEM
    expected = {  # op0=1, op1=3, CRn=7 and CRm, op2, Rt=x1, a write
        "clean": 1 << 20 | 1 << 17 | 3 << 14 | 7 << 10 | 1 << 5 | 14 << 1,
        "zero_line": 1 << 20 | 1 << 17 | 3 << 14 | 7 << 10 | 1 << 5 | 4 << 1,
        "instruction_cache": 1 << 20 | 1 << 17 | 3 << 14 | 7 << 10 | 1 << 5 | 5 << 1,
    }
    assert guest.iss == expected[place]


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(("place", "write"), [("load", 0), ("store", 1), ("load_byte", 0), ("load_pair", 0)])
def test_data_abort_of_stage_1(guest: Guest, mode: int, place: str, write: int) -> None:
    start(guest, place, mode, x={0: 7, 1: BEYOND_PA, 2: 9})
    check_entry(guest, mode, MASKED, guest.label(place))
    ec = EC_DATA_LOWER if mode == EL0T else EC_DATA
    assert guest.esr == ec << 26 | 1 << 25 | write << 6
    assert guest["FAR_EL1"] == BEYOND_PA
    assert (guest.x(0), guest.x(2)) == (7, 9)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_instruction_abort_of_stage_1(guest: Guest, mode: int) -> None:
    start(guest, "jump", mode, x={1: BEYOND_PA})
    check_entry(guest, mode, MASKED, BEYOND_PA)
    assert guest.esr == (EC_FETCH_LOWER if mode == EL0T else EC_FETCH) << 26 | 1 << 25
    assert guest["FAR_EL1"] == BEYOND_PA


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_exception_return_goes_back_to_where_the_exception_came_from(guest: Guest, mode: int) -> None:
    start(guest, "svc_0", mode, pstate=0x9000_0080, x={5: 55})
    assert guest.slot == SLOTS[mode]
    guest.run()
    # The vector's ERET; behind the SVC is a hypercall, undefined for EL0.
    assert guest.finished("svc_0")
    assert guest.x(5) == 55
    if mode != EL0T:
        assert guest.pstate == 0x9000_0080 | mode
    assert guest.vcpu.ctx.sp == (SP_EL0 if mode == EL1T else SP_EL1)
    assert guest.vcpu.ctx.sp_el0 == SP_EL0


def test_nested_exception_uses_the_slot_of_el1h(guest: Guest) -> None:
    start(guest, "svc_0", EL0T)
    assert guest.slot == LOWER_64
    guest["ELR_EL1"], guest["SPSR_EL1"] = guest.label("svc_5a7"), EL1H | MASKED
    guest.run()
    assert guest.slot == CURRENT_SPX
    assert guest.iss == 0x5A7
    assert guest.vcpu.ctx.sp == SP_EL1


def test_vector_base_is_the_guests_own(guest: Guest) -> None:
    base = DATA
    guest.write(base, guest.read(guest.label("vectors"), 0x800))
    old = guest["VBAR_EL1"]
    guest["VBAR_EL1"] = base
    start(guest, "svc_0", EL0T)
    guest["VBAR_EL1"] = old
    assert guest.pc == base + 8 * 0x80 + 4


# Illegal state and alignment ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [0b1001, 0b1101, 0b0001, 0b0010, 0b1111, 0b10011])
def test_illegal_exception_return_keeps_the_level(guest: Guest, target: int) -> None:
    # EL2t, EL3h, reserved M[0] at EL0, reserved modes, and AArch32 at EL1 against HCR_EL2.RW
    # (AArch64.ELFromSPSR and IllegalExceptionReturn, J1.1.2).
    if not take_missing_exceptions():
        missing("the host that the stubs are for")
    start(guest, "nothing", target, pstate=0xA000_0000 | MASKED)
    assert (guest.slot, guest.esr) == (CURRENT_SPX, 0x3A00_0000)
    assert guest["ELR_EL1"] == guest.label("nothing")
    assert guest["SPSR_EL1"] == 0xA000_0000 | MASKED | EL1H | Spsr.of(IL=1)
    assert not guest.pstate.IL, "cleared by any exception"


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_unaligned_exclusive_is_an_alignment_fault(guest: Guest, mode: int) -> None:
    start(guest, "load_exclusive", mode, x={1: DATA + 4})
    check_entry(guest, mode, MASKED, guest.label("load_exclusive"))
    assert guest.ec == (EC_DATA_LOWER if mode == EL0T else EC_DATA)
    assert guest.iss & 0x3F == 0x21
    assert guest["FAR_EL1"] == DATA + 4


# Debug exceptions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_hardware_breakpoint(guest: Guest, mode: int) -> None:
    place = guest.label("line") + 4
    guest["MDSCR_EL1"] = TAKES_DEBUG
    start(guest, "line", mode, pstate=DEBUG, x={1: place, 2: BREAKPOINT}, via="set_breakpoint")
    guest["DBGBCR0_EL1"] = 0
    check_entry(guest, mode, DEBUG, place)
    assert guest.ec == (EC_BREAKPOINT_LOWER if mode == EL0T else EC_BREAKPOINT)
    assert guest.iss == 0x22
    assert guest["FAR_EL1"] == FAR_BEFORE
    assert guest.x(5) == 1, "the instruction at the breakpoint was not executed"
    guest.run()
    assert guest.x(5) == 4


@pytest.mark.parametrize(
    ("mode", "pstate", "mdscr"),
    [(EL1H, MASKED, TAKES_DEBUG), (EL1H, DEBUG, int(Mdscr.of(MDE=1))), (EL0T, DEBUG, int(Mdscr.of(KDE=1)))],
    ids=["PSTATE.D masks it at EL1", "KDE is clear", "MDE is clear"],
)
def test_breakpoint_that_is_not_enabled(guest: Guest, mode: int, pstate: int, mdscr: int) -> None:
    guest["MDSCR_EL1"] = mdscr
    place = guest.label("line") + 4
    start(guest, "line", mode, pstate=pstate, x={1: place, 2: BREAKPOINT}, via="set_breakpoint")
    guest["DBGBCR0_EL1"] = 0
    assert guest.x(5) == 4


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_the_os_lock_blocks_breakpoints_and_software_step(guest: Guest, mode: int) -> None:
    if not heed_os_lock():
        missing("the host that the stubs are for")
    place = guest.label("line") + 4
    guest["OSLAR_EL1"] = 1
    guest["MDSCR_EL1"] = TAKES_DEBUG
    start(guest, "line", mode, pstate=DEBUG, x={1: place, 2: BREAKPOINT}, via="set_breakpoint")
    assert guest.x(5) == 4, "the breakpoint is blocked"
    assert guest["DBGBCR0_EL1"] == BREAKPOINT
    assert guest["MDSCR_EL1"] == TAKES_DEBUG
    guest["OSLAR_EL1"] = 0
    start(guest, "line", mode, pstate=DEBUG, x={1: place, 2: BREAKPOINT}, via="set_breakpoint")
    check_entry(guest, mode, DEBUG, place)
    guest["DBGBCR0_EL1"] = 0
    guest["OSLAR_EL1"] = 1
    guest["MDSCR_EL1"] = int(Mdscr.of(SS=1, KDE=1))
    start(guest, "line", mode, pstate=DEBUG | Spsr.of(SS=1))
    assert guest.x(5) == 4, "the step is blocked"
    guest["MDSCR_EL1"] = guest["OSLAR_EL1"] = 0


def test_an_experiment_says_the_same_of_the_os_lock() -> None:
    if not heed_os_lock():
        missing("the host that the stubs are for")
    assert lock_blocks_steps()


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_software_step_one_instruction_at_a_time(guest: Guest, mode: int) -> None:
    guest["MDSCR_EL1"] = int(Mdscr.of(SS=1, KDE=1))
    line = guest.label("line")
    start(guest, "line", mode, pstate=DEBUG | Spsr.of(SS=1))
    for n, counter in enumerate((1, 2, 2, 3, 4), start=1):
        flags = 0x6000_0000 if n >= 3 else 0
        check_entry(guest, mode, DEBUG | flags, line + 4 * n)
        assert guest.ec == (EC_STEP_LOWER if mode == EL0T else EC_STEP)
        assert guest.iss == SoftwareStepIss.of(ISV=1, IFSC=0x22)
        assert guest.x(5) == counter
        assert guest["FAR_EL1"] == FAR_BEFORE
        guest["SPSR_EL1"] |= Spsr.of(SS=1)
        if n < 5:
            guest.run()
    guest["MDSCR_EL1"] = 0


def test_step_that_was_not_asked_for_again_is_pending_at_once(guest: Guest) -> None:
    guest["MDSCR_EL1"] = int(Mdscr.of(SS=1))
    start(guest, "line", EL0T, pstate=DEBUG)
    # SPSR.SS = 0: the state machine is active-pending, and the exception comes before any instruction (D2.12.3).
    assert guest["ELR_EL1"] == guest.label("line")
    assert guest.ec == EC_STEP_LOWER
    assert guest.iss == SoftwareStepIss.of(ISV=0, IFSC=0x22), "no instruction was stepped"
    assert guest.x(5) == 0
    guest["MDSCR_EL1"] = 0


def test_step_of_a_load_exclusive_says_so(guest: Guest) -> None:
    guest["MDSCR_EL1"] = int(Mdscr.of(SS=1))
    start(guest, "load_exclusive", EL0T, pstate=DEBUG | Spsr.of(SS=1), x={1: DATA})
    assert guest.ec == EC_STEP_LOWER
    assert guest.iss == SoftwareStepIss.of(ISV=1, EX=1, IFSC=0x22)
    guest["MDSCR_EL1"] = 0


def test_step_onto_a_system_call_takes_the_call(guest: Guest) -> None:
    guest["MDSCR_EL1"] = int(Mdscr.of(SS=1))
    start(guest, "svc_5a7", EL0T, pstate=DEBUG | Spsr.of(SS=1))
    assert (guest.ec, guest.iss) == (EC_SVC, 0x5A7)
    # The SVC was executed: on return the step exception is pending.
    assert not Spsr(guest["SPSR_EL1"]).SS
    guest.run()
    assert guest.ec == EC_STEP_LOWER
    assert guest["ELR_EL1"] == guest.label("svc_5a7") + 4
    guest["MDSCR_EL1"] = 0


@pytest.mark.parametrize("place", ["brk_0", "undefined", "load"])
def test_step_onto_a_fault_keeps_the_step(guest: Guest, place: str) -> None:
    guest["MDSCR_EL1"] = int(Mdscr.of(SS=1))
    start(guest, place, EL0T, pstate=DEBUG | Spsr.of(SS=1), x={1: BEYOND_PA})
    assert guest.ec != EC_STEP_LOWER
    assert Spsr(guest["SPSR_EL1"]).SS, "the instruction was not executed and is still to be stepped"
    assert not guest.pstate.SS
    guest["MDSCR_EL1"] = 0


def test_step_over_calls_that_the_hypervisor_completes(guest: Guest) -> None:
    guest["MDSCR_EL1"] = int(Mdscr.of(SS=1, KDE=1))
    version = {0: 0x8400_0000}
    reason = start(guest, "smc_1", EL1H, pstate=DEBUG | Spsr.of(SS=1), x=version)
    assert isinstance(reason, Hypercall)
    assert guest.ec == EC_STEP
    assert guest["ELR_EL1"] == guest.label("smc_1") + 4
    start(guest, "hvc_1", EL1H, pstate=DEBUG | Spsr.of(SS=1), x=version)
    assert guest.ec == EC_STEP
    assert guest["ELR_EL1"] == guest.label("hvc_1") + 4
    assert guest.x(0) == 0x0001_0001
    guest["MDSCR_EL1"] = 0


# What newer cores add ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def newest() -> Iterator[Guest]:
    with Guest("exceptions", model="max") as guest:
        yield guest


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(("span", "before", "after"), [(0, 0, 1), (0, 1, 1), (1, 0, 0), (1, 1, 1)])
def test_pan_is_set_on_entry_unless_span(newest: Guest, mode: int, span: int, before: int, after: int) -> None:
    newest["SCTLR_EL1"] = int(Sctlr(0x30C5_0830).replace(SPAN=span))
    start(newest, "svc_0", mode, pstate=MASKED | Spsr.of(PAN=before))
    assert newest.slot == SLOTS[mode]
    assert after == newest.pstate.PAN
    assert before == Spsr(newest["SPSR_EL1"]).PAN
    newest.run()
    if mode != EL0T:
        assert before == newest.pstate.PAN, "restored by ERET"


def test_cores_without_pan_do_not_set_it(guest: Guest) -> None:
    guest["SCTLR_EL1"] = int(Sctlr(0x30C5_0830).replace(SPAN=0))
    start(guest, "svc_0", EL0T)
    assert not guest.pstate.PAN


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_branch_type_is_saved_and_cleared(newest: Guest, mode: int) -> None:
    # BTYPE matters for the instruction after an indirect branch; a fetch abort there must keep it (FEAT_BTI).
    start(newest, "call", mode, x={1: BEYOND_PA})
    assert newest.slot == SLOTS[mode]
    assert newest.ec in (EC_FETCH, EC_FETCH_LOWER)
    assert Spsr(newest["SPSR_EL1"]).BTYPE == 0b10
    assert newest.pstate.BTYPE == 0


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("place", ["swap", "compare_swap", "load_exclusive"])
def test_unaligned_atomic_is_an_alignment_fault(newest: Guest, mode: int, place: str) -> None:
    start(newest, place, mode, x={1: DATA + 4})
    assert newest.slot == SLOTS[mode]
    assert newest.ec == (EC_DATA_LOWER if mode == EL0T else EC_DATA)
    assert newest.iss & 0x3F == 0x21
    assert newest["FAR_EL1"] == DATA + 4
    assert newest["ELR_EL1"] == newest.label(place)


def test_atomics_are_undefined_before_armv8_1(guest: Guest) -> None:
    start(guest, "swap", EL1H, x={1: DATA})
    assert guest.esr == 1 << 25
