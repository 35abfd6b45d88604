"""The device tree of a machine: what a kernel is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from arm_vcpu_cli.board.devicetree import BootParameters, build_device_tree
from arm_vcpu_cli.board.loading import load_machine
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
    assert uart.cells("interrupts") == [0, 1, 4]  # SPI 1, INTID 33, level-sensitive and active high
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
    root = built(tmp_path, "[device]\nuart0.enabled = false\nrtc.enabled = false\n")[1].root
    assert root.at("/chosen").properties == {}
    assert {"aliases", "apb-pclk"}.isdisjoint(root.children)


def test_the_interrupt_controller_is_the_parent_of_all_interrupts(tmp_path: Path) -> None:
    root = built(tmp_path, "")[1].root
    gic = root.at("/intc@8000000")
    assert gic.text("compatible") == "arm,gic-v3"
    assert gic.cells("reg") == [0, 0x0800_0000, 0, 0x1_0000, 0, 0x080A_0000, 0, 0xF6_0000]
    assert (gic.cells("#interrupt-cells"), gic.properties["interrupt-controller"]) == ([3], b"")
    assert root.cells("interrupt-parent") == gic.cells("phandle")
    assert gic.cells("phandle") != root.at("/apb-pclk").cells("phandle")


def test_the_timers_are_the_private_interrupts_that_every_armv8_board_has(tmp_path: Path) -> None:
    timer = built(tmp_path, "")[1].root.at("/timer")
    assert timer.text("compatible") == "arm,armv8-timer"
    # Secure physical 29, non-secure physical 30, virtual 27, hypervisor 26; PPIs count from INTID 16.
    assert timer.cells("interrupts") == [1, 29 - 16, 4, 1, 30 - 16, 4, 1, 27 - 16, 4, 1, 26 - 16, 4]
    assert timer.properties["always-on"] == b""


def test_a_real_time_clock_is_announced(tmp_path: Path) -> None:
    root = built(tmp_path, "[device.uart0]\nenabled = false\n")[1].root
    rtc = root.at("/pl031@9010000")
    assert rtc.texts("compatible") == ["arm,pl031", "arm,primecell"]
    assert rtc.cells("reg") == [0, 0x0901_0000, 0, 0x1000]
    assert rtc.cells("interrupts") == [0, 34 - 32, 4]
    assert rtc.cells("clocks") == root.at("/apb-pclk").cells("phandle")
    assert rtc.texts("clock-names") == ["apb_pclk"]


def test_without_an_interrupt_controller_there_are_no_interrupts(tmp_path: Path) -> None:
    root = built(tmp_path, "[device.gic]\nenabled = false\n")[1].root
    assert "interrupt-parent" not in root.properties
    assert {"timer", "intc@8000000"}.isdisjoint(root.children)
    assert all("interrupts" not in node.properties for node in root.children.values())


def test_a_device_without_an_interrupt_has_none(tmp_path: Path) -> None:
    assert "interrupts" not in built(tmp_path, RICH)[1].root.at("/pl011@a000000").properties


def test_initrd_and_seeds_reach_chosen() -> None:
    parameters = BootParameters(initrd=(0x1_4800_0000, 0x1_4800_1234), rng_seed=bytes(range(64)), kaslr_seed=b"k" * 8)
    chosen = read_blob(build_device_tree(load_machine(None), parameters)).root.at("/chosen")
    assert chosen.cells("linux,initrd-start") == [1, 0x4800_0000]
    assert chosen.cells("linux,initrd-end") == [1, 0x4800_1234]
    assert chosen.properties["rng-seed"] == bytes(range(64))
    assert chosen.properties["kaslr-seed"] == b"k" * 8


def test_without_them_chosen_does_not_name_them() -> None:
    assert set(read_blob(build_device_tree(load_machine(None))).root.at("/chosen").properties) == {"stdout-path"}


def test_the_size_does_not_depend_on_where_the_initrd_is() -> None:
    machine = load_machine(None)
    blobs = [build_device_tree(machine, BootParameters(initrd=where)) for where in ((0, 0), (1 << 40, (1 << 40) + 1))]
    assert len(blobs[0]) == len(blobs[1])


@pytest.mark.parametrize("text", ["", RICH, "[device.gic]\nenabled = false\n"])
def test_the_device_tree_compiler_accepts_it_without_a_warning(tmp_path: Path, text: str) -> None:
    dtc = require_program("dtc")
    machine = tmp_path / "board.toml"
    machine.write_text(text, encoding="utf-8")
    parameters = BootParameters(initrd=(0x4800_0000, 0x4800_1000), rng_seed=bytes(64), kaslr_seed=bytes(8))
    data = build_device_tree(load_machine(machine), parameters)
    done = subprocess.run([dtc, "-I", "dtb", "-O", "dts"], input=data, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"memory@40000000 {" in done.stdout
