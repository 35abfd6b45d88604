"""Options about the guest: its CPU model, device tree, further files, arguments, and its source."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from .command import GUESTS, armvcpu, assert_refused, sample, shell

HELLO = b"Hello from EL1!\n"
SEMIHOSTING = GUESTS / "semihosting" / "semihosting.elf"


# The machine ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "midr"), [("cortex-a53", b"0x410fd034"), ("cortex-a72", b"0x410fd083")])
def test_the_cpu_model(model: str, midr: bytes) -> None:
    finished = armvcpu("run", "--cpu", model, sample("hello"))
    assert b"MIDR_EL1 " + midr in finished.out
    assert finished.status == 0


def test_a_cpu_model_that_there_is_not() -> None:
    models = "'cortex-a99' is no CPU model; expected cortex-a53, cortex-a57, cortex-a72 or max"
    assert_refused(armvcpu("run", "--cpu", "cortex-a99", sample("hello")), "--cpu", models)


def test_the_option_wins_over_the_machine_file(tmp_path: Path) -> None:
    machine = tmp_path / "machine.toml"
    machine.write_text('[cpu]\nmodel = "cortex-a57"\n')
    assert b"0x410fd034" in armvcpu("run", "-m", machine, "--cpu", "cortex-a53", sample("hello")).out


# Further files -------------------------------------------------------------------------------------------------


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A raw guest that ends itself with the byte at 0x4800_0010 as its status."""
    code = (
        0xD2A90001,  # mov x1, #0x48000000
        0x39404022,  # ldrb w2, [x1, #16]
        0xD28004C0,  # mov x0, #0x26
        0xF2A00040,  # movk x0, #2, lsl #16
        0xD2A90003,  # mov x3, #0x48000000
        0xF9008060,  # str x0, [x3, #256]
        0xF9008462,  # str x2, [x3, #264]
        0x91040061,  # add x1, x3, #256
        0x52800300,  # mov w0, #0x18
        0xD45E0000,  # hlt #0xf000
    )
    path = tmp_path / "raw.bin"
    path.write_bytes(struct.pack(f"<{len(code)}I", *code))
    return path


def test_files_are_loaded_where_the_user_says(tmp_path: Path, raw: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second@1"
    first.write_bytes(bytes(16))
    second.write_bytes(bytes([77]))
    loads = ("--load", f"{first}@0x48000000", "--load", f"{second}@0x48000010")
    assert armvcpu("run", *loads, raw).status == 77
    machine = tmp_path / "machine.toml"
    machine.write_text('[load.data]\nfile = "second@1"\naddress = 0x48000010\n')
    assert armvcpu("run", "-m", machine, raw).status == 77


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("0x40080000", ("0x4 bytes at 0x40080000 would overwrite", " at 0x40080000-0x")),
        ("0x5ffffffe", ("0x4 bytes at 0x5ffffffe are outside of memory: ram 0x40000000-0x5fffffff",)),
        ("0x0", ("outside of memory",)),
        ("0xffffffffffffffffffff", ("outside of memory",)),
        ("here", ("'here' is not an address such as 0x40080000",)),
    ],
)
def test_files_that_have_no_room(tmp_path: Path, place: str, expected: tuple[str, ...]) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"data")
    assert_refused(armvcpu("run", "--load", f"{data}@{place}", sample("hello")), *expected)


def test_files_that_are_in_each_others_way(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"data")
    loads = ("--load", f"{data}@0x48000000", "--load", f"{data}@0x48000003")
    assert_refused(armvcpu("run", *loads, sample("hello")), "would overwrite data at 0x48000000-0x48000003")
    machine = tmp_path / "machine.toml"
    machine.write_text("[boot]\ndtb_address = 0x48000000\n")
    assert_refused(armvcpu("run", "-m", machine, *loads[:2], sample("hello")), "would overwrite data at 0x48000000")


@pytest.mark.parametrize("text", ["data", "@0x48000000", "missing@0x48000000", "empty@0x48000000"])
def test_what_is_no_file_to_load(tmp_path: Path, text: str) -> None:
    (tmp_path / "empty").touch()
    assert_refused(armvcpu("run", "--load", text, sample("hello"), cwd=tmp_path))


# A device tree of the user's own ----------------------------------------------------------------------------------


def test_an_own_device_tree_is_amended(tmp_path: Path) -> None:
    own, amended = tmp_path / "own.dtb", tmp_path / "amended.dtb"
    assert armvcpu("dtb", "-o", own).status == 0
    armvcpu("dtb", "--dtb", own, "-o", amended)
    assert amended.read_bytes() == own.read_bytes()
    options = ("--memory", "1GiB", "--append", "one two")
    armvcpu("dtb", *options, "-o", own)
    armvcpu("dtb", *options, "--dtb", amended, "-o", amended.with_suffix(".new"))
    assert sorted(amended.with_suffix(".new").read_bytes()) == sorted(own.read_bytes())
    assert armvcpu("run", "--dtb", own, sample("hello")).out.startswith(HELLO)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "offset 0x0: 0 bytes, expected the 40 of"),
        (39, "offset 0x0: 39 bytes"),
        (100, "offset 0x4: the device tree"),
    ],
)
def test_a_device_tree_that_is_cut_off(tmp_path: Path, size: int, expected: str) -> None:
    own, cut = tmp_path / "own.dtb", tmp_path / "cut.dtb"
    armvcpu("dtb", "-o", own)
    cut.write_bytes(own.read_bytes()[:size])
    assert_refused(armvcpu("run", "--dtb", cut, sample("hello")), f"{cut}: ", expected)


# The guest's arguments -------------------------------------------------------------------------------------------


def test_arguments_come_after_two_dashes() -> None:
    finished = armvcpu("run", SEMIHOSTING, "--", "exit", "33")
    assert finished.status == 33
    assert armvcpu("run", "--", SEMIHOSTING, "exit", "33").status == 33
    assert armvcpu("run", "--", SEMIHOSTING, "--", "exit", "33").status == 33
    assert armvcpu("trace", "-o", "/dev/null", SEMIHOSTING, "--", "exit", "33").status == 33


def test_without_arguments_the_kernels_command_line_stands_in_for_them() -> None:
    assert armvcpu("run", "--append", "exit 34", SEMIHOSTING).status == 34


def test_a_word_too_many_is_refused() -> None:
    assert_refused(armvcpu("run", sample("hello"), "stray"), "unexpected extra argument (stray)", "follow --")
    assert_refused(armvcpu("run", sample("hello"), "stray", "--", "meant"), "unexpected extra argument (stray)")


# The guest from stdin, and input that is left alone -------------------------------------------------------------------


def test_the_guest_is_read_from_stdin() -> None:
    assert armvcpu("run", "-", stdin=sample("hello").read_bytes()).out.startswith(HELLO)
    assert shell('armvcpu run - < "$1"', sample("hello")).out.startswith(HELLO)
    finished = armvcpu("run", "-", "--", "input", stdin=SEMIHOSTING.read_bytes())
    assert finished.out == b"the end\n", "its input is empty"
    assert_refused(armvcpu("run", "-"), "-: the file is empty")
    assert_refused(
        armvcpu("run", "--record", "/dev/null", "-", stdin=sample("hello").read_bytes()), "--record", "stdin"
    )


def test_without_input_stdin_is_not_read() -> None:
    assert armvcpu("run", "--no-input", SEMIHOSTING, "--", "input", stdin=b"text").out == b"the end\n"
    script = 'printf "one\\ntwo\\n" | { armvcpu run --no-input "$1"; cat; }'
    finished = shell(script, sample("echo"))
    assert finished.out.endswith(b"one\ntwo\n")


@pytest.mark.parametrize("source", ['< "$2"', '< <(cat "$2")'], ids=["file", "pipe"])
def test_a_loop_that_reads_a_list_of_guests(tmp_path: Path, source: str) -> None:
    names = tmp_path / "list"
    names.write_text("first\nsecond\nthird\n")
    finished = shell(f'while read -r name; do echo "$name"; armvcpu run "$1"; done {source}', sample("hello"), names)
    lines = finished.out.splitlines()
    assert lines[::3] == [b"first", b"second", b"third"]
    assert lines[1::3] == [HELLO.rstrip()] * 3


def test_what_a_guest_leaves_of_a_file_is_there_for_the_next(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("one\ntwo\nthree\n")
    by_call = shell('{ armvcpu run "$1" -- line; echo -; cat; } < "$2"', SEMIHOSTING, text)
    assert by_call.out == b"one\n-\ntwo\nthree\n"
    text.write_text("one\nquit\nthree\n")
    by_uart = shell('{ armvcpu run "$1"; echo -; cat; } < "$2"', sample("echo"), text)
    assert by_uart.out.rpartition(b"-\n")[2] == b"three\n"
