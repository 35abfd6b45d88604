"""Detects a Linux kernel that panics before it has a console, which only its log buffer shows.

Such a kernel stays in a delay loop that counts time and never repeats its state, and may even handle timer interrupts.
So the log of a kernel that has printed nothing is checked periodically: when it causes no exits, and otherwise at
increasing intervals. Only the last message of a panic counts, after which no kernel continues. The first output ends
the watch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.watch.panic import PanicWatch

_MESSAGES: Final = "arm_vcpu_cli.vm.kernel_messages"
"""Loaded only if a kernel stays silent."""
_SHORTEST: Final = 100_000_000
"""The minimum nanoseconds of guest time between two checks."""
_GROWTH: Final = 4
"""The interval grows by this fraction of the time so far (1/4)."""
_PATIENCE: Final = 1_000_000_000
"""Nanoseconds until the first check of the log of a kernel that causes exits; the interval doubles with each check."""
_MOST: Final = 64
"""The most messages from a panic to its end: a backtrace and the registers."""


class SilentKernel:
    """Watches a Linux kernel until it prints, at the checks of :class:`~arm_vcpu_cli.vm.watch.hang.HangWatch`."""

    def __init__(self, machine: Machine, panic: PanicWatch) -> None:
        self._machine = machine
        self._panic = panic
        self._exits = machine.exits
        self._begun = machine.timeline.now()
        self._next_check = _SHORTEST
        self._next_reading = _PATIENCE

    def read(self) -> None:
        """Look for a panic in the kernel's log, if it has printed nothing."""
        if not self._panic.printed:
            for message in import_module(_MESSAGES).kernel_messages(self._machine, _MOST):
                self._panic.see_unprinted(message.text)

    def look(self) -> None:
        """Check the kernel if it is time; requires a stopped guest."""
        machine = self._machine
        elapsed = machine.timeline.now() - self._begun
        if self._panic.printed or elapsed < self._next_check:
            return
        self._next_check = elapsed + max(_SHORTEST, elapsed // _GROWTH)
        is_quiet, self._exits = machine.exits == self._exits, machine.exits
        if is_quiet or elapsed >= self._next_reading:
            self._next_reading = max(self._next_reading, 2 * elapsed)
            self.read()
