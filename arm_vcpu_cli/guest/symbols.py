"""The symbols of a guest image: names for addresses in reports and traces."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable
from functools import cached_property
from importlib import import_module
from typing import Final, NamedTuple

from arm_vcpu_cli.guest.lines import SourceLines

# Limits the walk from a symbol to the enclosing ones; real nesting is a few levels deep, that of a hostile file is not.
_MAX_NESTING: Final = 64
_CLOSE_NAMES: Final = "arm_vcpu_cli.guest.close_names"


class Symbol(NamedTuple):
    """One symbol; ``address`` is as linked, ``size`` in bytes and 0 if the file does not state it.

    ``limit`` is the end of the section that holds it, up to which a symbol without a size may reach; None if unknown.
    ``rank`` orders the names of one address; the lowest is shown. ``is_place`` is false for an absolute value, which
    can be looked up but is not a place in the image.
    """

    name: str
    address: int
    size: int = 0
    limit: int | None = None
    rank: int = 0
    is_place: bool = True


def is_mapping_symbol(name: str) -> bool:
    """Return whether ``name`` marks the start of code or data and names nothing: ``$x``, ``$d``, ``$x.42``.

    See IHI 0056, section "Mapping symbols".
    """
    return name[:2] in ("$x", "$d") and (len(name) == 2 or name[2] == ".")


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
    def _index(self) -> _Index:
        # Most runs never need a name, and a kernel has a hundred thousand.
        index = _Index(self._symbols, self._bias)
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


class _Index:
    """The symbols in order, place by place: start, end, name, and the enclosing place ``around`` it."""

    def __init__(self, symbols: Iterable[Symbol], bias: int) -> None:
        named = [symbol for symbol in symbols if symbol.name and not is_mapping_symbol(symbol.name)]
        named.sort(key=lambda symbol: (symbol.address, symbol.rank, symbol.size == 0, symbol.name))
        self.by_name: dict[str, int] = {}
        for symbol in sorted(named, key=lambda symbol: symbol.rank):
            moved = bias if symbol.is_place else 0
            self.by_name.setdefault(symbol.name, symbol.address + moved)
        places: list[Symbol] = []
        for symbol in named:
            if symbol.is_place and (not places or places[-1].address != symbol.address):
                places.append(symbol)
        self.starts = [symbol.address + bias for symbol in places]
        self.names = [symbol.name for symbol in places]
        self.ends = [end + bias for end in _ends(places)]
        self.around = _enclosing(self.starts, self.ends)


def _ends(places: list[Symbol]) -> list[int]:
    """Return the end of each symbol; one without a size reaches to the next symbol or the end of its section."""
    ends = []
    for index, symbol in enumerate(places):
        if symbol.size:
            end = symbol.address + symbol.size
            inside = symbol.limit is not None and symbol.address < symbol.limit
            ends.append(min(end, symbol.limit) if inside and symbol.limit is not None else end)
            continue
        bounds = [places[index + 1].address] if index + 1 < len(places) else []
        if symbol.limit is not None:
            bounds.append(symbol.limit)
        ends.append(max(symbol.address + 1, min(bounds)) if bounds else symbol.address + 1)
    return ends


def _enclosing(starts: list[int], ends: list[int]) -> list[int]:
    """Return for each symbol the index of the closest earlier one that still holds its start, or -1."""
    around = []
    open_symbols: list[int] = []
    for index, start in enumerate(starts):
        while open_symbols and ends[open_symbols[-1]] <= start:
            open_symbols.pop()
        around.append(open_symbols[-1] if open_symbols else -1)
        open_symbols.append(index)
    return around
