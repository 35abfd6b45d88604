"""Surveys an arm64 Linux kernel image beyond its header: version, configuration, drivers, features.

A kernel has no list of its needs. It contains strings: its banner, the configuration that CONFIG_IKCONFIG puts between
two marks (kernel/configs.c), the names of the devices that its drivers look for in a device tree, and the descriptions
of the features that it uses if present (arch/arm64/kernel/cpufeature.c).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from arm_vcpu_cli.guest.decompression import CompressionError, Method, unpack
from arm_vcpu_cli.guest.linux import ImageFlags
from arm_vcpu_cli.printable import decoded

_BANNER: Final = re.compile(rb"Linux version (\d[!-~]{0,127}) ")
_CONFIG_START: Final = b"IKCFG_ST"
_MAX_CONFIG: Final = 4 << 20
_CONFIG_LINE: Final = re.compile(rb"CONFIG_(\w+)=(.*)")
_MAX_VALUE: Final = 64
"""The maximum length of an option's value in bytes: those of interest are a letter, a number or a short word."""
_FLAGS_OFFSET: Final = 24
_IMAGE_SIZE_OFFSET: Final = 16
_WORD: Final = 8

USES: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        "FEAT_PAN": b"Privileged Access Never\0",
        "FEAT_PAN3": b"Enhanced Privileged Access Never\0",
        "FEAT_LSE": b"LSE atomic instructions\0",
        "FEAT_CRC32": b"CRC32 instructions\0",
        "FEAT_RAS": b"RAS Extension Support\0",
        "FEAT_SVE": b"Scalable Vector Extension\0",
        "FEAT_SME": b"Scalable Matrix Extension\0",
        "FEAT_PAuth": b"Address authentication (",
        "FEAT_BTI": b"Branch Target Identification\0",
        "FEAT_MTE": b"Memory Tagging Extension\0",
        "FEAT_E0PD": b"E0PD\0",
        "FEAT_RNG": b"Random Number Generator\0",
        "FEAT_SB": b"Speculation barrier (SB)\0",
        "FEAT_SSBS": b"Speculative Store Bypassing Safe (SSBS)\0",
        "FEAT_TTCNP": b"Common not Private translations\0",
        "FEAT_HAFDBS": b"Hardware dirty bit management\0",
        "FEAT_AMUv1": b"Activity Monitors Unit (AMU)\0",
        "FEAT_LRCPC": b"RCpc load-acquire (LDAPR)\0",
        "FEAT_TLBIRANGE": b"TLB range maintenance instructions\0",
        "FEAT_TTL": b"ARMv8.4 Translation Table Level\0",
        "FEAT_WFxT": b"WFx with timeout\0",
        "FEAT_DPB": b"Data cache clean to Point of Persistence\0",
        "FEAT_ECV": b"Enhanced Counter Virtualization\0",
        "FEAT_MOPS": b"Memory Copy and Memory Set instructions\0",
        "FEAT_GCS": b"Guarded Control Stack (GCS)\0",
    }
)
"""The kernel's description of a feature when it prints that it has detected it, which it contains only if it can use
it."""

GICS: Final[Mapping[int, str]] = MappingProxyType({2: "GICv2", 3: "GICv3"})
"""Interrupt controllers, by the versions of their architecture."""
TIMER: Final = "architected timer"
CONSOLE: Final = "PL011 console"
PSCI: Final = "PSCI"
RTC: Final = "PL031 clock"
DRIVERS: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        GICS[3]: b"arm,gic-v3\0",
        GICS[2]: b"arm,cortex-a15-gic\0",
        TIMER: b"arm,armv8-timer\0",
        PSCI: b"arm,psci-1.0\0",
        CONSOLE: b"arm,pl011\0",
        RTC: b"rtc-pl031",
    }
)
"""The strings that the drivers for a machine's devices look for."""

OPTIONS: Final = (
    "ARM64_4K_PAGES", "ARM64_16K_PAGES", "ARM64_64K_PAGES", "ARM64_VA_BITS", "ARM64_PA_BITS", "ARM64_FORCE_52BIT",
    "PGTABLE_LEVELS", "CPU_BIG_ENDIAN", "ARM64_LSE_ATOMICS", "ARM64_USE_LSE_ATOMICS", "ARM64_PAN", "ARM64_PTR_AUTH",
    "ARM64_PTR_AUTH_KERNEL", "ARM64_BTI", "ARM64_BTI_KERNEL", "ARM64_MTE", "ARM64_SVE", "ARM64_SME", "ARM64_E0PD",
    "ARM64_EPAN", "RANDOMIZE_BASE", "UNMAP_KERNEL_AT_EL0", "SERIAL_AMBA_PL011", "SERIAL_AMBA_PL011_CONSOLE",
    "ARM_GIC_V3", "ARM_PSCI_FW", "VIRTIO_MMIO", "COMPAT", "KVM",
)  # fmt: skip
"""Options of a kernel's configuration that state its needs; without CONFIG_."""


class LinuxSurvey(NamedTuple):
    """A kernel; ``image_size`` in bytes, 0 if an old header does not state it.

    ``options`` are those of OPTIONS that are set, None if the kernel does not contain its configuration. ``uses`` are
    features that it uses if present, ``drivers`` those of DRIVERS that it has.
    """

    version: str | None
    container: str | None
    image_size: int
    flags: ImageFlags
    is_efi: bool
    options: Mapping[str, str] | None
    uses: tuple[str, ...]
    drivers: tuple[str, ...]


def survey_linux(image: bytes, container: str | None) -> LinuxSurvey:
    """Survey the unpacked Image; ``container`` names the format that it was packed in."""
    banner = _BANNER.search(image)
    return LinuxSurvey(
        version=banner[1].decode("ascii") if banner else None,
        container=container,
        image_size=int.from_bytes(image[_IMAGE_SIZE_OFFSET : _IMAGE_SIZE_OFFSET + _WORD], "little"),
        flags=ImageFlags(int.from_bytes(image[_FLAGS_OFFSET : _FLAGS_OFFSET + _WORD], "little")),
        is_efi=image[:2] == b"MZ",
        options=_options(image),
        uses=tuple(name for name, text in USES.items() if text in image),
        drivers=tuple(name for name, text in DRIVERS.items() if text in image),
    )


def _options(image: bytes) -> Mapping[str, str] | None:
    """Return the configuration, if it is built in; a damaged one counts as none."""
    start = image.find(_CONFIG_START)
    if start < 0:
        return None
    packed = image[start + len(_CONFIG_START) : start + len(_CONFIG_START) + _MAX_CONFIG]
    try:
        text = unpack(packed, Method.GZIP, _MAX_CONFIG)
    except CompressionError:
        return None
    found = {match[1]: match[2].strip(b'"') for match in map(_CONFIG_LINE.fullmatch, text.splitlines()) if match}
    named = ((name, found.get(name.encode("ascii"))) for name in OPTIONS)
    return MappingProxyType({name: decoded(value, _MAX_VALUE) for name, value in named if value is not None})
