"""``armvcpu dtb``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from arm_vcpu_cli.cli.options import FILE, machine_options
from arm_vcpu_cli.errors import FileError, UsageError
from arm_vcpu_cli.machine.devicetree import build_device_tree
from arm_vcpu_cli.machine.loading import load_machine


@click.command("dtb")
@machine_options
@click.option("-o", "--output", type=FILE, metavar="FILE", help="Write to FILE instead of stdout.")
def command(machine: Path | None, append: str | None, memory: int | None, output: Path | None) -> int:
    """Write the device tree that a guest of this machine gets, as a flattened blob.

    \b
    Examples:
      armvcpu dtb -o virt.dtb
      armvcpu dtb -m machine.toml | dtc -I dtb -O dts
    """
    blob = build_device_tree(load_machine(machine, memory_size=memory, bootargs=append))
    if output is None:
        if sys.stdout.isatty():
            raise UsageError("a device tree blob is binary: give -o FILE, or a pipe")
        sys.stdout.buffer.write(blob)
        sys.stdout.buffer.flush()
        return 0
    try:
        output.write_bytes(blob)
    except OSError as error:
        raise FileError(output, f"cannot be written: {error.strerror}") from error
    return 0
