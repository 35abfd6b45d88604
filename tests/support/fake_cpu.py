"""A CPU of a machine as its scheduler sees it, without a vCPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from arm_vcpu_cli.vm.cpu import Activity, Cpu
from tests.support.fake_core import FakeCore


class FakeCpu:
    """What a scheduler asks of a :class:`Cpu`."""

    def __init__(self, index: int, core: FakeCore, activity: Activity = Activity.RUNNING) -> None:
        self.index = index
        self.core = core
        self.time = 0
        self.turns = 0
        self.activity = activity
        self.entered = 0
        self.seen: tuple[int, tuple[int, ...]] | None = None
        self.origin = 0
        """The PC at which the core has executed nothing."""
        self.spins = False
        """Whether it is where it was each time that it is looked at."""

    def place(self) -> tuple[int, tuple[int, ...]]:
        return 0 if self.spins else self.origin + self.core.executed, ()

    def enter(self) -> None:
        self.entered += 1

    def go_on(self) -> None: ...


def as_cpus(cpus: Sequence[FakeCpu]) -> list[Cpu]:
    """As a scheduler wants them."""
    return cast("list[Cpu]", list(cpus))
