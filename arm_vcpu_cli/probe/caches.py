"""The caches that a CPU reports: CLIDR_EL1, and CCSIDR_EL1 of each (DDI 0487, D24.2)."""

from __future__ import annotations

from typing import Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.registers.cacheregs import Clidr, Csselr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import EngineError

_LEVELS: Final = 7
_SEPARATE, _UNIFIED = 3, 4
_KINDS: Final = {1: ("instruction",), 2: ("data",), _SEPARATE: ("data", "instruction"), _UNIFIED: ("unified",)}
_INSTRUCTION: Final = 1
_LOG2_WORD: Final = 4
"""LineSize is the log2 of the number of words of 16 bytes."""


class _Ccsidr(Register):
    """CCSIDR_EL1 without FEAT_CCIDX; its fields hold numbers minus one."""

    NumSets = Field(27, 13)
    Associativity = Field(12, 3)
    LineSize = Field(2, 0)


class _WideCcsidr(Register):
    """CCSIDR_EL1 with FEAT_CCIDX."""

    NumSets = Field(55, 32)
    Associativity = Field(23, 3)
    LineSize = Field(2, 0)


class Cache(NamedTuple):
    """One cache: ``kind`` is data, instruction or unified; ``line`` and ``size`` are in bytes."""

    level: int
    kind: str
    ways: int
    sets: int
    line: int

    @property
    def size(self) -> int:
        """The size of the cache in bytes."""
        return self.ways * self.sets * self.line


def read_caches(core: CpuCore, *, is_wide: bool) -> tuple[Cache, ...]:
    """Return the caches of a core, by level; ``is_wide``: it has FEAT_CCIDX. CSSELR_EL1 is zero afterwards."""
    try:
        clidr = Clidr(core.read_sysreg(lookup("CLIDR_EL1"))).as_dict()
    except EngineError:
        return ()
    found = []
    for level in range(1, _LEVELS + 1):
        for kind in _KINDS.get(clidr[f"Ctype{level}"], ()):
            cache = _read_cache(core, level, kind, is_wide=is_wide)
            if cache is not None:
                found.append(cache)
    return tuple(found)


def _read_cache(core: CpuCore, level: int, kind: str, *, is_wide: bool) -> Cache | None:
    select = lookup("CSSELR_EL1")
    try:
        core.write_sysreg(select, Csselr.of(Level=level - 1, InD=_INSTRUCTION if kind == "instruction" else 0))
        value = core.read_sysreg(lookup("CCSIDR_EL1"))
        core.write_sysreg(select, 0)
    except EngineError:
        return None
    layout = _WideCcsidr if is_wide else _Ccsidr
    fields = layout(value).as_dict()
    return Cache(level, kind, fields["Associativity"] + 1, fields["NumSets"] + 1, 1 << fields["LineSize"] + _LOG2_WORD)
