"""The last exits in a report, and the exit with which registers are compared."""

from __future__ import annotations

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.observer import ExitRecord
from arm_vcpu_cli.arm_vcpu.recorder import RecentExit
from arm_vcpu_cli.axvcpu.exit import AccessWidth, Halt, MmioRead, MmioWrite, Nothing, SysRegRead, SysRegWrite
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.inspect.postmortem.last_exits import before_the_end, exit_lines, folded_exits
from arm_vcpu_cli.inspect.postmortem.report import painted, report_lines
from arm_vcpu_cli.vm.runner import run_machine
from tests.support.fake_core import Trap, data_abort, hvc
from tests.support.fake_machine import ENTRY, UART, machine

BEFORE, NOW = (1,) * 31, (2,) * 31
UNHANDLED = 0x3F << 26


def exit_at(number: int, pc: int, registers: tuple[int, ...] = BEFORE) -> RecentExit:
    return RecentExit(number, ExitRecord(0, Halt(), None, pc, 1), registers)


def test_the_end_itself_is_nothing_to_compare_with() -> None:
    first, last = exit_at(1, 0x100), exit_at(2, 0x200, NOW)
    assert before_the_end((first, last), 0x200, NOW) is first
    assert before_the_end((first, last), 0x204, NOW) is first
    assert before_the_end((first, last), 0x300, NOW) is last


def test_a_guest_that_stands_still_has_changed_nothing() -> None:
    assert before_the_end((), 0x200, NOW) is None
    assert before_the_end(tuple(exit_at(n, 0x200, NOW) for n in range(20)), 0x200, NOW) is None


def test_exits_of_a_loop_are_not_all_its_end() -> None:
    exits = tuple(exit_at(n, 0x200, (n,) * 31) for n in range(5))
    assert before_the_end(exits, 0x204, (4,) * 31) is exits[3]


def test_exits_have_number_place_and_fields() -> None:
    with machine([data_abort(UART, is_write=True, regs={1: 0x41}), hvc(0x8400_0000), Trap(UNHANDLED)]) as (
        made,
        core,
        _,
    ):
        run_machine(made, Watchdog(core.stop))
        write, call, _unhandled = exit_lines(made, made.current.arch.recent_exits())
    assert write.split()[:5] == ["1", "MmioWrite", "EL1", f"{ENTRY:#x}", "<main>"]
    assert "PL011.UARTDR <- 'A'" in write
    assert call.split()[:2] == ["2", "Hypercall"]
    assert "PSCI_VERSION" in call


def test_repetitions_are_counted() -> None:
    with machine() as (made, _, _reader):
        same = [RecentExit(number, ExitRecord(0, Nothing(), None, ENTRY, 1), BEFORE) for number in range(1, 4)]
        once, again, other = exit_lines(made, [*same, exit_at(4, ENTRY)])
        folded = list(folded_exits(made, [*same, exit_at(4, ENTRY)]))
    assert once.split()[:2] == ["1", "Nothing"]
    assert again.strip() == "the same 2 times more"
    assert other.split()[:2] == ["4", "Halt"]
    assert [line.split()[:2] for line in folded] == [["1-3", "Nothing"], ["4", "Halt"]]
    assert folded[0].endswith(" (3 times)")


def test_exits_that_the_recorder_has_dropped_count_too() -> None:
    exits = [RecentExit(number, ExitRecord(0, Nothing(), None, ENTRY, 1), BEFORE) for number in (48, 49, 1049)]
    with machine() as (made, _, _reader):
        assert list(exit_lines(made, exits))[1].strip() == "the same 1001 times more"
        (folded,) = folded_exits(made, exits)
    assert folded.startswith("48-1049  Nothing")
    assert folded.endswith(" (1002 times)")


Reason = MmioRead | MmioWrite | SysRegRead | SysRegWrite


def accesses(text: str, first: int = 31) -> list[RecentExit]:
    """A guest that prints: each character after a look whether there is room for it."""
    exits = []
    for number, char in enumerate(text):
        read = MmioRead(UART + 0x18, AccessWidth.DWORD, 0, AccessWidth.DWORD, False)
        write = MmioWrite(UART, AccessWidth.DWORD, ord(char))
        reasons: list[Reason] = [read, write]
        exits += [RecentExit(first + 2 * number + n, ExitRecord(0, reason, None, ENTRY, 1), BEFORE)
                  for n, reason in enumerate(reasons)]  # fmt: skip
    return exits


def test_accesses_to_one_device_are_told_together_with_what_was_printed() -> None:
    with machine() as (made, _, _reader):
        (line,) = folded_exits(made, accesses('dead "0"\n'))
    counts = "9 reads of UARTFR, 9 writes of UARTDR"
    assert line == rf'  31-48  18 exits of uart0 (PL011): {counts}, "dead \"0\"\n"'


def test_two_accesses_are_told_one_by_one() -> None:
    with machine() as (made, _, _reader):
        first, second = folded_exits(made, accesses("d"))
    assert first.startswith("     31  MmioRead  EL1 ")
    assert "PL011.UARTDR <- 'd'" in second


def test_system_registers_are_told_together_by_name() -> None:
    iar, eoir = lookup("ICC_IAR1_EL1").iss, lookup("ICC_EOIR1_EL1").iss
    reasons: list[Reason] = [SysRegRead(iar, 0), SysRegWrite(eoir, 27), SysRegRead(iar, 0)]
    exits = [RecentExit(n, ExitRecord(0, reason, None, ENTRY, 1), BEFORE) for n, reason in enumerate(reasons, 5)]
    with machine() as (made, _, _reader):
        (line,) = folded_exits(made, exits)
    assert line == "    5-7  3 exits of system registers: 2 reads of ICC_IAR1_EL1, 1 write of ICC_EOIR1_EL1"


def test_a_report_marks_what_has_changed_since_the_exit_before() -> None:
    with machine([hvc(0x8400_0000), Trap(UNHANDLED, regs={5: 7})]) as (made, core, _):
        run_machine(made, Watchdog(core.stop))
        report = report_lines(made, form="full")
    heading = next(line for line in report if line.startswith("registers"))
    assert heading == "registers (* changed since exit 1):"
    row = next(line for line in report if line.startswith("  x4 "))
    assert row.split()[2:4] == ["x5", "0x0000000000000007*"]


def test_colours_are_there_only_if_they_are_wanted() -> None:
    with machine([Trap(UNHANDLED)]) as (made, core, _):
        run_machine(made, Watchdog(core.stop))
        plain = report_lines(made)
        coloured = painted(plain)
    assert not any("\x1b" in line for line in plain)
    assert "\x1b[1mbacktrace:\x1b[0m" in coloured
