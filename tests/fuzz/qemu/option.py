"""The option ``--qemu`` of the drivers, and what they print of it."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from typing import Final

from tests.fuzz.qemu.second import PROGRAM, find, version

CHOICES: Final = ("auto", "yes", "no")


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add it."""
    parser.add_argument(
        "--qemu", choices=CHOICES, default="auto", help="ask QEMU too: if it is installed (auto), always, or never"
    )


def wanted(options: argparse.Namespace) -> bool:
    """Whether QEMU is to be asked; says so. Ends the command if it has to be, and is not installed."""
    if options.qemu == "no":
        print("without a second opinion", flush=True)
        return False
    if find() is None:
        if options.qemu == "yes":
            raise SystemExit(f"{PROGRAM} is not installed")
        print(f"without a second opinion: {PROGRAM} is not installed", flush=True)
        return False
    print(f"second opinion: {version()}", flush=True)
    return True


def say_outcomes(outcomes: Counter[str], rules: Mapping[str, str]) -> None:
    """Print how often each rule has excluded a difference, with its reason, and all other counts."""
    others = {what: number for what, number in outcomes.items() if what not in rules}
    if others:
        print("  " + ", ".join(f"{number} {what}" for what, number in others.items()))
    for what, number in outcomes.most_common():
        if what in rules:
            print(f"  {number} not compared, {what}: {rules[what]}")
