"""The interrupts of a stopped machine: the pending ones, the armed timers, and every closed gate on the path of each;
as lines of text and as plain data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arm_vcpu_cli.board.description import GicDescription
from arm_vcpu_cli.devices.gic.gates.gate import Closed, Gate
from arm_vcpu_cli.devices.gic.gates.view import GicView
from arm_vcpu_cli.vm.awaited import Awaited, TimerState, awaited_interrupts, view_of
from arm_vcpu_cli.vm.awaited_words import address, gate_words, name, timer_words
from arm_vcpu_cli.vm.cpu import Activity, Cpu
from arm_vcpu_cli.vm.machine import Machine


def interrupt_lines(machine: Machine) -> Iterator[str]:
    """The interrupts of each CPU in turn, then those that target no CPU."""
    gic = machine.description.gic
    found = awaited_interrupts(machine)
    view = view_of(machine)
    yield "interrupts:" if gic is not None else "interrupts (the machine has no interrupt controller):"
    for cpu in machine.cpus:
        own = [each for each in found if each.cpu == cpu.index]
        if cpu.activity is Activity.OFF and not own:
            continue
        yield f"  cpu{cpu.index}, {_doing(cpu)}:"
        waits = cpu.activity is Activity.WAITING
        yield from (f"    {line}" for each in own for line in _lines(each, gic, waits=waits))
        if not own:
            yield "    none pending, no timer set"
        if view is not None and cpu.activity is not Activity.OFF:
            yield f"    {_interface(view, cpu.index, own)}"
    for each in found:
        if each.cpu is None:
            yield from (f"  {line}" for line in _lines(each, gic))


def _doing(cpu: Cpu) -> str:
    if cpu.activity is Activity.OFF:
        return "off"
    pstate = cpu.arch.ctx.spsr
    masked = " and ".join(line for line, bit in (("IRQ", pstate.I), ("FIQ", pstate.F)) if bit)
    waits = ", in WFI" if cpu.activity is Activity.WAITING else ""
    return f"at EL{pstate.el}{waits}, {masked or 'nothing'} masked"


def _interface(view: GicView, cpu: int, told: Sequence[Awaited]) -> str:
    """The priority and groups that the CPU interface passes, and the interrupts that are active but not pending."""
    registers = [view.interface(each, cpu) for each in ("PMR", "RPR")]
    said = [f"{register.name} {view.read(register):#04x}" for register in registers]
    known = {each.intid for each in told}
    active = [str(intid) for intid in view.active(cpu) if intid not in known]
    return ", ".join([*said, f"active: INTID {', '.join(active)}"] if active else said)


def _lines(awaited: Awaited, gic: GicDescription | None, *, waits: bool = False) -> Iterator[str]:
    """An interrupt and its gates. An interrupt masked by PSTATE alone still ends a WFI (DDI 0487, D1.7)."""
    facts = [_state(awaited), *([] if awaited.timer is None else [_timer(awaited.timer)])]
    yield f"{name(awaited)}: {', '.join(facts)}"
    if not awaited.closed:
        yield "  nothing holds it back" if awaited.pending else "  nothing will hold it back"
    for closed in awaited.closed:
        if waits and closed.gate is Gate.MASKED:
            yield f"  ends the WFI; PSTATE.{'F' if awaited.fiq else 'I'} masks it, so it is taken once that is 0"
            continue
        reason, step = gate_words(awaited, closed, gic)
        yield f"  held back: {reason}"
        if step:
            yield f"    {step}"


def _state(awaited: Awaited) -> str:
    """The interrupt's state, by its architectural name (IHI 0069H, 4.1.2)."""
    if awaited.active:
        return "active and pending" if awaited.pending else "active"
    return "pending" if awaited.pending else "inactive"


def _timer(timer: TimerState) -> str:
    registers = ((timer.register("CTL", 0).name, timer.control), (timer.register("CVAL", 0).name, timer.compare))
    said = ", ".join(f"{register} {value:#x}" for register, value in registers)
    return f"the timer {timer_words(timer)} ({said})"


def interrupts_object(machine: Machine) -> dict[str, object]:
    """The interrupts and their gates as plain data."""
    gic = machine.description.gic
    return {
        "cpus": [
            {
                "cpu": cpu.index,
                "activity": cpu.activity.value,
                "irq_masked": bool(cpu.arch.ctx.spsr.I),
                "fiq_masked": bool(cpu.arch.ctx.spsr.F),
            }
            for cpu in machine.cpus
        ],
        "awaited": [_awaited_object(each, gic) for each in awaited_interrupts(machine)],
    }


def _awaited_object(awaited: Awaited, gic: GicDescription | None) -> dict[str, object]:
    found: dict[str, object] = {
        "intid": awaited.intid,
        "source": awaited.source or None,
        "cpu": awaited.cpu,
        "pending": awaited.pending,
        "active": awaited.active,
        "signalled_as": "fiq" if awaited.fiq else "irq",
    }
    timer = awaited.timer
    if timer is not None:
        found["timer"] = {
            "control": hex(timer.control),
            "compare": hex(timer.compare),
            "count": hex(timer.count),
            "fired": timer.is_on and timer.has_fired,
        }
    found["held_by"] = [_closed_object(awaited, closed, gic) for closed in awaited.closed]
    return found


def _closed_object(awaited: Awaited, closed: Closed, gic: GicDescription | None) -> dict[str, object]:
    opener = closed.opener
    ipa = None if opener is None else address(opener, gic)
    return {
        "gate": closed.gate.name.lower(),
        "register": closed.register.name,
        "value": hex(closed.value),
        "reason": gate_words(awaited, closed, gic).meaning,
        "write": None
        if opener is None
        else {
            "register": opener.name,
            "value": hex(closed.write),
            "cpu": opener.cpu,
            "ipa": None if ipa is None else hex(ipa),
            "width": opener.width,
        },
    }
