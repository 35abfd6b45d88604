"""A vCPU's registers: the trap frame (general-purpose context) and the system registers switched with a vCPU.

Both are the crate's ``Aarch64ContextFrame`` and ``GuestSystemRegisters``. They are views: the trap frame reads and
writes the saved state itself, and the system registers of a bound vCPU are those of the core.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.el2regs import Hcr
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.engine.port import CpuCore

FRAME_POINTER: Final = 29
LINK_REGISTER: Final = 30
"""AAPCS64, 6.1.1."""
ZERO_REGISTER: Final = 31
INSTRUCTION_SIZE: Final = 4

_SIGN32: Final = 1 << 31
_FLAG_BITS: Final = Spsr.of(N=1, Z=1, C=1, V=1)
_DAIF_BITS: Final = Spsr.of(D=1, A=1, I=1, F=1)
_BTYPE_BITS: Final = Spsr.of(BTYPE=3)
_SS_BIT: Final = int(Spsr.of(SS=1))
_BTYPE_LSB: Final = Spsr.BTYPE.lsb
_SP_SELECT: Final = 1
_N, _Z, _C, _V = (int(Spsr.of(**{flag: 1})) for flag in "NZCV")


class TrapFrame:
    """x0 to x30, SP_EL0, ELR and SPSR of a guest, as a view of its saved state; all 64 bits wide.

    ELR is where the guest resumes (the PC of the saved state) and SPSR its PSTATE. Register 31 is XZR: it reads as zero
    and ignores writes.
    """

    def __init__(self, state: CpuState) -> None:
        layout = state.layout
        self._u32 = state.u32
        self._u64 = state.u64
        self._x0 = layout.x0 // 8
        self._sp = layout.sp // 8
        self._pc = layout.pc // 8
        self._sp_el0 = layout.sysregs[lookup("SP_EL0")] // 8
        self._sp_el1 = layout.sysregs[lookup("SP_EL1")] // 8
        self._pstate = layout.pstate // 4
        self._event = layout.event // 4
        self._flags = (layout.n // 4, layout.z // 4, layout.c // 4, layout.v // 4)
        self._daif = layout.daif // 4
        self._btype = layout.btype // 4
        self._aarch64 = layout.aarch64 // 4
        self.advance: Final[Callable[[], None]] = self._advancer()
        self.pstate_word: Final[Callable[[], int]] = self._pstate_reader()
        """Advances the PC past an instruction that was completed for the guest; nothing else does.

        Like a completed instruction, it also clears BTYPE and, under software step, PSTATE.SS (D2.12.5), so that the
        step exception follows."""

    def reset(self, dtb_address: int) -> None:
        """Set all general-purpose registers to 0 and x0 to the address of the device tree; the vCPU sets PSTATE."""
        for number in range(ZERO_REGISTER):
            self._u64[self._x0 + number] = 0
        self._u64[self._x0] = dtb_address
        self._u64[self._sp] = self._u64[self._sp_el0] = self._u64[self._sp_el1] = 0

    def set_event(self) -> None:
        """Set the event register (DDI 0487, D1.6), as an exception return does."""
        self._u32[self._event] = 1

    def gpr(self, number: int) -> int:
        """Return X<number>, 0 to 30, or zero for 31."""
        return 0 if number == ZERO_REGISTER else self._u64[self._x0 + number]

    def set_gpr(self, number: int, value: int) -> None:
        """Set X<number> to the low 64 bits of ``value``; register 31 ignores it. Raises IndexError above 31."""
        if not 0 <= number <= ZERO_REGISTER:
            raise IndexError(f"general-purpose register {number}: expected 0 to 31")
        if number != ZERO_REGISTER:
            self._u64[self._x0 + number] = value & MASK64

    def gprs(self) -> tuple[int, ...]:
        """Return X0 to X30."""
        return tuple(self._u64[self._x0 : self._x0 + ZERO_REGISTER])

    @property
    def elr(self) -> int:
        """The address at which the guest resumes."""
        return self._u64[self._pc]

    @elr.setter
    def elr(self, value: int) -> None:
        self._u64[self._pc] = value & MASK64

    @property
    def sp(self) -> int:
        """The current stack pointer."""
        return self._u64[self._sp]

    @sp.setter
    def sp(self, value: int) -> None:
        self._u64[self._sp] = value & MASK64

    @property
    def sp_el0(self) -> int:
        """SP_EL0, wherever it is currently held."""
        return self._u64[self._sp_el0] if self._u32[self._pstate] & _SP_SELECT else self._u64[self._sp]

    @sp_el0.setter
    def sp_el0(self, value: int) -> None:
        self._u64[self._sp_el0 if self._u32[self._pstate] & _SP_SELECT else self._sp] = value & MASK64

    @property
    def sp_el1(self) -> int:
        """SP_EL1, wherever it is currently held."""
        return self._u64[self._sp] if self._u32[self._pstate] & _SP_SELECT else self._u64[self._sp_el1]

    @property
    def spsr(self) -> Spsr:
        """PSTATE of the guest in the form of SPSR_EL2."""
        return Spsr(self.pstate_word())

    def _pstate_reader(self) -> Callable[[], int]:
        """Return a function that assembles PSTATE from its seven parts, in the form of SPSR_EL2."""
        u32, pstate, daif, btype = self._u32, self._pstate, self._daif, self._btype
        n, z, c, v = self._flags

        def pstate_word() -> int:
            value = u32[pstate] | u32[daif] | u32[btype] << _BTYPE_LSB
            if u32[n] & _SIGN32:
                value |= _N
            if not u32[z]:
                value |= _Z
            if u32[c]:
                value |= _C
            if u32[v] & _SIGN32:
                value |= _V
            return value

        return pstate_word

    @property
    def aarch64(self) -> bool:
        """Whether the guest was in AArch64 state."""
        return bool(self._u32[self._aarch64])

    def _advancer(self) -> Callable[[], None]:
        u32, u64, pc, btype, pstate = self._u32, self._u64, self._pc, self._btype, self._pstate

        def advance() -> None:
            u64[pc] = (u64[pc] + INSTRUCTION_SIZE) & MASK64
            if u32[btype]:
                u32[btype] = 0
            if u32[pstate] & _SS_BIT:
                u32[pstate] &= ~_SS_BIT

        return advance


_SWITCHED: Final = tuple(
    (
        "CNTVOFF_EL2 CNTKCTL_EL1 CNTHCTL_EL2 VPIDR_EL2 VMPIDR_EL2 SCTLR_EL1 ACTLR_EL1 CPACR_EL1 TTBR0_EL1 TTBR1_EL1"
        " TCR_EL1 ESR_EL1 FAR_EL1 PAR_EL1 MAIR_EL1 AMAIR_EL1 VBAR_EL1 CONTEXTIDR_EL1 TPIDR_EL0 TPIDR_EL1 TPIDRRO_EL0"
        " ELR_EL1 SPSR_EL1 CNTP_CVAL_EL0 CNTP_CTL_EL0 CNTV_CVAL_EL0 CNTV_CTL_EL0 CPTR_EL2 HSTR_EL2 VTCR_EL2 VTTBR_EL2"
        " FAR_EL2 HPFAR_EL2 PMCR_EL0 HCR_EL2"
    ).split()
)
"""In the order in which they are loaded: HCR_EL2 last, because it enables stage 2."""


class GuestSystemRegisters:
    """The EL1, EL0 and virtualisation registers that belong to a vCPU, by name; 64 bits each.

    CNTP_TVAL, CNTV_TVAL, SP_EL0 and SP_EL1, which the crate includes, are other views of the comparators and the trap
    frame. Values set before the first bind are kept here; while the vCPU is bound, the core holds them.
    """

    def __init__(self, values: dict[str, int]) -> None:
        unknown = set(values) - set(_SWITCHED)
        if unknown:
            raise KeyError(f"not a switched register: {', '.join(sorted(unknown))}")
        self._values = dict(values)
        self._core: CpuCore | None = None
        self._read: Callable[[SysReg], int] | None = None
        self._write: Callable[[SysReg, int], None] | None = None

    def __getitem__(self, name: str) -> int:
        """Return the register's value. Raises KeyError for one that is not switched with a vCPU."""
        if name not in _SWITCHED:
            raise KeyError(name)
        if self._read is not None:
            return self._read(lookup(name))
        return self._values.get(name, 0)

    def __setitem__(self, name: str, value: int) -> None:
        if name not in _SWITCHED:
            raise KeyError(name)
        if self._write is not None:
            self._write(lookup(name), value)
        else:
            self._values[name] = value

    @property
    def hcr_el2(self) -> Hcr:
        """HCR_EL2 of this vCPU."""
        return Hcr(self["HCR_EL2"])

    def names(self) -> tuple[str, ...]:
        """The registers switched with a vCPU."""
        return _SWITCHED

    def restore(self, core: CpuCore, read: Callable[[SysReg], int], write: Callable[[SysReg, int], None]) -> None:
        """Load the registers that have a value onto a core, which holds them from now on.

        ``read`` and ``write`` access a register while bound: another vCPU may have its turn on the core, and writes
        must reach the saved state as well.
        """
        for name in _SWITCHED:
            if name in self._values:
                core.write_sysreg(lookup(name), self._values[name])
        self._core = core
        self._read = read
        self._write = write

    def store(self) -> None:
        """Read the registers back from the core."""
        if self._core is not None:
            self._values = {name: self._core.read_sysreg(lookup(name)) for name in _SWITCHED}
            self._core = None
            self._read = None
            self._write = None
