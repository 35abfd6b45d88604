"""The memory of a machine's Linux kernel, as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.vm.machine import Machine

_LINUX: Final = "linux"


def kernel_memory(machine: Machine) -> Iterator[bytes]:
    """Yield the contents of each segment of the kernel; nothing for any other guest."""
    if machine.image.kind != _LINUX:
        return
    for segment in machine.image.segments:
        memory = machine.ram.view(segment.address, segment.memory_size)
        if memory is not None:
            yield bytes(memory)
