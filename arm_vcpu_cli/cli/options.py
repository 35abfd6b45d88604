"""Options that several commands share, and how they become a machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.machine.description import MachineDescription
from arm_vcpu_cli.machine.loading import load_machine
from arm_vcpu_cli.machine.sizes import parse_size

F = TypeVar("F", bound=Callable[..., Any])


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
        "--timeout", type=click.FloatRange(min=0), metavar="S", help="Stop the guest after S seconds (status 124)."
    ),
    click.option(
        "--max-exits", type=click.IntRange(min=0), metavar="N", help="Stop the guest after N exits (status 124)."
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
        description = load_machine(self.machine, memory_size=self.memory, bootargs=self.append)
        limits = description.limits
        if self.timeout is not None:
            limits = replace(limits, timeout=self.timeout)
        if self.max_exits is not None:
            limits = replace(limits, max_exits=self.max_exits)
        description = replace(description, limits=limits)
        load_address = description.load_address if self.load_address is None else self.load_address
        image = load_guest(self.guest, load_address=load_address, ram_base=description.ram.base)
        return description, image


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
