"""The output of ``armvcpu diff --json``."""

from __future__ import annotations

import json

from arm_vcpu_cli.trace.diff import Hunk, Pair, Totals
from arm_vcpu_cli.trace.diff_text import changed
from arm_vcpu_cli.trace.diffkeys import END, Comparison, Event, Side


def as_json(a: Side, b: Side, comparison: Comparison, shown: list[Hunk], totals: Totals) -> str:
    """The whole comparison as one JSON object; lines count from 1."""

    def told(side: Side, event: Event | None) -> dict[str, object] | None:
        return None if event is None else {"line": event.number, "event": side.record(event)}

    def pair_told(pair: Pair) -> dict[str, object]:
        first, second = pair
        if first is not None and second is not None:
            differing = changed(comparison, a.record(first), b.record(second))
            kind = "changed" if first.key != second.key else "same"
            more = {"changed": {name: list(values) for name, values in differing.items()}} if kind == "changed" else {}
            return {"is": kind, "a": told(a, first), "b": told(b, second), **more}
        return {"is": "only_a", "a": told(a, first)} if second is None else {"is": "only_b", "b": told(b, second)}

    names = sorted({*a.counts, *b.counts} - {END})
    report = {
        "differ": totals.differ,
        "same": totals.same,
        "changed": totals.changed,
        "only_a": totals.only_a,
        "only_b": totals.only_b,
        "first": None if totals.first is None else pair_told(totals.first),
        "counts": {name: {"a": a.counts[name], "b": b.counts[name]} for name in names},
        "hunks": [{"events": [pair_told(pair) for pair in hunk.pairs], "omitted": hunk.omitted} for hunk in shown],
        "hunks_in_all": totals.hunks,
    }
    return json.dumps(report, indent=2)
