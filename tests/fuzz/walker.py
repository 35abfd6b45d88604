"""Random translation tables and controls: the walker, the engine and the manual's rules for PAR_EL1 agree.

    python -m tests.fuzz.walker --count 100000 --seed 7
    python -m tests.fuzz.walker --model max --seed 7 --only 412

One engine translates all examples of a model, with its tables rewritten in place: by AT and, where that is harmless, by
loads, stores, branches, and fetches at EL0. An example is known by its seed and number.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.syndrome.iss import DataAbortIss
from arm_vcpu_cli.arch.translation.controls import Stage1Controls
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arch.translation.walk import Stage1Attributes, Walk
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from tests.engine.harness import EL1H, MASKED, RAM, Guest, Script, is_call
from tests.fuzz.tables import FIXED_SIZE, NORMAL, Example, Places, make_example

MODELS: Final = ("cortex-a53", "cortex-a57", "cortex-a72", "max")
_TABLES: Final = 0x5000_0000
_DATA: Final = 0x5800_0000
_SIZE: Final = 0x40_0000
_PLACES: Final = Places(range(_TABLES, _TABLES + _SIZE), range(_DATA, _DATA + _SIZE, 0x1000), 0x7_0000_0000)
_BLOCK: Final = 1 << 21
_RESULTS: Final = RAM + _BLOCK
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
_UNPRIVILEGED: Final = ("LDTR", "STTR")


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

    def __str__(self) -> str:
        return (
            f"{self.model}, seed {self.seed}, example {self.number}: {self.operation} of {self.address:#x}: "
            f"the engine says {self.engine}, the walker {self.walker}\n  {self.example}"
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

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guest.host.close()

    def _write_fixed(self, order: str, table: int) -> None:
        """Tables that map the program and its results where they are, for EL1 alone."""
        second = table + 0x1000
        self._put(order, table + (RAM >> 30) * 8, second | 3)
        for number, bits in ((0, _READ_ONLY), (1, _XN)):
            self._put(order, second + number * 8, RAM + number * _BLOCK | _LEAF | bits)

    def _put(self, order: str, ipa: int, word: int) -> None:
        self._guest.write(ipa, struct.pack(f"{order}Q", word))

    def check(self, seed: int, number: int) -> Iterator[Finding]:
        """Make an example and try it."""
        random = Random(f"{seed}/{number}")
        example = make_example(random, _PLACES, self.controls.effective_tcr)
        example.pan, example.uao = example.pan and self._is_later, example.uao and self._is_later
        self._load(example)
        memory = self._guest.vcpu.memory()
        accessible = [self._may_access(memory, example, address) for address in example.addresses]
        results = iter(self._run(example, accessible))

        def differs(operation: str, address: int, engine: str, walker: str) -> Iterator[Finding]:
            if engine != walker:
                yield Finding(self.model, seed, number, operation, address, engine, walker, str(example))

        for address, accessed in zip(example.addresses, accessible, strict=True):
            for at in TRANSLATIONS if self._is_later else TRANSLATIONS[:4]:
                pan = at.pan and example.pan
                walk = memory.translate(address, el=at.el, access=at.access, pan=pan).stage1
                said = _par(next(results), next(results))
                yield from differs(at.name, address, said, _expected_par(walk, example))
            for access in ACCESSES if accessed else ():
                yield from differs(
                    access.name,
                    address,
                    f"ESR {next(results):#x}",
                    f"ESR {_expected(memory, example, address, access):#x}",
                )

    def _load(self, example: Example) -> None:
        guest = self._guest
        order = ">" if example.sctlr >> 25 & 1 else "<"
        for place in self._written:
            self._put("<", place, 0)
        self._written = list(example.words)
        for place, word in example.words.items():
            self._put(order, place, word)
        roots = [_FIXED_TABLES[order == ">"]] * 2
        roots[example.upper] = example.ttbr
        guest["TTBR0_EL1"], guest["TTBR1_EL1"] = roots
        guest["TCR_EL1"], guest["MAIR_EL1"], guest["SCTLR_EL1"] = example.tcr, example.mair, example.sctlr
        guest.core.flush_tlb()

    def _may_access(self, memory: GuestMemory, example: Example, address: int) -> bool:
        """Whether what the walker says of an address does no harm to the tables and the program."""
        output = memory.translate(address).stage1.output
        return output is None or output & -0x1000 in _PLACES.data or output & -0x1000 == _PLACES.nowhere

    def _run(self, example: Example, accessible: Sequence[bool]) -> tuple[int, ...]:
        """The results of the program."""
        guest, order = self._guest, ">" if example.sctlr >> 25 & 1 else "<"
        base = 0 if example.upper or not example.on else _UPPER
        pairs = [word for pair in zip(example.addresses, accessible, strict=True) for word in pair]
        guest.write(_ARRAY, struct.pack(f"{order}{len(pairs)}Q", *pairs))
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


def hunt(model: str, seed: int, numbers: Sequence[int]) -> Iterator[Finding]:
    """Try examples of a seed, by number."""
    with Lab(model) as lab:
        for number in numbers:
            yield from lab.check(seed, number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt; status 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=MODELS, help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000, help="tables for each model")
    parser.add_argument("--only", type=int, help="only the example of this number")
    options = parser.parse_args(arguments)
    numbers = range(options.count) if options.only is None else [options.only]
    found = 0
    for model in options.model or MODELS:
        started = time.monotonic()
        for finding in hunt(model, options.seed, numbers):
            found += 1
            print(json.dumps({**vars(finding), "address": hex(finding.address)}), flush=True)
        seconds = time.monotonic() - started
        print(f"{model}: {len(numbers)} tables of seed {options.seed} in {seconds:.0f} s", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
