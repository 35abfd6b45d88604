"""Symbols from a file beside the guest."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.symbol_files import load_symbols
from arm_vcpu_cli.guest.symbols import SymbolTable

SAMPLE = Path(__file__).parents[3] / "samples" / "hello" / "hello.elf"


def loaded(directory: Path, data: bytes) -> SymbolTable:
    path = directory / "System.map"
    path.write_bytes(data)
    return load_symbols(path)


def test_a_system_map_names_the_addresses_of_a_kernel(tmp_path: Path) -> None:
    text = b"ffff800008000000 T _text\nffff800008010000 t start_kernel\nffff800009000000 D jiffies\n"
    table = loaded(tmp_path, text)
    assert table.format(0xFFFF_8000_0801_0040) == "start_kernel+0x40"
    assert table.lookup("jiffies") == 0xFFFF_8000_0900_0000
    assert table.resolve(0xFFFF_8000_07FF_FFFF) is None


def test_functions_come_before_data_and_global_names_before_local_ones(tmp_path: Path) -> None:
    text = b"0000000000001000 d data\n0000000000001000 t local\n0000000000001000 T global\n0000000000001000 D other\n"
    assert loaded(tmp_path, text).format(0x1000) == "global"


def test_absolute_values_and_mapping_symbols_name_no_address(tmp_path: Path) -> None:
    table = loaded(tmp_path, b"0000000000001000 A size\n0000000000002000 t $x\n0000000000003000 T f\n")
    assert (table.format(0x1000), table.format(0x2000), table.format(0x3000)) == ("", "", "f")
    assert table.lookup("size") == 0x1000


def test_kallsyms_may_name_modules(tmp_path: Path) -> None:
    assert loaded(tmp_path, b"ffff800001000000 t probe\t[virtio]\n").format(0xFFFF_8000_0100_0000) == "probe"


def test_what_nm_prints_of_a_program_may_have_undefined_names(tmp_path: Path) -> None:
    text = b"                 U memcpy\n0000000040080000 T _start\n                 w __gmon_start__\n40080010 t f\n"
    table = loaded(tmp_path, text)
    assert sorted(table.names()) == ["_start", "f"]
    assert table.format(0x4008_0008) == "_start+0x8"


def test_what_nm_prints_of_a_program_may_have_sizes(tmp_path: Path) -> None:
    text = b"0000000040080000 0000000000000008 T f\n0000000040080020 b g\n0000000040080030 d t\t[m]\n"
    table = loaded(tmp_path, text)
    assert (table.format(0x4008_0004), table.format(0x4008_0008)) == ("f+0x4", "")
    assert table.lookup("t") == 0x4008_0030


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"0000000040080000 T ns::f(int, char const*)\n", "ns::f(int, char const*)"),
        (b"0000000040080000 T operator new[](unsigned long)\n", "operator new[](unsigned long)"),
        (
            b"0000000040080000 T <E as core::fmt::Debug>::fmt\n",
            "<E as core::fmt::Debug>::fmt",
        ),
        (b"0000000040080000 T f\t/src/main.c:12\n", "f"),
        (b"guest.elf:0000000040080000 T f\n", "f"),
        (b"0x40080000 T f\n", "f"),
        (b"\xef\xbb\xbf0000000040080000 T f\n", "f"),
        (b"memcpy U         \nf T 40080000 10\n", "f"),
        (b"add T 40080000         \n", "add"),
        (b"guest.elf:                 U g\n0000000040080000 T f \r\n", "f"),
        (b"0000000040080000 t probe [virtio]\n", "probe"),
    ],
)
def test_other_forms_of_what_nm_prints(tmp_path: Path, line: bytes, name: str) -> None:
    assert loaded(tmp_path, line).format(0x4008_0000) == name


def test_a_file_that_must_be_unpacked_first_is_named(tmp_path: Path) -> None:
    with pytest.raises(GuestFileError, match=r"a gzip file, expected a vmlinux or a System\.map: unpack it first"):
        loaded(tmp_path, gzip.compress(b"0000000040080000 T f\n"))


def test_a_list_without_addresses_says_who_hid_them(tmp_path: Path) -> None:
    lines = b"0000000000000000 T _text\n0000000000000000 t probe\t[virtio]\n"
    with pytest.raises(GuestFileError, match=r"all addresses in it are zero, as kernel\.kptr_restrict shows them"):
        loaded(tmp_path, lines)


def test_an_elf_file_gives_the_symbols_that_it_was_linked_with() -> None:
    table = load_symbols(SAMPLE)
    address = table.lookup("main")
    assert address is not None
    assert table.format(address) == "main"


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "no symbols in it"),
        (b"0000000000000000 T hidden\n", "no symbols in it"),
        (b"ffffffffffffffff B The real System.map is elsewhere\n", "line 1: expected an address, a type and a name"),
        (b"0000000000001000 T f\n\n", "line 2: "),
        (b"0000000000001000 T f\nxyz T g\n", "line 2: "),
        (b"0000000000001000 T \x1b[2J\n", "line 1: "),
        (b"10000000000001000 T f\n", "line 1: "),
        (b"\x7fELF", "truncated ELF header"),
    ],
)
def test_what_names_nothing_is_refused(tmp_path: Path, data: bytes, part: str) -> None:
    with pytest.raises(GuestFileError) as caught:
        loaded(tmp_path, data)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(GuestFileError, match=r"none\.map: cannot be read: No such file"):
        load_symbols(Path("none.map"))


@given(st.binary(max_size=200) | st.text(alphabet="0123456789abcdef TtDA\n\t[]fg_", max_size=200).map(str.encode))
def test_any_bytes_are_symbols_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    try:
        table = loaded(tmp_path_factory.getbasetemp(), data)
    except GuestFileError as error:
        assert "\n" not in str(error)
        return
    assert len(table)
