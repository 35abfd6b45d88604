"""System registers by name and by encoding, and the instructions that move them (DDI 0487, C5 and D24)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib import import_module
from types import MappingProxyType
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.registers.el1_encodings import EL0_REGISTERS, EL1_REGISTERS
from arm_vcpu_cli.arch.registers.el2_encodings import DEBUG_REGISTERS, EL2_REGISTERS, EL3_REGISTERS
from arm_vcpu_cli.arch.registers.instruction_encodings import SYSTEM_INSTRUCTIONS
from arm_vcpu_cli.record import Record


class SystemMoveIss(Register):
    """EC 0x18: MSR, MRS or a system instruction."""

    WIDTH = 25
    Op0 = Field(21, 20)
    Op2 = Field(19, 17)
    Op1 = Field(16, 14)
    CRn = Field(13, 10)
    Rt = Field(9, 5, words="general register")
    CRm = Field(4, 1)
    Direction = Field(0, values={0: "write", 1: "read"}, words="direction of the move")


ISS_MASK: Final = int(SystemMoveIss.of(Op0=3, Op1=7, CRn=15, CRm=15, Op2=7))
"""The bits of the ISS of EC 0x18 that name the register, 0x3FFC1E."""
_OP0: Final = SystemMoveIss.Op0.lsb
_OP1: Final = SystemMoveIss.Op1.lsb
_CRN: Final = SystemMoveIss.CRn.lsb
_CRM: Final = SystemMoveIss.CRm.lsb
_OP2: Final = SystemMoveIss.Op2.lsb


class SysReg(NamedTuple):
    """A system register or system instruction by its encoding: op0 2 bits, op1 and op2 3, CRn and CRm 4."""

    op0: int
    op1: int
    crn: int
    crm: int
    op2: int

    @property
    def iss(self) -> int:
        """The address in the form of ESR_ELx.ISS, which is ``iss & ISS_MASK``."""
        return self.op0 << _OP0 | self.op2 << _OP2 | self.op1 << _OP1 | self.crn << _CRN | self.crm << _CRM

    @property
    def packed(self) -> int:
        """op0 to op2 concatenated, 16 bits: bits [20:5] of the register's MRS, with both bits of op0."""
        return (((self.op0 << 3 | self.op1) << 4 | self.crn) << 4 | self.crm) << 3 | self.op2

    @property
    def name(self) -> str:
        """The architectural name, or else the generic one: ``HCR_EL2``, ``DC ZVA``, ``S3_0_C12_C12_5``."""
        return sysreg_names().get(self) or self.generic_name

    @property
    def generic_name(self) -> str:
        """``S<op0>_<op1>_C<n>_C<m>_<op2>``, which every assembler accepts."""
        return f"S{self.op0}_{self.op1}_C{self.crn}_C{self.crm}_{self.op2}"

    @classmethod
    def from_iss(cls, iss: int) -> SysReg:
        """Return the register that an ISS of EC 0x18 names; Rt and the direction are ignored."""
        named = SystemMoveIss(iss & ISS_MASK)
        return cls(named.Op0, named.Op1, named.CRn, named.CRm, named.Op2)


_ENCODINGS: Final = (DEBUG_REGISTERS, EL1_REGISTERS, EL0_REGISTERS, EL2_REGISTERS, EL3_REGISTERS, SYSTEM_INSTRUCTIONS)
_GENERIC: Final = r"(?i)S([0-3])_([0-7])_C(\d|1[0-5])_C(\d|1[0-5])_([0-7])"


def _all_registers() -> Iterator[tuple[str, SysReg]]:
    for table in _ENCODINGS:
        for name, encoding in table.items():
            reg = SysReg(*encoding)
            yield name, reg
            if reg.op0 == 1 and reg.crn == 8:
                yield f"{name}NXS", reg._replace(crn=9)
    # The virtual CPU interface answers to the encodings of the physical one (GICv3, IHI 0069, 12.5).
    for name, encoding in EL1_REGISTERS.items():
        if name.startswith("ICC_") and "SGI" not in name and name != "ICC_SRE_EL1":
            yield f"ICV_{name[4:]}", SysReg(*encoding)


@cache
def sysregs() -> Mapping[str, SysReg]:
    """Every named register and instruction; two names may share an encoding (DBGDTRRX_EL0, DBGDTRTX_EL0)."""
    return MappingProxyType(dict(_all_registers()))


@cache
def sysreg_names() -> Mapping[SysReg, str]:
    """The name of each encoding; of two, that of the physical register or of the read access."""
    return MappingProxyType({reg: name for name, reg in reversed(list(sysregs().items()))})


def is_generic(name: str) -> bool:
    """Return whether this is a generic name, ``S<op0>_<op1>_C<n>_C<m>_<op2>``."""
    return re.fullmatch(_GENERIC, name) is not None


def lookup(name: str) -> SysReg:
    """Return the register of a name in either case, or of a generic name ``S3_0_C12_C12_5``.

    Raises KeyError, with the closest names in its message, if there is none.
    """
    # Most runs look up a few dozen of the six hundred.
    for table in _ENCODINGS:
        if name in table:
            return SysReg(*table[name])
    generic = re.fullmatch(_GENERIC, name)
    if generic is not None:
        return SysReg(*(int(part) for part in generic.groups()))
    by_upper_name = _by_upper_name()
    wanted = " ".join(name.upper().split())
    known = by_upper_name.get(wanted)
    if known is None:
        close = import_module("difflib").get_close_matches(wanted, by_upper_name, n=3)
        hint = f"; did you mean {', '.join(by_upper_name[match] for match in close)}?" if close else ""
        raise KeyError(f"no system register is called {name}{hint}")
    return sysregs()[known]


@cache
def _by_upper_name() -> Mapping[str, str]:
    return {name.upper(): name for name in sysregs()}


class SystemMove(Record):
    """A move between general register ``rt`` (31 is XZR) and a system register; MRS and SYSL read."""

    reg: SysReg
    rt: int
    is_read: bool


class _SystemWord(Register):
    """The instruction word of MSR (register), MRS, SYS and SYSL; bit 22 would make it a 128-bit move.

    op0 = 0 is the space of MSR (immediate), hints and barriers.
    """

    WIDTH = 32
    OPCODE = Field(31, 22)
    L = Field(21)
    op0 = Field(20, 19)
    op1 = Field(18, 16)
    CRn = Field(15, 12)
    CRm = Field(11, 8)
    op2 = Field(7, 5)
    Rt = Field(4, 0)


_SYSTEM_OPCODE: Final = 0b11_0101_0100


@lru_cache(maxsize=4096)
def decode_system_move(insn: int) -> SystemMove | None:
    """Decode MRS, MSR (register), SYS or SYSL from an instruction word; None for everything else."""
    word = _SystemWord(insn)
    if word.OPCODE != _SYSTEM_OPCODE or word.op0 == 0:
        return None
    return SystemMove(SysReg(word.op0, word.op1, word.CRn, word.CRm, word.op2), word.Rt, bool(word.L))


def encode_system_move(move: SystemMove) -> int:
    """Return the instruction word of a move. Raises ValueError if ``rt`` does not fit."""
    reg = move.reg
    return int(
        _SystemWord.of(
            OPCODE=_SYSTEM_OPCODE,
            L=int(move.is_read),
            op0=reg.op0,
            op1=reg.op1,
            CRn=reg.crn,
            CRm=reg.crm,
            op2=reg.op2,
            Rt=move.rt,
        )
    )
