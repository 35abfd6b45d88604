"""Symbols from a separate file: a kernel's ``vmlinux``, ``System.map`` or ``/proc/kallsyms``.

An Image has none. The lists have nm(1)'s format: address, perhaps size (``nm -S``), type and name, and for a loaded
module its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.elf import ELF_MAGIC, read_elf_symbols
from arm_vcpu_cli.guest.files import read_file
from arm_vcpu_cli.guest.symbol import Symbol
from arm_vcpu_cli.guest.symbols import SymbolTable

_NAME: Final = rb"([!-~]{1,4096})(?:[ \t]{1,256}\[[!-~]{1,256}\])?[ \t]{0,256}\r?\n?"
_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16}) (?:([0-9A-Fa-f]{16}) )?([A-Za-z?-]) " + _NAME)
_UNDEFINED: Final = re.compile(rb" {1,64}[UwvN] " + _NAME)
"""nm(1)'s line for an undefined symbol: without an address."""
_MAX_LINE: Final = 8192
"""Bytes of a line that are read; valid lines are shorter."""
_MAX_SYMBOLS: Final = 1 << 20

# The order of preference for the names of one address: functions, weak ones, data; capitals are global.
_RANKS: Final[Mapping[str, int]] = MappingProxyType(
    {letter: rank for rank, letters in enumerate(("T", "W", "t", "w", "VDBR", "vdbr")) for letter in letters}
)
_OTHER_RANK: Final = 6
_ABSOLUTE: Final = "Aa"


def load_symbols(path: Path) -> SymbolTable:
    """Return the symbols of an ELF file, or of a list in nm(1)'s format, at their virtual addresses.

    Raises GuestFileError if there are none.
    """
    data = read_file(path, "a vmlinux or System.map")
    if data.startswith(ELF_MAGIC):
        table = read_elf_symbols(path, data)
    else:
        listed = _listed(path, data)
        if len(listed) > 1 and not any(symbol.address for symbol in listed):
            message = "all addresses in it are zero, as kernel.kptr_restrict shows them: copy /proc/kallsyms as root"
            raise GuestFileError(path, message)
        table = SymbolTable(listed)
    if not len(table):
        raise GuestFileError(path, "no symbols in it, expected a vmlinux with symbols, or a System.map")
    return table


def _listed(path: Path, data: bytes) -> list[Symbol]:
    symbols: list[Symbol] = []
    offset = 0
    # One line at a time, and no more of it than a valid one can have: most refused files are not lists at all. The
    # bytes are shared rather than copied.
    lines = BytesIO(data)
    for number, line in enumerate(iter(lambda: lines.readline(_MAX_LINE), b""), 1):
        match = _LINE.fullmatch(line)
        if match is None and _UNDEFINED.fullmatch(line) is not None:
            offset += len(line)
            continue
        if match is None:
            message = f"line {number}: expected an address, a type and a name, as a System.map has them"
            raise GuestFileError(path, message, offset=offset)
        if len(symbols) == _MAX_SYMBOLS:
            raise GuestFileError(path, f"more than {_MAX_SYMBOLS} symbols", offset=offset)
        address, size, kind, name = int(match[1], 16), int(match[2] or b"0", 16), match[3].decode(), match[4].decode()
        rank, is_place = _RANKS.get(kind, _OTHER_RANK), bool(address) and kind not in _ABSOLUTE
        symbols.append(Symbol(name, address, size, rank=rank, is_place=is_place))
        offset += len(line)
    return symbols
