"""The reason in a trace equals the reason returned; regressions of the crates' bugs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.smccc import PsciStatus, to_u64
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.vcpu import Aarch64VCpu
from arm_vcpu_cli.axvcpu.exit import (
    AxVCpuExitReason,
    Halt,
    Hypercall,
    MmioRead,
    SendIPI,
    SysRegRead,
    SysRegWrite,
)
from arm_vcpu_cli.axvcpu.vcpu import AxVCpu, VCpuState
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.errors import VCpuError, VCpuStateError
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.host.machine_host import Host
from tests.support.observer import Observer

from .harness import DEVICE, EL0T, EL1H, GUARD_SECONDS, GUESTS, MASKED, RAM, Guest, Script
from .test_device_accesses import LOADS, STORES

M64 = (1 << 64) - 1


class Observed(NamedTuple):
    """A guest whose exits are all returned, and the observer of its vCPU."""

    guest: Guest
    recorder: Observer


@pytest.fixture(scope="module")
def observed() -> Iterator[dict[str, Observed]]:
    found = {}
    for program in ("exceptions", "accesses"):
        recorder = Observer()
        found[program] = Observed(Guest(program, observer=recorder, hcr=("TVM",)), recorder)
        found[program].guest.map(0x5000_0000, 0x1000, "r")
    yield found
    for one in found.values():
        one.guest.host.close()


def returned_and_traced(
    one: Observed, place: str, mode: int, x: dict[int, int]
) -> tuple[AxVCpuExitReason, AxVCpuExitReason]:
    guest, recorder = one
    recorder.records.clear()
    reason = guest.start(place, mode=mode, x=x)
    guest.vcpu.close_record()
    # Forget the exit: the next test starts somewhere else.
    guest.vcpu.inject_undefined()
    return reason, recorder.records[-1].reason


ADDRESSES = st.one_of(
    st.integers(0, 0x1FF).map(lambda n: DEVICE + 0x100 + 8 * n),
    st.integers(0, 0x1FF).map(lambda n: 0x5000_0000 + 8 * n),
    st.integers(0, (1 << 41) - 1).map(lambda n: 0x1_0000_0000 + 8 * n),
)
OTHER_EXITS = (
    "hvc_1 smc_1 write_sgi1r read_sgi1r read_counter write_timer write_translation read_id wait clean zero_line jump"
).split()
VALUES = st.one_of(st.integers(0, M64), st.sampled_from([0, 0x8400_0000, 0x8400_0008, 0xC400_0003, 0xC200_0000]))


@settings(max_examples=300, deadline=None)
@given(
    place=st.sampled_from([name for name in (*LOADS, *STORES) if "_sp" not in name]),
    mode=st.sampled_from([EL1H, EL0T]),
    address=ADDRESSES,
    values=st.lists(VALUES, min_size=31, max_size=31),
)
def test_accesses_are_traced_as_they_are_returned(
    observed: dict[str, Observed], place: str, mode: int, address: int, values: list[int]
) -> None:
    x = dict(enumerate(values)) | {1: address, 2: values[2] % 64}
    returned, traced = returned_and_traced(observed["accesses"], place, mode, x)
    assert traced == returned


@settings(max_examples=200, deadline=None)
@given(
    place=st.sampled_from(OTHER_EXITS),
    address=ADDRESSES,
    values=st.lists(VALUES, min_size=31, max_size=31),
)
def test_other_exits_are_traced_as_they_are_returned(
    observed: dict[str, Observed], place: str, address: int, values: list[int]
) -> None:
    returned, traced = returned_and_traced(observed["exceptions"], place, EL1H, dict(enumerate(values)) | {1: address})
    assert traced == returned


# The registers that an exit speaks of ------------------------------------------------------------------------------


@pytest.fixture
def guest() -> Iterator[Guest]:
    with Guest("exceptions", hcr=("TVM",)) as guest:
        yield guest


def test_trapped_read_and_write_of_a_system_register(guest: Guest) -> None:
    reason = guest.start("read_counter")
    assert reason == SysRegRead(lookup("CNTPCT_EL0").iss, 3)
    guest.vcpu.complete(0x1234_5678_9ABC_DEF0)
    guest.run()
    assert guest.finished("read_counter")
    assert guest.x(3) == 0x1234_5678_9ABC_DEF0
    assert guest.start("write_timer", x={3: M64}) == SysRegWrite(lookup("CNTP_CVAL_EL0").iss, M64)
    guest.run()
    assert guest.finished("write_timer")
    before = guest["TTBR0_EL1"]
    assert guest.start("write_translation", x={3: 0x4321_0000}) == SysRegWrite(lookup("TTBR0_EL1").iss, 0x4321_0000)
    assert guest["TTBR0_EL1"] == before, "it is the caller's to write"


def test_trapped_register_that_the_caller_does_not_have(guest: Guest) -> None:
    guest.start("read_counter", x={3: 3})
    guest.vcpu.inject_undefined()
    guest.run()
    assert guest.esr == 1 << 25
    assert guest["ELR_EL1"] == guest.label("read_counter")
    assert guest.x(3) == 3


@pytest.mark.parametrize("place", ["hvc_1", "wait"])
def test_call_that_the_caller_makes_undefined(guest: Guest, place: str) -> None:
    guest.start(place)
    guest.vcpu.inject_undefined()
    guest.run()
    assert guest.esr == 1 << 25
    assert guest["ELR_EL1"] == guest.label(place), "at the instruction, though an HVC's return address is behind it"


def test_there_is_nothing_to_complete_or_abort_after_other_exits(guest: Guest) -> None:
    assert guest.start("wait") == Halt()
    with pytest.raises(VCpuError):
        guest.vcpu.complete(1)
    with pytest.raises(VCpuError):
        guest.vcpu.inject_external_abort()


def test_read_is_completed_once(guest: Guest) -> None:
    guest.start("load", x={1: DEVICE})
    guest.vcpu.complete(1)
    with pytest.raises(VCpuError):
        guest.vcpu.complete(2)
    guest.run()
    assert guest.x(0) == 1


def test_abort_after_a_value_was_given_leaves_nothing_behind(guest: Guest) -> None:
    guest.start("load", x={1: DEVICE})
    guest.vcpu.complete(1)
    guest.vcpu.inject_external_abort()
    guest.run()
    assert guest.iss == 0x10
    assert guest.x(0) == 0
    guest.start("load", x={1: DEVICE})
    guest.vcpu.complete(5)
    guest.run()
    assert guest.x(0) == 5


# Faults of the Rust crates -----------------------------------------------------------------------------------------


def test_abort_without_a_valid_syndrome_is_not_decoded_as_if_it_had_one() -> None:
    # ISV = 0 leaves SAS, SRT and SF zero: taken at their word this would be one byte into X0.
    with Guest("accesses") as guest:
        reason = guest.start("ldp_x", x={0: 7, 1: DEVICE})
        assert isinstance(reason, MmioRead)
        assert (reason.addr, reason.width, reason.reg) == (DEVICE, 8, 0)
        reason = guest.start("ldxr_x", x={0: 7, 1: DEVICE})
        assert isinstance(reason, (Hypercall, MmioRead))


def test_sign_extension_is_not_dropped() -> None:
    with Guest("accesses", platform=Script(b"\x80")) as guest:
        guest.start("ldrsb_w", x={0: M64, 1: DEVICE})
        assert guest.x(0) == 0xFFFF_FF80
        guest.start("ldrsb_x", x={1: DEVICE})
        assert guest.x(0) == 0xFFFF_FFFF_FFFF_FF80


def test_pc_does_not_move_before_the_access_has_succeeded(guest: Guest) -> None:
    guest.start("load", x={1: DEVICE})
    assert guest.pc == guest.label("load")
    guest.vcpu.inject_external_abort()
    guest.run()
    assert guest["ELR_EL1"] == guest.label("load")
    guest.start("store", x={1: DEVICE})
    assert guest.pc == guest.label("store")
    guest.run()
    assert guest.finished("store")


def test_refused_transition_names_the_state_that_the_vcpu_was_in() -> None:
    with Host() as host:
        vcpu: AxVCpu[Aarch64VCpuSetupConfig, Aarch64PerCpu] = AxVCpu(0, 0, Aarch64VCpu(Aarch64VCpuCreateConfig(), host))
        with pytest.raises(VCpuStateError, match="found Created"):
            vcpu.run()
        assert vcpu.state is VCpuState.INVALID


def test_starting_an_unknown_cpu_is_an_error_for_the_guest_only() -> None:
    image = load_guest(GUESTS / "wayward.elf", ram_base=RAM)
    entry = image.symbols.lookup("start_unknown_cpu")
    assert entry is not None
    description = load_machine(None)
    description = replace(description, boot=replace(description.boot, entry=entry))
    with Machine.open(image, description) as machine:
        assert machine.run(timeout=GUARD_SECONDS).status == 0
        assert machine.cpus[0].x(19) == to_u64(PsciStatus.INVALID_PARAMETERS)


def test_no_call_skips_or_repeats_an_instruction(guest: Guest) -> None:
    version = {0: 0x8400_0000}
    for place in ("hvc_1", "smc_1"):
        guest.start(place, x=version)
        assert guest.finished(place), place
        assert guest.x(0) == 0x1_0001
    # Returned to the caller, an HVC's return address is behind it, and nothing is added later.
    assert isinstance(guest.start("hvc_1", x={0: 0xC600_0000}), Hypercall)
    assert guest.pc == guest.label("hvc_1") + 4
    guest.run()
    assert guest.finished("hvc_1")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0x0000_0000_0500_0001, SendIPI(0, 0b1, False, False, 5)),
        (0x0000_0000_0F00_FFFF, SendIPI(0, 0xFFFF, False, False, 15)),
        (0x0000_1000_0300_8001, SendIPI(0, 0x8001 << 16, False, False, 3)),
        # Aff3.Aff2.Aff1 in the form of MPIDR_EL1; range selector 15 moves the list up by 240.
        (0x0012_F034_0756_0002, SendIPI(0x12_0034_5600, 0b10 << 240, False, False, 7)),
        (0x0000_0100_0000_0000, SendIPI(0, 0, True, False, 0)),
    ],
)
def test_targets_of_an_sgi_are_not_lost(guest: Guest, value: int, expected: SendIPI) -> None:
    reason = guest.start("write_sgi1r", x={3: value})
    assert reason == expected
    guest.run()
    assert guest.finished("write_sgi1r")


def test_sgi_register_cannot_be_read(guest: Guest) -> None:
    guest.start("read_sgi1r", x={3: 3})
    guest.vcpu.run()
    assert guest.x(3) == 3
    assert guest.vcpu.read_sysreg(lookup("ESR_EL1")) == 0x0200_0000


def test_step_over_a_call_keeps_the_mask(guest: Guest) -> None:
    guest.start("smc_1", x={0: 0x8400_0000}, pstate=MASKED & ~int(Spsr.of(I=1)))
    assert guest.pstate == MASKED & ~int(Spsr.of(I=1)) | EL1H
