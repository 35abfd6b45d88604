"""Surveys what the instructions of a guest need: features, Exception levels, calls, and the first use of each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.instructions.instruction_needs import ENCODINGS, SYSTEM, SystemUse, system_use
from arm_vcpu_cli.guest.code_scan import WORD, Match, Scanner
from arm_vcpu_cli.guest.elf_survey import CodePart
from arm_vcpu_cli.guest.symbols import SymbolTable

CURRENT_EL: Final = "CurrentEL"
EL2: Final = "EL2"
EL3: Final = "EL3"
_LEVELS: Final = {2: EL2, 3: EL3}
_READ: Final = 1 << 21  # L of MRS
_MOST_MATCHES: Final = 1 << 21
"""The most matching instructions examined; a kernel has some hundred thousand."""
_CHOSEN: Final = re.compile(
    r"__aarch64_(?:cas|swp|ldadd|ldclr|ldeor|ldset)\d.*|.*_(?:sve|sve2|a64fx|mops|mte|lse|crc32|pmull|sha\d*|ce)"
)
"""Functions called only if their feature is present: the outlined atomics of compilers (which check
__aarch64_have_lse_atomics) and the variants that a C library selects from."""


class Use(NamedTuple):
    """A need and its instructions: how many, the first by address, and how many are in functions selected at run time.

    ``is_certain`` is false if some of them may be data.
    """

    need: str
    total: int
    chosen: int
    mnemonic: str
    address: int
    place: str
    is_certain: bool = True


@dataclass(frozen=True)
class CodeSurvey:
    """The instructions of a guest.

    ``is_certain`` is false if data may have been mistaken for code. ``uses`` are in the order of their addresses,
    ``asks`` are the ID registers that the guest reads, and ``asks_level`` is whether it reads CurrentEL.
    """

    words: int = 0
    is_certain: bool = True
    uses: tuple[Use, ...] = ()
    asks: frozenset[str] = frozenset()
    asks_level: bool = False

    def use(self, need: str) -> Use | None:
        """Return the use of one need, None if there is none."""
        return next((each for each in self.uses if each.need == need), None)


@dataclass
class _Found:
    count: int = 0
    chosen: int = 0
    address: int = 1 << 64
    mnemonic: str = ""
    is_certain: bool = True

    def add(self, address: int, mnemonic: str, *, is_chosen: bool, is_certain: bool) -> None:
        self.count += 1
        self.is_certain &= is_certain
        self.chosen += is_chosen
        if address < self.address:
            self.address, self.mnemonic = address, mnemonic


@dataclass
class _Tally:
    symbols: SymbolTable
    is_certain: bool = True
    found: dict[str, _Found] = field(default_factory=dict)
    asks: set[str] = field(default_factory=set)
    asks_level: bool = False

    def take(self, match: Match, address: int) -> None:
        encoding = match.encoding
        if encoding.need != SYSTEM:
            self._add(encoding.need, address, encoding.mnemonic)
            return
        use = _system_use(match.word & ~0x1F)
        if use is None:
            return
        is_read = bool(match.word & _READ)
        if is_read and use.name.startswith("ID_AA64"):
            self.asks.add(use.name)
        self.asks_level |= use.name == CURRENT_EL
        text = f"{'mrs' if is_read else 'msr'} {use.name}" if " " not in use.name else use.name.lower()
        if use.level:
            self._add(_LEVELS[use.level], address, text)
        elif use.feature is not None:
            self._add(use.feature, address, text)

    def _add(self, need: str, address: int, mnemonic: str) -> None:
        inside = self.symbols.resolve(address)
        is_chosen = inside is not None and _CHOSEN.fullmatch(inside[0]) is not None
        self.found.setdefault(need, _Found()).add(address, mnemonic, is_chosen=is_chosen, is_certain=self.is_certain)


@lru_cache(maxsize=4096)
def _system_use(word: int) -> SystemUse | None:
    return system_use(word)


def survey_code(parts: Iterable[CodePart], symbols: SymbolTable) -> CodeSurvey:
    """Survey what the code in ``parts`` needs. It is certainly code only if all parts have mapping symbols."""
    tally = _Tally(symbols)
    scanner = Scanner(ENCODINGS)
    words, left = 0, _MOST_MATCHES
    is_certain = True
    for part in parts:
        tally.is_certain = bool(part.marks)
        is_certain &= tally.is_certain
        for match in scanner.scan(part.data):
            left -= 1
            if left < 0:
                # This code is artificial; report what was found so far.
                return _survey(tally, words + match.offset // WORD, is_certain=False)
            address = part.address + match.offset
            if part.is_code(address):
                tally.take(match, address)
        words += len(part.data) // WORD
    return _survey(tally, words, is_certain=is_certain)


def _survey(tally: _Tally, words: int, *, is_certain: bool) -> CodeSurvey:
    symbols = tally.symbols
    uses = [
        Use(need, each.count, each.chosen, each.mnemonic, each.address, _place(symbols, each.address), each.is_certain)
        for need, each in tally.found.items()
    ]
    uses.sort(key=lambda use: use.address)
    return CodeSurvey(words, is_certain, tuple(uses), frozenset(tally.asks), tally.asks_level)


def _place(symbols: SymbolTable, address: int) -> str:
    return symbols.format(address) or f"{address:#x}"
