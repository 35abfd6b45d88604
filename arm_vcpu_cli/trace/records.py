"""Converts lines of a trace back to events, for code that shows events: the lines may contain anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from arm_vcpu_cli.printable import LONGEST_NAME, printable
from arm_vcpu_cli.trace.event import CONSOLE, NAME_KEYS, Field, TraceEvent

_COMMON: Final = frozenset(
    ("type", "seq", "vcpu", "time_ns", "pc", "symbol", "source", "caller", "el", "esr", "esr_text", "note")
)
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{1,16}").fullmatch
_SYNDROME: Final = re.compile(r"0x[0-9a-f]{1,8}").fullmatch


def event_of(record: Mapping[str, Any]) -> TraceEvent:
    """Return the event of a line that a :class:`~arm_vcpu_cli.trace.reader.TraceReader` has checked.

    Deviations from the schema are omitted or shown unchanged, but never as more than one line. Fields that are null or
    empty are omitted.
    """
    name_key = NAME_KEYS.get(record["type"], "name")
    pc, esr, el = record.get("pc"), record.get("esr"), record.get("el")
    fields: list[Field] = [
        (printable(key), _shown(record["type"], value))
        for key, value in record.items()
        if key not in _COMMON and key != name_key and value is not None and value != ""
    ]
    return TraceEvent(
        type=printable(record["type"]),
        seq=record["seq"],
        vcpu=record["vcpu"],
        time=record["time_ns"],
        name=_text(record, name_key),
        pc=int(pc, 16) if isinstance(pc, str) and _ADDRESS(pc) else None,
        symbol=_text(record, "symbol"),
        source=_text(record, "source"),
        caller=_text(record, "caller"),
        el=el if type(el) is int and 0 <= el <= 3 else None,
        esr=int(esr, 16) if isinstance(esr, str) and _SYNDROME(esr) else None,
        fields=tuple(fields),
        note=_text(record, "note"),
    )


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    return printable(value) if isinstance(value, str) else ""


def _shown(kind: str, value: object) -> int | bool | str:
    if isinstance(value, str):
        # Console text is shown in quotes, with its own escapes.
        return value[:LONGEST_NAME] if kind == CONSOLE else printable(value)
    if isinstance(value, (bool, int)) and -(1 << 64) < value < 1 << 64:
        return value
    return printable(str(value)) if not isinstance(value, int) else "(too large)"
