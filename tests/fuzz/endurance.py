"""The same thing many times: memory does not grow, descriptors do not, and every run is that before.

python -m tests.fuzz.endurance --rounds 2000
python -m tests.fuzz.endurance --only refusals --rounds 100000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final

from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.file_paths import base_name
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.vm.builder import build_machine
from arm_vcpu_cli.vm.runner import run_machine
from tests.fuzz.children import run
from tests.fuzz.words import Lab, Plan

ROOT: Final = Path(__file__).resolve().parents[2]
SAMPLES: Final = tuple(ROOT / "samples" / name / f"{name}.elf" for name in ("hello", "ticks", "paging"))
REFUSED: Final = 0x2EDE_3F03
RAM: Final = 0x4000_0000
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_GROWTH: Final = 24 << 20
"""Bytes that a process may be larger at the end than after a quarter of its rounds: what the allocators keep."""
_CODE_BUFFER: Final = 256 << 20
"""Bytes of translated code that an engine keeps at most."""


def machines(rounds: int) -> str:
    """Machines built, run and closed one after the other in one process."""
    meter = Meter(rounds)
    description = load_machine(None)
    sink = os.open(os.devnull, os.O_WRONLY)
    for number in range(rounds):
        image = load_guest(SAMPLES[number % len(SAMPLES)], ram_base=RAM)
        with build_machine(description, image, Console(sink, None)) as machine:
            machine.start()
            with Watchdog(machine.host.core(0).request_stop) as watchdog:
                result = run_machine(machine, watchdog)
        if result.status:
            return f"{base_name(image.path)} ended with {result.status}: {result.message}"
        complaint = meter.look(number)
        if complaint:
            return complaint
    return ""


def refusals(rounds: int) -> str:
    """Words that the engine's translator gives up on, in one engine."""
    meter, lab = Meter(rounds, _GROWTH + _CODE_BUFFER), Lab(Plan("max", (), "random", 0, 1))
    for number in range(rounds):
        lab.execute(REFUSED, number & 1, bool(number & 2), Random(number))
        complaint = meter.look(number)
        if complaint:
            return complaint
    lab.close()
    return ""


def traces(rounds: int) -> str:
    """The trace of one guest, again and again."""
    seen: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(max(2, rounds // 20)):
            path = Path(folder, "trace.jsonl")
            outcome = run(["trace", "--el1", "--format", "jsonl", "-o", path, SAMPLES[1]])
            if outcome.complaint or outcome.end:
                return f"round {number}: {outcome.complaint or outcome.end}"
            seen.add(hashlib.sha256(path.read_bytes()).hexdigest())
    return "" if len(seen) == 1 else f"{len(seen)} different traces"


class Meter:
    """Looks at the size and the descriptors of this process."""

    def __init__(self, rounds: int, growth: int = _GROWTH) -> None:
        self._growth = growth
        self._first, self._every = rounds // 4, max(1, rounds // 50)
        self._size = self._descriptors = 0

    def look(self, number: int) -> str:
        """What has grown by the end of a round."""
        if number == self._first:
            self._size, self._descriptors = _resident(), _open_descriptors()
        elif number > self._first and number % self._every == 0:
            if _open_descriptors() > self._descriptors:
                return f"round {number}: {_open_descriptors() - self._descriptors} descriptors more"
            if _resident() > self._size + self._growth:
                return f"round {number}: {(_resident() - self._size) >> 20} MiB more"
        return ""


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


PARTS: Final[Mapping[str, Callable[[int], str]]] = {"machines": machines, "refusals": refusals, "traces": traces}


def main(arguments: Sequence[str] | None = None) -> int:
    """Go through the parts; status 1 if anything grew or differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=tuple(PARTS))
    parser.add_argument("--rounds", type=int, default=400)
    options = parser.parse_args(arguments)
    found = 0
    for name in options.only or PARTS:
        started = time.monotonic()
        what = PARTS[name](options.rounds)
        if what:
            found += 1
            print(json.dumps({"part": name, "what": what}), flush=True)
        print(f"{name}: {options.rounds} rounds in {time.monotonic() - started:.0f} s", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
