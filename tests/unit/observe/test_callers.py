"""The caller of the guest's current function: from x30 until it makes a call, from its frame record afterwards."""

from __future__ import annotations

from arm_vcpu_cli.guest.symbol import Symbol
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.observe.callers import CallerFinder

LEAF, OTHER, CALLER = 0x1000, 0x2000, 0x3010
FRAME = 0x8000


class Memory:
    """Reads words that the test has put in, and counts how often it is asked."""

    def __init__(self, words: dict[int, int]) -> None:
        self.words = words
        self.reads = 0

    def __call__(self, address: int, size: int) -> bytes | None:
        self.reads += 1
        value = self.words.get(address)
        return None if value is None else value.to_bytes(size, "little")


def finder(memory: Memory) -> CallerFinder:
    symbols = SymbolTable([Symbol("leaf", LEAF, 0x100), Symbol("other", OTHER, 0x100)])
    return CallerFinder(symbols, memory, lambda: "little")


def test_x30_is_where_a_leaf_goes_back_to() -> None:
    memory = Memory({FRAME + 8: OTHER})
    assert finder(memory).return_address(LEAF + 8, CALLER, FRAME) == CALLER
    assert memory.reads == 0


def test_where_x30_is_what_its_last_call_has_left_the_frame_record_says() -> None:
    memory = Memory({FRAME + 8: OTHER + 4})
    assert finder(memory).return_address(LEAF + 8, LEAF + 0x20, FRAME) == OTHER + 4


def test_a_frame_that_cannot_be_read_says_nothing() -> None:
    assert finder(Memory({})).return_address(LEAF + 8, LEAF + 0x20, FRAME) == 0


def test_without_symbols_x30_is_believed() -> None:
    assert CallerFinder(SymbolTable(), Memory({}), lambda: "little").return_address(LEAF, LEAF + 4, FRAME) == LEAF + 4


def test_a_frame_may_change_between_two_questions() -> None:
    memory = Memory({FRAME + 8: OTHER})
    found = finder(memory)
    assert found.return_address(LEAF + 8, LEAF + 0x20, FRAME) == OTHER
    memory.words[FRAME + 8] = CALLER
    assert found.return_address(LEAF + 8, LEAF + 0x20, FRAME) == CALLER
