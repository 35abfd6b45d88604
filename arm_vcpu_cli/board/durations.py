"""Lengths of guest time with their units, as a machine description writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_UNITS: Final[Mapping[str, int]] = MappingProxyType(
    {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000}
)
"""Nanoseconds."""
_DURATION: Final = re.compile(r"\s*([0-9]{1,19})(?:\.([0-9]{1,12}))?\s*([a-z]+)\s*", re.ASCII)


def parse_duration(text: str) -> int:
    """Return the nanoseconds that ``text`` denotes: ``100ns``, ``20us``, ``1.5 ms``, ``2s``, ``1min``.

    Fractions of a nanosecond are cut off. Raises ValueError with a one-line message.
    """
    match = _DURATION.fullmatch(text.replace("_", "")[:64])
    if match is None or match[3] not in _UNITS:
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise ValueError(f"expected a time such as 100ns, 20us, 1.5ms or 2s, found {shown!r}")
    whole, fraction, unit = match.groups()
    scale = _UNITS[unit]
    part = 0 if fraction is None else int(fraction) * scale // 10 ** len(fraction)
    return int(whole) * scale + part


def format_duration(nanoseconds: int) -> str:
    """Return a duration in the largest unit that divides it: ``20 us``, ``1500 ns``."""
    for name in ("s", "ms", "us"):
        if nanoseconds and nanoseconds % _UNITS[name] == 0:
            return f"{nanoseconds // _UNITS[name]} {name}"
    return f"{nanoseconds} ns"
