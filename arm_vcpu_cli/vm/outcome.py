"""The end of a run in the library's form."""

from __future__ import annotations

from collections.abc import Mapping

from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.endings import Ending


class Result(Record):
    """The end of a run. ``status`` is the exit status of the equivalent command, ``message`` the line that it would
    print.

    ``console`` is the guest's output since the machine was opened, ``exits`` the number of exits to EL2 since then;
    ``registers`` are those of each vCPU by name: ``x0`` to ``x30``, ``sp``, ``pc`` and ``pstate``, 64 bits each.
    """

    ending: Ending
    status: int
    message: str
    console: bytes
    exits: int
    seconds: float
    registers: tuple[Mapping[str, int], ...]
