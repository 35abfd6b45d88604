"""Real traces conform to the published schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from arm_vcpu_cli.trace.event import EVENT_TYPES
from arm_vcpu_cli.trace.event_schema import load_schema, property_names
from tests.integration.command import SAMPLES, armvcpu, sample


@pytest.mark.parametrize("name", ["crash", "exit", "exits", "hello", "paging", "permission", "smc", "ticks"])
def test_every_line_of_a_trace_is_valid_and_known(name: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    machine = SAMPLES / name / f"{name}.toml"
    options = ("-m", machine) if machine.exists() else ()
    armvcpu("trace", "--events", "all", "--timing", "--format", "jsonl", "-o", path, *options, sample(name))
    # A long trace says the same over and over.
    lines = path.read_text().splitlines()
    lines = [*lines[:1500], *lines[-100:]]
    validator = jsonschema.Draft202012Validator(load_schema())
    known = {"type", *property_names()}
    records = [json.loads(line) for line in lines]
    assert records[0]["type"] == "trace"
    assert [record["type"] for record in records[-2:]] == ["end", "summary"]
    for record in records:
        assert [error.message for error in validator.iter_errors(record)] == [], record
        if record["type"] in EVENT_TYPES:
            assert set(record) <= known, record
