"""``armvcpu run``."""

from __future__ import annotations

from typing import Any

import click

from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.options import GuestCommand, debugger_options, guest_arguments, guest_options, report_options
from arm_vcpu_cli.cli.session import run_guest


@click.command("run", cls=GuestCommand, short_help="Run a guest to its end, its console on stdout.")
@guest_options
@guest_arguments
@debugger_options
@report_options("-o")
def command(**options: Any) -> int:
    """Run GUEST (an ELF file, a Linux kernel or a raw binary) to its end: its console on stdout, everything else on
    stderr.

    On a terminal every key goes to the guest; Ctrl-A x quits, Ctrl-A Ctrl-A is Ctrl-A for the guest. Unless the guest
    powers itself off, the last line on stderr says how it ended.

    \b
    Examples:
      armvcpu run samples/hello/hello.elf
      armvcpu run --report full --timeout 5 guest.elf
      armvcpu run -o death.txt guest.elf
      armvcpu run vmlinuz --initrd initrd.gz --append "console=ttyAMA0"
      armvcpu run -m samples/uboot/uboot.toml /usr/lib/u-boot/qemu_arm64/u-boot.bin
    """
    return run_guest(GuestOptions(**options))
