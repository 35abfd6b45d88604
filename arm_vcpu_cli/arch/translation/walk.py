"""The result of a translation table walk: its steps, and the output address or the fault (DDI 0487, D8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.fault import (
    FSC_ACCESS_FLAG,
    FSC_ADDRESS_SIZE,
    FSC_EXTERNAL_WALK_L0,
    FSC_PERMISSION,
    FSC_TRANSLATION,
)
from arm_vcpu_cli.arch.identification.idregs import PA_RANGE_BITS
from arm_vcpu_cli.arch.translation.descriptor import Stage2Attributes
from arm_vcpu_cli.arch.translation.memtype import Access, MemoryType
from arm_vcpu_cli.record import Record

ReadU64 = Callable[[int], "int | None"]
"""Reads the 64-bit word at a physical (stage 1: intermediate physical) address; None if there is no memory."""

ADDRESS_SIZE: Final = "address size"
TRANSLATION: Final = "translation"
FAULT_BASES: Final[Mapping[str, int]] = MappingProxyType(
    {
        ADDRESS_SIZE: FSC_ADDRESS_SIZE,
        TRANSLATION: FSC_TRANSLATION,
        "access flag": FSC_ACCESS_FLAG,
        "permission": FSC_PERMISSION,
        "external": FSC_EXTERNAL_WALK_L0,
    }
)


class Stage1Attributes(Record):
    """The permissions of stage 1 at the requested Exception level, and the memory type."""

    read: bool
    write: bool
    execute: bool
    memory: MemoryType
    shareability: int
    not_global: bool


class WalkStep(Record):
    """One descriptor: where it was read, its value, and its interpretation.

    ``kind`` is ``table``, ``block``, ``page``, ``invalid``, or ``external`` if there is no memory at the address
    (``descriptor`` is then 0).
    """

    level: int
    address: int
    descriptor: int
    kind: str


class WalkFault(Record):
    """Why a walk failed. ``kind`` is a key of ``FAULT_BASES``; ``fault_status`` is the 6-bit DFSC or IFSC."""

    kind: str
    level: int
    fault_status: int


class Walk(Record):
    """A finished walk: ``output`` is None exactly if there is a ``fault``.

    ``size`` is the size in bytes of the block or page reached, and ``attributes`` are its attributes; both are also set
    for a fault found there (permission, access flag). A stage-1 walk with the MMU off has a ``size`` of 0.
    """

    steps: tuple[WalkStep, ...]
    output: int | None
    fault: WalkFault | None
    size: int
    attributes: Stage1Attributes | Stage2Attributes | None


def fault_at(kind: str, level: int) -> WalkFault:
    """Return the fault of a kind at a level, with its status code."""
    return WalkFault(kind, level, FAULT_BASES[kind] + level)


def failed(steps: list[WalkStep], kind: str, level: int) -> Walk:
    """Return a walk that reached no block or page."""
    return Walk(tuple(steps), None, fault_at(kind, level), 0, None)


def output_width(code: int) -> int:
    """Return the number of bits of an output address by TCR_EL1.IPS or VTCR_EL2.PS; a reserved code counts as the
    largest."""
    return PA_RANGE_BITS[min(code, len(PA_RANGE_BITS) - 1)]


def finished(
    steps: list[WalkStep],
    output: int,
    size: int,
    attributes: Stage1Attributes | Stage2Attributes,
    access: Access | None,
    *,
    output_bits: int,
    accessed: bool,
) -> Walk:
    """Return a walk whose last step is a block or page, checked in the Arm ARM's order: address size, access flag,
    permission.

    ``accessed`` is false if the access flag is clear and nothing sets it.
    """
    kind = None
    if output >> output_bits:
        kind = ADDRESS_SIZE
    elif not accessed:
        kind = "access flag"
    elif not permits(attributes, access):
        kind = "permission"
    fault = None if kind is None else fault_at(kind, steps[-1].level)
    return Walk(tuple(steps), output if fault is None else None, fault, size, attributes)


def permits(attributes: Stage1Attributes | Stage2Attributes, access: Access | None) -> bool:
    """Return whether the access is allowed; None requires nothing."""
    if access is Access.READ:
        return attributes.read
    if access is Access.WRITE:
        return attributes.write
    if access is Access.EXECUTE:
        return attributes.execute
    return True
