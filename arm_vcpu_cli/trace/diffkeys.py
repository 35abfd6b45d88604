"""The keys by which events of two traces are compared."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from arm_vcpu_cli.trace.event import EXIT, NAME_KEYS
from arm_vcpu_cli.trace.eventline import is_plain, split
from arm_vcpu_cli.trace.overtime import OTHER
from arm_vcpu_cli.trace.reader import TraceReader

TIMES: Final = frozenset(("time_ns", "host_ns", "latency_ns"))
NUMBERS: Final = frozenset(("seq",))
"""Never compared: one additional event changes the numbers of all that follow."""
ADDRESSES: Final = frozenset(("pc", "va", "far", "vector", "entry_point", "source", "reg", "esr", "esr_text"))
"""Properties that may differ in another build of the same code: addresses, and the register that holds the value of an
access, which is also in the syndrome (ISS.SRT)."""
END: Final = "end"

_IDENTITY: Final = ("vcpu", "device", "register", "offset", "sysreg", "call", "nr", "intid", "conduit")
_OFFSET: Final = re.compile(r"\+0x[0-9a-f]+\Z")
_MAX_CACHED: Final = 1 << 15
_MAX_NAMES: Final = 1 << 10


@dataclass(frozen=True)
class Comparison:
    """Defines when two events are equal: all their properties but ``ignored``; with ``by_symbol`` functions instead of
    addresses; and only events of the types and exits of the reasons in ``only``, and of ``vcpus``, unless that is
    empty."""

    ignored: frozenset[str] = TIMES
    by_symbol: bool = False
    only: frozenset[str] = frozenset()
    vcpus: frozenset[int] = frozenset()

    def wants(self, kind: str, name: str, vcpu: int | None = None) -> bool:
        """Return whether events of this type, name and vCPU (None: of no vCPU) are compared."""
        if self.vcpus and vcpu is not None and vcpu not in self.vcpus:
            return False
        return not self.only or kind in self.only or (kind == EXIT and name in self.only)

    def key(self, record: Mapping[str, Any]) -> str:
        """Return a text that is the same for equal events."""
        return json.dumps(self.properties(record), separators=(",", ":"), sort_keys=True)

    def properties(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the compared properties of an event."""
        kept = {name: value for name, value in record.items() if name not in self.ignored and name not in NUMBERS}
        symbol = record.get("symbol")
        if self.by_symbol and isinstance(symbol, str) and symbol:
            kept = {name: value for name, value in kept.items() if name not in ADDRESSES}
            if "symbol" in kept:
                kept["symbol"] = _OFFSET.sub("", symbol)
        return kept

    def identity(self, record: Mapping[str, Any]) -> str:
        """Return a text that is the same for two events at one place and about one thing, whatever their results."""
        symbol = record.get("symbol")
        place = symbol if isinstance(symbol, str) and symbol else record.get("pc")
        if self.by_symbol and isinstance(place, str):
            place = _OFFSET.sub("", place)
        kind = record["type"]
        return repr((kind, record.get(NAME_KEYS.get(kind, "")), place, *(record.get(name) for name in _IDENTITY)))


class Event(NamedTuple):
    """One event of a trace: its key, the name under which it is counted, its line and the line's number."""

    key: str
    name: str
    line: bytes
    number: int


class Side:
    """One of two traces: its events in order, starting with those that have been examined and put back.

    ``counts`` has the consumed events by name, ``exit_names`` are the names of those that are exits.
    """

    def __init__(self, trace: TraceReader, comparison: Comparison) -> None:
        self.trace = trace
        self.counts: Counter[str] = Counter()
        self.pending: list[Event] = []
        self._comparison = comparison
        self._fast = not (TIMES - comparison.ignored)
        self._known: dict[bytes, tuple[str, str]] = {}
        self._names: set[str] = set()
        self.exit_names: set[str] = set()
        self._events = self._read()

    def fill(self, size: int) -> bool:
        """Read ahead until ``size`` events are pending; False if there are not that many left."""
        pending, events = self.pending, self._events
        while len(pending) < size:
            event = next(events, None)
            if event is None:
                return False
            pending.append(event)
        return True

    def take(self, count: int) -> list[Event]:
        """Consume the first ``count`` pending events."""
        taken = self.pending[:count]
        del self.pending[:count]
        for event in taken:
            self.counts[event.name] += 1
        return taken

    def next(self) -> Event | None:
        """Return the next event, consuming it only if it is counted; None at the end."""
        if self.pending:
            return self.pending.pop(0)
        return next(self._events, None)

    def record(self, event: Event) -> dict[str, Any]:
        """Return all facts about an event."""
        if event.name == END:
            end = self.trace.end
            assert end is not None
            return {"type": END, "seq": end.exits, "vcpu": 0, "time_ns": end.time, "ending": end.ending,
                    "status": end.status, "message": end.message}  # fmt: skip
        record: dict[str, Any] = json.loads(event.line)
        return record

    def _read(self) -> Iterator[Event]:
        trace, known, fast = self.trace, self._known, self._fast
        for line in trace.lines():
            parts = split(line, values=True) if fast else None
            if parts is not None:
                common = parts[0] + b" " + parts[1] + b" " + parts[2]
                found = known.get(common)
                if found is None:
                    found = self._decode(line)
                    if is_plain(parts[2]):
                        if len(known) >= _MAX_CACHED:
                            known.clear()
                        known[common] = found
            else:
                found = self._decode(line)
            key, name = found
            if key:
                yield Event(key, name, line, trace.line)
        end = trace.end
        if end is not None and self._comparison.wants(END, ""):
            yield Event(json.dumps([END, end.ending, end.status]), END, b"", trace.line)

    def _decode(self, line: bytes) -> tuple[str, str]:
        """Return the key, empty if the event is not to be compared, and the name."""
        record = self.trace.event(line)
        kind = record["type"]
        name = record[NAME_KEYS[kind]] if kind in NAME_KEYS else ""
        if not self._comparison.wants(kind, name, record["vcpu"]):
            return "", ""
        shown = name if kind == EXIT else f"{kind} {name}".rstrip()
        if shown not in self._names:
            shown = shown if len(self._names) < _MAX_NAMES else OTHER
            self._names.add(shown)
            if kind == EXIT:
                self.exit_names.add(shown)
        return self._comparison.key(record), shown
