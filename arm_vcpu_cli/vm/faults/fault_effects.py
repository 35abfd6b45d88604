"""Applies faults to a stopped guest: exceptions, inverted bits, interrupts without a cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.fault import FSC_EXTERNAL
from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import LoadStore
from arm_vcpu_cli.arch.registers.gicregs import FIRST_SPI
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import data_abort_esr, instruction_abort_esr, serror_esr
from arm_vcpu_cli.arm_vcpu.vectors import TrapKind
from arm_vcpu_cli.board.fault_description import (
    Effect,
    ExternalAbort,
    FlipMemory,
    FlipRegister,
    SError,
    SpuriousInterrupt,
)
from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.machine import Machine

_GENERAL: Final = "x"
_VECTOR: Final = "v"
_WORD: Final = 64
"""Bits."""


Tell = Callable[[str], None]


def apply_effect(machine: Machine, cpu: Cpu, effect: Effect, tell: Tell) -> bool:
    """Inject a fault into a stopped guest; ``tell`` is called with a description of the effect, before an exception is
    taken.

    Returns False, without an effect, while PSTATE masks it.
    """
    if isinstance(effect, SError):
        return _serror(cpu, effect.iss, tell)
    if isinstance(effect, ExternalAbort):
        _abort(cpu, tell, on_fetch=effect.on_fetch)
    elif isinstance(effect, FlipRegister):
        tell(_flip_register(machine, cpu, effect))
    elif isinstance(effect, FlipMemory):
        tell(_flip_memory(machine, cpu, effect))
    elif isinstance(effect, SpuriousInterrupt):
        tell(_pend(machine, cpu, effect.intid))
    else:
        raise ValueError(f"a {type(effect).__name__} is no fault of a stopped guest")
    return True


# Exceptions ----------------------------------------------------------------------------------------------------


def _abort(cpu: Cpu, tell: Tell, *, on_fetch: bool) -> None:
    frame = cpu.arch.ctx
    pc, from_el1 = frame.elr, frame.spsr.el == 1
    if on_fetch:
        tell(f"external abort on the fetch of the instruction at {pc:#x}")
        cpu.arch.take_exception(instruction_abort_esr(from_el1, FSC_EXTERNAL), pc)
        return
    word = cpu.core.fetcher()(pc)
    access = None if word is None else decode_load_store(word)
    is_write = isinstance(access, LoadStore) and not access.is_load
    address = _address(cpu, access) if isinstance(access, LoadStore) else None
    esr = data_abort_esr(from_el1, FSC_EXTERNAL, is_write=is_write, fnv=int(address is None))
    where = "data" if address is None else f"the {'write to' if is_write else 'read of'} {address:#x}"
    tell(f"external abort on {where}")
    cpu.arch.take_exception(esr, address)


def _address(cpu: Cpu, access: LoadStore) -> int | None:
    """Return the first address that an instruction accesses; None if only the core knows it."""
    frame = cpu.arch.ctx
    return access.address(frame.gpr, frame.sp, frame.elr)


def _serror(cpu: Cpu, iss: int, tell: Tell) -> bool:
    if cpu.arch.ctx.spsr.A:
        return False
    esr = serror_esr(iss)
    tell(f"SError with ESR_EL1 {esr:#x}")
    cpu.arch.take_exception(esr, kind=TrapKind.SERROR)
    return True


# Inverted bits -------------------------------------------------------------------------------------------------


def _flip_register(machine: Machine, cpu: Cpu, flip: FlipRegister) -> str:
    name, mask = flip.register, sum(1 << bit for bit in flip.bits)
    before = _read(cpu, name)
    _write(cpu, name, before ^ mask)
    if name.isupper():
        # The TLB may hold translations of other tables or controls.
        machine.host.flush_tlbs()
    return f"{_bits(flip.bits)} of {name}: {before:#x} is now {_read(cpu, name):#x}"


def _read(cpu: Cpu, name: str) -> int:
    frame, state = cpu.arch.ctx, cpu.arch.state
    if name in ("sp", "SP_EL0", "SP_EL1"):
        return {"sp": frame.sp, "SP_EL0": frame.sp_el0, "SP_EL1": frame.sp_el1}[name]
    if name == "pc":
        return frame.elr
    if name.startswith(_GENERAL):
        return frame.gpr(int(name[1:]))
    if name.startswith(_VECTOR):
        word = _vector_word(cpu, name)
        return state.u64[word] | state.u64[word + 1] << _WORD
    return cpu.arch.read_sysreg(lookup(name))


def _write(cpu: Cpu, name: str, value: int) -> None:
    frame, state = cpu.arch.ctx, cpu.arch.state
    if name == "sp" or (name == "SP_EL1" and frame.spsr.M & 1):
        frame.sp = value
    elif name == "SP_EL0":
        frame.sp_el0 = value
    elif name == "SP_EL1":
        state.u64[state.layout.sysregs[lookup(name)] // 8] = value
    elif name == "pc":
        frame.elr = value
    elif name.startswith(_GENERAL):
        frame.set_gpr(int(name[1:]), value)
    elif name.startswith(_VECTOR):
        word = _vector_word(cpu, name)
        state.u64[word], state.u64[word + 1] = value & MASK64, value >> _WORD
    else:
        cpu.arch.write_sysreg(lookup(name), value)


def _vector_word(cpu: Cpu, name: str) -> int:
    layout = cpu.arch.state.layout
    return (layout.v0 + int(name[1:]) * layout.vector_stride) // 8


def _flip_memory(machine: Machine, cpu: Cpu, flip: FlipMemory) -> str:
    address = flip.address
    assert isinstance(address, int)  # symbols have been looked up
    ipa: int | None = address
    where = f"IPA {address:#x}"
    if flip.is_virtual:
        ipa = cpu.arch.memory().translate(address, el=cpu.arch.ctx.spsr.el).stage1.output
        where = f"VA {address:#x}" + ("" if ipa is None else f", IPA {ipa:#x}")
    size = max(flip.bits) // 8 + 1
    view = None if ipa is None else machine.ram.view(ipa, size)
    if ipa is None or view is None:
        return f"{_bits(flip.bits)} at {where}: nothing, there is no memory"
    before = int.from_bytes(view, "little")
    after = before ^ sum(1 << bit for bit in flip.bits)
    machine.ram.write(ipa, after.to_bytes(size, "little"))
    return f"{_bits(flip.bits)} at {where}: {before:#0{2 * size + 2}x} is now {after:#0{2 * size + 2}x}"


def _bits(bits: tuple[int, ...]) -> str:
    return f"bit {bits[0]}" if len(bits) == 1 else f"bits {', '.join(map(str, bits))}"


# Interrupts ----------------------------------------------------------------------------------------------------


def _pend(machine: Machine, cpu: Cpu, intid: int) -> str:
    if machine.gic is None:
        raise ValueError("a machine without an interrupt controller")
    machine.gic.pend(cpu.index, intid)
    return f"INTID {intid} is pending" + (f" for vCPU {cpu.index}" if intid < FIRST_SPI else "")
