"""Device tree blobs of others: what is read, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.board.devicetree import BootParameters, build_device_tree
from arm_vcpu_cli.board.fdt import Node, flatten, string, u32, u64
from arm_vcpu_cli.board.fdt_reading import read_device_tree
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.board.own_device_tree import amended_device_tree
from arm_vcpu_cli.errors import GuestFileError
from tests.support.fake_machine import RAM

from .fdt_reader import read_blob

HEADER = 40
TREE = Node(
    "",
    {"#address-cells": u32(2), "#size-cells": u32(2), "flag": b""},
    [Node("a", {"value": string("text")}, [Node("b@1", {"value": u32(1)})]), Node("c")],
)
BLOB = flatten(TREE, reserved=[(0x1000, 0x2000)], boot_cpu=3)


def fail(message: str, offset: int) -> GuestFileError:
    return GuestFileError("own.dtb", message, offset=offset)


def described(node: Node) -> object:
    return node.name, dict(node.properties), [described(child) for child in node.children]


def changed(offset: int, value: int) -> bytes:
    return BLOB[:offset] + struct.pack(">I", value) + BLOB[offset + 4 :]


def test_what_was_written_is_read() -> None:
    tree = read_device_tree(BLOB + b"rest of the file", fail)
    assert described(tree.root) == described(TREE)
    assert (tree.reserved, tree.boot_cpu) == (((0x1000, 0x2000),), 3)
    assert flatten(tree.root, reserved=tree.reserved, boot_cpu=tree.boot_cpu) == BLOB


def test_the_version_before_the_last_has_no_size_of_its_structure() -> None:
    tree = read_device_tree(
        BLOB[:20] + struct.pack(">4I", 16, 16, 3, struct.unpack_from(">I", BLOB, 32)[0]) + bytes(4) + BLOB[40:], fail
    )
    assert described(tree.root) == described(TREE)


def test_names_of_others_are_taken_as_they_are() -> None:
    odd = Node.as_read("", {}, [Node.as_read("a name that is longer than the thirty-one characters", {"é!": b"1"}, [])])
    assert described(read_device_tree(flatten(odd), fail).root) == described(odd)


@pytest.mark.parametrize(
    ("blob", "offset", "message"),
    [
        (b"", 0, "0 bytes, expected the 40 of"),
        (changed(0, 0xFEED), 0, "expected the magic number 0xd00dfeed"),
        (BLOB[:-1], 4, "but the file has"),
        (changed(8, 0xFFFF_FFF0), 8, "the structure block"),
        (changed(8, HEADER + 33), 8, "expected a multiple of 4"),
        (changed(12, 0xFFFF_FFF0), 12, "the strings block"),
        (changed(16, len(BLOB) - 4), len(BLOB) - 4, "has no end"),
        (changed(20, 15), 20, "expected version 17"),
        (b'\n/dts-v1/;\n\n/ { compatible = "linux,dummy-virt"; };\n', 0, "compile it first (dtc -O dtb)"),
        (changed(36, 8), HEADER + 40, "ends in the middle"),
        (changed(HEADER + 32, 9), HEADER + 32, "expected the root node, found the token 0x9"),
        (changed(HEADER + 32 + 8, 7), HEADER + 32 + 8, "expected the rest of a node, found the token 0x7"),
        (changed(HEADER + 32 + 12, 0xFFFF_FFFF), HEADER + 32 + 8, "ends in the middle"),
        (changed(HEADER + 32 + 16, 0xFFFF_FFFF), HEADER + 32 + 8, "the name of a property"),
    ],
)
def test_what_is_wrong_is_said_with_its_offset(blob: bytes, offset: int, message: str) -> None:
    with pytest.raises(GuestFileError) as caught:
        read_device_tree(blob, fail)
    assert message in str(caught.value)
    assert (caught.value.offset, str(caught.value).count("\n")) == (offset, 0)


def test_nodes_are_not_nested_without_end() -> None:
    node = Node("n")
    for _ in range(63):
        node = Node("n", {}, [node])
    with pytest.raises(GuestFileError, match="more than 64 levels of nodes"):
        read_device_tree(flatten(Node("", {}, [node])), fail)
    read_device_tree(flatten(Node("", {}, node.children)), fail)


@given(st.data())
def test_any_bytes_are_read_or_refused(data: st.DataObject) -> None:
    blob = bytearray(build_device_tree(load_machine(None)))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_device_tree(bytes(blob), fail)
    except GuestFileError as error:
        assert error.offset is not None
        assert 0 <= error.offset <= len(blob)


# Amending ------------------------------------------------------------------------------------------------------


def amended(path: Path, tree: Node, *, bootargs: str | None = None, initrd: tuple[int, int] | None = None) -> bytes:
    path.write_bytes(flatten(tree))
    machine = load_machine(None, memory_size=1 << 20, bootargs=bootargs)
    return amended_device_tree(path, machine, BootParameters(initrd=initrd, rng_seed=b"seed"))


def test_memory_command_line_initrd_and_seeds_are_the_runs(tmp_path: Path) -> None:
    own = Node(
        "",
        {"#address-cells": u32(2), "#size-cells": u32(2), "model": string("mine")},
        [
            Node("chosen", {"bootargs": string("old"), "stdout-path": string("/uart")}),
            Node("memory@0", {"device_type": string("memory"), "reg": u64(0) + u64(4096), "numa-node-id": u32(0)}),
            Node("memory@80000000", {"device_type": string("memory"), "reg": u64(1 << 31) + u64(4096)}),
            Node("mine@1", {"compatible": string("mine,device")}),
        ],
    )
    root = read_blob(amended(tmp_path / "own.dtb", own, bootargs="new", initrd=(RAM + 16, RAM + 32))).root
    chosen = root.at("/chosen").properties
    assert chosen["bootargs"] == b"new\0"
    assert chosen["stdout-path"] == b"/uart\0"
    assert (chosen["linux,initrd-start"], chosen["linux,initrd-end"]) == (u64(RAM + 16), u64(RAM + 32))
    assert chosen["rng-seed"] == b"seed"
    assert "kaslr-seed" not in chosen
    memory = root.at(f"/memory@{RAM:x}").properties
    assert (memory["reg"], memory["numa-node-id"]) == (u64(RAM) + u64(1 << 20), u32(0))
    assert [*root.children] == ["chosen", f"memory@{RAM:x}", "mine@1"]
    assert root.properties["model"] == b"mine\0"


def test_a_command_line_of_its_own_stays_where_the_run_has_none(tmp_path: Path) -> None:
    own = Node("", {"#address-cells": u32(1), "#size-cells": u32(1)}, [Node("chosen", {"bootargs": string("old")})])
    root = read_blob(amended(tmp_path / "own.dtb", own)).root
    assert root.at("/chosen").properties["bootargs"] == b"old\0"
    assert root.at(f"/memory@{RAM:x}").properties["reg"] == u32(RAM) + u32(1 << 20)


@pytest.mark.parametrize("value", [b"", u32(3), u64(2)])
def test_cells_that_addresses_cannot_have(tmp_path: Path, value: bytes) -> None:
    with pytest.raises(GuestFileError, match="/#address-cells: expected 1 or 2 cells"):
        amended(tmp_path / "own.dtb", Node("", {"#address-cells": value}))
