"""The JSON Schema of traces, ``schema.json`` beside this module."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

_NO_EVENTS: Final = frozenset(("trace", "device", "end", "summary"))


def load_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema, draft 2020-12) of one line of a trace."""
    text = files(__package__).joinpath("schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def property_names() -> tuple[str, ...]:
    """Return all properties of events, in alphabetical order."""
    definitions = load_schema()["$defs"].items()
    names = {name for kind, said in definitions if kind not in _NO_EVENTS for name in said.get("properties", {})}
    return tuple(sorted(names - {"type"}))
