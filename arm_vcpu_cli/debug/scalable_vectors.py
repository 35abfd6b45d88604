"""The registers of SVE in the saved state of a vCPU: Z, P, FFR, and the length of vectors.

Sources: Debugging with GDB, appendix G, "AArch64 Features"; DDI 0487, ZCR_EL1. The target description has the longest
vectors that EL2 permits, because it cannot change later. The guest may select shorter ones with ZCR_EL1; the rest reads
as zero.
"""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.identification.idregs import Aa64Pfr0
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.id_registers import guest_id_registers
from arm_vcpu_cli.debug.target import Register
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.errors import EngineError, UsageError
from arm_vcpu_cli.vm.machine import Machine

LENGTH: Final = "vg"
"""The register with the length of a vector in units of 64 bits."""
_GROUP: Final = "sve"
_VECTORS: Final = 32
_PREDICATES: Final = 16
_FFR: Final = "ffr"
_GRANULE: Final = 128
_LEN: Final = 0xF
_PFR0: Final = lookup("ID_AA64PFR0_EL1")
_ZCR_EL2: Final = lookup("ZCR_EL2")


def longest_vector(machine: Machine) -> int:
    """Return the length in bits of the longest vector that a guest can have; 0 if SVE is hidden from it."""
    core = machine.cpus[0].core
    features = dict(machine.description.cpu.features) if machine.description.el2.trap_id_registers else {}
    if not core.layout.p0 or not Aa64Pfr0(guest_id_registers(core, features=features)[_PFR0]).SVE:
        return 0
    try:
        return min(bits_of(core.read_sysreg(_ZCR_EL2)), 8 * core.layout.vector_stride)
    except EngineError:
        return 0


def bits_of(zcr: int) -> int:
    """Return the length in bits of a vector under a ZCR_ELx value."""
    return _GRANULE * ((zcr & _LEN) + 1)


def sve_registers(bits: int) -> tuple[Register, ...]:
    """Return all registers in gdb's order, for vectors of at most ``bits`` bits."""
    return (
        *(Register(f"z{number}", bits, _GROUP) for number in range(_VECTORS)),
        *(Register(name, 32, _GROUP) for name in ("fpsr", "fpcr")),
        *(Register(f"p{number}", bits // 8, _GROUP) for number in range(_PREDICATES)),
        Register(_FFR, bits // 8, _GROUP),
        Register(LENGTH, 64, _GROUP, writable=False),
    )


def is_vector(register: Register) -> bool:
    """Return whether it is a vector, a predicate or FFR, which are in the saved state."""
    return register.group == _GROUP and (register.name == _FFR or register.name[0] in "zp")


def read_vector(state: CpuState, register: Register, length: int) -> int:
    """Return the value of a vector, a predicate or FFR, with the current vector length of ``length`` bits."""
    return int.from_bytes(_bytes(state, register), "little") & (1 << _bits(register, length)) - 1


def write_vector(state: CpuState, register: Register, value: int, length: int) -> None:
    """Change a vector, a predicate or FFR. Raises :class:`UsageError` for a value longer than the current length."""
    most = _bits(register, length)
    if value >> most:
        raise UsageError(f"{register.name} has {most} bits now, by ZCR_EL1")
    _bytes(state, register)[:] = value.to_bytes(register.bits // 8, "little")


def _bits(register: Register, length: int) -> int:
    return length if register.name[0] == "z" else length // 8


def _bytes(state: CpuState, register: Register) -> memoryview:
    name, layout = register.name, state.layout
    if name[0] == "z":
        at = layout.v0 + int(name[1:]) * layout.vector_stride
    else:
        at = layout.p0 + (_PREDICATES if name == _FFR else int(name[1:])) * layout.predicate_stride
    return state.u32.cast("B")[at : at + register.bits // 8]
