"""Converts plain data to bytes and back: JSON, in which bytes are ``{"$bytes": "<base64>"}``."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any, Final

_BYTES: Final = "$bytes"
_MOST_CONTAINERS: Final = 1 << 20
"""The most objects and arrays: each takes far more memory than the text of an empty one."""


def packed(data: object) -> bytes:
    """Return plain data (as defined in :mod:`arm_vcpu_cli.vm.snapshot`) as JSON; equal data gives equal bytes."""
    return json.dumps(_without_bytes(data), separators=(",", ":"), sort_keys=True, allow_nan=False).encode("ascii")


def unpacked(text: bytes) -> object:
    """Return the argument of :func:`packed`. Raises ValueError for anything else."""
    if text.count(b"{") + text.count(b"[") > _MOST_CONTAINERS:
        raise ValueError("it has too many parts")
    try:
        return json.loads(text.decode("ascii"), object_hook=_with_bytes, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _without_bytes(data: object) -> object:
    if isinstance(data, bytes):
        return {_BYTES: b64encode(data).decode("ascii")}
    if isinstance(data, dict):
        return {key: _without_bytes(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_without_bytes(value) for value in data]
    return data


def _with_bytes(found: dict[str, Any]) -> object:
    if len(found) != 1 or _BYTES not in found:
        return found
    text = found[_BYTES]
    if not isinstance(text, str):
        raise ValueError("bytes are not in base64")
    return b64decode(text, validate=True)


def _refuse(text: str) -> object:
    raise ValueError(f"{text} is no plain data")
