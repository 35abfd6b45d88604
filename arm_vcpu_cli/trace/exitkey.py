"""The keys by which exits are counted, the same for a trace and for a running guest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

REASON: Final = "reason"
DEVICE: Final = "device"
REGISTER: Final = "register"
SYSREG: Final = "sysreg"
CALL: Final = "call"
SYMBOL: Final = "symbol"
CALLER: Final = "caller"
EL: Final = "el"
VCPU: Final = "vcpu"
IPI: Final = "ipi"
EXIT_DIMENSIONS: Final = (REASON, DEVICE, REGISTER, SYSREG, CALL, SYMBOL, CALLER, EL, VCPU, IPI)
"""The fields of an :class:`ExitKey`, in order."""

KEY_PROPERTIES: Final = (
    REASON, DEVICE, REGISTER, SYSREG, CALL, SYMBOL, CALLER, "pc", "ipa", "offset", "access", "action", IPI,
)  # fmt: skip
"""The string properties of an exit that its key depends on; ``el`` and ``vcpu`` do too."""

_DIRECTIONS: Final = {"MmioRead": "read", "MmioWrite": "write", "SysRegRead": "read", "SysRegWrite": "write"}.get
_OFFSET: Final = re.compile(r"\+0x[0-9a-f]+\Z")
_PAGE_MASK: Final = ~0xFFF


class ExitKey(NamedTuple):
    """The properties that distinguish exits; a field is empty if it does not apply to an exit.

    ``register`` and ``sysreg`` are followed by the direction, ``symbol`` and ``caller`` are functions, without offsets;
    a place without a symbol is an address. ``ipi`` is an inter-processor interrupt with its targets.
    """

    reason: str
    device: str = ""
    register: str = ""
    sysreg: str = ""
    call: str = ""
    symbol: str = ""
    caller: str = ""
    el: str = ""
    vcpu: str = ""
    ipi: str = ""


def exit_key(said: Mapping[str, str]) -> ExitKey:
    """Return the key of an exit with these properties, as they are in a trace; a missing one is empty."""
    reason = said[REASON]
    direction = _DIRECTIONS(reason, "")
    sysreg, call = said.get(SYSREG, ""), said.get(CALL, "")
    if not call and reason == "SystemDown":
        call = f"system {said.get('action', '')}".rstrip()
    return ExitKey(
        reason,
        device=said.get(DEVICE, ""),
        register=_register(said, direction or said.get("access", "")),
        sysreg=f"{sysreg} {direction}".rstrip() if sysreg else "",
        call=call,
        symbol=_function(said.get(SYMBOL, "")) or said.get("pc", ""),
        caller=_function(said.get(CALLER, "")),
        el=f"EL{said[EL]}" if said.get(EL) else "",
        vcpu=f"cpu{said[VCPU]}" if said.get(VCPU) else "",
        ipi=said.get(IPI, ""),
    )


def _register(said: Mapping[str, str], direction: str) -> str:
    """Return ``PL011.UARTDR write``; without a name ``ram0+0x10 write``; without a device, by page, ``IPA 0x10000000
    write``."""
    name, device, ipa = said.get(REGISTER, ""), said.get(DEVICE, ""), said.get("ipa", "")
    if not name:
        if device:
            name = f"{device}+{said['offset']}" if said.get("offset") else device
        elif ipa:
            name = f"IPA {int(ipa, 16) & _PAGE_MASK:#x}"
    return f"{name} {direction}".rstrip() if name else ""


def _function(symbol: str) -> str:
    return _OFFSET.sub("", symbol)
