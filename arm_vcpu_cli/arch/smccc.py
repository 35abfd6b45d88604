"""Numbers of the SMC calling convention, of PSCI and of the TRNG interface.

SMCCC 1.5 is DEN0028 (function identifiers: section 2.5, general service queries: section 7), PSCI 1.1 is
DEN0022 (chapter 5), the TRNG firmware interface is DEN0098.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64

FAST_CALL: Final = 1 << 31
SMC64: Final = 1 << 30

OWNERS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "Arm architecture",
        1: "CPU",
        2: "SiP",
        3: "OEM",
        4: "standard secure service",
        5: "standard hypervisor service",
        6: "vendor hypervisor service",
        7: "vendor EL3 monitor service",
        **dict.fromkeys((48, 49), "trusted application"),
        **dict.fromkeys(range(50, 64), "trusted OS"),
    }
)
"""The owning entities of function identifiers (bits 29:24)."""


class PsciFunction(IntEnum):
    """PSCI function identifiers; the names that end in ``_64`` are the SMC64 forms."""

    PSCI_VERSION = 0x84000000
    CPU_SUSPEND = 0x84000001
    CPU_OFF = 0x84000002
    CPU_ON = 0x84000003
    AFFINITY_INFO = 0x84000004
    MIGRATE = 0x84000005
    MIGRATE_INFO_TYPE = 0x84000006
    MIGRATE_INFO_UP_CPU = 0x84000007
    SYSTEM_OFF = 0x84000008
    SYSTEM_RESET = 0x84000009
    PSCI_FEATURES = 0x8400000A
    CPU_FREEZE = 0x8400000B
    CPU_DEFAULT_SUSPEND = 0x8400000C
    NODE_HW_STATE = 0x8400000D
    SYSTEM_SUSPEND = 0x8400000E
    PSCI_SET_SUSPEND_MODE = 0x8400000F
    PSCI_STAT_RESIDENCY = 0x84000010
    PSCI_STAT_COUNT = 0x84000011
    SYSTEM_RESET2 = 0x84000012
    MEM_PROTECT = 0x84000013
    MEM_PROTECT_CHECK_RANGE = 0x84000014
    CPU_SUSPEND_64 = 0xC4000001
    CPU_ON_64 = 0xC4000003
    AFFINITY_INFO_64 = 0xC4000004
    MIGRATE_64 = 0xC4000005
    MIGRATE_INFO_UP_CPU_64 = 0xC4000007
    CPU_DEFAULT_SUSPEND_64 = 0xC400000C
    NODE_HW_STATE_64 = 0xC400000D
    SYSTEM_SUSPEND_64 = 0xC400000E
    PSCI_STAT_RESIDENCY_64 = 0xC4000010
    PSCI_STAT_COUNT_64 = 0xC4000011
    SYSTEM_RESET2_64 = 0xC4000012
    MEM_PROTECT_CHECK_RANGE_64 = 0xC4000014


class PsciStatus(IntEnum):
    """PSCI return codes (DEN0022, 5.2.2), signed 32-bit; ``to_u64`` converts them for a register."""

    SUCCESS = 0
    NOT_SUPPORTED = -1
    INVALID_PARAMETERS = -2
    DENIED = -3
    ALREADY_ON = -4
    ON_PENDING = -5
    INTERNAL_FAILURE = -6
    NOT_PRESENT = -7
    DISABLED = -8
    INVALID_ADDRESS = -9


class AffinityState(IntEnum):
    """The results of AFFINITY_INFO (DEN0022, 5.7)."""

    ON = 0
    OFF = 1
    ON_PENDING = 2


class MigrateInfo(IntEnum):
    """The results of MIGRATE_INFO_TYPE (DEN0022, 5.9): where the trusted OS runs and whether it can migrate."""

    UNIPROCESSOR_MIGRATE = 0
    UNIPROCESSOR_FIXED = 1
    NOT_NEEDED = 2


class SmcccFunction(IntEnum):
    """The Arm architecture calls and the TRNG interface; ``_64`` marks the SMC64 form."""

    SMCCC_VERSION = 0x80000000
    SMCCC_ARCH_FEATURES = 0x80000001
    SMCCC_ARCH_SOC_ID = 0x80000002
    SMCCC_ARCH_SOC_ID_64 = 0xC0000002
    SMCCC_ARCH_WORKAROUND_3 = 0x80003FFF
    SMCCC_ARCH_WORKAROUND_2 = 0x80007FFF
    SMCCC_ARCH_WORKAROUND_1 = 0x80008000
    TRNG_VERSION = 0x84000050
    TRNG_FEATURES = 0x84000051
    TRNG_GET_UUID = 0x84000052
    TRNG_RND = 0x84000053
    TRNG_RND_64 = 0xC4000053
    STANDARD_SERVICE_CALL_COUNT = 0x8400FF00
    STANDARD_SERVICE_CALL_UID = 0x8400FF01
    STANDARD_SERVICE_REVISION = 0x8400FF03
    VENDOR_HYP_CALL_COUNT = 0x8600FF00
    VENDOR_HYP_CALL_UID = 0x8600FF01
    VENDOR_HYP_REVISION = 0x8600FF03


class SmcccStatus(IntEnum):
    """SMCCC return codes (DEN0028, 7.1): signed; NOT_SUPPORTED is also the answer to an unknown function."""

    SUCCESS = 0
    NOT_SUPPORTED = -1
    NOT_REQUIRED = -2
    INVALID_PARAMETER = -3


WORKAROUND_NOT_REQUIRED_HERE: Final = 1
"""The result of SMCCC_ARCH_FEATURES for a workaround that may be called but that the calling PE does not need."""


class TrngStatus(IntEnum):
    """TRNG return codes (DEN0098, 2.1), signed."""

    SUCCESS = 0
    NOT_SUPPORTED = -1
    INVALID_PARAMETERS = -2
    NO_ENTROPY = -3


def encode_version(major: int, minor: int) -> int:
    """Encode a version as PSCI, SMCCC and TRNG return it: major in bits 30:16, minor in 15:0. Raises ValueError."""
    if not (0 <= major < 0x8000 and 0 <= minor < 0x10000):
        raise ValueError(f"version {major}.{minor} cannot be encoded")
    return major << 16 | minor


PSCI_VERSION_1_1: Final = encode_version(1, 1)
SMCCC_VERSION_1_2: Final = encode_version(1, 2)
TRNG_VERSION_1_0: Final = encode_version(1, 0)


def owner(fid: int) -> int:
    """Return the owning entity of a function identifier, bits 29:24."""
    return fid >> 24 & 0x3F


def is_fast(fid: int) -> bool:
    """Return whether it is a fast call, which is atomic; the others may yield."""
    return bool(fid & FAST_CALL)


def is_64bit(fid: int) -> bool:
    """Return whether it uses the SMC64 convention, with 64-bit arguments and results."""
    return bool(fid & SMC64)


def is_psci(fid: int) -> bool:
    """Return whether it is in a range that PSCI owns: 0x84000000-1F (SMC32) and 0xC4000000-1F (SMC64)."""
    return 0x84000000 <= fid <= 0x8400001F or 0xC4000000 <= fid <= 0xC400001F


def is_trng(fid: int) -> bool:
    """Return whether it is in a range of the TRNG interface: 0x84000050-5F and 0xC4000050-5F."""
    return 0x84000050 <= fid <= 0x8400005F or 0xC4000050 <= fid <= 0xC400005F


def to_u64(value: int) -> int:
    """Return a signed result as the 64-bit register value: -1 becomes 0xFFFFFFFFFFFFFFFF."""
    return value & MASK64


def from_u64(value: int) -> int:
    """Return a 64-bit register value as a signed number."""
    value = to_u64(value)
    return value - (1 << 64) if value >> 63 else value


FUNCTION_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {int(member): member.name for enumeration in (PsciFunction, SmcccFunction) for member in enumeration}
)

# Arguments after the function identifier, from x1 on (DEN0022, DEN0028 and DEN0098), in both conventions.
_ARGUMENTS: Final[Mapping[int, int]] = MappingProxyType(
    {
        PsciFunction.PSCI_VERSION: 0,
        PsciFunction.CPU_SUSPEND: 3,
        PsciFunction.CPU_OFF: 0,
        PsciFunction.CPU_ON: 3,
        PsciFunction.AFFINITY_INFO: 2,
        PsciFunction.MIGRATE: 1,
        PsciFunction.MIGRATE_INFO_TYPE: 0,
        PsciFunction.MIGRATE_INFO_UP_CPU: 0,
        PsciFunction.SYSTEM_OFF: 0,
        PsciFunction.SYSTEM_RESET: 0,
        PsciFunction.PSCI_FEATURES: 1,
        PsciFunction.CPU_FREEZE: 0,
        PsciFunction.CPU_DEFAULT_SUSPEND: 2,
        PsciFunction.NODE_HW_STATE: 2,
        PsciFunction.SYSTEM_SUSPEND: 2,
        PsciFunction.PSCI_SET_SUSPEND_MODE: 1,
        PsciFunction.PSCI_STAT_RESIDENCY: 2,
        PsciFunction.PSCI_STAT_COUNT: 2,
        PsciFunction.SYSTEM_RESET2: 2,
        PsciFunction.MEM_PROTECT: 1,
        PsciFunction.MEM_PROTECT_CHECK_RANGE: 2,
        SmcccFunction.SMCCC_VERSION: 0,
        SmcccFunction.SMCCC_ARCH_FEATURES: 1,
        SmcccFunction.SMCCC_ARCH_SOC_ID: 1,
        SmcccFunction.SMCCC_ARCH_WORKAROUND_3: 0,
        SmcccFunction.SMCCC_ARCH_WORKAROUND_2: 1,
        SmcccFunction.SMCCC_ARCH_WORKAROUND_1: 0,
        SmcccFunction.TRNG_VERSION: 0,
        SmcccFunction.TRNG_FEATURES: 1,
        SmcccFunction.TRNG_GET_UUID: 0,
        SmcccFunction.TRNG_RND: 1,
        SmcccFunction.STANDARD_SERVICE_CALL_COUNT: 0,
        SmcccFunction.STANDARD_SERVICE_CALL_UID: 0,
        SmcccFunction.STANDARD_SERVICE_REVISION: 0,
        SmcccFunction.VENDOR_HYP_CALL_COUNT: 0,
        SmcccFunction.VENDOR_HYP_CALL_UID: 0,
        SmcccFunction.VENDOR_HYP_REVISION: 0,
    }
)


def argument_count(fid: int) -> int | None:
    """Return the number of a function's arguments besides its identifier; None for a function without a name.

    ``fid`` may be the 64-bit register value, as in :func:`function_name`.
    """
    fid &= 0xFFFFFFFF
    return _ARGUMENTS[fid & ~SMC64] if fid in FUNCTION_NAMES else None


def function_name(fid: int) -> str:
    """Return ``PSCI_VERSION``, or for a function without a name ``SMCCC 0xc2000001 (SiP, fast, SMC64)``.

    ``fid`` may be the 64-bit register value; only its low 32 bits are the identifier (DEN0028, 2.5).
    """
    fid &= 0xFFFFFFFF
    known = FUNCTION_NAMES.get(fid)
    if known is not None:
        return known
    who = OWNERS.get(owner(fid), "reserved owner" if is_fast(fid) else "trusted OS")
    kind = "fast" if is_fast(fid) else "yielding"
    return f"SMCCC {fid:#010x} ({who}, {kind}, {'SMC64' if is_64bit(fid) else 'SMC32'})"
