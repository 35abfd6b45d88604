"""Random translation tables and controls: the walker, the engine and the manual's rules for PAR_EL1 agree.

    python -m tests.fuzz.walker --count 100000 --seed 7
    python -m tests.fuzz.walker --model max --seed 7 --only 412

One engine translates all examples of a model, with its tables rewritten in place: by AT and, where that is harmless, by
loads, stores, branches, and fetches at EL0. QEMU, where it is installed, translates the same examples in batches; where
it may differ is in ``qemu/walk_rules.py``. An example is known by its seed and number.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from random import Random
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.syndrome.iss import DataAbortIss
from arm_vcpu_cli.arch.translation.controls import Stage1Controls
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arch.translation.walk import Stage1Attributes, Walk
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from tests.engine.harness import EL1H, MASKED, RAM, RAM_SIZE, Guest, Script, is_call
from tests.fuzz.qemu.cases import SYSREGS, Case
from tests.fuzz.qemu.option import add_option, say_outcomes, wanted
from tests.fuzz.qemu.second import SecondOpinion
from tests.fuzz.qemu.walk_rules import RULES, WalkRules
from tests.fuzz.tables import FIXED_SIZE, NORMAL, Example, Places, make_example

MODELS: Final = ("cortex-a53", "cortex-a57", "cortex-a72", "max")
_TABLES: Final = 0x5000_0000
_DATA: Final = 0x5800_0000
_SIZE: Final = 0x40_0000
_PLACES: Final = Places(range(_TABLES, _TABLES + _SIZE), range(_DATA, _DATA + _SIZE, 0x1000), 0x7_0000_0000)
_BLOCK: Final = 1 << 21
REGIONS: Final = ((RAM, RAM_SIZE), (_TABLES, _SIZE), (_DATA, _SIZE))
_RESULTS: Final = RAM + _BLOCK
RESULTS: Final = (_RESULTS, 0x400)
_ARRAY: Final = _RESULTS + 0x8_0000
_RETURN: Final = 0xD65F_03C0
_UPPER: Final = -(1 << 64 - FIXED_SIZE) & (1 << 64) - 1
_FIXED_TABLES: Final = (RAM + 0x10_0000, RAM + 0x10_2000)
"""Those of the half that is not random: for little-endian and for big-endian data."""
_LEAF: Final = 0x701 | NORMAL << 2
_READ_ONLY, _XN = 1 << 7, 3 << 53
_EC_DATA, _EC_FETCH, _EC_FETCH_LOWER = 0x25 << 26 | 1 << 25, 0x21 << 26 | 1 << 25, 0x20 << 26 | 1 << 25
_EXTERNAL: Final = 0x10
_OUTPUT: Final = (1 << 48) - (1 << 12)
_NC: Final = 0x44
_BATCH: Final = 2000
_END: Final = 0x5A00_0100
"""ESR_EL2 of the hypercall at the end of the program."""
QEMU: Final = "QEMU"
_RESULTS_REGISTER: Final = 21
FIXED_MASK: Final = (1 << 64 - FIXED_SIZE) - 1


class Translation(NamedTuple):
    """An AT instruction: with whose permissions, for what, and whether PSTATE.PAN counts."""

    name: str
    el: int
    access: Access
    pan: bool


class Plain(NamedTuple):
    """An access."""

    name: str
    el: int
    access: Access


TRANSLATIONS: Final = (
    Translation("AT S1E1R", 1, Access.READ, False),
    Translation("AT S1E1W", 1, Access.WRITE, False),
    Translation("AT S1E0R", 0, Access.READ, False),
    Translation("AT S1E0W", 0, Access.WRITE, False),
    Translation("AT S1E1RP", 1, Access.READ, True),
    Translation("AT S1E1WP", 1, Access.WRITE, True),
)
"""The last two with FEAT_PAN2."""
ACCESSES: Final = (
    Plain("LDR", 1, Access.READ),
    Plain("STR", 1, Access.WRITE),
    Plain("LDTR", 0, Access.READ),
    Plain("STTR", 0, Access.WRITE),
    Plain("BLR", 1, Access.EXECUTE),
    Plain("ERET to EL0", 0, Access.EXECUTE),
)
FETCHES: Final = ("BLR", "ERET to EL0")
_UNPRIVILEGED: Final = ("LDTR", "STTR")


class Said(NamedTuple):
    """What the engine says of an operation."""

    operation: str
    address: int
    text: str
    walk: Walk


@dataclass(frozen=True)
class Finding:
    """What the engine and the walker do not agree on."""

    model: str
    seed: int
    number: int
    operation: str
    address: int
    engine: str
    walker: str
    example: str
    other: str = "walker"

    def __str__(self) -> str:
        return (
            f"{self.model}, seed {self.seed}, example {self.number}: {self.operation} of {self.address:#x}: "
            f"the engine says {self.engine}, the {self.other} {self.walker}\n  {self.example}"
        )


class Lab:
    """An engine in which one example after the other is translated."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._guest = guest = Guest("walks", model=model, platform=Script())
        for ipa in (_TABLES, _DATA):
            guest.map(ipa, _SIZE)
        guest.write(_DATA, struct.pack("<I", _RETURN) * (_SIZE // 4))
        # FEAT_PAN2 and FEAT_UAO.
        self._is_later = model == "max"
        self.controls: Stage1Controls = guest.vcpu.memory().controls
        for order, table in zip(("<", ">"), _FIXED_TABLES, strict=True):
            self._write_fixed(order, table)
        self._written: list[int] = []

    def close(self) -> None:
        """End the engine."""
        self._guest.host.close()

    def _write_fixed(self, order: str, table: int) -> None:
        """Tables that map the program and its results where they are, for EL1 alone."""
        second = table + 0x1000
        self._put(order, table + (RAM >> 30) * 8, second | 3)
        for number, bits in ((0, _READ_ONLY), (1, _XN)):
            self._put(order, second + number * 8, RAM + number * _BLOCK | _LEAF | bits)

    def _put(self, order: str, ipa: int, word: int) -> None:
        self._guest.write(ipa, struct.pack(f"{order}Q", word))

    @property
    def contents(self) -> list[tuple[int, bytes]]:
        """All of memory, for another side."""
        return [(base, self._guest.read(base, size)) for base, size in REGIONS]

    def check(self, seed: int, number: int) -> Iterator[Finding]:
        """Make an example and try it."""
        random = Random(f"{seed}/{number}")
        example = make_example(random, _PLACES, self.controls.effective_tcr)
        example.pan, example.uao = example.pan and self._is_later, example.uao and self._is_later
        self.example = example
        self.said: list[Said] = []
        self.case = Case({}, writes=self._load(example))
        memory = self._guest.vcpu.memory()
        accessible = [self._may_access(memory, example, address) for address in example.addresses]
        results = iter(self._run(example, accessible))

        def differs(operation: str, address: int, engine: str, walker: str, walk: Walk) -> Iterator[Finding]:
            self.said.append(Said(operation, address, engine, walk))
            if engine != walker:
                yield Finding(self.model, seed, number, operation, address, engine, walker, str(example))

        for address, accessed in zip(example.addresses, accessible, strict=True):
            for at in TRANSLATIONS if self._is_later else TRANSLATIONS[:4]:
                pan = at.pan and example.pan
                walk = memory.translate(address, el=at.el, access=at.access, pan=pan).stage1
                said = _par(next(results), next(results))
                yield from differs(at.name, address, said, _expected_par(walk, example), walk)
            for access in ACCESSES if accessed else ():
                yield from differs(
                    access.name,
                    address,
                    f"ESR {next(results):#x}",
                    f"ESR {_expected(memory, example, address, access):#x}",
                    walk,
                )

    def _load(self, example: Example) -> list[tuple[int, bytes]]:
        guest = self._guest
        order = ">" if example.sctlr >> 25 & 1 else "<"
        writes = [(place, bytes(8)) for place in self._written]
        writes += [(place, struct.pack(f"{order}Q", word)) for place, word in example.words.items()]
        for place, data in writes:
            guest.write(place, data)
        self._written = list(example.words)
        roots = [_FIXED_TABLES[order == ">"]] * 2
        roots[example.upper] = example.ttbr
        guest["TTBR0_EL1"], guest["TTBR1_EL1"] = roots
        guest["TCR_EL1"], guest["MAIR_EL1"], guest["SCTLR_EL1"] = example.tcr, example.mair, example.sctlr
        guest.core.flush_tlb()
        return writes

    def _may_access(self, memory: GuestMemory, example: Example, address: int) -> bool:
        """Whether what the walker says of an address does no harm to the tables and the program."""
        output = memory.translate(address).stage1.output
        return output is None or output & -0x1000 in _PLACES.data or output & -0x1000 == _PLACES.nowhere

    def _run(self, example: Example, accessible: Sequence[bool]) -> tuple[int, ...]:
        """The results of the program."""
        guest, order = self._guest, ">" if example.sctlr >> 25 & 1 else "<"
        base = 0 if example.upper or not example.on else _UPPER
        pairs = [word for pair in zip(example.addresses, accessible, strict=True) for word in pair]
        array = struct.pack(f"{order}{len(pairs)}Q", *pairs)
        guest.write(_ARRAY, array)
        guest.prepare("walks")
        pstate = MASKED | EL1H | Spsr.of(PAN=int(example.pan), UAO=int(example.uao))
        guest.core.restorer(guest.vcpu.state)()
        guest.core.pstate_writer()(pstate)
        guest.core.saver(guest.vcpu.state)()
        guest["VBAR_EL1"] = base + guest.label("vectors")
        ctx = guest.vcpu.ctx
        ctx.elr = base + guest.label("walks")
        stored = int.from_bytes(struct.pack("<II", _RETURN, _RETURN), "little" if order == "<" else "big")
        count = len(example.addresses)
        not_for_el0 = base + _RESULTS if example.on else _PLACES.nowhere
        values = (base + _ARRAY, base + _RESULTS, count, self._is_later, stored, pstate, not_for_el0)
        for register, value in enumerate(values, 20):
            ctx.set_gpr(register, int(value))
        sysregs = {name: guest[name] for name in SYSREGS if name.endswith("_EL1") and not name.startswith("SP")}
        self.case.sysregs = {
            **sysregs,
            "PC": ctx.elr,
            "PSTATE": int(pstate),
            "SP_EL0": ctx.sp_el0,
            "SP_EL1": ctx.sp_el1,
        }
        self.case.x = ctx.gprs()
        self.case.writes.append((_ARRAY, array))
        assert is_call(guest.run()), str(example)
        assert guest.slot is None, f"exception {guest.slot} ({guest.esr:#x}): {example}"
        count = sum((12 if self._is_later else 8) + len(ACCESSES) * each for each in accessible)
        return struct.unpack(f"{order}{count}Q", guest.read(_RESULTS, 8 * count))


def _par(par: int, esr: int) -> str:
    return f"ESR {esr:#x}" if esr else f"PAR {par:#x}"


def _expected_par(walk: Walk, example: Example) -> str:
    """What AT leaves (DDI 0487, D24.2, PAR_EL1), with NS = 1 as in Non-secure state; an external abort is taken."""
    fault = walk.fault
    if fault is not None and fault.kind == "external":
        return f"ESR {_EC_DATA | DataAbortIss.of(CM=1, WnR=1, DFSC=fault.fault_status):#x}"
    if fault is not None:
        return f"PAR {1 << 11 | fault.fault_status << 1 | 1:#x}"
    attributes, output = walk.attributes, walk.output
    assert isinstance(attributes, Stage1Attributes)
    assert output is not None
    memory = example.mair >> 8 * (walk.steps[-1].descriptor >> 2 & 7) & 0xFF if example.on else 0
    shareability = 2 if not memory & 0xF0 or memory == _NC else attributes.shareability
    return f"PAR {memory << 56 | output & _OUTPUT | 1 << 11 | 1 << 9 | shareability << 7:#x}"


def _expected(memory: GuestMemory, example: Example, address: int, plain: Plain) -> int:
    """ESR_EL1 after an access, 0 if it is carried out."""
    el = 1 if example.uao and plain.name in _UNPRIVILEGED else plain.el
    both = memory.translate(address, el=el, access=plain.access, pan=example.pan and el == 1)
    if both.paddr is not None:
        return 0
    fault = both.stage1.fault
    status = _EXTERNAL if fault is None else fault.fault_status
    if plain.access is Access.EXECUTE:
        return (_EC_FETCH if plain.el else _EC_FETCH_LOWER) | status
    return _EC_DATA | DataAbortIss.of(WnR=int(plain.access is Access.WRITE), DFSC=status)


class Examples:
    """The examples of a model and seed, translated here, and in batches by QEMU if it is there."""

    def __init__(self, model: str, seed: int, *, qemu: bool) -> None:
        self._lab, self._seed = Lab(model), seed
        self._second = SecondOpinion(model, REGIONS, self._lab.contents, dump=RESULTS) if qemu else None
        self._rules = WalkRules(model, self._lab.controls)
        self.outcomes: Counter[str] = Counter()

    def close(self) -> None:
        """End the engine."""
        self._lab.close()

    def check(self, numbers: Sequence[int]) -> Iterator[Finding]:
        """Try examples by number."""
        for start in range(0, len(numbers), _BATCH):
            yield from self._check(numbers[start : start + _BATCH])

    def _check(self, numbers: Sequence[int]) -> Iterator[Finding]:
        lab, tried = self._lab, []
        for number in numbers:
            yield from lab.check(self._seed, number)
            tried.append((number, lab.case, lab.example, lab.said))
        if self._second is None:
            return
        results = self._second.run([case for _, case, _, _ in tried])
        for (number, _, example, said), result in zip(tried, results, strict=True):
            rule = self._rules.of_example(example.tcr, example.upper) if example.on else None
            if rule is not None:
                self.outcomes[rule] += 1
                continue
            assert result is not None
            found: Iterable[tuple[Said, str]] = zip(said, texts_of(result.dump, example, said), strict=True)
            if result.sysregs["ESR_EL2"] != _END:
                # An access that EL2 takes is the last one.
                done = (result.x[_RESULTS_REGISTER] & FIXED_MASK) - RESULTS[0]
                words = (2 if each.operation.startswith("AT") else 1 for each in said)
                count = bisect_right(list(accumulate(words)), done // 8)
                found = chain(
                    islice(found, count), [(said[count], f"exception to EL2, {result.sysregs['ESR_EL2']:#x}")]
                )
            for each, text in found:
                rule = None
                if each.text != text:
                    fetched = each.address if each.operation in FETCHES else None
                    rule = self._rules.of_walk(each.walk, each.text, text, fetched=fetched, tcr=example.tcr)
                self.outcomes[rule or ("differ" if each.text != text else "the same")] += 1
                if each.text != text and rule is None:
                    yield Finding(
                        lab.model, self._seed, number, each.operation, each.address, each.text, text, str(example), QEMU
                    )


def texts_of(dump: bytes, example: Example, said: Sequence[Said]) -> Iterator[str]:
    """What another side has said of an example, in the order of ours."""
    order = ">" if example.sctlr >> 25 & 1 else "<"
    words = iter(struct.unpack(f"{order}{len(dump) // 8}Q", dump))
    for each in said:
        yield _par(next(words), next(words)) if each.operation.startswith("AT") else f"ESR {next(words):#x}"


def hunt(model: str, seed: int, numbers: Sequence[int], *, qemu: bool = False) -> Iterator[Finding]:
    """Try examples of a seed, by number."""
    examples = Examples(model, seed, qemu=qemu)
    try:
        yield from examples.check(numbers)
    finally:
        examples.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt; status 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=MODELS, help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000, help="tables for each model")
    parser.add_argument("--only", type=int, help="only the example of this number")
    add_option(parser)
    options = parser.parse_args(arguments)
    numbers = range(options.count) if options.only is None else [options.only]
    qemu, failed = wanted(options), False
    for model in options.model or MODELS:
        started = time.monotonic()
        examples = Examples(model, options.seed, qemu=qemu)
        try:
            for finding in examples.check(numbers):
                failed = True
                print(json.dumps({**vars(finding), "address": hex(finding.address)}), flush=True)
        finally:
            examples.close()
        seconds = time.monotonic() - started
        print(f"{model}: {len(numbers)} tables of seed {options.seed} in {seconds:.0f} s", flush=True)
        say_outcomes(examples.outcomes, RULES)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
