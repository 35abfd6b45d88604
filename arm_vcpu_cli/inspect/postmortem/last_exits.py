"""The last exits of a guest, from the flight recorder: as lines of text, and the state to compare the end with.

The recorder keeps neither times nor results, so there are none here; a trace has them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from arm_vcpu_cli.arm_vcpu.context_frame import INSTRUCTION_SIZE
from arm_vcpu_cli.arm_vcpu.recorder import RecentExit
from arm_vcpu_cli.observe.describing import EventDescriber
from arm_vcpu_cli.trace.event import TraceEvent
from arm_vcpu_cli.trace.text import event_text
from arm_vcpu_cli.vm.machine import Machine

_FOLDED: Final = 3
"""At least this many consecutive accesses are folded into one line."""
_COLUMNS: Final = re.compile(r"  +")
_MOST_REGISTERS: Final = 4
_VERBS: Final = {"MmioRead": "read", "SysRegRead": "read", "MmioWrite": "write", "SysRegWrite": "write"}
_SYSTEM_REGISTERS: Final = "system registers"


def exit_lines(machine: Machine, recent: Sequence[RecentExit]) -> Iterator[str]:
    """A line for each as in a trace, oldest first; a run of identical exits is shown as the first and a count."""
    for events in _same(_events(machine, recent)):
        yield f"{events[0].seq:>7} {_text(events[0])}"
        count = events[-1].seq - events[0].seq
        if count:
            yield f"        the same {count} {'time' if count == 1 else 'times'} more"


def folded_exits(machine: Machine, recent: Sequence[RecentExit]) -> Iterator[str]:
    """As :func:`exit_lines`, in as few lines as possible: consecutive accesses to one device are one line, and so are
    consecutive accesses to system registers."""
    for where, run in groupby(_events(machine, recent), key=_accessed):
        events = list(run)
        if where and len(events) >= _FOLDED:
            yield f"{_numbers(events)}  {_summary(where, events)}"
            continue
        for same in _same(events):
            text = _COLUMNS.sub("  ", _text(same[0]._replace(source="")))
            # The recorder drops exits that add nothing to the previous one.
            count = same[-1].seq - same[0].seq + 1
            yield f"{_numbers(same)}  {text}" + (f" ({count} times)" if count > 1 else "")


def _events(machine: Machine, recent: Sequence[RecentExit]) -> list[TraceEvent]:
    describer = EventDescriber.for_machine(machine)
    return [describer.exit(kept.number, kept.record) for kept in recent]


def _same(events: Sequence[TraceEvent]) -> Iterator[list[TraceEvent]]:
    for _, run in groupby(events, key=lambda event: event._replace(seq=0, time=0)):
        yield list(run)


def _text(event: TraceEvent) -> str:
    return event_text(event, syndrome=False)


def _numbers(events: Sequence[TraceEvent]) -> str:
    first, last = events[0].seq, events[-1].seq
    return f"{str(first) if first == last else f'{first}-{last}':>7}"


# Accesses in a row -------------------------------------------------------------------------------------------------


def _accessed(event: TraceEvent) -> str:
    """The device accessed, or "system registers"; empty for other exits."""
    if event.name not in _VERBS:
        return ""
    fields = dict(event.fields)
    return _SYSTEM_REGISTERS if "sysreg" in fields else str(fields.get("device", ""))


def _summary(where: str, events: Sequence[TraceEvent]) -> str:
    """``16 exits of uart0 (PL011): 8 reads of UARTFR, 8 writes of UARTDR, "dead0000\\n"``."""
    kind = ""
    accesses: Counter[tuple[str, str]] = Counter()
    text = ""
    for event in events:
        fields = dict(event.fields)
        register = str(fields.get("sysreg") or fields.get("register") or f"offset {fields.get('offset', '?')}")
        device, dot, name = register.partition(".")
        kind = device if dot else kind
        accesses[_VERBS[event.name], name if dot else register] += 1
        text += _character(fields)
    told = [f"{count} {verb}{'s' if count > 1 else ''} of {name}" for (verb, name), count in accesses.most_common()]
    if len(told) > _MOST_REGISTERS + 1:
        told[_MOST_REGISTERS:] = [f"and {len(told) - _MOST_REGISTERS} other registers"]
    if text:
        told.append(json.dumps(text))
    of = f"{where} ({kind})" if kind else where
    return f"{len(events)} exits of {of}: {', '.join(told)}"


def _character(fields: Mapping[str, object]) -> str:
    """The character that a write sends, which is then its meaning."""
    meaning, data = fields.get("meaning"), fields.get("data")
    return chr(data & 0xFF) if isinstance(data, int) and str(meaning).startswith("'") else ""


# The exit before the end
# --------------------------------------------------------------------------------------------------


def before_the_end(recent: Sequence[RecentExit], pc: int, registers: tuple[int, ...]) -> RecentExit | None:
    """The last exit after which the guest resumed: the changes since then are of interest.

    An exit at which the guest still stands, or whose instruction was its last, belongs to the end itself.
    """
    for place, exit_ in enumerate(reversed(recent)):
        is_end = not place and exit_.record.pc in (pc, pc - INSTRUCTION_SIZE)
        if not is_end and (exit_.record.pc != pc or exit_.registers != registers):
            return exit_
    return None
