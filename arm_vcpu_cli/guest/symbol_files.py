"""Symbols from a separate file: a kernel's ``vmlinux``, ``System.map`` or ``/proc/kallsyms``.

An Image has none. The lists have one of the forms that nm(1) prints: address, optionally size (``nm -S``), type and
name, which may be demangled (``nm -C``), and for a loaded module its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.elf import ELF_MAGIC, read_elf_symbols
from arm_vcpu_cli.guest.files import read_file
from arm_vcpu_cli.guest.symbol import Symbol
from arm_vcpu_cli.guest.symbols import SymbolTable

_REST: Final = rb"([!-~][ -~\t]{0,4096})\r?\n?"
_LINE: Final = re.compile(
    rb"(?:[!-9;-~]{1,4096}:)?(?:0[xX])?([0-9A-Fa-f]{1,16}) (?:([0-9A-Fa-f]{16}) )?([A-Za-z?-]) " + _REST
)
"""``nm -A`` writes the file name first."""
_PORTABLE: Final = re.compile(
    rb"([!-~]{1,4096}) ([A-Za-z?-]) ([0-9A-Fa-f]{1,16})(?: ([0-9A-Fa-f]{1,16}))?[ \t]{0,256}\r?\n?"
)
"""``nm -P``."""
_NUMBER: Final = re.compile(rb"[0-9A-Fa-f]{1,17}")
_LEAST_DIGITS: Final = 8
"""Digits of an address; a name that consists of hexadecimal digits has fewer (``add``)."""
_UNDEFINED: Final = re.compile(rb"(?:[!-9;-~]{1,4096}:)? {1,64}[UwvN] " + _REST)
"""An undefined symbol, which nm(1) prints without an address."""
_PORTABLE_UNDEFINED: Final = re.compile(rb"[!-~]{1,4096} [UwvN][ \t]{0,256}\r?\n?")
_MODULE: Final = re.compile(rb"\s\[[!-~]{1,256}\]$")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_PLACEHOLDER: Final = (1 << 64) - 1
"""The address in the placeholder file that Debian installs instead of a System.map; a sentence follows it."""
_FOREIGN_FILES: Final = "arm_vcpu_cli.guest.foreign_files"
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
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        symbol = _symbol(line)
        if symbol is None and not _is_undefined(line):
            foreign = import_module(_FOREIGN_FILES).foreign_kind(data) if number == 1 else None
            if foreign is not None:
                raise GuestFileError(path, f"{foreign[0]}, expected a vmlinux or a System.map: {foreign[1]}", offset=0)
            message = f"line {number}: expected an address, a type and a name, as a System.map and nm have them"
            raise GuestFileError(path, message, offset=offset)
        if len(symbols) == _MAX_SYMBOLS:
            raise GuestFileError(path, f"more than {_MAX_SYMBOLS} symbols", offset=offset)
        if symbol is not None:
            symbols.append(symbol)
        offset = lines.tell()
    return symbols


def _is_undefined(line: bytes) -> bool:
    return bool(_UNDEFINED.fullmatch(line) or _PORTABLE_UNDEFINED.fullmatch(line))


def _symbol(line: bytes) -> Symbol | None:
    """Return the symbol on a line; None if the line has another form."""
    match = _LINE.fullmatch(line)
    portable = _PORTABLE.fullmatch(line) if match is None or len(match[1]) < _LEAST_DIGITS else None
    if portable is not None and (_NUMBER.fullmatch(portable[1]) is None or len(portable[3]) >= _LEAST_DIGITS):
        address, size, kind = int(portable[3], 16), int(portable[4] or b"0", 16), portable[2].decode()
        name = portable[1].decode()
    elif match is not None:
        address, size, kind = int(match[1], 16), int(match[2] or b"0", 16), match[3].decode()
        # After a tab follows the module (kallsyms) or the source line (nm -l). Demangled names contain spaces.
        name = _MODULE.sub(b"", match[4].partition(b"\t")[0]).strip().decode()
        if address == _PLACEHOLDER and " " in name:
            return None
    else:
        return None
    rank, is_place = _RANKS.get(kind, _OTHER_RANK), bool(address) and kind not in _ABSOLUTE
    return Symbol(name, address, size, rank=rank, is_place=is_place)
