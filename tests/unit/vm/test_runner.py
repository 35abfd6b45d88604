"""The run loop: how each exit and each limit ends a run, and with which status."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest

from arm_vcpu_cli.arch.registers.el1regs import EL1H_MASKED, Spsr
from arm_vcpu_cli.arch.smccc import from_u64
from arm_vcpu_cli.axvcpu.exit import EXIT_REASONS
from arm_vcpu_cli.board.description import Limits
from arm_vcpu_cli.devices.bus import MmioDevice
from arm_vcpu_cli.engine.port import StopReason
from arm_vcpu_cli.errors import OUTPUT_FAILED, EngineError
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import StopCause, Watchdog
from arm_vcpu_cli.vm.endings import Ending, RunResult
from arm_vcpu_cli.vm.exit_handlers import EXIT_HANDLERS
from arm_vcpu_cli.vm.guest_run import GuestRun
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.runner import run_machine
from arm_vcpu_cli.vm.watch.hang import HangWatch
from tests.support.arm_vcpu_bench import TestPlatform
from tests.support.fake_core import Trap, data_abort, hvc, instruction_abort, system_move, wfi, write_pstate
from tests.support.fake_machine import ENTRY, UART, machine

OFF = hvc(0x8400_0008)
LONG_SECONDS = 60
"""A guard against a hang, never a measure."""


def uart_of(made: Machine) -> MmioDevice:
    window = made.bus.find(UART, 1)
    assert window is not None
    return window.device


def ending(*script: Trap | EngineError, max_exits: int = 0, mpidr: int = 0) -> RunResult:
    with machine(script, max_exits=max_exits, mpidr=mpidr) as (made, core, _):
        return run_machine(made, Watchdog(core.stop))


def test_every_exit_reason_has_a_handler() -> None:
    assert set(EXIT_HANDLERS) == set(EXIT_REASONS)


@pytest.mark.parametrize(
    ("script", "expected", "status", "words"),
    [
        ([OFF], Ending.POWERED_OFF, 0, "powered off"),
        ([hvc(0x8400_0009)], Ending.RESET, 121, "reset"),
        ([hvc(0x8400_0012)], Ending.RESET, 121, "reset"),
        ([hvc(0x8400_0002)], Ending.NO_PROGRESS, 123, "switched itself off"),
        ([wfi()], Ending.NO_PROGRESS, 123, "waits for an interrupt"),
        ([Trap(0x3F << 26)], Ending.FAULT, 122, "EC=0x3f"),
        ([Trap(0, kind=3)], Ending.FAULT, 122, "SERROR"),
        ([EngineError("out of order")], Ending.FAULT, 122, "out of order"),
    ],
)
def test_how_a_guest_ends(script: list[Trap | EngineError], expected: Ending, status: int, words: str) -> None:
    result = ending(*script)
    assert (result.ending, result.status) == (expected, status)
    assert words in result.message
    assert "\n" not in result.message


@pytest.mark.parametrize(
    ("status", "ends_with"), [(0, 0), (1, 1), (42, 42), (119, 119), (120, 1), (256, 1), (300, 1), (2**64 - 1, 1)]
)
def test_a_guest_that_ends_itself_gives_its_status(status: int, ends_with: int) -> None:
    call = Trap(1 << 25, target_el=1, regs={0: 0x18, 1: 0x5000})
    with machine([call], semihosting=True) as (made, core, _):
        core.instructions[ENTRY] = 0xD45E_0000
        core.memory[0x5000] = (0x20026).to_bytes(8, "little") + status.to_bytes(8, "little")
        result = run_machine(made, Watchdog(core.stop))
    assert (result.ending, result.status) == (Ending.EXITED, ends_with)
    assert f"status {from_u64(status)}" in result.message
    assert ("reported as 1" in result.message) == (status > 119)


@pytest.mark.parametrize(
    ("trap", "access", "where"),
    [
        (data_abort(0x4000_1000, is_write=True, status=0xF), "write", "memory region ram"),
        (instruction_abort(0x7000_0000), "execute", "where nothing is"),
    ],
)
def test_a_refused_access_that_is_to_stop_the_run_says_what_and_where(trap: Trap, access: str, where: str) -> None:
    platform = TestPlatform()
    platform.fault_outcome = platform.fault_outcome.EXIT
    with machine([trap], platform=platform) as (made, core, _):
        result = run_machine(made, Watchdog(core.stop))
    assert (result.ending, result.status) == (Ending.FAULT, 122)
    for words in (access, where, f"{trap.far:#x}", "<main>", f"{ENTRY:#x}"):
        assert words in result.message


@pytest.mark.parametrize(
    "trap",
    [
        data_abort(UART, is_write=False),
        data_abort(UART, is_write=True),
        hvc(0x8600_0001),
        system_move("CNTPCT_EL0", 1, is_read=True),
        system_move("CNTPCT_EL0", 1, is_read=False),
    ],
)
def test_an_exit_that_the_platform_should_have_completed_is_a_fault_with_its_name(trap: Trap) -> None:
    platform = TestPlatform()
    leave = platform.fault_outcome.EXIT
    platform.reads, platform.write_outcome = [leave], leave
    platform.sysreg_value = platform.sysreg_outcome = platform.hypercall_answer = leave
    with machine([trap], platform=platform) as (made, core, _):
        result = run_machine(made, Watchdog(core.stop))
    assert result.status == 122
    assert "does not handle" in result.message


@pytest.mark.parametrize(
    ("mpidr", "target", "answer"),
    [(0, 0, -4), (0x102, 0x102, -4), (0x102, 0, -2), (0, 1, -2), (0, 0x1_0000_0000, -2)],
)
def test_cpu_on_is_answered_for_a_machine_of_one_cpu(mpidr: int, target: int, answer: int) -> None:
    with machine([hvc(0xC400_0003, target, 0x8000, 1), wfi()], mpidr=mpidr) as (made, core, _):
        run_machine(made, Watchdog(core.stop))
        assert core.gpr(0) == answer % 2**64


@pytest.mark.parametrize(
    "harmless",
    [
        system_move("ICC_SGI1R_EL1", 3, is_read=False),
        Trap(0, kind=1),
        Trap(0, kind=2),
    ],
)
def test_an_exit_that_concerns_nobody_does_not_end_the_run(harmless: Trap) -> None:
    assert ending(harmless, OFF).ending is Ending.POWERED_OFF


def test_a_run_ends_with_the_first_stop_after_somebody_has_seen_enough() -> None:
    with machine([hvc(0x8400_0000), OFF]) as (made, core, _):

        def run(pc: int) -> StopReason:
            made.seen_enough = "reached main"
            return StopReason.STOP

        core.run = run  # type: ignore[method-assign]
        result = run_machine(made, Watchdog(core.stop))
    assert (result.ending, result.status, result.exits) == (Ending.LIMIT, 124, 0)
    assert result.message == "reached main"


def test_a_run_counts_its_exits() -> None:
    assert ending(hvc(0x8400_0000), hvc(0x8400_0000), OFF).exits == 3


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_limit_of_exits(limit: int) -> None:
    result = ending(*[hvc(0x8400_0000)] * 10, max_exits=limit)
    assert (result.ending, result.status, result.exits) == (Ending.LIMIT, 124, limit)
    assert f"after {limit} exits" in result.message


def test_an_end_that_coincides_with_the_limit_is_the_end() -> None:
    assert ending(hvc(0x8400_0000), OFF, max_exits=2).ending is Ending.POWERED_OFF


def test_exits_that_return_from_run_count_for_the_limit() -> None:
    result = ending(*[system_move("ICC_SGI1R_EL1", 3, is_read=False)] * 10, max_exits=4)
    assert (result.ending, result.exits) == (Ending.LIMIT, 4)


@pytest.mark.parametrize(
    ("interrupt", "expected", "status"), [(False, Ending.LIMIT, 124), (True, Ending.INTERRUPTED, 130)]
)
def test_a_stop_from_outside(interrupt: bool, expected: Ending, status: int) -> None:
    timeout = 0 if interrupt else 0.001
    with machine([hvc(0x8400_0000)], timeout=timeout) as (made, core, _):
        stopped = threading.Event()
        watchdog = Watchdog(stopped.set, timeout)
        plain_run = core.run

        def run(pc: int) -> StopReason:
            """A guest that computes until it is stopped."""
            reason = plain_run(pc)
            if interrupt:
                watchdog.interrupt()
            assert stopped.wait(LONG_SECONDS)
            return reason

        core.run = run  # type: ignore[method-assign]
        with watchdog:
            result = run_machine(made, watchdog)
    assert (result.ending, result.status) == (expected, status)
    assert "<main+0x4>" in result.message
    assert ("0.001 s" in result.message) is not interrupt


def test_a_guest_that_waits_for_input_that_will_not_come() -> None:
    poll = data_abort(UART + 0x18, is_write=False)
    with machine([poll] * (1 << 17)) as (made, core, _):
        result = run_machine(made, Watchdog(core.stop))
    assert (result.ending, result.status) == (Ending.NO_PROGRESS, 123)
    assert "input" in result.message


def test_the_console_is_flushed_at_the_end() -> None:
    put = data_abort(UART, is_write=True, register=1, regs={1: 0x21})
    with machine([put, OFF]) as (made, core, output):
        run_machine(made, Watchdog(core.stop))
        assert os.read(output, 16) == b"!"


def test_a_console_whose_reader_is_gone_ends_the_run() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    put = data_abort(UART, is_write=True, register=1, regs={1: 0x0A})
    with machine([put, OFF]) as (made, core, _):
        made.console = Console(writer, None)
        uart_of(made)._send = made.console.send  # type: ignore[attr-defined]
        result = run_machine(made, Watchdog(core.stop))
    os.close(writer)
    assert (result.ending, result.status) == (Ending.INTERRUPTED, OUTPUT_FAILED)


# Panics --------------------------------------------------------------------------------------------------------

PANIC = "Kernel panic - not syncing: no luck\r\n"
PANIC_END = "---[ end Kernel panic - not syncing: no luck ]---\r\n"
RESET = hvc(0x8400_0009)


def puts(text: str) -> list[Trap]:
    """The guest prints a text."""
    return [data_abort(UART, is_write=True, register=1, regs={1: byte}) for byte in text.encode()]


def test_a_guest_is_stopped_at_the_end_of_its_kernels_panic() -> None:
    with machine(puts(PANIC + PANIC_END)) as (made, core, output):
        result = run_machine(made, Watchdog(core.stop))
        assert core.requests == 1
        assert os.read(output, 1000).decode() == PANIC + PANIC_END
    assert (result.ending, result.status) == (Ending.PANIC, 122)
    assert result.message == "the guest's kernel panicked: no luck"


@pytest.mark.parametrize(
    ("end", "then"),
    [
        (RESET, "then the guest requested a reset"),
        (OFF, "then the guest powered off"),
        (wfi(), "then the guest waits for an interrupt"),
    ],
)
def test_a_panic_that_ends_in_a_reset_is_still_a_panic(end: Trap, then: str) -> None:
    result = ending(*puts(PANIC), end)
    assert (result.ending, result.status) == (Ending.PANIC, 122)
    assert result.message.startswith(f"the guest's kernel panicked: no luck; {then}")


def test_a_guest_that_only_says_the_words_goes_on_and_powers_off() -> None:
    result = ending(*puts(PANIC + "# reboot: Power down\r\n"), OFF)
    assert (result.ending, result.status) == (Ending.POWERED_OFF, 0)


def test_a_panicked_guest_that_is_interrupted_was_interrupted() -> None:
    with machine(puts(PANIC)) as (made, core, _):
        watchdog = Watchdog(core.stop)
        watchdog.cause = StopCause.INTERRUPT
        assert run_machine(made, watchdog).status == 130


# Waiting in vain -----------------------------------------------------------------------------------------------


def test_a_wait_in_vain_says_whether_interrupts_are_masked() -> None:
    unmasked = int(Spsr(EL1H_MASKED).replace(I=0, F=0))
    masked = ending(wfi()).message
    assert masked.endswith("<main>, with interrupts masked, and nothing can raise one")
    assert ending(replace(wfi(), pstate=unmasked)).message.endswith("<main>, and nothing can raise one")


def test_a_wait_for_input_that_has_ended_says_so() -> None:
    enable_receive_interrupt = data_abort(UART + 0x38, is_write=True, register=1, regs={1: 1 << 4})
    result = ending(enable_receive_interrupt, wfi())
    assert (result.ending, result.status) == (Ending.NO_PROGRESS, 123)
    assert "waits for input" in result.message
    assert result.message.endswith("and the input has ended")


# What is said of a guest that was stopped ----------------------------------------------------------------------


def test_a_busy_guest_needs_no_words() -> None:
    with machine() as (made, core, _):
        assert GuestRun(made, Watchdog(core.stop)).doing() == ""


@pytest.mark.parametrize(("pstate", "masked"), [(EL1H_MASKED, ", interrupts masked"), (0x5, "")])
def test_a_guest_without_exits(pstate: int, masked: str) -> None:
    with machine() as (made, core, _):
        write_pstate(made.current.arch.state, pstate)
        run = GuestRun(made, Watchdog(core.stop))
        run.hang = HangWatch(made, monotonic=iter([10.0, 18.2]).__next__)
        assert run.doing() == f": no exit for the last 8 s{masked}"


@pytest.mark.parametrize(("mask", "ended"), [(0, ""), (1 << 4, ", and its input has ended")])
def test_an_idle_guest(mask: int, ended: str) -> None:
    with machine() as (made, core, _):
        run = GuestRun(made, Watchdog(core.stop))
        uart_of(made).write(0x38, 4, mask)
        made.timeline.skip_to(20_000_000_000)
        run.idle.waited(0, 20_000_000_000, 0)
        assert run.doing() == f": idle for the last 20 s of its time{ended}"
        run.panic.see(b"something")
        assert run.doing() == ""


def idle_guest(seconds: float, *, idle: float, listening: bool) -> RunResult:
    """A guest that waits that long for its timer, again and again, with its input at an end; it ends by itself."""
    waits = 20
    with machine([*[wfi()] * waits, OFF]) as (made, core, _):
        made.description = replace(made.description, limits=Limits(0, 0, idle))
        made.input.starved = lambda: listening  # type: ignore[method-assign]

        def wake() -> None:
            made.current.arch.set_interrupt_lines(irq=True, fiq=False)
            made.scheduler.raised(0)

        alarm = made.timeline.alarm(wake)
        plain_run = core.run

        def run(pc: int) -> StopReason:
            made.current.arch.set_interrupt_lines(irq=False, fiq=False)
            alarm.set_at(made.timeline.now() + round(seconds / waits * 1e9))
            return plain_run(pc)

        core.run = run  # type: ignore[method-assign]
        with Watchdog(core.stop) as watchdog:
            return run_machine(made, watchdog)


@pytest.mark.parametrize(
    ("seconds", "limit", "listening", "ending"),
    [
        (100, 60, True, Ending.NO_PROGRESS),
        (100, 60, False, Ending.POWERED_OFF),
        (50, 60, True, Ending.POWERED_OFF),
        (100, 0, True, Ending.POWERED_OFF),
    ],
)
def test_a_guest_that_idles_for_ever_when_nobody_can_type(
    seconds: float, limit: float, listening: bool, ending: Ending
) -> None:
    result = idle_guest(seconds, idle=limit, listening=listening)
    assert result.ending is ending
    assert ("its input has ended" in result.message) is (ending is Ending.NO_PROGRESS)
