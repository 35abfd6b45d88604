"""Runs that continue from a snapshot, and the options that apply to them."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.board.description import Limits
from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.record import replace
from arm_vcpu_cli.vm.snapshot_loading import Snapshot

_OF_THE_MACHINE: Final = MappingProxyType(
    {
        "machine": "-m",
        "append": "--append",
        "memory": "--memory",
        "smp": "--smp",
        "gic": "--gic",
        "kernel_type": "--kernel-type",
        "initrd": "--initrd",
        "load_address": "--load-address",
        "clock": "--clock",
        "seed": "--seed",
        "phys_cpus": "--phys-cpus",
        "schedule": "--schedule",
        "reboot": "--reboot",
        "cpu": "--cpu",
        "dtb": "--dtb",
        "loads": "--load",
        "arguments": "-- ARGS",
    }
)
"""The options that would change the machine or the guest."""


def open_snapshot(options: GuestOptions, path: Path) -> Snapshot:
    """Open the snapshot at ``path``, with the limits and symbols that the options request. Raises :class:`FileError`,
    and :class:`UsageError` for options that do not apply to a snapshot."""
    for name, option in _OF_THE_MACHINE.items():
        if getattr(options, name) not in (None, False, ()):
            raise UsageError(f"{option} does not go with --from: the snapshot determines guest and machine")
    options.check_journal()
    # Unless click has parsed it, the path is text.
    snapshot = Snapshot(Path(path))
    try:
        if options.guest is not None:
            snapshot.with_symbols_of(options.guest)
        elif options.symbols is None:
            snapshot.find_symbols()
        snapshot.image = options.with_symbols(snapshot.image)
    except BaseException:
        snapshot.close()
        raise
    description = snapshot.description
    limits = Limits(
        timeout=options.timeout or 0.0,
        max_exits=snapshot.exits + options.max_exits if options.max_exits else 0,
        idle=description.limits.idle,
        guest_timeout=options.guest_timeout or 0.0,
    )
    changed = replace(description, limits=limits, semihosting_dir=options.semihosting_dir)
    try:
        snapshot.description = options.with_faults(changed)
    except BaseException:
        snapshot.close()
        raise
    return snapshot
