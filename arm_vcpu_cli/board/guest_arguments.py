"""The arguments of a guest program: as a Linux kernel passes them on, and as semihosting gives them."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.schema import MAX_BOOTARGS
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.record import replace

_END_OF_PARAMETERS: Final = "--"
"""Behind this word the kernel takes nothing for itself: all the rest is for init (Linux,
Documentation/admin-guide/kernel-parameters.rst)."""


def with_kernel_arguments(description: MachineDescription, image: GuestImage) -> MachineDescription:
    """``description`` with the arguments at the end of the command line, behind ``--``, if the guest is a Linux kernel.

    Parameters of the kernel itself are ``boot.bootargs``. Raises :class:`UsageError` for more than a kernel takes.
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
    """What SYS_GET_CMDLINE answers: the name of the guest's file and the arguments; where there are none the kernel's
    command line, as QEMU does.

    The name has no folders, so that a guest does the same wherever its file lies.
    """
    boot = description.boot
    rest = " ".join(map(_quoted, boot.arguments)) if boot.arguments else boot.bootargs
    return " ".join(filter(None, (_quoted(image.path.name), rest))).encode("utf-8", "surrogateescape")


def _quoted(argument: str) -> str:
    """An argument that is one word to the kernel and to the start-up code of C libraries."""
    if argument and not any(character.isspace() for character in argument):
        return argument
    return f"'{argument}'" if '"' in argument else f'"{argument}"'
