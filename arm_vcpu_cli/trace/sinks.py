"""Where trace events go: aligned text for people, JSON Lines for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol, TextIO

from arm_vcpu_cli.arch.esr import describe_esr
from arm_vcpu_cli.trace.event import Hex, TraceEnd, TraceEvent


class TraceSink(Protocol):
    """Takes events in order, then how the run ended, then the counts."""

    def event(self, event: TraceEvent) -> None:
        """One exit."""

    def end(self, end: TraceEnd) -> None:
        """How the run ended."""

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        """The end: exits by reason, and all of them."""


class TextSink:
    """One line an exit: number, vCPU, time in seconds, reason, place, fields, decoded syndrome."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def event(self, event: TraceEvent) -> None:
        """See :class:`TraceSink`."""
        place = f"{event.pc:#x}" + (f" <{event.symbol}>" if event.symbol else "")
        fields = " ".join(f"{name}={value}" for name, value in event.fields)
        parts = [
            f"{event.seq:>7} cpu{event.vcpu} {event.time / 1e9:>11.6f} {event.reason:<15} EL{event.el} {place:<32}",
            fields,
        ]
        if event.note:
            parts.append(f"[{event.note}]")
        if event.esr is not None:
            parts.append(f"| ESR_EL2={event.esr:#010x} {describe_esr(event.esr)}")
        self._stream.write(" ".join(part for part in parts if part) + "\n")

    def end(self, end: TraceEnd) -> None:
        """See :class:`TraceSink`."""
        self._stream.write(f"\nended: {end.message} (status {end.status}, {end.time / 1e9:.6f} s)\n")

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        """See :class:`TraceSink`."""
        self._stream.write(f"\n{'exits':>9}  reason\n")
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            self._stream.write(f"{count:>9}  {reason}\n")
        self._stream.write(f"{total:>9}  total\n")
        self._stream.flush()


class JsonLinesSink:
    """One JSON object a line: ``"type": "exit"`` for each exit, then one ``"end"`` and one ``"summary"``.

    Addresses and register values are strings in hexadecimal, because JSON readers lose the low bits of large
    numbers; everything else is a number, a string or a boolean.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encode = json.JSONEncoder(separators=(",", ":")).encode

    def event(self, event: TraceEvent) -> None:
        """See :class:`TraceSink`."""
        record: dict[str, object] = {
            "type": "exit",
            "seq": event.seq,
            "vcpu": event.vcpu,
            "time_ns": event.time,
            "reason": event.reason,
            "pc": f"{event.pc:#x}",
            "symbol": event.symbol or None,
            "el": event.el,
        }
        if event.esr is not None:
            record["esr"] = f"{event.esr:#010x}"
            record["esr_text"] = describe_esr(event.esr)
        for name, value in event.fields:
            record[name] = f"{value.value:#x}" if isinstance(value, Hex) else value
        if event.note:
            record["note"] = event.note
        self._stream.write(self._encode(record) + "\n")

    def end(self, end: TraceEnd) -> None:
        """See :class:`TraceSink`."""
        record = {
            "type": "end",
            "ending": end.ending,
            "status": end.status,
            "message": end.message,
            "exits": end.exits,
            "time_ns": end.time,
        }
        self._stream.write(self._encode(record) + "\n")

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        """See :class:`TraceSink`."""
        self._stream.write(self._encode({"type": "summary", "exits": dict(counts), "total": total}) + "\n")
        self._stream.flush()
