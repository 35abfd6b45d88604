"""The last exits of a guest, from the flight recorder: as lines of text, and what has changed since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arm_vcpu_cli.arm_vcpu.context_frame import INSTRUCTION_SIZE
from arm_vcpu_cli.arm_vcpu.recorder import RecentExit
from arm_vcpu_cli.observe.describing import EventDescriber
from arm_vcpu_cli.trace.event import TraceEvent
from arm_vcpu_cli.trace.text import place as place_text
from arm_vcpu_cli.vm.machine import Machine


def exit_lines(machine: Machine, recent: Sequence[RecentExit]) -> Iterator[str]:
    """A line for each, the oldest first; of a run of exits that are the same only the first, and how many there are.

    The recorder keeps neither times nor results, so there are none here; a trace has them.
    """
    describer = EventDescriber.for_machine(machine)
    last, count = "", 0
    for number, record, _ in recent:
        event = describer.exit(number, record)
        text = _text(event)
        if text == last:
            count += 1
            continue
        if count:
            yield _repeated(count)
        last, count = text, 0
        yield f"{number:>7} {text}"
    if count:
        yield _repeated(count)


def _repeated(count: int) -> str:
    return f"        the same {count} {'time' if count == 1 else 'times'} more"


def _text(event: TraceEvent) -> str:
    fields = " ".join(f"{name}={value}" for name, value in event.fields)
    return f"{event.name:<17} EL{event.el} {place_text(event.pc or 0, event.symbol)} {fields}".rstrip()


def before_the_end(recent: Sequence[RecentExit], pc: int, registers: tuple[int, ...]) -> RecentExit | None:
    """The last exit after which the guest went on: what it has changed since then is of interest.

    An exit at which the guest still stands, or whose instruction was the last that it executed, is the end itself.
    """
    for place, exit_ in enumerate(reversed(recent)):
        is_end = not place and exit_.record.pc in (pc, pc - INSTRUCTION_SIZE)
        if not is_end and (exit_.record.pc != pc or exit_.registers != registers):
            return exit_
    return None
