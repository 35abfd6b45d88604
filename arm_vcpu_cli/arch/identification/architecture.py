"""Determines the version of the architecture that ID registers conform to, and what they lack for the next (DDI 0487,
A2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import vars_of
from arm_vcpu_cli.arch.identification.feature_facts import FEATURE_FACTS, MANDATORY, Within
from arm_vcpu_cli.arch.identification.features import FEATURES, announced_features, feature
from arm_vcpu_cli.arch.identification.idregs import ID_LAYOUTS
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup

ARMV8: Final = tuple(f"v8.{minor}" for minor in range(10))
ARMV9: Final = tuple(f"v9.{minor}" for minor in range(5))
_BASE_OF_ARMV9: Final = 5
"""Armv9.0 begins with what Armv8.5 has."""
_NO_AARCH32: Final = tuple(f"FEAT_AA32EL{level}" for level in (1, 2, 3))
"""Features removed in Armv9: AArch32 above EL0."""

SINCE: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{name: fact.since for name, fact in FEATURE_FACTS.items()},
        **{name: declared.since for name, declared in FEATURES.items()},
    }
)
"""The version whose list contains each feature, by name."""


class Conformance(NamedTuple):
    """The highest versions that are satisfied, and what is missing for the next ones.

    ``armv9`` is None below Armv9.0. ``lacks`` has the features by version, only those that the version itself adds.
    ``obstacles`` are features that Armv9 does not allow.
    """

    armv8: str
    armv9: str | None
    lacks: Mapping[str, tuple[str, ...]]
    obstacles: tuple[str, ...]


def implemented_features(values: Mapping[SysReg, int]) -> frozenset[str]:
    """Return all features that ID register values announce, including those that cannot be switched."""
    facts = (
        name
        for name, fact in FEATURE_FACTS.items()
        if any(all(_holds(within, values) for within in condition) for condition in fact.conditions)
    )
    return announced_features(values).union(facts)


def conformance(features: frozenset[str]) -> Conformance:
    """Return the versions that the implemented features conform to."""
    lacks = {version: missing for version in (*ARMV8, *ARMV9) if (missing := _missing(version, features))}
    obstacles = tuple(name for name in _NO_AARCH32 if name in features)
    armv8 = _highest(ARMV8, lacks)
    reached = ARMV8.index(armv8) - _BASE_OF_ARMV9
    armv9 = None
    if reached >= 0 and not obstacles and ARMV9[0] not in lacks:
        armv9 = _highest(ARMV9[: reached + 1], lacks)
    return Conformance(armv8, armv9, MappingProxyType(lacks), obstacles)


def by_version(features: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Return features by the version that introduced them, in order of versions and names."""
    found: dict[str, list[str]] = {}
    for name in sorted(features, key=lambda name: (SINCE[name], name.upper())):
        found.setdefault(SINCE[name], []).append(name)
    return {version: tuple(names) for version, names in found.items()}


def places_of(name: str) -> frozenset[tuple[str, str]]:
    """Return the (register, field) pairs that announce a feature, alone or together."""
    fact = FEATURE_FACTS.get(name)
    places = {(each.register, each.field) for condition in fact.conditions for each in condition} if fact else set()
    return frozenset(places | set(feature(name).places())) if name in FEATURES else frozenset(places)


def version_name(version: str) -> str:
    """Return ``Armv8.1`` for ``v8.1``."""
    return f"Arm{version}"


def _highest(versions: tuple[str, ...], lacks: Mapping[str, tuple[str, ...]]) -> str:
    """Return the last version before the first that lacks something; the first version lacks nothing."""
    reached = versions[0]
    for version in versions:
        if version in lacks:
            break
        reached = version
    return reached


def _missing(version: str, features: frozenset[str]) -> tuple[str, ...]:
    wanted = [name for name, mandate in MANDATORY.items() if mandate.version == version]
    return tuple(
        name for name in wanted if name not in features and all(each in features for each in MANDATORY[name].given)
    )


def _holds(within: Within, values: Mapping[SysReg, int]) -> bool:
    field = vars_of(ID_LAYOUTS[within.register])[within.field]
    return within.least <= values.get(lookup(within.register), 0) >> field.lsb & field.mask <= within.greatest
