"""The end of a run as the library tells it."""

from __future__ import annotations

from collections.abc import Mapping

from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.endings import Ending


class Result(Record):
    """How a run ended. ``status`` is what the command would exit with, ``message`` the line that it would print.

    ``console`` is what the guest has printed since the machine was opened, ``exits`` counts those to EL2 since then;
    ``registers`` are those of each vCPU by name: ``x0`` to ``x30``, ``sp``, ``pc`` and ``pstate``, 64 bits each.
    """

    ending: Ending
    status: int
    message: str
    console: bytes
    exits: int
    seconds: float
    registers: tuple[Mapping[str, int], ...]
