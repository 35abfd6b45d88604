"""Renders the report of a trace as one HTML page: without other files, without network, and without any active content
from the guest.

The page's Content-Security-Policy (W3C CSP Level 3) names its scripts and styles by their hashes: a script from the
guest's output would not run even if its text had not been escaped.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Final

from arm_vcpu_cli.printable import printable
from arm_vcpu_cli.trace.bins import Bins
from arm_vcpu_cli.trace.digest import ConsoleLine, Digest, ShownEvent
from arm_vcpu_cli.trace.exitkey import CALL, CALLER, IPI, REASON, REGISTER, SYMBOL, SYSREG, VCPU
from arm_vcpu_cli.trace.htmltable import Column, card, counts, duration, number, table, text
from arm_vcpu_cli.trace.statistics import Interrupt

_PARTS: Final = "arm_vcpu_cli.trace.page"
_PLACE: Final = re.compile(r"\{\{(\w+)\}\}")
_SECTIONS: Final = (("timeline", "Timeline"), ("tables", "Counts"), ("console", "Console"), ("events", "Events"))
_INTERRUPT_LANES: Final = 12


def render(digest: Digest) -> str:
    """Return the page of a trace."""
    style, script = _part("report.css"), _part("report.js")
    header, end = digest.header, digest.end
    timed = bool(digest.statistics.durations().count)
    values = {
        "style": style,
        "style_hash": _hash(style),
        "script": script,
        "script_hash": _hash(script),
        "title": f"{text(header.guest)} \N{EN DASH} armvcpu report",
        "guest": text(header.guest or "(unnamed guest)"),
        "tool": text(header.tool),
        "ending": text(end.message) if end is not None else "the trace does not say how the run ended",
        "ending_class": "" if end is None else "good" if end.status == 0 else "bad",
        "navigation": "".join(f'<a href="#{name}">{title}</a>' for name, title in _sections(digest, timed=timed)),
        "report": _report(digest),
        "warning": _warning(digest),
        "tiles": _tiles(digest),
        "latency": _LATENCY if timed else "",
        "tables": _tables(digest, timed=timed),
        "console": _console(digest),
        "events_note": _events_note(digest),
        "about": _about(digest),
        "time_note": f", counted by its {text(header.clock)} clock" if header.clock else "",
        "data": _data(digest),
    }
    # In one pass: inserted text is never searched again.
    return _PLACE.sub(lambda match: values[match[1]], _part("report.html"))


_LATENCY: Final = """<section id="latency" aria-labelledby="latency-heading">
<h2 id="latency-heading">Host time per exit</h2>
<div class="chart"><svg id="histogram" role="img" aria-label="Exits by host time"></svg></div>
</section>"""


_REPORT: Final = """<section id="report" aria-labelledby="report-heading">
<h2 id="report-heading">Report</h2>
<pre class="report" tabindex="0" role="region" aria-label="Report on the end of the run">{}</pre>
</section>"""


def _part(name: str) -> str:
    return files(_PARTS).joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _report(digest: Digest) -> str:
    """Return the command's report on a guest that died."""
    if digest.end is None or not digest.end.report:
        return ""
    lines = "\n".join(line if line.startswith(" ") else f"<b>{line}</b>" for line in map(text, digest.end.report))
    return _REPORT.replace("{}", lines)


def _sections(digest: Digest, *, timed: bool) -> Iterable[tuple[str, str]]:
    if digest.end is not None and digest.end.report:
        yield "report", "Report"
    for name, title in _SECTIONS:
        yield name, title
        if timed and name == "timeline":
            yield "latency", "Host time"


def _warning(digest: Digest) -> str:
    if not digest.truncated and digest.end is not None:
        return ""
    what = "The trace breaks off in the middle of a line" if digest.truncated else "The trace has no end"
    return (
        f'<p class="warning">{what}: the run was interrupted or has not ended. The page shows what the trace holds.</p>'
    )


def _tiles(digest: Digest) -> str:
    statistics, seconds = digest.statistics, digest.duration / 1e9
    exits = statistics.exits
    tiles = [(number(exits), "exits"), (duration(digest.duration), "guest time")]
    if seconds and exits:
        tiles.append((number(round(exits / seconds)), "exits per second"))
    total = digest.end.exits if digest.end is not None else exits
    if total != exits:
        tiles.append((number(total), "exits of the run, filtered or not"))
    waiting = digest.waited / digest.duration if digest.duration else 0.0
    tiles.append((f"{100 * waiting / max(1, digest.header.vcpus):.1f} %", "waiting in WFI"))
    acknowledged = sum(each.actions["acknowledged"] for each in statistics.interrupts())
    if acknowledged:
        tiles.append((number(acknowledged), "interrupts taken"))
    host = statistics.durations()
    if host.count:
        tiles.append((duration(host.total), "host time in exits"))
        tiles.append((duration(host.quantile(0.5)), "host time per exit, median"))
    return "".join(f"<li><b>{value}</b><span>{html.escape(label)}</span></li>" for value, label in tiles)


def _tables(digest: Digest, *, timed: bool) -> str:
    statistics = digest.statistics
    parts = [
        counts("Exits by reason", "Reason", statistics.by(REASON), timed=timed, wide=timed),
        counts("Exits by vCPU", "vCPU", statistics.by(VCPU), timed=timed) if statistics.vcpus > 1 else "",
        counts("Device registers", "Register", statistics.by(REGISTER), timed=False),
        counts("System registers", "Register", statistics.by(SYSREG), timed=False),
        counts("Calls to the hypervisor", "Call", statistics.by(CALL), timed=False),
        counts("Inter-processor interrupts", "Sent", statistics.by(IPI), timed=False),
        counts("Functions that exit", "Function", statistics.by(SYMBOL), timed=False),
        counts("Their callers", "Function", statistics.by(CALLER), timed=False)
        if any(row.label != "(unknown)" for row in statistics.by(CALLER))
        else "",
        counts("Exceptions within the guest", "Exception", statistics.exceptions(), timed=False),
        _interrupts("Interrupts", statistics.interrupts()),
        _interrupts("Interrupts of each vCPU", statistics.interrupts_by_vcpu(), by_vcpu=True)
        if statistics.vcpus > 1
        else "",
    ]
    return "\n".join(part for part in parts if part)


def _interrupts(caption: str, found: Sequence[Interrupt], *, by_vcpu: bool = False) -> str:
    if not found:
        return ""
    columns = [
        *([Column("vCPU")] if by_vcpu else []),
        Column("INTID", True), Column("Source"), Column("Raised", True), Column("Taken", True),
        Column("Raised to taken, median", True), Column("p99", True), Column("Taken to ended, median", True),
    ]  # fmt: skip
    rows = [
        [
            *([f"cpu{each.vcpu}"] if by_vcpu else []),
            str(each.intid),
            text(each.source),
            number(each.actions["raised"]),
            number(each.actions["acknowledged"]),
            duration(each.pending.quantile(0.5)) if each.pending.count else "",
            duration(each.pending.quantile(0.99)) if each.pending.count else "",
            duration(each.active.quantile(0.5)) if each.active.count else "",
        ]
        for each in sorted(found, key=lambda each: -sum(each.actions.values()))[: 2 * _INTERRUPT_LANES]
    ]
    return f'<div class="wide">{table(caption, columns, rows, note="in guest time")}</div>'


def _console(digest: Digest) -> str:
    if not digest.lines:
        return '<p class="hint">The guest wrote nothing, or the trace does not include its console.</p>'
    parts = [_console_line(line) for line in digest.begin]
    if digest.lines_left_out:
        parts.append(f"<span>\N{HORIZONTAL ELLIPSIS} {number(digest.lines_left_out)} lines are omitted</span>")
    parts += [_console_line(line) for line in digest.rest]
    return (
        '<div class="console" tabindex="0" role="region" aria-label="What the guest wrote">' + "".join(parts) + "</div>"
    )


def _console_line(line: ConsoleLine) -> str:
    return f'<span data-time="{line.time / 1e9:.6f}">{text(line.text.rstrip()) or "&#8203;"}</span>'


def _events_note(digest: Digest) -> str:
    if not digest.left_out:
        return f"All {number(digest.events)} events of the trace."
    first, last = number(len(digest.first)), number(len(digest.last))
    return f"The first {first} and the last {last} of {number(digest.events)} events."


def _about(digest: Digest) -> str:
    header, end = digest.header, digest.end
    facts = [
        ("Guest", header.guest),
        ("Machine", header.machine),
        ("CPU", header.cpu),
        ("vCPUs", str(header.vcpus)),
        ("Clock", header.clock),
        ("Traced by", header.tool),
    ]
    if end is not None:
        facts += [("Ending", f"{end.ending}: {end.message}"), ("Exit status", str(end.status))]
        facts.append(("Guest time", f"{end.time / 1e9:.9f} s"))
    listed = "".join(f"<dt>{html.escape(name)}</dt><dd>{text(value)}</dd>" for name, value in facts if value)
    parts = [card(f"<h3>Run</h3><dl>{listed}</dl>")]
    if header.devices:
        columns = [
            Column("Device"), Column("Type"), Column("Base", True), Column("Size", True), Column("INTID", True)
        ]  # fmt: skip
        rows = [
            [
                text(each.name),
                text(each.type),
                f"{each.base:#x}",
                f"{each.size:#x}",
                "" if each.intid is None else str(each.intid),
            ]
            for each in header.devices[: 4 * _INTERRUPT_LANES]
        ]
        parts.append(card(table("Devices", columns, rows)))
    return "\n".join(parts)


def _data(digest: Digest) -> str:
    """Return the data for the page's drawings, as JSON that cannot end the element around it (HTML Standard,
    4.12.1.3)."""
    end = max(digest.duration, 1)
    exits, interrupts = digest.exits, digest.interrupts
    # If a run is much longer than its last event, its bins are as wide as those of the rest.
    data = {
        "width": 1 << exits.shift,
        "bins": exits.used(end),
        "end": end,
        "died": digest.end is not None and digest.end.status != 0,
        "exits": _rows(exits, end),
        "vcpus": [{"vcpu": vcpu, "rows": _rows(bins, end)} for vcpu, bins in sorted(digest.vcpus.items())],
        "interrupts": _rows(interrupts, end)[:_INTERRUPT_LANES],
        "powers": [list(each) for each in sorted(digest.statistics.durations().by_power().items())],
        "first": [_event(each) for each in digest.first],
        "last": [_event(each) for each in digest.last],
        "leftOut": digest.left_out,
    }
    encoded = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return encoded.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _rows(bins: Bins, end: int) -> list[dict[str, object]]:
    used = bins.used(end)
    rows = sorted(bins.rows.items(), key=lambda item: (-sum(item[1]), item[0]))
    return [{"name": printable(name), "amounts": amounts[:used]} for name, amounts in rows]


def _event(event: ShownEvent) -> list[object]:
    # Times above 2**53 ns, a hundred days, lose their last digits in JavaScript.
    return [printable(value) if isinstance(value, str) else value for value in event]
