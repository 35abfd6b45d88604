"""Instructions that only compute: a loop of these is the same in every iteration (DDI 0487, C4.1).

An inert instruction changes only the general registers, SP, the PC and PSTATE, and depends only on these, memory, and
registers that no inert instruction changes. So a CPU that executes nothing else and returns to the same registers will
do so forever, unless something interrupts it.

The list is short rather than complete: an unknown instruction counts as not inert. That includes everything with SIMD
and floating-point registers, so comparisons of registers can leave out their values.
"""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import LoadStore, Unemulated
from arm_vcpu_cli.arch.registers.sysreg import SysReg, decode_system_move, lookup
from arm_vcpu_cli.record import Record


class _Class(Record):
    mask: int
    value: int


_COMPUTING: Final = (
    _Class(0x1C000000, 0x10000000),  # data processing, immediate
    _Class(0x0E000000, 0x0A000000),  # data processing, register
    _Class(0x7C000000, 0x14000000),  # B, BL
    _Class(0xFF000000, 0x54000000),  # B.cond, BC.cond
    _Class(0x7C000000, 0x34000000),  # CBZ, CBNZ, TBZ, TBNZ
    _Class(0xFFFFFC1F, 0xD61F0000),  # BR
    _Class(0xFFFFFC1F, 0xD63F0000),  # BLR
    _Class(0xFFFFFC1F, 0xD65F0000),  # RET
    # Hints. Neither WFE nor WFI changes anything, whether it waits or not.
    _Class(0xFFFFF01F, 0xD503201F),
    _Class(0xFFFFF0FF, 0xD503309F),  # DSB
    _Class(0xFFFFF0FF, 0xD50330BF),  # DMB
    _Class(0xFFFFF0FF, 0xD50330DF),  # ISB
)
_BRANCHING: Final = _Class(0x1C000000, 0x14000000)
"""Branches, exceptions and system instructions ..."""
_SYSTEM: Final = _Class(0xFF000000, 0xD5000000)
"""... and the last of these."""
_RANDOM_TAG: Final = _Class(0xFFE0FC00, 0x9AC01000)
"""IRG, which changes RGSR_EL1, is encoded among the data processing instructions."""
_LOAD: Final = _Class(0x00400000, 0x00400000)
"""Bit L of the exclusives. A load only marks an address, which has an effect on stores alone."""

_READABLE: Final[frozenset[SysReg]] = frozenset(
    lookup(name)
    for name in (
        "CurrentEL",
        "DAIF",
        "NZCV",
        "SP_EL0",
        "TPIDR_EL0",
        "TPIDRRO_EL0",
        "TPIDR_EL1",
        "ELR_EL1",
        "SPSR_EL1",
        "ESR_EL1",
        "FAR_EL1",
    )
)
"""System registers that only instructions and exceptions change, unlike counters or ISR_EL1."""


def _is(insn: int, of: _Class) -> bool:
    return insn & of.mask == of.value


def is_branch(insn: int) -> bool:
    """Return whether an inert instruction may continue elsewhere than at the next one."""
    return _is(insn, _BRANCHING) and not _is(insn, _SYSTEM)


def is_inert(insn: int) -> bool:
    """Return whether an instruction word is inert; False for an unknown one."""
    if any(_is(insn, known) for known in _COMPUTING):
        return not _is(insn, _RANDOM_TAG)
    move = decode_system_move(insn)
    if move is not None:
        return move.is_read and move.reg in _READABLE
    access = decode_load_store(insn)
    if isinstance(access, LoadStore):
        return access.is_load and not any(transfer.vector for transfer in access.transfers)
    if isinstance(access, Unemulated):
        return access.kind == "prefetch" or (access.kind == "exclusive" and _is(insn, _LOAD))
    return False
