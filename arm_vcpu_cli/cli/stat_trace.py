"""``armvcpu stat -i``: the statistics of a trace."""

from __future__ import annotations

from pathlib import Path

from arm_vcpu_cli.cli.output import say
from arm_vcpu_cli.cli.progress import doing
from arm_vcpu_cli.cli.stat_view import shown_name
from arm_vcpu_cli.trace.reader import TraceReader
from arm_vcpu_cli.trace.statistics import Statistics
from arm_vcpu_cli.trace.tally import tally


def count_trace(path: Path) -> tuple[Statistics, str, dict[str, object]]:
    """Count the events of a trace file: its statistics, its heading, and its description as an object."""
    with TraceReader(path) as trace, doing(f"counting the events of {path.name}"):
        statistics = tally(trace)
    if trace.truncated:
        say(
            f"{trace.name}: is cut short after line {trace.line}, probably because the run was killed; the complete "
            "lines were counted"
        )
    elif trace.end is None:
        say(f"{trace.name}: does not record how the run ended: it was cut short")
    ending = None if trace.end is None else trace.end.ending
    heading = shown_name(trace.header.guest) or trace.name
    return statistics, heading, {"trace": trace.name, "ending": ending, "truncated": trace.truncated}
