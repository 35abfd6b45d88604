"""The elements of a trace: events of a vCPU and its machine with all known facts, before any formatting."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from arm_vcpu_cli.record import Record

SCHEMA: Final = "armvcpu-trace"
SCHEMA_VERSION: Final = 1
"""The name and the version of the event schema; a change that breaks readers increments the version."""
TIME_BITS: Final = 72
"""The width in bits of a guest's time in nanoseconds, which no run exceeds. A guest may wait for the whole range of its
64-bit counter, which counts every 16 nanoseconds."""

EXIT: Final = "exit"
ENTRY: Final = "entry"
EXCEPTION: Final = "exception"
IRQ: Final = "irq"
STATE: Final = "state"
CONSOLE: Final = "console"
ACCESS: Final = "access"
CODE: Final = "code"
FAULT: Final = "fault"
EVENT_TYPES: Final = (EXIT, ENTRY, EXCEPTION, IRQ, STATE, CONSOLE, ACCESS, CODE, FAULT)
"""An exit to EL2, the entry into the guest after it, an exception that the guest takes itself, a step in the life of an
interrupt, a change of a vCPU's state, a line of console output, an access to a device without an exit, memory that the
guest executes from for the first time, an injected fault."""
UNASKED_TYPES: Final = frozenset({CODE})
"""Types that are only reported on request: they concern the hypervisor alone."""

NAME_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {EXIT: "reason", EXCEPTION: "exception", IRQ: "action", STATE: "state", FAULT: "kind"}
)
"""The key of an event's name in JSON; the other types have none."""


class Hex(int):
    """An address or a register value, printed as hexadecimal by every sink; up to 64 bits."""

    __slots__ = ()

    def __str__(self) -> str:
        return hex(self)


Field = tuple[str, "Hex | int | str | bool"]
"""A name and a value."""


class TraceEvent(NamedTuple):
    """One event. ``type`` is one of :data:`EVENT_TYPES`, ``name`` the kind (the exit reason, the kind of exception, the
    step of an interrupt, the new state, the kind of fault).

    ``seq`` is the number of exits so far, from 1; an exit counts itself, and filtered events count too. ``time`` is in
    nanoseconds since the start of the run. ``pc`` is the preferred return address of an exit or exception, and the
    target of an entry; ``symbol`` (function+offset) and ``source`` (file:line) are of it, ``caller`` is the function
    that called the one at ``pc``. ``el`` is the guest's Exception level; ``esr`` is ESR_EL2 of an exit and ESR_EL1 of
    an exception, None if there is none. ``fields`` are those of the type and name, in order, each name once.
    """

    type: str
    seq: int
    vcpu: int
    time: int
    name: str
    pc: int | None = None
    symbol: str = ""
    source: str = ""
    caller: str = ""
    el: int | None = None
    esr: int | None = None
    fields: tuple[Field, ...] = ()
    note: str = ""


class TracedDevice(NamedTuple):
    """A device of the traced machine; ``base`` is an IPA, ``size`` in bytes, ``intid`` None without an interrupt."""

    name: str
    type: str
    base: int
    size: int
    intid: int | None = None


class TraceHeader(Record):
    """The facts about a trace, in its first line. ``clock`` is the source of the times, ``timing`` whether events have
    the host's time."""

    tool: str
    guest: str
    machine: str
    cpu: str
    clock: str
    timing: bool = False
    vcpus: int = 1
    devices: tuple[TracedDevice, ...] = ()


class TraceEnd(Record):
    """The end of a run: ``ending`` in a word or two, the exit ``status`` of the command, ``message`` for people, the
    number of ``exits`` to EL2 and the ``time`` of the run in nanoseconds; ``report`` has the lines of the report on a
    guest that did not end well."""

    ending: str
    status: int
    message: str
    exits: int
    time: int
    report: tuple[str, ...] = ()
