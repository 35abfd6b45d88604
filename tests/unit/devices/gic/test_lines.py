"""Guests can set up every interrupt that GICD_TYPER.ITLinesNumber announces, including absent ones."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.devices.bus import MmioDevice
from arm_vcpu_cli.devices.gic.v2 import GicV2
from arm_vcpu_cli.devices.gic.v3 import GicV3

CTLR, TYPER, SGIR, IROUTER = 0x000, 0x004, 0xF00, 0x6000
REGISTERS = {  # base, bits for each INTID
    "IGROUPR": (0x080, 1),
    "ISENABLER": (0x100, 1),
    "ISPENDR": (0x200, 1),
    "ISACTIVER": (0x300, 1),
    "IPRIORITYR": (0x400, 8),
    "ITARGETSR": (0x800, 8),
    "ICFGR": (0xC00, 2),
}
SPIS = [32, 64, 224, 256, 300, 960, 988]


def distributor(version: int, spis: int) -> MmioDevice:
    if version == 2:
        return GicV2(1, spis=spis, signal=lambda *_: None).distributor(0)
    return GicV3([0], spis=spis, signal=lambda *_: None).distributor


def snapshot(device: MmioDevice, version: int) -> dict[int, int]:
    end = 0x1000 if version == 2 else 0x1_0000
    return {offset: device.read(offset, 4) for offset in range(0, end, 4)}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("spis", SPIS)
def test_itlinesnumber_covers_all_interrupts_and_no_more_than_there_are_registers(version: int, spis: int) -> None:
    lines = distributor(version, spis).read(TYPER, 4) & 0x1F
    assert 32 * lines < 32 + spis <= 32 * (lines + 1) <= 1024


@pytest.mark.parametrize("name", REGISTERS)
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("spis", SPIS)
def test_a_loop_over_all_lines_changes_no_other_registers(version: int, spis: int, name: str) -> None:
    device = distributor(version, spis)
    base, bits = REGISTERS[name]
    before = snapshot(device, version)
    size = 32 * ((device.read(TYPER, 4) & 0x1F) + 1) * bits // 8
    mates = {"ISENABLER": 0x180, "ISPENDR": 0x280, "ISACTIVER": 0x380}
    for offset in range(base, base + size, 4):
        device.write(offset, 4, 0xFFFF_FFFF)
    changed = {offset for offset, value in snapshot(device, version).items() if value != before[offset]}
    if name in mates:
        changed -= {offset - base + mates[name] for offset in range(base, base + size, 4)}
    assert changed <= set(range(base, base + size, 4))
    # With affinity routing there is no ITARGETSR; and a GIC with one PE has none either.
    assert changed or name == "ITARGETSR"


@pytest.mark.parametrize("spis", SPIS)
def test_a_loop_over_all_routes_changes_no_other_registers(spis: int) -> None:
    device = distributor(3, spis)
    before = snapshot(device, 3)
    last = 32 * ((device.read(TYPER, 4) & 0x1F) + 1)
    for intid in range(32, min(last, 1020)):
        device.write(IROUTER + 8 * intid, 8, 1 << 31)
    changed = {offset for offset, value in snapshot(device, 3).items() if value != before[offset]}
    assert changed == {IROUTER + 8 * intid for intid in range(32, 32 + spis)}
