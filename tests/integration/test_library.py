"""A machine as a library: opened with a guest, given devices, run, looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.arm_vcpu.observer import ExitRecord, SilentObserver
from arm_vcpu_cli.axvcpu.exit import MmioWrite, SystemDown
from arm_vcpu_cli.errors import GuestFileError, MachineFileError, MemoryMapError, UsageError
from arm_vcpu_cli.guest.image import GuestImage, Segment
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.endings import Ending
from tests.integration.command import guest, sample

RAM = 0x4000_0000
ENTRY = 0x4008_0000
DEVICE = 0x0A00_0000


def program(*words: int) -> GuestImage:
    """A guest of a few instructions."""
    data = b"".join(word.to_bytes(4, "little") for word in words)
    segment = Segment(ENTRY, data, len(data), True, True, True, "segment 0")
    return GuestImage(Path("guest.elf"), "elf", ENTRY, (segment,), SymbolTable())


POWER_OFF = (0x5280_0100, 0x72B0_8000, 0xD400_0002)
"""mov w0, #8; movk w0, #0x8400, lsl #16; hvc #0"""
ACCESSES = (
    0xD2A1_4000,  # mov x0, #0x0a000000
    0xB940_0401,  # ldr w1, [x0, #4]
    0x1100_0422,  # add w2, w1, #1
    0xB900_0802,  # str w2, [x0, #8]
    *POWER_OFF,
)


@pytest.fixture
def hello() -> Iterator[Machine]:
    with Machine.open(sample("hello")) as machine:
        yield machine


class Adder:
    """A device that answers 41, and keeps what is written."""

    def __init__(self) -> None:
        self.written: list[tuple[int, int, int]] = []

    def read(self, offset: int, width: int) -> int:
        return 41 if (offset, width) == (4, 4) else 0

    def write(self, offset: int, width: int, value: int) -> None:
        self.written.append((offset, width, value))


class Kinds(SilentObserver):
    def __init__(self) -> None:
        self.kinds: list[type] = []

    def exit(self, record: ExitRecord) -> None:
        self.kinds.append(type(record.reason))


def test_a_run_to_its_end(hello: Machine) -> None:
    result = hello.run(timeout=60)
    assert (result.ending, result.status, result.message) == (Ending.POWERED_OFF, 0, "the guest powered off")
    assert result.console.startswith(b"Hello from EL1!\n")
    assert result.console == hello.console
    assert result.exits > len(result.console)
    assert result.registers[0]["pc"] == hello.cpus[0].pc
    assert {"x0", "x30", "sp", "pc", "pstate"} <= set(result.registers[0])


def test_a_machine_that_is_closed() -> None:
    machine = Machine.open(sample("echo"))
    machine.expect("Type")
    assert machine.is_open
    for _ in range(2):
        machine.close()
        assert not machine.is_open
        assert machine.console == b"Type"
        for use in (machine.run, partial(machine.expect, "lines"), partial(machine.send, "x")):
            with pytest.raises(UsageError, match=r"^the machine is closed$"):
                use()


def test_the_status_that_a_guest_gives_itself() -> None:
    with Machine.open(str(sample("exit"))) as machine:
        result = machine.run(timeout=60)
    assert (result.ending, result.status) == (Ending.EXITED, 7)


def test_what_the_uart_receives() -> None:
    with Machine.open(sample("echo"), input=b"typed\n\x04") as machine:
        machine.run(timeout=60)
        assert b"TYPED" in machine.console


@pytest.mark.parametrize("machine", [{"cpu": {"count": 3}}, None])
def test_a_machine_from_a_mapping_or_from_overrides(machine: dict[str, object] | None) -> None:
    overrides = {} if machine else {"cpus": 3}
    with Machine.open(sample("hello"), machine, **overrides) as opened:  # type: ignore[arg-type]
        opened.start()
        assert [cpu.number for cpu in opened.cpus] == [0, 1, 2]
        assert [cpu.activity for cpu in opened.cpus] == [Activity.RUNNING, Activity.OFF, Activity.OFF]


def test_a_machine_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text('[memory.ram]\nsize = "64MiB"\n')
    with Machine.open(sample("hello"), file, memory_size=128 << 20) as machine:
        assert machine.read_memory(RAM + (128 << 20) - 4, 4) == bytes(4)
        with pytest.raises(MemoryMapError, match=r"^IPA 0x48000000 size 0x1 is not in the memory"):
            machine.read_memory(RAM + (128 << 20), 1)


def test_a_device_of_the_callers_and_what_an_observer_hears() -> None:
    device, observer = Adder(), Kinds()
    with Machine.open(program(*ACCESSES)) as machine:
        machine.attach(device, DEVICE, 0x1000, name="adder")
        machine.observe(observer)
        assert machine.run(timeout=60).status == 0
        assert machine.cpus[0].x(1) == 41
    assert device.written == [(8, 4, 42)]
    assert [kind for kind in observer.kinds if kind in (MmioWrite, SystemDown)] == [MmioWrite, SystemDown]


def test_registers_and_memory_between_two_runs() -> None:
    counts = (0x9100_0400, 0x17FF_FFFF)  # add x0, x0, #1; b .-4
    with Machine.open(program(*counts, *POWER_OFF)) as machine:
        stopped = machine.run(timeout=0.2)
        assert (stopped.ending, stopped.status) == (Ending.LIMIT, 124)
        assert stopped.message.startswith("stopped after 0.2 s at 0x4008000")
        cpu = machine.cpus[0]
        assert cpu.pc in (ENTRY, ENTRY + 4)
        cpu.set_x(5, 1 << 63)
        cpu.write("TPIDR_EL1", 0x1234)
        assert (cpu.x(5), cpu.read("tpidr_el1"), cpu.registers()["x5"]) == (1 << 63, 0x1234, 1 << 63)
        # Also where the guest has executed already: a NOP in the place of the branch.
        machine.write_memory(ENTRY + 4, (0xD503_201F).to_bytes(4, "little"))
        assert machine.read_memory(ENTRY + 4, 4) == b"\x1f\x20\x03\xd5"
        assert machine.run(timeout=60).ending is Ending.POWERED_OFF


def test_a_console_of_the_callers() -> None:
    reader, writer = os.pipe()
    try:
        with Machine.open(sample("hello"), console=Console(writer, None)) as machine:
            result = machine.run(timeout=60)
            assert (result.status, result.console, machine.console) == (0, b"", b"")
        assert os.read(reader, 1 << 12).startswith(b"Hello from EL1!\n")
    finally:
        os.close(reader)
        os.close(writer)


def test_a_shared_interrupt_of_a_device(hello: Machine) -> None:
    line = hello.irq(40)
    line(True)
    distributor = hello.parts.bus.find(0x0800_0000)
    assert distributor is not None
    assert distributor.device.read(0x204, 4) == 1 << 40 - 32  # GICD_ISPENDR1
    for intid in (31, 5000):
        with pytest.raises(UsageError, match=str(intid)):
            hello.irq(intid)


def test_what_is_refused(hello: Machine, tmp_path: Path) -> None:
    cpu = hello.cpus[0]
    with pytest.raises(UsageError, match=r"^x31: expected a general-purpose register"):
        cpu.x(31)
    with pytest.raises(UsageError, match=r"^x1: expected 64 bits, found 0x10000000000000000$"):
        cpu.set_x(1, 1 << 64)
    with pytest.raises(UsageError, match=r"^NOPE_EL1: no such system register$"):
        cpu.read("NOPE_EL1")
    with pytest.raises(UsageError, match=r"^object is no device: expected read"):
        hello.attach(object(), DEVICE, 0x1000)  # type: ignore[arg-type]
    with pytest.raises(MemoryMapError, match=r"overlaps memory\.ram$"):
        hello.attach(Adder(), RAM, 0x1000)
    with pytest.raises(MemoryMapError, match="uart0"):
        hello.attach(Adder(), 0x0900_0000, 0x1000)
    with pytest.raises(UsageError, match=r"^guest: expected the path of a file, found int$"):
        Machine.open(5)  # type: ignore[arg-type]
    with pytest.raises(MachineFileError, match=r"cpu\.modle"):
        Machine.open(sample("hello"), {"cpu": {"modle": "max"}})
    with pytest.raises(GuestFileError, match="cannot be read"):
        Machine.open(tmp_path / "missing.elf")


def test_an_observer_comes_before_the_first_run(hello: Machine) -> None:
    hello.start()
    with pytest.raises(UsageError, match="before the first run"):
        hello.observe(Kinds())


def test_a_description_takes_no_overrides(hello: Machine) -> None:
    with pytest.raises(UsageError, match="a description takes no overrides"):
        Machine.open(sample("hello"), hello.parts.description, cpus=2)
    with Machine.open(load_guest(str(sample("hello"))), hello.parts.description) as second:
        assert second.run(timeout=60).status == 0


def test_a_register_that_the_core_lacks(hello: Machine) -> None:
    hello.start()
    for access in (lambda: hello.cpus[0].read("ICC_IAR1_EL1"), lambda: hello.cpus[0].write("ICC_IAR1_EL1", 0)):
        with pytest.raises(UsageError, match="ICC_IAR1_EL1: the core has no such register"):
            access()
    assert hello.cpus[0].read("MIDR_EL1") == 0x410F_D083


def test_a_limit_counts_again_with_each_run() -> None:
    with Machine.open(guest("spin")) as machine:
        for _ in range(2):
            assert machine.run(timeout=0.2).message.startswith("stopped after 0.2 s")


def test_a_register_of_a_closed_machine_is_refused() -> None:
    with Machine.open(sample("hello")) as machine:
        machine.run()
        assert machine.cpus[0].read("VBAR_EL1") >= 0
    for access in (lambda: machine.cpus[0].read("VBAR_EL1"), lambda: machine.cpus[0].write("VBAR_EL1", 0)):
        with pytest.raises(UsageError, match="the machine is closed"):
            access()
