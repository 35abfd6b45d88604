"""Boots each guest once: takes a snapshot where it has printed a text, from which every test continues.

The processes of pytest-xdist share the snapshots: the first one that needs a snapshot creates it, and the others wait.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.errors import ArmVcpuError, UsageError
from arm_vcpu_cli.pytest_plugin.machines import GuestMachine, MachineFactory
from arm_vcpu_cli.pytest_plugin.settings import Settings
from arm_vcpu_cli.record import replace

_FOLDER: Final = "armvcpu-booted"
_NAME_LENGTH: Final = 16


class Boots:
    """The snapshots of one session; ``folder`` is for its temporary files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _FOLDER

    def snapshot(self, settings: Settings, until: str, machines: MachineFactory) -> Path:
        """Return the snapshot of a guest that has printed ``until``, creating it if necessary.

        A guest that failed to get there is not tried again. Its machine stays with the test, for the report.
        """
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"{_digest(settings, until)}.snap"
        failure = path.with_suffix(".failed")
        with _locked(path.with_suffix(".lock")):
            if failure.exists():
                raise UsageError(f"the guest has failed to boot in an earlier test: {failure.read_text('utf-8')}")
            if not path.exists():
                machine = machines.open(replace(settings, events=frozenset()))
                try:
                    machine.expect(until)
                    machine.machine.snapshot(path, compress=False)
                except ArmVcpuError as error:
                    failure.write_text(str(error).partition("\n")[0], "utf-8")
                    raise
                machines.forget(machine)
        return path


class BootedFactory:
    """Opens machines of one test: ``armvcpu_booted("vmlinuz", until="login: ")``."""

    def __init__(self, machines: MachineFactory, boots: Boots) -> None:
        self._machines = machines
        self._boots = boots

    def __call__(
        self,
        guest: str | Path | None = None,
        machine: str | Path | Mapping[str, Any] | None = None,
        *,
        until: str | None = None,
        **options: Any,
    ) -> GuestMachine:
        """Open a machine whose guest has just printed ``until`` (a regular expression); the other arguments are those
        of ``armvcpu_machine``. Its console and its exits begin there."""
        __tracebackhide__ = True
        try:
            settings = self._machines.settings(guest, machine, {**options, "until": until})
            if settings.until is None:
                raise UsageError("armvcpu_booted: expected until=REGEX, what the guest prints once it is booted")
            path = self._boots.snapshot(settings, settings.until, self._machines)
            return self._machines.take(Machine.open(from_snapshot=path), settings)
        except ArmVcpuError as error:
            raise error.with_traceback(None) from None


def _digest(settings: Settings, until: str) -> str:
    """Return a name derived from everything that determines how a guest boots."""
    files = [path for path in (settings.file, settings.machine) if isinstance(path, Path)]
    changed = [path.stat().st_mtime_ns for path in files if path.exists()]
    said = (settings.file, settings.machine, sorted(settings.overrides.items()), settings.input, until, changed)
    return hashlib.sha256(repr(said).encode("utf-8", "surrogateescape")).hexdigest()[:_NAME_LENGTH]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
