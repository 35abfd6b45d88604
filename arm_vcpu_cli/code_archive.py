"""Keeps the compiled code of all modules that a command loads in one file for each command.

The interpreter keeps the compiled code of each module in a separate file. Finding, opening and reading two hundred of
them takes an eighth of the run time of a small guest. So a command leaves a copy of all of them in one file, and the
next one loads them from there. The interpreter's rules apply: code is valid only for a source file of the same time and
size, nothing is written where the interpreter may not write compiled code (PYTHONDONTWRITEBYTECODE, a read-only
folder), and an unusable archive counts as missing.
"""

from __future__ import annotations

import marshal
import os
import sys

# The C modules behind importlib.machinery and importlib.util, without the rest that those load.
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType
    from typing import Final

    Entry = tuple[str, str, bool, int, int, CodeType]
    """A module: the files of its source and of its compiled code, relative to the package's folder, whether it is a
    package, the time of the source in nanoseconds and its size, and its code."""

_HEADER: Final = 16
"""Size in bytes of the header of a file of compiled code: magic number, flags, time and size of the source (PEP 552).
"""
_WORD: Final = 0xFFFF_FFFF
_SECOND: Final = 1_000_000_000
"""One second in nanoseconds."""


class CodeArchive:
    """The modules of a package that one ``command`` loads, as a finder for ``sys.meta_path``.

    The archive is one marshalled object, (magic number of the interpreter, entries by module name), which holds strings
    shared by many modules once.
    """

    def __init__(self, package: ModuleType, command: str) -> None:
        self._prefix = f"{package.__name__}."
        self._root = package.__path__[0]
        self._entries: dict[str, Entry] = {}
        self._lacks = False
        """Whether the command imported a module that is not in the archive."""
        cached = None if package.__spec__ is None else package.__spec__.cached
        # The name identifies the interpreter and its optimisation level: __init__.cpython-311.pyc
        self._path = "" if cached is None else f"{cached.removesuffix('pyc')}{command}"
        if self._path:
            self._read()

    def _read(self) -> None:
        try:
            with open(self._path, "rb") as file:  # noqa: PTH123
                magic, entries = marshal.loads(file.read())
        except (OSError, ValueError, EOFError, TypeError):
            return
        if magic == MAGIC_NUMBER:
            self._entries = entries

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: object = None) -> ModuleSpec | None:
        """Find a module (PEP 451). Returns None unless its code is in the archive."""
        entry = self._entries.get(name)
        if entry is None or not self._is_current(entry):
            self._lacks = self._lacks or name.startswith(self._prefix)
            return None
        source, cached, is_package, _time, _size, code = entry
        path = f"{self._root}/{source}"
        spec = ModuleSpec(name, _Loader(name, path, code), origin=path, is_package=is_package)
        spec.cached = f"{self._root}/{cached}"
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(path.rpartition("/")[0])
        return spec

    def _is_current(self, entry: Entry) -> bool:
        try:
            found = os.stat(f"{self._root}/{entry[0]}")  # noqa: PTH116
        except OSError:
            return False
        return (found.st_mtime_ns, found.st_size) == entry[3:5]

    def renew(self) -> None:
        """Add the modules loaded since then, if the archive lacks any."""
        if not self._lacks or not self._path or sys.dont_write_bytecode:
            return
        names = [name for name in {*self._entries, *sys.modules} if name.startswith(self._prefix)]
        found = {name: self._compiled(name) for name in sorted(names)}
        data = marshal.dumps((MAGIC_NUMBER, {name: entry for name, entry in found.items() if entry is not None}))
        temporary = f"{self._path}.{os.getpid()}"
        try:
            with open(temporary, "xb") as file:  # noqa: PTH123
                file.write(data)
            os.replace(temporary, self._path)  # noqa: PTH105
        except OSError:
            _remove(temporary)

    def _compiled(self, name: str) -> Entry | None:
        """Return the archive's entry for a module, None if its compiled code is unknown."""
        entry = self._entries.get(name)
        if entry is not None and self._is_current(entry):
            return entry
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if spec is None or type(spec.loader) is not SourceFileLoader or not spec.origin or not spec.cached:
            return None
        try:
            found = os.stat(spec.origin)  # noqa: PTH116
            with open(spec.cached, "rb") as file:  # noqa: PTH123
                data = file.read()
        except OSError:
            return None
        words = [0, found.st_mtime_ns // _SECOND & _WORD, found.st_size & _WORD]
        if data[:_HEADER] != MAGIC_NUMBER + b"".join([word.to_bytes(4, "little") for word in words]):
            # The source has changed since, or the code is not validated by the time of the source.
            return None
        source, cached = (os.path.relpath(path, self._root) for path in (spec.origin, spec.cached))
        is_package = spec.submodule_search_locations is not None
        return source, cached, is_package, found.st_mtime_ns, found.st_size, marshal.loads(data[_HEADER:])


class _Loader(SourceFileLoader):
    """Loads a module whose code is known. Its source and the package's files stay where they are."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        self.name = name
        self.path = path
        self._code = code

    def get_code(self, _fullname: str) -> CodeType:
        return self._code


def _remove(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108
    except OSError:
        return
