"""The user's selection for a trace."""

from __future__ import annotations

from arm_vcpu_cli.record import Record
from arm_vcpu_cli.trace.selection import EVERYTHING, Selection


class TraceOptions(Record):
    """The selection of a trace. ``first`` and ``last`` are numbers of events, 0 for all.

    A trace that starts at an address or on console text is empty until then; one that stops there may start again.
    """

    selection: Selection = EVERYTHING
    timing: bool = False
    first: int = 0
    last: int = 0
    start_at: tuple[int, ...] = ()
    stop_at: tuple[int, ...] = ()
    start_on: bytes = b""
    stop_on: bytes = b""
