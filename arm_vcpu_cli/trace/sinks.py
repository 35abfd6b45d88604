"""Where trace events go: aligned text for people, JSON Lines for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Protocol, TextIO

from arm_vcpu_cli.arch.esr import describe_esr
from arm_vcpu_cli.trace.event import Hex, TraceEnd, TraceEvent

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


class TraceSink(Protocol):
    """Takes events in order, then how the run ended, then the counts."""

    def event(self, event: TraceEvent) -> None:
        """One exit."""

    def end(self, end: TraceEnd) -> None:
        """How the run ended."""

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        """The end: exits by reason, and all of them."""


class TextSink:
    """One line an exit: number, vCPU, time in seconds, reason, place, fields, decoded syndrome.

    Exits that differ from the one before in number and time only are counted, and told in one line.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: tuple[object, ...] = ()
        self._repeated = 0

    def event(self, event: TraceEvent) -> None:
        """See :class:`TraceSink`."""
        seq, vcpu, time, *what = event
        said = (vcpu, *what)
        if said == self._last:
            self._repeated += 1
            return
        self._end_repetition()
        self._last = said
        parts = [
            f"{seq:>7} cpu{vcpu} {time / 1e9:>11.6f} {_text_place(event.reason, event.el, event.pc, event.symbol)}",
            " ".join([f"{name}={value}" for name, value in event.fields]),
        ]
        if event.note:
            parts.append(f"[{event.note}]")
        if event.esr is not None:
            parts.append(f"| ESR_EL2={event.esr:#010x} {describe_esr(event.esr)}")
        self._stream.write(" ".join([part for part in parts if part]) + "\n")

    def _end_repetition(self) -> None:
        if self._repeated:
            times = "once" if self._repeated == 1 else f"{self._repeated} times"
            self._stream.write(f"{'...':>7} the same {times} more\n")
            self._repeated = 0

    def end(self, end: TraceEnd) -> None:
        """See :class:`TraceSink`."""
        self._end_repetition()
        self._stream.write(f"\nended: {end.message} (status {end.status}, {end.time / 1e9:.6f} s)\n")

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        """See :class:`TraceSink`."""
        self._end_repetition()
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
        self._write = stream.write

    def event(self, event: TraceEvent) -> None:
        """See :class:`TraceSink`."""
        # An exit is told in a few microseconds: what comes again and again is formatted once and kept.
        seq, vcpu, time, reason, pc, symbol, el, esr, fields, note = event
        line = f'{{"type":"exit","seq":{seq},"vcpu":{vcpu},"time_ns":{time},{_json_place(reason, pc, symbol, el, esr)}'
        for name, value in fields:
            kind = type(value)
            if kind is Hex:
                line += f'{_json_key(name)}"{hex(value)}"'  # type: ignore[arg-type]
            elif kind is int:
                line += f"{_json_key(name)}{value}"
            else:
                line += _json_key(name) + _json_value(value)
        if note:
            line += f"{_json_key('note')}{_json_value(note)}"
        self._write(line + "}\n")

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
        self._stream.write(_ENCODER.encode(record) + "\n")

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        """See :class:`TraceSink`."""
        self._stream.write(_ENCODER.encode({"type": "summary", "exits": dict(counts), "total": total}) + "\n")
        self._stream.flush()


@lru_cache(maxsize=1 << 14)
def _text_place(reason: str, el: int, pc: int, symbol: str) -> str:
    place = f"{pc:#x}" + (f" <{symbol}>" if symbol else "")
    return f"{reason:<15} EL{el} {place:<32}"


@lru_cache(maxsize=1 << 14)
def _json_place(reason: str, pc: int, symbol: str, el: int, esr: int | None) -> str:
    """What an event has between its time and its fields."""
    record: dict[str, object] = {"reason": reason, "pc": hex(pc), "symbol": symbol or None, "el": el}
    if esr is not None:
        record["esr"] = f"{esr:#010x}"
        record["esr_text"] = describe_esr(esr)
    return _ENCODER.encode(record)[1:-1]


@lru_cache(maxsize=256)
def _json_key(name: str) -> str:
    return f",{_ENCODER.encode(name)}:"


# 1 and true are equal, and only one of them is 1.
@lru_cache(maxsize=4096, typed=True)
def _json_value(value: str | int) -> str:
    return _ENCODER.encode(value)
