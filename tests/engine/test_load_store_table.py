"""Loads and stores to a device: what the engine executes on memory is executed, or refused by a named rule.

Covers a part of ``python -m tests.fuzz.loads --all``.
"""

from __future__ import annotations

import pytest

from tests.fuzz.loads import hunt

COUNT = 4_000


@pytest.mark.parametrize(("model", "rules"), [("cortex-a72", {"exclusive"}), ("max", {"exclusive", "atomic"})])
def test_loads_and_stores_do_on_a_device_what_they_do_on_memory(model: str, rules: set[str]) -> None:
    findings, outcomes = hunt(model, seed=1, count=COUNT)
    assert [str(each) for each in findings] == []
    assert outcomes["executed"] > COUNT // 4
    assert outcomes["undefined"] > COUNT // 4
    assert rules <= set(outcomes)
