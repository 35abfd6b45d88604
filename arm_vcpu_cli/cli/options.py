"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.board.description import ClockSource
from arm_vcpu_cli.board.schema import CPU_MODELS, GIC_VERSIONS, KERNEL_TYPES, MAX_CPUS, MAX_PHYS_CPUS, MAX_SECONDS
from arm_vcpu_cli.cli.sections import GuestOption, SectionedCommand
from arm_vcpu_cli.inspect.postmortem.report_wanted import FORMS
from arm_vcpu_cli.sizes import Written, parse_size

if TYPE_CHECKING:
    from arm_vcpu_cli.debug.endpoint import Endpoint

_ENDPOINT: Final = "arm_vcpu_cli.debug.endpoint"
"""Loaded only for runs that a debugger may attach to."""
F = TypeVar("F", bound=Callable[..., Any])
_COUNT_DIGITS = 18


def size(text: str) -> int:
    """A size such as ``512MiB``, in bytes."""
    try:
        return Written.of(parse_size(text), text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def address(text: str) -> int:
    """An address such as ``0x4008_0000``; decimal without 0x."""
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if value < 0:
        raise click.BadParameter(f"{text!r} is not an address such as 0x40080000")
    return Written.of(value, text)


def count(text: str) -> int:
    """A number of 0 or more."""
    if not (text.isascii() and text.isdigit() and len(text) <= _COUNT_DIGITS):
        raise click.BadParameter(f"{text!r} is not a number such as 1000")
    return int(text)


def seed(text: str) -> int:
    """A number of 64 bits; hexadecimal with 0x."""
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= MASK64:
        raise click.BadParameter(f"{text!r} is not a number from 0 to 2^64 - 1")
    return value


def _cpus(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _COUNT_DIGITS and 1 <= int(text) <= most):
        raise click.BadParameter(f"{text!r} is not a number of CPUs from 1 to {most}")
    return int(text)


def cpus(text: str) -> int:
    """The number of the guest's CPUs."""
    return _cpus(text, MAX_CPUS)


def phys_cpus(text: str) -> int:
    """The number of physical CPUs that run it."""
    return _cpus(text, MAX_PHYS_CPUS)


def gic_version(text: str) -> int:
    """The version of an interrupt controller."""
    versions = sorted(GIC_VERSIONS.values())
    if text not in map(str, versions):
        raise click.BadParameter(f"{text!r} is not {' or '.join(map(str, versions))}")
    return int(text)


def seconds(text: str) -> float:
    """A time in seconds, limited as in ``[limits]`` of a machine description."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= MAX_SECONDS:
        raise click.BadParameter(f"{text!r} is not a number of seconds such as 2.5")
    return value


def cpu_model(text: str) -> str:
    """The name of a CPU model."""
    if text not in CPU_MODELS:
        names = tuple(CPU_MODELS)
        raise click.BadParameter(f"{text!r} is no CPU model; expected {', '.join(names[:-1])} or {names[-1]}")
    return text


def endpoint(text: str) -> Endpoint:
    """Where debuggers connect."""
    try:
        parsed: Endpoint = import_module(_ENDPOINT).parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return parsed


def load(text: str) -> tuple[Path, int]:
    """A file and its load address."""
    name, at, where = text.rpartition("@")
    if not at or not name:
        raise click.BadParameter(f"{text!r} is not a file and an address such as data.bin@0x48000000")
    return Path(name), address(where)


class _FileName(click.Path):
    """The name of a file. An empty one is usually a variable of the shell without a value; a path takes it for the
    current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click."""
        if value == "":
            self.fail("expected the name of a file, found an empty one", param, ctx)
        return super().convert(value, param, ctx)


FILE = _FileName(path_type=Path, dir_okay=False)
GUEST = _FileName(path_type=Path, dir_okay=False, allow_dash=True)

_guest_option = partial(click.option, cls=GuestOption)


def guest_or_snapshot(ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    """Refuse a command line without a guest, unless it is about a snapshot."""
    other = ctx.params.get("from_snapshot") or ctx.params.get("info")
    if value is None and other is None and not ctx.resilient_parsing:
        # Options that are given have been processed before what is missing.
        raise click.UsageError("Missing argument 'GUEST'.", ctx)
    return value


_MACHINE_OPTIONS = (
    _guest_option(
        "-m", "--machine", type=FILE, metavar="FILE.toml", help="Machine description [default: the virt preset]."
    ),
    _guest_option("--append", metavar="TEXT", help="Command line for the guest: /chosen/bootargs of its device tree."),
    _guest_option("--memory", type=size, metavar="SIZE", help="Size of the main RAM, such as 512MiB or 1G."),
    _guest_option("--smp", type=cpus, metavar="N", help=f"Number of the guest's CPUs, 1 to {MAX_CPUS} [default: 1]."),
    _guest_option(
        "--cpu",
        type=cpu_model,
        metavar="MODEL",
        help=f"Model of the guest's CPUs: {', '.join(CPU_MODELS)} [default: cortex-a72].",
    ),
    _guest_option(
        "--dtb",
        type=FILE,
        metavar="FILE",
        help="Use the device tree in FILE, with memory, command line, initial RAM disk and random seed filled in.",
    ),
    _guest_option(
        "--gic",
        type=gic_version,
        metavar="2|3",
        help="Version of the GIC of the virt board [default: 3].",
    ),
)

_GUEST_OPTIONS = (
    click.argument("guest", type=GUEST, required=False, callback=guest_or_snapshot),
    _guest_option(
        "--from",
        "from_snapshot",
        type=FILE,
        metavar="FILE",
        help="Continue from a snapshot (armvcpu snapshot), which determines guest and machine. GUEST then only "
        "provides symbols.",
    ),
    *_MACHINE_OPTIONS,
    _guest_option(
        "--load",
        "loads",
        type=load,
        multiple=True,
        metavar="FILE@ADDR",
        help="Also load FILE into memory, at the IPA ADDR; may be given more than once.",
    ),
    _guest_option(
        "--faults",
        type=FILE,
        metavar="FILE",
        help="Inject the faults of FILE, which has [[fault]] tables as a machine file has them; also with --from.",
    ),
    _guest_option("--no-input", is_flag=True, help="Give the guest no input, and do not read stdin."),
    _guest_option(
        "--semihosting-dir",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Let the guest read and write files in and below DIR through semihosting [default: no files at all].",
    ),
    _guest_option(
        "--kernel-type",
        type=click.Choice(tuple(KERNEL_TYPES)),
        help="Type of GUEST: an ELF file, a raw binary or an arm64 Linux kernel [default: auto, by its content].",
    ),
    _guest_option(
        "--initrd", type=FILE, metavar="FILE", help="Initial RAM disk for a Linux kernel: an initramfs archive."
    ),
    _guest_option(
        "--load-address",
        type=address,
        metavar="ADDR",
        help="Load address of a raw binary [default: RAM + 512 KiB], or the multiple of 2 MiB below a Linux kernel.",
    ),
    _guest_option(
        "--symbols",
        type=FILE,
        metavar="FILE",
        help="File with symbols for the guest's addresses: an ELF file such as vmlinux, or a System.map.",
    ),
    _guest_option(
        "--clock",
        type=click.Choice(tuple(source.value for source in ClockSource)),
        help="Source of the guest's time: the instructions that it executes, which makes every run identical, or the "
        "host's clock [default: auto, which is `host` for `armvcpu run` at a terminal, unless it records or "
        "replays, and `instructions` for everything else].",
    ),
    _guest_option(
        "--seed",
        type=seed,
        metavar="N",
        help="Seed of all random numbers for the guest, unless it uses the host's clock [default: 0].",
    ),
    _guest_option(
        "--phys-cpus",
        type=phys_cpus,
        metavar="N",
        help=f"Number of physical CPUs that run the guest's CPUs, 1 to {MAX_PHYS_CPUS} [default: 1].",
    ),
    _guest_option(
        "--schedule",
        type=seed,
        metavar="SEED",
        help="Run the CPUs in a random order for random times, determined by SEED [default: round robin].",
    ),
    _guest_option("--reboot", is_flag=True, help="Restart the machine when the guest asks for a reset."),
    _guest_option("--record", type=FILE, metavar="FILE", help="Record all input of the guest in FILE, with times."),
    _guest_option("--replay", type=FILE, metavar="FILE", help="Replay the run that --record recorded in FILE."),
    _guest_option(
        "--timeout", type=seconds, metavar="S", help="Stop the guest after S seconds (status 124); 0: never."
    ),
    _guest_option(
        "--guest-timeout",
        type=seconds,
        metavar="S",
        help="Stop the guest after S seconds of guest time, at the same point in every run (status 124); 0: never.",
    ),
    _guest_option(
        "--max-exits", type=count, metavar="N", help="Stop the guest after N exits to EL2 (status 124); 0: never."
    ),
    _guest_option(
        "--regs",
        is_flag=True,
        help="Print all registers at the end, with a report if the guest was stopped.",
    ),
)

_OF_A_SUITE = frozenset(
    "machine append memory smp cpu dtb gic loads semihosting_dir kernel_type initrd load_address symbols clock seed "
    "phys_cpus faults schedule reboot guest_timeout max_exits".split()
)
"""The options of a guest that make sense for many."""


def suite_options(function: F) -> F:
    """The options for running guests that make sense for many, and nothing of the guests themselves."""

    @guest_options
    def every() -> None:
        """Holds all options."""

    for option in every.__click_params__:  # type: ignore[attr-defined]
        if option.name in _OF_A_SUITE:
            function.__dict__.setdefault("__click_params__", []).append(option)
    return function


def report_options(*names: str) -> Callable[[F], F]:
    """The options for the report on the end of a run: ``report`` and ``report_file``, which is also called
    ``names``."""

    def add(function: F) -> F:
        for option in (
            _guest_option(
                *names,
                "--report-file",
                type=FILE,
                metavar="FILE",
                help="Write the full report to FILE, no matter how the guest ends.",
            ),
            _guest_option(
                "--report",
                type=click.Choice(FORMS),
                help="How much to report about a guest that dies, hangs or is stopped: one screen, everything, or "
                "one line [default: short, or one line if the guest was stopped from outside].",
            ),
        ):
            function = option(function)
        return function

    return add


def debugger_options(function: F) -> F:
    """The options for debuggers: ``gdb`` and ``wait``."""
    for option in (
        _guest_option("--wait", is_flag=True, help="Do not start the guest before a debugger lets it run."),
        _guest_option(
            "--gdb",
            type=endpoint,
            metavar="[HOST:]PORT|unix:PATH",
            help="Let gdb or lldb attach at this address, such as 1234; HOST defaults to loopback.",
        ),
    ):
        function = option(function)
    return function


def machine_options(function: F) -> F:
    """The options that describe a machine: ``machine``, ``append``, ``memory``, ``smp``, ``cpu``, ``dtb``, ``gic``."""
    for option in reversed(_MACHINE_OPTIONS):
        function = option(function)
    return function


def guest_arguments(function: F) -> F:
    """The guest program's own arguments, for a command of the class :class:`GuestCommand`."""
    return click.argument("arguments", metavar="[-- ARGS]...", nargs=-1)(function)


class GuestCommand(SectionedCommand):
    """A command that runs a guest, whose arguments come last, after ``--``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click. Without ``--`` an extra word is more likely a mistake than an argument of the guest."""
        given = list(args)
        rest = super().parse_args(ctx, args)
        arguments = ctx.params.get("arguments") or ()
        before = given[: len(given) - len(arguments)]
        if arguments and "--" not in before:
            message = f"Got unexpected extra argument ({arguments[0]}); arguments for the guest follow --"
            raise click.UsageError(message, ctx)
        if arguments and arguments[0] == "--" and before[-1] != "--":
            # The first ``--`` came before GUEST, whose name may begin with a dash.
            ctx.params["arguments"] = arguments[1:]
        return rest


def guest_options(function: F) -> F:
    """A guest and all options for running it; the fields of ``GuestOptions``."""
    for option in reversed(_GUEST_OPTIONS):
        function = option(function)
    return function
