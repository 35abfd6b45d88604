"""A reader of flattened device trees that enforces every rule of the format."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field


@dataclass
class Tree:
    """A node: its properties and its children by name."""

    properties: dict[str, bytes] = field(default_factory=dict)
    children: dict[str, Tree] = field(default_factory=dict)

    def at(self, path: str) -> Tree:
        """The node at ``/a/b``."""
        node = self
        for name in path.strip("/").split("/"):
            node = node.children[name]
        return node

    def text(self, name: str) -> str:
        value = self.properties[name]
        assert value.endswith(b"\0")
        return value[:-1].decode()

    def texts(self, name: str) -> list[str]:
        return self.text(name).split("\0")

    def cells(self, name: str) -> list[int]:
        value = self.properties[name]
        return list(struct.unpack(f">{len(value) // 4}I", value))


@dataclass
class Blob:
    """What a blob says: the tree, the reserved ranges, and the ``reg`` of the CPU that boots."""

    root: Tree
    reserved: list[tuple[int, int]]
    boot_cpu: int


def read_blob(blob: bytes) -> Blob:
    fields = struct.unpack_from(">10I", blob)
    magic, total, structure, strings, reservations, version, compatible = fields[:7]
    boot_cpu, strings_size, structure_size = fields[7:]
    assert (magic, version, compatible) == (0xD00DFEED, 17, 16)
    assert total == len(blob)
    assert reservations % 8 == 0 and structure % 4 == 0
    assert 40 <= reservations < structure
    assert (
        structure + structure_size <= strings
        and strings + strings_size <= total
        and not any(blob[strings + strings_size :])
    )
    reserved = []
    offset = reservations
    while (each := struct.unpack_from(">QQ", blob, offset)) != (0, 0):
        reserved.append(each)
        offset += 16
    assert offset + 16 <= structure
    reader = _Structure(blob[structure : structure + structure_size], blob[strings : strings + strings_size])
    assert reader.word() == 1
    root = reader.node()
    assert reader.word() == 9
    assert reader.offset == structure_size
    return Blob(root[1], reserved, boot_cpu)


class _Structure:
    def __init__(self, data: bytes, strings: bytes) -> None:
        self.data = data
        self.strings = strings
        self.offset = 0

    def word(self) -> int:
        (value,) = struct.unpack_from(">I", self.data, self.offset)
        self.offset += 4
        assert isinstance(value, int)
        return value

    def taken(self, size: int) -> bytes:
        data = self.data[self.offset : self.offset + size]
        assert len(data) == size
        padding = self.data[self.offset + size : self.offset + size + -size % 4]
        assert padding == bytes(-size % 4)
        self.offset += size + -size % 4
        return data

    def node(self) -> tuple[str, Tree]:
        end = self.data.index(0, self.offset)
        name = self.taken(end - self.offset + 1)[:-1].decode()
        tree = Tree()
        while (token := self.word()) != 2:
            if token == 3:
                assert not tree.children, "a property behind a child"
                size, name_offset = self.word(), self.word()
                property_name = self.strings[name_offset : self.strings.index(0, name_offset)].decode()
                assert property_name not in tree.properties
                tree.properties[property_name] = self.taken(size)
            else:
                assert token == 1
                child_name, child = self.node()
                assert child_name not in tree.children
                tree.children[child_name] = child
        return name, tree
