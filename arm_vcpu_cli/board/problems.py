"""Errors in a machine description, in words and with their positions: loaded only when there is one.

A file is hostile input: its values may be of any type and any size. So a message never repeats one at full length, and
is always one line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.board import toml_places
from arm_vcpu_cli.board.document import describe_date
from arm_vcpu_cli.board.toml_places import Place, Trail
from arm_vcpu_cli.errors import MachineFileError
from arm_vcpu_cli.sizes import Written

if TYPE_CHECKING:
    from arm_vcpu_cli.board.schema import Findings, Table

MOST_SHOWN: Final = 10
"""The most errors reported for one file."""
_MOST_KEPT: Final = 100
_LAST_LINE: Final = 1 << 62
_SHOWN_CHARACTERS: Final = 60
_HEX_FROM: Final = 1 << 16  # from this value on a number is more likely an address than a count
_FEW_KEYS: Final = 13
_DECIMAL: Final = re.compile(r"[+-]?[0-9][0-9_]*", re.ASCII)
_MANY_DIGITS: Final = 10**10


def quoted(text: str) -> str:
    """A string in TOML syntax, shortened."""
    return json.dumps(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "...")


def describe_value(value: object) -> str:
    """A short description of a TOML value, for messages about unexpected values."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Written):
        return value.text[:_SHOWN_CHARACTERS]
    if isinstance(value, int):
        if value.bit_length() > 64:
            return f"an integer of {value.bit_length()} bits"
        return f"{value:#x}" if abs(value) >= _HEX_FROM else f"{value}"
    if isinstance(value, float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "an array"
    return describe_date(value)


def line_of(findings: Findings, trail: Trail) -> int | None:
    """The line in the file that the keys ``trail`` lead to; None if there is none."""
    return None if findings.places is None else toml_places.line_of(findings.places(), trail)


def as_written(findings: Findings, trail: Trail, value: object) -> str:
    """A number as written in the file at ``trail``, if it matches ``value``; else a description of ``value``."""
    place: Place | None = None if findings.places is None else findings.places().get(trail)
    number = not isinstance(value, (bool, Written)) and isinstance(value, int)
    if number and place is not None and len(place.text) <= _SHOWN_CHARACTERS and _is_number(place.text, value):
        return place.text
    return describe_value(value)


def range_as_written(findings: Findings, trail: Trail, base: int, end: int) -> str:
    """A range of addresses: its first one as the table at ``trail`` writes it, if that is hexadecimal too."""
    first = f"{base:#x}"
    places = {} if findings.places is None else findings.places()
    for (*table, key), place in ((each, places[each]) for each in places if each):
        is_base = tuple(table) == tuple(trail) and str(key).endswith("base")
        if is_base and place.text.startswith("0x") and _is_number(place.text, base):
            first = place.text
    return f"{first} to {end - 1:#x}"


def _is_number(text: str, value: object) -> bool:
    try:
        return int(text.replace("_", ""), 0) == value
    except ValueError:
        return False


def limits(low: int, high: int, found: str) -> str:
    """A range, in the notation of the number that was ``found``, unless it is a range of addresses."""
    decimal = _DECIMAL.fullmatch(found) is not None and max(-low, high) < _MANY_DIGITS
    first, last = (f"{limit}" if decimal else describe_value(limit) for limit in (low, high))
    return f"{first} to {last}, found {found}"


def one_of(choices: Sequence[str]) -> str:
    """``"a", "b" or "c"``."""
    names = [f'"{choice}"' for choice in choices]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" or {names[-1]}"


def choice(choices: Sequence[str], value: object, found: str) -> str:
    """A message with the expected ``choices``, the value ``found``, and the closest choice."""
    hint = _close_match(value, choices) if isinstance(value, str) else ""
    return f"{one_of(choices)}, found {found}{hint}"


def _close_match(name: str, choices: Iterable[str]) -> str:
    """`` (did you mean "x"?)``, or empty if no choice is close. Case does not matter."""
    by_folded = {choice.casefold(): choice for choice in choices}
    found = get_close_matches(name[:64].casefold(), by_folded, n=1)
    return f' (did you mean "{by_folded[found[0]]}"?)' if found else ""


def unknown_key(name: str, known: Sequence[str], findings: Findings) -> str:
    """The message for an unknown key; empty if it will not be shown, because hints are slow to compute."""
    if is_full(findings):
        return ""
    close = _close_match(name, known)
    return f"unknown key{close}" if close or len(known) > _FEW_KEYS else f"unknown key, expected {one_of(known)}"


def is_full(findings: Findings) -> bool:
    """Whether a file has so many errors that further ones are only counted."""
    return len(findings.errors) >= _MOST_KEPT


def add(table: Table, name: str | None, message: str) -> None:
    """Record one more error of a file, unless it is already recorded."""
    findings = table.findings
    if is_full(findings):
        findings.left_out += 1
        return
    error = table.error(name, message)
    if all((each.key, each.message) != (error.key, error.message) for each in findings.errors):
        findings.errors.append(error)


def combined(errors: Sequence[MachineFileError], left_out: int) -> MachineFileError:
    """One error that combines several, in the order of their lines; ``left_out`` more are not shown."""
    first, *others = sorted(errors, key=lambda error: _LAST_LINE if error.line is None else error.line)
    shown = others[: MOST_SHOWN - 1]
    return MachineFileError(
        first.path,
        first.message,
        key=first.key,
        line=first.line,
        others=shown,
        left_out=left_out + len(others) - len(shown),
    )
