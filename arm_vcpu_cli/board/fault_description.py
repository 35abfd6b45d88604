"""``[[fault]]``: the faults that a machine injects, each with its trigger and its effect."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from arm_vcpu_cli.arch.smccc import PsciStatus
from arm_vcpu_cli.record import Record, replace


class Direction(Enum):
    """The accesses that an access trigger counts."""

    READ = "read"
    WRITE = "write"
    ANY = "any"


class AtTime(Record):
    """Guest time, in nanoseconds since the start; then again after each ``every``, up to ``times`` times (0:
    forever)."""

    time: int
    every: int = 0
    times: int = 1


class AtInstruction(Record):
    """Before the instruction with that number, from 0, among those that all vCPUs execute."""

    number: int


class AtCode(Record):
    """Before the instruction at ``place`` is executed: a symbol, symbol+offset, or a virtual address.

    The arrivals from number ``count`` on are affected, ``times`` of them (0: all). Only arrivals at ``after``
    nanoseconds of guest time or later count. The other counted triggers have these three as well.
    """

    place: str | int
    count: int = 1
    times: int = 1
    after: int = 0


class AtAccess(Record):
    """An access to one of the ``windows`` of IPAs; ``name`` is that of the device, or the range in words."""

    name: str
    windows: tuple[range, ...]
    direction: Direction = Direction.ANY
    count: int = 1
    times: int = 1
    after: int = 0


class AtInterrupt(Record):
    """A device asserts the input of an interrupt."""

    intid: int
    count: int = 1
    times: int = 1
    after: int = 0


class AtCpuOn(Record):
    """A call of PSCI's CPU_ON."""

    count: int = 1
    times: int = 1
    after: int = 0


Trigger = AtTime | AtInstruction | AtCode | AtAccess | AtInterrupt | AtCpuOn


class ExternalAbort(Record):
    """A synchronous external abort: of the access that is the trigger, otherwise of an instruction, on its data or
    (``on_fetch``) on its fetch."""

    on_fetch: bool = False


class SError(Record):
    """An SError interrupt; ``iss`` is the ISS of ESR_EL1 (25 bits)."""

    iss: int


class FlipRegister(Record):
    """Inverted ``bits`` of a register: ``x0`` to ``x30``, ``sp``, ``pc``, ``v0`` to ``v31``, or a system register."""

    register: str
    bits: tuple[int, ...]


class FlipMemory(Record):
    """Inverted ``bits``, counted from bit 0 of the byte at ``address``: an IPA, or, if ``is_virtual``, a symbol or
    virtual address as the vCPU translates it at that moment."""

    address: str | int
    bits: tuple[int, ...]
    is_virtual: bool = False


class WrongValue(Record):
    """A device read returns another value: ``value``, or the device's own value with the bits ``xor`` inverted."""

    value: int | None = None
    xor: int = 0


class Late(Record):
    """An access takes ``delay`` nanoseconds longer."""

    delay: int


class LoseInterrupt(Record):
    """The interrupt controller misses the assertion of the input that is the trigger, until it is deasserted."""


class SpuriousInterrupt(Record):
    """An interrupt without a cause becomes pending."""

    intid: int


class CpuOnFails(Record):
    """CPU_ON returns ``status`` and starts nothing, even where the status is SUCCESS."""

    status: PsciStatus


Effect = (
    ExternalAbort | SError | FlipRegister | FlipMemory | WrongValue | Late | LoseInterrupt | SpuriousInterrupt
) | CpuOnFails


class FaultDescription(Record):
    """``[[fault]]``. ``cpu`` is the affected vCPU, None for any; ``file`` and ``key`` locate it for messages: the file
    is None if it is the machine's."""

    name: str
    kind: str
    trigger: Trigger
    effect: Effect
    cpu: int | None
    key: str
    file: Path | None = None

    @property
    def identity(self) -> str:
        """A string that identifies the fault, independent of its position in the file."""
        return repr(replace(self, key="", file=None))
