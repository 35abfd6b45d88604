"""Arguments of a guest program, for a Linux kernel and for semihosting."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.guest_arguments import semihosting_command_line, with_kernel_arguments
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.record import replace
from tests.support.fake_machine import image

KERNEL = replace(image(), kind="linux")


def machine(bootargs: str, *arguments: str) -> MachineDescription:
    return load_machine(None, bootargs=bootargs, arguments=arguments)


@pytest.mark.parametrize(
    ("bootargs", "arguments", "expected"),
    [
        ("quiet", (), "quiet"),
        ("quiet", ("single", "-v"), "quiet -- single -v"),
        ("", ("single",), "-- single"),
        ("quiet -- first", ("second",), "quiet -- first second"),
        ("", ("two words", "", 'a "quote"'), """-- "two words" "" 'a "quote"'"""),
    ],
)
def test_a_kernel_passes_them_on_to_init(bootargs: str, arguments: tuple[str, ...], expected: str) -> None:
    assert with_kernel_arguments(machine(bootargs, *arguments), KERNEL).boot.bootargs == expected


def test_more_than_a_kernel_takes() -> None:
    with pytest.raises(UsageError, match="has 2054 bytes, more than 2047"):
        with_kernel_arguments(machine("x" * 2000, "y" * 50), KERNEL)


def test_no_other_guest_gets_them_in_its_device_tree() -> None:
    assert with_kernel_arguments(machine("quiet", "single"), image()).boot.bootargs == "quiet"


@pytest.mark.parametrize(
    ("bootargs", "arguments", "expected"),
    [
        ("", (), b"guest.elf"),
        ("quiet", (), b"guest.elf quiet"),
        ("quiet", ("one", "two words"), b'guest.elf one "two words"'),
    ],
)
def test_semihosting_gives_the_name_and_them(bootargs: str, arguments: tuple[str, ...], expected: bytes) -> None:
    assert semihosting_command_line(machine(bootargs, *arguments), image()) == expected
