"""``armvcpu explain``."""

from __future__ import annotations

import fnmatch
import json
import re
import sys
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from arm_vcpu_cli.arch.explain.explanation import FieldLine
from arm_vcpu_cli.arch.explain.registers import GROUPS, RegisterInfo, register_info, register_names
from arm_vcpu_cli.cli.output import show
from arm_vcpu_cli.cli.style import colours, event_style
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.inspect.explained import (
    Explained,
    assembly,
    explain_word,
    explained_facts,
    explained_lines,
    plain,
    separate_words,
)

_EVERYTHING: Final = "*"
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
    help="List the known registers, or those whose name, title or group matches PATTERN (`ICH_*`, `timer`).",
)
@click.option("--brief", is_flag=True, help="Leave out fields that are zero.")
@click.option("--e2h", is_flag=True, help="Decode EL2 registers as with HCR_EL2.E2H = 1.")
@click.option("--json", "as_object", is_flag=True, help="Print one JSON array.")
def command(words: tuple[str, ...], pattern: str | None, brief: bool, e2h: bool, as_object: bool) -> int:
    """Explain register values without a guest: every field with its meaning, and conclusions from the value.

    REG is a name in either case (hcr_el2, PSTATE, ICC_SGI1R_EL1) or a generic one (S3_4_C1_C1_0); VALUE is hexadecimal
    (0x), binary (0b), octal (0o) or decimal (0d, or no prefix), with underscores where you like. Digits without a
    prefix are hexadecimal if they have letters or a leading 0, or if there are 8 or 16 of them, as in a kernel's log. A
    syndrome (ESR_ELx) is decoded by its exception class. REG alone shows the layout and the values after reset. OPCODE
    is the word of an MRS, MSR, SYS or SYSL. What kernels and debuggers print is understood: a name without its level
    ('ESR = 0x96000045'), a colon or a space for the equals sign ('pstate: 60400005'). Registers of the GIC, the PL011
    and the PL031 have the names of their manuals (GICD_CTLR, GICv2.GICD_CTLR, UARTFR). Without arguments the known
    system registers are listed.

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
    found = [_explain(word, e2h=e2h) for word in separate_words(words)]
    if as_object:
        show(json.dumps([_object(each) for each in found], indent=2))
        return 0
    coloured = colours(sys.stdout)
    styled = event_style if coloured else plain
    texts = ["\n".join(explained_lines(each, brief=brief, styled=styled)) for each in found]
    show("\n\n".join(texts), coloured=coloured)
    return 0


def _explain(word: str, *, e2h: bool) -> Explained:
    try:
        return explain_word(word, e2h=e2h)
    except UsageError as error:
        raise click.UsageError(str(error)) from error


# JSON -------------------------------------------------------------------------------------------------------------


def _object(word: Explained) -> dict[str, Any]:
    found, move = word.explanation, word.move
    info = found.info
    return {
        **({} if move is None else {"instruction": assembly(move)}),
        **_identity(info),
        "section": info.section,
        "width": info.width,
        "reset": None if info.reset is None else {"text": info.reset.text, "fields": dict(info.reset.known)},
        "value": None if found.value is None else hex(found.value),
        "fields": [_field_object(line) for line in found.fields],
        "note": word.note or None,
        "warnings": list(found.warnings),
        "facts": list(explained_facts(found)),
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
        raise click.UsageError(f"no register matches {pattern!r}")
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
