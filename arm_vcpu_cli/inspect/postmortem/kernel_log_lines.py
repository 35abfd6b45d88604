"""The end of a Linux kernel's log, as a report shows it."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.vm.kernel_messages import kernel_messages
from arm_vcpu_cli.vm.machine import Machine

UNPRINTED: Final = "the kernel's last messages, from its log buffer (none of them was printed)"
PRINTED: Final = "the kernel's last messages, from its log buffer"
MOST_SHOWN: Final = 100
"""The most lines of a full report."""
_MOST: Final = 2000


def log_lines(machine: Machine) -> tuple[str, ...]:
    """The last lines as the kernel prints them; empty for any other guest."""
    return tuple(line for message in kernel_messages(machine, _MOST) for line in message.lines())
