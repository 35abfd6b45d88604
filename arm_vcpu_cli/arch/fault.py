"""Fault status codes: DFSC and IFSC of a syndrome, FST of PAR_EL1 (DDI 0487, D24.2, ESR_EL1)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Codes that carry the level of the walk in bits [1:0]: add the level, 0 to 3.
FSC_ADDRESS_SIZE: Final = 0x00
FSC_TRANSLATION: Final = 0x04
FSC_ACCESS_FLAG: Final = 0x08
FSC_PERMISSION: Final = 0x0C
FSC_EXTERNAL_WALK_L0: Final = 0x14

FSC_EXTERNAL: Final = 0x10
# 0x11 and 0x22 mean something else in each exception class: in an SError (EC 0x2F) 0x11 is the interrupt itself, in a
# data abort a tag check fault; in a debug exception (EC 0x30 to 0x35) 0x22 is that exception, in an abort a fault of
# the granule protection tables. So there are three tables of names below, one for each kind of layout.
FSC_ASYNC_EXTERNAL: Final = 0x11
FSC_ALIGNMENT: Final = 0x21
FSC_DEBUG: Final = 0x22
FSC_TLB_CONFLICT: Final = 0x30
FSC_UNSUPPORTED_ATOMIC: Final = 0x35


def _at_levels(base: int, text: str) -> dict[int, str]:
    return {base + level: f"{text}, level {level}" for level in range(4)}


FAULT_STATUS: Final[Mapping[int, str]] = MappingProxyType(
    {
        **_at_levels(FSC_ADDRESS_SIZE, "address size fault"),
        **_at_levels(FSC_TRANSLATION, "translation fault"),
        **_at_levels(FSC_ACCESS_FLAG, "access flag fault"),
        **_at_levels(FSC_PERMISSION, "permission fault"),
        FSC_EXTERNAL: "synchronous external abort",
        0x11: "synchronous tag check fault",
        0x12: "synchronous external abort on table walk, level -2",
        0x13: "synchronous external abort on table walk, level -1",
        **_at_levels(FSC_EXTERNAL_WALK_L0, "synchronous external abort on table walk"),
        0x18: "synchronous parity or ECC error",
        0x1B: "synchronous parity or ECC error on table walk, level -1",
        **_at_levels(0x1C, "synchronous parity or ECC error on table walk"),
        FSC_ALIGNMENT: "alignment fault",
        0x22: "granule protection fault on table walk, level -2",
        0x23: "granule protection fault on table walk, level -1",
        **_at_levels(0x24, "granule protection fault on table walk"),
        0x28: "granule protection fault",
        0x29: "address size fault, level -1",
        0x2A: "translation fault, level -2",
        0x2B: "translation fault, level -1",
        0x2C: "address size fault, level -2",
        FSC_TLB_CONFLICT: "TLB conflict abort",
        0x31: "unsupported atomic hardware update fault",
        0x34: "lockdown fault (implementation defined)",
        FSC_UNSUPPORTED_ATOMIC: "unsupported exclusive or atomic access",
    }
)
"""The meaning of each DFSC and IFSC code; missing codes are reserved."""

DEBUG_STATUS: Final[Mapping[int, str]] = MappingProxyType({FSC_DEBUG: "debug exception"})
SERROR_STATUS: Final[Mapping[int, str]] = MappingProxyType(
    {0: "uncategorized", FSC_ASYNC_EXTERNAL: "asynchronous SError exception"}
)


def fault_status_name(code: int) -> str:
    """Return the meaning of a 6-bit fault status code; ``reserved 0x3f`` if it has none."""
    return FAULT_STATUS.get(code, f"reserved {code:#04x}")


def fault_level(code: int) -> int:
    """Return the level of the walk that a code names, 0 to 3; -1 for a code without a level, or with a negative one."""
    return code & 3 if code < 0x10 or code & 0x3C in (0x14, 0x1C, 0x24) else -1


def is_translation(code: int) -> bool:
    """Return whether it is a translation fault at any level."""
    return code & 0x3C == FSC_TRANSLATION or code in (0x2A, 0x2B)


def is_permission(code: int) -> bool:
    """Return whether it is a permission fault at any level."""
    return code & 0x3C == FSC_PERMISSION


def is_access_flag(code: int) -> bool:
    """Return whether it is an access flag fault at any level."""
    return code & 0x3C == FSC_ACCESS_FLAG


def is_external(code: int) -> bool:
    """Return whether it is a synchronous external abort, on the access itself or on a table walk."""
    return code == FSC_EXTERNAL or 0x12 <= code <= 0x17
