"""Machine descriptions of several CPUs, and of the interrupt controller that they share."""

from __future__ import annotations

from pathlib import Path

import pytest

from arm_vcpu_cli.board.description import GicDescription, MachineDescription, ScheduleDescription, Window
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.errors import MachineFileError

from .test_description import RAM_ONLY, load, refusal

GICV2 = "[device.gic]\ntype = 'gicv2'\n"
VIRT_GICV2 = GicDescription("gic", 2, Window(0x0800_0000, 0x1_0000), cpu_interface=Window(0x0801_0000, 0x1_0000))
VIRT_GICV3 = GicDescription("gic", 3, Window(0x0800_0000, 0x1_0000), redistributors=Window(0x080A_0000, 0xF6_0000))


def cpus(directory: Path, text: str) -> MachineDescription:
    return load(directory, f"[cpu]\n{text}\n")


def test_a_machine_has_one_cpu_that_runs_anywhere() -> None:
    cpu = load_machine(None).cpu
    assert (cpu.count, cpu.affinities, cpu.mpidr, cpu.clusters) == (1, (0,), 0, ())
    assert (cpu.phys_cpus, cpu.phys_cpu_sets) == (1, (None,))


@pytest.mark.parametrize("extra", ["", "[device.gic]\nenabled = false\n"])
def test_sixteen_cpus_share_an_aff1_as_on_the_virt_board(tmp_path: Path, extra: str) -> None:
    affinities = load(tmp_path, f"[cpu]\ncount = 35\n{extra}").cpu.affinities
    assert affinities[:17] == (*range(16), 0x100)
    assert affinities[31:] == (0x10F, 0x200, 0x201, 0x202)


def test_eight_cpus_with_a_gicv2(tmp_path: Path) -> None:
    assert load(tmp_path, f"[cpu]\ncount = 8\n{GICV2}").cpu.affinities == tuple(range(8))


@pytest.mark.parametrize("count", ["", "count = 6\n"])
def test_a_cluster_is_an_aff1(tmp_path: Path, count: str) -> None:
    cpu = cpus(tmp_path, f"{count}clusters = [4, 2]").cpu
    assert cpu.affinities == (0, 1, 2, 3, 0x100, 0x101)
    assert (cpu.count, cpu.clusters) == (6, (4, 2))


@pytest.mark.parametrize("count", ["", "count = 3\n"])
def test_affinities_may_be_given_one_by_one(tmp_path: Path, count: str) -> None:
    cpu = cpus(tmp_path, f"{count}mpidr = [0x100, 0x1_0000_0000, 0]").cpu
    assert (cpu.affinities, cpu.mpidr) == ((0x100, 0x1_0000_0000, 0), 0x100)


def test_one_cpu_may_have_one_affinity(tmp_path: Path) -> None:
    assert cpus(tmp_path, "count = 1\nmpidr = 0x203").cpu.affinities == (0x203,)
    assert cpus(tmp_path, "mpidr = [0x203]").cpu.affinities == (0x203,)


def test_the_physical_cpus_of_each_are_a_mask_or_their_numbers(tmp_path: Path) -> None:
    cpu = cpus(tmp_path, "count = 3\nphys_cpus = 4\nphys_cpu_sets = [0b0011, [3, 1], 8]").cpu
    assert (cpu.phys_cpus, cpu.phys_cpu_sets) == (4, (0b0011, 0b1010, 0b1000))
    assert cpus(tmp_path, "count = 2\nphys_cpus = 8").cpu.phys_cpu_sets == (None, None)


def test_the_preset_with_the_other_type_has_the_virt_boards_gicv2(tmp_path: Path) -> None:
    machine = load(tmp_path, GICV2)
    assert machine.gic == VIRT_GICV2
    assert VIRT_GICV2.windows == (Window(0x0800_0000, 0x1_0000), Window(0x0801_0000, 0x1_0000))
    assert (machine.has_gic_registers, load_machine(None).has_gic_registers) == (False, True)


def test_a_gicv2_goes_where_the_file_says(tmp_path: Path) -> None:
    text = f"{RAM_ONLY}[device.intc]\ntype = 'gicv2'\nbase = 0x1000\ncpu_interface_base = 0x2000\n"
    windows = Window(0x1000, 0x1000), Window(0x2000, 0x2000)
    assert load(tmp_path, text).gic == GicDescription("intc", 2, windows[0], cpu_interface=windows[1])
    sizes = "size = '8K'\ncpu_interface_base = 0x80_0000_0000\ncpu_interface_size = '64K'\n"
    machine = load(tmp_path, GICV2 + sizes)
    windows = Window(0x0800_0000, 0x2000), Window(0x80_0000_0000, 0x1_0000)
    assert machine.gic == GicDescription("gic", 2, windows[0], cpu_interface=windows[1])
    assert machine.address_bits == 40


def test_a_device_that_gets_another_type_loses_the_keys_that_this_one_lacks(tmp_path: Path) -> None:
    machine = load(tmp_path, "[device.gic]\ntype = 'zero'\nsize = 0x2000\n[device.uart0]\ntype = 'ram'\n")
    assert machine.gic is None
    assert [(device.name, device.type, device.size, device.intid) for device in machine.devices[:2]] == [
        ("gic", "zero", 0x2000, None),
        ("uart0", "ram", 0x1000, 33),
    ]


def test_a_schedule_has_a_seed_and_turns(tmp_path: Path) -> None:
    assert load_machine(None).schedule == ScheduleDescription(None, 20_000)
    text = "[schedule]\nseed = 0xffff_ffff_ffff_ffff\nquantum_ns = 1000\n"
    assert load(tmp_path, text).schedule == ScheduleDescription((1 << 64) - 1, 1000)


def test_a_reset_starts_the_guest_anew_if_the_file_says_so(tmp_path: Path) -> None:
    assert load_machine(None).boot.reboot is False
    assert load(tmp_path, "[boot]\nreboot = true\n").boot.reboot is True


@pytest.mark.parametrize(
    ("text", "key", "part"),
    [
        ("[cpu]\ncount = 0", "cpu.count", "from 1 to 64, found 0"),
        ("[cpu]\ncount = 65", "cpu.count", "from 1 to 64, found 65"),
        ("[cpu]\ncount = true", "cpu.count", "found true"),
        ("[cpu]\ncount = [4]", "cpu.count", "found an array"),
        ("[cpu]\nclusters = 4", "cpu.clusters", "1 to 64 integers, found 4"),
        ("[cpu]\nclusters = []", "cpu.clusters", "found 0 of them"),
        ("[cpu]\nclusters = [4, 0]", "cpu.clusters", "from 1 to 64, found 0"),
        ("[cpu]\nclusters = [60, 5]", "cpu.clusters", "at most 64 CPUs, found 65"),
        ("[cpu]\nclusters = [2, 1]\ncount = 2", "cpu.count", "expected 3, the CPUs of cpu.clusters, found 2"),
        ("[cpu]\nclusters = [2]\nmpidr = [0, 1]", "cpu.mpidr", "cpu.clusters says the affinities already"),
        ("[cpu]\ncount = 2\nmpidr = 0", "cpu.mpidr", "an array of 2 integers, one for each CPU (cpu.count), found one"),
        ("[cpu]\ncount = 2\nmpidr = [0]", "cpu.count", "expected 1, the CPUs of cpu.mpidr, found 2"),
        ("[cpu]\nmpidr = []", "cpu.mpidr", "found 0 of them"),
        ("[cpu]\nmpidr = [0, 0x8000_0000]", "cpu.mpidr", "affinity fields only (mask 0xff00ffffff), found 0x8000_0000"),
        ("[cpu]\nmpidr = [0, 1, 0]", "cpu.mpidr", "0 is listed twice"),
        ("[cpu]\nmpidr = [0, 'x']", "cpu.mpidr", 'found the string "x"'),
        ("[cpu]\nphys_cpus = 0", "cpu.phys_cpus", "from 1 to 8, found 0"),
        ("[cpu]\nphys_cpus = 9", "cpu.phys_cpus", "found 9"),
        ("[cpu]\nphys_cpu_sets = 1", "cpu.phys_cpu_sets", "expected an array of 1 bit masks"),
        ("[cpu]\ncount = 2\nphys_cpu_sets = [1]", "cpu.phys_cpu_sets", "an array of 2 bit masks"),
        ("[cpu]\nphys_cpu_sets = [2]", "cpu.phys_cpu_sets", "from 1 to 0x1"),
        ("[cpu]\nphys_cpus = 2\nphys_cpu_sets = [0]", "cpu.phys_cpu_sets", "2 physical CPUs are there (cpu.phys_cpus)"),
        ("[cpu]\nphys_cpu_sets = [true]", "cpu.phys_cpu_sets", "found true"),
        ("[cpu]\nphys_cpus = 2\nphys_cpu_sets = [[2]]", "cpu.phys_cpu_sets", "from 0 to 1 (cpu.phys_cpus), found 2"),
        ("[cpu]\nphys_cpu_sets = [[false]]", "cpu.phys_cpu_sets", "found false"),
        ("[cpu]\nphys_cpu_sets = [[]]", "cpu.phys_cpu_sets", "needs a physical CPU"),
        (f"[cpu]\ncount = 9\n{GICV2}", "cpu.count", "9 CPUs, but device.gic, a GICv2, has room for 8"),
        (f"[cpu]\nclusters = [8, 1]\n{GICV2}", "cpu.clusters", "room for 8"),
        (f"[cpu]\nmpidr = [0, 1, 2, 3, 4, 5, 6, 7, 8]\n{GICV2}", "cpu.mpidr", "room for 8"),
        (
            "[cpu]\ncount = 3\n[device.gic]\nredistributor_size = '256K'",
            "cpu.count",
            "3 CPUs, but device.gic.redistributor_size has room for 2",
        ),
        (f"{GICV2}redistributor_base = 0", "device.gic.redistributor_base", 'type "gicv2" have no such key'),
        ("[device.gic]\ncpu_interface_base = 0", "device.gic.cpu_interface_base", 'type "gicv3" have no such key'),
        (f"{GICV2}intid = 40", "device.gic.intid", "have no such key"),
        (f"{GICV2}base = 0x0800_0800", "device.gic.base", "multiple of 4 KiB"),
        (f"{GICV2}size = '2K'", "device.gic.size", "from 4 KiB to 64 KiB"),
        (f"{GICV2}size = '128K'", "device.gic.size", "from 4 KiB to 64 KiB"),
        (f"{GICV2}cpu_interface_base = 0x0801_0800", "device.gic.cpu_interface_base", "multiple of 4 KiB"),
        (f"{GICV2}cpu_interface_size = '4K'", "device.gic.cpu_interface_size", "from 8 KiB to 64 KiB"),
        (f"{GICV2}cpu_interface_base = 0x0800_8000", "device.gic", "overlaps device.gic"),
        (f"{GICV2}[device.x]\ntype = 'zero'\nbase = 0x0801_1000", "device.x", "device.gic (0x8010000 to 0x801ffff)"),
        (f"{RAM_ONLY}[device.g]\ntype = 'gicv2'\nbase = 0", "device.g.cpu_interface_base", "missing"),
        (f"{GICV2}[el2]\npassthrough_interrupt = true", "el2.passthrough_interrupt", "need HCR_EL2.IMO"),
        ("[schedule]\nseed = -1", "schedule.seed", "found -1"),
        ("[schedule]\nseed = 0x1_0000_0000_0000_0000", "schedule.seed", "found 0x1_0000_0000_0000_0000"),
        ("[schedule]\nquantum_ns = 999", "schedule.quantum_ns", "from 1000 to 10000000, found 999"),
        ("[schedule]\nquantum_ns = 10_000_001", "schedule.quantum_ns", "from 1000 to 10000000, found 10_000_001"),
        ("[schedule]\nquantum = 1", "schedule.quantum", 'did you mean "quantum_ns"?'),
        ("[boot]\nreboot = 1", "boot.reboot", "expected true or false, found 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_key(tmp_path: Path, text: str, key: str, part: str) -> None:
    error = refusal(tmp_path, text)
    assert error.key == key
    assert part in error.message


def test_as_many_cpus_as_there_are_redistributors(tmp_path: Path) -> None:
    text = "[cpu]\ncount = {}\n[device.gic]\nredistributor_size = '256K'\n"
    assert load(tmp_path, text.format(2)).cpu.count == 2
    assert load(tmp_path, "[cpu]\ncount = 64\n").cpu.count == 64


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text("[cpu]\ncount = 2\nphys_cpus = 2\n[schedule]\nseed = 1\nquantum_ns = 5000\n")
    machine = load_machine(path, cpus=8, phys_cpus=4, gic=2, schedule=7, reboot=True)
    assert (machine.cpu.count, machine.cpu.phys_cpus, machine.gic) == (8, 4, VIRT_GICV2)
    assert (machine.schedule, machine.boot.reboot) == (ScheduleDescription(7, 5000), True)
    same = load_machine(path, cpus=None, phys_cpus=None, gic=None, schedule=None, reboot=None, bootargs=None)
    assert same == load_machine(path)


def test_another_interrupt_controller_comes_to_the_place_of_the_virt_boards(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(GICV2)
    assert load_machine(path, gic=3).gic == VIRT_GICV3
    assert load_machine(path, gic=2).gic == VIRT_GICV2
    text = "[device.intc]\ntype = 'gicv3'\nbase = 0x0800_0000\nredistributor_base = 0x080A_0000\n"
    path.write_text(RAM_ONLY + text)
    gic = load_machine(path, gic=2).gic
    assert gic is not None
    assert (gic.name, gic.windows) == ("intc", VIRT_GICV2.windows)


def test_the_version_that_the_machine_has_is_left_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text("[device.gic]\nredistributor_base = 0x2000_0000\nredistributor_size = '256K'\n")
    assert load_machine(path, gic=3) == load_machine(path)


@pytest.mark.parametrize(
    ("text", "key", "part"),
    [
        ("[device.gic]\nenabled = false\n", "device", "no interrupt controller to replace"),
        (RAM_ONLY, "device", "no interrupt controller to replace"),
        (
            "[device.gic]\nredistributor_base = 0x2000_0000\n",
            "device.gic",
            "(base = 0x8000000 and redistributor_base = 0x80a0000), and this one is elsewhere",
        ),
        ("[device.x]\ntype = 'zero'\nbase = 0x0801_1000\n", "device.x", "overlaps device.gic"),
        ("device = 1\n", "device", "expected a table"),
        ("[device]\ngic = 1\n", "device", "no interrupt controller to replace"),
        ("[device.gic]\ntype = [[1]]\n", "device", "no interrupt controller to replace"),
    ],
)
def test_an_interrupt_controller_that_cannot_be_replaced_is_refused(
    tmp_path: Path, text: str, key: str, part: str
) -> None:
    path = tmp_path / "board.toml"
    path.write_text(text)
    with pytest.raises(MachineFileError) as caught:
        load_machine(path, gic=2)
    assert caught.value.key == key
    assert part in caught.value.message
