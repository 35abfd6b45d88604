"""The code around an address, with and without a disassembler."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.inspect.postmortem.disassembly import AFTER, BEFORE, Disassembler, code_lines
from tests.support.fake_machine import ENTRY, machine
from tests.support.tools import missing

STORE, PUSH, BRANCH, UNKNOWN = 0xF9000001, 0xA9BF7BFD, 0x9400003F, 0xFFFFFFFF


@pytest.fixture(scope="module")
def disassembler() -> Disassembler:
    found = Disassembler()
    if not found.is_there:
        missing("capstone")
    return found


WITHOUT = Disassembler("no_such_package")


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def lines(code: bytes, address: int, of: Disassembler = WITHOUT, values: dict[str, int] | None = None) -> list[str]:
    with machine() as (made, core, _):
        core.memory[ENTRY] = code
        found = list(code_lines(made, address, of, values=values))
    # Behind the code there is memory, and in it zeros.
    return [line for line in found if "  00000000" not in line]


def test_an_instruction_has_its_text_and_what_it_reads(disassembler: Disassembler) -> None:
    store, push = disassembler.decode(STORE, ENTRY), disassembler.decode(PUSH, ENTRY)
    assert store is not None
    assert (store.text, store.reads, store.target) == ("str     x1, [x0]", ("x0", "x1"), None)
    assert push is not None
    assert push.reads == ("x29", "x30", "sp")


def test_a_call_has_its_target_and_the_name_of_it(disassembler: Disassembler) -> None:
    call = disassembler.decode(BRANCH, ENTRY + 4)
    assert call is not None
    assert call.target == ENTRY + 0x100
    assert "<leaf>" in lines(words(STORE, BRANCH), ENTRY + 4, disassembler)[1]


def test_what_is_no_instruction_has_no_text(disassembler: Disassembler) -> None:
    assert disassembler.decode(UNKNOWN, ENTRY) is None
    assert lines(words(UNKNOWN), ENTRY, disassembler) == [f"=> {ENTRY:#x}  ffffffff"]


def test_registers_that_are_read_have_their_values(disassembler: Disassembler) -> None:
    (line,) = lines(words(STORE), ENTRY, disassembler, {"x0": 0xDEAD0000, "x1": 0x5A, "x2": 7})
    assert line.endswith("    x0=0xdead0000 x1=0x5a")


def test_without_a_disassembler_there_are_words() -> None:
    assert not WITHOUT.is_there
    assert lines(words(STORE, PUSH), ENTRY + 4) == [f"   {ENTRY:#x}  f9000001", f"=> {ENTRY + 4:#x}  a9bf7bfd"]


def test_so_much_is_shown_around_the_instruction() -> None:
    shown = lines(words(*range(64)), ENTRY + 0x80)
    assert len(shown) == BEFORE + 1 + AFTER
    assert [line[:2] for line in shown].index("=>") == BEFORE


def test_nothing_of_the_function_before_is_shown() -> None:
    with machine() as (made, core, _):
        core.memory[ENTRY] = words(*range(128))
        shown = list(code_lines(made, ENTRY + 0x104, WITHOUT))
    assert shown[0].split()[0] == f"{ENTRY + 0x100:#x}"


def test_code_that_is_not_mapped_is_taken_from_where_it_lies_and_says_so() -> None:
    with machine() as (made, _, _reader):
        view = made.ram.view(ENTRY, 4)
        assert view is not None
        view[:] = words(STORE)
        first, second, *_ = code_lines(made, ENTRY, WITHOUT)
    assert first == f"   (VA {ENTRY:#x} is not mapped; this is what IPA {ENTRY:#x} has)"
    assert second == f"=> {ENTRY:#x}  f9000001"


@pytest.mark.parametrize("address", [0, 0xDEAD0000, ENTRY + 2, 2**64 - 4])
def test_code_that_cannot_be_read_says_so(address: int) -> None:
    assert lines(b"", address) == [f"=> {address:#x}  cannot be read"]
