"""Formats a trace as text: one aligned line for each event, optionally in colour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TextIO

from arm_vcpu_cli.arch.syndrome.esr import describe_esr
from arm_vcpu_cli.printable import LONGEST_LINE, printable
from arm_vcpu_cli.trace.event import (
    ACCESS,
    CONSOLE,
    ENTRY,
    EXCEPTION,
    EXIT,
    FAULT,
    IRQ,
    STATE,
    TraceEnd,
    TraceEvent,
    TraceHeader,
)

Style = Callable[[str, str], str]
"""(text, its role: a value of :data:`ROLES`, "place", "syndrome" or "faint") -> the styled text."""
ROLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "MmioRead": "read",
        "SysRegRead": "read",
        "IoRead": "read",
        "MmioWrite": "write",
        "SysRegWrite": "write",
        "IoWrite": "write",
        "SendIPI": "write",
        "Hypercall": "call",
        "CpuUp": "call",
        "CpuDown": "call",
        "SystemDown": "call",
        "NestedPageFault": "fault",
        "FailEntry": "fault",
        "ExternalInterrupt": "irq",
        "Halt": "wait",
        "Nothing": "wait",
    }
)
"""The role of each exit reason; events of the other types have the role of their type."""
_NAME_WIDTH: Final = 17
_SELF_EVIDENT: Final = ("MmioRead", "MmioWrite", "SysRegRead", "SysRegWrite")
_IPI_REGISTER: Final = ("target_cpu", "target_list")
_TOLD_IN_WORDS: Final = frozenset({"ipa", "va", "device", "register", "offset", "data", "value", "meaning", "sysreg"})


def plain(text: str, _role: str) -> str:
    """Return the text without a style."""
    return text


def event_line(event: TraceEvent, style: Style = plain, digits: int = 1) -> str:
    """Return an event as a line without its end: number, vCPU, time in seconds, kind, place, details, decoded syndrome.

    ``digits`` is the number of digits of the highest vCPU number.
    """
    seq, vcpu, time = event.seq, event.vcpu, event.time
    return f"{seq:>7} cpu{vcpu:<{digits}} {time / 1e9:>13.9f} {event_text(event, style)}".rstrip()


def event_text(event: TraceEvent, style: Style = plain, *, syndrome: bool = True) -> str:
    """Return the part of a line after the time; without the ESR at its end unless ``syndrome``."""
    parts = [_headline(event, style), details(event, style)]
    if event.note:
        parts.append(f"[{event.note}]")
    if event.esr is not None and syndrome:
        parts.append(style(event_syndrome(event), "syndrome"))
    return " ".join(part for part in parts if part).rstrip()


def event_syndrome(event: TraceEvent) -> str:
    """Return the ESR of an event that has one, else an empty text."""
    esr = event.esr or 0
    register = "ESR_EL1" if event.type == EXCEPTION else "ESR_EL2"
    # The line already has the contents of a device access's syndrome, and lines are long enough.
    decoded = "" if event.name in _SELF_EVIDENT and not event.note else f" {describe_esr(esr)}"
    return f"| {register}={esr:#010x}{decoded}"


def _headline(event: TraceEvent, style: Style) -> str:
    name = event.name if event.type == EXIT else f"{event.type} {event.name}".strip()
    what = style(f"{name:<{_NAME_WIDTH}}", ROLES.get(event.name, event.type) if event.type == EXIT else event.type)
    if event.pc is None:
        return what
    el = "" if event.el is None else f"EL{event.el} "
    return f"{what} {el}{style(place(event.pc, event.symbol, event.source), 'place')}"


@lru_cache(maxsize=1 << 14)
def place(pc: int, symbol: str, source: str = "") -> str:
    """Return an address with its function, in a column, followed by the source line."""
    where = f"{pc:#x}" + (f" <{symbol}>" if symbol else "")
    return f"{where:<32}" + (f" {source}" if source else "")


def details(event: TraceEvent, style: Style = plain) -> str:
    """Return the fields of an event in words."""
    fields = dict(event.fields)
    if event.type == CONSOLE:
        return repr(fields.get("text", ""))
    if event.type == STATE:
        return f"from {fields.get('from', '?')}"
    if event.type == IRQ:
        return _interrupt(fields)
    if event.type == FAULT:
        return f"{fields.get('fault', '?')}: {fields.get('effect', '?')}"
    if "ipi" in fields:
        rest = " ".join([f"{name}={fields[name]}" for name in _IPI_REGISTER if name in fields])
        return f"{fields['ipi']} {style(rest, 'faint')}".rstrip()
    if event.type in (EXIT, ACCESS) and ("register" in fields or "device" in fields or "sysreg" in fields):
        return _access(event, fields, style)
    if event.type == ENTRY and not fields:
        return ""
    return " ".join([f"{name}={value}" for name, value in event.fields])


def _access(event: TraceEvent, fields: Mapping[str, object], style: Style) -> str:
    """Return ``PL011.UARTDR <- 'A'``, ``GICD_ISENABLER1 <- 0x2 (INTID 33)``, and the remaining fields."""
    register = fields.get("sysreg") or fields.get("register")
    if register is None:
        register = f"{fields.get('device', '?')}+{fields.get('offset', '?')}"
    text = str(register)
    arrow, value = ("<-", fields.get("data")) if "data" in fields else ("->", fields.get("value"))
    if event.name == "SysRegWrite":
        arrow = "<-"
    if value is not None:
        meaning = str(fields.get("meaning", ""))
        said = f"{value} ({meaning})" if meaning else str(value)
        text += f" {arrow} {meaning if meaning.startswith(chr(39)) else said}"
    rest = [f"{name}={field}" for name, field in event.fields if name not in _TOLD_IN_WORDS]
    if "ipa" in fields:
        rest.insert(0, f"ipa={fields['ipa']}")
    return f"{text} {style(' '.join(rest), 'faint')}" if rest else text


def _interrupt(fields: Mapping[str, object]) -> str:
    text = f"INTID {fields.get('intid', '?')}"
    source = fields.get("source_name")
    if source:
        text += f" ({source})"
    latency = fields.get("latency_ns")
    return text if latency is None else f"{text} after {_duration(latency)}"


def _duration(nanoseconds: object) -> str:
    value = nanoseconds if isinstance(nanoseconds, int) else 0
    if value < 1_000:
        return f"{value} ns"
    return f"{value / 1e3:.1f} us" if value < 1_000_000 else f"{value / 1e6:.3f} ms"


class TextSink:
    """Writes lines. Consecutive events that differ only in number and time are collapsed, with a count."""

    def __init__(self, stream: TextIO, style: Style = plain) -> None:
        self._stream = stream
        self._style = style
        self._digits = 1
        self._last: TraceEvent | None = None
        self._repeated = 0

    def header(self, header: TraceHeader) -> None:
        """Write the first line."""
        self._digits = len(str(header.vcpus - 1))
        cpus = header.cpu if header.vcpus == 1 else f"{header.vcpus} x {header.cpu}"
        about = printable(f"# {header.guest} on {header.machine}, {cpus}, clock: {header.clock}", LONGEST_LINE)
        self._stream.write(self._style(about, "faint") + "\n")

    def event(self, event: TraceEvent) -> None:
        """Write an event as a line, or count it if it repeats the line before."""
        last = self._last
        if last is not None and event.fields == last.fields and event._replace(seq=0, time=0) == last:
            self._repeated += 1
            return
        self._end_repetition()
        self._last = event._replace(seq=0, time=0)
        self._stream.write(event_line(event, self._style, self._digits) + "\n")

    def _end_repetition(self) -> None:
        if self._repeated:
            times = "once" if self._repeated == 1 else f"{self._repeated} times"
            self._stream.write(f"{'...':>7} the same {times} more\n")
            self._repeated = 0

    def end(self, end: TraceEnd) -> None:
        """Write the end of the run."""
        self._end_repetition()
        if self._last is None:
            self._stream.write("(no event met all criteria)\n")
        self._stream.write(f"\nended: {end.message} (status {end.status}, {end.time / 1e9:.6f} s)\n")

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        """Write the table of exits by reason."""
        self._end_repetition()
        self._stream.write(f"\n{'exits':>9}  reason\n")
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            self._stream.write(f"{count:>9}  {reason}\n")
        self._stream.write(f"{total:>9}  total\n")
        self._stream.flush()
