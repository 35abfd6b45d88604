"""Symbols of a Linux kernel without a symbol file, from its own memory. Loaded only for the last line of a run and for
reports."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.guest.kallsyms import KernelSymbols, find_kallsyms
from arm_vcpu_cli.record import replace
from arm_vcpu_cli.vm.kernel_memory import kernel_memory
from arm_vcpu_cli.vm.machine import Machine

_WORD: Final = 8
_UPPER_HALF: Final = 1 << 63


def name_kernel(machine: Machine) -> None:
    """Add to the image of a kernel without symbols those in the kernel's memory, if it has any. A kernel that has not
    yet relocated itself has no correct addresses."""
    image = machine.image
    if len(image.symbols):
        return
    for kernel in kernel_memory(machine):
        tables = find_kallsyms(kernel)
        base = 0 if tables is None else int.from_bytes(kernel[tables.base : tables.base + _WORD], "little")
        if tables is not None and base >= _UPPER_HALF:
            machine.image = replace(image, symbols=KernelSymbols(kernel, tables, base))
            return
