"""A debugger's view of a stopped machine, and its changes to it."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from arm_vcpu_cli.board.loading import machine_from_document
from arm_vcpu_cli.debug.control import MachineControl
from arm_vcpu_cli.debug.target import Reason, Target
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.vm.builder import build_machine

from .harness import GUARD_SECONDS
from .test_snapshot_contract import INTEGRATION, SAMPLES

LDR_X0_LITERAL, NOP, HVC, B_HERE = 0x5800_0040, 0xD503_201F, 0xD400_0002, 0x1400_0000
ENTRY = 0x4008_0000


@contextmanager
def controlled(guest: Path, **document: Any) -> Iterator[MachineControl]:
    """A machine under control, before its first instruction."""
    description = machine_from_document(document)
    image = load_guest(guest, ram_base=description.ram.base, kind=description.boot.kernel_type)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        with build_machine(description, image, Console(null, None)) as machine:
            machine.start()
            yield MachineControl(machine, Watchdog(machine.request_stop, GUARD_SECONDS))
    finally:
        os.close(null)


@contextmanager
def code(path: Path, *words: int) -> Iterator[MachineControl]:
    """A guest of these instructions, in a raw binary."""
    file = path / "code.bin"
    file.write_bytes(struct.pack(f"<{len(words)}I", *words))
    with controlled(file, boot={"kernel_type": "raw"}) as control:
        yield control


def entry_of(control: MachineControl) -> int:
    return control.read_register(0, "pc")


def test_it_is_a_target() -> None:
    with controlled(SAMPLES / "hello" / "hello.elf") as control:
        target: Target = control
        assert target.travels
        assert target.position().instructions == 0
        assert [thread.state for thread in target.threads()] == ["EL1 running"]


def test_a_run_that_ends_can_still_be_looked_at() -> None:
    with controlled(SAMPLES / "hello" / "hello.elf") as control:
        stop = control.resume()
        assert (stop.reason, stop.status, stop.message) == (Reason.ENDED, 0, "the guest powered off")
        assert control.read_register(0, "pc")
        assert control.step(0) == stop == control.resume()


def test_general_registers(tmp_path: Path) -> None:
    with code(tmp_path, 0x8B01_0002, B_HERE) as control:  # add x2, x0, x1
        pc = entry_of(control)
        control.write_register(0, "x0", 5)
        control.write_register(0, "x1", 1 << 63)
        control.write_register(0, "sp", 0x1230)
        assert control.step(0).reason is Reason.STEP
        assert control.read_register(0, "x2") == 5 + (1 << 63)
        assert control.read_register(0, "pc") == pc + 4
        assert control.read_register(0, "sp") == 0x1230
        assert control.position().instructions == 1


def test_vector_registers(tmp_path: Path) -> None:
    with code(tmp_path, 0x4EA1_8402, B_HERE) as control:  # add v2.4s, v0.4s, v1.4s
        high = 1 << 127 | 5 << 64
        control.write_register(0, "CPACR_EL1", 3 << 20)
        control.write_register(0, "v0", high | 7)
        control.write_register(0, "v1", 1 << 64 | 1)
        control.step(0)
        assert control.read_register(0, "v2") == high + (1 << 64) + 8
        control.write_register(0, "fpcr", 1 << 24)
        control.write_register(0, "fpsr", 1)
        assert (control.read_register(0, "fpcr"), control.read_register(0, "fpsr")) == (1 << 24, 1)


def test_registers_of_sve(tmp_path: Path) -> None:
    file = tmp_path / "code.bin"
    # index z2.d, #1, #1; cntb x0; pfalse p1.b; cntb x1
    file.write_bytes(struct.pack("<5I", 0x04E14022, 0x0420E3E0, 0x2518E401, 0x0420E3E1, B_HERE))
    with controlled(file, boot={"kernel_type": "raw"}, cpu={"model": "max"}) as control:
        names = {register.name: register for register in control.registers()}
        assert [names[name].bits for name in ("z31", "p15", "ffr")] == [2048, 256, 256]
        assert not names["vg"].writable
        assert "v0" not in names
        control.write_register(0, "CPACR_EL1", 3 << 20 | 3 << 16)
        assert control.read_register(0, "vg") == 2
        control.write_register(0, "ZCR_EL1", 1)
        assert control.read_register(0, "vg") == 4
        control.step(0)
        assert control.read_register(0, "z2") == 4 << 192 | 3 << 128 | 2 << 64 | 1
        for name, bits in (("z0", 256), ("z31", 256), ("p0", 32), ("p15", 32), ("ffr", 32)):
            control.write_register(0, name, (1 << bits) - 2)
            with pytest.raises(UsageError, match=f"{name} has {bits} bits now, by ZCR_EL1"):
                control.write_register(0, name, 1 << bits)
            assert control.read_register(0, name) == (1 << bits) - 2
        control.step(0)
        control.write_register(0, "p1", 5)
        control.step(0)
        assert (control.read_register(0, "x0"), control.read_register(0, "p1")) == (32, 0)
        # Of a shorter vector, what is beyond it is not to be seen.
        control.write_register(0, "ZCR_EL1", 0)
        control.step(0)
        assert (control.read_register(0, "x1"), control.read_register(0, "z2")) == (16, 2 << 64 | 1)
        control.write_register(0, "fpsr", 1)
        assert control.read_register(0, "fpsr") == 1
        with pytest.raises(UsageError, match="vg cannot be written"):
            control.write_register(0, "vg", 4)
        for register in control.registers():
            assert 0 <= control.read_register(0, register.name) < 1 << register.bits


@pytest.mark.parametrize(
    "cpu", [{"model": "cortex-a72"}, {"model": "max", "features": {"FEAT_SVE": False}}], ids=["model", "machine file"]
)
def test_a_guest_that_is_not_told_of_sve_has_none(tmp_path: Path, cpu: dict[str, Any]) -> None:
    file = tmp_path / "code.bin"
    file.write_bytes(struct.pack("<I", B_HERE))
    with controlled(file, boot={"kernel_type": "raw"}, cpu=cpu) as control:
        names = {register.name for register in control.registers()}
        assert "v0" in names
        assert not names & {"z0", "p0", "vg", "ZCR_EL1"}


def test_flags_and_masks(tmp_path: Path) -> None:
    with code(tmp_path, 0x9A9F_17E0, 0xD53B_4221, B_HERE) as control:  # cset x0, eq; mrs x1, daif
        before = control.read_register(0, "cpsr")
        control.write_register(0, "cpsr", (before | 1 << 30) & ~(1 << 7))
        assert control.read_register(0, "cpsr") == (before | 1 << 30) & ~(1 << 7)
        control.step(0)
        control.step(0)
        assert (control.read_register(0, "x0"), control.read_register(0, "x1")) == (1, 0x340)
        with pytest.raises(UsageError, match="only N, Z"):
            control.write_register(0, "cpsr", before & ~0xF)


def test_system_registers(tmp_path: Path) -> None:
    with code(tmp_path, 0xD538_D080, B_HERE) as control:  # mrs x0, tpidr_el1
        control.write_register(0, "TPIDR_EL1", 0xABCD)
        control.step(0)
        assert control.read_register(0, "x0") == 0xABCD
        assert control.read_register(0, "HCR_EL2") & 1
        assert control.read_register(0, "MIDR_EL1") >> 24 == 0x41
        for register in control.registers():
            value = control.read_register(0, register.name)
            assert 0 <= value < 1 << register.bits
        with pytest.raises(UsageError, match="HCR_EL2 cannot be written"):
            control.write_register(0, "HCR_EL2", 0)
        with pytest.raises(UsageError, match="there is no register x31"):
            control.read_register(0, "x31")
        with pytest.raises(UsageError, match="no vCPU"):
            control.read_register(1, "x0")


def test_the_pc_can_be_set_in_the_middle_of_a_block(tmp_path: Path) -> None:
    add = 0x9100_0400  # add x0, x0, #1
    with code(tmp_path, add, add, add, add, B_HERE) as control:
        pc = entry_of(control)
        control.write_register(0, "x0", 0)
        control.step(0)
        control.write_register(0, "pc", pc)
        control.set_breakpoints((pc + 16,), ())
        assert control.resume().reason is Reason.SOFTWARE_BREAKPOINT
        assert control.read_register(0, "x0") == 5


def test_memory_is_read_and_code_is_changed(tmp_path: Path) -> None:
    with code(tmp_path, NOP, NOP, NOP, B_HERE) as control:
        pc = entry_of(control)
        control.set_breakpoints((), (pc + 12,))
        assert control.resume().reason is Reason.HARDWARE_BREAKPOINT
        assert control.read_memory(0, pc, 8) == struct.pack("<2I", NOP, NOP)
        assert control.write_memory(0, pc + 4, struct.pack("<I", 0xD280_0541))  # mov x1, #42
        control.write_register(0, "pc", pc)
        control.resume()
        assert control.read_register(0, "x1") == 42
        assert control.read_physical(pc, 4) == struct.pack("<I", NOP)
        assert control.read_memory(0, 0, 8) == b""
        assert not control.write_memory(0, 0, b"x")
        assert not control.write_physical(0x0900_0000, b"x")


def test_memory_is_read_as_the_vcpu_translates_it() -> None:
    with controlled(SAMPLES / "paging" / "paging.elf") as control:
        seen = set()
        while control.step(0).reason is Reason.STEP:
            if control.read_register(0, "SCTLR_EL1") & 1:
                pc = control.read_register(0, "pc")
                seen.add(control.read_memory(0, pc, 4) == control.read_physical(pc, 4))
                if len(seen) > 1 or control.position().instructions > 12_000:
                    break
        assert True in seen


def test_a_guest_that_waits_for_input_is_paused(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_WRONLY)
    description = machine_from_document({})
    image = load_guest(SAMPLES / "echo" / "echo.elf", ram_base=description.ram.base)
    try:
        with build_machine(description, image, Console(null, reader)) as machine:
            machine.start()
            control = MachineControl(machine, Watchdog(machine.request_stop, GUARD_SECONDS))
            control.set_breakpoints((), (image.symbols.lookup("uart_getc") or 0,))
            control.resume()
            control.set_breakpoints((), ())
            pausing = Thread(target=control.pause)
            pausing.start()
            assert control.resume().reason is Reason.PAUSE
            pausing.join()
            os.write(writer, b"quit\n")
            os.close(writer)
            assert control.resume().reason is Reason.ENDED
    finally:
        os.close(null)
        os.close(reader)


def test_several_vcpus_are_threads_with_registers_of_their_own() -> None:
    with controlled(INTEGRATION / "smp" / "wfi.elf", cpu={"count": 4}) as control:
        states = [thread.state for thread in control.threads()]
        assert states == ["EL1 running", "off", "off", "off"]
        control.goto(60_000)
        before = control.position()
        assert {control.read_register(number, "MPIDR_EL1") & 0xFF for number in range(4)} == {0, 1, 2, 3}
        for number in range(4):
            for register in control.registers():
                control.read_register(number, register.name)
        assert control.position() == before
        stop = control.step(2)
        assert (stop.reason, stop.vcpu, control.current) == (Reason.STEP, 2, 2)
