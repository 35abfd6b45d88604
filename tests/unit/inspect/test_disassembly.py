"""The code around an address, with and without a disassembler."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.inspect.postmortem.disassembly import AFTER, BEFORE, Disassembler, code_lines, is_unnamed
from tests.support.fake_machine import ENTRY, machine
from tests.support.tools import missing

STORE, PUSH, BRANCH, UNKNOWN = 0xF9000001, 0xA9BF7BFD, 0x9400003F, 0xFFFFFFFF
BITFIELD, EXCLUSIVE = 0xD3407C00, 0xC85F7C01


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


def test_without_a_disassembler_there_is_what_is_decoded_here() -> None:
    assert not WITHOUT.is_there
    first, second, third = lines(words(STORE, BITFIELD, PUSH), ENTRY + 8)
    assert first == f"   {ENTRY:#x}  f9000001  str     x1, [x0]"
    assert second == f"   {ENTRY + 4:#x}  d3407c00"
    assert third == f"=> {ENTRY + 8:#x}  a9bf7bfd  stp     x29, x30, [sp, #-0x10]!"
    assert [is_unnamed(line) for line in (first, second, third)] == [False, True, False]


def test_without_a_disassembler_registers_have_their_values_too() -> None:
    (line,) = lines(words(STORE), ENTRY, WITHOUT, {"x0": 0xDEAD0000, "x1": 0x5A, "x2": 7})
    assert line.endswith("str     x1, [x0]    x0=0xdead0000 x1=0x5a")


def test_of_some_instructions_only_the_kind_is_known() -> None:
    (line,) = lines(words(EXCLUSIVE), ENTRY)
    assert line == f"=> {ENTRY:#x}  c85f7c01  (exclusive)"
    assert is_unnamed(line)


def test_a_call_has_the_name_of_its_target_without_a_disassembler() -> None:
    assert "bl      #0x40080100 <leaf>" in lines(words(STORE, BRANCH), ENTRY + 4)[1]


def test_what_a_comparison_reads_is_known_with_a_disassembler(disassembler: Disassembler) -> None:
    compare = disassembler.decode(0xF10008BF, ENTRY)
    assert compare is not None
    assert (compare.text, compare.reads) == ("cmp     x5, #2", ("x5",))


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
    assert first == f"   (VA {ENTRY:#x} is not mapped; this is the code at IPA {ENTRY:#x})"
    assert second == f"=> {ENTRY:#x}  f9000001  str     x1, [x0]"


@pytest.mark.parametrize("address", [0, 0xDEAD0000, ENTRY + 2, 2**64 - 4])
def test_code_that_cannot_be_read_says_so(address: int) -> None:
    assert lines(b"", address) == [f"=> {address:#x}  cannot be read"]
