"""Mutated files of every kind that the commands read: one line and a documented status, or the correct result.

    python -m tests.fuzz.files --kind elf --count 2000
    python -m tests.fuzz.files --seed 5 --count 300
    python -m tests.fuzz.files --kind trace --seed 5 --only 117 --keep found.jsonl

``--only`` repeats the case with a number, shrunk to the fewest changes with which it is still a finding; ``--keep``
writes its file.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.fuzz.children import Outcome, run, write

ROOT: Final = Path(__file__).resolve().parents[2]
SAMPLES: Final = ROOT / "samples"
GUESTS: Final = ROOT / "tests" / "integration" / "guests"
LIMITS: Final = ("--max-exits", "200", "--timeout", "3")
"""So that whatever a mutated guest does, it soon comes to an end."""
_MOST_EDITS: Final = 12
_INTERESTING: Final = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, (1 << 63) - 1, (1 << 64) - 1)


@dataclass(frozen=True)
class Edit:
    """``size`` bytes at ``offset`` become ``data``."""

    offset: int
    size: int
    data: bytes


@dataclass(frozen=True)
class Kind:
    """Files of one kind: those that are mutated, the name that a file gets, and the commands that read it."""

    seeds: Callable[[Path], Sequence[bytes]]
    name: str
    commands: tuple[tuple[str, ...], ...]
    """With ``{file}`` for the file and ``{guest}`` for a guest that is well."""


@dataclass(frozen=True)
class Finding:
    """A case that went wrong."""

    kind: str
    seed: int
    number: int
    command: tuple[str, ...]
    what: str
    edits: int


def _elves(_folder: Path) -> list[bytes]:
    names = (SAMPLES / "hello" / "hello.elf", SAMPLES / "ticks" / "ticks.elf", SAMPLES / "crash" / "crash.elf")
    return [path.read_bytes() for path in (*names, GUESTS / "faults.elf")]


def _machines(_folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(SAMPLES.rglob("*.toml"))] or [b'[cpu]\nmodel = "max"\n']


def _made(folder: Path, *arguments: object) -> bytes:
    path = folder / "made"
    outcome = run([*arguments[:1], *(str(path) if each is None else each for each in arguments[1:])])
    if outcome.complaint or not path.exists():
        raise RuntimeError(f"{arguments}: {outcome}")
    return path.read_bytes()


def _traces(folder: Path) -> list[bytes]:
    guest = SAMPLES / "ticks" / "ticks.elf"
    return [_made(folder, "trace", "--el1", "--format", "jsonl", "-o", None, guest)]


def _recordings(folder: Path) -> list[bytes]:
    return [_made(folder, "run", "--record", None, SAMPLES / "ticks" / "ticks.elf")]


def _symbol_lists(_folder: Path) -> list[bytes]:
    lines = [f"{0x4008_0000 + 16 * n:016x} {'TtDdBbA'[n % 7]} symbol_{n}" for n in range(200)]
    return ["\n".join(lines).encode() + b"\n"]


def _images(_folder: Path) -> list[bytes]:
    """Linux Images (Documentation/arch/arm64/booting.rst) that power off at once."""
    code = struct.pack("<3I", 0x5280_0100, 0x72B0_8000, 0xD400_0002)
    header = struct.pack("<2I3Q3QII", 0x1400_0010, 0, 0, 0x1_0000, 0xA, 0, 0, 0, 0x644D_5241, 0)
    return [(header + code).ljust(4096, b"\0")]


KINDS: Final[Mapping[str, Kind]] = {
    "elf": Kind(
        _elves,
        "guest.elf",
        (
            ("run", *LIMITS, "{file}"),
            ("trace", *LIMITS, "{file}"),
            ("probe", "--for", "{file}"),
            ("walk", "{file}", "main"),
        ),
    ),
    "machine": Kind(
        _machines,
        "machine.toml",
        (("run", *LIMITS, "-m", "{file}", "{guest}"), ("dtb", "-m", "{file}", "-o", "/dev/null")),
    ),
    "trace": Kind(
        _traces,
        "trace.jsonl",
        (("stat", "-i", "{file}"), ("report", "{file}"), ("diff", "{file}", "{file}"), ("diff", "{file}", "{seed}")),
    ),
    "recording": Kind(_recordings, "recording", (("run", *LIMITS, "--replay", "{file}", "{guest}"),)),
    "symbols": Kind(
        _symbol_lists, "System.map", (("trace", *LIMITS, "--symbols", "{file}", "--start-at", "symbol_7", "{guest}"),)
    ),
    "image": Kind(_images, "Image", (("run", *LIMITS, "{file}"), ("probe", "--for", "{file}"))),
}


def edits_of(seed: bytes, random: Random) -> list[Edit]:
    """A few changes: bits, bytes, numbers, pieces cut out, doubled, put elsewhere."""
    found = []
    for _ in range(random.randint(1, _MOST_EDITS)):
        at = random.randrange(len(seed))
        if random.random() < 0.5:
            # Headers are where the sense is.
            at = random.randrange(min(len(seed), 512))
        size = random.choice((1, 2, 4, 8))
        how = random.randrange(6)
        if how == 0:
            found.append(Edit(at, 1, bytes([seed[at] ^ 1 << random.randrange(8)])))
        elif how == 1:
            number = random.choice(_INTERESTING) & (1 << 8 * size) - 1
            found.append(Edit(at, size, number.to_bytes(size, "little")))
        elif how == 2:
            found.append(Edit(at, size, random.randbytes(size)))
        elif how == 3:
            found.append(Edit(at, random.randrange(1, 64), b""))
        elif how == 4:
            other = random.randrange(len(seed))
            found.append(Edit(at, 0, seed[other : other + random.randrange(1, 64)]))
        else:
            found.append(Edit(at, len(seed), b""))
    return found


def apply(seed: bytes, edits: Sequence[Edit]) -> bytes:
    """The seed with all changes, those behind first."""
    data = seed
    for edit in sorted(edits, key=lambda edit: -edit.offset):
        data = data[: edit.offset] + edit.data + data[edit.offset + edit.size :]
    return data


class Hunt:
    """Cases of one kind, by number."""

    def __init__(self, name: str, seed: int, folder: Path) -> None:
        self._name, self._kind, self._seed, self._folder = name, KINDS[name], seed, folder
        self._seeds = self._kind.seeds(folder)

    def case(self, number: int) -> tuple[bytes, list[Edit]]:
        """The seed and the changes of a case."""
        random = Random(f"{self._name} {self._seed} {number}")
        seed = random.choice(self._seeds)
        return seed, edits_of(seed, random)

    def outcome(self, command: Sequence[str], seed: bytes, edits: Sequence[Edit]) -> Outcome:
        """What a command makes of a file."""
        file = write(self._folder, self._kind.name, apply(seed, edits))
        original = write(self._folder, f"seed-{self._kind.name}", seed)
        names = {"file": file, "seed": original, "guest": SAMPLES / "hello" / "hello.elf"}
        return run([word.format(**names) for word in command])

    def try_one(self, number: int) -> list[Finding]:
        """All commands on one file."""
        seed, edits = self.case(number)
        found = []
        for command in self._kind.commands:
            complaint = self.outcome(command, seed, edits).complaint
            if complaint:
                found.append(Finding(self._name, self._seed, number, command, complaint, len(edits)))
        return found

    def shrink(self, finding: Finding) -> tuple[bytes, list[Edit]]:
        """The fewest changes with which a command still goes wrong."""
        seed, edits = self.case(finding.number)
        for edit in list(edits):
            fewer = [other for other in edits if other is not edit]
            if fewer and self.outcome(finding.command, seed, fewer).complaint:
                edits = fewer
        return seed, edits


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt; status 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", choices=tuple(KINDS), help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=200, help="files of each kind")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this case, shrunk")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the file of --only")
    options = parser.parse_args(arguments)
    found: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.kind or KINDS:
            started = time.monotonic()
            hunt = Hunt(name, options.seed, Path(folder))
            numbers = range(options.count) if options.only is None else [options.only]
            for number in numbers:
                for finding in hunt.try_one(number):
                    found.append(finding)
                    print(json.dumps(vars(finding)), flush=True)
                    if options.only is not None:
                        seed, edits = hunt.shrink(finding)
                        print(json.dumps([[edit.offset, edit.size, edit.data.hex()] for edit in edits]))
                        if options.keep is not None:
                            options.keep.write_bytes(apply(seed, edits))
            print(
                f"{name}: {len(numbers)} files of seed {options.seed} in {time.monotonic() - started:.0f} s", flush=True
            )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
