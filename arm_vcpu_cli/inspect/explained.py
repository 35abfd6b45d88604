"""Explains register values by name, value or instruction word, as lines of text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Final

from arm_vcpu_cli.arch.explain.explanation import Explanation, FieldLine, explain, explain_layout
from arm_vcpu_cli.arch.explain.meanings import general_register
from arm_vcpu_cli.arch.explain.registers import RegisterInfo, full_name, register_info
from arm_vcpu_cli.arch.identification.midr import midr_name
from arm_vcpu_cli.arch.registers.sysreg import SystemMove, decode_system_move
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.inspect.register_values import ReadValue, read_value
from arm_vcpu_cli.record import Record, replace

Styled = Callable[[str, str], str]
"""Applies the style of a role to text."""
_OPCODE_BITS: Final = 32
_OPCODE: Final = re.compile(r"[0-9]|[0-9a-f]{8}\Z", re.IGNORECASE)
"""A word that is a number: no register name consists of hexadecimal digits only."""
_SEPARATOR: Final = re.compile(r"\s*=\s*|:(?:\s+|$)\s*")
"""Between a register and its value; a colon only with a space behind it."""
_REMARK: Final = re.compile(r"\s*\([^()]*\)?\s*$")
"""What a kernel says about a value behind it, in parentheses."""
_SYSTEM_INSTRUCTION: Final = 1
_DEVICE_REGISTERS: Final = "arm_vcpu_cli.inspect.device_registers"
_DEVICE_PREFIXES: Final = ("GICD_", "GICR_", "GICR[", "GICC_", "UART", "PL011.", "RTC", "PL031.")
_INDENT: Final = "  "


def plain(text: str, _role: str) -> str:
    """Return the text without a style."""
    return text


# Parsing the words ----------------------------------------------------------------------------------------------


class Explained(Record):
    """The meaning of a word. ``move`` is the instruction that it encodes; ``note`` says how its number was read."""

    explanation: Explanation
    move: SystemMove | None = None
    note: str = ""


def explain_word(word: str, *, e2h: bool = False) -> Explained:
    """Explain ``REG``, ``REG=VALUE`` or an instruction word. Raises :class:`UsageError`."""
    name, has_value, number = word.partition("=")
    try:
        if not has_value and _OPCODE.match(name):
            return _explain_opcode(word, e2h=e2h)
        written = name.strip()
        if not written:
            raise UsageError(f"{word!r}: expected a register, REG=VALUE, or the word of an instruction")
        full = full_name(written)
        device = import_module(_DEVICE_REGISTERS).device_register(written) if _of_device(full) else None
        if device is not None:
            value = read_value(number, word) if has_value else None
            found = Explained(device.explanation(None if value is None else value.value))
            return found if value is None else replace(found, note=value.note)
        info = register_info(full)
        found = _explain_value(info, read_value(number, word), e2h=e2h) if has_value else _layout(info, e2h=e2h)
        if full == written:
            return found
        return replace(found, note=" ".join(filter(None, (f"{written} is taken as {full}.", found.note))))
    except KeyError as error:
        raise UsageError(str(error.args[0])) from error
    except ValueError as error:
        raise UsageError(str(error)) from error


def _of_device(name: str) -> bool:
    return name.upper().removeprefix("GICV2.").removeprefix("GICV3.").startswith(_DEVICE_PREFIXES)


def separate_words(arguments: Iterable[str]) -> list[str]:
    """The form that :func:`explain_word` accepts, from text pasted out of logs of kernels and debuggers."""
    words: list[str] = []
    in_remark = False
    for argument in arguments:
        in_remark = in_remark or argument.startswith("(")
        if in_remark:
            in_remark = not argument.endswith(")")
            continue
        word = _SEPARATOR.sub("=", _REMARK.sub("", argument))
        if words and (word.startswith("=") or words[-1].endswith("=") or _is_value(words[-1], word)):
            words[-1] += word if "=" in (word[:1], words[-1][-1]) else f"={word}"
        else:
            name, *rest = word.split() or [word]
            if words and not rest and _same_value(words[-1], name):
                continue
            pair = f"{name}={rest[0]}" if rest and _is_value(name, rest[0]) else word
            is_whole = not rest[1:] or (len(rest) == 2 and _same_value(pair, rest[1]))
            words.append(pair if is_whole else word)
    return words


def _same_value(pair: str, word: str) -> bool:
    """Whether ``word`` repeats the value of ``REG=VALUE`` in decimal: gdb prints both."""
    _, has_value, value = pair.partition("=")
    try:
        return bool(has_value) and word.isdecimal() and int(word) == int(value, 16) and value[:2].lower() == "0x"
    except ValueError:
        return False


def _is_value(register: str, word: str) -> bool:
    """Whether ``word`` is the value of the register before it, rather than an instruction."""
    if "=" in register + word or _OPCODE.match(register) or not _OPCODE.match(word):
        return False
    try:
        number = read_value(word, word).value
    except ValueError:
        return False
    return bool(number >> _OPCODE_BITS) or decode_system_move(number) is None


def _layout(info: RegisterInfo, *, e2h: bool) -> Explained:
    return Explained(explain_layout(info, e2h=e2h))


def _explain_value(info: RegisterInfo, read: ReadValue, *, e2h: bool) -> Explained:
    """Explain a value of a register. If only the other base gives a value that the register can have, that one is
    used."""
    found = explain(info, read.value, e2h=e2h)
    if read.other is not None and found.warnings and not read.other >> info.width:
        turned = explain(info, read.other, e2h=e2h)
        if not turned.warnings:
            return Explained(turned, note=read.turned().note)
    return Explained(found, note=read.note)


def _explain_opcode(word: str, *, e2h: bool) -> Explained:
    read = read_value(word, word)
    if read.value >> _OPCODE_BITS:
        raise UsageError(f"{word}: an instruction has {_OPCODE_BITS} bits; a value needs its register: REG={word}")
    move = decode_system_move(read.value)
    if move is None:
        raise UsageError(f"{word} is no MRS, MSR, SYS or SYSL instruction; a value needs its register: REG={word}")
    reg = move.reg
    if reg.op0 == _SYSTEM_INSTRUCTION:
        info = RegisterInfo(reg.name, reg, None, "System instruction", "other", "DDI 0487, C5", None, reg.name)
        return Explained(Explanation(info, None, (), (), ()), move, read.note)
    return Explained(explain_layout(register_info(reg.name), e2h=e2h), move, read.note)


def assembly(move: SystemMove) -> str:
    """Return an instruction that moves a system register in assembler syntax."""
    register, name = general_register(move.rt), move.reg.name
    if move.reg.op0 != _SYSTEM_INSTRUCTION:
        return f"MRS {register}, {name}" if move.is_read else f"MSR {name}, {register}"
    if name == move.reg.generic_name:
        operation = f"#{move.reg.op1}, C{move.reg.crn}, C{move.reg.crm}, #{move.reg.op2}"
        return f"SYSL {register}, {operation}" if move.is_read else f"SYS {operation}, {register}"
    return f"{name}, {register}"


# Text -------------------------------------------------------------------------------------------------------------


def explained_lines(word: Explained, *, brief: bool = False, styled: Styled = plain) -> Iterator[str]:
    """Yield an explanation with its fields in a table; ``brief`` leaves out those that are 0."""
    found, move = word.explanation, word.move
    info = found.info
    if move is not None:
        yield styled(assembly(move), "heading")
    heading = info.name if found.value is None else f"{info.name} = {found.value:#x}"
    yield f"{styled(heading, 'heading')}  {info.title}"
    yield f"{_encoding(info)}{info.section}"
    if info.reset is not None:
        yield f"Reset: {info.reset.text}."
    if word.note:
        yield f"Note: {word.note}"
    for warning in found.warnings:
        yield styled(f"Warning: {warning}", "fault")
    shown = [line for line in found.fields if line.value or not brief or found.value is None]
    if shown:
        yield ""
        yield from _table(shown, "Reset" if found.value is None else "Value", styled=styled)
    elif info.layout is None and move is None and info.encoding is not None:
        yield "Its fields are implementation defined, or unknown to armvcpu."
    facts = explained_facts(found)
    if facts:
        yield ""
        yield from facts


def _encoding(info: RegisterInfo) -> str:
    reg = info.encoding
    if reg is None:
        return ""
    fields = f"op0={reg.op0} op1={reg.op1} CRn={reg.crn} CRm={reg.crm} op2={reg.op2}"
    return f"{reg.generic_name}  {fields}  "


def explained_facts(found: Explanation) -> tuple[str, ...]:
    """Return the conclusions from a value."""
    if found.value is not None and found.info.own_name in ("MIDR_EL1", "VPIDR_EL2"):
        return (f"{midr_name(found.value & 0xFFFFFFFF)}.", *found.facts)
    return found.facts


def _table(fields: Iterable[FieldLine], value_heading: str, *, styled: Styled) -> Iterator[str]:
    rows = [(line, _cells(line)) for line in fields]
    heading = ("Bits", "Field", value_heading, "Meaning")
    widths = [max(len(heading[column]), *(len(cells[column]) for _, cells in rows)) for column in range(3)]
    yield styled(_row(heading, widths), "heading")
    parent = ""
    for line, cells in rows:
        if line.parent != parent:
            parent = line.parent
            yield f"{parent}:"
        yield styled(_row(cells, widths), "changed" if line.note else "place" if line.value else "faint")


def _cells(line: FieldLine) -> tuple[str, str, str, str]:
    indent = _INDENT if line.parent else ""
    words = f"{line.meaning} ({line.note})" if line.meaning and line.note else line.meaning or line.note
    return f"{indent}{line.bits}", f"{indent}{line.name}", line.number, words


def _row(cells: tuple[str, str, str, str], widths: list[int]) -> str:
    padded = "  ".join(cell.ljust(width) for cell, width in zip(cells[:3], widths, strict=True))
    return f"{padded}  {cells[3]}".rstrip()
