"""Names of CPUs."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.identification.midr import midr_name


@pytest.mark.parametrize(
    ("midr", "name"),
    [
        (0x410FD034, "Arm Cortex-A53 r0p4"),
        (0x411FD070, "Arm Cortex-A57 r1p0"),
        (0x410FD083, "Arm Cortex-A72 r0p3"),
        (0x413FD0C1, "Arm Neoverse N1 r3p1"),
        (0x410FEEE0, "Arm part 0xeee r0p0"),
        (0x610F0281, "Apple part 0x028 r0p1"),
        (0x000F0510, "implementer 0x00, part 0x051, r0p0"),
    ],
)
def test_a_cpu_is_named_by_its_midr(midr: int, name: str) -> None:
    assert midr_name(midr) == name


def test_a_part_number_means_arms_design_only_under_arms_implementer_code() -> None:
    assert midr_name(0x510FD083) == "Qualcomm part 0xd08 r0p3"
