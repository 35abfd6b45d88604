"""Ordinal numbers in words."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.observe.stop_at import ordinal


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (21, "21st"),
     (102, "102nd"), (111, "111th"), (1000, "1000th")],
)  # fmt: skip
def test_an_ordinal(number: int, text: str) -> None:
    assert ordinal(number) == text
