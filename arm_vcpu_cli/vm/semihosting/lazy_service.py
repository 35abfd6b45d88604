"""The part of semihosting that every machine loads; the rest is loaded on the guest's first call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from arm_vcpu_cli.axvcpu.exit import SystemDown
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.vm.hosting import MachineHost

if TYPE_CHECKING:
    from arm_vcpu_cli.arm_vcpu.byte_order import StoppedCpu
    from arm_vcpu_cli.vm.semihosting.folder import Folder
    from arm_vcpu_cli.vm.semihosting.service import Service

_VIEW: Final = "arm_vcpu_cli.vm.semihosting.guest_view"
_UNUSED: Final[Mapping[str, object]] = MappingProxyType({"version": 1, "errno": 0, "handles": []})
"""The saved state before the first call."""

Call = Callable[[int, int], "int | SystemDown"]
"""Takes w0 and x1; returns the value for x0, or the end of the guest."""


class SemihostingPort:
    """Semihosting of one machine, which must be connected before its guest starts. The port closes ``folder``."""

    def __init__(self, folder: Folder | None = None) -> None:
        self._folder = folder
        self._make: Callable[[Folder | None], Service] | None = None
        self._service: Service | None = None

    def connect(self, make: Callable[[Folder | None], Service]) -> None:
        """Set the function that creates the service for the calls."""
        self._make = make

    def calls_of(self, core: CpuCore, host: MachineHost, cpu: StoppedCpu) -> Call:
        """Return the function that executes the calls of a vCPU on ``core``."""

        def call(operation: int, parameter: int) -> int | SystemDown:
            view = import_module(_VIEW).GuestView(core, host, cpu)
            return self._made().call(view, operation, parameter)

        return call

    def save(self) -> dict[str, Any]:
        """Return the guest's open files. Raises ValueError if one is a file of the host."""
        return dict(_UNUSED) if self._service is None else self._service.save()

    def load(self, state: object) -> None:
        """Close all open files and restore the state that :meth:`save` returned. Raises ValueError for any other
        state."""
        if self._service is not None or state != _UNUSED:
            self._made().load(state)

    def close(self) -> None:
        """Close all open files, and the folder."""
        if self._service is not None:
            self._service.load(dict(_UNUSED))
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    def _made(self) -> Service:
        if self._service is None:
            if self._make is None:
                raise ValueError("semihosting is not connected")
            self._service = self._make(self._folder)
        return self._service
