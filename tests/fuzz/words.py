"""Instruction words, valid and not, in every state of a guest: none may end the process, hang, or raise in Python.

    python -m tests.fuzz.words --model max --set system --traps all
    python -m tests.fuzz.words --set random --seed 7 --count 200000
    python -m tests.fuzz.words --model max --word 0x2ede3f03

Words are executed in child processes, which record their progress in a shared page. A child that dies or hangs is
replaced by one that continues after the current word.
"""

from __future__ import annotations

import argparse
import json
import mmap
import multiprocessing
import os
import signal
import struct
import sys
import tempfile
import time
import traceback
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.el2_loading import HCR_TRAPS
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.vm.builder import build_machine
from arm_vcpu_cli.vm.machine import Machine
from tests.engine.harness import DEVICE, EL1H, GUESTS, MASKED, RAM

MODELS: Final = ("cortex-a53", "cortex-a57", "cortex-a72", "max")
SETS: Final = ("system", "random", "allocated")
STATES: Final = tuple((el, mmu) for mmu in (False, True) for el in (1, 0))
"""Exception level and whether stage 1 is on."""

GUEST: Final = GUESTS / "exceptions.elf"
CODE: Final = RAM + 0x30_0000
TABLES: Final = RAM + 0x31_0000
DATA: Final = RAM + 0x32_0000
NOWHERE: Final = 0x3000_0000
HVC: Final = 0xD400_2002
_INSTRUCTIONS: Final = 24
_EXITS: Final = 6
_STANDSTILL: Final = 20.0
_BLOCK: Final = 0x401 | 3 << 8
_USER: Final = 1 << 6
_TABLE: Final = 0b11
_TCR: Final = 25 | 25 << 16 | 2 << 32
_SCTLR: Final = 0x30D0_0800
_SYSTEM: Final = 0xD500_0000
_PROGRESS: Final = struct.Struct("<QQ")
_ENDED: Final = 1 << 63


@dataclass(frozen=True)
class Plan:
    """What is tried: words of a set, in a machine."""

    model: str
    traps: tuple[str, ...]
    words: str
    seed: int
    count: int
    word: int | None = None
    step: int = 1
    """Of the system set, every so many."""


@dataclass(frozen=True)
class Finding:
    """A word that did what none may do, in a state (EL, stage 1 on)."""

    model: str
    traps: tuple[str, ...]
    word: int
    el: int
    mmu: bool
    what: str


def words_of(plan: Plan) -> Iterator[tuple[int, int]]:
    """(number, word), the same for the same plan."""
    if plan.word is not None:
        return iter([(0, plan.word)])
    random = Random(plan.seed)
    if plan.words == "system":
        # MSR (immediate), barriers, hints, SYS, SYSL, MRS and MSR: all there is, Rt aside.
        return enumerate(_SYSTEM | middle << 5 | 3 for middle in range(0, 1 << 17, plan.step))
    if plan.words == "random":
        return enumerate(random.getrandbits(32) for _ in range(plan.count))
    return enumerate(mutated_word(random) for _ in range(plan.count))


def mutated_word(random: Random) -> int:
    """A word of an allocated group, with few bits that are not those of a real instruction."""
    word = random.choice(SEEDS)
    for _ in range(random.choice((1, 1, 2, 3, 5))):
        word ^= 1 << random.randrange(32)
    return word


SEEDS: Final = (
    # One or two of each group of C4.1: data processing with immediates and registers, branches, exceptions, loads and
    # stores of all forms, SIMD and floating point scalar and vector, cryptography, SVE.
    *(0x9100_0400, 0xF280_0020, 0x9240_0020, 0x9340_7C20, 0x93C2_0820, 0x3000_0000),
    *(0x1400_0001, 0x5400_0040, 0xB400_0040, 0x3600_0040, 0xD61F_0020, 0xD65F_0BFF, 0xD400_0001, 0xD400_0002),
    *(0xD503_201F, 0xD503_3FDF, 0xD503_305F, 0xD500_40BF, 0xD508_7820, 0xD50B_7423, 0xD53B_0003, 0xD50B_7C23),
    *(0xF940_0020, 0xF840_0C20, 0xF862_6820, 0xA940_0820, 0xA8C1_0820, 0x5800_0040, 0x3DC0_0020, 0xAD40_0420),
    *(0xC85F_7C20, 0xC87F_0820, 0xC8A2_7C20, 0xF822_0020, 0x4862_7C20, 0x0C40_7020, 0x0D40_8020, 0x4CDF_2020),
    *(0xF820_0420, 0xD920_0420, 0x9B02_7C20, 0x9AC2_0C20, 0xDAC0_1020, 0x1A82_0020, 0xBA42_0020, 0x3A00_0820),
    *(0xDAC1_0020, 0x9AC2_3020, 0x9AC2_5020, 0x1E22_2820, 0x1E22_2020, 0x1E22_0420, 0x1E22_0C20, 0x1F02_0C20),
    *(0x1E20_4020, 0x9E20_0020, 0x1E02_FC20, 0x1E2E_1000, 0x4E22_8420, 0x4E22_0020, 0x0E21_D820, 0x4EA0_B820),
    *(0x6E22_DC20, 0x4E22_1C20, 0x4F00_F400, 0x5E08_0420, 0x5E22_D820, 0x4E02_0020, 0x4E02_1820, 0x6E02_0820),
    *(0x4F42_1020, 0x5F40_5420, 0x0F08_8420, 0x2EDE_3F03, 0x7E79_4B37, 0x4EC2_1420, 0x6E42_C420, 0x4E82_9420),
    *(0x4E28_4820, 0x5E02_0020, 0x5E28_0820, 0xCE62_8020, 0xCE60_8020, 0xCEC0_8020, 0x4E40_1C20, 0x6E80_E420),
    *(0x0420_0000, 0x0462_0020, 0x2580_4020, 0x6540_0020, 0xA540_4020, 0xE540_4020, 0x8540_4020, 0x05E0_3820),
    *(0x2518_E000, 0x0460_E3E0, 0x6582_0020, 0x44A2_0020, 0x1E63_4020, 0x1EE2_2820, 0x5EF9_D820, 0x7E30_C820),
)


class Lab:
    """A machine in which one word after the other is executed, each from the same state but for the registers."""

    def __init__(self, plan: Plan) -> None:
        description = _describe(plan)
        image = load_guest(GUEST, ram_base=RAM)
        self.machine: Machine = build_machine(description, image, Console(os.open(os.devnull, os.O_WRONLY), None))
        self.machine.start()
        self._vcpu, self._core = self.machine.current.arch, self.machine.host.core(0)
        launch, vectors = (image.symbols.lookup(name) for name in ("launch", "vectors"))
        assert launch is not None
        assert vectors is not None
        self._launch = launch
        for name, value in (("VBAR_EL1", vectors), ("CPACR_EL1", 3 << 20 | 3 << 16), ("MAIR_EL1", 0xFF)):
            self._vcpu.write_sysreg(lookup(name), value)
        self._vcpu.write_sysreg(lookup("TTBR0_EL1"), TABLES)
        self._vcpu.write_sysreg(lookup("TCR_EL1"), _TCR)
        self._first = array("Q", self._vcpu.state.u64)

        self._tables = [_tables(user) for user in (_USER, 0)]

    def execute(self, word: int, el: int, mmu: bool, random: Random) -> None:
        """One word, and what follows from it for a few exits."""
        machine, vcpu, core = self.machine, self._vcpu, self._core
        vcpu.state.u64[:] = memoryview(self._first)
        core.restorer(vcpu.state)()
        core.pstate_writer()(MASKED | EL1H)
        core.saver(vcpu.state)()
        machine.ram.write(CODE, struct.pack("<4I", word, HVC, HVC, HVC))
        machine.ram.write(TABLES, self._tables[el])
        vcpu.write_sysreg(lookup("SCTLR_EL1"), _SCTLR | mmu)
        core.flush_tlb()
        vcpu.write_sysreg(lookup("SPSR_EL1"), MASKED | (EL1H if el else 0))
        vcpu.write_sysreg(lookup("ELR_EL1"), CODE)
        ctx = vcpu.ctx
        ctx.sp_el0, ctx.sp, ctx.elr = DATA + 0x8000, DATA + 0x9000, self._launch
        for number in range(31):
            ctx.set_gpr(number, _value(random))
        vcpu.max_exits = vcpu.exits + _EXITS
        core.set_budget(_INSTRUCTIONS)
        for _ in range(_EXITS):
            vcpu.run()
            if not core.budget_left():
                break

    def close(self) -> None:
        """End the machine."""
        self.machine.close()


def _tables(user: int) -> bytes:
    """An identity map. What EL0 may write EL1 may not execute, so the first two blocks of memory are always EL1's."""
    blocks = (RAM + (n << 21) | _BLOCK | (user if n else 0) for n in range(512))
    level1 = (_BLOCK, TABLES + 0x1000 | _TABLE, 2 << 30 | _BLOCK | user, 3 << 30 | _BLOCK)
    return struct.pack("<4Q", *level1).ljust(0x1000, b"\0") + struct.pack("<512Q", *blocks)


def _describe(plan: Plan) -> MachineDescription:
    traps = ", ".join(f'"{name}"' for name in plan.traps)
    text = f'[cpu]\nmodel = "{plan.model}"\n[el2]\nhcr = [{traps}]\n'
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "words.toml")
        path.write_text(text, encoding="utf-8")
        return load_machine(path)


def _value(random: Random) -> int:
    kind = random.randrange(8)
    if kind < 3:
        return DATA + random.randrange(0x8000) & ~7
    if kind == 3:
        return DATA + random.randrange(0x8000)
    if kind == 4:
        return random.choice((DEVICE, NOWHERE, 0, CODE, (1 << 64) - 1, 1 << 63, 0xFFFF_0000_0000_0000))
    if kind == 5:
        return random.randrange(64)
    return random.getrandbits(64)


def _work(plan: Plan, first: int, page: mmap.mmap, report: Callable[[Finding], None]) -> None:
    """The child: execute the words from number ``first`` on."""
    lab = Lab(plan)
    for number, word in words_of(plan):
        if number < first:
            continue
        for index, (el, mmu) in enumerate(STATES):
            _PROGRESS.pack_into(page, 0, number * len(STATES) + index, word | 1 << 32)
            try:
                lab.execute(word, el, mmu, Random(f"{plan.seed} {number} {index}"))
            except Exception:  # noqa: BLE001
                text = traceback.format_exc().strip().splitlines()
                report(Finding(plan.model, plan.traps, word, el, mmu, f"{text[-1]} | {text[-3].strip()}"))
                lab = Lab(plan)
    _PROGRESS.pack_into(page, 0, _ENDED, 1)


def hunt(plan: Plan, report: Callable[[Finding], None]) -> int:
    """Execute all words of a plan; how many words there were."""
    page = mmap.mmap(-1, mmap.PAGESIZE)
    context = multiprocessing.get_context("fork")
    first = 0
    while True:
        _PROGRESS.pack_into(page, 0, first * len(STATES), 0)
        child = context.Process(target=_work, args=(plan, first, page, report))
        child.start()
        status = _wait(child, page)
        at, word = _PROGRESS.unpack_from(page, 0)
        if not word:
            raise RuntimeError(f"the child does not begin: {status}")
        if at == _ENDED:
            return sum(1 for _ in words_of(plan))
        number, index = divmod(at, len(STATES))
        el, mmu = STATES[index]
        report(Finding(plan.model, plan.traps, word & 0xFFFF_FFFF, el, mmu, status))
        first = number + 1


def _wait(child: multiprocessing.process.BaseProcess, page: mmap.mmap) -> str:
    """Wait for a child's end or standstill; how it ended."""
    last, since = -1, time.monotonic()
    while True:
        child.join(0.5)
        if child.exitcode is not None:
            code = child.exitcode
            return signal.Signals(-code).name if code < 0 else f"exit status {code}"
        at, _ = _PROGRESS.unpack_from(page, 0)
        if at != last:
            last, since = at, time.monotonic()
        elif time.monotonic() - since > _STANDSTILL:
            child.kill()
            child.join()
            return "standstill"


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt; status 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=MODELS, help="default: all")
    parser.add_argument("--set", dest="words", choices=SETS, default="random")
    parser.add_argument("--traps", default="none", help="none, all, or names of HCR_EL2 bits with commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20_000, help="words of a random set")
    parser.add_argument("--word", type=lambda text: int(text, 0), help="only this word")
    options = parser.parse_args(arguments)
    traps = {"none": (), "all": HCR_TRAPS}.get(options.traps, tuple(options.traps.split(",")))
    found: list[Finding] = []

    def report(finding: Finding) -> None:
        found.append(finding)
        print(json.dumps({**vars(finding), "word": f"{finding.word:#010x}"}), flush=True)

    for model in options.model or MODELS:
        plan = Plan(model, traps, options.words, options.seed, options.count, options.word)
        started = time.monotonic()
        number = hunt(plan, report)
        print(f"{model}: {number} words of seed {options.seed} in {time.monotonic() - started:.0f} s", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
