"""The arguments of a guest program: as a Linux kernel passes them to init, and as semihosting returns them."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.schema import MAX_BOOTARGS
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.file_paths import base_name
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.record import replace

_END_OF_PARAMETERS: Final = "--"
"""The kernel interprets nothing after this word: the rest is for init (Linux,
Documentation/admin-guide/kernel-parameters.rst)."""


def with_kernel_arguments(description: MachineDescription, image: GuestImage) -> MachineDescription:
    """``description`` with the arguments at the end of the command line, after ``--``, if the guest is a Linux kernel.

    The kernel's own parameters are ``boot.bootargs``. Raises :class:`UsageError` if a kernel would not accept them all.
    """
    boot = description.boot
    if not boot.arguments or image.kind != "linux":
        return description
    words = boot.bootargs.split()
    divider = [] if _END_OF_PARAMETERS in words else [_END_OF_PARAMETERS]
    bootargs = " ".join([*([boot.bootargs] if words else []), *divider, *map(_quoted, boot.arguments)])
    size = len(bootargs.encode("utf-8", "replace"))
    if size > MAX_BOOTARGS:
        raise UsageError(
            f"the kernel's command line with the guest's arguments has {size} bytes, more than {MAX_BOOTARGS}"
        )
    return replace(description, boot=replace(boot, bootargs=bootargs))


def semihosting_command_line(description: MachineDescription, image: GuestImage) -> bytes:
    """The result of SYS_GET_CMDLINE: the name of the guest's file and the arguments, or, without arguments, the
    kernel's command line, as in QEMU.

    The name omits its folder, so that a guest behaves the same wherever its file is.
    """
    boot = description.boot
    rest = " ".join(map(_quoted, boot.arguments)) if boot.arguments else boot.bootargs
    return " ".join(filter(None, (_quoted(base_name(image.path)), rest))).encode("utf-8", "surrogateescape")


def _quoted(argument: str) -> str:
    """An argument quoted as one word for the kernel and for the start-up code of C libraries."""
    if argument and not any(character.isspace() for character in argument):
        return argument
    return f"'{argument}'" if '"' in argument else f'"{argument}"'
