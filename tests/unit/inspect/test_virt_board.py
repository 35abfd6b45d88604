"""The devices of QEMU's virt board that this machine lacks."""

from __future__ import annotations

from itertools import pairwise

import pytest

from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.loading import load_machine, machine_from_document
from arm_vcpu_cli.inspect.postmortem.place_advice import nothing_there
from arm_vcpu_cli.inspect.virt_board import VIRT_DEVICES


def advice(machine: MachineDescription, ipa: int) -> tuple[str, str]:
    found = nothing_there(machine, ipa, Access.READ)
    assert found is not None
    return found.meaning, found.step


@pytest.mark.parametrize(
    ("ipa", "name", "step"),
    [
        (0x0801_000C, "the CPU interface of a GICv2", "--gic 2 gives the machine a GICv2"),
        (0x0902_0008, "fw_cfg", "--append, --initrd and --dtb"),
        (0x0903_0000, "the PL061 (GPIO)", "armvcpu does not model it"),
        (0x3F00_0000, "the configuration space of PCIe", "armvcpu does not model it"),
        (0x0904_0018, "the second PL011", '[device.uart1] with type = "pl011"'),
    ],
)
def test_a_device_of_the_virt_board_is_named(ipa: int, name: str, step: str) -> None:
    meaning, said = advice(load_machine(None), ipa)
    assert meaning == f"QEMU's virt board has {name} at IPA {ipa:#x}; this machine does not."
    assert step in said


def test_the_redistributors_are_named_on_a_machine_with_a_gicv2() -> None:
    assert advice(load_machine(None, gic=2), 0x080A_0008)[1] == "--gic 3 gives the machine a GICv3"


def test_a_machine_with_another_layout_is_another_board() -> None:
    machine = machine_from_document(
        {"base": "none", "memory": {"ram": {"base": 0x8000_0000, "size": "64M", "permissions": "rwx"}}}, None
    )
    assert "a guest for another board" in advice(machine, 0x0902_0000)[1]
    assert "a guest for another board" in advice(load_machine(None), 0x0B00_0000)[1]


def test_the_places_do_not_overlap() -> None:
    places = sorted((device.base, device.end) for device in VIRT_DEVICES)
    assert all(end <= base for (_, end), (base, _) in pairwise(places))
