"""Machines for tests: opened as a test requests, with limits and observers, and closed at its end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.errors import ArmVcpuError
from arm_vcpu_cli.inspect.virtual_cpu import VirtualCpu
from arm_vcpu_cli.observe.attaching import attach_tracer, trace_header
from arm_vcpu_cli.observe.tracing import Tracer
from arm_vcpu_cli.observe.tracing_options import TraceOptions
from arm_vcpu_cli.pytest_plugin.exit_log import MOST_EVENTS, ExitLog
from arm_vcpu_cli.pytest_plugin.settings import Settings, settings_of
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.trace.selection import Selection
from arm_vcpu_cli.version import VERSION
from arm_vcpu_cli.vm.console_text import plain_text
from arm_vcpu_cli.vm.endings import ENDS_FOR_GOOD, Ending, RunResult
from arm_vcpu_cli.vm.outcome import Result


class Finished(Record):
    """The end of a run. ``console`` is the guest's output, as text without carriage returns and terminal control
    sequences; ``exits`` are its exits to EL2, ``registers`` those of each vCPU by name."""

    machine: GuestMachine
    ending: Ending
    status: int
    message: str
    console: str
    console_bytes: bytes
    exits: ExitLog
    registers: tuple[Mapping[str, int], ...]

    def __repr__(self) -> str:
        return f"<{self.message}, status {self.status}, {self.exits!r}>"

    def memory(self, ipa: int, size: int) -> bytes:
        """Return the guest's memory as it is now. Raises :class:`MemoryMapError` where there is none."""
        __tracebackhide__ = True
        return self.machine.read_memory(ipa, size)


class GuestMachine:
    """A :class:`~arm_vcpu_cli.api.Machine` in a test; other attributes are those of ``machine``."""

    def __init__(self, machine: Machine, settings: Settings) -> None:
        self.machine: Final = machine
        self.settings: Final = settings
        self.exits: Final = ExitLog()
        """The exits so far."""
        self._tracer: Tracer | None = None
        if settings.events:
            self.exits.header(trace_header(machine.parts, f"armvcpu {VERSION}", timing=False))
            options = TraceOptions(selection=Selection(types=settings.events), first=MOST_EVENTS)
            self._tracer = attach_tracer(machine.parts, self.exits, options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.machine, name)

    def __repr__(self) -> str:
        return f"<machine with {self.settings.file.name}>"

    @property
    def is_open(self) -> bool:
        """Whether the machine is open; when closed, only its output and its exits are available."""
        return self.machine.is_open

    @property
    def cpus(self) -> tuple[VirtualCpu, ...]:
        """The vCPUs."""
        return self.machine.cpus

    @property
    def console(self) -> str:
        """The guest's output so far, as text without carriage returns and terminal control sequences."""
        return plain_text(self.machine.console)

    @property
    def last(self) -> RunResult | None:
        """The result of the last run, None before the first."""
        return self.machine.last_run

    def run(self, *, timeout: float | None = None, host_timeout: float | None = None) -> Finished:
        """Run the guest to its end, or to a limit: seconds of guest time or host time."""
        __tracebackhide__ = True
        limits = self._limits(timeout, host_timeout)
        try:
            result = self.machine.run(guest_timeout=limits[0], timeout=limits[1])
        except ArmVcpuError as error:
            raise error.with_traceback(None) from None
        return self.finished(result)

    def expect(
        self, pattern: str | re.Pattern[str], *, timeout: float | None = None, host_timeout: float | None = None
    ) -> re.Match[str]:
        """Run the guest until its console shows ``pattern``; see :meth:`arm_vcpu_cli.api.Machine.expect`."""
        __tracebackhide__ = True
        limits = self._limits(timeout, host_timeout)
        try:
            return self.machine.expect(pattern, timeout=limits[0], host_timeout=limits[1])
        except ArmVcpuError as error:
            raise error.with_traceback(None) from None

    def send(self, data: str | bytes) -> None:
        """Send ``data`` to the guest now."""
        self.machine.send(data)

    def read_memory(self, ipa: int, size: int) -> bytes:
        """Return ``size`` bytes of the guest's memory at ``ipa``."""
        __tracebackhide__ = True
        try:
            return self.machine.read_memory(ipa, size)
        except ArmVcpuError as error:
            raise error.with_traceback(None) from None

    def finished(self, result: Result) -> Finished:
        """Return the end of a run in the form for tests."""
        last = self.last
        if self._tracer is not None and last is not None and last.ending in ENDS_FOR_GOOD:
            tracer, self._tracer = self._tracer, None
            tracer.end(last)
            tracer.close()
        printed = result.console
        return Finished(
            self,
            result.ending,
            result.status,
            result.message,
            plain_text(printed),
            printed,
            self.exits,
            result.registers,
        )

    def close(self) -> None:
        """Release the engine and the guest's memory."""
        self.machine.close()

    def _limits(self, timeout: float | None, host_timeout: float | None) -> tuple[float, float]:
        settings = self.settings
        return (
            settings.timeout if timeout is None else timeout,
            settings.host_timeout if host_timeout is None else host_timeout,
        )


class MachineFactory:
    """Opens the machines of one test: ``armvcpu_machine("guest.elf", cpus=4)``."""

    def __init__(self, item: pytest.Item, opened: list[GuestMachine], closing: ExitStack) -> None:
        self._item = item
        self._opened = opened
        self._closing = closing

    def __call__(
        self, guest: str | Path | None = None, machine: str | Path | Mapping[str, Any] | None = None, **options: Any
    ) -> GuestMachine:
        """Open a machine with ``guest``; relative paths start at the test file. ``options`` are those of the marker."""
        __tracebackhide__ = True
        try:
            return self.open(self.settings(guest, machine, options))
        except ArmVcpuError as error:
            raise error.with_traceback(None) from None

    def settings(
        self, guest: str | Path | None, machine: str | Path | Mapping[str, Any] | None, options: Mapping[str, Any]
    ) -> Settings:
        """Return the settings of a call and its test together."""
        return settings_of(self._item, {**options, "guest": guest, "machine": machine})

    def open(self, settings: Settings) -> GuestMachine:
        """Open a machine."""
        return self.take(
            Machine.open(settings.file, settings.machine, input=settings.input, **settings.overrides), settings
        )

    def take(self, machine: Machine, settings: Settings) -> GuestMachine:
        """Make ``machine`` one of the test's machines."""
        with ExitStack() as failed:
            failed.callback(machine.close)
            opened = GuestMachine(machine, settings)
            failed.pop_all()
        self._closing.callback(opened.close)
        self._opened.append(opened)
        return opened

    def forget(self, machine: GuestMachine) -> None:
        """Close a machine, and leave it out of the report on the test."""
        machine.close()
        self._opened.remove(machine)


class RunFactory:
    """Runs guests to their end: ``armvcpu_run("guest.elf")``."""

    def __init__(self, machines: MachineFactory) -> None:
        self._machines = machines

    def __call__(
        self, guest: str | Path | None = None, machine: str | Path | Mapping[str, Any] | None = None, **options: Any
    ) -> Finished:
        """Run a guest to its end; for the arguments see :class:`MachineFactory`."""
        __tracebackhide__ = True
        return self._machines(guest, machine, **options).run()
