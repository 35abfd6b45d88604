"""Counts the events of a trace into statistics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from arm_vcpu_cli.trace.event import EXCEPTION, EXIT, IRQ, TIME_BITS
from arm_vcpu_cli.trace.eventline import is_plain, split
from arm_vcpu_cli.trace.exitkey import KEY_PROPERTIES, ExitKey, exit_key
from arm_vcpu_cli.trace.reader import Record, TraceReader
from arm_vcpu_cli.trace.statistics import Statistics

_MAX_CACHED: Final = 1 << 15
"""The most common texts cached for each type; each has a few hundred bytes."""
_MAX_TYPES: Final = 64

Count = Callable[[int, "int | None", "int | None"], None]
"""Counts an event at a time, with its ``host_ns`` and ``latency_ns``, if present."""


def tally(trace: TraceReader) -> Statistics:
    """Count all events of a trace. Raises TraceFileError if it is damaged."""
    statistics = Statistics()
    known: dict[bytes, dict[bytes, Count]] = {}
    for line in trace.lines():
        parts = split(line)
        if parts is not None:
            kind, vcpu, common, time, host_ns, latency = parts
            if kind in known:
                count = known[kind].get(vcpu + common)
                if count is not None:
                    count(time, host_ns, latency)
                    continue
        count = count_record(trace, trace.event(line), statistics)
        if parts is not None and is_plain(common) and (kind in known or len(known) < _MAX_TYPES):
            cache = known.setdefault(kind, {})
            if len(cache) >= _MAX_CACHED:
                cache.clear()
            cache[vcpu + common] = count
    return statistics


def count_record(trace: TraceReader, record: Record, statistics: Statistics) -> Count:
    """Count one event; return the function that counts similar ones. Raises TraceFileError if it is damaged."""
    count = _counter(trace, record, statistics)
    latency = trace.number(record, "latency_ns", TIME_BITS) if "latency_ns" in record else None
    count(record["time_ns"], record.get("host_ns"), latency)
    return count


def _counter(trace: TraceReader, record: Record, statistics: Statistics) -> Count:
    """Return a function that counts events like this one."""
    kind = record["type"]
    if kind == EXIT:
        return partial(statistics.exit, statistics.cell(_exit_key(trace, record)))
    if kind == EXCEPTION:
        return partial(statistics.exception, record["exception"])
    if kind == IRQ:
        intid, source = trace.number(record, "intid"), trace.optional(record, "source_name")
        return partial(statistics.interrupt, record["vcpu"], intid, source, record["action"])
    return partial(statistics.event, kind)


def _exit_key(trace: TraceReader, record: Record) -> ExitKey:
    said = {name: trace.optional(record, name) for name in KEY_PROPERTIES}
    if said["ipa"]:
        trace.address(record, "ipa")
    if record.get("el") is not None:
        said["el"] = str(trace.number(record, "el"))
    said["vcpu"] = str(record["vcpu"])
    return exit_key(said)
