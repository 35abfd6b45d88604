"""Analyses a register's value for a reader: its fields with their meaning, its oddities, and conclusions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.explain.esr_words import esr_sentence
from arm_vcpu_cli.arch.explain.meanings import general_register, meaning
from arm_vcpu_cli.arch.explain.register_facts import narrowed, register_facts
from arm_vcpu_cli.arch.explain.registers import NOT_RES0, RES1_WITHOUT, RegisterInfo
from arm_vcpu_cli.arch.syndrome.esr import Esr
from arm_vcpu_cli.arch.syndrome.iss import DataAbortIss
from arm_vcpu_cli.arch.syndrome.isslayouts import iss2_of, iss_of

_PLAIN_LIMIT: Final = 10
_MOST_CHOICES: Final = 8
"""The maximum number of value names on a line of a layout."""


@dataclass(frozen=True)
class FieldLine:
    """A field of a value. ``value`` is None in a layout without values whose field is UNKNOWN at reset.

    ``parent`` names the field that contains this one (ISS, ISS2); ``msb`` and ``lsb`` are relative to it.
    """

    name: str
    msb: int
    lsb: int
    value: int | None
    meaning: str
    note: str = ""
    parent: str = ""

    @property
    def bits(self) -> str:
        """``31:26``, or ``25`` for one bit."""
        return str(self.msb) if self.msb == self.lsb else f"{self.msb}:{self.lsb}"

    @property
    def number(self) -> str:
        """The value for printing, ``-`` if it is unknown."""
        if self.value is None:
            return "-"
        return str(self.value) if self.value < _PLAIN_LIMIT else f"{self.value:#x}"


@dataclass(frozen=True)
class Explanation:
    """A register and, except in a plain layout, a value of it."""

    info: RegisterInfo
    value: int | None
    fields: tuple[FieldLine, ...]
    warnings: tuple[str, ...]
    """Reserved bits with unexpected values."""
    facts: tuple[str, ...]


def explain(info: RegisterInfo, value: int, *, e2h: bool = False) -> Explanation:
    """Explain a value of a register. Raises ValueError if it is negative or wider than the register."""
    if not 0 <= value < 1 << info.width:
        raise ValueError(f"{value:#x} does not fit in the {info.width} bits of {info.name}")
    layout = info.layout_of(value, e2h=e2h)
    if layout is None:
        return Explanation(info, value, (), (), ())
    register = layout(value)
    lines = tuple(_lines(info, layout, register))
    facts = register_facts(info.own_name, layout, register)
    if layout is Esr:
        lines += tuple(_syndrome_lines(register))
        facts = (esr_sentence(info.name, value),)
    return Explanation(info, value, lines, tuple(_warnings(info, layout, value)), facts)


def explain_layout(info: RegisterInfo, *, e2h: bool = False) -> Explanation:
    """Explain a register without a value: its fields, with their values after reset."""
    layout = info.e2h_layout if e2h and info.e2h_layout is not None else info.layout
    known = {} if info.reset is None else info.reset.known
    fields = () if layout is None else layout.fields()
    lines = tuple(
        FieldLine(field.name, field.msb, field.lsb, known.get(field.name), _purpose(field)) for field in fields
    )
    return Explanation(info, None, lines, (), ())


def _purpose(field: Field) -> str:
    if field.name.startswith("RES1"):
        return "RES1"
    choices = ", ".join(
        f"{number:#x} {name}" if number > 9 else f"{number} {name}" for number, name in field.values.items()
    )
    return f"{field.words}: {choices}" if field.words and choices else field.words or choices


def _lines(info: RegisterInfo, layout: type[Register], register: Register) -> Iterator[FieldLine]:
    values = register.as_dict()
    ones = RES1_WITHOUT.get(info.own_name, {})
    known = {} if info.reset is None else info.reset.known
    for field in layout.fields():
        value = values[field.name]
        notes = []
        if field.name in known and known[field.name] != value:
            notes.append(f"reset {known[field.name]}")
        if field.name in ones and not value:
            notes.append(f"RES1 without {ones[field.name]}")
        size = narrowed(layout, register, field.name)
        if size:
            notes.append(size)
        yield FieldLine(
            field.name, field.msb, field.lsb, value, meaning(info.own_name, layout, field, value), "; ".join(notes)
        )


def _syndrome_lines(esr: Register) -> Iterator[FieldLine]:
    """Yield the fields of ISS, and of ISS2 if the exception class has one."""
    for parent, part in (("ISS", iss_of(esr)), ("ISS2", iss2_of(esr))):
        if part is None or (parent == "ISS2" and not part):
            continue
        values = part.as_dict()
        for field in type(part).fields():
            value = values[field.name]
            words = meaning("", type(part), field, value)
            if field.name == "SRT" and isinstance(part, DataAbortIss):
                words = general_register(value, is_64bit=bool(part.SF))
            yield FieldLine(field.name, field.msb, field.lsb, value, words, parent=parent)
        for msb, lsb in _reserved_runs(type(part), part):
            value = int(part) >> lsb & (1 << msb - lsb + 1) - 1
            yield FieldLine("RES0", msb, lsb, value, "", "not zero", parent)


def _warnings(info: RegisterInfo, layout: type[Register], value: int) -> Iterator[str]:
    for msb, lsb in _reserved_runs(layout, value & ~NOT_RES0.get(info.own_name, 0)):
        yield f"Bit{_bits(msb, lsb)} {'is' if msb == lsb else 'are'} set, and RES0."
    for field in layout.fields():
        if field.name.startswith("RES1") and value >> field.lsb & field.mask != field.mask:
            yield f"Bit{_bits(field.msb, field.lsb)} {'is' if field.width == 1 else 'are'} not all ones, and RES1."


def _bits(msb: int, lsb: int) -> str:
    return f" {msb}" if msb == lsb else f"s {msb}:{lsb}"


def _reserved_runs(layout: type[Register], value: int) -> Iterator[tuple[int, int]]:
    """Yield runs of set bits that no field covers, as (msb, lsb) from the top."""
    covered = sum(field.mask << field.lsb for field in layout.fields())
    bits = value & ~covered
    msb = None
    for bit in range(layout.WIDTH - 1, -2, -1):
        is_set = bit >= 0 and bits >> bit & 1
        if is_set and msb is None:
            msb = bit
        elif not is_set and msb is not None:
            yield msb, bit + 1
            msb = None
