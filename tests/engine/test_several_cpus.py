"""Several physical CPUs and several vCPUs on the real engine: moved between them, and sharing memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.axvcpu.vcpu import AxPerCpu, VCpuState
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.errors import VCpuError
from arm_vcpu_cli.guest.image import GuestImage, Segment
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.record import replace
from arm_vcpu_cli.vm.builder import build_machine
from arm_vcpu_cli.vm.endings import Ending, RunResult
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.runner import run_machine

from .harness import DATA, GUARD_SECONDS, RAM, Guest, is_call

HVC, WFI = 0xD4000002, 0xD503207F
ENTRY: Final = RAM + 0x1_0000
FLAG: Final = RAM + 0x4_0000
CONTEXT: Final = 0x55
CALL = 0x8600_0001


def movz(rd: int, value: int) -> int:
    return 0xD2800000 | value << 5 | rd


def movk16(rd: int, value: int) -> int:
    return 0xF2A00000 | value << 5 | rd


def wide(rd: int, value: int) -> list[int]:
    """MOVZ and MOVK of 32 bits."""
    return [movz(rd, value & 0xFFFF), movk16(rd, value >> 16)]


def branch(words: int) -> int:
    return 0x14000000 | words & 0x3FF_FFFF


def cbz(rt: int, words: int, *, nonzero: bool = False, x: bool = False) -> int:
    return 0x34000000 | nonzero << 24 | x << 31 | (words & 0x7_FFFF) << 5 | rt


STORE_W0_AT_X4, LOAD_W5_AT_X4, DECREMENT_X6 = 0xB9000080, 0xB9400085, 0xD10004C6
COUNT = [0x91000421, HVC, branch(-2)]
"""ADD x1, x1, #1 and a call, over and over."""


# Moved -------------------------------------------------------------------------------------------------------------


def test_a_vcpu_goes_on_with_its_registers_on_another_physical_cpu() -> None:
    with Guest("exceptions", cpus=2) as guest:
        other = Aarch64PerCpu(1, guest.host)
        other.hardware_enable()
        guest.write_code(DATA, *COUNT)
        assert is_call(guest.start(DATA, x={0: CALL, 7: 0x7777}))
        guest["TPIDR_EL1"] = 0x1234_5678
        guest["TPIDR_EL0"] = 0x8765_4321
        guest.set_v(9, 1 << 100 | 5)
        for turn, cpu in enumerate((other, guest.cpu, other), start=2):
            guest.vcpu.unbind()
            guest.vcpu.bind(cpu)
            guest.vcpu.set_gpr(0, CALL)
            assert is_call(guest.run())
            assert (guest.x(1), guest.x(7)) == (turn, 0x7777)
            assert (guest["TPIDR_EL1"], guest["TPIDR_EL0"]) == (0x1234_5678, 0x8765_4321)
            assert guest.v(9) == 1 << 100 | 5


def test_it_is_the_other_core_that_executes() -> None:
    with Guest("exceptions", cpus=2) as guest:
        for core in guest.host.cores:
            core.count_instructions()
        other = Aarch64PerCpu(1, guest.host)
        other.hardware_enable()
        guest.write_code(DATA, *COUNT)
        guest.start(DATA, x={0: CALL})
        before = [core.instruction_count() for core in guest.host.cores]
        guest.vcpu.unbind()
        guest.vcpu.bind(other)
        guest.run()
        after = [core.instruction_count() for core in guest.host.cores]
        assert after[0] == before[0]
        assert after[1] > before[1]


# Machines ----------------------------------------------------------------------------------------------------------


@contextmanager
def machine(program: list[int], *, phys_cpus: int, sets: tuple[int | None, ...] = (None, None)) -> Iterator[Machine]:
    """A machine of two vCPUs that executes these words, not started."""
    described = load_machine(None, memory_size=1 << 21, cpus=2)
    described = replace(described, cpu=replace(described.cpu, phys_cpus=phys_cpus, phys_cpu_sets=sets))
    data = b"".join(word.to_bytes(4, "little") for word in program)
    image = GuestImage(
        Path("guest.elf"),
        "elf",
        ENTRY,
        (Segment(ENTRY, data, len(data), True, True, True, "segment 0"),),
        SymbolTable(),
    )
    with Path(os.devnull).open("wb") as sink, build_machine(described, image, Console(sink.fileno(), None)) as made:
        yield made


def run(made: Machine) -> RunResult:
    made.start()
    with Watchdog(made.request_stop, GUARD_SECONDS) as guard:
        return run_machine(made, guard)


def teamwork(rounds: int) -> list[int]:
    """The first CPU starts the second and waits, interrupts masked, for what that writes after so many rounds."""
    flag = wide(4, FLAG)
    first = [
        *wide(0, 0xC400_0003),
        movz(1, 1),
        *wide(2, ENTRY + 4 * 15),
        movz(3, CONTEXT),
        HVC,
        *flag,
        LOAD_W5_AT_X4,
        cbz(5, -1),
        *wide(0, 0x8400_0008),
        HVC,
        WFI,
    ]
    assert len(first) == 15
    return [*first, *wide(6, rounds), DECREMENT_X6, cbz(6, -1, nonzero=True, x=True), *flag, STORE_W0_AT_X4, WFI]


@pytest.mark.parametrize("phys_cpus", [1, 2])
def test_what_one_writes_the_other_sees(phys_cpus: int) -> None:
    with machine(teamwork(1000), phys_cpus=phys_cpus) as made:
        result = run(made)
        assert result.ending is Ending.POWERED_OFF, result.message
        assert {cpu.core for cpu in made.cpus} == set(made.host.cores)
        flag = made.ram.view(FLAG, 4)
        assert flag is not None
        assert bytes(flag) == CONTEXT.to_bytes(4, "little")


@pytest.mark.parametrize("phys_cpus", [1, 2])
def test_one_that_waits_for_what_another_will_write_does_not_hang(phys_cpus: int) -> None:
    """For far longer than a loop of a single CPU is left alone."""
    with machine(teamwork(150_000_000), phys_cpus=phys_cpus) as made:
        result = run(made)
        assert result.ending is Ending.POWERED_OFF, result.message


def test_each_is_bound_to_a_physical_cpu_of_its_set() -> None:
    with machine(teamwork(1000), phys_cpus=3, sets=(0b100, 0b001)) as made:
        made.start()
        assert [cpu.core for cpu in made.cpus] == [made.host.core(2), made.host.core(0)]
        bound = [cpu.vcpu.cpu for cpu in made.cpus]
        assert [None if cpu is None else cpu.cpu_id for cpu in bound] == [2, 0]
        assert run_started(made).ending is Ending.POWERED_OFF


def run_started(made: Machine) -> RunResult:
    with Watchdog(made.request_stop, GUARD_SECONDS) as guard:
        return run_machine(made, guard)


def test_none_is_bound_to_one_outside_of_its_set() -> None:
    with machine(teamwork(1000), phys_cpus=2, sets=(0b10, None)) as made:
        outside = Aarch64PerCpu(0, made.host)
        outside.hardware_enable()
        vcpu = made.cpus[0].vcpu
        with pytest.raises(VCpuError, match="not in its set"):
            vcpu.bind(AxPerCpu(outside))
        assert vcpu.state is VCpuState.INVALID
