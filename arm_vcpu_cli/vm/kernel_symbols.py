"""Symbols of a Linux kernel without a symbol file, from its own memory. Loaded only for the last line of a run and for
reports."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.guest.kallsyms import KernelSymbols, find_kallsyms
from arm_vcpu_cli.record import replace
from arm_vcpu_cli.vm.machine import Machine

_LINUX: Final = "linux"
_WORD: Final = 8
_UPPER_HALF: Final = 1 << 63


def name_kernel(machine: Machine) -> None:
    """Add to the image of a kernel without symbols those in the kernel's memory, if it has any. A kernel that has not
    yet relocated itself has no correct addresses."""
    image = machine.image
    if image.kind != _LINUX or len(image.symbols):
        return
    for segment in image.segments:
        view = machine.ram.view(segment.address, segment.memory_size)
        if view is None:
            continue
        kernel = bytes(view)
        tables = find_kallsyms(kernel)
        base = 0 if tables is None else int.from_bytes(kernel[tables.base : tables.base + _WORD], "little")
        if tables is not None and base >= _UPPER_HALF:
            machine.image = replace(image, symbols=KernelSymbols(kernel, tables, base))
            return
