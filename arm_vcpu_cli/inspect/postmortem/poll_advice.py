"""A guest that polls a register: which one, and the awaited value as far as the code shows it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.instructions.conditions import Condition, awaited_condition, branch_target
from arm_vcpu_cli.arch.layouts import layout_of
from arm_vcpu_cli.arch.registers.sysreg import decode_system_move, is_generic
from arm_vcpu_cli.arm_vcpu.context_frame import INSTRUCTION_SIZE
from arm_vcpu_cli.devices.gic.v3.gicv3 import REDISTRIBUTOR_SIZE
from arm_vcpu_cli.devices.naming import meaning
from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.devices.pl011_registers import DR, FR, MIS, RIS, FlagRegister
from arm_vcpu_cli.devices.regions import ReadAsZero
from arm_vcpu_cli.devices.timer import CNTP_CTL, CNTPCT, CNTV_CTL, CNTVCT
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.memory_words import word_at
from arm_vcpu_cli.inspect.postmortem.repetition import Access, Repetition
from arm_vcpu_cli.vm.awaited import timer_states, view_of
from arm_vcpu_cli.vm.diagnosis import with_symbol
from arm_vcpu_cli.vm.machine import Machine

_INPUT: Final = (DR, FR, RIS, MIS)
"""The registers of a UART that show whether there is input."""
_NO_INPUT: Final = int(FlagRegister.of(RXFE=1))
_MOST_NAMED: Final = 3
_WIDE: Final = 8
"""From this many bits on, bits are not named individually."""
NEAR: Final = 16 * INSTRUCTION_SIZE
"""The greatest extent of a loop around a read."""
_TIMERS: Final = MappingProxyType({CNTV_CTL: "virtual", CNTP_CTL: "physical"})
_COUNTERS: Final = (CNTPCT, CNTVCT)
"""A loop that reads one of these waits for time to pass, and will end."""


def poll(machine: Machine, found: Repetition) -> Advice | None:
    """Advice on rounds of exits that only read; None for a guest that may wait for keyboard input."""
    if not found.only_reads:
        return None
    waits = [(access, condition) for access in found.accesses if (condition := _condition(machine, access, found))]
    if _may_wait_for_input(machine, found, waits):
        return None
    names = list(dict.fromkeys(access.name for access in found.accesses))
    place = with_symbol(machine, found.accesses[-1].pc)
    what = " and ".join(names) if len(names) <= _MOST_NAMED else f"{len(names)} registers"
    said = f"The guest reads {what} over and over at {place}"
    for access, condition in waits[:1]:
        said += f", and waits for {in_bits(_field_names(machine, access, condition.mask), condition, access.bits)}"
    return Advice(f"{said}.", _why_not(machine, found))


def _condition(machine: Machine, access: Access, found: Repetition) -> Condition | None:
    link = found.link if len(found.accesses) == 1 else 0
    return awaited_condition(partial(_word, machine), access.pc, access.register, access.bits, link)


def _may_wait_for_input(machine: Machine, found: Repetition, waits: Sequence[tuple[Access, Condition]]) -> bool:
    """Whether the guest may wait for keyboard input, as at a prompt: as far as known, it reads UARTFR for RXFE or
    another register that shows input."""
    uarts = [
        each for each in found.accesses if isinstance(machine.devices.get(each.device), Pl011) and each.offset in _INPUT
    ]
    conditions = [condition for access, condition in waits if access in uarts and access.offset == FR]
    return bool(uarts) and (not conditions or any(each.mask & _NO_INPUT for each in conditions))


def in_bits(named: str, condition: Condition, width: int) -> str:
    """What the condition waits for, in ``width`` bits whose fields have names."""
    mask, become = condition.mask, f"to become {condition.value:#x}"
    if condition.differs:
        become = "to become nonzero" if not condition.value else f"to change from {condition.value:#x}"
    if mask.bit_count() >= _WIDE or not mask:
        return f"it {become}" if mask + 1 == 1 << width else f"its bits {mask:#x} {become}"
    numbers = [str(bit) for bit in range(mask.bit_length()) if mask >> bit & 1]
    bits = f"bit{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
    if len(numbers) == 1:
        become = f"to become {int(bool(condition.value) is not condition.differs)}"
    return f"{named} ({bits}) {become}" if named else f"{bits} {become}"


def _field_names(machine: Machine, access: Access, mask: int) -> str:
    if access.address is not None:
        window = machine.current.bus.find(access.address)
        said = "" if window is None else meaning(window.device, access.offset, access.bits // 8, mask)
        return " and ".join(part.partition("=")[0] for part in said.split() if "=" in part)
    layout = None if is_generic(access.name) else layout_of(access.name, mask)
    if layout is None:
        return ""
    return " and ".join(field.name for field in layout.fields() if field.mask << field.lsb & mask)


def _why_not(machine: Machine, found: Repetition) -> str:
    access = found.accesses[-1]
    device = machine.devices.get(access.device)
    if isinstance(device, ReadAsZero):
        return f'device.{access.device} has the type "zero", which always reads as 0'
    view, cpu = view_of(machine), access.offset // REDISTRIBUTOR_SIZE
    if view is not None and access.name.startswith("GICR") and access.name.endswith("_WAKER") and cpu < view.cpus:
        asleep = view.sleeps(cpu) is not None
        return f"write {int(not asleep)} to ProcessorSleep (bit 1), which ChildrenAsleep follows"
    return ""


def untrapped_poll(machine: Machine) -> Advice | None:
    """A loop around a read of a system register that does not trap; None for one that a timer will end."""
    pc = machine.current.arch.ctx.elr
    for place in range(pc - NEAR, pc + NEAR, INSTRUCTION_SIZE):
        word = _word(machine, place)
        move = None if word is None else decode_system_move(word)
        if move is None or not move.is_read or not is_in_loop(machine, pc, place):
            continue
        condition = awaited_condition(partial(_word, machine), place, move.rt, 64, 0)
        if condition is None or move.reg in _COUNTERS:
            continue
        timer = next((each for each in timer_states(machine.current.timer) if each.control_name == move.reg.name), None)
        if timer is not None and timer.is_on and not timer.is_endless:
            continue
        access = Access(place, move.reg.name, True, register=move.rt)
        said = (
            f"The guest reads {move.reg.name} over and over at {with_symbol(machine, place)}, and waits for "
            f"{in_bits(_field_names(machine, access, condition.mask), condition, access.bits)}"
        )
        if move.reg in _TIMERS and (timer is None or not timer.is_on):
            return Advice(
                f"{said}: the {_TIMERS[move.reg]} timer is off (ENABLE is 0).", f"set ENABLE (bit 0) of {move.reg.name}"
            )
        return Advice(f"{said}.", "")
    return None


def is_in_loop(machine: Machine, pc: int, place: int) -> bool:
    """Whether a short loop contains both addresses: a branch after them leads back before them."""
    last = max(pc, place)
    for address in range(last, last + NEAR, INSTRUCTION_SIZE):
        word = _word(machine, address)
        target = None if word is None else branch_target(word, address)
        if target is not None and target <= min(pc, place) and target >= last - NEAR:
            return True
    return False


def _word(machine: Machine, address: int) -> int | None:
    """The instruction at an address; None also for an address that does not exist."""
    return word_at(machine, address) if 0 <= address <= MASK64 else None
