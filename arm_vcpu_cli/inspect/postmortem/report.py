"""The report on a failed guest: what it did, the usual cause, and the evidence.

The short form fits on a screen; the full one is complete, and suits a file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Sctlr
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.backtrace import backtrace
from arm_vcpu_cli.inspect.postmortem.cpu_sections import cpu_part, other_cpus, other_parts, standings_of
from arm_vcpu_cli.inspect.postmortem.disassembly import Disassembler, code_lines, is_unnamed
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence, gather
from arm_vcpu_cli.inspect.postmortem.extra_hint import how_to_install
from arm_vcpu_cli.inspect.postmortem.held_section import HEADING, held_lines
from arm_vcpu_cli.inspect.postmortem.interrupt_advice import held_interrupts, interrupt_advice
from arm_vcpu_cli.inspect.postmortem.interrupt_registers import interrupt_sections
from arm_vcpu_cli.inspect.postmortem.kernel_log_lines import MOST_SHOWN, PRINTED, UNPRINTED, log_lines
from arm_vcpu_cli.inspect.postmortem.last_exits import before_the_end, exit_lines, folded_exits
from arm_vcpu_cli.inspect.postmortem.limit_advice import limit_advice
from arm_vcpu_cli.inspect.postmortem.loop_advice import loop_advice
from arm_vcpu_cli.inspect.postmortem.patterns import advise
from arm_vcpu_cli.inspect.postmortem.registers import EL1_REGISTERS, EL2_REGISTERS, register_dump
from arm_vcpu_cli.inspect.postmortem.relevant import relevant_registers
from arm_vcpu_cli.inspect.postmortem.report_wanted import FULL, NONE
from arm_vcpu_cli.inspect.postmortem.screen import HEIGHT, INDENT, MARK, WIDTH, Keep, Section, fit, wrapped
from arm_vcpu_cli.inspect.postmortem.story import address_of, story
from arm_vcpu_cli.inspect.tables.both_stages import Translated, translate
from arm_vcpu_cli.inspect.tables.translation_text import translation_lines
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.kernel_symbols import name_kernel
from arm_vcpu_cli.vm.machine import Machine

__all__ = [
    "EL1_REGISTERS",
    "EL2_REGISTERS",
    "all_registers",
    "backtrace",
    "painted",
    "register_dump",
    "report_lines",
    "standstill_lines",
]

_INJECTED: Final = "arm_vcpu_cli.inspect.postmortem.injected_faults"
_BOLD: Final = "\x1b[1m"
_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"
_LAST_LINE: Final = "armvcpu: "
"""The start of the report's last line, which says how the run ended."""


def report_lines(
    machine: Machine,
    result: RunResult | None = None,
    *,
    form: str | None = None,
    regs: bool = False,
) -> list[str]:
    """What a guest that did not end by itself did, and where; the usual cause comes last.

    ``form`` is ``full`` or ``short``, the default: the latter fits on a screen together with the message of
    ``result``, unless ``regs`` requests the registers of all CPUs. Without ``result`` the report omits how the run
    ended.
    """
    if form == NONE:
        return []
    name_kernel(machine)
    if form == FULL:
        found: Iterable[Section] = _full(machine, result)
    else:
        message = "" if result is None else wrapped(f"{_LAST_LINE}{result.message}", WIDTH)
        rows = HEIGHT - len(message)
        found = _short(machine, result, regs=regs)
        if not regs:
            found = fit(found, rows)
    return _as_lines(found)


def standstill_lines(machine: Machine, result: RunResult) -> list[str]:
    """The action that a stopped guest kept repeating, or the interrupt that it lacked; empty for a guest that may be
    healthy."""
    name_kernel(machine)
    evidence = gather(machine, result, held=held_interrupts(machine, result))
    meaning = _section(
        "what this usually means",
        _meaning([*interrupt_advice(evidence), *loop_advice(machine, result), *limit_advice(machine)]),
    )
    return _as_lines([meaning] if meaning.lines else [])


def _as_lines(sections: Iterable[Section]) -> list[str]:
    lines: list[str] = []
    for section in sections:
        lines += wrapped(f"{section.heading}:", WIDTH)
        lines += [f"{INDENT}{line}" for line in section.lines]
    return lines


def painted(lines: Iterable[str]) -> list[str]:
    """The lines of a report with the headings and the failing instruction in colour."""
    return [
        f"{_BOLD}{line}{_PLAIN}"
        if not line.startswith(" ")
        else f"{_RED}{line}{_PLAIN}"
        if line.startswith(f"{INDENT}{MARK}")
        else line
        for line in lines
    ]


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


# Forms ---------------------------------------------------------------------------------------------------------


def _short(machine: Machine, result: RunResult | None, *, regs: bool) -> list[Section]:
    """The sections that fit on a screen: mostly the current CPU's, and a little on the others."""
    standings = standings_of(machine, result)
    evidence = gather(machine, result, standings, held_interrupts(machine, result))
    disassembler = Disassembler()
    registers = _dump(machine, evidence) if regs else _relevant(machine, evidence, disassembler)
    found = [
        *(_section(*cpu_part(machine, each)) for each in standings[:1]),
        _section("what happened", story(machine, evidence)),
        _faults(machine),
        _section(UNPRINTED, evidence.log, Keep.LAST, least=20),
        _code(machine, evidence, disassembler, Keep.AROUND_MARK, least=5),
        _section("backtrace", backtrace(machine), Keep.FIRST, least=5),
        _section("last exits (the latest last)", folded_exits(machine, evidence.recent), Keep.LAST, least=4),
        registers,
    ]
    if regs:
        found += [_section(*part) for part in other_parts(machine, standings[1:], regs=True)]
    else:
        found.append(_section("other CPUs", other_cpus(machine, standings[1:]), Keep.FIRST, least=4))
    found.append(_section(HEADING, held_lines(machine, evidence)))
    found.append(_section("what this usually means", _meaning(_advice(machine, evidence, result))))
    return [section for section in found if section.lines]


def _full(machine: Machine, result: RunResult | None) -> list[Section]:
    """All sections that are not empty, in reading order: of several CPUs first everything on the current one, then the
    activity of the others."""
    standings = standings_of(machine, result)
    evidence = gather(machine, result, standings, held_interrupts(machine, result))
    disassembler = Disassembler()
    found = [
        *(_section(*cpu_part(machine, each)) for each in standings[:1]),
        _section("what happened", story(machine, evidence)),
        _faults(machine),
        _log(machine, evidence),
        _code(machine, evidence, disassembler),
        _section("backtrace", backtrace(machine)),
        *(_section(*part) for part in _translations(machine, evidence)),
        _section("last exits (the latest last)", exit_lines(machine, evidence.recent)),
        _dump(machine, evidence),
        *(_section(*part) for part in other_parts(machine, standings[1:], regs=True)),
        *(_section(*part) for part in interrupt_sections(machine)),
        _section(HEADING, held_lines(machine, evidence)),
        _section("what this usually means", _meaning(_advice(machine, evidence, result))),
    ]
    return [section for section in found if section.lines]


def _section(heading: str, lines: Iterable[str], keep: Keep = Keep.ALL, least: int = 0) -> Section:
    return Section(heading, tuple(lines), keep, least)


def _advice(machine: Machine, evidence: Evidence, result: RunResult | None) -> list[Advice]:
    return [*loop_advice(machine, result), *advise(evidence), *limit_advice(machine)]


# Sections ------------------------------------------------------------------------------------------------------


def _meaning(found: Iterable[Advice]) -> Iterator[str]:
    for meaning, step in found:
        yield from textwrap.wrap(meaning, WIDTH - len(INDENT))
        if step:
            indent = " " * len("  Try: ")
            yield from textwrap.wrap(f"Try: {step}", WIDTH - len(INDENT), initial_indent="  ", subsequent_indent=indent)


def _faults(machine: Machine) -> Section:
    """The injected faults; loaded only for machines that have any."""
    if machine.faults is None:
        return _section("", ())
    injected = import_module(_INJECTED)
    return _section(injected.HEADING, injected.injected_faults(machine), Keep.FIRST, least=3)


def _log(machine: Machine, evidence: Evidence) -> Section:
    heading, lines = (UNPRINTED, evidence.log) if evidence.log else (PRINTED, log_lines(machine))
    return _section(heading, lines[-MOST_SHOWN:])


def _relevant(machine: Machine, evidence: Evidence, disassembler: Disassembler) -> Section:
    heading = "relevant registers (all registers and table walks: --report full)"
    return _section(heading, relevant_registers(machine, evidence, disassembler))


def _dump(machine: Machine, evidence: Evidence) -> Section:
    before = before_the_end(evidence.recent, evidence.pc, evidence.registers)
    since = "" if before is None else f" (* changed since exit {before.number})"
    return _section(f"registers{since}", register_dump(machine, None if before is None else before.registers))


def _code(
    machine: Machine, evidence: Evidence, disassembler: Disassembler, keep: Keep = Keep.ALL, least: int = 0
) -> Section:
    lines = tuple(_code_lines(machine, evidence, disassembler, one=keep is not Keep.ALL))
    heading = "code"
    if not disassembler.is_there and any(map(is_unnamed, lines)):
        heading += f" (to disassemble all of it: {how_to_install('disasm')})"
    return Section(heading, lines, keep, least)


def _code_lines(machine: Machine, evidence: Evidence, disassembler: Disassembler, *, one: bool) -> Iterator[str]:
    """The code at the fault and, unless ``one`` is set, at the guest's present place if that is elsewhere and has
    code."""
    frame = machine.current.arch.ctx
    registers = {f"x{number}": value for number, value in enumerate(frame.gprs())} | {"sp": frame.sp}
    fault = evidence.fault
    if fault is not None:
        # If not even the first instruction of a vector was executed, the registers are still those of the fault.
        known = registers if evidence.vector is not None or fault.pc == evidence.pc else None
        yield from code_lines(machine, fault.pc, disassembler, values=known)
        if one or fault.pc == evidence.pc or evidence.instruction is None:
            return
        yield ""
    yield from code_lines(machine, evidence.pc, disassembler, values=registers)


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
