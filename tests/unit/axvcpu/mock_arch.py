"""An architecture that only records its calls, for the neutral layer's tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, Halt


class MockError(Exception):
    """What the mock raises when it is told to fail."""


@dataclass
class MockPerCpu:
    """A physical CPU of the mock architecture."""

    cpu_id: int = 0
    enabled: bool = False

    def is_enabled(self) -> bool:
        return self.enabled

    def hardware_enable(self) -> None:
        self.enabled = True

    def hardware_disable(self) -> None:
        self.enabled = False


@dataclass(frozen=True)
class MockConfig:
    """The configuration of the mock architecture."""

    colour: str = "blue"


@dataclass
class MockVCpu:
    """Logs each call; ``fail_in`` names the one that raises, ``during`` what happens inside a call."""

    log: list[tuple[object, ...]] = field(default_factory=list)
    exits: list[AxVCpuExitReason] = field(default_factory=list)
    fail_in: str | None = None
    during: dict[str, Callable[[], object]] = field(default_factory=dict)

    def _call(self, name: str, *arguments: object) -> None:
        self.log.append((name, *arguments))
        if name in self.during:
            self.during[name]()
        if name == self.fail_in:
            raise MockError(name)

    def set_entry(self, entry: int) -> None:
        self._call("set_entry", entry)

    def set_ept_root(self, ept_root: int) -> None:
        self._call("set_ept_root", ept_root)

    def setup(self, config: MockConfig) -> None:
        self._call("setup", config)

    def bind(self, cpu: MockPerCpu) -> None:
        self._call("bind", cpu.cpu_id)

    def run(self) -> AxVCpuExitReason:
        self._call("run")
        return self.exits.pop(0) if self.exits else Halt()

    def unbind(self) -> None:
        self._call("unbind")

    def set_gpr(self, reg: int, value: int) -> None:
        self._call("set_gpr", reg, value)

    def inject_interrupt(self, vector: int) -> None:
        self._call("inject_interrupt", vector)

    def set_return_value(self, value: int) -> None:
        self._call("set_return_value", value)
