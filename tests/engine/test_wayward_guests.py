"""Guests that go wrong end with a report or at a limit; they neither hang nor crash the hypervisor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.arch.smccc import PsciFunction
from arm_vcpu_cli.axvcpu.exit import (
    AccessWidth,
    AxVCpuExitReason,
    CpuDown,
    CpuUp,
    FailEntry,
    Halt,
    Hypercall,
    MmioWrite,
    Nothing,
    PowerAction,
    SystemDown,
)
from arm_vcpu_cli.engine.missing_exceptions import take_missing_exceptions
from arm_vcpu_cli.host.watchdog import StopCause, Watchdog
from tests.support.tools import missing

from .harness import (
    CURRENT_SPX,
    DATA,
    DEVICE,
    EL0T,
    EL1H,
    EL1T,
    LOWER_64,
    RAM,
    STACK,
    Guest,
    Script,
)
from .stage1 import AP_EL0, KERNEL, PAGE, SIZES, Stage1

MODES = {"EL1t": EL1T, "EL1h": EL1H, "EL0t": EL0T}
NOTHING_THERE = 0x7000_0000
STUCK = -2
M64 = (1 << 64) - 1


@pytest.fixture
def guest() -> Iterator[Guest]:
    with Guest("wayward", platform=Script()) as guest:
        yield guest


def is_stuck(reason: AxVCpuExitReason) -> bool:
    return isinstance(reason, FailEntry) and reason.hardware_entry_failure_reason == STUCK


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("vectors", [0, NOTHING_THERE, DEVICE, RAM + 0x800, 0xFFFF_FFFF_FFFF_F800])
@pytest.mark.parametrize("place", ["nowhere", "undefined_code", "call_system"])
def test_vectors_that_are_not_there(guest: Guest, mode: int, vectors: int, place: str) -> None:
    # RAM + 0x800 holds zeroes, that is undefined instructions.
    guest["VBAR_EL1"] = vectors
    assert is_stuck(guest.start(place, mode=mode))
    last = guest.vcpu.exception_chain().exceptions[-1]
    assert last.pc - vectors & M64 in (0x200, 0)
    assert last.pc == guest["ELR_EL1"]


@pytest.mark.parametrize("mode", [EL1H, EL1T])
def test_vectors_that_the_guest_overwrites(guest: Guest, mode: int) -> None:
    assert is_stuck(guest.start("overwrite_vectors", mode=mode))


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_jump_to_nowhere_is_an_abort_for_the_guest(guest: Guest, mode: int) -> None:
    reason = guest.start("nowhere", mode=mode)
    assert isinstance(reason, Hypercall)
    assert guest["FAR_EL1"] == NOTHING_THERE
    assert guest.iss == 0x10


@pytest.mark.parametrize("stack", [DEVICE + 0x100, NOTHING_THERE, 0x20, 0xFFFF_FFFF_FFFF_FFF0])
def test_handler_whose_stack_is_not_memory(guest: Guest, stack: int) -> None:
    script = Script()
    script.refuse = set(range(DEVICE, DEVICE + 0x1000, 8))
    with Guest("wayward", platform=script) as guest:
        guest["VBAR_EL1"] = guest.label("pushing_vectors")
        assert is_stuck(guest.start("undefined_code", mode=EL0T, sp_el1=stack))


def test_stack_that_is_a_device_is_written_as_one() -> None:
    with Guest("wayward") as guest:
        reason = guest.start("push", sp_el1=DEVICE + 0x100, x={29: 29, 30: 30})
        assert reason == MmioWrite(DEVICE + 0xF0, AccessWidth.QWORD, 29)
        assert guest.run() == MmioWrite(DEVICE + 0xF8, AccessWidth.QWORD, 30)
        with Watchdog(guest.core.stop, 0.2):
            assert guest.vcpu.run() == Nothing()
        assert guest.vcpu.ctx.sp == DEVICE + 0xF0


def test_handler_that_faults_inside_itself_and_marches_down_the_stack(guest: Guest) -> None:
    guest["VBAR_EL1"] = guest.label("pushing_vectors")
    base = 0x8000_0000
    guest.map(base, 0x1000_0000)
    reason = guest.start("undefined_code", mode=EL0T, sp_el1=base + 0x1000_0000)
    assert is_stuck(reason)
    assert guest.vcpu.ctx.sp > base, "noticed before the stack was used up"


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("place", ["spin", "call_system"])
def test_endless_guest_can_be_stopped(guest: Guest, mode: int, place: str) -> None:
    if place == "call_system":
        # Each vector makes a system call of its own: not an exit, so no limit of exits sees it.
        guest["VBAR_EL1"] = guest.label("calling_vectors")
    guest.prepare(place, mode=mode)
    with Watchdog(guest.core.stop, 0.1) as watchdog:
        reason = guest.vcpu.run()
    assert reason == Nothing()
    assert watchdog.cause is StopCause.TIMEOUT
    assert guest.vcpu.exits == 0


def test_aarch32_ends_with_a_report(guest: Guest) -> None:
    guest.write(DATA, bytes.fromhex("000000ef"))  # SVC #0 in A32
    reason = guest.start(DATA, mode=0b10000)
    assert isinstance(reason, FailEntry)
    assert "AArch32" in reason.description


@pytest.mark.parametrize("thumb", [0, 1 << 5])
def test_aarch32_that_faults_ends_with_a_report(guest: Guest, thumb: int) -> None:
    reason = guest.start(NOTHING_THERE, mode=0b10000, pstate=thumb)
    assert isinstance(reason, FailEntry)


@pytest.mark.parametrize("mode", [0b10001, 0b10010, 0b10011, 0b10110, 0b10111, 0b11010, 0b11011, 0b11111])
def test_aarch32_at_el1_is_an_illegal_return(guest: Guest, mode: int) -> None:
    if not take_missing_exceptions():
        missing("the host that the stubs are for")
    guest.start("call_hvc", mode=mode, x={0: 1})
    assert (guest.slot, guest.esr, guest.pstate.el) == (CURRENT_SPX, 0x3A00_0000, 1)


# Calls with anything in their arguments ----------------------------------------------------------------------------

_functions = st.one_of(
    st.sampled_from([int(function) for function in PsciFunction]),
    st.integers(0x8400_0000, 0x8400_003F),
    st.integers(0xC400_0000, 0xC400_003F),
    st.integers(0x8000_0000, 0x8000_FFFF),
    st.integers(0, M64),
)
_values = st.one_of(st.sampled_from([0, 1, 2, 3, 0x4001_0000, 1 << 31, (1 << 32) - 1, M64]), st.integers(0, M64))


@pytest.fixture(scope="module")
def caller() -> Iterator[Guest]:
    with Guest("wayward") as guest:
        yield guest


@settings(max_examples=250, deadline=None)
@given(
    function=_functions,
    upper=st.sampled_from([0, 0, 1 << 32, 0xDEAD << 48]),
    args=st.tuples(_values, _values, _values),
)
@pytest.mark.parametrize("place", ["call_hvc", "call_smc"])
def test_call_with_garbage(caller: Guest, place: str, function: int, upper: int, args: tuple[int, int, int]) -> None:
    guest = caller
    x0 = function | upper
    registers = {n: n << 32 | n for n in range(4, 29)} | {0: x0, 1: args[0], 2: args[1], 3: args[2]}
    reason = guest.start(place, x=registers)
    after = guest.label(place) + 4
    finish = guest.label(place) + 16
    if guest.pc == finish:
        # Answered in place. x1 to x3 keep their value: no function here returns more than one.
        assert isinstance(reason, Hypercall)
        assert (guest.x(1), guest.x(2), guest.x(3)) == args
        assert {n: guest.x(n) for n in range(5, 29)} == {n: registers[n] for n in range(5, 29)}
        answer = guest.x(4)
        assert answer < 1 << 33 or answer >= M64 - 16
        return
    if isinstance(reason, Hypercall):
        assert place == "call_hvc"
        assert reason == Hypercall(x0, (*args, 4 << 32 | 4, 5 << 32 | 5, 6 << 32 | 6))
        assert guest.pc == after
    elif isinstance(reason, CpuUp):
        assert reason.target_cpu & ~0xFF_00FF_FFFF == 0
    else:
        assert isinstance(reason, (CpuDown, Halt)) or reason in (
            SystemDown(PowerAction.OFF),
            SystemDown(PowerAction.RESET),
        )
    # Whatever the exit was, the guest goes on behind the call, once.
    guest.vcpu.set_return_value(0x77)
    guest.run()
    assert guest.pc == finish
    assert guest.x(4) == 0x77


@pytest.mark.parametrize("place", ["call_hvc", "call_smc"])
@pytest.mark.parametrize("function", [0x8400_0000, 0x8400_0008, 0xC400_0003])
def test_calls_are_undefined_at_el0(guest: Guest, place: str, function: int) -> None:
    reason = guest.start(place, mode=EL0T, x={0: function})
    assert guest.slot == LOWER_64
    assert guest.esr == 1 << 25
    assert guest["ELR_EL1"] == guest.label(place)
    # What the test sees is the vector's own call.
    assert not isinstance(reason, FailEntry)


# The detector of guests that are stuck accuses nobody wrongly ------------------------------------------------------


@pytest.fixture
def busy() -> Iterator[Guest]:
    with Guest("progress", platform=Script()) as guest:
        yield guest


def reached_the_end(guest: Guest, reason: AxVCpuExitReason) -> bool:
    return isinstance(reason, Hypercall) and guest.pc == guest.label("stop") + 8


@pytest.mark.parametrize("mode", [EL0T, EL1T, EL1H])
def test_many_faults_that_a_handler_skips(busy: Guest, mode: int) -> None:
    busy["VBAR_EL1"] = busy.label("skipping_vectors")
    assert reached_the_end(busy, busy.start("skip_undefined", mode=mode, x={0: 100_000}))


@pytest.mark.parametrize("address", [NOTHING_THERE, 1 << 47], ids=["external abort", "stage 1"])
def test_two_faulting_instructions_in_turn(busy: Guest, address: int) -> None:
    busy["VBAR_EL1"] = busy.label("skipping_vectors")
    assert reached_the_end(busy, busy.start("skip_loads", mode=EL0T, x={0: 10_000, 1: address}))


PAGES = 20_000
AREA = 0x10_0000_0000


def demand_paging(guest: Guest) -> dict[int, int]:
    """Tables for ``PAGES`` pages that the guest's handler fills; the registers that it wants."""
    tables = Stage1(guest)
    blocks = PAGES // 512 + 1
    first = 0x9000_0000
    guest.map(first, blocks * PAGE)
    for n in range(blocks):
        tables.set(AREA + n * SIZES[2], 2, first + n * PAGE | 3)
    tables.map(first & -SIZES[2], first & -SIZES[2], 2, KERNEL)
    tables.enable()
    guest["VBAR_EL1"] = guest.label("paging_vectors")
    return {0: PAGES, 20: first, 21: AREA, 22: DATA | KERNEL | AP_EL0 | 3}


@pytest.mark.parametrize("mode", [EL0T, EL1H])
def test_demand_paging_upwards_by_one_store(busy: Guest, mode: int) -> None:
    registers = demand_paging(busy) | {1: AREA, 2: PAGE}
    assert reached_the_end(busy, busy.start("touch_upwards", mode=mode, x=registers))
    assert busy.x(23) == PAGES


@pytest.mark.parametrize("mode", [EL0T, EL1T, EL1H])
def test_demand_paging_of_a_stack_by_one_store(busy: Guest, mode: int) -> None:
    registers = demand_paging(busy) | {2: PAGE}
    top = AREA + PAGES * PAGE - PAGE
    sp_el0, sp_el1 = (STACK, top) if mode == EL1H else (top, STACK)
    reason = busy.start("touch_downwards", mode=mode, x=registers, sp_el0=sp_el0, sp_el1=sp_el1)
    assert reached_the_end(busy, reason)
    assert busy.x(23) == PAGES


def test_handler_that_tries_again_many_times(busy: Guest) -> None:
    busy["VBAR_EL1"] = busy.label("retrying_vectors")
    reason = busy.start("retry", mode=EL0T, x={1: NOTHING_THERE, 24: 110_000})
    assert reached_the_end(busy, reason)


@pytest.mark.parametrize("mode", [EL0T, EL1H])
def test_handler_that_tries_again_and_counts_in_memory(busy: Guest, mode: int) -> None:
    busy["VBAR_EL1"] = busy.label("counting_vectors")
    busy.write_u64(DATA, 20_000)
    assert reached_the_end(busy, busy.start("retry", mode=mode, x={1: NOTHING_THERE, 25: DATA}))


def test_handler_that_tries_again_for_ever(busy: Guest) -> None:
    busy["VBAR_EL1"] = busy.label("counting_vectors")
    assert is_stuck(busy.start("retry", mode=EL0T, x={1: NOTHING_THERE, 25: DATA}))
