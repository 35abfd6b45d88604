"""Declares register layouts in text, for registers that are only printed: one line for each field, in the Arm ARM's
order.

    31:27 VPMR                        # priority mask
    9     VEOIM = drop and deactivate | drop only
    5:4   SH = 0 none | 2 outer | 3 inner

The bits come first, then the Arm ARM's name. The names of the values follow ``=``, counted up from 0 or from the number
before a name; the purpose of the field follows ``#``. ``;`` separates fields on one line, and a line that does not
begin with a number continues the previous one.
"""

from __future__ import annotations

import re
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register

_FIELD: Final = re.compile(
    r"(?P<msb>\d+)(?::(?P<lsb>\d+))?\s+(?P<name>\w+)(?:\s*=(?P<values>[^#]*))?(?:\s*#(?P<words>.*))?", re.DOTALL
)
_VALUE: Final = re.compile(r"(?:(?P<number>0x[0-9a-fA-F]+|\d+)\s+)?(?P<name>.*)", re.DOTALL)


def declare(name: str, text: str, *, width: int = 64) -> type[Register]:
    """Return the layout that the text describes. Raises ValueError for a line that is not a field, and as ``Register``
    does."""
    body: dict[str, object] = {"WIDTH": width}
    for line in re.split(r";|\n(?=\s*\d)", text):
        if not line.strip():
            continue
        found = _FIELD.fullmatch(line.strip())
        if found is None:
            raise ValueError(f"{name}: no field: {line.strip()!r}")
        msb = int(found["msb"])
        body[found["name"]] = Field(
            msb,
            None if found["lsb"] is None else int(found["lsb"]),
            values=_values(found["values"] or ""),
            words=(found["words"] or "").strip(),
        )
    return type(name, (Register,), body)


def declare_bits(name: str, msb: int, names: str) -> type[Register]:
    """Return a layout of single bits from ``msb`` down, by name; ``-`` stands for a reserved bit, ``-n`` for n of
    them."""
    body: dict[str, object] = {}
    bit = msb
    for word in names.split():
        if word.startswith("-"):
            bit -= int(word[1:] or 1)
            continue
        body[word] = Field(bit)
        bit -= 1
    return type(name, (Register,), body)


def _values(text: str) -> dict[int, str] | None:
    if not text.strip():
        return None
    values: dict[int, str] = {}
    number = 0
    for entry in text.split("|"):
        found = _VALUE.fullmatch(entry.strip())
        assert found is not None
        if found["number"] is not None:
            number = int(found["number"], 0)
        values[number] = " ".join(found["name"].split())
        number += 1
    return values
