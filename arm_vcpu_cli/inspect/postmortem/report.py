"""The report of a guest that went wrong: what it did, what that usually means, and all that there is to look at."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.registers.el1regs import Sctlr
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.backtrace import backtrace
from arm_vcpu_cli.inspect.postmortem.cpu_sections import cpu_part, other_parts, standings_of
from arm_vcpu_cli.inspect.postmortem.disassembly import HINT, Disassembler, code_lines
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence, gather
from arm_vcpu_cli.inspect.postmortem.interrupt_advice import held_interrupts, interrupt_advice
from arm_vcpu_cli.inspect.postmortem.last_exits import before_the_end, exit_lines
from arm_vcpu_cli.inspect.postmortem.loop_advice import loop_advice
from arm_vcpu_cli.inspect.postmortem.patterns import advise
from arm_vcpu_cli.inspect.postmortem.registers import EL1_REGISTERS, EL2_REGISTERS, register_dump
from arm_vcpu_cli.inspect.postmortem.report_wanted import wants_advice, wants_report
from arm_vcpu_cli.inspect.postmortem.story import address_of, story
from arm_vcpu_cli.inspect.tables.both_stages import Translated, translate
from arm_vcpu_cli.inspect.tables.translation_text import translation_lines
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.machine import Machine

__all__ = [
    "EL1_REGISTERS",
    "EL2_REGISTERS",
    "all_registers",
    "backtrace",
    "brief_report",
    "death_report",
    "register_dump",
    "wants_advice",
    "wants_report",
]

_WIDTH: Final = 110
_BOLD: Final = "\x1b[1m"
_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"

Paint = Callable[[str], str]


class Section(NamedTuple):
    """A part of the report."""

    heading: str
    lines: tuple[str, ...]


def sections(
    machine: Machine, result: RunResult | None = None, emphasise: Paint = str, *, regs: bool = False
) -> Iterator[Section]:
    """All parts that have something to say, in the order in which they are read: of several CPUs first all that is
    known of the current one, then in short what the others do, or with ``regs`` at length."""
    standings = standings_of(machine, result)
    evidence = gather(machine, result, standings, held_interrupts(machine, result))
    disassembler = Disassembler()
    parts: list[tuple[str, Iterable[str]]] = [
        ("what happened", story(machine, evidence)),
        ("what this usually means", _meaning([*loop_advice(machine, result), *advise(evidence)])),
        (_code_heading(disassembler), _code(machine, evidence, disassembler, emphasise)),
        ("backtrace", backtrace(machine)),
        *_translations(machine, evidence),
        ("last exits (the latest last)", exit_lines(machine, evidence.recent)),
    ]
    before = before_the_end(evidence.recent, evidence.pc, evidence.registers)
    since = "" if before is None else f" (* changed since exit {before.number})"
    parts.append((f"registers{since}", register_dump(machine, None if before is None else before.registers)))
    yield from _with_something_to_say([cpu_part(machine, standings[0])] if standings else [])
    yield from _with_something_to_say(parts)
    yield from _with_something_to_say(other_parts(machine, standings[1:], regs=regs))


def _with_something_to_say(parts: Iterable[tuple[str, Iterable[str]]]) -> Iterator[Section]:
    for heading, lines in parts:
        found = tuple(lines)
        if found:
            yield Section(heading, found)


def death_report(
    machine: Machine, result: RunResult | None = None, *, color: bool = False, regs: bool = False
) -> list[str]:
    """What a guest did that did not end by itself, and where; ``color`` for a terminal, ``regs`` for the registers of
    all CPUs.

    Without ``result`` nothing is said of how the run ended.
    """
    emphasise, heading = _paint(_RED, on=color), _paint(_BOLD, on=color)
    lines = []
    for section in sections(machine, result, emphasise, regs=regs):
        lines.extend(_section_lines(section, heading))
    return lines


def all_registers(machine: Machine) -> list[str]:
    """The registers of every CPU, the current one first."""
    if len(machine.cpus) == 1:
        return register_dump(machine)
    current, lines = machine.current, []
    for cpu in sorted(machine.cpus, key=lambda cpu: cpu is not current):
        machine.look_at(cpu)
        lines += [f"cpu{cpu.index}:", *(f"  {line}" for line in register_dump(machine))]
    machine.look_at(current)
    return lines


def brief_report(machine: Machine, result: RunResult, *, color: bool = False) -> list[str]:
    """What the end of a guest usually means, for one that only stopped: nothing where that is not known. Of several
    CPUs also what they do."""
    heading = _paint(_BOLD, on=color)
    standings = standings_of(machine, result)
    lines = []
    evidence = gather(machine, result, standings, held_interrupts(machine, result))
    parts = [("what happened", story(machine, evidence)), ("what this usually means", _meaning(advise(evidence)))]
    for section in _with_something_to_say(parts):
        lines += _section_lines(section, heading)
    if standings:
        title, facts = cpu_part(machine, standings[0])
        first = (title, [*facts, *backtrace(machine)])
        for section in _with_something_to_say(chain([first], other_parts(machine, standings[1:], regs=False))):
            lines += _section_lines(section, heading)
    return [*lines, "  (--regs has the whole report)"] if lines else []


def standstill_report(machine: Machine, result: RunResult, *, color: bool = False) -> list[str]:
    """What a guest that was stopped did nothing else than, or could not do for want of an interrupt; nothing of one
    that may be healthy."""
    evidence = gather(machine, result, held=held_interrupts(machine, result))
    meaning = _meaning([*interrupt_advice(evidence), *loop_advice(machine, result)])
    found = _with_something_to_say([("what this usually means", meaning)])
    return [line for section in found for line in _section_lines(section, _paint(_BOLD, on=color))]


def _section_lines(section: Section, heading: Paint) -> list[str]:
    return [heading(f"{section.heading}:"), *(f"  {line}" for line in section.lines)]


def _paint(code: str, *, on: bool) -> Paint:
    return (lambda text: f"{code}{text}{_PLAIN}") if on else str


# Sections ------------------------------------------------------------------------------------------------------


def _meaning(found: Iterable[Advice]) -> Iterator[str]:
    for meaning, step in found:
        yield from textwrap.wrap(meaning, _WIDTH)
        if step:
            yield from textwrap.wrap(f"Try: {step}", _WIDTH, initial_indent="  ", subsequent_indent="       ")


def _code_heading(disassembler: Disassembler) -> str:
    return "code" if disassembler.is_there else f"code {HINT}"


def _code(machine: Machine, evidence: Evidence, disassembler: Disassembler, emphasise: Paint) -> Iterator[str]:
    """Where the fault was, and where the guest stands now if that is another place with code."""
    frame = machine.current.arch.ctx
    registers = {f"x{number}": value for number, value in enumerate(frame.gprs())} | {"sp": frame.sp}
    fault = evidence.fault
    at_fault = fault is not None and (evidence.stuck or fault.pc != evidence.pc)
    if fault is not None and at_fault:
        # Where not even the first instruction of a vector was executed, the registers are still those of the fault.
        known = registers if evidence.vector is not None else None
        yield from code_lines(machine, fault.pc, disassembler, values=known, emphasise=emphasise)
    is_elsewhere = fault is None or fault.pc != evidence.pc
    if is_elsewhere and (not at_fault or evidence.instruction is not None):
        if at_fault:
            yield ""
        yield from code_lines(machine, evidence.pc, disassembler, values=registers, emphasise=emphasise)


def _translations(machine: Machine, evidence: Evidence) -> Iterator[tuple[str, Iterable[str]]]:
    fault = evidence.fault
    if fault is not None and fault.translated is not None:
        yield _translation_heading(fault.translated), translation_lines(fault.translated)
    if evidence.stuck and evidence.vector is not None and Sctlr(evidence.sctlr).M:
        vector = translate(machine, evidence.vector.pc, access=Access.EXECUTE)
        if vector.paddr is None and (fault is None or fault.far != evidence.vector.pc):
            yield _translation_heading(vector), translation_lines(vector)


def _translation_heading(translated: Translated) -> str:
    access = "" if translated.access is None else f", {translated.access.value} by EL{translated.el}"
    return f"translation of {address_of(translated)}{access}"
