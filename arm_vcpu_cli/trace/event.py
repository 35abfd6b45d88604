"""One event of a trace: an exit of a vCPU, with everything that is known about it, before any formatting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Hex(int):
    """An address or a register value, printed as hexadecimal by every sink; up to 64 bits."""

    __slots__ = ()

    def __str__(self) -> str:
        return hex(self)


Field = tuple[str, "Hex | int | str | bool"]
"""A name and a value."""


class TraceEvent(NamedTuple):
    """An exit. ``seq`` counts all exits from 1, those that a filter drops included; ``time`` is in nanoseconds
    since the start of the run; ``pc`` is the preferred return address; ``esr`` is ESR_EL2, None where the exit
    came without one; ``fields`` are those of the reason, in order, each name once."""

    seq: int
    vcpu: int
    time: int
    reason: str
    pc: int
    symbol: str
    el: int
    esr: int | None
    fields: tuple[Field, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class TraceEnd:
    """How the run ended: ``ending`` in a word or two, the exit ``status`` of the command, ``message`` for people,
    all ``exits`` to EL2 and the ``time`` of the run in nanoseconds."""

    ending: str
    status: int
    message: str
    exits: int
    time: int
