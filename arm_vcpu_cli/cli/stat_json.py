"""The summary of ``armvcpu stat`` for programs."""

from __future__ import annotations

from collections.abc import Iterable

from arm_vcpu_cli.cli.stat_view import EXCEPTION, INTERRUPT, TIME, VCPU_INTERRUPT, View, tables_of
from arm_vcpu_cli.trace.histogram import Durations
from arm_vcpu_cli.trace.statistics import Interrupt, Row, Statistics

_HISTORY = 64


def as_json(statistics: Statistics, view: View) -> dict[str, object]:
    """The content of the tables of ``view``; times are in nanoseconds, and present only if known."""
    together = statistics.durations()
    tables: dict[str, object] = {}
    for name in tables_of(statistics, view):
        if name == INTERRUPT:
            tables[name] = [_interrupt(each) for each in statistics.interrupts()[: view.top or None]]
            continue
        if name == VCPU_INTERRUPT:
            by_vcpu = statistics.interrupts_by_vcpu()[: view.top or None]
            tables[name] = [{"vcpu": each.vcpu, **_interrupt(each)} for each in by_vcpu]
            continue
        if name == EXCEPTION:
            rows, whole = statistics.exceptions(), statistics.events.get(EXCEPTION, 0)
        else:
            rows, whole = statistics.by(name, width=_HISTORY), statistics.exits
        if view.sort == TIME:
            rows.sort(key=lambda row: (-row.durations.total, row.label))
        tables[name] = _rows(rows[: view.top or None], whole)
    summary: dict[str, object] = {
        "exits": statistics.exits,
        "ipis": dict(statistics.ipis()),
        "events": dict(sorted(statistics.events.items())),
        "first_ns": statistics.first,
        "last_ns": statistics.last,
        "tables": tables,
    }
    if together.count:
        summary["host_ns"] = _durations(together)
    if view.histogram:
        summary["histogram"] = [
            {"from_ns": 0 if power < 0 else 1 << power, "to_ns": 1 << power + 1, "count": count}
            for power, count in together.by_power().items()
        ]
    return summary


def _rows(rows: Iterable[Row], whole: int) -> list[dict[str, object]]:
    return [
        {
            "name": row.label,
            "count": row.count,
            "share": row.count / whole if whole else 0.0,
            **({"host_ns": _durations(row.durations)} if row.durations.count else {}),
            **({"over_time": list(row.over_time)} if row.over_time else {}),
        }
        for row in rows
    ]


def _interrupt(interrupt: Interrupt) -> dict[str, object]:
    known: dict[str, object] = {"intid": interrupt.intid, "source": interrupt.source, **interrupt.actions}
    if interrupt.pending.count:
        known["wait_ns"] = _durations(interrupt.pending)
    if interrupt.active.count:
        known["handled_ns"] = _durations(interrupt.active)
    return known


def _durations(durations: Durations) -> dict[str, object]:
    return {
        "count": durations.count,
        "total": durations.total,
        "min": durations.minimum,
        "median": durations.quantile(0.5),
        "p99": durations.quantile(0.99),
        "max": durations.maximum,
        "mean": durations.mean,
    }
