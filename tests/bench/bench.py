"""What it costs to run guests, as ratios of CPU time measured in one run:  python tests/bench/bench.py

Every figure compares two things that run in turn, A B A B: whole processes, or the two halves of an experiment in this
process. The median of the pairwise ratios is printed, their range, and the load of the machine after the last pair.
Absolute times are not: they say more about the machine.

  python tests/bench/bench.py --only hello --only boot       some rows
  python tests/bench/bench.py --against ../main --only boot  this checkout against another
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import Final

# A script finds what lies beside it, not the package that it is part of.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.processes import BenchError
from tests.bench.rows import Row, rows, rows_against

HEADING: Final = "| what | against | at most | median | range | load |\n|---|---|---|---|---|---|"


def chosen(table: list[Row], patterns: list[str]) -> list[Row]:
    """The rows whose name holds one of the patterns; all without patterns."""
    return [row for row in table if not patterns or any(pattern in row.name for pattern in patterns)]


def measure(row: Row, rounds: int, count: int) -> list[float]:
    """The ratios of ``rounds`` pairs, in order of size, after one pair that does not count."""
    row.pair(count)
    pairs = [row.pair(count) for _ in range(rounds)]
    return sorted(first / second for first, second in pairs)


def line(row: Row, rounds: int, count: int) -> str:
    """The row of the table, or why there is none."""
    at_most = "" if row.at_most is None else f"{row.at_most:g}"
    start = f"| {row.name} | {row.against} | {at_most} |"
    if (lacks := row.lacks()) is not None:
        return f"{start} {lacks} | | |"
    ratios = measure(row, rounds, count)
    load = os.getloadavg()[0]
    return f"{start} {statistics.median(ratios):.2f} | {ratios[0]:.2f}-{ratios[-1]:.2f} | {load:.2f} |"


def show(row: Row, rounds: int, count: int) -> int:
    """Print the row of the table, or on stderr why it failed; the exit status."""
    try:
        print(line(row, rounds, count), flush=True)
    except BenchError as error:
        print(f"{row.name}: {error}", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Measure and print the table; the status is 1 if a row failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="pairs for each figure (default 5)")
    parser.add_argument("--exits", type=int, default=100_000, help="exits in each run (default 100000)")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN", help="rows whose name has PATTERN")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    parser.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="compare the whole processes with those of another checkout"
    )
    options = parser.parse_args()
    table = rows() if options.against is None else rows_against(options.against.resolve())
    table = chosen(table, options.only)
    if options.list:
        print("\n".join(row.name for row in table))
        return 0
    print(HEADING)
    return max([show(row, options.rounds, options.exits) for row in table], default=0)


if __name__ == "__main__":
    sys.exit(main())
