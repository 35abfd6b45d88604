"""The device tree of a machine: what a kernel is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from arm_vcpu_cli.machine.devicetree import build_device_tree
from arm_vcpu_cli.machine.loading import load_machine
from tests.support.tools import require_program

from .fdt_reader import Blob, read_blob

RICH = """
[cpu]
model = "cortex-a53"
mpidr = 0x1_0000_0102
[memory.rom]
base = 0
size = "64K"
permissions = "rx"
[memory.high]
base = 0x2_0000_0000
size = "8GiB"
permissions = "rw"
[device.uart1]
type = "pl011"
base = 0x0a00_0000
[device.stub]
type = "zero"
base = 0x0b00_0000
[boot]
bootargs = "console=ttyAMA0 name=\\"\u00fc\\""
[smc]
conduit = "smc"
"""


def built(directory: Path, text: str) -> tuple[bytes, Blob]:
    path = directory / "b\u00f6ard.toml"
    path.write_text(text, encoding="utf-8")
    blob = build_device_tree(load_machine(path))
    return blob, read_blob(blob)


def test_the_root_says_how_wide_addresses_are_and_what_the_machine_is(tmp_path: Path) -> None:
    _, blob = built(tmp_path, "")
    assert blob.root.cells("#address-cells") == blob.root.cells("#size-cells") == [2]
    assert blob.root.text("compatible") == "linux,dummy-virt"
    assert blob.root.text("model") == "armvcpu b?ard"
    assert blob.reserved == []


def test_writable_memory_is_announced_and_rom_is_not(tmp_path: Path) -> None:
    _, blob = built(tmp_path, RICH)
    memory = {name: node for name, node in blob.root.children.items() if name.startswith("memory@")}
    assert list(memory) == ["memory@40000000", "memory@200000000"]
    assert memory["memory@40000000"].cells("reg") == [0, 0x4000_0000, 0, 0x2000_0000]
    assert memory["memory@200000000"].cells("reg") == [2, 0, 2, 0]
    assert all(node.text("device_type") == "memory" for node in memory.values())


@pytest.mark.parametrize(("conduit", "text"), [("hvc", ""), ("smc", RICH)])
def test_psci_is_called_by_the_conduit_of_the_machine(tmp_path: Path, conduit: str, text: str) -> None:
    psci = built(tmp_path, text)[1].root.at("/psci")
    assert psci.text("method") == conduit
    assert psci.texts("compatible") == ["arm,psci-1.0", "arm,psci-0.2"]


def test_the_cpu_is_named_by_its_affinity(tmp_path: Path) -> None:
    _, blob = built(tmp_path, "[cpu]\nmodel = 'max'\nmpidr = 0x102\n")
    cpus = blob.root.at("/cpus")
    cpu = cpus.at("/cpu@102")
    assert (cpus.cells("#address-cells"), cpus.cells("#size-cells")) == ([1], [0])
    assert (cpu.cells("reg"), cpu.text("device_type"), cpu.text("enable-method")) == ([0x102], "cpu", "psci")
    assert cpu.text("compatible") == "arm,armv8"
    assert blob.boot_cpu == 0x102


def test_aff3_takes_a_cell_of_its_own(tmp_path: Path) -> None:
    cpus = built(tmp_path, RICH)[1].root.at("/cpus")
    assert cpus.cells("#address-cells") == [2]
    assert cpus.at("/cpu@100000102").cells("reg") == [1, 0x102]
    assert cpus.at("/cpu@100000102").text("compatible") == "arm,cortex-a53"


def test_a_uart_has_its_clock_and_is_the_console(tmp_path: Path) -> None:
    root = built(tmp_path, "")[1].root
    uart, clock = root.at("/pl011@9000000"), root.at("/apb-pclk")
    assert uart.texts("compatible") == ["arm,pl011", "arm,primecell"]
    assert uart.cells("reg") == [0, 0x0900_0000, 0, 0x1000]
    assert uart.texts("clock-names") == ["uartclk", "apb_pclk"]
    assert uart.cells("clocks") == clock.cells("phandle") * 2
    assert (clock.cells("clock-frequency"), clock.cells("#clock-cells")) == ([24_000_000], [0])
    assert "interrupts" not in uart.properties
    assert root.at("/aliases").text("serial0") == "/pl011@9000000"
    assert root.at("/chosen").text("stdout-path") == "/pl011@9000000"
    assert "bootargs" not in root.at("/chosen").properties


def test_further_uarts_get_further_aliases_and_devices_without_a_binding_are_left_out(tmp_path: Path) -> None:
    root = built(tmp_path, RICH)[1].root
    assert root.at("/aliases").properties == {"serial0": b"/pl011@9000000\0", "serial1": b"/pl011@a000000\0"}
    assert not [name for name in root.children if "b000000" in name]


def test_the_boot_arguments_reach_chosen(tmp_path: Path) -> None:
    assert built(tmp_path, RICH)[1].root.at("/chosen").text("bootargs") == 'console=ttyAMA0 name="\u00fc"'


def test_a_machine_without_a_uart_has_no_console(tmp_path: Path) -> None:
    root = built(tmp_path, "[device.uart0]\nenabled = false\n")[1].root
    assert root.at("/chosen").properties == {}
    assert {"aliases", "apb-pclk"}.isdisjoint(root.children)


@pytest.mark.parametrize("text", ["", RICH])
def test_the_device_tree_compiler_accepts_it_without_a_warning(tmp_path: Path, text: str) -> None:
    dtc = require_program("dtc")
    data, _ = built(tmp_path, text)
    done = subprocess.run([dtc, "-I", "dtb", "-O", "dts"], input=data, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"memory@40000000 {" in done.stdout
