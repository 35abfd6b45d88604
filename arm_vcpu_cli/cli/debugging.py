"""Runs a guest under a GDB server. Loaded only for ``--gdb`` and ``armvcpu debug``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.cli.output import say
from arm_vcpu_cli.cli.terminal import open_console
from arm_vcpu_cli.debug.control import MachineControl
from arm_vcpu_cli.debug.endpoint import Endpoint, listen, unlisten
from arm_vcpu_cli.debug.server import DebugServer
from arm_vcpu_cli.debug.wire import Wire
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.printable import printable_path
from arm_vcpu_cli.record import replace
from arm_vcpu_cli.vm.endings import STATUS_INTERRUPTED, Ending, RunResult
from arm_vcpu_cli.vm.guest_run import GuestRun
from arm_vcpu_cli.vm.machine import Machine as Parts
from arm_vcpu_cli.vm.runner import conclude, stopped

if TYPE_CHECKING:
    from arm_vcpu_cli.debug.client import Client
    from arm_vcpu_cli.debug.monitor import Monitor

_MONITOR: Final = "arm_vcpu_cli.debug.monitor"
_ENDED: Final = "the debugger has ended the guest"


def _ended(run: GuestRun) -> RunResult:
    """The result of a run that ended because the guest made no progress."""
    found = stopped(run)
    if found is None:
        return RunResult(Ending.INTERRUPTED, STATUS_INTERRUPTED, _ENDED)
    # The debugger kept it from making progress.
    return replace(found, message=found.message.removesuffix(run.doing()))


class _LazyMonitor:
    """The ``monitor`` commands, loaded on first use: a run without a debugger needs none."""

    def __init__(self, machine: Parts, run: GuestRun | None) -> None:
        """``run`` is given if the user may save the machine to a file."""
        self._machine = machine
        self._run = run
        self._made: Monitor | None = None

    def __call__(self, client: Client, text: str, say: Callable[[str], None]) -> None:
        if self._made is None:
            module = import_module(_MONITOR)
            more = {} if self._run is None else {"save": module.save_command(self._run)}
            self._made = module.Monitor(self._machine, more)
        assert self._made is not None
        self._made(client, text, say)


class DebuggerConsole(Console):
    """A console without input that shows the guest's output in the debugger while the debugger waits for the guest."""

    def __init__(self, output_fd: int) -> None:
        super().__init__(output_fd, None)
        self.show: Callable[[bytes], bool] = _not_shown

    def _write_all(self, fd: int, out: bytearray) -> None:
        if out and self.show(bytes(out)):
            out.clear()
        else:
            super()._write_all(fd, out)


def _not_shown(_data: bytes) -> bool:
    return False


class Debugging:
    """A GDB server, open while this context is entered."""

    def __init__(self, wanted: Endpoint, *, wait: bool, launched: bool = False) -> None:
        """With ``wait`` the guest does not start until a debugger resumes it. ``launched``: we started the debugger,
        which has the terminal, and the guest ends with it."""
        self._wait = wait
        self._launched = launched
        self._listener, self.place = listen(wanted)
        self._console: DebuggerConsole | None = None
        self._has_ended = False

    def __enter__(self) -> Debugging:
        return self

    def __exit__(self, *_: object) -> None:
        unlisten(self._listener, self.place)

    def open_console(self, *, reads_input: bool, keys: bool = True) -> Console:
        """Open the guest's console."""
        if not self._launched:
            return open_console(reads_input=reads_input, keys=keys)
        sys.stdout.flush()
        self._console = DebuggerConsole(sys.stdout.fileno())
        return self._console

    @property
    def is_quiet(self) -> bool:
        """Whether the user has left a debugger that was started for the guest, and so knows that it has ended."""
        return self._launched and self._has_ended

    @property
    def has_ended(self) -> bool:
        """Whether the user ended the guest from the debugger and needs no report."""
        return self._has_ended

    def run(self, opened: Machine, watchdog: Watchdog) -> RunResult:
        """Run a started machine to its end."""
        machine, began = opened.parts, time.perf_counter()
        control = MachineControl(machine, watchdog)
        wire = Wire(self._listener, pause=control.pause, cancelled=watchdog.has_fired, refused=self._refuse)
        # Anyone who can reach a TCP port controls the guest, but must not write files.
        monitor = _LazyMonitor(machine, None if self.place.path is None else control.execution.run)
        server = DebugServer(control, wire, monitor, launched=self._launched, load_bias=machine.image.load_bias)
        if self._console is not None:
            self._console.show = server.show
        self._announce(printable_path(machine.image.path))
        with wire:
            stop = server.run(wait=self._wait)
        self._has_ended = stop is None and not watchdog.has_fired()
        execution = control.execution
        if execution.result is not None:
            return execution.result
        return conclude(execution.run, _ended(execution.run), time.perf_counter() - began)

    def _announce(self, guest: str) -> None:
        if not self._launched:
            waits = "waiting for a debugger" if self._wait else "a debugger can attach"
            say(f"{waits}: gdb-multiarch {guest} -ex 'target remote {self.place.for_gdb}'")

    def _refuse(self) -> None:
        say("refused a second debugger: one is already attached")
