"""Shell completion: names of machines, devices, exception classes, registers, and the guest's symbols.

Completion must never fail or print: if a file cannot be read, there are no completions.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from arm_vcpu_cli.arch.syndrome.esr import ExceptionClass
from arm_vcpu_cli.axvcpu.exit import EXIT_REASONS
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.errors import ArmVcpuError
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.guest.symbol_files import load_symbols
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.trace.event import EVENT_TYPES

_MOST: Final = 200
"""The most names offered; a longer list is of no use."""


def complete_classes(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of exception classes."""
    return [
        CompletionItem(known.name, help=f"{int(known):#04x}")
        for known in ExceptionClass
        if known.name.startswith(incomplete.upper())
    ]


def complete_reasons(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of exit reasons."""
    names = (reason.__name__ for reason in EXIT_REASONS)
    return [CompletionItem(name) for name in names if name.lower().startswith(incomplete.lower())]


def complete_events(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Types of events, separated by commas."""
    before, comma, _ = incomplete.rpartition(",")
    return _starting([f"{before}{comma}{name}" for name in (*EVENT_TYPES, "all")], incomplete)


def complete_devices(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the devices of the machine."""
    machine = _machine(ctx)
    if machine is None:
        return []
    names = [device.name for device in machine.devices]
    if machine.gic is not None:
        names.append(machine.gic.name)
    return _starting(names, incomplete)


def complete_vcpus(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Numbers of the vCPUs of the machine."""
    machine, asked = _machine(ctx), ctx.params.get("smp")
    count = asked if isinstance(asked, int) else 0 if machine is None else machine.cpu.count
    return _starting(map(str, range(min(count, _MOST))), incomplete)


def complete_symbols(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the guest's symbols, once the command line names the guest or its symbol file."""
    symbols = _symbols(ctx)
    return [] if symbols is None else _starting(sorted(symbols.names()), incomplete)


def _starting(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return found[:_MOST]


def _machine(ctx: click.Context) -> MachineDescription | None:
    path = ctx.params.get("machine")
    try:
        return load_machine(Path(path) if path else None)
    except ArmVcpuError:
        return None


def _symbols(ctx: click.Context) -> SymbolTable | None:
    # An option without its value yet ends click's parsing before the arguments are assigned.
    path, guest = ctx.params.get("symbols"), ctx.params.get("guest") or next(iter(ctx.args), None)
    machine = _machine(ctx)
    try:
        if path:
            return load_symbols(Path(path))
        if guest and machine is not None:
            return load_guest(Path(guest), load_address=None, ram_base=machine.ram.base, kind=None).symbols
    except ArmVcpuError:
        return None
    return None
