"""Interrupts and exceptions that come back as soon as their handler returns."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.gicregs import FIRST_PPI, INTID_SPURIOUS, LAST_SPI
from arm_vcpu_cli.arch.registers.gicv2regs import INTID_GROUP1
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import ExceptionClass, exception_class
from arm_vcpu_cli.arm_vcpu.context_frame import INSTRUCTION_SIZE
from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.devices.pl011_registers import DR, ICR, IMSC, MIS, Interrupts
from arm_vcpu_cli.devices.pl031 import Pl031
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.memory_words import word_at
from arm_vcpu_cli.inspect.postmortem.repetition import ACKNOWLEDGES, SENDS, Repetition
from arm_vcpu_cli.vm.awaited import Awaited, awaited_interrupts
from arm_vcpu_cli.vm.awaited_words import name, span
from arm_vcpu_cli.vm.diagnosis import in_words, with_symbol
from arm_vcpu_cli.vm.machine import Machine

_V2: Final = 2
_LATE: Final = 50e-6
"""Seconds within which a handler rearms its timer or acknowledges, if it does so at all."""
_LATE_ON_HOST: Final = 3.0
"""The same under the host's clock, which keeps running while a busy host runs something else."""
_REPEATS: Final = 100
"""The number of repetitions from which an exception is reported."""
_NANOSECONDS: Final = 1_000_000_000
_CLEARING: Final = (DR, ICR, IMSC)
"""The PL011 registers through which a handler may deassert the line."""
_RECEIVED: Final = int(Interrupts.of(RXI=1, RTI=1))
_SVC_MASK: Final = 0xFFE0001F
_SVC: Final = 0xD4000001


def storm(machine: Machine, found: Repetition) -> Advice | None:
    """Advice on rounds of exits that acknowledge an interrupt."""
    acknowledge = next(access for access in found.accesses if access.name in ACKNOWLEDGES)
    intid = found.intid
    if intid == INTID_GROUP1 and acknowledge.name == "GICC_IAR":
        return Advice(
            "The guest takes the same interrupt over and over: it is in Group 1, and GICC_IAR returns 1022 for those.",
            "put it into Group 0 (GICD_IGROUPRn), read GICC_AIAR, or set AckCtl (bit 2) of GICC_CTLR",
        )
    if intid == INTID_SPURIOUS and found.only_reads:
        return Advice(
            f"The guest reads {acknowledge.name} over and over at {with_symbol(machine, acknowledge.pc)}, and gets "
            "1023: no interrupt is signalled to it.",
            "armvcpu walk --interrupts lists pending interrupts and what holds them back",
        )
    if intid is None or intid > LAST_SPI:
        return None
    sent = next((access for access in found.accesses if access.name in SENDS), None)
    if sent is not None and intid < FIRST_PPI:
        return Advice(
            f"INTID {intid} (SGI) comes back at once, {found.rounds} times in the last exits: each time, the guest "
            f"sends an SGI by {sent.name} at {with_symbol(machine, sent.pc)}.",
            "",
        )
    every = awaited_interrupts(machine)
    awaited = next((each for each in every if each.intid == intid and each.cpu == machine.current.index), None)
    if awaited is None or not awaited.pending:
        return None
    said = f"{name(awaited)} comes back at once, {found.rounds} times in the last exits: "
    if awaited.timer is None:
        return _device_storm(machine, awaited, found, said)
    # The average time of this many exits: a timer rearmed in one of the rounds fired more recently.
    exits = found.rounds * len(found.accesses)
    window = machine.timeline.now() / _NANOSECONDS * exits / max(machine.exits, 1)
    return _timer_storm(awaited, said, window)


def _timer_storm(awaited: Awaited, said: str, window: float) -> Advice | None:
    timer = awaited.timer
    if timer is None or timer.seconds < max(_LATE, window):
        return None
    compare, control = timer.register("CVAL", 0).name, timer.register("CTL", 0).name
    return Advice(
        f"{said}its handler ends it without rearming the timer: {compare} is {timer.compare:#x}, which was "
        f"{span(timer.seconds)} ago.",
        f"write {compare} or {timer.register('TVAL', 0).name}, or 3 (IMASK) to {control}, before ending the interrupt",
    )


def _device_storm(machine: Machine, awaited: Awaited, found: Repetition, said: str) -> Advice | None:
    """A device's line changes only when the device is used: if no round uses it, the line has stayed asserted."""
    device = machine.devices.get(awaited.source)
    before = "before the end of the interrupt"
    touched = [access for access in found.accesses if access.device == awaited.source]
    if isinstance(device, Pl011):
        if any(access.offset in _CLEARING for access in touched):
            return None
        status = device.read(MIS, 4)
        fields = f" ({device.register_meaning(MIS, 4, status)})" if status else ""
        received = ", or read UARTDR until UARTFR.RXFE is 1," if status & _RECEIVED else ""
        return Advice(
            f"{said}its handler never clears it at {awaited.source}, whose UARTMIS is {status:#05x}{fields}.",
            f"write {status:#x} to UARTICR{received} {before}",
        )
    if touched:
        return None
    step = "write 1 to RTCICR" if isinstance(device, Pl031) else "have its device deassert the line, or clear ISPENDR"
    where = f" at {awaited.source}" if awaited.source else ""
    return Advice(f"{said}its handler never clears it{where}.", f"{step} {before}")


def same_exception(machine: Machine) -> Advice | None:
    """A handler that returns to the failing instruction, but does too much else to count as a standstill."""
    arch = machine.current.arch
    exceptions = arch.exception_chain().exceptions
    if not exceptions or arch.el1_repeats < _REPEATS:
        return None
    last = exceptions[-1]
    if last.pc not in (arch.ctx.elr, arch.read_sysreg(lookup("ELR_EL1"))):
        # The guest has made progress since.
        return None
    return Advice(
        f"The guest takes the same exception over and over, {in_words(last)} at {with_symbol(machine, last.pc)}: its "
        "handler returns to the instruction, which fails again.",
        "a handler that cannot remove the cause must skip the instruction (ELR_EL1 + 4) or stop",
    )


def never_acknowledged(machine: Machine) -> Advice | None:
    """An interrupt that the CPU keeps taking, or took long ago, without an acknowledge: its handler may return at once
    and take it again, without a single exit."""
    cpu = machine.current
    late = _LATE_ON_HOST if machine.timeline.follows_host else _LATE
    for each in awaited_interrupts(machine):
        if each.cpu != cpu.index or each.active or each.is_held or each.timer is None or not each.pending:
            continue
        if each.timer.seconds < late or (each.closed and not is_in_interrupt_handler(machine)):
            continue
        line = "FIQ" if each.fiq else "IRQ"
        acknowledge = (
            "GICC_IAR"
            if machine.description.gic is not None and machine.description.gic.version == _V2
            else f"ICC_IAR{int(not each.fiq)}_EL1"
        )
        return Advice(
            f"{name(each)} has been signalled to cpu{cpu.index} for {span(each.timer.seconds)}, and the handler of its "
            f"{line} does not acknowledge it.",
            f"have the handler read {acknowledge}, and write what that returns to {acknowledge.replace('IAR', 'EOIR')}",
        )
    return None


def is_in_interrupt_handler(machine: Machine) -> bool:
    """Whether the current CPU seems to handle an IRQ or FIQ: all exceptions are masked, as on exception entry, they
    were not masked at its origin, and the last exception taken was not synchronous (DDI 0487, D1.3.1)."""
    arch = machine.current.arch
    pstate = arch.ctx.spsr
    if not (pstate.el and pstate.D and pstate.A and pstate.I and pstate.F):
        return False
    elr, spsr, esr = (arch.read_sysreg(lookup(each)) for each in ("ELR_EL1", "SPSR_EL1", "ESR_EL1"))
    if not elr or Spsr(spsr).I:
        return False
    before = word_at(machine, elr - INSTRUCTION_SIZE) or 0
    exceptions = arch.exception_chain().exceptions
    if exception_class(esr) == ExceptionClass.SVC64 and before & _SVC_MASK == _SVC:
        return False
    return not exceptions or exceptions[-1].pc != elr
