"""``armvcpu explain``."""

from __future__ import annotations

import fnmatch
import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from arm_vcpu_cli.arch.explain.explanation import Explanation, FieldLine, explain, explain_layout
from arm_vcpu_cli.arch.explain.meanings import general_register
from arm_vcpu_cli.arch.explain.registers import GROUPS, RegisterInfo, register_info, register_names
from arm_vcpu_cli.arch.registers.sysreg import SystemMove, decode_system_move
from arm_vcpu_cli.cli.output import show
from arm_vcpu_cli.cli.style import colours, event_style
from arm_vcpu_cli.probe.midr import midr_name

_EVERYTHING: Final = "*"
_OPCODE_BITS: Final = 32
_SYSTEM_INSTRUCTION: Final = 1
_INDENT: Final = "  "
_RUNS: Final = re.compile(r"(DBG[BW][VC]R|PMEVCNTR|PMEVTYPER|AMEVCNTR[01]|AMEVTYPER[01]|ICH_LR|MPAMVPM)(\d+)(_EL\d)")


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Register names followed by ``=``; nothing once a value is being typed."""
    return [
        CompletionItem(f"{name}=", help=register_info(name).title)
        for name in register_names()
        if name.upper().startswith(incomplete.upper())
    ]


@click.command("explain", short_help="Decode a register value.")
@click.argument("words", metavar="[REG[=VALUE]|OPCODE]...", nargs=-1, shell_complete=_complete)
@click.option(
    "--list",
    "pattern",
    is_flag=False,
    flag_value=_EVERYTHING,
    metavar="[PATTERN]",
    help="List the known registers, or those whose name, title or group fits PATTERN (`ICH_*`, `timer`).",
)
@click.option("--brief", is_flag=True, help="Leave out fields that are zero.")
@click.option("--e2h", is_flag=True, help="Take registers of EL2 as they are with HCR_EL2.E2H = 1.")
@click.option("--json", "as_object", is_flag=True, help="Print one JSON array.")
def command(words: tuple[str, ...], pattern: str | None, brief: bool, e2h: bool, as_object: bool) -> int:
    """Explain register values without a guest: every field with its meaning, and what follows from it.

    REG is a name in either case (hcr_el2, PSTATE, ICC_SGI1R_EL1) or a generic one (S3_4_C1_C1_0); VALUE is hexadecimal
    (0x), binary (0b), octal (0o) or decimal, with underscores where you like. A syndrome (ESR_ELx) is decoded by its
    exception class. REG alone shows the layout and the values after reset. OPCODE is the word of an MRS, MSR, SYS or
    SYSL. Without arguments the known registers are listed.

    \b
    Examples:
      armvcpu explain ESR_EL2=0x93258005
      armvcpu explain HCR_EL2=0x80080019 --brief
      armvcpu explain spsr_el1=0x3c5 TCR_EL1=0x3_b550_3510
      armvcpu explain VTCR_EL2
      armvcpu explain 0xd53800a1
      armvcpu explain --list 'ICH_*'
      armvcpu explain --json ESR_EL1=0x96000045 | jq -r '.[0].facts[]'
    """
    if pattern is not None or not words:
        if words:
            raise click.UsageError("--list takes no registers")
        return _list(pattern or _EVERYTHING, as_object)
    found = [_explain(word, e2h=e2h) for word in words]
    if as_object:
        show(json.dumps([_object(*each) for each in found], indent=2))
        return 0
    coloured = colours(sys.stdout)
    show("\n\n".join("\n".join(_lines(*each, brief=brief, coloured=coloured)) for each in found), coloured=coloured)
    return 0


# Parsing the words ----------------------------------------------------------------------------------------------


def _explain(word: str, *, e2h: bool) -> tuple[Explanation, SystemMove | None]:
    name, has_value, number = word.partition("=")
    if not has_value and name[:1].isdigit():
        return _explain_opcode(word, e2h=e2h)
    try:
        info = register_info(name.strip())
        if not has_value:
            return explain_layout(info, e2h=e2h), None
        return explain(info, _number(number, word), e2h=e2h), None
    except KeyError as error:
        raise click.UsageError(str(error.args[0])) from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _number(text: str, word: str) -> int:
    try:
        return int(text.strip(), 0)
    except ValueError as error:
        raise click.UsageError(f"{word}: expected a number such as 0x1f, 0b11, 0o17 or 31") from error


def _explain_opcode(word: str, *, e2h: bool) -> tuple[Explanation, SystemMove | None]:
    value = _number(word, word)
    if value >> _OPCODE_BITS:
        raise click.UsageError(
            f"{word}: an instruction has {_OPCODE_BITS} bits; a value needs its register: REG={word}"
        )
    move = decode_system_move(value)
    if move is None:
        raise click.UsageError(
            f"{word} is no MRS, MSR, SYS or SYSL instruction; a value needs its register: REG={word}"
        )
    reg = move.reg
    if reg.op0 == _SYSTEM_INSTRUCTION:
        info = RegisterInfo(reg.name, reg, None, "System instruction", "other", "DDI 0487, C5", None, reg.name)
        return Explanation(info, None, (), (), ()), move
    return explain_layout(register_info(reg.name), e2h=e2h), move


def _assembly(move: SystemMove) -> str:
    register, name = general_register(move.rt), move.reg.name
    if move.reg.op0 != _SYSTEM_INSTRUCTION:
        return f"MRS {register}, {name}" if move.is_read else f"MSR {name}, {register}"
    if name == move.reg.generic_name:
        operation = f"#{move.reg.op1}, C{move.reg.crn}, C{move.reg.crm}, #{move.reg.op2}"
        return f"SYSL {register}, {operation}" if move.is_read else f"SYS {operation}, {register}"
    return f"{name}, {register}"


# Text -------------------------------------------------------------------------------------------------------------


def _lines(found: Explanation, move: SystemMove | None, *, brief: bool, coloured: bool) -> Iterator[str]:
    def styled(text: str, role: str) -> str:
        return event_style(text, role) if coloured else text

    info = found.info
    if move is not None:
        yield styled(_assembly(move), "heading")
    heading = info.name if found.value is None else f"{info.name} = {found.value:#x}"
    yield f"{styled(heading, 'heading')}  {info.title}"
    yield f"{_encoding(info)}{info.section}"
    if info.reset is not None:
        yield f"Reset: {info.reset.text}."
    for warning in found.warnings:
        yield styled(f"Warning: {warning}", "fault")
    shown = [line for line in found.fields if line.value or not brief or found.value is None]
    if shown:
        yield ""
        yield from _table(shown, "Reset" if found.value is None else "Value", coloured=coloured)
    elif info.layout is None and move is None:
        yield "Its fields are implementation defined, or not known here."
    facts = _facts(found)
    if facts:
        yield ""
        yield from facts


def _encoding(info: RegisterInfo) -> str:
    reg = info.encoding
    if reg is None:
        return ""
    fields = f"op0={reg.op0} op1={reg.op1} CRn={reg.crn} CRm={reg.crm} op2={reg.op2}"
    return f"{reg.generic_name}  {fields}  "


def _facts(found: Explanation) -> tuple[str, ...]:
    if found.value is not None and found.info.own_name in ("MIDR_EL1", "VPIDR_EL2"):
        return (f"{midr_name(found.value & 0xFFFFFFFF)}.", *found.facts)
    return found.facts


def _table(fields: Iterable[FieldLine], value_heading: str, *, coloured: bool) -> Iterator[str]:
    rows = [(line, _cells(line)) for line in fields]
    heading = ("Bits", "Field", value_heading, "Meaning")
    widths = [max(len(heading[column]), *(len(cells[column]) for _, cells in rows)) for column in range(3)]
    yield _row(heading, widths) if not coloured else event_style(_row(heading, widths), "heading")
    parent = ""
    for line, cells in rows:
        if line.parent != parent:
            parent = line.parent
            yield f"{parent}:"
        text = _row(cells, widths)
        if coloured:
            text = event_style(text, "changed" if line.note else "place" if line.value else "faint")
        yield text


def _cells(line: FieldLine) -> tuple[str, str, str, str]:
    indent = _INDENT if line.parent else ""
    words = f"{line.meaning} ({line.note})" if line.meaning and line.note else line.meaning or line.note
    return f"{indent}{line.bits}", f"{indent}{line.name}", line.number, words


def _row(cells: tuple[str, str, str, str], widths: list[int]) -> str:
    padded = "  ".join(cell.ljust(width) for cell, width in zip(cells[:3], widths, strict=True))
    return f"{padded}  {cells[3]}".rstrip()


# JSON -------------------------------------------------------------------------------------------------------------


def _object(found: Explanation, move: SystemMove | None) -> dict[str, Any]:
    info = found.info
    return {
        **({} if move is None else {"instruction": _assembly(move)}),
        **_identity(info),
        "section": info.section,
        "width": info.width,
        "reset": None if info.reset is None else {"text": info.reset.text, "fields": dict(info.reset.known)},
        "value": None if found.value is None else hex(found.value),
        "fields": [_field_object(line) for line in found.fields],
        "warnings": list(found.warnings),
        "facts": list(_facts(found)),
    }


def _identity(info: RegisterInfo) -> dict[str, Any]:
    reg = info.encoding
    encoding = None if reg is None else {"op0": reg.op0, "op1": reg.op1, "CRn": reg.crn, "CRm": reg.crm, "op2": reg.op2}
    return {
        "register": info.name,
        "title": info.title,
        "group": info.group,
        "encoding": encoding,
        "generic_name": None if reg is None else reg.generic_name,
    }


def _field_object(line: FieldLine) -> dict[str, Any]:
    return {
        "name": line.name,
        "parent": line.parent or None,
        "msb": line.msb,
        "lsb": line.lsb,
        "value": line.value,
        "meaning": line.meaning,
        "note": line.note or None,
    }


# The list ---------------------------------------------------------------------------------------------------------


def _list(pattern: str, as_object: bool) -> int:
    found = [info for info in map(register_info, register_names()) if _fits(info, pattern)]
    if not found:
        raise click.UsageError(f"no register fits {pattern!r}")
    if as_object:
        show(json.dumps([_identity(info) for info in found], indent=2))
        return 0
    coloured = colours(sys.stdout)
    lines = []
    for group in GROUPS:
        members = [info for info in found if info.group == group]
        if members:
            heading = group[:1].upper() + group[1:]
            lines += [event_style(heading, "heading") if coloured else heading, *_group_lines(members), ""]
    show("\n".join(lines[:-1]), coloured=coloured)
    return 0


def _fits(info: RegisterInfo, pattern: str) -> bool:
    wanted = pattern.upper()
    if any(sign in wanted for sign in "*?["):
        return fnmatch.fnmatchcase(info.name.upper(), wanted)
    return any(wanted in text.upper() for text in (info.name, info.title, info.group))


def _group_lines(infos: list[RegisterInfo]) -> list[str]:
    """One line for each register; a run of numbered registers shares one line."""
    rows: dict[str, list[RegisterInfo]] = {}
    for info in infos:
        run = _RUNS.fullmatch(info.name)
        rows.setdefault(info.name if run is None else f"{run[1]}#{run[3]}", []).append(info)
    cells = []
    for members in rows.values():
        first, last = members[0], members[-1]
        if first is last:
            cells.append((first.name, "" if first.encoding is None else first.encoding.generic_name, first.title))
        else:
            numbers = sorted(int(run[2]) for member in members if (run := _RUNS.fullmatch(member.name)))
            run = _RUNS.fullmatch(first.name)
            assert run is not None
            title = re.sub(rf"\b{run[2]}\b(?!.*\b{run[2]}\b)", "n", first.title)
            cells.append((f"{run[1]}<n>{run[3]}", f"n = {numbers[0]} to {numbers[-1]}", title))
    widths = [max(len(row[column]) for row in cells) for column in range(2)]
    return [
        f"{_INDENT}{name.ljust(widths[0])}  {code.ljust(widths[1])}  {title}".rstrip() for name, code, title in cells
    ]
