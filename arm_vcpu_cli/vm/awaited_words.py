"""Describes what holds an interrupt back: the gate with its register and value, and the write that opens it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.registers.gicregs import FIRST_SPI
from arm_vcpu_cli.arch.registers.intid import intid_kind
from arm_vcpu_cli.board.description import GicDescription
from arm_vcpu_cli.devices.gic.gates.gate import Closed, Frame, Gate, RegisterAt
from arm_vcpu_cli.devices.gic.gates.view import WORD_BITS
from arm_vcpu_cli.devices.gic.v3.gicv3 import REDISTRIBUTOR_SIZE
from arm_vcpu_cli.vm.awaited import Awaited, TimerState, awaited_interrupts
from arm_vcpu_cli.vm.machine import Machine

_MOST_GATES: Final = 4
"""The most gates named after the first."""
_MOST_NAMED: Final = 4
"""The most interrupts named at once."""


class Held(NamedTuple):
    """A sentence on the gate that holds an interrupt back, and how to open it; empty if no register does."""

    meaning: str
    step: str


def why_none_comes(machine: Machine) -> str | None:
    """A short reason why the interrupt that a guest waits for does not arrive; None if it waits for none."""
    held = [each for each in awaited_interrupts(machine) if each.is_held]
    # An unused timer is the reason only if there is no other.
    held.sort(key=lambda each: not each.may_be_meant)
    return held_shortly(held[0]) if held else None


def what_may_come(machine: Machine, cpu: int) -> list[str]:
    """A short list of a CPU's pending interrupts and enabled timers."""
    own = [each for each in awaited_interrupts(machine) if each.cpu == cpu]
    pending = [name(each) for each in own if each.pending]
    shown = ", ".join(pending[:_MOST_NAMED]) + (" and more" if len(pending) > _MOST_NAMED else "")
    timers = [each for each in own if each.timer is not None and each.timer.is_on]
    return [
        f"{shown} {'is' if len(pending) == 1 else 'are'} pending" if pending else "none is pending",
        *(f"the {each.source} {timer_words(each.timer)}" for each in timers if each.timer is not None),
        *([] if timers else ["no timer armed"]),
    ]


def gate_words(awaited: Awaited, closed: Closed, gic: GicDescription | None) -> Held:
    """A closed gate of an interrupt, and the write that opens it."""
    return Held(_REASONS[closed.gate](awaited, closed), _write(closed, gic))


def held_words(awaited: Awaited, gic: GicDescription | None) -> Held:
    """A sentence on an interrupt that is held back, and how to open its gates."""
    first = awaited.closed[0]
    reason = _REASONS[first.gate](awaited, first)
    meaning = f"{subject(awaited)}, but {reason}."
    return Held(meaning[0].upper() + meaning[1:], _steps(awaited, gic))


def held_shortly(awaited: Awaited) -> str:
    """``INTID 27 (virtual timer) is held back by GICR_ISENABLER0 = 0x00000000``."""
    first = awaited.closed[0]
    if first.gate is Gate.PE_OFF:
        return f"{name(awaited)} goes to cpu{awaited.cpu}, which is off"
    opener = "" if first.opener is None else f" ({first.opener.name})"
    if first.gate in (Gate.NOT_ENDED, Gate.NOT_DEACTIVATED) and first.culprit == awaited.intid:
        return f"{name(awaited)} is still active and was never ended{opener}"
    if first.gate is Gate.RUNNING and first.culprit is not None:
        return f"{name(awaited)} is held back by INTID {first.culprit}, which was never ended{opener}"
    return f"{name(awaited)} is held back by {first.register.name} = {_value(first)}"


def name(awaited: Awaited) -> str:
    """``INTID 27 (virtual timer)``."""
    source = awaited.source or ("" if awaited.intid >= FIRST_SPI else intid_kind(awaited.intid))
    return f"INTID {awaited.intid}" + (f" ({source})" if source else "")


def subject(awaited: Awaited) -> str:
    """The awaited interrupt as the subject of a sentence."""
    timer, first = awaited.timer, awaited.closed[0].gate if awaited.closed else None
    if first is Gate.PE_OFF:
        return f"{name(awaited)} is pending"
    if first is Gate.DEVICE_MASKED:
        return f"{name(awaited)} is enabled in the GIC"
    if timer is None or awaited.pending:
        return f"{name(awaited)} is pending" + ("" if awaited.cpu is None else f" at cpu{awaited.cpu}")
    state = "is on" if first is Gate.TIMER_ENDLESS else timer_words(timer)
    return f"the {awaited.source} of cpu{awaited.cpu} (INTID {awaited.intid}) {state}"


def timer_words(timer: TimerState) -> str:
    """The state of a timer, as the continuation of a sentence."""
    if timer.has_fired:
        past = f"{span(timer.seconds)} ago" if timer.seconds else "just now"
        return f"fired {past}" if timer.is_on else f"was set to {past}"
    if timer.is_endless:
        return f"is set to a time that will never come ({timer.register('CVAL', 0).name} = {timer.compare:#x})"
    future = f"{span(-timer.seconds)} from now"
    return f"fires {future}" if timer.is_on else f"was set to {future}"


def span(seconds: float) -> str:
    """A time in everyday units."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def location(register: RegisterAt, gic: GicDescription | None) -> str:
    """The owner of a register and its IPA; for system registers only the owner."""
    ipa = address(register, gic)
    if ipa is None:
        return f"of cpu{register.cpu}"
    # The banked registers of a GICv2 have the same address for all CPUs.
    owner = "" if register.frame in (Frame.DISTRIBUTOR, Frame.DEVICE) else f" of cpu{register.cpu}"
    return f"{register.frame.value}{owner}, IPA {ipa:#010x}"


def digits(register: RegisterAt, value: int) -> str:
    """A value in the full width of its register; for system registers with as few digits as needed."""
    if register.frame is Frame.SYSTEM:
        return f"{value:#x}"
    return f"{value:#0{2 * register.width + 2}x}"


def address(register: RegisterAt, gic: GicDescription | None) -> int | None:
    """The IPA of a register, None for a system register."""
    if register.frame is Frame.DEVICE:
        return register.offset
    if register.frame is Frame.SYSTEM or gic is None:
        return None
    window, offset = gic.distributor, register.offset
    if register.frame is Frame.REDISTRIBUTOR and gic.redistributors is not None:
        window, offset = gic.redistributors, offset + register.cpu * REDISTRIBUTOR_SIZE
    elif register.frame is Frame.CPU_INTERFACE and gic.cpu_interface is not None:
        window = gic.cpu_interface
    return window.base + offset


def _value(closed: Closed) -> str:
    return digits(closed.register, closed.value)


# Why each gate is closed -------------------------------------------------------------------------------------------


def _bit(awaited: Awaited, closed: Closed) -> str:
    """``GICR_ISENABLER0 is 0x00000000: bit 27 is clear``."""
    number = awaited.intid % WORD_BITS
    is_set = closed.value >> number & 1
    return f"{closed.register.name} is {_value(closed)}: bit {number} is {'set' if is_set else 'clear'}"


def _group(closed: Closed) -> str:
    return f"Group {int(closed.group1)}"


def _wrong_group(awaited: Awaited, closed: Closed) -> str:
    other = f"Group {int(not closed.group1)}"
    if closed.register.name == "GICD_CTLR":
        return f"it is in {_group(closed)}, and GICD_CTLR is {_value(closed)}: only {other} is enabled"
    return f"it is in {_group(closed)} ({_bit(awaited, closed)}), and only {other} is enabled"


def _not_ended(_awaited: Awaited, closed: Closed) -> str:
    return f"it is still active: cpu{_taker(closed)} has acknowledged it and not ended it"


def _not_deactivated(awaited: Awaited, closed: Closed) -> str:
    if closed.opener is not None and closed.opener.name.endswith(("DIR", "DIR_EL1")):
        return f"it is still active: cpu{_taker(closed)} has dropped its priority (EOImode 1) and not deactivated it"
    return (
        f"it is still active ({_bit(awaited, closed)}), though no CPU handles it: the value written to end it was not "
        "the one that its acknowledge had returned"
    )


def _taker(closed: Closed) -> int:
    return closed.register.cpu if closed.opener is None else closed.opener.cpu


def _off(awaited: Awaited, closed: Closed) -> str:
    if awaited.intid < FIRST_SPI:
        return f"cpu{awaited.cpu} is off"
    return f"it is routed to cpu{awaited.cpu} ({closed.register.name} is {_value(closed)}), which is off"


def _running(_awaited: Awaited, closed: Closed) -> str:
    handled = "another one" if closed.culprit is None else f"INTID {closed.culprit}"
    taken = f"cpu{closed.register.cpu} has acknowledged {handled} and not ended it"
    if closed.priority is None:
        return taken
    if closed.binary_point is not None:
        register, point = closed.binary_point
        return f"{taken}: with {register.name} = {point:#x}, priority {closed.priority:#04x} does not preempt that one"
    return (
        f"{taken}: priority {closed.priority:#04x} is not higher than the running priority "
        f"({closed.register.name} is {_value(closed)})"
    )


def _masked(awaited: Awaited, closed: Closed) -> str:
    line, bit = ("FIQ", "F") if awaited.fiq else ("IRQ", "I")
    group = " (Group 0)" if awaited.fiq else ""
    return f"it is signalled as {line}{group}, and cpu{closed.register.cpu} masks that: PSTATE.{bit} is 1"


def _route(_awaited: Awaited, closed: Closed) -> str:
    return f"{closed.register.name} is {_value(closed)}: it is routed to no CPU"


_REASONS: Final[Mapping[Gate, Callable[[Awaited, Closed], str]]] = MappingProxyType(
    {
        Gate.TIMER_OFF: lambda _awaited, closed: f"{closed.register.name} is {_value(closed)}: ENABLE is clear",
        Gate.TIMER_MASKED: lambda _awaited, closed: f"{closed.register.name} is {_value(closed)}: IMASK is set",
        Gate.TIMER_ENDLESS: lambda _awaited, closed: (
            f"{closed.register.name} is {_value(closed)}, a time that will never come"
        ),
        Gate.DEVICE_MASKED: lambda awaited, closed: (
            f"{closed.register.name} is {_value(closed)}: {awaited.source} masks all of its interrupts"
        ),
        Gate.TRIGGER: lambda _awaited, closed: (
            f"{closed.register.name} is {_value(closed)}: the interrupt is edge-triggered, and the edge has passed"
        ),
        Gate.ENABLE: _bit,
        Gate.DISTRIBUTOR: lambda _awaited, closed: f"GICD_CTLR is {_value(closed)}: no group of interrupts is enabled",
        Gate.GROUP: _wrong_group,
        Gate.NOT_ENDED: _not_ended,
        Gate.NOT_DEACTIVATED: _not_deactivated,
        Gate.ASLEEP: lambda awaited, closed: (
            f"GICR_WAKER is {_value(closed)}: ProcessorSleep is set, so nothing is presented to cpu{awaited.cpu}"
        ),
        Gate.ROUTE: _route,
        Gate.PE_OFF: _off,
        Gate.INTERFACE: lambda awaited, closed: (
            f"{closed.register.name} is {_value(closed)}: {_group(closed)} interrupts are not signalled to "
            f"cpu{awaited.cpu}"
        ),
        Gate.PRIORITY: lambda _awaited, closed: (
            f"{closed.register.name} is {_value(closed)}: the lowest priority, which every priority mask blocks"
        ),
        Gate.MASK: lambda _awaited, closed: (
            f"its priority {closed.priority or 0:#04x} is not higher than {closed.register.name}, {closed.value:#04x}"
        ),
        Gate.RUNNING: _running,
        Gate.BEHIND: lambda _awaited, closed: (
            f"INTID {closed.culprit} has a higher priority and is presented instead, and {closed.register.name} "
            f"({_value(closed)}) holds that back"
        ),
        Gate.MASKED: _masked,
    }
)
"""Why an interrupt does not pass each gate, as the continuation of a sentence."""


# How to open it ---------------------------------------------------------------------------------------------------


def _steps(awaited: Awaited, gic: GicDescription | None) -> str:
    """The write that opens the first gate, and those for later gates in short. The PSTATE mask is mentioned only if it
    is the only gate."""
    first, *rest = awaited.closed
    if first.opener is None:
        return f"switch on cpu{awaited.cpu} (PSCI CPU_ON)" if first.gate is Gate.PE_OFF else ""
    step = _write(first, gic)
    later = [each for each in rest if each.opener is not None and each.gate is not Gate.MASKED]
    if later:
        then = [f"{_written(each)} to {each.opener.name}" for each in later[:_MOST_GATES] if each.opener is not None]
        step += f"; then {_listed(then)}"
    return step


def _write(closed: Closed, gic: GicDescription | None) -> str:
    opener = closed.opener
    if opener is None:
        return ""
    if closed.gate is Gate.MASKED:
        return f"MSR DAIFClr, #{closed.write} on cpu{opener.cpu}"
    if closed.gate is Gate.TIMER_ENDLESS:
        soon = f"{_written(closed)} to {opener.name}, which is 1 ms"
        return f"write a time to {closed.register.name} on cpu{opener.cpu}, or {soon}"
    if opener.frame is Frame.SYSTEM:
        return f"write {_written(closed)} to {opener.name} on cpu{opener.cpu}"
    return f"write {_written(closed)} to {opener.name} ({location(opener, gic)})"


def _written(closed: Closed) -> str:
    opener = closed.opener
    if opener is None:
        return ""
    if opener.name.startswith(("ICC_EOIR", "ICC_DIR", "GICC_EOIR", "GICC_DIR")):
        # INTIDs are conventionally decimal.
        return str(closed.write)
    return digits(opener, closed.write)


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
