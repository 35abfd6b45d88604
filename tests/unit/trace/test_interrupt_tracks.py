"""The states of interrupts on the timeline."""

from __future__ import annotations

import io
import json

import pytest

from arm_vcpu_cli.trace.chrome import ChromeSink

from .traces import END, HEADER, event


def states(*actions: str) -> list[tuple[str, float]]:
    """Names and lengths (in microseconds) of the slices that steps of one interrupt, a microsecond apart, draw."""
    stream = io.StringIO()
    sink = ChromeSink(stream)
    sink.header(HEADER)
    for number, action in enumerate(actions, 1):
        sink.event(event("irq", action, number * 1000, ("intid", 33), ("source_name", "uart0")))
    sink.end(END)
    sink.summary({}, 0)
    found: list[tuple[str, float]] = []
    begun: tuple[str, float] | None = None
    for record in json.loads(stream.getvalue()):
        if record["ph"] == "B":
            begun = (record["name"], record["ts"])
        elif record["ph"] == "E" and begun is not None:
            found.append((begun[0], record["ts"] - begun[1]))
            begun = None
    return found


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        (("raised", "acknowledged", "ended"), [("pending", 1.0), ("active", 1.0)]),
        (("raised", "injected", "withdrawn"), [("pending", 2.0)]),
        (("raised", "withdrawn", "raised", "withdrawn"), [("pending", 1.0), ("pending", 1.0)]),
        (
            ("raised", "acknowledged", "raised", "withdrawn", "ended"),
            [("pending", 1.0), ("active", 1.0), ("active and pending", 1.0), ("active", 1.0)],
        ),
    ],
)
def test_a_slice_for_each_state(actions: tuple[str, ...], expected: list[tuple[str, float]]) -> None:
    assert states(*actions) == expected
