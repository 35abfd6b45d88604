"""The effect of the guest's options on the machine that a file describes."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from arm_vcpu_cli.board.description import ScheduleDescription
from arm_vcpu_cli.cli.described import load_description
from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.run import command
from arm_vcpu_cli.errors import CombinedError, MachineFileError, UsageError
from tests.integration.command import sample

FILE = "[cpu]\ncount = 2\nphys_cpus = 2\n[schedule]\nseed = 3\n[boot]\nreboot = true\n"


def parsed(*arguments: str) -> GuestOptions:
    context = command.make_context("run", [*arguments, str(sample("hello"))])
    assert isinstance(context, click.Context)
    return GuestOptions(**context.params)


def test_all_of_them_reach_the_description(tmp_path: Path) -> None:
    machine = tmp_path / "board.toml"
    machine.write_text(FILE)
    words = "--smp 8 --gic 2 --phys-cpus 4 --schedule 0xffff_ffff_ffff_ffff --memory 64M --append quiet"
    description, _ = parsed("-m", str(machine), *words.split()).load()
    assert (description.cpu.count, description.cpu.phys_cpus, description.cpu.phys_cpu_sets) == (8, 4, (None,) * 8)
    assert description.gic is not None and description.gic.version == 2
    assert description.schedule == ScheduleDescription((1 << 64) - 1, 20_000)
    assert (description.ram.size, description.boot.bootargs) == (64 << 20, "quiet")
    assert description.boot.reboot is True


def test_what_they_do_not_say_is_left_to_the_file(tmp_path: Path) -> None:
    machine = tmp_path / "board.toml"
    machine.write_text(FILE)
    description, _ = parsed("-m", str(machine)).load()
    assert (description.cpu.count, description.cpu.phys_cpus, description.schedule.seed) == (2, 2, 3)
    assert description.boot.reboot is True
    assert parsed().load()[0].boot.reboot is False
    assert parsed("--reboot").load()[0].boot.reboot is True


def test_the_first_option_that_brings_the_fault_is_the_one_to_blame(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--gic: cpu\.count: 9 CPUs, but device\.gic, a GICv2,"):
        load_description(nine(tmp_path), {"gic": 2, "bootargs": "quiet"})
    with pytest.raises(UsageError, match=r"^--append: expected at most 2047 bytes"):
        load_description(nine(tmp_path), {"cpus": 3, "gic": 2, "bootargs": "x" * 3000})


def test_a_fault_of_the_file_is_the_files(tmp_path: Path) -> None:
    path = nine(tmp_path)
    path.write_text(path.read_text() + "[limits]\ntimeout = -1\n")
    with pytest.raises(MachineFileError, match=r"limits\.timeout"):
        load_description(path, {"cpus": 3, "gic": 2, "memory_size": 1 << 20})


def test_all_faults_are_told_first_those_of_the_file_then_those_of_options(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text('base = "none"\n[limits]\ntimeout = -1\n[boot]\ndtb = 1\n[memory.ram]\nbase = 0\nsize = "1G"\n')
    with pytest.raises(CombinedError) as caught:
        load_description(
            path, {"cpus": 3, "bootargs": "x" * 3000, "gic": 2, "memory_size": 3}, [tmp_path / "none", path]
        )
    assert [line.rpartition("/")[2].partition(": ")[0] for line in str(caught.value).splitlines()] == [
        "board.toml:3",
        "board.toml:5",
        "--gic",
        "--memory",
        "--append",
        "none",
    ]
    first, *_ = caught.value.errors
    assert isinstance(first, MachineFileError)
    assert [(each.line, each.key) for each in (first, *first.others)] == [(3, "limits.timeout"), (5, "boot.dtb")]


def test_one_fault_of_an_option_is_the_errors_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--append: expected at most 2047 bytes"):
        load_description(None, {"bootargs": "x" * 3000}, [tmp_path / "none"])


def test_the_fault_that_a_file_and_an_option_share_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text("[limits]\ntimeout = -1\n")
    with pytest.raises(MachineFileError) as caught:
        load_description(path, {"cpus": 3}, [path, path])
    assert not caught.value.others


def nine(directory: Path) -> Path:
    path = directory / "nine.toml"
    path.write_text("[cpu]\ncount = 9\n")
    return path
