"""The last messages in the log buffer of a machine's Linux kernel. Loaded only to explain the end of a Linux kernel."""

from __future__ import annotations

from arm_vcpu_cli.guest.kernel_log import Message, last_messages
from arm_vcpu_cli.vm.kernel_memory import kernel_memory
from arm_vcpu_cli.vm.machine import Machine


def kernel_messages(machine: Machine, most: int) -> list[Message]:
    """Return at most ``most`` messages, oldest first; none for any other guest, and before the kernel has logged any.
    Reads memory through the current CPU's translation."""
    for kernel in kernel_memory(machine):
        found = last_messages(kernel, machine.core.read_virtual, most)
        if found:
            return found
    return []
