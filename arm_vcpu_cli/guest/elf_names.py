"""Names numbers in an ELF file, for messages."""

from __future__ import annotations

from importlib import import_module


def elf_name(enumeration: str, number: int) -> str | None:
    """Return pyelftools' name of a number in one of its enumerations (``ENUM_E_MACHINE``); None if it has none."""
    # Few guest files are refused, and loading the library takes longer than running a small guest.
    names: dict[str, int] = vars(import_module("elftools.elf.enums"))[enumeration]
    return next((name for name, value in names.items() if value == number), None)
