"""The names of the numbers in an ELF file, for messages."""

from __future__ import annotations

from importlib import import_module


def elf_name(enumeration: str, number: int) -> str | None:
    """What pyelftools calls a number of one of its enumerations (``ENUM_E_MACHINE``); None where it has no name."""
    # Of guest files few are refused, and the library takes longer to load than a small guest to run.
    names: dict[str, int] = vars(import_module("elftools.elf.enums"))[enumeration]
    return next((name for name, value in names.items() if value == number), None)
