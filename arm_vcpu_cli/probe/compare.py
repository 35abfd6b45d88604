"""Compares two CPUs: the differences in features and in fields of ID registers.

The object (``armvcpu probe --compare A B --json``): version, a and b (names), only_a and only_b [{name, since}], both
(how many features both have), registers [{register, field or null, a, b, a_text, b_text}]; values are numbers, and
strings in hexadecimal where the field is null.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from arm_vcpu_cli.arch.identification.architecture import SINCE, by_version, version_name
from arm_vcpu_cli.arch.layouts import layout_of
from arm_vcpu_cli.probe.registers import HOST, Subject
from arm_vcpu_cli.probe.report_tables import NOT_HERE, Row, Section

JSON_VERSION: Final = 1


class Difference(NamedTuple):
    """A field that differs; ``field`` is None for a register that differs outside its fields."""

    register: str
    field: str | None
    a: int
    b: int
    a_text: str
    b_text: str


class Comparison(NamedTuple):
    """The differences of two subjects; ``both`` are the features that both have."""

    a: str
    b: str
    only_a: frozenset[str]
    only_b: frozenset[str]
    both: frozenset[str]
    registers: tuple[Difference, ...]


def compare(a: Subject, b: Subject) -> Comparison:
    """Compare two subjects. For the host, only the registers that its kernel shows count."""
    differences = []
    for name in [name for name in a.registers if name in b.registers]:
        differences += _differences(name, a.registers[name].value, b.registers[name].value)
    return Comparison(
        a.name,
        b.name,
        a.features - b.features,
        b.features - a.features,
        a.features & b.features,
        tuple(differences),
    )


def comparison_sections(found: Comparison) -> tuple[Section, ...]:
    """The comparison as tables."""
    fields = tuple(
        Row(each.register if each.field is None else f"{each.register}.{each.field}", (each.a_text, each.b_text))
        for each in found.registers
    )
    note = Row(HOST, ("what its kernel hides from programs reads as absent: EL2, EL3, granules, and more",))
    return (
        *((Section("Note", (), (note,)),) if HOST in (found.a, found.b) else ()),
        Section(f"Only {found.a} has", (), _feature_rows(found.only_a)),
        Section(f"Only {found.b} has", (), _feature_rows(found.only_b)),
        Section(f"ID register fields that differ ({len(found.both)} features are the same)", (found.a, found.b), fields)
        if fields
        else Section("ID registers", (), (Row("differences", ("none",)),)),
    )


def comparison_json(found: Comparison) -> dict[str, Any]:
    """The object described above."""
    return {
        "version": JSON_VERSION,
        "a": found.a,
        "b": found.b,
        "only_a": _named(found.only_a),
        "only_b": _named(found.only_b),
        "both": len(found.both),
        "registers": [
            {
                **each._asdict(),
                "a": hex(each.a) if each.field is None else each.a,
                "b": hex(each.b) if each.field is None else each.b,
            }
            for each in found.registers
        ],
    }


def _named(names: frozenset[str]) -> list[dict[str, str]]:
    return [{"name": name, "since": SINCE[name]} for name in sorted(names)]


def _feature_rows(names: frozenset[str]) -> tuple[Row, ...]:
    if not names:
        return (Row("features", (NOT_HERE,)),)
    return tuple(Row(version_name(version), (" ".join(group),)) for version, group in by_version(names).items())


def _differences(register: str, a: int, b: int) -> list[Difference]:
    if a == b:
        return []
    layout = layout_of(register, a)
    fields = () if layout is None else layout.fields()
    found = []
    for field in fields:
        left, right = a >> field.lsb & field.mask, b >> field.lsb & field.mask
        if left != right:
            found.append(Difference(register, field.name, left, right, field.text(left), field.text(right)))
    return found or [Difference(register, None, a, b, hex(a), hex(b))]
