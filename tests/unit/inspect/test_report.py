"""The register dump and the backtrace of a guest that went wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.inspect.postmortem.report import (
    EL1_REGISTERS,
    EL2_REGISTERS,
    backtrace,
    register_dump,
    report_lines,
)
from arm_vcpu_cli.inspect.postmortem.report_wanted import FORMS, NONE, wants_report
from arm_vcpu_cli.vm.endings import Ending, RunResult
from arm_vcpu_cli.vm.runner import run_machine
from tests.support.fake_core import Trap, hvc
from tests.support.fake_machine import ENTRY, machine

STACK = 0x4010_0000
UNHANDLED = 0x3F << 26


def frames(*records: tuple[int, int, int]) -> dict[int, bytes]:
    """Frame records as memory: (address, address of the next record, return address)."""
    return {at: following.to_bytes(8, "little") + back.to_bytes(8, "little") for at, following, back in records}


def trace(x29: int, x30: int, memory: Mapping[int, bytes]) -> list[str]:
    return [line.split()[1] for line in backtrace_lines(x29, x30, memory)]


def backtrace_lines(x29: int, x30: int, memory: Mapping[int, bytes]) -> list[str]:
    with machine([Trap(UNHANDLED, regs={29: x29, 30: x30})]) as (made, core, _):
        core.memory.update(memory)
        for code in (ENTRY, ENTRY + 0x100):
            core.memory[code] = bytes(0x100)
        run_machine(made, Watchdog(core.stop))
        return list(backtrace(made))


def numbers(*addresses: int) -> list[str]:
    return [f"{address:#018x}" for address in addresses]


# Backtrace -----------------------------------------------------------------------------------------------------


def test_a_chain_of_frames() -> None:
    memory = frames((STACK, STACK + 0x20, ENTRY + 0x110), (STACK + 0x20, 0, ENTRY + 0x20))
    assert trace(STACK, ENTRY + 0x110, memory) == numbers(ENTRY, ENTRY + 0x110, ENTRY + 0x20)


def test_a_leaf_function_has_its_caller_in_x30_only() -> None:
    memory = frames((STACK, 0, ENTRY + 0x20))
    assert trace(STACK, ENTRY + 0x110, memory) == numbers(ENTRY, ENTRY + 0x110, ENTRY + 0x20)
    assert trace(0, ENTRY + 0x110, {}) == numbers(ENTRY, ENTRY + 0x110)


@pytest.mark.parametrize("x29", [0, 1, STACK + 4, 0xDEAD_0000, 2**64 - 8])
def test_no_frames_at_all(x29: int) -> None:
    assert trace(x29, 0, frames((STACK, 0, ENTRY + 0x20))) == numbers(ENTRY)


@pytest.mark.parametrize("following", [STACK, STACK - 0x20, 0xDEAD_0000])
def test_a_chain_that_does_not_go_up_ends(following: int) -> None:
    memory = frames((STACK - 0x20, 0, 0x1111_0000), (STACK, following, ENTRY + 0x110))
    assert trace(STACK, ENTRY + 0x110, memory) == numbers(ENTRY, ENTRY + 0x110)


def test_a_chain_without_an_end_is_cut() -> None:
    memory = frames(*((STACK + 16 * n, STACK + 16 * (n + 1), ENTRY + 4 * (n % 32)) for n in range(500)))
    lines = backtrace_lines(STACK, ENTRY, memory)
    assert 32 < len(lines) < 200
    assert re.fullmatch(r"\.\.\. and so on, 50[0-2] frames in all", lines[-1])


def test_a_recursion_is_told_once() -> None:
    memory = frames(*((STACK + 16 * n, STACK + 16 * (n + 1), ENTRY + 0x110) for n in range(810)))
    memory |= frames((STACK + 16 * 810, 0, ENTRY + 0x20))
    first, folded, last = backtrace_lines(STACK, ENTRY + 0x110, memory)
    assert first.startswith("#0 ")
    assert re.fullmatch(r"#1-#810 0x[0-9a-f]{16} <leaf\+0x10> \.\.\. 810 times", folded)
    assert last.startswith(f"#811 {ENTRY + 0x20:#018x}")


def test_functions_that_call_each_other_are_told_once() -> None:
    places = (ENTRY + 0x110, ENTRY + 0x30, ENTRY + 0x120)
    memory = frames(*((STACK + 16 * n, STACK + 16 * (n + 1), places[n % 3]) for n in range(300)))
    lines = backtrace_lines(STACK, places[0], memory)
    assert [line.split()[1] for line in lines[1:4]] == numbers(*places)
    assert lines[4] == "#4-#300 the same 3 frames 99 times more"
    assert len(lines) == 5


@pytest.mark.parametrize("rounds", [1, 2])
def test_what_comes_twice_is_told_twice(rounds: int) -> None:
    memory = frames(*((STACK + 16 * n, STACK + 16 * (n + 1), ENTRY + 0x110) for n in range(rounds)))
    assert len(backtrace_lines(STACK, ENTRY + 0x110, memory)) == 1 + rounds


def test_addresses_have_symbols() -> None:
    with machine([Trap(UNHANDLED, regs={30: ENTRY + 0x110})]) as (made, core, _):
        core.memory[ENTRY + 0x100] = bytes(0x100)
        run_machine(made, Watchdog(core.stop))
        lines = list(backtrace(made))
    assert "<main>" in lines[0]
    assert "<leaf+0x10>" in lines[1]


# Registers -----------------------------------------------------------------------------------------------------


def test_the_dump_has_every_register_once() -> None:
    values = {number: 0x1000_0000_0000_0000 + number for number in range(31)}
    with machine([hvc(0x8400_0000), Trap(UNHANDLED, regs=values)]) as (made, core, _):
        run_machine(made, Watchdog(core.stop))
        dump = "\n".join(register_dump(made))
    words = dump.split()
    for number, value in values.items():
        at = words.index(f"x{number}")
        assert int(words[at + 1], 16) == value
    for name in ("pc", "sp", "PSTATE", *EL1_REGISTERS, *EL2_REGISTERS, "ESR_EL2"):
        assert words.count(name) == 1, name
    assert f"{ENTRY + 4:#018x} <main+0x4>" in dump
    assert "EL1h" in dump
    assert "TSC=1" in dump
    assert "EC=0x3f" in dump


def test_a_register_that_the_core_lacks_is_left_out() -> None:
    with machine([Trap(UNHANDLED)]) as (made, core, _):
        core.missing.add(lookup("PAR_EL1"))
        run_machine(made, Watchdog(core.stop))
        dump = "\n".join(register_dump(made))
    assert "PAR_EL1" not in dump
    assert "VBAR_EL1" in dump


def test_the_report_tells_of_the_exceptions_that_came_before() -> None:
    brk = Trap(0x3C << 26 | 1 << 25 | 5, target_el=1)
    with machine([brk, Trap(UNHANDLED)]) as (made, core, _):
        run_machine(made, Watchdog(core.stop))
        report = "\n".join(report_lines(made))
    assert "EC=0x3c" in report
    assert report.index("EC=0x3c") < report.index("backtrace") < report.index("registers")


@pytest.mark.parametrize("ending", list(Ending))
def test_which_ends_are_explained(ending: Ending) -> None:
    explained = (Ending.FAULT, Ending.PANIC, Ending.NO_PROGRESS)
    assert wants_report(RunResult(ending, 0, "")) is (ending in explained)
    ended_itself = ending in (Ending.POWERED_OFF, Ending.RESET, Ending.EXITED)
    assert wants_report(RunResult(ending, 0, ""), regs=True) is not ended_itself
    for form in FORMS:
        assert wants_report(RunResult(ending, 0, ""), form, regs=True) is (form != NONE and not ended_itself)


def test_a_guest_that_waits_for_more_input_is_explained_only_on_request() -> None:
    result = RunResult(Ending.NO_PROGRESS, 123, "the guest waits for input, and input has ended")
    assert not wants_report(result)
    assert wants_report(result, "short")
    assert wants_report(result, regs=True)
