"""Reads flattened device trees (Devicetree specification v0.4, chapter 5), which may be untrusted."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.board.fdt import LAST_COMPATIBLE_VERSION, MAGIC, Node
from arm_vcpu_cli.record import Record

_HEADER: Final = struct.Struct(">10I")  # 5.2
_PAIR: Final = struct.Struct(">QQ")
_WORD: Final = struct.Struct(">I")
_SOURCE: Final = b"/dts-v1/"
_BEGIN_NODE: Final = 1  # 5.4.1
_END_NODE: Final = 2
_PROPERTY: Final = 3
_NOP: Final = 4
_END: Final = 9
_MOST_LEVELS: Final = 64
"""The deepest nesting of nodes; kernels have such limits too."""

Fail = Callable[[str, int], Exception]
"""Creates an error from a message and an offset in the blob."""


class DeviceTree(Record):
    """The content of a blob: the tree, the reserved (address, size) ranges, the ``reg`` of the boot CPU."""

    root: Node
    reserved: tuple[tuple[int, int], ...]
    boot_cpu: int


def read_device_tree(blob: bytes, fail: Fail) -> DeviceTree:
    """Return the tree of a blob. Raises the error created by ``fail`` if it violates the specification.

    Names are accepted with any characters. Bytes beyond the blob's own size are ignored.
    """
    if len(blob) < _HEADER.size:
        raise fail(f"{len(blob)} bytes, expected the {_HEADER.size} of a device tree's header", 0)
    magic, total, structure, strings, reservations, version, compatible, boot_cpu, strings_size, structure_size = (
        _HEADER.unpack_from(blob)
    )
    if blob.lstrip().startswith(_SOURCE):
        raise fail("the source of a device tree, expected a blob: compile it first (dtc -O dtb)", 0)
    if magic != MAGIC:
        raise fail(f"expected the magic number {MAGIC:#x} of a device tree, found {magic:#x}", 0)
    if total > len(blob):
        raise fail(f"the device tree has {total:#x} bytes by its header, but the file has {len(blob):#x}", 4)
    if compatible > LAST_COMPATIBLE_VERSION + 1 or version < LAST_COMPATIBLE_VERSION:
        expected = LAST_COMPATIBLE_VERSION + 1
        raise fail(f"expected version {expected} of the format, found {version} (compatible with {compatible})", 20)
    if version == LAST_COMPATIBLE_VERSION:
        # Version 16 has no size of the structure block, which ends with FDT_END.
        structure_size = max(0, (strings if strings > structure else total) - structure)
    for name, start, size, at in (("structure", structure, structure_size, 8), ("strings", strings, strings_size, 12)):
        if start + size > total:
            raise fail(f"the {name} block, {start:#x} to {start + size:#x}, does not end before {total:#x}", at)
    if structure % _WORD.size:
        raise fail(f"the structure block is at {structure:#x}, expected a multiple of 4", 8)
    reserved = _reservations(blob[:total], reservations, fail)
    names = _Names(blob, strings, strings + strings_size, fail)
    root = _Structure(blob, structure, structure + structure_size, names, fail).read()
    return DeviceTree(root, reserved, boot_cpu)


def _reservations(blob: bytes, start: int, fail: Fail) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    while start + _PAIR.size <= len(blob):
        address, size = _PAIR.unpack_from(blob, start)
        if not address and not size:
            return tuple(found)
        found.append((address, size))
        start += _PAIR.size
    raise fail("the list of reserved memory has no end", min(start, len(blob)))


class _Names:
    """The strings block."""

    def __init__(self, blob: bytes, start: int, end: int, fail: Fail) -> None:
        self._blob = blob
        self._start = start
        self._end = end
        self._fail = fail

    def name(self, offset: int, at: int) -> str:
        """The name at ``offset`` in the block, referenced by the word at ``at``."""
        start = self._start + offset
        end = self._blob.find(b"\0", start, self._end) if start < self._end else -1
        if end <= start:
            raise self._fail(f"the name of a property is to be at {offset:#x} of the strings, where none is", at)
        return self._blob[start:end].decode("latin-1")


class _Building:
    """A node that is being read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.properties: dict[str, bytes] = {}
        self.children: list[Node] = []


class _Structure:
    """The structure block, read once from its start to its end."""

    def __init__(self, blob: bytes, start: int, end: int, names: _Names, fail: Fail) -> None:
        self._blob = blob
        self._at = start
        self._end = end
        self._names = names
        self._fail = fail

    def read(self) -> Node:
        """Read the block and return the root."""
        open_nodes: list[_Building] = []
        root: Node | None = None
        while True:
            at = self._at
            token = self._word()
            if token == _BEGIN_NODE and root is None and len(open_nodes) < _MOST_LEVELS:
                open_nodes.append(self._begin(at, is_root=not open_nodes))
            elif token == _BEGIN_NODE:
                wrong = "a node beside the root" if root is not None else f"more than {_MOST_LEVELS} levels of nodes"
                raise self._fail(wrong, at)
            elif token == _PROPERTY and open_nodes:
                self._property(open_nodes[-1], at)
            elif token == _END_NODE and open_nodes:
                done = open_nodes.pop()
                node = Node.as_read(done.name, done.properties, done.children)
                if open_nodes:
                    open_nodes[-1].children.append(node)
                else:
                    root = node
            elif token == _END and root is not None:
                return root
            elif token != _NOP:
                expected = "the rest of a node" if open_nodes else "the end" if root is not None else "the root node"
                raise self._fail(f"expected {expected}, found the token {token:#x}", at)

    def _begin(self, at: int, *, is_root: bool) -> _Building:
        end = self._blob.find(b"\0", self._at, self._end)
        if end < 0:
            raise self._fail("the name of a node has no end", at)
        name = self._blob[self._at : end].decode("latin-1")
        if not name and not is_root:
            raise self._fail("a node without a name", at)
        self._move(end + 1, at)
        return _Building("" if is_root else name)

    def _property(self, node: _Building, at: int) -> None:
        if node.children:
            raise self._fail("a property behind the nodes that are in its own", at)
        size, name = self._word(), self._names.name(self._word(), at)
        if name in node.properties:
            raise self._fail(f"the property {name!a} is there twice", at)
        start = self._at
        self._move(start + size, at)
        node.properties[name] = self._blob[start : start + size]

    def _word(self) -> int:
        at = self._at
        self._move(at + _WORD.size, at)
        word: int = _WORD.unpack_from(self._blob, at)[0]
        return word

    def _move(self, end: int, at: int) -> None:
        """Continue at the first word boundary from ``end`` on; ``at`` is the start of the item that ends there."""
        if end > self._end:
            raise self._fail("the structure block ends in the middle of the tree", at)
        self._at = -(-end // _WORD.size) * _WORD.size
