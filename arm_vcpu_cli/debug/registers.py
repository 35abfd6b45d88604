"""The registers of a stopped vCPU, by the names that debuggers use.

They are read and written in the saved state or, where only the core can, in the core with that state loaded
temporarily. Cached translations and the exclusive monitor stay as they are, also for a vCPU without the turn. Reading
has no effect on the guest; registers that acknowledge an interrupt when read are omitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.gicregs import ICC_REGISTERS
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.arm_vcpu.context_frame import ZERO_REGISTER
from arm_vcpu_cli.debug.scalable_vectors import (
    LENGTH,
    bits_of,
    is_vector,
    longest_vector,
    read_vector,
    sve_registers,
    write_vector,
)
from arm_vcpu_cli.debug.target import Register
from arm_vcpu_cli.errors import EngineError, UsageError
from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.machine import Machine

_Result = TypeVar("_Result")
VECTORS: Final = 32
_ACKNOWLEDGING: Final = frozenset(("ICC_IAR0_EL1", "ICC_IAR1_EL1", "ICC_NMIAR1_EL1"))
_TIMER: Final = frozenset(
    "CNTFRQ_EL0 CNTPCT_EL0 CNTVCT_EL0 CNTP_CTL_EL0 CNTP_CVAL_EL0 CNTV_CTL_EL0 CNTV_CVAL_EL0".split()
)
_IDENTIFICATION: Final = (
    "MIDR_EL1 MPIDR_EL1 REVIDR_EL1 ID_AA64PFR0_EL1 ID_AA64PFR1_EL1 ID_AA64DFR0_EL1 ID_AA64ISAR0_EL1 ID_AA64ISAR1_EL1"
    " ID_AA64MMFR0_EL1 ID_AA64MMFR1_EL1 ID_AA64MMFR2_EL1 CTR_EL0 DCZID_EL0 CLIDR_EL1"
).split()
_EL1: Final = (
    "SCTLR_EL1 ACTLR_EL1 CPACR_EL1 TTBR0_EL1 TTBR1_EL1 TCR_EL1 MAIR_EL1 AMAIR_EL1 VBAR_EL1 ELR_EL1 SPSR_EL1 ESR_EL1"
    " FAR_EL1 AFSR0_EL1 AFSR1_EL1 PAR_EL1 CONTEXTIDR_EL1 SP_EL0 SP_EL1 TPIDR_EL0 TPIDRRO_EL0 TPIDR_EL1 CNTKCTL_EL1"
    " CSSELR_EL1 MDSCR_EL1 PMCR_EL0 PMUSERENR_EL0"
).split()
_EL2: Final = (
    "HCR_EL2 SCTLR_EL2 CPTR_EL2 HSTR_EL2 MDCR_EL2 VTCR_EL2 VTTBR_EL2 VMPIDR_EL2 VPIDR_EL2 VBAR_EL2 ESR_EL2 ELR_EL2"
    " SPSR_EL2 FAR_EL2 HPFAR_EL2 TPIDR_EL2 CNTHCTL_EL2 CNTVOFF_EL2"
).split()
"""EL2 is the hypervisor's: read-only."""
_ZCR_EL1: Final = lookup("ZCR_EL1")
_BANKED: Final = ("SP_EL0", "SP_EL1")
_CHANGEABLE: Final = int(Spsr.of(N=1, Z=1, C=1, V=1, D=1, A=1, I=1, F=1))


class Registers:
    """The registers of the vCPUs of a machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._gic = [reg for reg in sorted(ICC_REGISTERS) if self._reads_interface(reg)]
        read_only = {*_IDENTIFICATION, *_EL2, *_TIMER, *(reg.name for reg in self._gic)}
        self._longest = longest_vector(machine)
        el1 = [*_EL1, _ZCR_EL1.name] if self._longest else _EL1
        names = [*_IDENTIFICATION, *el1, *sorted(_TIMER), *_EL2, *(reg.name for reg in self._gic)]
        self._system: Mapping[str, SysReg] = MappingProxyType({name: lookup(name) for name in names})
        general = [Register(f"x{number}", 64, "general") for number in range(ZERO_REGISTER)]
        general += [Register("sp", 64, "general"), Register("pc", 64, "general"), Register("cpsr", 32, "general")]
        vector = [Register(f"v{number}", 128, "vector") for number in range(VECTORS)]
        vector += [Register("fpsr", 32, "vector"), Register("fpcr", 32, "vector")]
        if self._longest:
            vector = list(sve_registers(self._longest))
        system = [Register(name, 64, "system", name not in read_only) for name in self._system]
        self.all: Final = (*general, *vector, *system)
        self._known = MappingProxyType({register.name: register for register in self.all})

    def read(self, cpu: Cpu, name: str) -> int:
        """Return the value of a register. Raises :class:`UsageError` for a name that is not among :attr:`all`."""
        register = self._register(name)
        frame, layout, state = cpu.arch.ctx, cpu.core.layout, cpu.arch.state
        if register.group == "general":
            if name.startswith("x"):
                return frame.gpr(int(name[1:]))
            return {"sp": frame.sp, "pc": frame.elr, "cpsr": int(frame.spsr) & 0xFFFF_FFFF}[name]
        if register.group == "vector" and name.startswith("v"):
            at = (layout.v0 + int(name[1:]) * layout.vector_stride) // 8
            return state.u64[at] | state.u64[at + 1] << 64
        if name in _BANKED:
            return frame.sp_el0 if name == "SP_EL0" else frame.sp_el1
        if name in _TIMER:
            return cpu.timer.read(lookup(name)) or 0
        if name.startswith("ICC_"):
            return self._interface(cpu, lookup(name)) or 0
        if is_vector(register):
            return read_vector(state, register, self._length(cpu))
        if name == LENGTH:
            return self._length(cpu) // 64
        reg = self._system[name] if register.group == "system" else lookup(name.upper())
        if reg in layout.sysregs:
            return state.u64[layout.sysregs[reg] // 8]
        return self._in_core(cpu, lambda: cpu.core.read_sysreg(reg))

    def write(self, cpu: Cpu, name: str, value: int) -> None:
        """Change a register. Raises :class:`UsageError` for one that does not exist or is read-only."""
        register = self._register(name)
        if not register.writable:
            raise UsageError(f"{name} cannot be written")
        if not 0 <= value < 1 << register.bits:
            raise UsageError(f"{name} has {register.bits} bits")
        frame, layout, state = cpu.arch.ctx, cpu.core.layout, cpu.arch.state
        if name == "pc":
            if value % 4:
                raise UsageError(f"pc {value:#x}: expected a multiple of 4")
            frame.elr = value
        elif name == "sp":
            frame.sp = value
        elif name == "cpsr":
            self._write_pstate(cpu, value)
        elif register.group == "general":
            frame.set_gpr(int(name[1:]), value)
        elif register.group == "vector" and name.startswith("v"):
            at = (layout.v0 + int(name[1:]) * layout.vector_stride) // 8
            state.u64[at], state.u64[at + 1] = value & MASK64, value >> 64
        elif is_vector(register):
            write_vector(state, register, value, self._length(cpu))
        elif name == "SP_EL0":
            frame.sp_el0 = value
        else:
            self._write_system(cpu, lookup(name if register.group == "system" else name.upper()), value)

    def _register(self, name: str) -> Register:
        register = self._known.get(name)
        if register is None:
            raise UsageError(f"there is no register {name}")
        return register

    def _length(self, cpu: Cpu) -> int:
        """Return the number of bits of a vector at EL1 and EL0."""
        return min(bits_of(self._in_core(cpu, lambda: cpu.core.read_sysreg(_ZCR_EL1))), self._longest)

    def _write_system(self, cpu: Cpu, reg: SysReg, value: int) -> None:
        core = cpu.core

        def write() -> None:
            core.write_sysreg(reg, value)
            core.saver(cpu.arch.state)()

        try:
            self._in_core(cpu, write)
        except EngineError as error:
            raise UsageError(f"{reg.name} cannot be written") from error

    def _write_pstate(self, cpu: Cpu, value: int) -> None:
        """Write flags and masks only: the other fields would change the Exception level or stack pointer."""
        before = int(cpu.arch.ctx.spsr)
        if (value ^ before) & 0xFFFF_FFFF & ~_CHANGEABLE:
            raise UsageError(f"cpsr {value:#x}: only N, Z, C, V, D, A, I and F can be changed, now {before:#x}")
        core = cpu.core

        def write() -> None:
            core.pstate_writer()(value)
            core.saver(cpu.arch.state)()

        self._in_core(cpu, write)

    def _in_core(self, cpu: Cpu, work: Callable[[], _Result]) -> _Result:
        """Call ``work`` with the state of a vCPU in its core, then restore the vCPU that was there."""
        core = cpu.core
        here = next(each for each in self._machine.cpus if each.core is core and _is_there(each))
        core.restorer(cpu.arch.state)()
        try:
            return work()
        finally:
            core.restorer(here.arch.state)()

    def _reads_interface(self, reg: SysReg) -> bool:
        return reg.name not in _ACKNOWLEDGING and self._interface(self._machine.cpus[0], reg) is not None

    @staticmethod
    def _interface(cpu: Cpu, reg: SysReg) -> int | None:
        """Return a register of the GIC's CPU interface; None if it has none with that encoding that can be read."""
        value = cpu.platform.sysreg_read(reg)
        return value if isinstance(value, int) else None


def _is_there(cpu: Cpu) -> bool:
    residency = cpu.arch.residency
    return residency is not None and residency.here
