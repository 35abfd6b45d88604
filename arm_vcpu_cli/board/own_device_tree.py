"""A device tree supplied by the user, amended with the run's memory, command line and initial RAM disk."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from arm_vcpu_cli.board.description import MachineDescription, MemoryRegion
from arm_vcpu_cli.board.devicetree import BootParameters, chosen_properties
from arm_vcpu_cli.board.fdt import Node, flatten, string
from arm_vcpu_cli.board.fdt_reading import read_device_tree
from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.files import read_file

_WORD: Final = 4
_CELL_BITS: Final = 32
_DEFAULT_CELLS: Final = (2, 1)
"""The default numbers of address and size cells (2.3.5)."""


def amended_device_tree(path: Path, description: MachineDescription, parameters: BootParameters) -> bytes:
    """Return the blob in the file at ``path`` with the machine's memory in place of its own, and with the command line,
    the address of the initial RAM disk and the seeds, each if present. Everything else is unchanged.

    Raises :class:`GuestFileError`. The size does not depend on the values of the parameters.
    """

    def fail(message: str, offset: int) -> GuestFileError:
        return GuestFileError(path, message, offset=offset)

    tree = read_device_tree(read_file(path, "a device tree blob"), fail)
    cells = _cells(tree.root, path)
    regions = [region for region in description.memory if region.writable]
    children: list[Node] = []
    has_memory = False
    for node in tree.root.children:
        if _is_memory(node):
            if not has_memory:
                children.append(_memory(node, regions, cells, path))
            has_memory = True
        else:
            children.append(node)
    if not has_memory:
        children.append(_memory(Node("memory", {"device_type": string("memory")}), regions, cells, path))
    added = chosen_properties(description, parameters)
    chosen = next((node for node in children if node.name in ("chosen", "chosen@0")), None)
    if chosen is None:
        children.append(Node("chosen", added))
    else:
        amended = Node.as_read(chosen.name, {**chosen.properties, **added}, chosen.children)
        children[children.index(chosen)] = amended
    root = Node.as_read("", tree.root.properties, children)
    return flatten(root, reserved=tree.reserved, boot_cpu=tree.boot_cpu)


def _is_memory(node: Node) -> bool:
    return node.properties.get("device_type") == string("memory") or node.name.partition("@")[0] == "memory"


def _cells(root: Node, path: Path) -> tuple[int, int]:
    """The numbers of address and size cells below the root."""
    found = []
    for name, default in zip(("#address-cells", "#size-cells"), _DEFAULT_CELLS, strict=True):
        value = root.properties.get(name, default.to_bytes(_WORD, "big"))
        count = int.from_bytes(value, "big")
        if len(value) != _WORD or count not in (1, 2):
            raise GuestFileError(path, f"/{name}: expected 1 or 2 cells, found the bytes {value[:8].hex() or 'none'}")
        found.append(count)
    return found[0], found[1]


def _memory(node: Node, regions: list[MemoryRegion], cells: tuple[int, int], path: Path) -> Node:
    """``node`` with the machine's memory."""
    reg = b""
    for region in regions:
        for value, count in zip((region.base, region.size), cells, strict=True):
            if value >> count * _CELL_BITS:
                message = f"{value:#x} of memory.{region.name} does not fit into the {count} cells that / allows for it"
                raise GuestFileError(path, message)
            reg += value.to_bytes(count * _WORD, "big")
    return Node.as_read(f"memory@{regions[0].base:x}", {**node.properties, "reg": reg}, node.children)
