"""The repeated actions of a guest that was stopped: polling a register, or taking the same interrupt or exception.
Guests that make progress are not reported."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.integration.command import COMMAND, GUARD_SECONDS, GUESTS, armvcpu, environment, guest

LOOPS: Final = GUESTS / "loops"
ZERO: Final = '[device.box]\ntype = "zero"\nbase = 0x0b000000\nsize = 0x1000\n'

SAID: Final = {
    "poll_bit": "The guest reads PL011.UARTFR over and over at 0x40080028 <wait_busy>, and waits for BUSY (bit 3) to "
    "become 1.",
    "poll_test": "The guest reads PL011.UARTFR over and over at 0x40080028 <wait_full>, and waits for TXFF (bit 5) to "
    "become 1.",
    "poll_function": "The guest reads PL011.UARTFR over and over at 0x40080080 <read_register>, and waits for TXFE "
    "(bit 7) to become 0.",
    "poll_pending": "The guest reads ICC_HPPIR1_EL1 over and over at 0x40080030 <wait_pending>, and waits for it to "
    "become 0x1b.",
    "poll_acknowledge": "The guest reads ICC_IAR1_EL1 over and over at 0x40080028 <wait_interrupt>, and gets 1023: "
    "no interrupt is signalled to it.",
    "poll_nothing": "The guest reads box+0x70 over and over at 0x40080028 <wait_device>, and waits for it to become "
    'nonzero. Try: device.box has the type "zero", which always reads as 0',
    "poll_timer": "The guest reads CNTV_CTL_EL0 over and over at 0x40080030 <wait_timer>, and waits for ISTATUS (bit "
    "2) to become 1: the virtual timer is off (ENABLE is 0). Try: set ENABLE (bit 0) of CNTV_CTL_EL0",
    "fails": "The guest takes the same exception over and over, data abort on a read of 0xb000000 (synchronous "
    "external abort) at 0x40080028 <wrong>: its handler returns to the instruction, which fails again.",
    "timer": "INTID 27 (virtual timer) comes back at once, 10 times in the last exits: its handler ends it without "
    "rearming the timer: CNTV_CVAL_EL0 is 0x1, which was ",
    "timer-silent": "and the handler of its IRQ does not acknowledge it. Try: have the handler read ICC_IAR1_EL1, and "
    "write what that returns to ICC_EOIR1_EL1",
    "uart": "INTID 33 (uart0) comes back at once, 10 times in the last exits: its handler never clears it at uart0, "
    "whose UARTMIS is 0x020 (TXI=1). Try: write 0x20 to UARTICR before the end of the interrupt",
    "clock": "INTID 34 (rtc) comes back at once, 10 times in the last exits: its handler never clears it at rtc. Try: "
    "write 1 to RTCICR before the end of the interrupt",
    "gicv2-timer": "The guest takes the same interrupt over and over: it is in Group 1, and GICC_IAR returns 1022 for "
    "those.",
}
SAID_SOON: Final = {
    "poll_waker": "The guest reads GICR_WAKER over and over at 0x40080034 <wait_awake>, and waits for ChildrenAsleep "
    "(bit 2) to become 0. Try: write 0 to ProcessorSleep (bit 1), which ChildrenAsleep follows",
    "poll_identity": "The guest reads PL011.UARTPeriphID0 over and over at 0x40080028 <wait_identity>, and waits for "
    "it to become 0x12.",
    "poll_lock": "<lock>, at 0x40080034 <wait_lock>, and waits for it to become 0x0; it is 0x1. Try: if it is a lock, "
    "look for the code that takes it and does not release it, or takes it twice",
    "poll_swap": "<lock>, at 0x40080034 <wait_swap>, and waits for it to become 0x0; it is 0x1. Try: if it is a lock",
    "poll_call": "The guest calls AFFINITY_INFO_64 (HVC) over and over at 0x4008003c <wait_call+0x14>, and there is no "
    "CPU 0x1: it returns INVALID_PARAMETERS.",
    "sgi": "INTID 5 (SGI) comes back at once, 6 times in the last exits: each time, the guest sends an SGI by "
    "ICC_SGI1R_EL1 at 0x",
    "timer-healthy-flag": "<lock> over and over at 0x40080070 <wait_flag>, and waits for it to become nonzero; it is "
    "0x0.",
    "timer-locks": "<wait_holder>, and waits for it to become 0x0; it is 0x1. Try: it is in the handler of an "
    "interrupt: the code that was interrupted may hold a lock, and must mask that",
}
"""The same; these need no second of silence."""
ALARM: Final = (
    "On cpu0, the guest reads PL031.RTCMIS over and over at 0x40080048 <wait_alarm>, and waits for RTCINTR (bit 0) to "
    "become 1."
)
SAID_OF_TWO: Final = {
    "second-poll_bit": (
        ALARM,
        "On cpu1, the guest reads PL011.UARTFR over and over at 0x40080054 <wait_busy>, and waits for BUSY (bit 3) to "
        "become 1.",
    ),
    "second-counts-poll_bit": ("On cpu1, the guest reads PL011.UARTFR over and over at 0x40080058 <wait_busy>",),
    "second-timer": (
        ALARM,
        "On cpu1, INTID 27 (virtual timer) comes back at once, 10 times in the last exits: its handler ends it without",
    ),
    "second-counts-timer": ("On cpu1, INTID 27 (virtual timer) comes back at once",),
    "second-fails": (
        ALARM,
        "On cpu1, the guest takes the same exception over and over, data abort on a read of 0xb000000 (synchronous "
        "external abort) at 0x40080054 <wrong>",
    ),
    "second-enough": (ALARM,),
    "second-poll_lock": (ALARM, "On cpu1, the guest tries over and over to take 0x"),
}
HEALTHY: Final = ("poll_input", "prints", "timer-healthy", "adds")


def stopped(*arguments: object, number: signal.Signals | None = None) -> tuple[int, str]:
    """The status and stderr of a run whose stdin stays open, as at a terminal, with lines joined.

    It is stopped by a limit, or by a signal once it runs."""
    process = subprocess.Popen(
        [*COMMAND, "run", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    try:
        if number is not None:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(3)
            process.send_signal(number)
        assert process.stderr is not None
        err = process.stderr.read()
        status = process.wait(GUARD_SECONDS)
    finally:
        process.kill()
        process.communicate()
    return status, " ".join(err.decode().split()).replace("- ", "-")


def options(name: str, directory: Path) -> tuple[object, ...]:
    """What a variant of the guest needs."""
    if name.startswith("gicv2"):
        return ("--gic", 2)
    if name == "poll_swap":
        return ("--cpu", "max")
    if name == "poll_nothing":
        machine = directory / "zero.toml"
        machine.write_text(ZERO)
        return ("--machine", machine)
    return ()


@pytest.mark.parametrize("name", SAID)
def test_what_a_guest_did_over_and_over_is_said_when_the_time_is_over(name: str, tmp_path: Path) -> None:
    status, err = stopped(*options(name, tmp_path), "--timeout", "2.5", LOOPS / f"{name}.elf")
    assert status == 124
    assert err.startswith("what this usually means: ")
    assert SAID[name] in err


@pytest.mark.parametrize("name", SAID_SOON)
def test_waits_for_memory_and_calls_are_said(name: str, tmp_path: Path) -> None:
    status, err = stopped(*options(name, tmp_path), "--guest-timeout", "0.01", LOOPS / f"{name}.elf")
    assert status == 124
    assert SAID_SOON[name] in err


@pytest.mark.parametrize("name", SAID_OF_TWO)
def test_each_of_several_cpus_is_examined(name: str) -> None:
    status, err = stopped("--smp", 2, "--clock", "instructions", "--timeout", "1.5", LOOPS / f"{name}.elf")
    assert status == 124
    assert all(said in err for said in SAID_OF_TWO[name])
    assert err.count("On cpu") == len(SAID_OF_TWO[name])


def test_nothing_is_said_of_reads_that_are_over() -> None:
    status, err = stopped("--timeout", "2.5", LOOPS / "enough.elf")
    assert (status, err[:24]) == (124, "armvcpu: stopped after 2")


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_said_of_a_guest_that_gets_on(name: str) -> None:
    status, err = stopped("--timeout", "2.5", LOOPS / f"{name}.elf")
    assert (status, err[:24]) == (124, "armvcpu: stopped after 2")


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_nothing_is_said_of_a_guest_that_a_timer_wakes_now_and_then(clock: str) -> None:
    status, err = stopped("--clock", clock, "--timeout", "0.3", guest("ticking"))
    assert status in (0, 124)
    assert "what this usually means" not in err


@pytest.mark.parametrize("exits", [200, 201])
def test_nothing_is_said_of_a_handler_that_is_about_to_set_its_timer_anew(exits: int) -> None:
    status, err = stopped("--max-exits", exits, LOOPS / "timer-healthy.elf")
    assert (status, err[:28]) == (124, f"armvcpu: stopped after {exits} e")


def test_a_limit_of_exits_is_an_end_like_that() -> None:
    status, err = stopped("--max-exits", "3000", LOOPS / "uart.elf")
    assert status == 124
    assert SAID["uart"] in err
    assert err.endswith(f"armvcpu: stopped after 3000 exits at {err.rpartition(' at ')[2]}")


def test_so_is_being_interrupted() -> None:
    status, err = stopped(LOOPS / "poll_pending.elf", number=signal.SIGINT)
    assert status == 130
    assert SAID["poll_pending"] in err


def test_a_guest_that_polls_another_flag_of_the_uart_does_not_wait_for_input() -> None:
    finished = armvcpu("run", "--report", "none", LOOPS / "poll_test.elf")
    assert finished.status == 123
    polls = "armvcpu: the guest polls UARTFR, which will not change any more, at 0x40080028 <wait_full>"
    assert finished.err == f"{polls}\n"
    finished = armvcpu("run", LOOPS / "poll_input.elf")
    assert finished.err == "armvcpu: the guest waits for input, and the input has ended, at 0x40080028 <wait_key>\n"
