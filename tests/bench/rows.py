"""The rows of the benchmark, each with the ratio that it must not exceed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arm_vcpu_cli import Hypercall, MmioWrite

from . import booted, exits
from .processes import QEMU, ROOT, BenchError, Command, Finished, armvcpu, finish, qemu

GUESTS: Final = Path(__file__).resolve().parent / "guests"
SAMPLES: Final = ROOT / "samples"
LINUX: Final = SAMPLES / "linux" / "build"

Pair = tuple[float, float]
"""The CPU times of one round: of what is measured, and of what it is measured against."""


@dataclass(frozen=True)
class Guest:
    """A guest and what both sides need to start it; ``same_output``: both print the same bytes."""

    file: Path
    initrd: Path | None = None
    append: str | None = None
    same_output: bool = True

    @property
    def arguments(self) -> tuple[str, ...]:
        """What ``armvcpu`` is given after the name of its command."""
        return (str(self.file), *self._boot("--initrd", "--append"))

    def under_qemu(self) -> Command:
        return qemu(self.file, *self._boot("-initrd", "-append"))

    def lacks(self) -> str | None:
        """Why it cannot run here."""
        lacking = [str(file) for file in (self.file, self.initrd) if file is not None and not file.exists()]
        return f"{' and '.join(lacking)} not there" if lacking else None

    def _boot(self, initrd: str, append: str) -> tuple[str, ...]:
        disk = () if self.initrd is None else (initrd, str(self.initrd))
        return disk if self.append is None else (*disk, append, self.append)


HELLO: Final = Guest(SAMPLES / "hello" / "hello.elf")
BOOT: Final = Guest(LINUX / "vmlinuz", LINUX / "initrd.gz", "console=ttyAMA0 poweroff", same_output=False)


@dataclass(frozen=True)
class Row:
    """One line of the table; ``at_most`` is its limit."""

    name: str
    against: str
    at_most: float | None

    def lacks(self) -> str | None:
        """Why the row cannot be measured here."""
        return None

    def pair(self, count: int) -> Pair:
        """One round; ``count`` is how many exits the rows about exits take."""
        raise NotImplementedError


@dataclass(frozen=True)
class InProcess(Row):
    """Two functions of the number of exits that return the time that they took."""

    first: Callable[[int], float]
    second: Callable[[int], float]

    def pair(self, count: int) -> Pair:
        return self.first(count), self.second(count)


@dataclass(frozen=True)
class Booted(InProcess):
    """A time that begins where Linux has booted."""

    def lacks(self) -> str | None:
        return booted.lacks()


@dataclass(frozen=True)
class Process(Row):
    """Whole processes: the command with ``options`` in front of the guest, against whatever a subclass says."""

    guest: Guest
    options: tuple[str, ...] = ("run",)

    def lacks(self) -> str | None:
        return self.guest.lacks()

    def ours(self, checkout: Path = ROOT) -> Command:
        return armvcpu(checkout, *self.options, *self.guest.arguments)


@dataclass(frozen=True)
class AgainstQemu(Process):
    """Against QEMU with the same guest; ``less``: both sides less what this guest takes there, in the same round."""

    less: Guest | None = None

    def lacks(self) -> str | None:
        return f"{QEMU} not installed" if shutil.which(QEMU) is None else super().lacks()

    def pair(self, count: int) -> Pair:
        first, second = seconds(self.ours(), self.guest.under_qemu(), same_output=self.guest.same_output)
        if self.less is None:
            return first, second
        first_less, second_less = seconds(armvcpu(ROOT, "run", *self.less.arguments), self.less.under_qemu())
        return first - first_less, second - second_less


@dataclass(frozen=True)
class AgainstOptions(Process):
    """Against the same command with other options."""

    others: tuple[str, ...] = ("run",)

    def pair(self, count: int) -> Pair:
        return seconds(self.ours(), armvcpu(ROOT, *self.others, *self.guest.arguments))


@dataclass(frozen=True)
class OnSeveral(Process):
    """As many vCPUs, each with the whole work to do, against as many runs with one."""

    vcpus: int = 1

    def pair(self, count: int) -> Pair:
        several, one = seconds(armvcpu(ROOT, "run", "--smp", str(self.vcpus), *self.guest.arguments), self.ours())
        return several, self.vcpus * one


@dataclass(frozen=True)
class AgainstCheckout(Row):
    """What a row runs of this checkout, against the same of another."""

    row: Process
    checkout: Path

    def lacks(self) -> str | None:
        return self.row.guest.lacks()

    def pair(self, count: int) -> Pair:
        return seconds(self.row.ours(), self.row.ours(self.checkout), same_output=self.row.guest.same_output)


def seconds(first: Command, second: Command, *, same_output: bool = False) -> Pair:
    """The times of two processes, one after the other; no times of two that were to print the same and did not."""
    finished = finish(first), finish(second)
    if same_output:
        _compare(*finished)
    return finished[0].seconds, finished[1].seconds


def _compare(first: Finished, second: Finished) -> None:
    if first.output != second.output or not first.output:
        raise BenchError(f"the output differs: {first.output!r} and {second.output!r}")


def rows() -> list[Row]:
    """All rows, in the order of the table."""
    return [*_linux(), *_guests(), *_several(), *_observed(), *_booted(), *_exits()]


def rows_against(checkout: Path) -> list[Row]:
    """One row for each different command of this checkout that a row of the table runs."""
    processes = {row.ours(): row for row in rows() if isinstance(row, Process)}
    return [AgainstCheckout(row.name, str(checkout), None, row, checkout) for row in processes.values()]


def _linux() -> list[Row]:
    return [
        AgainstQemu("boot of Linux to power-off", "QEMU", 1.35, BOOT),
    ]


def _guests() -> list[Row]:
    def own(name: str, less: Guest | None = None, at_most: float = 2) -> Row:
        return AgainstQemu(name, "QEMU", at_most, Guest(GUESTS / f"{name.split()[0]}.elf"), less=less)

    return [
        AgainstQemu("hello", "QEMU", 2.5, HELLO),
        own("compute-nommu less hello", HELLO, 1.2),
        own("compute-mmu less hello", HELLO, 1.2),
        own("copy"),
        own("chase"),
        own("float"),
        own("patch"),
        own("poll"),
        own("switch"),
    ]


def _several() -> list[Row]:
    four = ("run", "--smp", "4")
    return [
        AgainstOptions("boot of Linux with 4 vCPUs", "1 vCPU", 1.4, BOOT, four, others=("run",)),
        OnSeveral("smp with 4 vCPUs", "four runs with 1", 1.05, Guest(GUESTS / "smp.elf"), vcpus=4),
        InProcess("switch between vCPUs", "save and restore", 5, exits.time_switches, exits.time_saves),
        InProcess("switch between address spaces", "save and restore", 5, exits.time_space_switches, exits.time_saves),
    ]


def _observed() -> list[Row]:
    exits_sample = Guest(SAMPLES / "exits" / "exits.elf")
    machine = ("-m", str(SAMPLES / "exits" / "exits.toml"))
    lines = ("trace", "--format", "jsonl", "-o", "log")
    return [
        AgainstOptions("boot of Linux, trace to JSON Lines", "run", 1.2, BOOT, lines),
        AgainstOptions("boot of Linux, stat", "run", 1.07, BOOT, ("stat", "-o", "log")),
        AgainstOptions("boot of Linux, trace --last 100", "run", 1.05, BOOT, ("trace", "--last", "100", "-o", "log")),
        AgainstOptions(
            *("boot of Linux, --clock host", "--clock instructions", None, BOOT),
            options=("run", "--clock", "host"),
            others=("run", "--clock", "instructions"),
        ),
        AgainstOptions(
            *("exits sample, trace to JSON Lines", "run", None, exits_sample),
            options=(*lines, *machine),
            others=("run", *machine),
        ),
    ]


def _booted() -> list[Row]:
    return [
        Booted("a booted Linux answers, from a snapshot", "0.3 s", 1, booted.time_by_file, lambda _: booted.BY_FILE),
        Booted("a booted Linux answers, by fork", "0.05 s", 1, booted.time_by_fork, lambda _: booted.BY_FORK),
        Booted("a step back in Linux", "there by instructions", 2, booted.time_reverse_steps, booted.time_ways_back),
    ]


def _exits() -> list[Row]:
    def bare_hvc(count: int) -> float:
        return exits.time_bare_hook(exits.HVC_LOOP, count, 0)

    def bare_mmio(count: int) -> float:
        return exits.time_bare_hook(exits.MMIO_LOOP, count, 4)

    def hvc(count: int) -> float:
        return exits.time_in_place(exits.HVC_LOOP, count)

    def mmio(count: int) -> float:
        return exits.time_in_place(exits.MMIO_LOOP, count)

    def traced_mmio(count: int) -> float:
        return exits.time_in_place(exits.MMIO_LOOP, count, observed=True)

    def returned_hvc(count: int) -> float:
        return exits.time_returned(exits.HVC_LOOP, count, Hypercall)

    def returned_mmio(count: int) -> float:
        return exits.time_returned(exits.MMIO_LOOP, count, MmioWrite)

    def bare_compute(_count: int) -> float:
        return exits.time_compute_bare()

    def compute(_count: int) -> float:
        return exits.time_compute(counted=False)

    def counted_compute(_count: int) -> float:
        return exits.time_compute(counted=True)

    return [
        InProcess("HVC completed in the hook", "bare hook", 1.8, hvc, bare_hvc),
        InProcess("MMIO completed in the hook", "bare hook", 2.5, mmio, bare_mmio),
        InProcess("HVC that returns from run()", "bare hook", 6, returned_hvc, bare_hvc),
        InProcess("MMIO that returns from run()", "bare hook", 6, returned_mmio, bare_mmio),
        InProcess("MMIO in the hook, traced to JSON Lines", "not traced", None, traced_mmio, mmio),
        InProcess("compute as a guest", "bare engine", None, compute, bare_compute),
        InProcess("compute as a guest, instructions counted", "bare engine", None, counted_compute, bare_compute),
    ]
