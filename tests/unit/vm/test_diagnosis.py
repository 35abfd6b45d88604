"""Descriptions of why a guest made no progress."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arm_vcpu.exception_chain import El1Exception
from arm_vcpu_cli.vm.diagnosis import in_words, is_vector, vector_failures, with_symbol
from tests.support.fake_machine import ENTRY, machine

VBAR = 0x4000_0800


def exception(pc: int, esr: int = 0x2000000, far: int = 0) -> El1Exception:
    return El1Exception(esr=esr, far=far, pc=pc, sp=0)


@pytest.mark.parametrize(
    ("esr", "words"),
    [
        (0x9600_0050, "data abort on a write to 0xdead0000 (synchronous external abort)"),
        (0x9600_0006, "data abort on a read of 0xdead0000 (translation fault, level 2)"),
        (0x9200_0046, "data abort on a write to 0xdead0000 (translation fault, level 2)"),
        (0x8600_0010, "instruction abort (synchronous external abort)"),
        (0x0200_0000, "undefined instruction"),
        (0xF200_0001, "BRK instruction"),
        (0x8A00_0000, "misaligned PC"),
    ],
)
def test_an_exception_in_words(esr: int, words: str) -> None:
    assert in_words(exception(ENTRY, esr, 0xDEAD_0000)) == words


def test_an_exception_of_an_unknown_class_has_its_number() -> None:
    assert "0x3f" in in_words(exception(ENTRY, 0x3F << 26))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (VBAR, True),
        (VBAR + 0x200, True),
        (VBAR + 0x780, True),
        (VBAR + 0x204, False),
        (VBAR + 0x800, False),
        (0, False),
    ],
)
def test_which_addresses_are_vectors(address: int, expected: bool) -> None:
    assert is_vector(address, VBAR) is expected


def test_only_the_failures_at_the_end_count() -> None:
    vector, code = exception(VBAR + 0x200), exception(ENTRY)
    assert vector_failures([], VBAR) == 0
    assert vector_failures([vector, code], VBAR) == 0
    assert vector_failures([vector, code, vector, vector], VBAR) == 2


def test_an_address_has_its_symbol_if_there_is_one() -> None:
    with machine() as (made, _, _reader):
        assert with_symbol(made, ENTRY + 4) == f"{ENTRY + 4:#x} <main+0x4>"
        assert with_symbol(made, 0x10) == "0x10"
