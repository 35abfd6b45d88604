"""The code around an address, disassembled by the optional package capstone if it is installed, else limited to the few
instructions decoded here."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from arm_vcpu_cli.arch.instructions.mnemonics import Instruction, spell
from arm_vcpu_cli.inspect.postmortem.memory_words import word_at
from arm_vcpu_cli.inspect.postmortem.screen import MARK
from arm_vcpu_cli.vm.machine import Machine

BEFORE: Final = 6
AFTER: Final = 4
"""Instructions shown before and after the one in question."""
_WORD: Final = 4
_GENERAL: Final = (*(f"x{number}" for number in range(31)), "sp")
_UNNAMED: Final = re.compile(r"^(?:=>|  ) 0x[0-9a-f]+  [0-9a-f]{8}(?:  \(.*)?$")
_ALIASES: Final = MappingProxyType({"fp": "x29", "lr": "x30", "wsp": "sp"})


class Disassembler:
    """Names instructions. ``is_there`` is false without the package; :meth:`decode` then knows only a few.

    The constructor looks for the package, so that a run without a report does not pay for it.
    """

    def __init__(self, package: str = "capstone") -> None:
        self._package: Any = None
        self._engine: Any = None
        try:
            self._package = importlib.import_module(package)
            self._engine = self._package.Cs(self._package.CS_ARCH_ARM64, self._package.CS_MODE_LITTLE_ENDIAN)
            self._engine.detail = True
        except (ImportError, AttributeError, OSError):
            # Not installed, of another version, or without its library.
            self._engine = None

    @property
    def is_there(self) -> bool:
        """Whether there is a disassembler."""
        return self._engine is not None

    def decode(self, word: int, address: int) -> Instruction | None:
        """The instruction ``word`` at ``address``; None where it is not known."""
        own = spell(word, address)
        if self._engine is None:
            return own
        found = next(iter(self._engine.disasm(word.to_bytes(_WORD, "little"), address)), None)
        if found is None:
            return None
        # The package does not list the registers read by some instructions, such as CMP.
        reads = own.reads if own is not None and own.reads else self._reads(found)
        return Instruction(f"{found.mnemonic:<7} {found.op_str}".rstrip(), reads, self._target(found))

    def _reads(self, found: Any) -> tuple[str, ...]:
        read, _ = found.regs_access()
        names = {_full_name(found.reg_name(register)) for register in read}
        return tuple(name for name in _GENERAL if name in names)

    def _target(self, found: Any) -> int | None:
        if not (found.group(self._package.CS_GRP_JUMP) or found.group(self._package.CS_GRP_CALL)):
            return None
        immediates = [operand.imm for operand in found.operands if operand.type == self._package.CS_OP_IMM]
        return int(immediates[-1]) if immediates else None


def _full_name(name: str) -> str:
    """``x29`` for ``fp``, ``x3`` for ``w3``, ``sp`` for ``wsp``; empty for any other register."""
    name = _ALIASES.get(name, name)
    name = f"x{name[1:]}" if name[:1] == "w" else name
    return name if name in _GENERAL else ""


def is_unnamed(line: str) -> bool:
    """Whether a line of code shows its word without text, or only the kind of instruction."""
    return _UNNAMED.search(line) is not None


def code_lines(
    machine: Machine,
    address: int,
    disassembler: Disassembler,
    *,
    values: Mapping[str, int] | None = None,
) -> Iterator[str]:
    """The instructions around ``address``, that one marked ``=>``, with source lines where they are known.

    ``values`` are the registers by name at the time of its execution; those that it reads are shown.
    """
    first = address - BEFORE * _WORD
    while first < address and any(word_at(machine, place) is None for place in range(first, address, _WORD)):
        first += _WORD
    resolved = machine.image.symbols.resolve(address)
    if resolved is not None and resolved[1] <= BEFORE * _WORD:
        # Omit the preceding function if this one begins here.
        first = max(first, address - resolved[1])
    while first < address and not word_at(machine, first):
        # Zeros before the code are no part of it.
        first += _WORD
    heading = ""
    if word_at(machine, address) is not None and machine.core.read_virtual(address, _WORD) is None:
        yield f"   (VA {address:#x} is not mapped; this is the code at IPA {address:#x})"
    for place in range(first, address + (AFTER + 1) * _WORD, _WORD):
        word = word_at(machine, place)
        if word is None and place == address:
            yield f"{MARK}{place:#x}  cannot be read"
        if word is None or (not word and place > address):
            break
        source = machine.image.source(place)
        if source and source != heading:
            heading = source
            yield f"   {source}:"
        found = disassembler.decode(word, place)
        line = f"{place:#x}  {word:08x}  {_text(machine, found)}".rstrip()
        if place != address:
            yield f"   {line}"
            continue
        used = _values(found, values)
        yield f"{MARK}{line}" + (f"    {used}" if used else "")


def _text(machine: Machine, found: Instruction | None) -> str:
    if found is None:
        return ""
    symbol = "" if found.target is None else machine.image.symbols.format(found.target)
    return f"{found.text} <{symbol}>" if symbol else found.text


def _values(found: Instruction | None, values: Mapping[str, int] | None) -> str:
    if found is None or values is None:
        return ""
    return " ".join(f"{name}={values[name]:#x}" for name in found.reads if name in values)
