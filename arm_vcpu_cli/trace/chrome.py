"""Traces in the JSON of Chrome's trace viewer ("Trace Event Format"), which chrome://tracing, Perfetto and Speedscope
read: an array of events, whose closing bracket may be missing, so that an interrupted run leaves a trace as well.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final, TextIO

from arm_vcpu_cli.trace.event import Hex, TraceHeader
from arm_vcpu_cli.trace.tracks import GROUPS, Args, TimelineSink, Track

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
_BETWEEN: Final = ",\n"
_NS_PER_US: Final = 1000


class ChromeSink(TimelineSink):
    """A :class:`~arm_vcpu_cli.trace.sinks.TraceSink` with the tracks of :mod:`~arm_vcpu_cli.trace.tracks`: a group of
    tracks is a process, a track a thread, and times are in microseconds."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(_EventWriter(stream))


class _EventWriter:
    """Implements :class:`~arm_vcpu_cli.trace.tracks.TrackWriter`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._write = stream.write
        self._records: list[str] = []
        self._separator = "[\n"
        self._guest = ""
        self._groups: set[str] = set()

    def start(self, header: TraceHeader) -> None:
        """Write the facts about the trace."""
        self._guest = header.guest
        self._group(GROUPS[0])
        about: Args = (
            ("guest", header.guest),
            ("machine", header.machine),
            ("cpu", header.cpu),
            ("clock", header.clock),
            ("tool", header.tool),
        )
        pid = _pid(GROUPS[0])
        self._record(f'"ph":"i","s":"p","ts":0.000,"pid":{pid},"tid":0,"name":"trace","args":{_args(about)}')

    def flush(self) -> None:
        """Write what is buffered."""
        self._write("".join(self._records))
        self._records.clear()

    def close(self) -> None:
        """Write the closing bracket."""
        self._write(f"{'' if self._separator == _BETWEEN else self._separator}\n]\n")
        self._stream.flush()

    def track(self, track: Track) -> None:
        """Name a track, as a process or a thread of one."""
        self._group(track.group)
        if track.unit is None:
            where = f'"ph":"M","pid":{_pid(track.group)},"tid":{track.id}'
            self._record(f'{where},"name":"thread_name","args":{{"name":{_text(track.name)}}}')
            self._record(f'{where},"name":"thread_sort_index","args":{{"sort_index":{track.id}}}')

    def instant(self, track: Track, time: int, name: str, args: Args) -> None:
        """Write an instant event."""
        self._record(f'"ph":"i","s":"t",{_where(track, time)},"name":{_text(name)},"args":{_args(args)}')

    def begin(self, track: Track, time: int, name: str, args: Args) -> None:
        """Write the start of a slice."""
        self._record(f'"ph":"B",{_where(track, time)},"name":{_text(name)},"args":{_args(args)}')

    def end(self, track: Track, time: int) -> None:
        """Write the end of the slice that is open on a track."""
        self._record(f'"ph":"E",{_where(track, time)}')

    def counter(self, track: Track, time: int, value: int) -> None:
        """Write a counter's value."""
        named = f'"name":{_text(track.name)},"args":{{{_text(track.unit or "value")}:{value}}}'
        self._record(f'"ph":"C",{_where(track, time)},{named}')

    def _group(self, group: str) -> None:
        if group in self._groups:
            return
        self._groups.add(group)
        where = f'"ph":"M","pid":{_pid(group)},"tid":0'
        name = f"{self._guest}: {group}" if self._guest else group
        self._record(f'{where},"name":"process_name","args":{{"name":{_text(name)}}}')
        self._record(f'{where},"name":"process_sort_index","args":{{"sort_index":{_pid(group)}}}')

    def _record(self, members: str) -> None:
        # The comma precedes a record, so the file is always a complete array except for the bracket.
        self._records.append(f"{self._separator}{{{members}}}")
        self._separator = _BETWEEN


def _pid(group: str) -> int:
    return GROUPS.index(group) + 1


def _where(track: Track, time: int) -> str:
    whole, rest = divmod(time, _NS_PER_US)
    return f'"ts":{whole}.{rest:03d},"pid":{_pid(track.group)},"tid":{track.id}'


@lru_cache(maxsize=4096)
def _text(text: str) -> str:
    return _ENCODER.encode(text)


def _args(args: Args) -> str:
    return "{" + ",".join([_arg(name, value) for name, value in args]) + "}"


# 1, true and 0x1 are equal, but written differently.
@lru_cache(maxsize=1 << 14, typed=True)
def _arg(name: str, value: Hex | int | str | bool) -> str:
    return f"{_text(name)}:{_ENCODER.encode(hex(value) if isinstance(value, Hex) else value)}"
