"""The writer of flattened device trees, checked with a reader and against the specification's layout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.board.fdt import Node, cells, flatten, string, stringlist, u32, u64

from .fdt_reader import Tree, read_blob


def test_the_smallest_tree_is_laid_out_as_the_specification_says() -> None:
    blob = flatten(Node("", {"a": u32(0x1234)}))
    expected = (
        "d00dfeed 0000005a 00000038 00000058 00000028"  # magic, total size, structure, strings, reservations
        "00000011 00000010 00000000 00000002 00000020"  # versions, boot CPU, sizes of strings and structure
        "00000000 00000000 00000000 00000000"  # the end of the reservations
        "00000001 00000000"  # the root, whose name is empty
        "00000003 00000004 00000000 00001234"  # a = <0x1234>
        "00000002 00000009"
        "6100"
    )
    assert blob == bytes.fromhex(expected)


def test_values_have_their_widths_and_byte_order() -> None:
    assert u32(0x01020304) == b"\x01\x02\x03\x04"
    assert u64(0x0102030405060708) == b"\x01\x02\x03\x04\x05\x06\x07\x08"
    assert cells(1, 2) == b"\0\0\0\x01\0\0\0\x02"
    assert cells() == b""
    assert string("ab") == b"ab\0"
    assert stringlist("ab", "", "c") == b"ab\0\0c\0"


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_a_cell_that_is_too_large_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="32-bit cell"):
        u32(value)


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_a_value_of_two_cells_that_is_too_large_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="32-bit cell"):
        u64(value)


def test_a_string_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        stringlist("a", "b\0c")


@pytest.mark.parametrize("name", ["a b", "a/b", "@0", "a@", "x" * 32, "\u00e4", "a@b@c", "a\n"])
def test_a_node_name_that_the_specification_does_not_allow_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name of a node"):
        Node(name)


@pytest.mark.parametrize("name", ["", "a b", "x" * 32, "a@b", "a\n"])
def test_a_property_name_that_the_specification_does_not_allow_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name of a property"):
        Node("", {name: b""})


@pytest.mark.parametrize("children", [[Node("a"), Node("a")], [Node("")]])
def test_children_need_names_of_their_own(children: list[Node]) -> None:
    with pytest.raises(ValueError, match="names of their own"):
        Node("", children=children)


def test_the_root_has_no_name() -> None:
    with pytest.raises(ValueError, match="root"):
        flatten(Node("cpus"))


def test_reserved_ranges_and_the_boot_cpu_are_written() -> None:
    blob = read_blob(flatten(Node(""), reserved=[(0x4000_0000, 0x1000), (1 << 40, 8)], boot_cpu=3))
    assert blob.reserved == [(0x4000_0000, 0x1000), (1 << 40, 8)]
    assert blob.boot_cpu == 3


def test_a_property_name_is_stored_once() -> None:
    blob = flatten(Node("", {"compatible": b"x\0"}, [Node("a", {"compatible": b"y\0"})]))
    assert blob.count(b"compatible\0") == 1
    assert read_blob(blob).root.at("/a").text("compatible") == "y"


NAMES = st.text("abcXYZ019,._+-", min_size=1, max_size=12)
PROPERTIES = st.dictionaries(NAMES, st.binary(max_size=9), max_size=4)


def nodes(name: str, children: dict[str, Node], properties: dict[str, bytes]) -> Node:
    named = [Node(child_name, child.properties, child.children) for child_name, child in children.items()]
    return Node(name, properties, named)


TREES = st.recursive(
    PROPERTIES.map(lambda properties: Node("", properties)),
    lambda inner: st.builds(nodes, st.just(""), st.dictionaries(NAMES, inner, max_size=3), PROPERTIES),
    max_leaves=8,
)


def as_tree(node: Node) -> Tree:
    return Tree(dict(node.properties), {child.name: as_tree(child) for child in node.children})


@given(TREES)
def test_what_is_written_reads_back(root: Node) -> None:
    assert read_blob(flatten(root)).root == as_tree(root)
