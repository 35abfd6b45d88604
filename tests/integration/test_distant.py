"""A guest that waits for thousands of years: its times have more than 64 bits, and can be read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from .command import GUESTS, armvcpu

GUEST: Final = GUESTS / "distant.elf"
DUE: Final = (1 << 62) * 16
"""Nanoseconds, see the guest."""


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("distant") / "t.jsonl"
    traced = armvcpu("trace", "-o", path, GUEST)
    assert (traced.status, traced.out) == (0, b".")
    assert DUE > 1 << 64
    assert json.loads(path.read_text().splitlines()[-2])["time_ns"] > DUE
    return path


def test_its_trace_can_be_counted_reported_and_compared(trace: Path, tmp_path: Path) -> None:
    counted = armvcpu("stat", "-i", trace, "--json")
    assert (counted.status, counted.err) == (0, "")
    assert DUE < json.loads(counted.out)["last_ns"] < DUE + 1_000_000
    page = tmp_path / "t.html"
    assert armvcpu("report", "--html", page, trace).status == 0
    assert "7378697" in page.read_text()
    compared = armvcpu("diff", trace, trace)
    assert (compared.status, compared.err) == (0, "")


def test_its_recording_can_be_replayed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    recorded = armvcpu("run", "--record", log, GUEST)
    assert (recorded.status, recorded.out, recorded.err) == (0, b".", "")
    assert json.loads(log.read_text().splitlines()[-1])["end"] > DUE
    assert armvcpu("run", "--replay", log, GUEST) == recorded


def test_its_events_can_be_chosen_by_time(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    assert armvcpu("trace", "--time", f"{DUE // 10**9 - 1}:", "-o", path, GUEST).status == 0
    times = [json.loads(line)["time_ns"] for line in path.read_text().splitlines()[1:-2]]
    assert times
    assert min(times) >= DUE
