"""Writes traces for Perfetto (ui.perfetto.dev) in its native format, ``perfetto.protos.Trace``, packet by packet.

A file is a sequence of TracePackets, so the output of an interrupted run is a valid trace too. Repeated names and
values are written once and referred to by number (``protos/perfetto/trace/interned_data``). The field numbers are those
of ``protos/perfetto/trace/{trace_packet,track_event/*}.proto``.
"""

from __future__ import annotations

from typing import BinaryIO, Final

from arm_vcpu_cli.trace.event import Hex, TraceHeader
from arm_vcpu_cli.trace.protobuf import delimited, integer, string, varint
from arm_vcpu_cli.trace.tracks import GROUPS, Args, TimelineSink, Track

Value = Hex | int | str | bool

_SEQUENCE: Final = 1
_PROCESS: Final = 1
"""The pid of the guest in the display, and the uuid of its track; threads and tracks have higher numbers."""
_FIRST_GROUP: Final = _PROCESS + 1
_FIRST_TRACK: Final = _FIRST_GROUP + len(GROUPS)
_MAX_INTERNED: Final = 1 << 16
_MAX_KEPT: Final = 1 << 14
_MAX_SMALL: Final = 1 << 10
_MAX_NAME: Final = 512
_LAST_TIME: Final = (1 << 63) - 1
"""The format's times are signed 64-bit numbers: everything after 300 years is shown at that time."""

# Trace, TracePacket
_PACKET: Final = 1
_TIMESTAMP: Final = 8
_SEQUENCE_ID: Final = 10
_TRACK_EVENT: Final = 11
_INTERNED_DATA: Final = 12
_SEQUENCE_FLAGS: Final = 13
_TRACK_DESCRIPTOR: Final = 60
_INCREMENTAL_STATE_CLEARED: Final = 1
_NEEDS_INCREMENTAL_STATE: Final = 2

# TrackEvent
_ANNOTATIONS: Final = 4
_TYPE: Final = 9
_NAME_IID: Final = 10
_TRACK_UUID: Final = 11
_NAME: Final = 23
_COUNTER_VALUE: Final = 30
_SLICE_BEGIN: Final = 1
_SLICE_END: Final = 2
_INSTANT: Final = 3
_COUNTER: Final = 4

# TrackDescriptor, ProcessDescriptor, ThreadDescriptor, CounterDescriptor
_UUID: Final = 1
_DESCRIPTOR_NAME: Final = 2
_DESCRIPTOR_PROCESS: Final = 3
_DESCRIPTOR_THREAD: Final = 4
_PARENT_UUID: Final = 5
_DESCRIPTOR_COUNTER: Final = 8
_CHILD_ORDERING: Final = 11
_SIBLING_ORDER_RANK: Final = 12
_EXPLICIT: Final = 3
_PID: Final = 1
_TID: Final = 2
_THREAD_NAME: Final = 5
_PROCESS_NAME: Final = 6
_UNIT_NAME: Final = 6

# DebugAnnotation
_ANNOTATION_NAME_IID: Final = 1
_BOOL_VALUE: Final = 2
_INT_VALUE: Final = 4
_STRING_VALUE: Final = 6
_POINTER_VALUE: Final = 7
_ANNOTATION_NAME: Final = 10
_STRING_IID: Final = 17

# InternedData, and the messages in it
_EVENT_NAMES: Final = 2
_ANNOTATION_NAMES: Final = 3
_ANNOTATION_STRINGS: Final = 29
_IID: Final = 1
_INTERNED_TEXT: Final = 2

_SEQUENCE_FIELD: Final = integer(_SEQUENCE_ID, _SEQUENCE)
_DEPENDENT: Final = _SEQUENCE_FIELD + integer(_SEQUENCE_FLAGS, _NEEDS_INCREMENTAL_STATE)
_TIMESTAMP_TAG: Final = varint(_TIMESTAMP << 3)


class PerfettoSink(TimelineSink):
    """A :class:`~arm_vcpu_cli.trace.sinks.TraceSink` of one process, the guest, with the tracks of
    :mod:`~arm_vcpu_cli.trace.tracks`."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(_PacketWriter(stream))


class _PacketWriter:
    """Implements :class:`~arm_vcpu_cli.trace.tracks.TrackWriter`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._write = stream.write
        self._packets: list[bytes] = []
        self._time = -1
        self._start = b""
        self._prefixes: dict[tuple[int, int], bytes] = {}
        self._interned: dict[int, dict[str, int]] = {_EVENT_NAMES: {}, _ANNOTATION_NAMES: {}, _ANNOTATION_STRINGS: {}}
        self._unwritten: list[bytes] = []
        self._annotations: dict[tuple[str, type, Value], bytes] = {}
        self._groups: set[str] = set()

    def close(self) -> None:
        """Write the remaining data."""
        self._stream.flush()

    def start(self, header: TraceHeader) -> None:
        """Write the first packet, the process, and the facts about the trace as arguments of an event on its track."""
        self._packet(_SEQUENCE_FIELD + integer(_SEQUENCE_FLAGS, _INCREMENTAL_STATE_CLEARED))
        process = integer(_PID, _PROCESS) + string(_PROCESS_NAME, f"guest {header.guest}")
        self._descriptor(
            integer(_UUID, _PROCESS) + delimited(_DESCRIPTOR_PROCESS, process) + integer(_CHILD_ORDERING, _EXPLICIT)
        )
        about: Args = (
            ("guest", header.guest),
            ("machine", header.machine),
            ("cpu", header.cpu),
            ("clock", header.clock),
            ("tool", header.tool),
        )
        self._event(_INSTANT, _PROCESS, 0, "trace", about)

    def track(self, track: Track) -> None:
        """Write the descriptor of a track."""
        uuid = integer(_UUID, _uuid(track))
        if track.vcpu is not None:
            thread = integer(_PID, _PROCESS) + integer(_TID, _tid(track.vcpu)) + string(_THREAD_NAME, track.name)
            self._descriptor(uuid + delimited(_DESCRIPTOR_THREAD, thread) + integer(_SIBLING_ORDER_RANK, track.id))
            return
        described = uuid + string(_DESCRIPTOR_NAME, track.name) + integer(_SIBLING_ORDER_RANK, track.id)
        if track.parent is not None:
            described += integer(_PARENT_UUID, _FIRST_TRACK + track.parent)
        else:
            described += integer(_PARENT_UUID, self._group(track.group))
        if track.unit is not None:
            described += delimited(_DESCRIPTOR_COUNTER, string(_UNIT_NAME, track.unit))
        self._descriptor(described)

    def instant(self, track: Track, time: int, name: str, args: Args) -> None:
        """Write an instant event."""
        self._event(_INSTANT, _uuid(track), time, name, args)

    def begin(self, track: Track, time: int, name: str, args: Args) -> None:
        """Write the start of a slice."""
        self._event(_SLICE_BEGIN, _uuid(track), time, name, args)

    def end(self, track: Track, time: int) -> None:
        """Write the end of the slice that is open on a track."""
        self._event(_SLICE_END, _uuid(track), time, "", ())

    def counter(self, track: Track, time: int, value: int) -> None:
        """Write a counter's value."""
        event = self._prefix(_COUNTER, _uuid(track)) + integer(_COUNTER_VALUE, value)
        self._packet(self._at(time) + delimited(_TRACK_EVENT, event))

    def flush(self) -> None:
        """Write what is buffered."""
        self._write(b"".join(self._packets))
        self._packets.clear()

    def _group(self, group: str) -> int:
        rank = GROUPS.index(group)
        uuid = _FIRST_GROUP + rank
        if group not in self._groups:
            self._groups.add(group)
            self._descriptor(
                integer(_UUID, uuid)
                + string(_DESCRIPTOR_NAME, group)
                + integer(_PARENT_UUID, _PROCESS)
                + integer(_CHILD_ORDERING, _EXPLICIT)
                + integer(_SIBLING_ORDER_RANK, rank)
            )
        return uuid

    def _descriptor(self, descriptor: bytes) -> None:
        self._packet(_SEQUENCE_FIELD + delimited(_TRACK_DESCRIPTOR, descriptor))

    def _event(self, kind: int, uuid: int, time: int, name: str, args: Args) -> None:
        event = self._prefix(kind, uuid)
        if name:
            event += self._named(_NAME_IID, _NAME, _EVENT_NAMES, name[:_MAX_NAME])
        if args:
            event += b"".join([self._annotation(key, value) for key, value in args])
        packet = self._at(time) + delimited(_TRACK_EVENT, event)
        if self._unwritten:
            packet += delimited(_INTERNED_DATA, b"".join(self._unwritten))
            self._unwritten.clear()
        self._packet(packet)

    def _packet(self, packet: bytes) -> None:
        self._packets.append(delimited(_PACKET, packet))

    def _at(self, time: int) -> bytes:
        """Return the start of a packet; those of one event share it."""
        if time != self._time:
            self._time = time
            self._start = _TIMESTAMP_TAG + varint(min(time, _LAST_TIME)) + _DEPENDENT
        return self._start

    def _prefix(self, kind: int, uuid: int) -> bytes:
        prefix = self._prefixes.get((kind, uuid))
        if prefix is None:
            prefix = self._prefixes[kind, uuid] = integer(_TYPE, kind) + integer(_TRACK_UUID, uuid)
        return prefix

    def _annotation(self, name: str, value: Value) -> bytes:
        kind = type(value)
        if kind is int and value > _MAX_SMALL:  # type: ignore[operator]
            # Numbers of exits and times do not repeat.
            return self._encode(name, value)
        key = (name, kind, value)
        annotation = self._annotations.get(key)
        if annotation is None:
            if len(self._annotations) >= _MAX_KEPT:
                self._annotations.clear()
            annotation = self._annotations[key] = self._encode(name, value)
        return annotation

    def _encode(self, name: str, value: Value) -> bytes:
        encoded = self._named(_ANNOTATION_NAME_IID, _ANNOTATION_NAME, _ANNOTATION_NAMES, name)
        if isinstance(value, str):
            encoded += self._named(_STRING_IID, _STRING_VALUE, _ANNOTATION_STRINGS, value)
        elif isinstance(value, Hex):
            encoded += integer(_POINTER_VALUE, value)
        elif isinstance(value, bool):
            encoded += integer(_BOOL_VALUE, value)
        else:
            encoded += integer(_INT_VALUE, value)
        return delimited(_ANNOTATIONS, encoded)

    def _named(self, iid_field: int, text_field: int, table: int, text: str) -> bytes:
        """Return a reference to a text, which is written with the next event if it is new; beyond the limit, the text
        itself."""
        known = self._interned[table]
        iid = known.get(text)
        if iid is None:
            if len(known) >= _MAX_INTERNED:
                return string(text_field, text)
            iid = known[text] = len(known) + 1
            self._unwritten.append(delimited(table, integer(_IID, iid) + string(_INTERNED_TEXT, text)))
        return integer(iid_field, iid)


def _uuid(track: Track) -> int:
    return _FIRST_TRACK + track.id


def _tid(vcpu: int) -> int:
    # The thread with the number of the process is its main thread, and would be named after it.
    return _PROCESS + 1 + vcpu
