"""The registers of a GICv2 by name, and the meaning of their values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.devices.naming import device_kind, meaning, name_access

from .bench import (
    AEOIR,
    CTLR,
    DIR,
    EOIR,
    GICC_IIDR,
    GICD_CTLR,
    GICD_TYPER,
    IAR,
    IPRIORITYR,
    ISENABLER,
    ITARGETSR,
    PMR,
    SGIR,
    SPENDSGIR,
    Bench,
    sgi,
)

BENCH = Bench(2)
GICD = BENCH.gic.distributor(1)
GICC = BENCH.gic.cpu_interface(1)


def test_the_kinds() -> None:
    assert device_kind(GICD) == "gicv2-distributor"
    assert device_kind(GICC) == "gicv2-cpu-interface"


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (0x000, "CTLR"),
        (0x004, "TYPER"),
        (0x008, "IIDR"),
        (0x00C, ""),
        (0x080, "IGROUPR0"),
        (0x104, "ISENABLER1"),
        (0x184, "ICENABLER1"),
        (0x204, "ISPENDR1"),
        (0x284, "ICPENDR1"),
        (0x304, "ISACTIVER1"),
        (0x3FC, "ICACTIVER31"),
        (0x420, "IPRIORITYR8"),
        (0x7FC, ""),
        (0x820, "ITARGETSR8"),
        (0xC08, "ICFGR2"),
        (0xE04, "NSACR1"),
        (0xF00, "SGIR"),
        (0xF04, ""),
        (0xF14, "CPENDSGIR1"),
        (0xF2C, "SPENDSGIR3"),
        (0xF30, ""),
        (0xFD0, "PIDR4"),
        (0xFE0, "PIDR0"),
        (0xFE8, "PIDR2"),
        (0xFEC, "PIDR3"),
        (0xFFC, "CIDR3"),
        (0x1000, ""),
    ],
)
def test_the_names_of_the_distributor(offset: int, name: str) -> None:
    assert name_access(GICD, offset, 4) == (name and f"GICD_{name}")


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (0x00, "CTLR"),
        (0x04, "PMR"),
        (0x08, "BPR"),
        (0x0C, "IAR"),
        (0x10, "EOIR"),
        (0x14, "RPR"),
        (0x18, "HPPIR"),
        (0x1C, "ABPR"),
        (0x20, "AIAR"),
        (0x24, "AEOIR"),
        (0x28, "AHPPIR"),
        (0x2C, ""),
        (0xD4, "APR1"),
        (0xEC, "NSAPR3"),
        (0xFC, "IIDR"),
        (0x1000, "DIR"),
        (0x1004, ""),
    ],
)
def test_the_names_of_the_cpu_interface(offset: int, name: str) -> None:
    assert name_access(GICC, offset, 4) == (name and f"GICC_{name}")


def test_a_part_of_a_register_has_its_bits() -> None:
    assert name_access(GICD, IPRIORITYR + 33, 1) == "GICD_IPRIORITYR8[15:8]"


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [
        (GICD_CTLR, 1, "EnableGrp0=1"),
        (GICD_TYPER, 0x28, "CPUNumber=1 ITLinesNumber=8"),
        (ISENABLER + 4, 0b110, "INTID 33-34"),
        (IPRIORITYR + 32, 0xA0A0_A0F0, "INTID 32: 0xf0, 33-35: 0xa0"),
        (ITARGETSR + 32, 0x0101_0103, "INTID 32: 0x03, 33-35: 0x01"),
        (SGIR, sgi(1, to=0b10), "SGI 1 to CPUs 1"),
        (SGIR, sgi(1, to=0b1101), "SGI 1 to CPUs 0, 2, 3"),
        (SGIR, sgi(1), "SGI 1 to no CPU"),
        (SGIR, sgi(2, to=1, mode=1), "SGI 2 to all others"),
        (SGIR, sgi(3, to=1, mode=2), "SGI 3 to itself"),
        (SGIR, sgi(3, to=1, mode=3), "SGI 3 to no CPU"),
        (SPENDSGIR + 4, 0x0000_0300, "SGI 5 from CPUs 0, 1"),
        (SPENDSGIR + 4, 0, ""),
    ],
)
def test_what_the_distributors_values_say(offset: int, value: int, said: str) -> None:
    assert meaning(GICD, offset, 4, value) == said


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [
        (CTLR, 0x203, "EOImode=1 EnableGrp1=1 EnableGrp0=1"),
        (PMR, 0xF0, "Priority=0xf0"),
        (IAR, 0x1B, "INTID 27"),
        (IAR, 0x1FFF_F000 | 0x1B, "INTID 27"),
        (EOIR, 2 << 10 | 1, "INTID 1 from CPU 2"),
        (AEOIR, 0, "INTID 0 from CPU 0"),
        (DIR, 33, "INTID 33"),
        (IAR, 1023, "INTID 1023, none"),
        (IAR, 1022, "INTID 1022, one of Group 1"),
        (GICC_IIDR, 0x0002_043B, "Architecture=2 (GICv2) Revision=0 Implementer=0x43b (Arm)"),
    ],
)
def test_what_the_interfaces_values_say(offset: int, value: int, said: str) -> None:
    assert meaning(GICC, offset, 4, value).replace(" Revision=0", "") == said.replace(" Revision=0", "")


@given(st.booleans(), st.integers(-4, 0x2100), st.sampled_from([1, 2, 4, 8]), st.integers(0, (1 << 64) - 1))
def test_every_access_has_a_name_and_a_meaning_or_none(distributor: bool, offset: int, width: int, value: int) -> None:
    device = GICD if distributor else GICC
    value &= (1 << 8 * width) - 1
    name = name_access(device, offset, width)
    said = meaning(device, offset, width, value)
    assert name or not said
