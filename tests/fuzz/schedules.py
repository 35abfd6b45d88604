"""Locks of several CPUs under many schedules: correct ones must work under each, and the broken one must be detected.

    python -m tests.fuzz.schedules --seeds 100 --increments 3000

Prints a JSON line for each seed that finds an error or does not detect the broken lock, and a final count. Exit status
1 if a correct lock failed, or if no seed detected the broken one.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.guest.loader import load_guest

GUEST: Final = Path(__file__).parents[1] / "integration" / "guests" / "smp" / "torture.elf"
RAM: Final = 0x4000_0000
BROKEN: Final = "broken"
RIGHT, LOST = "right", "LOST"
TIMEOUT: Final = 600.0
"""Seconds, for a run that never ends."""


def verdicts(seed: int, cpus: int, increments: int) -> Mapping[str, str]:
    """What became of each lock, by its name, and under ``ending`` how the run ended."""
    image = load_guest(GUEST, ram_base=RAM)
    with Machine.open(image, {"cpu": {"model": "max"}}, cpus=cpus, schedule=seed) as machine:
        address = image.symbols.lookup("increments")
        if address is None:
            raise SystemExit(f"{GUEST} has no symbol increments")
        machine.write_memory(address, increments.to_bytes(4, "little"))
        result = machine.run(timeout=TIMEOUT)
    text = result.console.decode(errors="replace")
    found = dict(re.findall(r"^([\w-]+) \d+ of \d+ (\w+)$", text, re.MULTILINE))
    return {**found, "ending": result.message}


def main() -> int:
    """The campaign."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--first", type=int, default=1, help="the first one (default 1)")
    parser.add_argument("--cpus", type=int, default=4, help="CPUs of the guest (default 4)")
    parser.add_argument("--increments", type=int, default=3000, help="of each CPU under each lock (default 3000)")
    options = parser.parse_args()
    wrong = caught = 0
    for seed in range(options.first, options.first + options.seeds):
        found = verdicts(seed, options.cpus, options.increments)
        bad = {name: verdict for name, verdict in found.items() if name not in (BROKEN, "ending") and verdict != RIGHT}
        missed = found.get(BROKEN) != LOST
        caught += not missed
        if bad or BROKEN not in found:
            wrong += 1
        if bad or missed:
            print(json.dumps({"seed": seed, "wrong": bad, "broken": found.get(BROKEN), "ending": found["ending"]}))
    print(f"{options.seeds} seeds: {wrong} with a right lock that was wrong, {caught} that caught the broken one")
    return int(wrong > 0 or not caught)


if __name__ == "__main__":
    sys.exit(main())
