"""The registers of a stopped vCPU, by name."""

from __future__ import annotations

from collections.abc import Callable

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.arm_vcpu.context_frame import ZERO_REGISTER
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.vm.cpu import Activity, Cpu


class VirtualCpu:
    """The registers of one vCPU while the guest is stopped; all are 64 bits wide."""

    def __init__(self, cpu: Cpu, is_open: Callable[[], bool]) -> None:
        self._cpu = cpu
        self._is_open = is_open

    @property
    def number(self) -> int:
        """Its index among the vCPUs, 0 for the boot CPU."""
        return self._cpu.index

    @property
    def activity(self) -> Activity:
        """Whether it runs, waits for an interrupt, or is off."""
        return self._cpu.activity

    @property
    def pc(self) -> int:
        """The address of the next instruction."""
        return self._cpu.arch.ctx.elr

    @pc.setter
    def pc(self, value: int) -> None:
        self._cpu.arch.ctx.elr = _register_value("pc", value)

    @property
    def sp(self) -> int:
        """The stack pointer in use."""
        return self._cpu.arch.ctx.sp

    @sp.setter
    def sp(self, value: int) -> None:
        self._cpu.arch.ctx.sp = _register_value("sp", value)

    def x(self, number: int) -> int:
        """Return X<number>, 0 to 30. Raises :class:`UsageError` for any other number."""
        return self._cpu.arch.ctx.gpr(_general_register(number))

    def set_x(self, number: int, value: int) -> None:
        """Set X<number>, 0 to 30. Raises :class:`UsageError` for any other number."""
        self._cpu.arch.ctx.set_gpr(_general_register(number), _register_value(f"x{number}", value))

    def read(self, register: str | SysReg) -> int:
        """Return a system register of the core, by name (``"TTBR0_EL1"``) or encoding. Raises :class:`UsageError`
        for an unknown name, for a register that the core lacks, such as those of the GIC, and once the machine is
        closed."""
        return self._cpu.arch.read_sysreg(self._register(register))

    def write(self, register: str | SysReg, value: int) -> None:
        """Write a system register with its side effects; raises as :meth:`read` does."""
        self._cpu.arch.write_sysreg(self._register(register), _register_value(str(register), value))

    def _register(self, register: str | SysReg) -> SysReg:
        # The engine that holds the registers is gone; accessing it would crash the process.
        if not self._is_open():
            raise UsageError("the machine is closed")
        found = _system_register(register)
        if not self._cpu.core.has_sysreg(found):
            raise UsageError(f"{found.name}: the core has no such register")
        return found

    def registers(self) -> dict[str, int]:
        """Return ``x0`` to ``x30``, ``sp``, ``pc`` and ``pstate`` in the form of SPSR_EL2."""
        frame = self._cpu.arch.ctx
        found = {f"x{number}": frame.gpr(number) for number in range(ZERO_REGISTER)}
        return found | {"sp": frame.sp, "pc": frame.elr, "pstate": int(frame.spsr)}


def _general_register(number: int) -> int:
    if not 0 <= number < ZERO_REGISTER:
        raise UsageError(f"x{number}: expected a general-purpose register from x0 to x30")
    return number


def _register_value(name: str, value: int) -> int:
    if not 0 <= value <= MASK64:
        raise UsageError(f"{name}: expected 64 bits, found {value:#x}")
    return value


def _system_register(register: str | SysReg) -> SysReg:
    if isinstance(register, SysReg):
        return register
    try:
        return lookup(register.upper())
    except KeyError as error:
        raise UsageError(f"{register}: no such system register") from error
