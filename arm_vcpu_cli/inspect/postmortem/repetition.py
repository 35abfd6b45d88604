"""A guest's repeated actions, found in its last exits, at no cost while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.arm_vcpu.recorder import RecentExit
from arm_vcpu_cli.axvcpu.exit import (
    ExternalInterrupt,
    Halt,
    MmioRead,
    MmioWrite,
    Nothing,
    SendIPI,
    SysRegRead,
    SysRegWrite,
)
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.naming import name_access
from arm_vcpu_cli.record import Record

_LONGEST_ROUND: Final = 6
"""The most exits in one round."""
_LEAST_ROUNDS: Final = 3
_LEAST_EXITS: Final = 12
ACKNOWLEDGES: Final = ("ICC_IAR1_EL1", "ICC_IAR0_EL1", "GICC_IAR", "GICC_AIAR")
SENDS: Final = ("ICC_SGI1R_EL1", "ICC_SGI0R_EL1", "ICC_ASGI1R_EL1", "GICD_SGIR")
"""The registers that send SGIs."""
_INTID: Final = 0xFF_FFFF
_INTID_V2: Final = 0x3FF


class Access(Record):
    """An access of a round: to a register of a device or the CPU, by its name, or to an address without one.

    ``address`` is the IPA (None of a system register), ``offset`` that in the device's window. A read goes to
    ``register`` and has ``bits`` bits.
    """

    pc: int
    name: str
    is_read: bool
    address: int | None = None
    device: str = ""
    offset: int = 0
    register: int = 31
    bits: int = 64


class Repetition(Record):
    """The accesses of one round, and the number of rounds in the last exits. ``intid`` is the interrupt that each round
    acknowledges, None if none does. ``link`` is x30 at the last of them."""

    accesses: tuple[Access, ...]
    rounds: int
    intid: int | None = None
    link: int = 0

    @property
    def only_reads(self) -> bool:
        """Whether every access is a read."""
        return all(access.is_read for access in self.accesses)


def find_repetition(recent: Sequence[RecentExit], bus: Bus) -> Repetition | None:
    """The rounds that make up the last exits; None if the exits do not repeat, or are not all accesses."""
    kept = [each for each in recent if not isinstance(each.record.reason, (ExternalInterrupt, Nothing))]
    keys = [_key(each) for each in kept]
    for period in range(1, _LONGEST_ROUND + 1):
        same = 0
        while same + period < len(keys) and keys[-1 - same] == keys[-1 - same - period]:
            same += 1
        alike = same + period
        if alike < max(_LEAST_ROUNDS * period, _LEAST_EXITS):
            continue
        accesses = [_access(each, bus) for each in kept[-period:]]
        found = tuple(access for access in accesses if access is not None)
        if len(found) < period:
            return None
        return Repetition(found, alike // period, _acknowledged(found, kept, period), kept[-1].registers[30])
    return None


def _key(exit_: RecentExit) -> tuple[object, ...]:
    reason = exit_.record.reason
    what = getattr(reason, "addr", None) if not isinstance(reason, Halt) else None
    return type(reason), exit_.record.pc, what


def _access(exit_: RecentExit, bus: Bus) -> Access | None:
    reason, pc = exit_.record.reason, exit_.record.pc
    if isinstance(reason, (SysRegRead, SysRegWrite)):
        name = SysReg.from_iss(reason.addr).name
        return (
            Access(pc, name, True, register=reason.reg) if isinstance(reason, SysRegRead) else Access(pc, name, False)
        )
    if isinstance(reason, SendIPI):
        return Access(pc, SENDS[0], False)
    if not isinstance(reason, (MmioRead, MmioWrite)):
        return None
    window = bus.find(reason.addr)
    if window is None:
        return None
    width, offset = int(reason.width), reason.addr - window.base
    name = name_access(window.device, offset, width) or f"{window.name}+{offset:#x}"
    if isinstance(reason, MmioWrite):
        return Access(pc, name, False, reason.addr, window.name, offset)
    return Access(pc, name, True, reason.addr, window.name, offset, reason.reg, 8 * width)


def _acknowledged(accesses: Sequence[Access], kept: Sequence[RecentExit], period: int) -> int | None:
    """The interrupt that an acknowledge in the round returned: its register still holds it at the next exit."""
    for number, access in enumerate(accesses):
        if access.name not in ACKNOWLEDGES or not access.is_read or access.register >= len(kept[0].registers):
            continue
        behind = len(kept) - period + number + 1
        # The last exit has no result yet; the previous round has.
        place = behind if behind < len(kept) else behind - period
        value = kept[place].registers[access.register]
        return value & (_INTID if access.name.startswith("ICC") else _INTID_V2)
    return None
