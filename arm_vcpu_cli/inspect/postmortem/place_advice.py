"""Advice on a guest that accesses an unmapped or forbidden address."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.board.description import MachineDescription, MemoryRegion
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.tables.ipa_map import nearest, region_at
from arm_vcpu_cli.inspect.virt_board import virt_device
from arm_vcpu_cli.sizes import MIB, format_size

_JUST_BEHIND: Final = 1 << 32
"""A guest that accesses up to this far beyond RAM may assume a larger RAM."""
_NOUNS: Final = MappingProxyType({Access.READ: "reads", Access.WRITE: "writes", Access.EXECUTE: "instruction fetches"})


def nothing_there(description: MachineDescription, ipa: int, access: Access | None) -> Advice | None:
    """Advice on a guest's access to an IPA without a device; None if there is a device."""
    region = region_at(description, ipa)
    if region is not None:
        return _refused(region, ipa, access)
    place = nearest(description, ipa)
    if place is None or place.base <= ipa < place.end:
        return None
    ram = description.ram
    if ram.end <= ipa < ram.end + _JUST_BEHIND:
        size = format_size(ram.size)
        return Advice(
            f"No memory and no device is at IPA {ipa:#x}: RAM has {size} and ends at {ram.end - 1:#x}.",
            f"if the guest expects more, --memory {_enough(ram, ipa)} reaches that far; otherwise the pointer is wrong",
        )
    missing = virt_device(description, ipa)
    if missing is not None:
        step = (
            missing.step or "armvcpu does not model it: build the guest without a driver for it, or let it probe first"
        )
        return Advice(f"QEMU's virt board has {missing.name} at IPA {ipa:#x}; this machine does not.", step)
    where = f"{place.name} at {place.base:#x} to {place.end - 1:#x}"
    return Advice(
        f"No device and no memory of this machine is at IPA {ipa:#x}; the nearest is {where}.",
        "a guest for another board needs a machine file for that board, with its devices and memory: -m FILE.toml",
    )


def _refused(region: MemoryRegion, ipa: int, access: Access | None) -> Advice | None:
    allowed = {Access.READ: region.readable, Access.WRITE: region.writable, Access.EXECUTE: region.executable}
    if access is None or allowed[access]:
        return None
    have = "".join(letter for letter, kind in zip("rwx", allowed, strict=True) if allowed[kind])
    return Advice(
        f"IPA {ipa:#x} is in memory.{region.name}, which stage 2 maps {have} only: no {_NOUNS[access]}.",
        f"memory.{region.name}.permissions in the machine file sets this, and on_fault decides what happens then",
    )


def _enough(ram: MemoryRegion, ipa: int) -> str:
    """The size of RAM, doubled until it covers an address."""
    size = ram.size
    while ram.base + size <= ipa:
        size *= 2
    return format_size(size).replace(" ", "") if size % MIB == 0 else str(size)
