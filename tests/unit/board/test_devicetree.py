"""The device tree of a machine, as a kernel sees it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from arm_vcpu_cli.board.devicetree import BootParameters, build_device_tree
from arm_vcpu_cli.board.loading import load_machine
from tests.support.tools import require_program

from .fdt_reader import Blob, read_blob

GUARD_SECONDS = 60
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


@pytest.mark.parametrize(("gic", "count"), [(2, 4), (2, 8), (3, 1), (3, 4), (3, 18)])
def test_each_cpu_has_a_node_and_is_switched_on_by_psci(gic: int, count: int) -> None:
    blob = read_blob(build_device_tree(load_machine(None, cpus=count, gic=gic)))
    cpus = blob.root.at("/cpus")
    affinities = [*range(min(count, 16)), *range(0x100, 0x100 + count - 16)]
    assert list(cpus.children) == [f"cpu@{affinity:x}" for affinity in affinities]
    assert [cpu.cells("reg") for cpu in cpus.children.values()] == [[affinity] for affinity in affinities]
    assert {cpu.text("enable-method") for cpu in cpus.children.values()} == {"psci"}
    assert {cpu.text("device_type") for cpu in cpus.children.values()} == {"cpu"}
    assert blob.boot_cpu == 0


def test_the_first_cpu_boots_whatever_its_affinity_is(tmp_path: Path) -> None:
    blob = built(tmp_path, "[cpu]\nmpidr = [0x100, 0x1_0000_0203, 0]\n")[1]
    cpus = blob.root.at("/cpus")
    assert blob.boot_cpu == 0x100
    assert cpus.cells("#address-cells") == [2]
    assert list(cpus.children) == ["cpu@100", "cpu@100000203", "cpu@0"]
    assert [cpu.cells("reg") for cpu in cpus.children.values()] == [[0, 0x100], [1, 0x203], [0, 0]]


def test_clusters_are_in_a_map_of_the_cpus(tmp_path: Path) -> None:
    root = built(tmp_path, "[cpu]\nclusters = [2, 1]\n")[1].root
    cpus = root.at("/cpus")
    assert list(cpus.children) == ["cpu-map", "cpu@0", "cpu@1", "cpu@100"]
    clusters = cpus.at("/cpu-map").children
    assert {name: list(cluster.children) for name, cluster in clusters.items()} == {
        "cluster0": ["core0", "core1"],
        "cluster1": ["core0"],
    }
    cores = [core.cells("cpu") for cluster in clusters.values() for core in cluster.children.values()]
    phandles = [cpus.at(f"/cpu@{affinity:x}").cells("phandle") for affinity in (0, 1, 0x100)]
    assert cores == phandles
    others = [root.at(path).cells("phandle") for path in ("/intc@8000000", "/apb-pclk")]
    assert len({phandle for (phandle,) in (*phandles, *others)}) == 5


def test_without_clusters_there_is_no_map() -> None:
    cpus = read_blob(build_device_tree(load_machine(None, cpus=20))).root.at("/cpus")
    assert len(cpus.children) == 20
    assert all("phandle" not in cpu.properties for cpu in cpus.children.values())


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


def test_a_gicv2_has_its_cpu_interface_behind_the_distributor() -> None:
    root = read_blob(build_device_tree(load_machine(None, gic=2))).root
    gic = root.at("/intc@8000000")
    assert gic.text("compatible") == "arm,cortex-a15-gic"
    assert gic.cells("reg") == [0, 0x0800_0000, 0, 0x1_0000, 0, 0x0801_0000, 0, 0x1_0000]
    assert (gic.cells("#interrupt-cells"), gic.properties["interrupt-controller"]) == ([3], b"")
    assert root.cells("interrupt-parent") == gic.cells("phandle")
    assert root.at("/pl011@9000000").cells("interrupts") == [0, 1, 4]


@pytest.mark.parametrize(("count", "mask"), [(1, 0x01), (4, 0x0F), (8, 0xFF)])
def test_with_a_gicv2_the_timers_say_whose_interrupts_they_are(count: int, mask: int) -> None:
    timer = read_blob(build_device_tree(load_machine(None, gic=2, cpus=count))).root.at("/timer")
    flags = mask << 8 | 4
    assert timer.cells("interrupts") == [1, 13, flags, 1, 14, flags, 1, 11, flags, 1, 10, flags]


@pytest.mark.parametrize("count", [1, 4, 8])
@pytest.mark.parametrize("gic", [2, 3])
def test_cpus_interrupt_controller_and_timer_are_those_of_qemus_virt_board(
    tmp_path: Path, gic: int, count: int
) -> None:
    qemu = require_program("qemu-system-aarch64")
    blob = tmp_path / "qemu.dtb"
    board = f"virt,gic-version={gic},dumpdtb={blob}"
    argv = [qemu, "-M", board, "-cpu", "cortex-a72", "-smp", str(count), "-display", "none", "-nodefaults"]
    subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=GUARD_SECONDS, check=True)
    # Its blob has room behind it.
    theirs = fdt_facts(blob.read_bytes(), tmp_path)
    assert fdt_facts(build_device_tree(load_machine(None, gic=gic, cpus=count)), tmp_path) == theirs
    assert len(theirs) == 2 * count + 4


def fdt_facts(blob: bytes, directory: Path) -> dict[str, str]:
    """What a guest relies on that also runs on QEMU's board, as the tool of the device tree compiler reads it."""
    fdtget = require_program("fdtget")
    path = directory / "read.dtb"
    path.write_bytes(blob)

    def get(*arguments: str) -> str:
        return subprocess.run(
            [fdtget, *arguments], capture_output=True, timeout=GUARD_SECONDS, check=True, text=True
        ).stdout.strip()

    cpus = [name for name in get("-l", str(path), "/cpus").split() if name.startswith("cpu@")]
    facts = {f"{cpu} reg": get("-t", "x", str(path), f"/cpus/{cpu}", "reg") for cpu in sorted(cpus)}
    facts |= {f"{cpu} compatible": get(str(path), f"/cpus/{cpu}", "compatible") for cpu in sorted(cpus)}
    facts["intc"] = get(str(path), "/intc@8000000", "compatible")
    facts["intc reg"] = get("-t", "x", str(path), "/intc@8000000", "reg")
    facts["timer"] = get("-t", "x", str(path), "/timer", "interrupts")
    facts["uart"] = get("-t", "x", str(path), "/pl011@9000000", "interrupts")
    return facts


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


@pytest.mark.parametrize(
    "text",
    [
        "",
        RICH,
        "[device.gic]\nenabled = false\n",
        "[cpu]\nclusters = [4, 2]\n",
        "[cpu]\ncount = 64\n",
        "[cpu]\nmpidr = [0, 0x1_0000_0000]\n",
        "[cpu]\ncount = 4\n[device.gic]\ntype = 'gicv2'\n",
    ],
)
def test_the_device_tree_compiler_accepts_it_without_a_warning(tmp_path: Path, text: str) -> None:
    dtc = require_program("dtc")
    machine = tmp_path / "board.toml"
    machine.write_text(text, encoding="utf-8")
    parameters = BootParameters(initrd=(0x4800_0000, 0x4800_1000), rng_seed=bytes(64), kaslr_seed=bytes(8))
    data = build_device_tree(load_machine(machine), parameters)
    done = subprocess.run([dtc, "-I", "dtb", "-O", "dts"], input=data, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"memory@40000000 {" in done.stdout
