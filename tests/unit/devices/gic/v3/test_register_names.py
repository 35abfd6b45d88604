"""The registers of a GIC by name, and the meaning of their values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.devices.bus import MmioDevice
from arm_vcpu_cli.devices.naming import device_kind, meaning, name_access

from .bench import PE_SIZE, SGI_FRAME, Bench

WIDTHS = (1, 2, 4, 8)
BENCH = Bench((0,))
PAIR = Bench((0, 1))
GICD = BENCH.gic.distributor
GICR = BENCH.gic.redistributors


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (0x0000, "CTLR"),
        (0x0004, "TYPER"),
        (0x0008, "IIDR"),
        (0x000C, "TYPER2"),
        (0x0010, "STATUSR"),
        (0x0040, "SETSPI_NSR"),
        (0x0048, "CLRSPI_NSR"),
        (0x0050, "SETSPI_SR"),
        (0x0058, "CLRSPI_SR"),
        (0x0080, "IGROUPR0"),
        (0x00FC, "IGROUPR31"),
        (0x0104, "ISENABLER1"),
        (0x0184, "ICENABLER1"),
        (0x0204, "ISPENDR1"),
        (0x0284, "ICPENDR1"),
        (0x0304, "ISACTIVER1"),
        (0x0384, "ICACTIVER1"),
        (0x0420, "IPRIORITYR8"),
        (0x07F8, "IPRIORITYR254"),
        (0x07FC, ""),
        (0x0820, "ITARGETSR8"),
        (0x0C08, "ICFGR2"),
        (0x0CFC, "ICFGR63"),
        (0x0D04, "IGRPMODR1"),
        (0x0E08, "NSACR2"),
        (0x0F00, "SGIR"),
        (0x0F1C, "CPENDSGIR3"),
        (0x0F20, "SPENDSGIR0"),
        (0x0F84, "INMIR1"),
        (0x1000, "IGROUPR0E"),
        (0x127C, "ISENABLER31E"),
        (0x2004, "IPRIORITYR1E"),
        (0x3000, "ICFGR0E"),
        (0x60F8, ""),
        (0x6100, "IROUTER32[31:0]"),
        (0x6104, "IROUTER32[63:32]"),
        (0x7FDC, "IROUTER1019[63:32]"),
        (0x7FE0, ""),
        (0x8008, "IROUTER1E[31:0]"),
        (0xFFCC, ""),
        (0xFFD0, "PIDR4"),
        (0xFFE0, "PIDR0"),
        (0xFFE8, "PIDR2"),
        (0xFFEC, "PIDR3"),
        (0xFFFC, "CIDR3"),
    ],
)
def test_the_names_of_the_distributor(offset: int, name: str) -> None:
    assert name_access(GICD, offset, 4) == (name and f"GICD_{name}")


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (0x0000, "CTLR"),
        (0x0004, "IIDR"),
        (0x0008, "TYPER[31:0]"),
        (0x000C, "TYPER[63:32]"),
        (0x0010, "STATUSR"),
        (0x0014, "WAKER"),
        (0x0018, "MPAMIDR"),
        (0x001C, "PARTIDR"),
        (0x0020, ""),
        (0x0040, "SETLPIR[31:0]"),
        (0x0074, "PROPBASER[63:32]"),
        (0x0078, "PENDBASER[31:0]"),
        (0x00A0, "INVLPIR[31:0]"),
        (0x00B0, "INVALLR[31:0]"),
        (0x00C0, "SYNCR"),
        (0xFFE8, "PIDR2"),
        (SGI_FRAME + 0x0080, "IGROUPR0"),
        (SGI_FRAME + 0x0084, "IGROUPR1E"),
        (SGI_FRAME + 0x0088, "IGROUPR2E"),
        (SGI_FRAME + 0x008C, ""),
        (SGI_FRAME + 0x0100, "ISENABLER0"),
        (SGI_FRAME + 0x0380, "ICACTIVER0"),
        (SGI_FRAME + 0x041C, "IPRIORITYR7"),
        (SGI_FRAME + 0x0420, "IPRIORITYR8E"),
        (SGI_FRAME + 0x045C, "IPRIORITYR23E"),
        (SGI_FRAME + 0x0C04, "ICFGR1"),
        (SGI_FRAME + 0x0C14, "ICFGR5E"),
        (SGI_FRAME + 0x0D00, "IGRPMODR0"),
        (SGI_FRAME + 0x0E00, "NSACR"),
        (SGI_FRAME + 0x0F80, "INMIR0"),
        (2 * SGI_FRAME, ""),
    ],
)
def test_the_names_of_the_redistributor(offset: int, name: str) -> None:
    assert name_access(GICR, offset, 4) == (name and f"GICR_{name}")


def test_redistributors_of_several_pes_have_numbers() -> None:
    device = PAIR.gic.redistributors
    assert name_access(device, 0x14, 4) == "GICR[0]_WAKER"
    assert name_access(device, PE_SIZE + 0x14, 4) == "GICR[1]_WAKER"
    assert name_access(device, PE_SIZE + SGI_FRAME + 0x104, 4) == "GICR[1]_ISENABLER1E"
    assert name_access(device, PE_SIZE + 0x20, 4) == ""
    assert name_access(device, 2 * PE_SIZE + 0x14, 4) == ""
    assert meaning(device, 2 * PE_SIZE + 0x14, 4, 2) == ""


@pytest.mark.parametrize(
    ("offset", "width", "name"),
    [
        (0x420, 1, "GICD_IPRIORITYR8[7:0]"),
        (0x423, 1, "GICD_IPRIORITYR8[31:24]"),
        (0x104, 1, "GICD_ISENABLER1[7:0]"),
        (0x040, 2, "GICD_SETSPI_NSR[15:0]"),
        (0x6108, 8, "GICD_IROUTER33"),
        (0x004, 8, "GICD_TYPER"),
    ],
)
def test_an_access_to_a_part_tells_the_bits(offset: int, width: int, name: str) -> None:
    assert name_access(GICD, offset, width) == name


@pytest.mark.parametrize(
    ("offset", "width", "value", "text"),
    [
        (0x000, 4, 0x53, "DS=1 ARE=1 EnableGrp1=1 EnableGrp0=1"),
        (0x000, 4, 0, ""),
        (0x008, 4, 0x43B, "Implementer=0x43b (Arm)"),
        (0x040, 4, 40, "INTID 40"),
        (0x048, 2, 1019, "INTID 1019"),
        (0x104, 4, 1 << 1, "INTID 33"),
        (0x104, 4, 0xFFFF_FFFF, "INTID 32-63"),
        (0x104, 4, 0, ""),
        (0x184, 4, 0x8000_0103, "INTID 32-33, 40, 63"),
        (0x105, 1, 1, "INTID 40"),
        (0x17C, 4, 0xFFFF_FFFF, "INTID 992-1019"),
        (0x420, 4, 0xA0A0_A0A0, "INTID 32-35: 0xa0"),
        (0x420, 4, 0x0080_A0A0, "INTID 32-33: 0xa0, 34: 0x80, 35: 0x00"),
        (0x421, 1, 0x80, "INTID 33: 0x80"),
        (0xC08, 4, 0, "INTID 32-47: level"),
        (0xC08, 4, 0xAAAA_0002, "INTID 32: edge, 33-39: level, 40-47: edge"),
        (0xC09, 1, 0b10, "INTID 36: edge, 37-39: level"),
        (0x6108, 8, 0x01_0003_0201, "affinity 1.3.2.1"),
        (0x6108, 8, 1 << 31, "any PE"),
        (0x6108, 4, 0x0000_0102, "Aff1=1 Aff0=2"),
        (0x610C, 4, 5, "Aff3=5"),
        (0x1204, 4, 1, "INTID 4128"),
        (0x2004, 1, 0x80, "INTID 4100: 0x80"),
        (0x820, 4, 0xFFFF_FFFF, ""),
        (0xFFE8, 4, 0x3B, "ArchRev=3 (GICv3) JEDEC=1 DES_1=3"),
        (0x030, 4, 1, ""),
    ],
)
def test_what_values_of_the_distributor_say(offset: int, width: int, value: int, text: str) -> None:
    assert meaning(GICD, offset, width, value) == text


@pytest.mark.parametrize(
    ("offset", "width", "value", "text"),
    [
        (0x14, 4, 6, "ChildrenAsleep=1 ProcessorSleep=1"),
        (0x08, 8, 0x0000_0001_0000_0110, "Aff0=1 Processor_Number=1 Last=1"),
        (0x0C, 4, 1, "Aff0=1"),
        (0x00, 4, 1, "EnableLPIs=1"),
        (SGI_FRAME + 0x100, 4, 0x4800_0001, "INTID 0, 27, 30"),
        (SGI_FRAME + 0x084, 4, 1, "INTID 1056"),
        (SGI_FRAME + 0x088, 4, 1, "INTID 1088"),
        (SGI_FRAME + 0x41B, 1, 0x20, "INTID 27: 0x20"),
        (SGI_FRAME + 0x420, 1, 0x20, "INTID 1056: 0x20"),
        (SGI_FRAME + 0xC04, 4, 0x2, "INTID 16: edge, 17-31: level"),
        (SGI_FRAME + 0xC08, 4, 0x2, "INTID 1056: edge, 1057-1071: level"),
    ],
)
def test_what_values_of_the_redistributor_say(offset: int, width: int, value: int, text: str) -> None:
    assert meaning(GICR, offset, width, value) == text


@pytest.mark.parametrize("device", [GICD, PAIR.gic.redistributors])
@given(
    offset=st.integers(0, 0x5_0000) | st.integers(-4, 0x1000),
    width=st.sampled_from(WIDTHS) | st.integers(-1, 64),
    value=st.integers(0, (1 << 64) - 1) | st.integers(-1, 1 << 130),
)
def test_naming_never_fails(device: MmioDevice, offset: int, width: int, value: int) -> None:
    assert name_access(device, offset, width).isascii()
    assert meaning(device, offset, width, value).isprintable()


def test_every_register_that_does_something_has_a_name() -> None:
    bench = Bench((0, 1), spis=988)
    found = 0
    for device, size in ((bench.gic.distributor, SGI_FRAME), (bench.gic.redistributors, 2 * PE_SIZE)):
        for width in (8, 4):
            for offset in range(0, size, width):
                before = device.read(offset, width)
                device.write(offset, width, (1 << 8 * width) - 1)
                if before or device.read(offset, width):
                    assert name_access(device, offset, width), hex(offset)
                    found += 1
    assert found > 3000


def test_every_register_has_its_own_name() -> None:
    for device, size in ((GICD, SGI_FRAME), (PAIR.gic.redistributors, 2 * PE_SIZE)):
        names = [name for offset in range(0, size, 4) if (name := name_access(device, offset, 4))]
        assert len(set(names)) == len(names)


def test_the_windows_say_what_they_are() -> None:
    assert device_kind(GICD) == "gicv3-distributor"
    assert device_kind(GICR) == "gicv3-redistributor"
