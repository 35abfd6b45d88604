"""Finds the source lines of an ELF file's instructions, from its DWARF line tables (DWARF 5, sections 6.1 and 6.2).

Only reports and traces use them: if the debug information is missing, damaged or too large there is no line, and never
an error. Nothing is read before the first query, and only the necessary parts of a large file.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, Final

from arm_vcpu_cli.file_paths import FilePath

_TABLES: Final = "arm_vcpu_cli.guest.line_tables"


class SourceLines:
    """Finds ``file:line`` for addresses of the ELF file at ``path``, which was loaded ``bias`` above its addresses.

    The file is read at the first query, unless it has changed since this object was created.
    """

    def __init__(self, path: FilePath, bias: int = 0) -> None:
        self._path = path
        self._bias = bias
        self._stamp = _stamp(path)
        self._tables: Any = None
        self._is_read = False

    def find(self, address: int) -> str:
        """Return ``main.c:42`` for a virtual address, with the file as the debug information names it; else an empty
        string."""
        if not self._is_read:
            self._is_read = True
            self._tables = self._read()
        linked = address - self._bias
        return "" if self._tables is None or linked < 0 else str(self._tables.find(linked))

    def _read(self) -> Any:
        if self._stamp is None or _stamp(self._path) != self._stamp:
            return None
        # Most runs never need a line.
        tables = import_module(_TABLES)
        try:
            return tables.LineTables(self._piece, self._stamp[1])
        except tables.BROKEN:
            return None

    def _piece(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes of the file. Raises OSError, also if it has changed since."""
        with open(self._path, "rb") as file:  # noqa: PTH123
            if _stamp(self._path) != self._stamp:
                raise OSError(f"{self._path} has changed")
            file.seek(offset)
            return file.read(size)


def _stamp(path: FilePath) -> tuple[int, int, int] | None:
    """Return a value that changes when the file does; None if there is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
