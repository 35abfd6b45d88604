"""Every load and store on a device, against the same one on memory: registers, write-back and bytes must be equal.

    python -m tests.fuzz.loads --count 200000 --seed 7
    python -m tests.fuzz.loads --model max --all
    python -m tests.fuzz.loads --model max --word 0x0c40a041

A word is executed twice from the same state: where stage 2 maps memory, which is the engine's own execution, and where
it maps nothing, which is ours. What is undefined there must be undefined here. What we do not execute must be one of
``REFUSED``, abort with the fault status listed there, and change nothing. All values of the fields that select an
instruction are tried (bits 31 to 21 and 15 to 10); registers and the rest of the word are random.
"""

from __future__ import annotations

import argparse
import struct
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.fault import FSC_ALIGNMENT, FSC_EXTERNAL, FSC_UNSUPPORTED_ATOMIC
from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import SP, LoadStore, Unemulated
from arm_vcpu_cli.arch.syndrome.esr import undefined_esr
from arm_vcpu_cli.arm_vcpu.abort_decoder import WIDEST
from arm_vcpu_cli.arm_vcpu.id_registers import guest_id_registers
from tests.engine.harness import DEVICE, EL0T, EL1H, LOWER_64, MASKED, RAM, RAM_SIZE, Guest, Script
from tests.engine.stage1 import SCTLR_MMU_ON, SIZES, USER, Stage1
from tests.fuzz.qemu.cases import SYSREGS, Case, Result
from tests.fuzz.qemu.option import add_option, say_outcomes, wanted
from tests.fuzz.qemu.rules import ASSERTION, RULES, Excuses
from tests.fuzz.qemu.second import SecondOpinion

MODELS: Final = ("cortex-a53", "cortex-a57", "cortex-a72", "max")
REFUSED: Final[Mapping[str, int]] = MappingProxyType(
    {"exclusive": FSC_UNSUPPORTED_ATOMIC, "atomic": FSC_UNSUPPORTED_ATOMIC, "SVE or SME": FSC_EXTERNAL}
)
"""What a device does not support and what is not carried out, with the fault status of the abort."""

_SIZE: Final = 0x2_0000
_IPA: Final = DEVICE + SIZES[2] - _SIZE
_WINDOW: Final = RAM - _SIZE
"""The device, or the memory in its place; literals reach it from the code."""
_BASE: Final = _WINDOW + _SIZE // 2 + 0x800
"""In the middle of a page, so that nothing but large offsets leaves it."""
_CODE: Final = RAM + 0x8_0000
_WORDS: Final = 0x8000 // 8
"""Instructions, each with a hypercall behind it, until translated code is thrown away."""
_HVC: Final = 0xD400_2002
_GROUP: Final = 0x0800_0000
_HIGH_BITS: Final = (21, 22, 23, 24, 26, 28, 29, 30, 31)
_LITERAL: Final = 0x3B00_0000, 0x1800_0000
_PAGE: Final = 0x1000
_E0E: Final = 1 << 24
_REGISTERS: Final = 31
_SMALL: Final = 0x100
_BATCH: Final = 4000
_ELSEWHERE: Final = 0x4800_0000
"""Where QEMU's board has memory behind the window."""
_VECTORS_SIZE: Final = 0x800
_KEPT: Final = tuple(name for name in SYSREGS if name.endswith("_EL1") and name != "SP_EL1")


@dataclass(frozen=True)
class State:
    """What an instruction has left: how it ended (None if it was completed), registers, bytes."""

    exception: tuple[int, int, int] | None
    """ESR_EL1, FAR_EL1 and ELR_EL1."""
    general: tuple[int, ...]
    vectors: tuple[int, ...]
    memory: bytes


@dataclass(frozen=True)
class Finding:
    """A word that does on a device what it may not do."""

    model: str
    word: int
    el: int
    big_endian: bool
    what: str

    def __str__(self) -> str:
        """As a line, with what repeats it."""
        order = ", big-endian" if self.big_endian else ""
        return f"{self.model}: {self.word:#010x} at EL{self.el}{order}: {self.what}"


class Side:
    """A guest with the window, in which one word after the other is executed."""

    def __init__(self, model: str, content: bytes, *, device: bool) -> None:
        self._content = content
        self._script = Script(content, base=_IPA)
        self.guest = Guest("accesses", model=model, platform=self._script)
        self._memory = None if device else self.guest.host.memory(self.guest.map(_IPA, _SIZE), _SIZE)
        tables = Stage1(self.guest)
        tables.map(RAM - SIZES[2], DEVICE, 2, USER)
        tables.enable()
        vcpu = self.guest.vcpu
        self._state, layout = vcpu.state, vcpu.state.layout
        self._x0, self._v0, self._stride = layout.x0 // 8, layout.v0 // 8, layout.vector_stride // 8
        self._first = array("Q", self._state.u64)
        self._next = 0

    def close(self) -> None:
        """End the guest."""
        self.guest.host.close()

    def execute(
        self, word: int, el: int, big_endian: bool, general: Sequence[int], vectors: Sequence[int], sp: int
    ) -> State:
        """One word from these registers; the window has its first content again."""
        guest, vcpu, core, state = self.guest, self.guest.vcpu, self.guest.core, self._state
        self._restore()
        self.place = place = self._place(word)
        state.u64[:] = memoryview(self._first)
        core.restorer(state)()
        core.pstate_writer()(MASKED | EL1H)
        core.saver(state)()
        guest["SCTLR_EL1"] = SCTLR_MMU_ON | (_E0E if big_endian else 0)
        guest["SPSR_EL1"], guest["ELR_EL1"] = MASKED | (EL1H if el else EL0T), place
        ctx = vcpu.ctx
        ctx.sp_el0, ctx.sp, ctx.elr = sp, sp, guest.label("launch")
        state.u64[self._x0 : self._x0 + _REGISTERS] = memoryview(array("Q", general))
        for number in range(32):
            at = self._v0 + number * self._stride
            state.u64[at], state.u64[at + 1] = vectors[2 * number], vectors[2 * number + 1]
        self.start = (general, vectors, {name: guest[name] for name in _KEPT} | {"SP_EL0": sp, "SP_EL1": sp})
        vcpu.run()
        return self._found(place)

    def contents(self) -> list[tuple[int, bytes]]:
        """All of memory but the window, for another side."""
        return [(RAM, self.guest.read(RAM, RAM_SIZE))]

    def case(self, word: int) -> Case:
        """The last execution, for another side."""
        general, vectors, sysregs = self.start
        sysregs = {**sysregs, "PC": self.guest.label("launch"), "PSTATE": MASKED | EL1H}
        return Case(sysregs, general, vectors, [(self.place, struct.pack("<2I", word, _HVC))])

    def state_of(self, result: Result, case: Case) -> State:
        """What another side has left."""
        found, place, slot = result.sysregs, case.sysregs["ELR_EL1"], None
        offset = found["ELR_EL2"] - 4 - self.guest.label("vectors")
        if 0 <= offset < _VECTORS_SIZE:
            slot = offset // 0x80
        at_el1 = slot is None and found["ELR_EL2"] == place + 8
        at_el0 = slot == LOWER_64 and found["ESR_EL1"] == undefined_esr() and found["ELR_EL1"] == place + 4
        exception = None if at_el1 or at_el0 else (found["ESR_EL1"], found["FAR_EL1"], found["ELR_EL1"] - place)
        memory = bytearray(self._content)
        for at, bits in result.changes:
            memory[at : at + 8] = (int.from_bytes(memory[at : at + 8], "little") ^ bits).to_bytes(8, "little")
        sp = found["SP_EL1" if at_el1 else "SP_EL0"]
        return State(exception, (*result.x, sp), result.v, bytes(memory))

    def _found(self, place: int) -> State:
        guest = self.guest
        words = self._state.u64
        exception = None if guest.finished(place) else (guest.esr, guest["FAR_EL1"], guest["ELR_EL1"] - place)
        sp = guest.vcpu.ctx.sp if exception is None and guest.slot is None else guest.vcpu.ctx.sp_el0
        found = tuple(words[self._v0 + number * self._stride + half] for number in range(32) for half in range(2))
        memory = bytes(self._script.content if self._memory is None else self._memory)
        return State(exception, (*guest.vcpu.ctx.gprs(), sp), found, memory)

    def _restore(self) -> None:
        if self._memory is None:
            self._script.content[:] = self._content
            self._script.log.clear()
        else:
            self._memory[:] = self._content

    def _place(self, word: int) -> int:
        if self._next == _WORDS:
            self._next = 0
            self.guest.core.flush_code()
        place = _CODE + 8 * self._next
        self._next += 1
        self.guest.write_code(place, word, _HVC)
        return place


class Lab:
    """The two guests of a model, and QEMU if it is asked."""

    def __init__(self, model: str, seed: int, *, qemu: bool = False) -> None:
        self.model = model
        self._random = Random(seed)
        content = self._random.randbytes(_SIZE)
        self._memory, self._device = (Side(model, content, device=device) for device in (False, True))
        self.outcomes: Counter[str] = Counter()
        self._tried: list[tuple[int, int, bool, State, Case]] = []
        self._second = self._ask(content) if qemu else None
        self._excuses = Excuses(guest_id_registers(self._memory.guest.core))

    def _ask(self, content: bytes) -> SecondOpinion:
        block = DEVICE & -SIZES[2]
        place = _ELSEWHERE + _IPA % SIZES[2]
        return SecondOpinion(
            self.model,
            [(RAM, RAM_SIZE)],
            self._memory.contents(),
            window=(place, content),
            elsewhere={block: _ELSEWHERE},
        )

    def ask(self) -> Iterator[Finding]:
        """What QEMU does otherwise than the engine's memory has done, of the words since the last time."""
        tried, self._tried = self._tried, []
        if self._second is None:
            return
        for (word, el, big_endian, theirs, case), result in zip(
            tried, self._second.run([each[-1] for each in tried]), strict=True
        ):
            if result is None:
                self.outcomes[ASSERTION] += 1
                continue
            state = self._memory.state_of(result, case)
            if state == theirs:
                self.outcomes["the same on QEMU"] += 1
                continue
            syndromes = (0 if each.exception is None else each.exception[0] for each in (theirs, state))
            rule = self._excuses.of_word(word, *syndromes)
            if rule is None and replace(state, exception=theirs.exception) == theirs:
                rule = self._excuses.of_faults(theirs.exception, state.exception)
            if rule is not None:
                self.outcomes[rule] += 1
                continue
            what = f"{_difference(theirs, state)} (QEMU); on memory {_text(theirs)}, on QEMU {_text(state)}"
            yield Finding(self.model, word, el, big_endian, what)

    def close(self) -> None:
        """End both guests."""
        self._memory.close()
        self._device.close()

    def try_word(self, word: int, el: int, *, big_endian: bool) -> Finding | None:
        """Execute a word on both sides; what is wrong, if anything is."""
        random = self._random
        general = [random.getrandbits(64) for _ in range(_REGISTERS)]
        small = word >> 16 & 31
        if small < _REGISTERS:
            general[small] = random.choice((1, -1)) * (random.randrange(_SMALL) & ~15) & MASK64
        base, place = word >> 5 & 31, self._base()
        # The stack has to be aligned.
        sp = _BASE
        if base < _REGISTERS:
            general[base] = place
        vectors = [random.getrandbits(64) for _ in range(64)]
        ours, theirs = (
            side.execute(word, el, big_endian, general, vectors, sp) for side in (self._device, self._memory)
        )
        if self._second is not None:
            self._tried.append((word, el, big_endian, theirs, self._memory.case(word)))
        what = self._judge(word, ours, theirs, (*general, sp), tuple(vectors))
        return None if what is None else Finding(self.model, word, el, big_endian, what)

    def _base(self) -> int:
        """Usually aligned and in the middle of a page; seldom not aligned, or close to the end of the page."""
        random, kind = self._random, self._random.randrange(8)
        if kind > 1:
            return _BASE
        return _BASE + random.randrange(16) if kind else _BASE + _PAGE // 2 - random.randrange(0, 0x50, 8)

    def _judge(
        self, word: int, ours: State, theirs: State, general: tuple[int, ...], vectors: tuple[int, ...]
    ) -> str | None:
        decoded = decode_load_store(word)
        if theirs.exception is not None and theirs.exception[0] >> 26 == 0:
            self.outcomes["undefined"] += 1
            return None if ours == theirs else f"undefined, but on a device {_text(ours)}"
        if decoded is None:
            return f"not decoded, but on memory {_text(theirs)}"
        if ours == theirs:
            self.outcomes["prefetch" if isinstance(decoded, Unemulated) else "executed"] += 1
            return None
        if isinstance(decoded, Unemulated):
            allowed = REFUSED.get(decoded.kind)
            kind = decoded.kind
        else:
            allowed, kind = self._rule(decoded, general)
        if allowed is not None and ours.exception is not None and ours.exception[0] & 0x3F == allowed:
            self.outcomes[kind] += 1
            changed = ours.general != general or ours.vectors != vectors
            return f"refused, with other registers than before ({kind})" if changed else None
        return f"{_difference(ours, theirs)}; on a device {_text(ours)}, on memory {_text(theirs)}"

    def _rule(self, access: LoadStore, general: tuple[int, ...]) -> tuple[int | None, str]:
        """The status with which an access may abort that is not aligned, and the rule. The engine checks no
        alignment."""
        address, size = access.address(general.__getitem__, general[-1], _CODE), access.transfers[0].size
        if address is None or address % size == 0:
            return None, ""
        if access.ordered:
            return FSC_ALIGNMENT, "alignment"
        places = (address + each.offset for each in access.transfers)
        part = min(size, WIDEST)
        crosses = any((place + at) % _PAGE + part > _PAGE for place in places for at in range(0, size, part))
        return (FSC_EXTERNAL, "page-crossing") if crosses else (None, "")


def _text(state: State) -> str:
    if state.exception is None:
        return "executed"
    return "ESR_EL1={:#x} FAR_EL1={:#x} ELR_EL1=.+{:#x}".format(*state.exception)


def _difference(ours: State, theirs: State) -> str:
    for index, (here, there) in enumerate(zip(ours.general, theirs.general, strict=True)):
        if here != there:
            return f"x{index} is {here:#x}, not {there:#x}"
    for index, (here, there) in enumerate(zip(ours.vectors, theirs.vectors, strict=True)):
        if here != there:
            return f"v{index // 2} ({'upper' if index % 2 else 'lower'} half) is {here:#x}, not {there:#x}"
    if ours.memory != theirs.memory:
        at = next(n for n, (here, there) in enumerate(zip(ours.memory, theirs.memory, strict=True)) if here != there)
        return f"the byte at {at - (_BASE - _WINDOW):+#x} from the base differs"
    return "it ends otherwise"


def words(random: Random) -> Iterator[int]:
    """One word for each value of the deciding fields of loads and stores, in a random order."""
    numbers = list(range(1 << len(_HIGH_BITS) + 6))
    random.shuffle(numbers)
    for number in numbers:
        word = _GROUP | (number & 63) << 10
        for at, bit in enumerate(_HIGH_BITS):
            word |= (number >> 6 + at & 1) << bit
        word |= random.choice((0, 31, 31, random.getrandbits(5))) << 16
        word |= random.choice((SP, random.randrange(31))) << 5
        word |= random.choice((31, random.randrange(31)))
        yield _reaching(word, random)


def _reaching(word: int, random: Random) -> int:
    """The word, if it is a load of a literal with an offset into the window."""
    mask, value = _LITERAL
    if word & mask != value:
        return word
    # The window is larger than all the code.
    distance = _BASE - _CODE - random.randrange(0, 0x100, 8)
    return word & ~(0x7FFFF << 5) | (distance >> 2 & 0x7FFFF) << 5


def is_unpredictable(word: int) -> bool:
    """Whether registers coincide that must not (DDI 0487, C6.2, "CONSTRAINED UNPREDICTABLE")."""
    decoded = decode_load_store(word)
    if not isinstance(decoded, LoadStore):
        return False
    moved = [each.register for each in decoded.transfers if not each.vector]
    vectors = [each.register for each in decoded.transfers if each.vector and len(decoded.transfers) == 2]
    if decoded.writes_base and decoded.base != SP and decoded.base in moved:
        return True
    is_pair = word >> 27 & 7 == 0b101
    return is_pair and decoded.is_load and len(set(moved or vectors)) == 1


def hunt(
    model: str, seed: int, count: int | None = None, word: int | None = None, *, qemu: bool = False
) -> tuple[list[Finding], Counter[str]]:
    """Try so many words, all values of the deciding fields without a ``count``; what was found, and the outcomes."""
    random = Random(seed)
    lab = Lab(model, seed, qemu=qemu)
    findings = []
    try:
        for number, each in enumerate(_chosen(random, count, word)):
            el, big_endian = ((1, False), (0, False), (0, True))[number % 3]
            found = None if is_unpredictable(each) else lab.try_word(each, el, big_endian=big_endian)
            if found is not None:
                findings.append(found)
            if not (number + 1) % _BATCH:
                findings += lab.ask()
        findings += lab.ask()
    finally:
        lab.close()
    return findings, lab.outcomes


def _chosen(random: Random, count: int | None, word: int | None) -> Iterator[int]:
    if word is not None:
        yield from [word] * 3
        return
    left = count
    while left is None or left > 0:
        for each in words(random):
            yield each
            if left is not None:
                left -= 1
                if not left:
                    return
        if left is None:
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt; status 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=MODELS, help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20_000, help="words for each model")
    parser.add_argument("--all", action="store_true", help="every value of the deciding fields once, and no more")
    parser.add_argument("--word", type=lambda text: int(text, 0), help="only this word")
    add_option(parser)
    options = parser.parse_args(arguments)
    qemu, failed = wanted(options), False
    for model in options.model or MODELS:
        started = time.monotonic()
        findings, outcomes = hunt(model, options.seed, None if options.all else options.count, options.word, qemu=qemu)
        for finding in findings:
            print(finding, flush=True)
        failed = failed or bool(findings)
        print(f"{model}: seed {options.seed}, {time.monotonic() - started:.0f} s", flush=True)
        say_outcomes(outcomes, RULES)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
