"""``armvcpu dtb``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from arm_vcpu_cli.board.boot_files import device_tree
from arm_vcpu_cli.board.layers import Overrides
from arm_vcpu_cli.cli.described import load_description
from arm_vcpu_cli.cli.options import FILE, machine_options
from arm_vcpu_cli.cli.overwriting import check_outputs, machine_files
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.trace.destination import open_destination


@click.command("dtb", short_help="Write the device tree of a machine.")
@machine_options
@click.option("-o", "--output", type=FILE, metavar="FILE", help="Write to FILE instead of stdout.")
def command(
    machine: Path | None,
    append: str | None,
    memory: int | None,
    smp: int | None,
    cpu: str | None,
    dtb: Path | None,
    gic: int | None,
    output: Path | None,
) -> int:
    """Write the device tree that a guest of this machine gets, as a flattened blob.

    It has neither the random seeds nor the place of the initial RAM disk, which a run puts in.

    \b
    Examples:
      armvcpu dtb -o virt.dtb
      armvcpu dtb --smp 4 --gic 2 -o virt.dtb
      armvcpu dtb -m machine.toml | dtc -I dtb -O dts
    """
    overrides: Overrides = {"gic": gic, "cpus": smp, "cpu": cpu, "dtb": dtb, "memory_size": memory, "bootargs": append}
    description = load_description(machine, overrides)
    blob = device_tree(description)
    if output is None:
        if sys.stdout.isatty():
            raise UsageError("a device tree blob is binary and stdout is a terminal: give -o FILE, or use a pipe")
        sys.stdout.buffer.write(blob)
        sys.stdout.buffer.flush()
        return 0
    check_outputs({"-o": output}, machine_files(description))
    with open_destination(output) as file:
        file.write(blob)
    return 0
