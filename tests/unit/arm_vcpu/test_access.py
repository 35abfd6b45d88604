"""The handler, the trace and the flight recorder classify a data abort alike, for any syndrome."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.arm_vcpu.access import PlainForm, plain_form
from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.axvcpu.exit import AccessWidth, AxVCpuExitReason, MmioRead, MmioWrite, NestedPageFault, Nothing
from tests.support.arm_vcpu_bench import ENTRY, Bench, TestPlatform, bench
from tests.support.fake_core import Trap, data_abort
from tests.support.observer import Observer

UART = 0x0900_0000
DATA_ABORT = 0x24 << 26 | 1 << 25
TRANSLATION_L3 = 0b000111
VALID = 1 << 24
LDR_W1_X2 = 0xB940_0041
STR_W1_X2 = 0xB900_0041
LDUR_W1_X2 = 0xB85F_D041  # ldur w1, [x2, #-3]
LDR_W1_SP = 0xB940_03E1
LDR_W1_X2_X3 = 0xB863_6841  # ldr w1, [x2, x3]
LDR_LITERAL = 0x1800_0041  # ldr w1, .+8
LDRB_POST = 0x3840_1441  # ldrb w1, [x2], #1
LDP_W1_W3 = 0x2940_0C41
LDR_Q1 = 0x3DC0_0041
PRFM = 0xF980_0040
LDXR = 0x885F_7C41
DC_ZVA = 0xD50B_7422
NOP = 0xD503_201F
WORDS = (LDR_W1_X2, STR_W1_X2, LDUR_W1_X2, LDR_W1_SP, LDR_W1_X2_X3, LDR_LITERAL, LDRB_POST, LDP_W1_W3, LDR_Q1, PRFM)


def told(trap: Trap, word: int | None, platform: TestPlatform | None) -> tuple[Bench, AxVCpuExitReason, Observer]:
    """A vCPU that has met the abort at an instruction, what ``run()`` returned, and what an observer has heard."""
    observer = Observer()
    box = bench([trap], platform=platform, observer=observer)
    box.vcpu.ctx.sp = UART - 2
    if word is not None:
        box.core.instructions[ENTRY] = word
    reason = box.vcpu.run()
    # An access that the caller completes is told once all of its instruction has been.
    while isinstance(box.vcpu.run(), (MmioRead, MmioWrite)):
        pass
    box.vcpu.close_record()
    return box, reason, observer


@settings(max_examples=400)
@given(
    iss=st.integers(0, (1 << 25) - 1),
    simple=st.booleans(),
    word=st.sampled_from([*WORDS, LDXR, DC_ZVA, NOP, None]) | st.integers(0, 2**32 - 1),
    offset=st.sampled_from([0, 1, 4, 0xFF8, 0xFFC, 0xFFF]),
    base=st.sampled_from([UART - 3, UART - 1, UART, UART + 4, UART + 0xFFC]),
    outcome=st.sampled_from([Outcome.DONE, Outcome.EXIT, Outcome.ABORT]),
)
def test_all_who_are_told_of_an_abort_are_told_the_same(
    iss: int, simple: bool, word: int | None, offset: int, base: int, outcome: Outcome
) -> None:
    if simple:
        # A translation fault of the kind that devices give.
        iss = iss & ~0x7F & ~(1 << 7 | 1 << 8) | TRANSLATION_L3 | iss & 1 << 6
    platform = TestPlatform(reads=[] if outcome is Outcome.DONE else [outcome] * 4, write_outcome=outcome)
    platform.fault_outcome = outcome
    trap = Trap(DATA_ABORT | iss, far=UART + offset, hpfar=UART >> 12 << 4, regs={1: 0x1122_3344_5566_7788, 2: base})
    box, returned, observer = told(trap, word, platform)
    (record,), (recent,) = observer.records, box.vcpu.recent_exits()
    assert recent.record.reason == record.reason
    assert recent.record.esr == record.esr
    if not isinstance(returned, Nothing):
        assert record.reason == returned


@pytest.mark.parametrize(
    ("word", "base", "size", "expected"),
    [
        (LDR_W1_X2, UART, 4, MmioRead(UART, AccessWidth.DWORD, 1, AccessWidth.DWORD)),
        # It began three bytes before the page, where something is.
        (LDUR_W1_X2, UART, 4, NestedPageFault),
        (LDR_W1_X2, UART - 2, 4, NestedPageFault),
        (LDR_W1_SP, UART, 4, NestedPageFault),
        # One byte does not begin before itself, whatever the register says.
        (LDR_W1_X2, UART - 2, 1, MmioRead(UART, AccessWidth.BYTE, 1, AccessWidth.DWORD)),
        (LDR_W1_X2_X3, UART, 4, MmioRead(UART, AccessWidth.DWORD, 1, AccessWidth.DWORD)),
        (LDR_W1_X2_X3, UART - 2, 4, NestedPageFault),
        # Of an instruction that cannot be read nobody knows more.
        (None, UART - 2, 4, MmioRead(UART, AccessWidth.DWORD, 1, AccessWidth.DWORD)),
    ],
)
def test_an_access_that_began_in_the_page_before_is_no_plain_one_for_anybody(
    word: int | None, base: int, size: int, expected: MmioRead | type[NestedPageFault]
) -> None:
    platform = TestPlatform(reads=[Outcome.EXIT])
    box, returned, observer = told(data_abort(UART, is_write=False, size=size, regs={2: base}), word, platform)
    (record,), (recent,) = observer.records, box.vcpu.recent_exits()
    if isinstance(expected, MmioRead):
        assert returned == record.reason == recent.record.reason == expected
        assert platform.log == [("mmio_read", UART, size)]
    else:
        assert returned == Nothing()
        assert record.reason == recent.record.reason == NestedPageFault(UART, recent.record.reason.access_flags)  # type: ignore[union-attr]
        assert platform.log == []
        assert record.note == "alignment fault into the guest"
        assert box.core.sysreg("FAR_EL1") == UART - (3 if word == LDUR_W1_X2 else 2)


@pytest.mark.parametrize(
    ("word", "form"),
    [
        (LDR_W1_X2, PlainForm(2, 0)),
        (LDUR_W1_X2, PlainForm(2, -3)),
        (LDR_W1_SP, PlainForm(31, 0)),
        (LDR_W1_X2_X3, PlainForm(None, 0)),
        (LDR_LITERAL, PlainForm(None, 0)),
        (None, PlainForm(None, 0)),
        (NOP, PlainForm(None, 0)),
        (LDRB_POST, None),
        (LDP_W1_W3, None),
        (LDR_Q1, None),
        (LDXR, None),
        (PRFM, None),
    ],
)
def test_which_instructions_a_valid_syndrome_describes(word: int | None, form: PlainForm | None) -> None:
    assert plain_form(word) == form


def test_a_value_that_was_given_goes_with_an_aborted_access() -> None:
    box = bench([data_abort(UART, is_write=False, register=3, regs={3: 7})] * 2)
    box.vcpu.run()
    box.vcpu.complete(1)
    box.vcpu.inject_undefined()
    box.vcpu.run()
    assert box.vcpu.ctx.gpr(3) == 7
    box.vcpu.set_gpr(3, 0xAA)
    box.vcpu.run()
    assert box.core.gpr(3) == 0xAA, "the second read is completed by setting its register"


def test_the_state_is_loaded_with_pstate_only_where_an_exception_has_changed_it() -> None:
    box = bench([data_abort(UART, is_write=True)] * 2)
    box.vcpu.run()
    before = len(box.core.pstates)
    box.vcpu.run()
    assert len(box.core.pstates) == before
    box.vcpu.inject_external_abort()
    box.vcpu.run()
    assert box.core.pstates[before:] == [0x3C5]
