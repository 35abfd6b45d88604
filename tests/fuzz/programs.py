"""Random words and programs on armvcpu and on QEMU: registers, flags, exceptions and memory must be the same.

    python -m tests.fuzz.programs --count 20000 --seed 7
    python -m tests.fuzz.programs --model max --seed 7 --only 412

First words of all groups but branches are executed one by one, then programs of those that took no exception.
"""

from __future__ import annotations

import argparse
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random
from typing import Final

from arm_vcpu_cli.arch.syndrome.esr import undefined_esr
from arm_vcpu_cli.arm_vcpu.id_registers import guest_id_registers
from tests.engine.harness import EL0T, EL1H, MASKED, RAM, RAM_SIZE
from tests.engine.stage1 import SCTLR_MMU_ON, USER
from tests.fuzz.instructions import BASES, GROUPS, OFFSET, word_of
from tests.fuzz.qemu.cases import Case, Result
from tests.fuzz.qemu.first import FirstOpinion
from tests.fuzz.qemu.option import say_outcomes
from tests.fuzz.qemu.rules import ASSERTION, RULES, Excuses
from tests.fuzz.qemu.second import SecondOpinion, find, version

MODELS: Final = ("cortex-a53", "cortex-a57", "cortex-a72", "max")
_CODE: Final = RAM + 0x8_0000
_CODE_SIZE: Final = 0x10_0000
_WINDOW: Final = RAM + (1 << 21)
_WINDOW_SIZE: Final = 0x1_0000
_BASE: Final = _WINDOW + _WINDOW_SIZE // 2
_VECTORS: Final = RAM + 0x7_0000
_WFI: Final = 0xD503_207F
"""Ends a program at either Exception level, whatever is in registers."""
LONGEST: Final = 24
_BATCH: Final = 4000
_PREDICATES: Final = 16
_SETFFR, _RDFFR = 0x252C_9000, 0x2519_F000
_LDR_P, _STR_P, _ADRP = 0x8580_0000, 0xE580_0000, 0x9000_0000
_BEFORE, _AFTER = _PREDICATES + 1, _PREDICATES + 3
_ROOM: Final = 4 * (LONGEST + 4 + _BEFORE + _AFTER)
assert not _ROOM % 8
_SVE: Final = "sve"
_SCTLR: Final = SCTLR_MMU_ON | 1 << 26 | 1 << 15 | 1 << 14 | 1 << 9
"""With UCI, UCT, DZE and UMA."""
_KEYS: Final = 1 << 31 | 1 << 30 | 1 << 27 | 1 << 13
_FPCR: Final = (0, 1 << 22, 2 << 22, 3 << 22, 1 << 24, 1 << 25, 1 << 26, 1 << 19)
_COMPARED: Final = (
    *("ESR_EL1", "FAR_EL1", "ELR_EL1", "SPSR_EL1", "SP_EL0", "SP_EL1", "FPCR", "FPSR", "TPIDR_EL0", "ELR_EL2"),
    "SPSR_EL2",
)
_NOT_FLAGS: Final = (1 << 28) - 1
_INTERESTING: Final = (
    *(0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, (1 << 63) - 1, 1 << 63),
    *((1 << 64) - 1, 0x3C00, 0x7C00, 0x7C01, 0x7E00, 0xFC00, 0x0001, 0x03FF, 0x0400, 0x7BFF, 0x3F80_0000, 0x7F80_0000),
    *(0x7F80_0001, 0x7FC0_0000, 0x0080_0000, 0x007F_FFFF, 0x7F7F_FFFF, 0x3FF0_0000_0000_0000, 0x7FF0_0000_0000_0000),
    *(0x7FF0_0000_0000_0001, 0x7FF8_0000_0000_0000, 0x0010_0000_0000_0000, 0x000F_FFFF_FFFF_FFFF),
    *(0x7FEF_FFFF_FFFF_FFFF, 0x41E0_0000_0000_0000, 0x43E0_0000_0000_0000, 0x4F00_0000, 0x5F00_0000),
)


@dataclass(frozen=True)
class Finding:
    """A program that does not do the same on both."""

    model: str
    seed: int
    number: int
    words: tuple[int, ...]
    el: int
    what: str

    def __str__(self) -> str:
        words = " ".join(f"{word:#010x}" for word in self.words)
        return f"{self.model}, seed {self.seed}, program {self.number}, EL{self.el}: {self.what}\n  {words}"


def value(random: Random) -> int:
    """A number for a register: at random, small, or close to where something ends."""
    kind = random.randrange(6)
    if kind < 2:
        return random.getrandbits(64)
    if kind == 2:
        return random.getrandbits(random.choice((4, 6, 8, 16, 32, 33)))
    if kind == 3:
        return random.choice(_INTERESTING)
    size = random.choice((16, 32, 32, 64))
    parts = [random.choice(_INTERESTING) ^ (random.getrandbits(1) << size - 1) for _ in range(64 // size)]
    if kind == 5:
        parts = [part ^ random.choice((0, 1, 0, random.getrandbits(size))) for part in parts]
    return sum((part & (1 << size) - 1) << n * size for n, part in enumerate(parts))


class Lab:
    """Both sides of a model."""

    def __init__(self, model: str, seed: int, *, sve: bool = False) -> None:
        self.model, self.seed, self._sve = model, seed, sve
        content = Random(f"{seed} content").randbytes(_WINDOW_SIZE)
        self.first = FirstOpinion(model, (_WINDOW, content))
        guest = self.first.guest
        self.first.tables.map(_WINDOW, _WINDOW, 2, USER)
        self._roots = self.first.tables.roots
        self._launch = guest.label("launch")
        if sve:
            guest["ZCR_EL1"] = 0
        guest.write(_VECTORS, struct.pack("<I", _WFI) * (0x800 // 4))
        self.second = SecondOpinion(model, [(RAM, RAM_SIZE)], self.first.contents, window=(_WINDOW, content))
        self.first.prepare()
        self._excuses = Excuses(guest_id_registers(guest.core))
        self.outcomes: Counter[str] = Counter()

    def close(self) -> None:
        """End it."""
        self.first.close()

    def case(self, number: int, words: Sequence[int]) -> Case:
        """Where a program starts from."""
        random = Random(f"{self.seed} {number}")
        place = _CODE + number % (_CODE_SIZE // _ROOM) * _ROOM
        code = [*words]
        if self._sve:
            code = [*_loaded_predicates(), *code]
            code += _stored_predicates(place + 4 * len(code))
        code += [_WFI] * (_ROOM // 4 - len(code))
        x = [value(random) for _ in range(31)]
        for base in BASES:
            x[base] = _BASE + random.choice((0, 0, 0, 16, 8, random.randrange(64)))
        x[OFFSET] = random.choice((0, 8, 16, 64, -16)) & (1 << 64) - 1
        el = number & 1
        sysregs = {
            "SCTLR_EL1": _SCTLR | random.choice((0, _KEYS)),
            "TCR_EL1": self.first.tables.tcr,
            "TTBR0_EL1": self._roots[0],
            "TTBR1_EL1": self._roots[1],
            "MAIR_EL1": 0xFF,
            "VBAR_EL1": _VECTORS,
            "CPACR_EL1": 3 << 20 | self._sve * 3 << 16,
            "ELR_EL1": place,
            "SPSR_EL1": MASKED | (EL1H if el else EL0T) | random.getrandbits(4) << 28,
            "SP_EL0": _BASE + 0x80,
            "SP_EL1": _BASE + 0x40,
            "PC": self._launch,
            "PSTATE": MASKED | EL1H,
            "FPCR": random.choice((0, random.choice(_FPCR) | random.choice(_FPCR))),
            "FPSR": random.choice((0, 0, 0x0800_009F)),
        }
        v = [value(random) for _ in range(64)]
        return Case(sysregs, x, v, [(place, struct.pack(f"<{len(code)}I", *code))])

    def compare(self, programs: Sequence[tuple[int, Sequence[int]]]) -> Iterator[tuple[int, Sequence[int], str, bool]]:
        """(number, words, what differs, whether it ran to its end) of each program."""
        batch = [self.case(number, words) for number, words in programs]
        theirs = self.second.run(batch)
        for (number, words), case, there in zip(programs, batch, theirs, strict=True):
            if there is None:
                self.outcomes[ASSERTION] += 1
                continue
            here, place = self.first.execute(case), case.sysregs["ELR_EL1"] + 4 * _BEFORE * self._sve
            what = difference(here, there)
            rule = self._excuses.of(words, place, here, there) if what else None
            if rule is not None:
                self.outcomes[rule] += 1
                continue
            complete = there.sysregs["ELR_EL2"] == place + 4 * (len(words) + _AFTER * self._sve)
            outcome = "differ" if what else "executed" if complete else _exception(there.sysregs["ESR_EL1"])
            self.outcomes[outcome] += 1
            yield number, words, what, complete


def _predicate(word: int, base: int, number: int) -> int:
    return word | number >> 3 << 16 | (number & 7) << 10 | base << 5 | number


def _loaded_predicates() -> list[int]:
    """Code that gives P0 to P15 what is in the window, and FFR all ones."""
    return [_SETFFR, *(_predicate(_LDR_P, BASES[0], number) for number in range(_PREDICATES))]


def _stored_predicates(place: int) -> list[int]:
    """Code for an address that writes P0 to P15 and FFR into the window."""
    pages = (_WINDOW >> 12) - (place >> 12)
    address = _ADRP | (pages & 3) << 29 | (pages >> 2) << 5 | OFFSET
    stores = [_predicate(_STR_P, OFFSET, number) for number in range(_PREDICATES)]
    return [address, *stores, _RDFFR, _STR_P | _PREDICATES >> 3 << 16 | OFFSET << 5]


def _exception(esr: int) -> str:
    return "undefined" if esr == undefined_esr() else "other exceptions"


def difference(here: Result, there: Result) -> str:
    """What the two do not agree on."""
    parts = []
    if here.slot != there.slot:
        parts.append(f"QEMU ends with vector {there.slot}")
    for name in _COMPARED:
        ours, theirs = here.sysregs[name], there.sysregs[name]
        if name == "SPSR_EL2" and there.sysregs["ESR_EL1"]:
            # QEMU clears the flags where it enters EL1; they are in SPSR_EL1.
            ours, theirs = ours & _NOT_FLAGS, theirs & _NOT_FLAGS
        if ours != theirs:
            parts.append(f"{name} is {ours:#x}, on QEMU {theirs:#x}")
    for kind, first, second in (("x", here.x, there.x), ("v", here.v, there.v)):
        for index, (ours, theirs) in enumerate(zip(first, second, strict=True)):
            if ours != theirs:
                name = f"x{index}" if kind == "x" else f"v{index // 2}.d[{index % 2}]"
                parts.append(f"{name} is {ours:#x}, on QEMU {theirs:#x}")
    if here.changes != there.changes:
        parts.append(f"memory {here.changes}, on QEMU {there.changes}")
    return "; ".join(parts)


class Hunt:
    """Words, and programs of those that took no exception, of one model and seed."""

    def __init__(self, model: str, seed: int, groups: Sequence[str]) -> None:
        groups = tuple(each for each in groups if each != _SVE or model == "max")
        self._lab = Lab(model, seed, sve=_SVE in groups)
        self._model, self._seed = model, seed
        self._groups = groups
        self._random = Random(f"{seed} words")
        self._pool: list[int] = []
        self.outcomes = self._lab.outcomes

    def close(self) -> None:
        """End both sides."""
        self._lab.close()

    def words(self, count: int) -> Iterator[Finding]:
        """Try so many words."""
        groups, random = self._groups, self._random
        yield from self._try([(n, [word_of(random, random.choice(groups))]) for n in range(count)])

    def programs(self, count: int) -> Iterator[Finding]:
        """Try so many programs of words that were tried."""
        random, pool = self._random, self._pool
        lengths = (random.randint(2, LONGEST) for _ in range(count))
        yield from self._try([(n, [random.choice(pool) for _ in range(length)]) for n, length in enumerate(lengths)])

    def repeat(self, number: int, words: Sequence[int]) -> Iterator[Finding]:
        """Try one program again."""
        yield from self._try([(number, words)])

    def shrink(self, found: Finding) -> Finding:
        """The same finding with as few words as it needs."""
        while len(found.words) > 1:
            fewer = [(found.number, found.words[:n] + found.words[n + 1 :]) for n in range(len(found.words))]
            smaller = next(self._try(fewer), None)
            if smaller is None:
                break
            found = smaller
        return found

    def _try(self, programs: Sequence[tuple[int, Sequence[int]]]) -> Iterator[Finding]:
        for start in range(0, len(programs), _BATCH):
            for number, program, what, complete in self._lab.compare(programs[start : start + _BATCH]):
                if what:
                    yield Finding(self._model, self._seed, number, tuple(program), number & 1, what)
                elif complete and len(program) == 1:
                    self._pool += program


def hunt(
    model: str, seed: int, count: int, groups: Sequence[str] = tuple(GROUPS)
) -> tuple[list[Finding], Counter[str]]:
    """Try so many words, and half as many programs; what was found, and the outcomes."""
    this = Hunt(model, seed, groups)
    try:
        return [*this.words(count), *this.programs(count // 2)], this.outcomes
    finally:
        this.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt; status 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=MODELS, help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=4_000, help="words for each model; half as many programs")
    parser.add_argument("--group", action="append", choices=tuple(GROUPS), help="default: all")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="only the program of this number, with --words")
    parser.add_argument("--words", type=lambda text: [int(word, 0) for word in text.split()], help="'0x... 0x...'")
    options = parser.parse_args(arguments)
    print(version(), flush=True)
    if find() is None:
        return 0
    failed = False
    for model in options.model or MODELS:
        started = time.monotonic()
        this = Hunt(model, options.seed, options.group or tuple(GROUPS))
        try:
            if options.words is not None:
                found = chain(this.repeat(options.only or 0, options.words))
            else:
                found = chain(this.words(options.count), this.programs(options.count // 2))
            for finding in found:
                failed = True
                print(this.shrink(finding), flush=True)
        finally:
            this.close()
        print(f"{model}: seed {options.seed}, {time.monotonic() - started:.0f} s", flush=True)
        say_outcomes(this.outcomes, RULES)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
