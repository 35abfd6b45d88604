"""Options that several commands share, and how they become a machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from arm_vcpu_cli.errors import MachineFileError, UsageError
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.machine.description import MachineDescription
from arm_vcpu_cli.machine.loading import load_machine
from arm_vcpu_cli.machine.schema import MAX_SECONDS
from arm_vcpu_cli.machine.sizes import parse_size

F = TypeVar("F", bound=Callable[..., Any])
_COUNT_DIGITS = 18


class SizeType(click.ParamType):
    """A size in bytes, with an optional unit."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse ``512MiB``; click's error where it is none."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class AddressType(click.ParamType):
    """An address, decimal or with 0x."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse ``0x4008_0000``; click's error where it is none."""
        if isinstance(value, int):
            return value
        try:
            address = int(value, 0)
        except ValueError:
            address = -1
        if address < 0:
            self.fail(f"{value!r} is not an address such as 0x40080000", param, ctx)
        return address


class CountType(click.ParamType):
    """A number of 0 or more."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse ``1000``; click's error where it is none."""
        text = str(value)
        if not (text.isascii() and text.isdigit() and len(text) <= _COUNT_DIGITS):
            self.fail(f"{value!r} is not a number such as 1000", param, ctx)
        return int(text)


class SecondsType(click.ParamType):
    """A time in seconds, as long as ``[limits]`` of a machine description may have it."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse ``2.5``; click's error for what is no time, not-a-number included."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= MAX_SECONDS:
            self.fail(f"{value!r} is not a number of seconds such as 2.5", param, ctx)
        return seconds


FILE = click.Path(path_type=Path, dir_okay=False)

_MACHINE_OPTIONS = (
    click.option("-m", "--machine", type=FILE, metavar="FILE.toml", help="Machine description; default: the virt preset."),
    click.option("--append", metavar="TEXT", help="Command line for the guest, in /chosen/bootargs of its device tree."),
    click.option("--memory", type=SizeType(), metavar="SIZE", help="Size of the main RAM, such as 512MiB or 1G."),
)

_GUEST_OPTIONS = (
    click.argument("guest", type=FILE),
    *_MACHINE_OPTIONS,
    click.option(
        "--load-address", type=AddressType(), metavar="ADDR", help="Where a raw binary goes; default: RAM + 512 KiB."
    ),
    click.option(
        "--timeout", type=SecondsType(), metavar="S", help="Stop the guest after S seconds (status 124); 0: never."
    ),
    click.option(
        "--max-exits", type=CountType(), metavar="N", help="Stop the guest after N exits to EL2 (status 124); 0: never."
    ),
    click.option("--regs", is_flag=True, help="Print the registers at the end, on stderr."),
)


@dataclass(frozen=True)
class GuestOptions:
    """What the options of a command that runs a guest say."""

    guest: Path
    machine: Path | None
    append: str | None
    memory: int | None
    load_address: int | None
    timeout: float | None
    max_exits: int | None
    regs: bool

    def load(self) -> tuple[MachineDescription, GuestImage]:
        """Load machine description and guest; what the command line says wins over the file."""
        description = load_description(self.machine, self.append, self.memory)
        limits = description.limits
        if self.timeout is not None:
            limits = replace(limits, timeout=self.timeout)
        if self.max_exits is not None:
            limits = replace(limits, max_exits=self.max_exits)
        description = replace(description, limits=limits)
        load_address = description.load_address if self.load_address is None else self.load_address
        image = load_guest(self.guest, load_address=load_address, ram_base=description.ram.base)
        if self.load_address is not None and image.kind == "elf":
            raise UsageError(f"--load-address is for raw binaries; {self.guest} is an ELF file with addresses of its own")
        return description, image


def load_description(machine: Path | None, append: str | None, memory: int | None) -> MachineDescription:
    """The machine that the options describe; what they say wins over the file."""
    try:
        return load_machine(machine, memory_size=memory, bootargs=append)
    except MachineFileError as error:
        if memory is not None and error.key is not None and error.key.endswith(".size"):
            option = "--memory"
        elif append is not None and error.key == "boot.bootargs":
            option = "--append"
        else:
            raise
        # The file may have the same fault; then it is the one to name.
        load_machine(machine)
        raise UsageError(f"{option}: {error.message}") from error


def machine_options(function: F) -> F:
    """The options that describe a machine: ``machine``, ``append``, ``memory``."""
    for option in reversed(_MACHINE_OPTIONS):
        function = option(function)
    return function


def guest_options(function: F) -> F:
    """A guest and everything that says how to run it; the fields of :class:`GuestOptions`."""
    for option in reversed(_GUEST_OPTIONS):
        function = option(function)
    return function


def say(message: str) -> None:
    """A line for the user, on stderr: stdout is the guest's."""
    sys.stdout.flush()
    click.echo(f"armvcpu: {message}", err=True)
