"""Architecture features (FEAT_ names) and the ID register fields that announce them (DDI 0487, A2.2, A2.3, D24.2).

A field counts up: a value announces a feature and everything below it (D24.1.3). In some fields all ones mean
"not implemented" and rank below 0.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, vars_of
from arm_vcpu_cli.arch.identification.feature_table import (
    ALTERNATIVES,
    COMPANIONS,
    DEPENDENCIES,
    FEATURE_FIELDS,
    NEXT_LOWER,
    ONES_MEAN_NONE,
)
from arm_vcpu_cli.arch.identification.idregs import ID_LAYOUTS
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup


@dataclass(frozen=True)
class Feature:
    """A feature, announced when ``field`` of ``register`` is at least ``value``, or one of ``alternatives`` is.

    ``since`` is the version of the architecture whose list contains it, ``needs`` the features of other fields without
    which it does not exist. ``lowered`` is the maximum of the field when the feature is withdrawn, and ``companions``
    are the (register, field, value) that are lowered with it.
    """

    register: str
    field: str
    value: int
    since: str
    lowered: int
    needs: tuple[str, ...] = ()
    alternatives: tuple[tuple[str, str], ...] = ()
    companions: tuple[tuple[str, str, int], ...] = ()

    def places(self) -> tuple[tuple[str, str], ...]:
        """The (register, field) pairs, any one of which announces the feature."""
        return ((self.register, self.field), *self.alternatives)


def _declare() -> dict[str, Feature]:
    values: dict[tuple[str, str], list[int]] = {}
    for (register, field), announced in FEATURE_FIELDS.items():
        values[register, field] = sorted(value for value, _, _ in announced)
    features = {}
    for (register, field), announced in FEATURE_FIELDS.items():
        for value, name, since in announced:
            below = [other for other in values[register, field] if other < value]
            lowest = 0 if value else _field(register, field).mask
            features[name] = Feature(
                register,
                field,
                value,
                since,
                NEXT_LOWER.get(name, below[-1] if below else lowest),
                DEPENDENCIES.get(name, ()),
                ALTERNATIVES.get((register, field), ()),
                COMPANIONS.get(name, ()),
            )
    return features


def _field(register: str, field: str) -> Field:
    return vars_of(ID_LAYOUTS[register])[field]


def _rank(place: tuple[str, str], value: int) -> int:
    return -1 if place in ONES_MEAN_NONE and value == _field(*place).mask else value


FEATURES: Final[Mapping[str, Feature]] = MappingProxyType(dict(sorted(_declare().items())))
"""Every known feature by name."""


def feature(name: str) -> Feature:
    """Return the feature of that name. Raises ValueError, with the closest names, if there is none."""
    found = FEATURES.get(name)
    if found is None:
        close = difflib.get_close_matches(name, FEATURES, n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise ValueError(f"no architecture feature is called {name}{hint}")
    return found


def is_announced(name: str, values: Mapping[SysReg, int]) -> bool:
    """Return whether ID register values (by register; a missing one reads as zero) announce a feature."""
    wanted = feature(name)
    return any(_rank(place, _read(values, place)) >= wanted.value for place in wanted.places())


def announced_features(values: Mapping[SysReg, int]) -> frozenset[str]:
    """Return the names of all features that ID register values announce."""
    return frozenset(name for name in FEATURES if is_announced(name, values))


def with_features(
    values: Mapping[SysReg, int], choices: Mapping[str, bool], ceiling: Mapping[SysReg, int] | None = None
) -> dict[SysReg, int]:
    """Return ID register values with features switched on and off.

    False withdraws a feature, those above it in the same field, and those that need it. True raises the field to the
    feature's value, as far as ``ceiling`` (by default ``values``) announces the feature itself; features are switched
    off first. Raises ValueError for an unknown name, a feature that ``ceiling`` does not announce, or one that needs a
    feature which is off.
    """
    limit = values if ceiling is None else ceiling
    result = dict(values)
    for name in _closure(name for name, is_on in choices.items() if not is_on):
        _withdraw(feature(name), result)
    for name in sorted((name for name, is_on in choices.items() if is_on), key=lambda name: feature(name).value):
        wanted = feature(name)
        if not is_announced(name, limit):
            raise ValueError(f"{name} cannot be switched on: the CPU model does not have it")
        for place in wanted.places():
            if _rank(place, _read(limit, place)) >= wanted.value > _rank(place, _read(result, place)):
                _write(result, place, wanted.value)
                for register, field, _ in wanted.companions:
                    _write(result, (register, field), _read(limit, (register, field)))
    for name, is_on in choices.items():
        if is_announced(name, result) is not is_on:
            raise ValueError(f"{name} cannot be switched off: a feature that is switched on implies it")
        missing = [needed for needed in feature(name).needs if not is_announced(needed, result)]
        if is_on and missing:
            raise ValueError(f"{name} cannot be switched on without {', '.join(missing)}")
    return result


def _closure(names: Iterable[str]) -> list[str]:
    """Return the features with all that need them, directly or indirectly, or are above them in their fields."""
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = None
        lost = feature(name)
        for other, candidate in FEATURES.items():
            above = (candidate.register, candidate.field) == (lost.register, lost.field)
            if name in candidate.needs or (above and candidate.value > lost.value):
                waiting.append(other)
    return list(found)


def _withdraw(lost: Feature, values: dict[SysReg, int]) -> None:
    for place in lost.places():
        if _rank(place, _read(values, place)) >= lost.value:
            _write(values, place, lost.lowered)
    for register, field, lowered in lost.companions:
        if _rank((register, field), _read(values, (register, field))) > lowered:
            _write(values, (register, field), lowered)


def _read(values: Mapping[SysReg, int], place: tuple[str, str]) -> int:
    field = _field(*place)
    return values.get(lookup(place[0]), 0) >> field.lsb & field.mask


def _write(values: dict[SysReg, int], place: tuple[str, str], value: int) -> None:
    reg = lookup(place[0])
    values[reg] = _field(*place).insert(values.get(reg, 0), value)
