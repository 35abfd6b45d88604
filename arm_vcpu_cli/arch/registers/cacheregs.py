"""The registers that describe caches (DDI 0487, D24.2)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register

# The manual's field names are kept verbatim, also where they are mixedCase.


class Ctr(Register):
    """CTR_EL0; the line sizes are the log2 of the number of words, CWG and ERG too."""

    TminLine = Field(37, 32, words="tag line, log2 words")
    DIC = Field(29, words="no instruction cache invalidation for coherence")
    IDC = Field(28, words="no data cache clean for coherence")
    CWG = Field(27, 24, words="write-back granule, log2 words")
    ERG = Field(23, 20, words="exclusives granule, log2 words")
    DminLine = Field(19, 16, words="smallest data cache line, log2 words")
    L1Ip = Field(15, 14, values={2: "VIPT", 3: "PIPT"}, words="instruction cache policy")
    IminLine = Field(3, 0, words="smallest instruction cache line, log2 words")


class Dczid(Register):
    """DCZID_EL0; BS is the log2 of the number of words that DC ZVA writes."""

    TBS = Field(5, words="tag block size")
    DZP = Field(4, words="DC ZVA is prohibited")
    BS = Field(3, 0, words="block of DC ZVA, log2 words")


CACHE_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {0: "none", 1: "instruction", 2: "data", 3: "separate", 4: "unified"}
)


class Clidr(Register):
    """CLIDR_EL1."""

    ICB = Field(32, 30, words="inner cache boundary")
    LoUU = Field(29, 27, words="level of unification, uniprocessor")
    LoC = Field(26, 24, words="level of coherence")
    LoUIS = Field(23, 21, words="level of unification, inner shareable")
    Ctype7 = Field(20, 18, values=CACHE_TYPES)
    Ctype6 = Field(17, 15, values=CACHE_TYPES)
    Ctype5 = Field(14, 12, values=CACHE_TYPES)
    Ctype4 = Field(11, 9, values=CACHE_TYPES)
    Ctype3 = Field(8, 6, values=CACHE_TYPES)
    Ctype2 = Field(5, 3, values=CACHE_TYPES)
    Ctype1 = Field(2, 0, values=CACHE_TYPES)


class Csselr(Register):
    """CSSELR_EL1; Level is the cache level minus one."""

    TnD = Field(4, words="allocation tag cache")
    Level = Field(3, 1, words="cache level minus one")
    InD = Field(0, values={0: "data or unified", 1: "instruction"}, words="kind of cache")


CACHE_LAYOUTS: Final[Mapping[str, type[Register]]] = MappingProxyType(
    {"CTR_EL0": Ctr, "DCZID_EL0": Dczid, "CLIDR_EL1": Clidr, "CSSELR_EL1": Csselr}
)
"""The layouts of the cache registers by name."""
