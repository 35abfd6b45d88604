"""What a caller of the library gives to make a machine of: paths, mappings, or what was made of them already."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.loading import load_machine, machine_from_document
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.guest.loader import load_guest

if TYPE_CHECKING:
    from arm_vcpu_cli.board.layers import Overrides

FilePath = str | os.PathLike[str]


def description_of_machine(
    machine: FilePath | Mapping[str, object] | MachineDescription | None, overrides: Overrides
) -> MachineDescription:
    """The description of a file or a mapping, with overrides, or one that is complete already. Raises
    :class:`MachineFileError`, and :class:`UsageError`."""
    if isinstance(machine, MachineDescription):
        if any(value is not None for value in overrides.values()):
            raise UsageError("a description is complete: the overrides are for files and mappings")
        return machine
    if isinstance(machine, Mapping):
        return machine_from_document(machine, None, **overrides)
    return load_machine(None if machine is None else path_of("machine", machine), **overrides)


def image_of_guest(guest: FilePath, description: MachineDescription) -> GuestImage:
    """The image of a guest file for a machine. Raises :class:`GuestFileError`."""
    boot = description.boot
    return load_guest(
        path_of("guest", guest),
        load_address=boot.load_address,
        ram_base=description.ram.base,
        kind=boot.kernel_type,
    )


def path_of(what: str, value: object) -> Path:
    """A path that a caller gives as ``what``. Raises :class:`UsageError` for anything else."""
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"{what}: expected the path of a file, found {type(value).__name__}")
    return Path(value)
