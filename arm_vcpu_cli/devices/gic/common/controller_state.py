"""Saves and loads a whole interrupt controller: its interrupts, and the CPU interface of each PE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from arm_vcpu_cli.saved import Saved

VERSION: Final = 1


class Interrupts(Protocol):
    """The states of all interrupts and their routing."""

    def save(self) -> dict[str, Any]:
        """Return the state as plain data."""

    def load(self, saved: Saved) -> None:
        """Restore what was saved. Raises ValueError for anything else."""


class Held(Interrupts, Protocol):
    """A CPU interface, whose outputs can be held while others change."""

    def hold(self) -> Callable[[], None]:
        """Hold the outputs until the returned function is called."""


def save_controller(interrupts: Interrupts, interfaces: Sequence[Held]) -> dict[str, Any]:
    """Return the whole state as plain data, with the levels of all inputs."""
    return {
        "version": VERSION,
        "interrupts": interrupts.save(),
        "interfaces": [interface.save() for interface in interfaces],
    }


def load_controller(name: str, interrupts: Interrupts, interfaces: Sequence[Held], state: object) -> None:
    """Load what :func:`save_controller` returned for a controller of the same shape, which must not be watched; outputs
    that differ are signalled. Raises ValueError, without a change, for anything else."""
    before = save_controller(interrupts, interfaces)
    releases = [interface.hold() for interface in interfaces]
    try:
        _load(Saved(state, name, version=VERSION), interrupts, interfaces)
    except ValueError:
        _load(Saved(before), interrupts, interfaces)
        raise
    finally:
        for release in releases:
            release()


def _load(saved: Saved, interrupts: Interrupts, interfaces: Sequence[Held]) -> None:
    parts = saved.parts("interfaces", len(interfaces))
    interrupts.load(saved.part("interrupts"))
    for interface, part in zip(interfaces, parts, strict=True):
        interface.load(part)
