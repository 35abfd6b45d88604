"""Random guests in random machines: a documented status, no traceback, and equal repetitions.

    python -m tests.fuzz.guests --count 1000 --seed 3
    python -m tests.fuzz.guests --seed 3 --only 412 --keep guest.bin

A guest is a page of words close to instructions, with a vector table that mostly skips faulting instructions; a machine
has a model, traps, features of EL2 and memory with or without permissions. Each is run twice, plain and traced: its
output, its status and its exits must be the same. ``--only`` repeats one and shrinks it by turning words into NOPs.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from arm_vcpu_cli.board.el2_loading import HCR_TRAPS
from tests.fuzz.children import Outcome, run, write
from tests.fuzz.words import MODELS, mutated_word

LIMITS: Final = ("--max-exits", "500", "--timeout", "1")
TIMED_OUT: Final = 124
_WORDS: Final = 200
_NOP: Final = 0xD503_201F
_VECTOR_TABLE: Final = 0x800
_SYSTEM_OFF: Final = (0x5280_0100, 0x72B0_8000, 0xD400_0002)
_STEP_OVER: Final = (0xD538_4021, 0x9100_1021, 0xD518_4021, 0xD69F_03E0)
"""mrs x1, elr_el1; add x1, x1, #4; msr elr_el1, x1; eret"""


@dataclass(frozen=True)
class Finding:
    """A guest that went wrong."""

    seed: int
    number: int
    what: str


def guest_of(random: Random) -> list[int]:
    """A raw binary as words: start-up, random words, power-off, and at 0x800 the vectors."""
    # adr x0, vectors; msr vbar_el1, x0; isb; some registers with addresses in them
    vectors = _VECTOR_TABLE >> 2
    adr = 0x1000_0000 | vectors << 5
    setup = [adr, 0xD518_C000, 0xD503_3FDF]
    for register in range(2, 8):
        value = random.choice((0x4000, 0x4010, 0x0900, 0x0800, 0x080A, 0x3000, random.getrandbits(16)))
        setup += [0xD2A0_0000 | value << 5 | register]
    body = [mutated_word(random) for _ in range(_WORDS)]
    words = [*setup, *body, *_SYSTEM_OFF]
    words += [_NOP] * (vectors - len(words))
    for _ in range(16):
        handler = list(_STEP_OVER) if random.random() < 0.9 else [mutated_word(random) for _ in range(4)]
        words += [*handler, *[_NOP] * 28]
    return words


def machine_of(random: Random) -> str:
    """A machine description in TOML."""
    traps = [f'"{name}"' for name in HCR_TRAPS if random.random() < 0.2]
    lines = ["[cpu]", f'model = "{random.choice(MODELS)}"', "[el2]", f"hcr = [{', '.join(traps)}]"]
    keys = [key for key in ("trap_wfi", "trap_id_registers", "passthrough_timer") if random.random() < 0.3]
    lines += [f"{key} = {random.choice(('true', 'false'))}" for key in keys]
    return "\n".join(lines) + "\n"


def outcomes(folder: Path, words: Sequence[int], machine: str) -> tuple[Outcome, Outcome, str]:
    """The same guest run and traced, and what is wrong with that."""
    guest = write(folder, "guest.bin", struct.pack(f"<{len(words)}I", *words))
    file = write(folder, "machine.toml", machine.encode())
    first = run(["run", *LIMITS, "-m", file, guest])
    if first.end == TIMED_OUT:
        return first, first, first.complaint
    traces = []
    for name in ("one.jsonl", "two.jsonl"):
        trace = folder / name
        trace.unlink(missing_ok=True)
        second = run(["trace", *LIMITS, "--el1", "-m", file, "--format", "jsonl", "-o", trace, guest])
        traces.append(trace.read_bytes() if trace.exists() else b"")
    what = first.complaint or second.complaint
    if not what and TIMED_OUT not in (first.end, second.end):
        if (first.end, first.out) != (second.end, second.out):
            what = f"run ended with {first.end}, trace with {second.end}; {first.out[:40]!r}, {second.out[:40]!r}"
        elif traces[0] != traces[1]:
            what = "two traces are not the same"
    return first, second, what


def shrink(folder: Path, words: Sequence[int], machine: str) -> list[int]:
    """NOPs for all words that a finding does not need."""
    fewer = list(words)
    for index, word in enumerate(words):
        if word == _NOP:
            continue
        fewer[index] = _NOP
        if not outcomes(folder, fewer, machine)[2]:
            fewer[index] = word
    return fewer


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt; status 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this guest, shrunk")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the guest of --only")
    options = parser.parse_args(arguments)
    found, started = 0, time.monotonic()
    numbers = range(options.count) if options.only is None else [options.only]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in numbers:
            random = Random(f"{options.seed} {number}")
            words, machine = guest_of(random), machine_of(random)
            what = outcomes(folder, words, machine)[2]
            if not what:
                continue
            found += 1
            print(json.dumps(vars(Finding(options.seed, number, what))), flush=True)
            if options.only is not None:
                words = shrink(folder, words, machine)
                print(machine, *(f"{4 * at:#06x}: {word:#010x}\n" for at, word in enumerate(words) if word != _NOP))
                if options.keep is not None:
                    options.keep.write_bytes(struct.pack(f"<{len(words)}I", *words))
    print(f"{len(numbers)} guests of seed {options.seed} in {time.monotonic() - started:.0f} s", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
