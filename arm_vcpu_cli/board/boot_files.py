"""The files loaded with the guest, the device tree and the initial RAM disk, and the guest's entry point."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Final

from arm_vcpu_cli.board.boot_placement import place_boot_files
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.devicetree import BootParameters, build_device_tree
from arm_vcpu_cli.board.fdt import with_room
from arm_vcpu_cli.board.placement import Extent, GuestRam, load_bytes
from arm_vcpu_cli.errors import GuestFileError, MachineFileError
from arm_vcpu_cli.guest.files import read_initrd
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.record import replace

_OWN: Final = "arm_vcpu_cli.board.own_device_tree"
"""Loaded only for a device tree supplied by the user."""
RNG_SEED_SIZE: Final = 64  # bytes; the kernel's generator takes in no more
KASLR_SEED_SIZE: Final = 8

Entropy = Callable[[int], bytes]
"""Returns the given number of random bytes, different at each call."""


def entry_point(description: MachineDescription, image: GuestImage) -> int:
    """The IPA at which the first CPU begins: from the machine file if it names one, else from the guest file."""
    return image.entry if description.boot.entry is None else description.boot.entry


def device_tree(description: MachineDescription, parameters: BootParameters | None = None) -> bytes:
    """The guest's device tree: the description's, or the user's own. Raises GuestFileError."""
    own = description.boot.dtb_file
    if own is None:
        return build_device_tree(description, parameters)
    amended: bytes = import_module(_OWN).amended_device_tree(own, description, parameters or BootParameters())
    return amended


def load_boot_files(ram: GuestRam, description: MachineDescription, image: GuestImage, entropy: Entropy) -> int | None:
    """Load the initial RAM disk and the device tree into memory, clear of the guest ``image``.

    Returns the address of the device tree, None where the machine has none. Raises MachineFileError, and GuestFileError
    for the file of the RAM disk or the device tree.
    """
    boot = description.boot
    source = description.path or description.name
    initrd = None if boot.initrd is None else read_initrd(boot.initrd)
    if not boot.dtb:
        if initrd is not None:
            message = "false, but only a device tree tells the guest where its initial RAM disk is"
            raise MachineFileError(source, message, key="boot.dtb")
        return None
    parameters = BootParameters(
        initrd=None if initrd is None else (0, 0),
        rng_seed=entropy(RNG_SEED_SIZE),
        kaslr_seed=entropy(KASLR_SEED_SIZE) if boot.kaslr else b"",
    )
    blob = device_tree(description, parameters)
    places = place_boot_files(
        ram,
        description,
        image,
        (len(blob), None if initrd is None else len(initrd)),
        (
            partial(MachineFileError, source, key="boot.dtb_address"),
            partial(GuestFileError, boot.initrd or description.name),
        ),
    )
    if initrd is not None and places.initrd is not None:
        start, end = places.initrd, places.initrd + len(initrd)
        load_bytes(ram, start, initrd)
        ram.loaded += (Extent(start, end, "initial RAM disk"),)
        blob = device_tree(description, replace(parameters, initrd=(start, end)))
    load_bytes(ram, places.dtb, with_room(blob, places.room))
    ram.loaded += (Extent(places.dtb, places.dtb + places.room, "device tree"),)
    return places.dtb
