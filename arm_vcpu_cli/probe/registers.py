"""Every ID register with all its fields, as tables and as an object.

The object (``armvcpu probe --registers --json``): version, and subjects [{name, registers {NAME: {value, guest or
null, fields [{name, msb, lsb, value, text, guest or null, features [FEAT_ name]}]}}}]; ``guest`` is what a guest
reads, null for the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import Field
from arm_vcpu_cli.arch.identification.architecture import SINCE, places_of
from arm_vcpu_cli.arch.identification.features import FEATURES
from arm_vcpu_cli.arch.layouts import layout_of
from arm_vcpu_cli.probe.cpu_facts import CpuFacts
from arm_vcpu_cli.probe.host_facts import HostFacts
from arm_vcpu_cli.probe.report_tables import Row, Section

JSON_VERSION: Final = 1
HOST: Final = "host"
"""The name of the host as a subject."""


class Values(NamedTuple):
    """A register of a subject: its value, and the value that a guest reads; None without a guest."""

    value: int
    guest: int | None


class Subject(NamedTuple):
    """The owner of ID registers: a CPU model, or the host; ``features`` are the FEAT_ names that they announce."""

    name: str
    registers: Mapping[str, Values]
    features: frozenset[str]


def cpu_subject(cpu: CpuFacts) -> Subject:
    """Return a modelled CPU as a subject."""
    registers = {name: Values(each.core, each.guest) for name, each in cpu.id_registers.items()}
    return Subject(cpu.model, registers, cpu.implemented)


def host_subject(host: HostFacts) -> Subject:
    """Return the host as a subject, as far as its kernel shows it."""
    return Subject(HOST, {name: Values(value, None) for name, value in host.id_registers.items()}, host.features)


def register_sections(subjects: tuple[Subject, ...]) -> tuple[Section, ...]:
    """Return a table for each register of each subject."""
    found = []
    for subject in subjects:
        prefix = f"{subject.name}: " if len(subjects) > 1 else ""
        for name, values in subject.registers.items():
            guest = "" if values.guest in (None, values.value) else f", a guest reads {values.guest:#x}"
            rows = tuple(
                Row(f"  {field.name} {_bits(field)}", (_field_text(name, field, values, subject.features),))
                for field in _fields(name, values.value)
            )
            found.append(Section(f"{prefix}{name} {values.value:#x}{guest}", (), rows))
    return tuple(found)


def registers_json(subjects: tuple[Subject, ...]) -> dict[str, Any]:
    """The object described above."""
    return {
        "version": JSON_VERSION,
        "subjects": [
            {
                "name": subject.name,
                "registers": {
                    name: {
                        "value": hex(values.value),
                        "guest": None if values.guest is None else hex(values.guest),
                        "fields": [
                            {
                                "name": field.name,
                                "msb": field.msb,
                                "lsb": field.lsb,
                                "value": _extract(field, values.value),
                                "text": field.text(_extract(field, values.value)),
                                "guest": None if values.guest is None else _extract(field, values.guest),
                                "features": _announced_by(name, field, subject.features),
                            }
                            for field in _fields(name, values.value)
                        ],
                    }
                    for name, values in subject.registers.items()
                },
            }
            for subject in subjects
        ],
    }


def _fields(register: str, value: int) -> tuple[Field, ...]:
    layout = layout_of(register, value)
    return () if layout is None else layout.fields()


def _extract(field: Field, value: int) -> int:
    return value >> field.lsb & field.mask


def _bits(field: Field) -> str:
    return f"[{field.msb}]" if field.width == 1 else f"[{field.msb}:{field.lsb}]"


def _field_text(register: str, field: Field, values: Values, features: frozenset[str]) -> str:
    value = _extract(field, values.value)
    text = field.text(value)
    if values.guest is not None and (guest := _extract(field, values.guest)) != value:
        text += f" -> {field.text(guest)}"
    names = _announced_by(register, field, features)
    return f"{text}  {' '.join(names)}" if names else text


def _announced_by(register: str, field: Field, features: frozenset[str]) -> list[str]:
    """Return the announced features that this field helps to announce, in their original order."""
    place = (register, field.name)
    names = [name for name in features if place in places_of(name)]
    return sorted(names, key=lambda name: (FEATURES[name].value if name in FEATURES else 0, SINCE[name], name))
