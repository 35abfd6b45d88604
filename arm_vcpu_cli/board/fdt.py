"""Writes flattened device trees: nodes as the blob for a kernel (Devicetree specification v0.4, chapter 5)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

MAGIC: Final = 0xD00D_FEED
VERSION: Final = 17
LAST_COMPATIBLE_VERSION: Final = 16

_HEADER: Final = struct.Struct(">10I")  # 5.2
_RESERVATION: Final = struct.Struct(">QQ")  # 5.3.2
_WORD: Final = struct.Struct(">I")
_BEGIN_NODE: Final = _WORD.pack(1)  # 5.4.1
_END_NODE: Final = _WORD.pack(2)
_PROPERTY: Final = struct.Struct(">III")  # the token 3, the length of the value, the offset of the name
_PROPERTY_TOKEN: Final = 3
_END: Final = _WORD.pack(9)

_LETTERS_AND_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NODE_CHARACTERS: Final = _LETTERS_AND_DIGITS + ",._+-"  # 2.2.1
_PROPERTY_CHARACTERS: Final = _LETTERS_AND_DIGITS + ",._+?#-"  # 2.2.4
_LONGEST_NAME: Final = 31
_NO_PROPERTIES: Final[Mapping[str, bytes]] = MappingProxyType({})


def cells(*values: int) -> bytes:
    """Return a property value of 32-bit cells. Raises ValueError for a number that does not fit into one."""
    for value in values:
        if not 0 <= value < 1 << 32:
            raise ValueError(f"{value:#x} does not fit into a 32-bit cell")
    return b"".join(_WORD.pack(value) for value in values)


def u32(value: int) -> bytes:
    """Return a property value of one cell."""
    return cells(value)


def u64(value: int) -> bytes:
    """Return a property value of two cells, the high one first. Raises ValueError for a number that does not fit."""
    return cells(value >> 32, value & 0xFFFF_FFFF)


def string(text: str) -> bytes:
    """Return a property value of one string, with its NUL. Raises ValueError for a NUL inside."""
    if "\0" in text:
        raise ValueError("a string of a device tree cannot hold a NUL")
    return text.encode("utf-8", "replace") + b"\0"


def stringlist(*texts: str) -> bytes:
    """Return a property value of several strings."""
    return b"".join(string(text) for text in texts)


class Node:
    """A node: its name with unit address (empty for the root), its properties as bytes, and its children.

    A property whose value is empty (``b""``) is a flag. Raises ValueError for a name that the specification
    does not allow, and for two children of one name.
    """

    __slots__ = ("children", "name", "properties")

    def __init__(
        self, name: str, properties: Mapping[str, bytes] = _NO_PROPERTIES, children: Sequence[Node] = ()
    ) -> None:
        if name and not _is_node_name(name):
            raise ValueError(f"{name!r} cannot be the name of a node")
        for key in properties:
            if not _is_name(key, _PROPERTY_CHARACTERS):
                raise ValueError(f"{key!r} cannot be the name of a property")
        names = [child.name for child in children]
        if len(set(names)) != len(names) or "" in names:
            raise ValueError(f"the children of {name or '/'!r} need names of their own: {names}")
        self.name: str = name
        self.properties = properties
        self.children = children

    @classmethod
    def as_read(cls, name: str, properties: Mapping[str, bytes], children: Sequence[Node]) -> Node:
        """Return a node of a tree from another source, without checking its names, which are Latin-1."""
        node = cls("")
        node.name, node.properties, node.children = name, properties, children
        return node


def _is_node_name(name: str) -> bool:
    """Return whether ``name`` is a node name, optionally followed by an at sign and a unit address of any length."""
    base, at, address = name.partition("@")
    return _is_name(base, _NODE_CHARACTERS) and (not at or _only(address, _NODE_CHARACTERS))


def _is_name(name: str, characters: str) -> bool:
    return len(name) <= _LONGEST_NAME and _only(name, characters)


def _only(text: str, characters: str) -> bool:
    """Return whether ``text`` is not empty and consists only of ``characters``."""
    return bool(text) and not text.strip(characters)


def flatten(root: Node, *, reserved: Sequence[tuple[int, int]] = (), boot_cpu: int = 0) -> bytes:
    """Return the blob of the tree under ``root``.

    ``reserved`` are (address, size) ranges that the kernel must not use, ``boot_cpu`` is the ``reg`` of the boot CPU.
    Raises ValueError if ``root`` has a name.
    """
    if root.name:
        raise ValueError(f"the root of a device tree has no name, found {root.name!r}")
    strings = _Strings()
    structure = _flatten_node(root, strings) + _END
    reservations = b"".join(_RESERVATION.pack(*each) for each in (*reserved, (0, 0)))
    names = bytes(strings.block)
    # The reservations must be 8-byte aligned; the header's 40 bytes ensure that.
    structure_offset = _HEADER.size + len(reservations)
    strings_offset = structure_offset + len(structure)
    header = _HEADER.pack(
        MAGIC,
        strings_offset + len(names),
        structure_offset,
        strings_offset,
        _HEADER.size,
        VERSION,
        LAST_COMPATIBLE_VERSION,
        boot_cpu,
        len(names),
        len(structure),
    )
    return header + reservations + structure + names


def with_room(blob: bytes, size: int) -> bytes:
    """Return ``blob`` padded with zeros for a place of ``size`` bytes, so that it can be edited in place.

    The strings are the last block of :func:`flatten`'s result, so that both blocks can grow.
    """
    magic, _, *others = _HEADER.unpack_from(blob)
    return _HEADER.pack(magic, size, *others) + blob[_HEADER.size :]


class _Strings:
    """The strings block: each property name once."""

    def __init__(self) -> None:
        self.block = bytearray()
        self._offsets: dict[str, int] = {}

    def offset(self, name: str) -> int:
        if name not in self._offsets:
            self._offsets[name] = len(self.block)
            self.block += name.encode("latin-1") + b"\0"
        return self._offsets[name]


def _flatten_node(node: Node, strings: _Strings) -> bytes:
    parts = [_BEGIN_NODE, _padded(node.name.encode("latin-1") + b"\0")]
    for name, value in node.properties.items():
        parts.append(_PROPERTY.pack(_PROPERTY_TOKEN, len(value), strings.offset(name)))
        parts.append(_padded(value))
    parts.extend(_flatten_node(child, strings) for child in node.children)
    parts.append(_END_NODE)
    return b"".join(parts)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _WORD.size)
