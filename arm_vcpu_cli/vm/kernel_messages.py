"""The last messages in the log buffer of a machine's Linux kernel. Loaded only to explain the end of a Linux kernel."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.guest.kernel_log import Message, last_messages
from arm_vcpu_cli.vm.machine import Machine

_LINUX: Final = "linux"


def kernel_messages(machine: Machine, most: int) -> list[Message]:
    """Return at most ``most`` messages, oldest first; none for any other guest, and before the kernel has logged any.
    Reads memory through the current CPU's translation."""
    if machine.image.kind != _LINUX:
        return []
    for segment in machine.image.segments:
        memory = machine.ram.view(segment.address, segment.memory_size)
        if memory is not None:
            found = last_messages(bytes(memory), machine.core.read_virtual, most)
            if found:
                return found
    return []
