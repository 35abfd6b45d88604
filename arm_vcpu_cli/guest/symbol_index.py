"""A sorted index of symbols that finds the one containing an address. It is built on demand: a kernel has 100,000
symbols."""

from __future__ import annotations

from collections.abc import Iterable

from arm_vcpu_cli.guest.symbol import Symbol, is_mapping_symbol


class SymbolIndex:
    """The symbols in order, place by place: where each begins and ends, its name, and the place ``around`` it."""

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
    """Where each symbol ends; one without a size reaches to the next symbol or the end of its section."""
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
    """For each symbol the index of the closest earlier one that still holds its start, or -1."""
    around = []
    open_symbols: list[int] = []
    for index, start in enumerate(starts):
        while open_symbols and ends[open_symbols[-1]] <= start:
            open_symbols.pop()
        around.append(open_symbols[-1] if open_symbols else -1)
        open_symbols.append(index)
    return around
