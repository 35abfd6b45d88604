"""One run of a machine: its watchers, and descriptions of the guest's location and activity."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.diagnosis import place_of
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.watch.hang import HangWatch, are_interrupts_masked
from arm_vcpu_cli.vm.watch.idle import IdleTime
from arm_vcpu_cli.vm.watch.panic import PanicWatch

if TYPE_CHECKING:
    from arm_vcpu_cli.vm.reset import PowerOn
    from arm_vcpu_cli.vm.watch.silent_kernel import SilentKernel

RESET: Final = "arm_vcpu_cli.vm.reset"
"""Loaded only for runs that continue after a reset."""
_GUEST_TIME: Final = "arm_vcpu_cli.vm.watch.guest_time"
"""Loaded only for runs that are limited by it."""
_SILENT_KERNEL: Final = "arm_vcpu_cli.vm.watch.silent_kernel"
"""Loaded only for Linux kernels."""
_LINUX: Final = "linux"
_WORTH_TELLING: Final = 1.0
"""The minimum seconds of quiet or idle time to mention."""


class GuestRun:
    """One run of a machine, with its watchers."""

    def __init__(self, machine: Machine, watchdog: Watchdog) -> None:
        self.machine = machine
        self.watchdog = watchdog
        self.panic = PanicWatch(machine.request_stop)
        self.hang = HangWatch(machine)
        self.idle = IdleTime()
        self.idle_seconds = 0.0
        """How long the guest had been idle when it last stopped, in seconds of guest time."""
        self.culprit: Cpu | None = None
        """The CPU that the others wait for, if that ended the run."""
        self.silent_kernel: SilentKernel | None = None
        """Watches a Linux kernel until it prints."""
        self.power_on: PowerOn | None = None
        """The state that a reset restores; None if a reset ends the run."""

    def start(self) -> None:
        """Start the watchers."""
        self.share_exits()
        self.machine.input.cancelled = self.watchdog.has_fired
        if self.machine.description.boot.reboot and self.power_on is None:
            self.power_on = import_module(RESET).power_on(self.machine)
        self.machine.console.observe(self.panic.see)
        self.hang.start()
        if self.machine.image.kind == _LINUX and not self.panic.printed:
            self.silent_kernel = import_module(_SILENT_KERNEL).SilentKernel(self.machine, self.panic)
            self.hang.also = self.silent_kernel.look
        if self.machine.description.limits.guest_timeout:
            import_module(_GUEST_TIME).end_in_time(self.machine)

    def share_exits(self) -> None:
        """Give the current CPU the machine's remaining exits."""
        limit = self.machine.description.limits.max_exits
        if limit:
            arch = self.machine.current.arch
            arch.max_exits = arch.exits + limit - self.machine.exits

    def note_idle(self) -> None:
        """Record how long the guest has been idle. Call it before flushing the guest's last output, which would reset
        that time."""
        self.idle_seconds = self.idle.seconds(self.machine.timeline.now(), self.panic.printed)

    def place(self) -> str:
        """The guest's location, in words."""
        return place_of(self.machine)

    def doing(self) -> str:
        """The guest's recent activity, as a suffix to its place; empty if it was busy."""
        machine = self.machine
        quiet = self.hang.quiet_seconds()
        if quiet >= _WORTH_TELLING:
            masked = ", interrupts masked" if are_interrupts_masked(machine) else ""
            return f": no exit for the last {quiet:.0f} s{masked}"
        idle = self.idle.seconds(machine.timeline.now(), self.panic.printed)
        if idle >= _WORTH_TELLING:
            ended = ", and its input has ended" if machine.input.starved() else ""
            return f": idle for the last {idle:.0f} s of its time{ended}"
        return ""
