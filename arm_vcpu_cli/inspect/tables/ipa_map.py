"""The memory and devices at a machine's IPAs, by address and by proximity."""

from __future__ import annotations

from typing import Final, NamedTuple

from arm_vcpu_cli.board.description import MachineDescription, MemoryRegion

DEVICE_PREFIX: Final = "device."
"""The start of the name of a place with a device."""


class Place(NamedTuple):
    """A range of IPAs and its contents; ``end`` is exclusive."""

    base: int
    end: int
    name: str


def places(description: MachineDescription) -> list[Place]:
    """Memory and devices, by address."""
    found = [Place(region.base, region.end, f"memory.{region.name}") for region in description.memory]
    found += [Place(device.base, device.end, f"{DEVICE_PREFIX}{device.name}") for device in description.devices]
    if description.gic is not None:
        name = f"{DEVICE_PREFIX}{description.gic.name}"
        found += [Place(window.base, window.end, name) for window in description.gic.windows]
    return sorted(found)


def nearest(description: MachineDescription, ipa: int) -> Place | None:
    """The place that holds an address, else the closest one."""
    return min(places(description), key=lambda place: _distance(place, ipa), default=None)


def region_at(description: MachineDescription, ipa: int) -> MemoryRegion | None:
    """The memory region that holds an address."""
    return next((region for region in description.memory if region.holds(ipa)), None)


def _distance(place: Place, ipa: int) -> int:
    if place.base <= ipa < place.end:
        return 0
    return place.base - ipa if ipa < place.base else ipa - place.end + 1
