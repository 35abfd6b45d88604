"""Linux with 1 and 4 vCPUs is saved at random points, and goes on in another process:  python -m tests.fuzz.snapshots

The trace and the console of what goes on are those of the run that never stopped, or the point is printed and the
status is 1. The points are exits and instructions; the seed says which.

  python -m tests.fuzz.snapshots --count 50 --seed 1
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
LINUX: Final = ROOT / "samples" / "linux" / "build"
BOOT: Final = ("--initrd", LINUX / "initrd.gz", "--append", "console=ttyAMA0 poweroff")
INSTRUCTIONS: Final = 800_000_000
"""Fewer than a boot has."""


def armvcpu(*arguments: object) -> tuple[int, bytes]:
    words = [sys.executable, "-m", "arm_vcpu_cli", *map(str, arguments)]
    finished = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd=ROOT)
    return finished.returncode, finished.stdout


def traced(path: Path, *arguments: object) -> tuple[list[str], int, bytes]:
    status, console = armvcpu("trace", "--format", "jsonl", "-o", path, *arguments)
    # The first record is about the trace, the last counts what the command has seen.
    return path.read_text().splitlines()[1:-1], status, console


def point(chance: random.Random, exits: int) -> tuple[str, str]:
    if chance.random() < 0.5:
        return "--max-exits", str(chance.randrange(1, exits))
    return "--instructions", str(chance.randrange(1, INSTRUCTIONS))


def check(folder: Path, cpus: int, points: int, chance: random.Random) -> int:
    """How many points are wrong."""
    guest = (LINUX / "vmlinuz", *BOOT, "--smp", cpus)
    whole, status, console = traced(folder / "whole.jsonl", *guest)
    exits = max(json.loads(line).get("seq", 0) for line in whole)
    wrong = 0
    for number in range(points):
        where = point(chance, exits)
        saved, before = armvcpu("snapshot", *guest, *where, "-o", folder / "it.snap")
        rest, then, after = traced(folder / "rest.jsonl", "--from", folder / "it.snap")
        right = saved == 0 and rest == whole[-len(rest) :] and (then, before + after) == (status, console)
        wrong += not right
        verdict = "the same" if right else "ANOTHER"
        print(f"{cpus} vCPUs, {number + 1} of {points}: {' '.join(where)}: {verdict}", flush=True)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="for each number of vCPUs")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chance = random.Random(options.seed)
        return int(sum(check(Path(folder), cpus, options.count, chance) for cpus in (1, 4)) > 0)


if __name__ == "__main__":
    sys.exit(main())
