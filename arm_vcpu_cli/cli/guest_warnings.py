"""Warnings about a guest before it starts: oddities that its loader found, and obstacles to a Linux kernel that are
cheap to detect."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

from arm_vcpu_cli.cli.output import say
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.guest.linux import ImageFlags, image_flags, missing_consoles
from arm_vcpu_cli.printable import printable_path
from arm_vcpu_cli.vm.machine import Machine

_SUITABILITY: Final = "arm_vcpu_cli.inspect.suitability"
"""Loaded only for a kernel whose page size some CPUs lack."""
_INITRAMFS: Final = "arm_vcpu_cli.guest.initramfs"
_UART: Final = "pl011"
_EVERYWHERE: Final = ("unspecified", "4 KiB")
_HEAD: Final = 2048
"""Bytes of an initial RAM disk that identify its format."""


def warn_of_guest(machine: Machine) -> None:
    """Warn about oddities in the file; for a kernel, also about missing features and an invalid RAM disk."""
    image = machine.image
    for warning in image.warnings:
        say(f"warning: {printable_path(image.path)}: {warning}")
    if image.kind == "linux":
        _warn_of_kernel(machine, image)


def _warn_of_kernel(machine: Machine, image: GuestImage) -> None:
    flags = image_flags(image.segments[0].data)
    if ImageFlags.PAGE_SIZE.values[flags.PAGE_SIZE] not in _EVERYWHERE:
        suitability = import_module(_SUITABILITY)
        finding = suitability.page_size_finding(flags, suitability.guest_cpu(machine.core, machine.description))
        if finding is not None:
            say(f"warning: {printable_path(image.path)}: {finding.text}; it will stop before it prints anything")
    missing = missing_consoles(machine.description.boot.bootargs)
    if missing and any(device.type == _UART for device in machine.description.devices):
        say(f"warning: console={missing[-1]} is on the command line, but the UART of this machine is ttyAMA0")
    initrd = machine.description.boot.initrd
    if initrd is not None and initrd.is_file() and "root=" not in machine.description.boot.bootargs:
        _warn_of_initrd(initrd)


def _warn_of_initrd(path: Path) -> None:
    initramfs = import_module(_INITRAMFS)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if any(head) and initramfs.recognised(head) is None:
        say(f"warning: {printable_path(path)}: not an initramfs, compressed or not: {initramfs.what_it_is(head)}")
