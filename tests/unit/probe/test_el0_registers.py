"""Reading ID registers as a program: the code, and whether code can be called at all."""

from __future__ import annotations

import os
import platform

import pytest

from arm_vcpu_cli.arch.registers.sysreg import decode_system_move
from arm_vcpu_cli.probe import el0_registers
from arm_vcpu_cli.probe.el0_registers import REGISTERS, call_code, mrs_function, read_registers

RETURN_42_AND_43 = {
    "x86_64": (bytes.fromhex("b82a000000c3"), bytes.fromhex("b82b000000c3")),  # mov eax, 42; ret
    "aarch64": (bytes.fromhex("400580d2c0035fd6"), bytes.fromhex("600580d2c0035fd6")),  # mov x0, #42; ret
}


@pytest.mark.parametrize("name", REGISTERS)
def test_a_function_moves_its_register_to_x0_and_returns(name: str) -> None:
    code = mrs_function(name)
    move = decode_system_move(int.from_bytes(code[:4], "little"))
    assert move is not None
    assert (move.reg.name, move.rt, move.is_read) == (name, 0, True)
    assert code[4:] == b"\xc0\x03\x5f\xd6"


def test_only_registers_of_the_space_that_the_kernel_emulates_are_read() -> None:
    for name in REGISTERS:
        move = decode_system_move(int.from_bytes(mrs_function(name)[:4], "little"))
        assert move is not None
        assert (move.reg.op0, move.reg.op1, move.reg.crn) == (3, 0, 0)
        assert move.reg.crm in (0, 4, 5, 6, 7)


def test_machine_code_of_the_host_is_called_in_order() -> None:
    functions = RETURN_42_AND_43[platform.machine()]
    assert call_code(functions) == [42, 43]


def test_a_host_that_maps_no_code_shows_no_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_name: str) -> int:
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "memfd_create", refuse)
    assert read_registers() == {}


def test_registers_have_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(el0_registers, "call_code", lambda functions: list(range(len(functions))))
    found = read_registers()
    assert list(found) == list(REGISTERS)
    assert list(found.values()) == list(range(len(REGISTERS)))
