"""Devices that are passed through: their mapping in stage 2, and the effects of an access."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.translation.memtype import MemoryType
from arm_vcpu_cli.arm_vcpu.stage2 import Stage2AddressSpace
from arm_vcpu_cli.board.description import DeviceDescription
from arm_vcpu_cli.devices.regions import Scratch
from arm_vcpu_cli.engine.port import MmioWindow
from arm_vcpu_cli.host.machine_host import Host
from arm_vcpu_cli.vm.passthrough import PassedThrough, pass_through

BASE, SIZE = 0x0900_0000, 0x2000
PADDR = 0x8_0000_0000


class OneHost(Host):
    """A host that keeps the devices it is given, without an engine."""

    def __init__(self) -> None:
        super().__init__(cpus=0)
        self.devices: list[tuple[int, MmioWindow]] = []

    def add_device(self, size: int, device: MmioWindow) -> int:
        self.devices.append((size, device))
        return PADDR


class Log:
    """A device and who is called after it, in one log."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def read(self, offset: int, width: int) -> int:
        self.calls.append(("read", offset, width))
        return 0x5A

    def write(self, offset: int, width: int, value: int) -> None:
        self.calls.append(("write", offset, width, value))

    def settle(self) -> None:
        self.calls.append(("settle",))


def passed_through(log: Log) -> tuple[OneHost, Stage2AddressSpace]:
    host = OneHost()
    stage2 = Stage2AddressSpace(host, pa_bits=44)
    description = DeviceDescription("uart0", "pl011", BASE, SIZE, None, passthrough=True)
    pass_through(host, stage2, description, log, log.settle)
    return host, stage2


@pytest.mark.parametrize("offset", [0, 4, 0xFFF, 0x1000, SIZE - 1])
def test_stage_2_maps_its_window_to_the_device(offset: int) -> None:
    host, stage2 = passed_through(Log())
    assert stage2.translate(BASE + offset).output == PADDR + offset
    assert [size for size, _ in host.devices] == [SIZE]
    host.close()


@pytest.mark.parametrize("ipa", [BASE - 1, BASE + SIZE])
def test_nothing_beside_it_is_mapped(ipa: int) -> None:
    host, stage2 = passed_through(Log())
    assert stage2.translate(ipa).output is None
    host.close()


def test_it_is_device_memory_that_cannot_be_executed() -> None:
    host, stage2 = passed_through(Log())
    attributes = stage2.translate(BASE).attributes
    assert attributes is not None
    assert (attributes.read, attributes.write, attributes.execute) == (True, True, False)
    assert attributes.memory is MemoryType.DEVICE_nGnRE
    host.close()


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_an_access_reaches_the_device_and_its_interrupt_is_looked_at_after_it(width: int) -> None:
    log = Log()
    host, _ = passed_through(log)
    ((_, window),) = host.devices
    assert window.read(0x18, width) == 0x5A
    window.write(0x1FF8, width, 0xAB)
    assert log.calls == [("read", 0x18, width), ("settle",), ("write", 0x1FF8, width, 0xAB), ("settle",)]
    host.close()


def test_the_device_behaves_as_it_does_behind_a_trap() -> None:
    host = OneHost()
    stage2 = Stage2AddressSpace(host, pa_bits=44)
    device = Scratch(SIZE)
    pass_through(host, stage2, DeviceDescription("ram", "ram", BASE, SIZE, None, True), device, lambda: None)
    ((_, window),) = host.devices
    window.write(8, 4, 0x1234_5678)
    assert window.read(8, 8) == 0x1234_5678 == device.read(8, 8)
    host.close()


class Watcher:
    """Writes down what it is told, in the log of the device."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def __call__(self, device: PassedThrough, is_write: bool, offset: int, width: int, value: int) -> None:
        self.log.calls.append(("seen", device.name, device.base, is_write, offset, width, value))


def test_who_watches_is_told_of_each_access_with_its_value_before_anything_comes_of_it() -> None:
    log = Log()
    window = PassedThrough("uart0", BASE, log, log.settle)
    window.observer = Watcher(log)
    assert window.read(0x18, 2) == 0x5A
    window.write(4, 4, 0xAB)
    assert log.calls == [
        ("read", 0x18, 2),
        ("seen", "uart0", BASE, False, 0x18, 2, 0x5A),
        ("settle",),
        ("seen", "uart0", BASE, True, 4, 4, 0xAB),
        ("write", 4, 4, 0xAB),
        ("settle",),
    ]


def test_what_is_mapped_is_what_can_be_watched() -> None:
    log = Log()
    host = OneHost()
    description = DeviceDescription("uart0", "pl011", BASE, SIZE, None, passthrough=True)
    window = pass_through(host, Stage2AddressSpace(host, pa_bits=44), description, log, log.settle)
    assert (window.name, window.base) == ("uart0", BASE)
    assert [device for _, device in host.devices] == [window]
    host.close()
