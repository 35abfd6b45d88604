"""Finds the line number program of a unit: DW_AT_stmt_list of the first entry of a unit (DWARF 5, sections 7.5.1 to
7.5.6; versions 2 to 5).

This does not use a library because guests are hostile input: an abbreviation may have millions of attributes, and only
one number is needed. Data that is malformed, or larger than any compiler produces, raises one of ``MALFORMED``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.guest.line_programs import VERSIONS, Reader, open_unit

UNIT_BYTES: Final = 1 << 14
"""Bytes; more than the header and the first entry of a unit take."""
ABBREVIATION_BYTES: Final = 1 << 16
"""Bytes; more than the part up to the abbreviation of a unit's first entry takes."""
_STMT_LIST: Final = 0x10
_INDIRECT, _IMPLICIT_CONST = 0x16, 0x21
_STRING, _REF_ADDR = 0x08, 0x10
_UT_COMPILE, _UT_PARTIAL = 1, 3
_SIZES: Final[Mapping[int, int]] = MappingProxyType(
    {0x0B: 1, 0x05: 2, 0x06: 4, 0x07: 8, 0x1E: 16, 0x0C: 1, 0x19: 0, 0x21: 0}
    | {0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8, 0x1C: 4, 0x20: 8, 0x24: 8}
    | {first + n: n + 1 for first in (0x25, 0x29) for n in range(4)}
)
"""The sizes in bytes of the forms (DW_FORM_*) with a fixed size."""
_OFFSETS: Final = frozenset({0x0E, 0x17, 0x1D, 0x1F, 0x1F20, 0x1F21})
_NUMBERS: Final = frozenset({0x0D, 0x0F, 0x15, 0x1A, 0x1B, 0x22, 0x23})
_BLOCKS: Final[Mapping[int, int]] = MappingProxyType({0x0A: 1, 0x03: 2, 0x04: 4})
_LEB_BLOCKS: Final = frozenset({0x09, 0x18})
_ADDRESS: Final = 0x01
_MOST_ATTRIBUTES: Final = 256


def program_of_unit(unit: bytes, abbreviations: Callable[[int, int], bytes]) -> int | None:
    """Return the offset in .debug_line of the program of the unit at the start of ``unit``, None if it has none.

    ``unit`` may be cut after :data:`UNIT_BYTES`; ``abbreviations`` returns up to this many bytes of .debug_abbrev from
    an offset on.
    """
    reader, _, width = open_unit(unit, 0, cut=True)
    version = reader.unsigned(2)
    if version not in VERSIONS:
        raise ValueError(f"a unit of version {version}")
    kind, address_size = (reader.unsigned(1), reader.unsigned(1)) if version >= 5 else (_UT_COMPILE, 0)
    table = reader.unsigned(width)
    if version < 5:
        address_size = reader.unsigned(1)
    if kind not in (_UT_COMPILE, _UT_PARTIAL):
        raise ValueError(f"a unit of type {kind}")
    # In DWARF 2 a reference to another unit had the size of an address.
    sizes = {**_SIZES, **dict.fromkeys(_OFFSETS, width), _ADDRESS: address_size}
    sizes[_REF_ADDR] = width if version > 2 else address_size
    data = abbreviations(table, ABBREVIATION_BYTES)
    for attribute, form in _attributes(Reader(data, 0, len(data)), reader.uleb()):
        if attribute == _STMT_LIST:
            return reader.unsigned(sizes.get(form, width))
        _skip(reader, form, sizes)
    return None


def _attributes(reader: Reader, wanted: int) -> Iterator[tuple[int, int]]:
    """Yield (attribute, form) of the abbreviation with a code."""
    while code := reader.uleb():
        reader.uleb()  # tag
        reader.unsigned(1)  # whether there are children
        for _ in range(_MOST_ATTRIBUTES):
            attribute, form = reader.uleb(), reader.uleb()
            if form == _IMPLICIT_CONST:
                reader.uleb()
            if not attribute and not form:
                break
            if code == wanted:
                yield attribute, form
        else:
            raise ValueError(f"more than {_MOST_ATTRIBUTES} attributes")
        if code == wanted:
            return
    raise ValueError(f"no abbreviation {wanted}")


def _skip(reader: Reader, form: int, sizes: Mapping[int, int]) -> None:
    """Skip a value; ``sizes`` are those of the forms with a fixed size in this unit."""
    if form == _INDIRECT:
        form = reader.uleb()
    if form in sizes:
        reader.unsigned(sizes[form])
    elif form == _STRING:
        reader.string()
    elif form in _NUMBERS:
        reader.uleb()
    elif form in _BLOCKS:
        reader.unsigned(reader.unsigned(_BLOCKS[form]))
    elif form in _LEB_BLOCKS:
        reader.unsigned(reader.uleb())
    else:
        raise ValueError(f"form {form:#x}")
