"""The hardware capabilities that Linux passes to each program in its auxiliary vector, by their names in /proc/cpuinfo.

Linux: Documentation/arch/arm64/elf_hwcaps.rst, arch/arm64/include/uapi/asm/hwcap.h.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

AT_PAGESZ: Final = 6
AT_HWCAP: Final = 16
AT_HWCAP2: Final = 26
AT_HWCAP3: Final = 29
CPUID: Final = "cpuid"
"""The capability for which the kernel shows its ID registers to programs that read them with MRS."""

NAMES: Final[Mapping[int, tuple[str, ...]]] = MappingProxyType(
    {
        AT_HWCAP: tuple(
            "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3"
            " sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg gcs cmpbr fprcvt f8mm8 f8mm4"
            " svef16mm sveeltperm sveaes2 svebfscale sve2p2 sme2p2 smesbitperm smeaes smesfexpa smestmop"
            " smesmop4".split()
        ),
        AT_HWCAP2: tuple(
            "dcpodp sve2 sveaes svepmull svebitperm svesha3 svesm4 flagm2 frint svei8mm svef32mm svef64mm svebf16 i8mm"
            " bf16 dgh rng bti mte ecv afp rpres mte3 sme smei16i64 smef64f64 smei8i32 smef16f32 smeb16f32 smef32f32"
            " smefa64 wfxt ebf16 sveebf16 cssc rprfm sve2p1 sme2 sme2p1 smei16i32 smebi32i32 smeb16b16 smef16f16 mops"
            " hbc sveb16b16 lrcpc3 lse128 fpmr lut faminmax f8cvt f8fma f8dp4 f8dp2 f8e4m3 f8e5m2 smelutv2 smef8f16"
            " smef8f32 smesf8fma smesf8dp4 smesf8dp2 poe".split()
        ),
        AT_HWCAP3: ("mtefar", "mtestoreonly", "lsfe"),
    }
)
"""By entry type: the names of the bits, from bit 0 on."""

_ENTRY: Final = struct.Struct("<QQ")


class AuxiliaryVector(NamedTuple):
    """The contents of /proc/self/auxv; ``page_size`` in bytes. Capabilities without a name are called ``hwcap2.40``."""

    page_size: int | None
    hwcaps: tuple[str, ...]


def read_auxiliary_vector(data: bytes) -> AuxiliaryVector:
    """Parse the vector of a 64-bit, little-endian Arm program; truncated entries are dropped."""
    entries = dict(_ENTRY.iter_unpack(data[: len(data) - len(data) % _ENTRY.size]))
    found: list[str] = []
    for number, (kind, names) in enumerate(NAMES.items(), start=1):
        value = entries.get(kind, 0)
        prefix = "hwcap" if number == 1 else f"hwcap{number}"
        bits = [bit for bit in range(value.bit_length()) if value >> bit & 1]
        found += [names[bit] if bit < len(names) else f"{prefix}.{bit}" for bit in bits]
    return AuxiliaryVector(entries.get(AT_PAGESZ), tuple(found))
