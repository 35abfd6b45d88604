"""The last messages in the log buffer of a machine's Linux kernel. Loaded only for kernels that need explaining."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.guest.kernel_log import Message, last_messages
from arm_vcpu_cli.vm.machine import Machine

_LINUX: Final = "linux"


def kernel_messages(machine: Machine, most: int) -> list[Message]:
    """At most ``most`` messages, oldest first; empty for any other guest, and if there is none yet.

    The memory is read as the current CPU sees it.
    """
    if machine.image.kind != _LINUX:
        return []
    for segment in machine.image.segments:
        memory = machine.ram.view(segment.address, segment.memory_size)
        if memory is not None:
            found = last_messages(bytes(memory), machine.core.read_virtual, most)
            if found:
                return found
    return []
