"""``armvcpu run``."""

from __future__ import annotations

from typing import Any

import click

from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.options import GuestCommand, guest_arguments, guest_options, report_options
from arm_vcpu_cli.cli.session import run_guest


@click.command("run", cls=GuestCommand, short_help="Run a guest to its end, its console on stdout.")
@guest_options
@guest_arguments
@report_options("-o")
def command(**options: Any) -> int:
    """Run GUEST (an ELF file, a Linux kernel or a raw binary) to its end: its console on stdout, everything else on
    stderr.

    On a terminal every key goes to the guest; Ctrl-A x quits, Ctrl-A Ctrl-A is Ctrl-A for the guest. Unless the guest
    powers itself off, the last line on stderr says how it ended.

    \b
    Exit status:
      0    the guest powered itself off
      N    the status that the guest gave itself (semihosting)
      2    bad usage, or a file that cannot be read or opened for writing; nothing ran
      120  the console or an output file can no longer be written; what was written is kept
      121  the guest asked for a reset (with --reboot the machine restarts)
      122  a fault that the guest cannot handle, or a Linux kernel's panic; a report is on stderr
      123  no more progress: it waits for what will not come, or hangs in a loop that nothing can end
      124  a limit that was set (--timeout, --max-exits)
      130  interrupted: Ctrl-A x, Ctrl-C or a signal

    \b
    Examples:
      armvcpu run samples/hello/hello.elf
      armvcpu run --report full --timeout 5 guest.elf
      armvcpu run -o death.txt guest.elf
      armvcpu run vmlinuz --initrd initrd.gz --append "console=ttyAMA0"
      armvcpu run -m samples/uboot/uboot.toml /usr/lib/u-boot/qemu_arm64/u-boot.bin
    """
    return run_guest(GuestOptions(**options))
