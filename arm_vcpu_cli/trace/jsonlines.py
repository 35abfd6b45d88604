"""Traces as JSON Lines, for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TextIO

from arm_vcpu_cli.arch.syndrome.esr import describe_esr
from arm_vcpu_cli.trace.event import (
    ENTRY,
    EXCEPTION,
    EXIT,
    NAME_KEYS,
    SCHEMA,
    SCHEMA_VERSION,
    Field,
    Hex,
    TracedDevice,
    TraceEnd,
    TraceEvent,
    TraceHeader,
)

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
_CONTINGENT: Final = 1 << 14
_FIELDS: Final = 1 << 12


class JsonLinesSink:
    """One JSON object in each line: ``"type": "trace"`` first, then events, one ``"end"`` and one ``"summary"``.

    Addresses and register values are strings in hexadecimal, because JSON readers lose the low bits of large numbers;
    everything else is a number, a string or a boolean. Unknown facts are omitted.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._write = stream.write
        self._held = ""
        """An exit whose entry follows immediately: both are written together."""
        self._entries = False
        self._known: dict[int, tuple[tuple[Field, ...], str]] = {}
        """The text of fields, by identity: similar accesses share one object. (Values cannot be keys: 1, Hex(1) and
        true are equal.)"""

    def header(self, header: TraceHeader) -> None:
        """Write the first line."""
        record = {
            "type": "trace",
            "schema": SCHEMA,
            "version": SCHEMA_VERSION,
            "tool": header.tool,
            "guest": header.guest,
            "machine": header.machine,
            "cpu": header.cpu,
            "clock": header.clock,
            "timing": header.timing,
            "vcpus": header.vcpus,
            "devices": [_device(device) for device in header.devices],
        }
        self._write(_ENCODER.encode(record) + "\n")

    def event(self, event: TraceEvent) -> None:
        """Write an event as a line."""
        # Writing an exit may take only a few microseconds: repeated parts are formatted once and cached.
        type_, seq, vcpu, time, name, pc, symbol, source, caller, el, esr, fields, note = event
        if pc is not None:
            place = _json_place(type_, name, pc, symbol, source, caller, el, esr)
        else:
            place = _json_name(type_, name) if name else ""
        said = ""
        if fields:
            known = self._known.get(id(fields))
            said = self._format(fields) if known is None or known[0] is not fields else known[1]
        if note:
            said += f"{_json_key('note')}{_json_value(note)}"
        line = f'{self._held}{{"type":"{type_}","seq":{seq},"vcpu":{vcpu},"time_ns":{time}{place}{said}}}\n'
        if type_ == EXIT and self._entries:
            self._held = line
            return
        self._write(line)
        self._held = ""
        if type_ == ENTRY:
            self._entries = True

    def _format(self, fields: tuple[Field, ...]) -> str:
        text = ""
        for key, value in fields:
            kind = type(value)
            if kind is Hex:
                text += f'{_json_key(key)}"{hex(value)}"'  # type: ignore[arg-type]
            elif kind is int:
                text += f"{_json_key(key)}{value}"
            else:
                text += _json_key(key) + _json_value(value)
        if len(self._known) >= _FIELDS:
            self._known.clear()
        self._known[id(fields)] = fields, text
        return text

    def end(self, end: TraceEnd) -> None:
        """Write the line with the end of the run."""
        record: dict[str, object] = {
            "type": "end",
            "ending": end.ending,
            "status": end.status,
            "message": end.message,
            "exits": end.exits,
            "time_ns": end.time,
        }
        if end.report:
            record["report"] = "\n".join(end.report)
        self._write(self._held)
        self._held = ""
        self._stream.write(_ENCODER.encode(record) + "\n")

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        """Write the last line, with the counts of all exits."""
        self._stream.write(_ENCODER.encode({"type": "summary", "exits": dict(counts), "total": total}) + "\n")
        self._stream.flush()


def _device(device: TracedDevice) -> dict[str, object]:
    record: dict[str, object] = {
        "name": device.name,
        "type": device.type,
        "base": hex(device.base),
        "size": hex(device.size),
    }
    if device.intid is not None:
        record["intid"] = device.intid
    return record


@lru_cache(maxsize=_CONTINGENT)
def _json_place(
    type_: str, name: str, pc: int, symbol: str, source: str, caller: str, el: int | None, esr: int | None
) -> str:
    """Return the part of an event between its time and its fields."""
    record: dict[str, object] = {NAME_KEYS[type_]: name} if type_ in NAME_KEYS else {}
    record["pc"] = hex(pc)
    record |= {key: text for key, text in (("symbol", symbol), ("source", source), ("caller", caller)) if text}
    if el is not None:
        record["el"] = el
    if esr is not None and type_ in (EXIT, EXCEPTION):
        record["esr"] = f"{esr:#010x}"
        record["esr_text"] = describe_esr(esr)
    return "," + _ENCODER.encode(record)[1:-1]


@lru_cache(maxsize=64)
def _json_name(type_: str, name: str) -> str:
    return f",{_ENCODER.encode(NAME_KEYS.get(type_, 'name'))}:{_ENCODER.encode(name)}"


@lru_cache(maxsize=256)
def _json_key(name: str) -> str:
    return f",{_ENCODER.encode(name)}:"


# 1 and True are equal, but have different texts.
@lru_cache(maxsize=4096, typed=True)
def _json_value(value: str | int) -> str:
    return _ENCODER.encode(value)
