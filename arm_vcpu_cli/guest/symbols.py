"""The symbols of a guest image: names for addresses in reports and traces."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.guest.lines import SourceLines

if TYPE_CHECKING:
    from arm_vcpu_cli.guest.symbol import Symbol
    from arm_vcpu_cli.guest.symbol_index import SymbolIndex

_INDEX: Final = "arm_vcpu_cli.guest.symbol_index"
# Limits the walk from a symbol to the enclosing ones; real nesting is a few levels deep, that of a hostile file is not.
_MAX_NESTING: Final = 64
_CLOSE_NAMES: Final = "arm_vcpu_cli.guest.close_names"


class SymbolTable:
    """Symbols by address and by name. Addresses are virtual, as linked plus ``bias``.

    The first query iterates over ``symbols``. ``lines`` has the source lines of the file that the symbols come from, if
    it has any.
    """

    def __init__(self, symbols: Iterable[Symbol] = (), *, bias: int = 0, lines: SourceLines | None = None) -> None:
        self._lines = lines
        self._symbols = symbols
        self._bias = bias

    @cached_property
    def _index(self) -> SymbolIndex:
        index: SymbolIndex = import_module(_INDEX).SymbolIndex(self._symbols, self._bias)
        self._symbols = ()
        return index

    def __len__(self) -> int:
        """The number of addresses that have a name."""
        return len(self._index.starts)

    def resolve(self, address: int) -> tuple[str, int] | None:
        """Return the innermost symbol that holds ``address``, and the offset in it; None if there is none."""
        known = self._index
        index = bisect_right(known.starts, address) - 1
        for _ in range(_MAX_NESTING):
            if index < 0:
                return None
            if address < known.ends[index]:
                return known.names[index], address - known.starts[index]
            index = known.around[index]
        return None

    def format(self, address: int) -> str:
        """Return ``main``, ``main+0x10``, or an empty string if no symbol holds the address."""
        found = self.resolve(address)
        if found is None:
            return ""
        name, offset = found
        return f"{name}+{offset:#x}" if offset else name

    def source(self, address: int) -> str:
        """Return ``main.c:42``, or an empty string if the debug information does not cover it. The first query reads
        the file."""
        return "" if self._lines is None else self._lines.find(address)

    def lookup(self, name: str) -> int | None:
        """Return the address of the symbol ``name``; None if there is none."""
        return self._index.by_name.get(name)

    def extent(self, name: str) -> tuple[int, int] | None:
        """Return the start and the exclusive end of the symbol ``name``; None if there is none."""
        known = self._index
        start = known.by_name.get(name)
        if start is None:
            return None
        index = bisect_right(known.starts, start) - 1
        end = known.ends[index] if index >= 0 and known.starts[index] == start else start + 1
        return start, max(end, start + 1)

    def names(self) -> Collection[str]:
        """Return all names."""
        return self._index.by_name.keys()

    def close_names(self, name: str) -> list[str]:
        """Return up to three names like ``name``."""
        # Only needed for a misspelt name.
        found: list[str] = import_module(_CLOSE_NAMES).close_names(self._index.by_name, name)
        return found
