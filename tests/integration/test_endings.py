"""The ends of runs, by the last line of stderr and the exit status: panics, hangs, pointless waits, and stops."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.integration.command import COMMAND, GUARD_SECONDS, SAMPLES, Finished, armvcpu, environment, guest
from tests.support.tools import require_file

BUILD: Final = SAMPLES / "linux" / "build"
CLOCKS: Final = ("instructions", "host")
START: Final = 0x4008_0000

UNMASK: Final = 0xD5034FFF  # msr daifclr, #15
BRANCH_SELF: Final = 0x14000000  # b .
BRANCH_BACK: Final = 0x17FFFFFF  # b .-4
WFE: Final = 0xD503205F
WFI: Final = 0xD503207F
POLL: Final = (0x10000061, 0xF9400020, 0xB4FFFFE0, 0, 0)  # adr x1, .+12; ldr x0, [x1]; cbz x0, .-4
TIMER_FAR_AWAY: Final = (
    0xD2800020,  # mov  x0, #1
    0xD518CCE0,  # msr  icc_igrpen1_el1, x0
    0xD51BE320,  # msr  cntv_ctl_el0, x0
    0xD2AFFFE0,  # movz x0, #0x7fff, lsl #16
    0xD51BE300,  # msr  cntv_tval_el0, x0
)
RECEIVE_INTERRUPT: Final = (
    0xD2A12001,  # mov  x1, #0x09000000
    0x52800200,  # mov  w0, #0x10
    0xB9003820,  # str  w0, [x1, #0x38]
)
LOOPS: Final = {
    # mov x0, #FPEN; msr cpacr_el1, x0; fadd d0, d0, d1
    "floating point": (0xD2A00600, 0xD5181040, 0x1E612800, BRANCH_BACK),
    "counter": (0xD53BE040, BRANCH_BACK),  # mrs x0, cntvct_el0
    "adding": (0x91000400, BRANCH_BACK),  # add x0, x0, #1
}
"""Loops of which nothing is proved."""


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[RawGuests]:
    yield RawGuests(tmp_path)


class RawGuests:
    """Guests of a few instructions."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def of(self, *words: int) -> Path:
        """The file of a guest that begins with these words."""
        path = self._directory / "guest.bin"
        path.write_bytes(b"".join(word.to_bytes(4, "little") for word in words))
        return path


@contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """The command with an open stdin on which nothing comes."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def errors_of(process: subprocess.Popen[bytes]) -> bytes:
    """What it writes to stderr until it ends, with its stdin still open."""
    assert process.stderr is not None
    return process.stderr.read()


# Hangs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize(
    ("words", "place", "why"),
    [
        ((BRANCH_SELF,), 0, "with interrupts masked"),
        ((WFE, BRANCH_BACK), 0, "with interrupts masked"),
        (POLL, 4, "with interrupts masked"),
        ((*TIMER_FAR_AWAY, BRANCH_SELF), 20, "with interrupts masked"),
        ((UNMASK, BRANCH_SELF), 4, "and no interrupt is enabled that could end it"),
        (
            (*TIMER_FAR_AWAY[:2], UNMASK, BRANCH_SELF),
            12,
            "and nothing is left that could interrupt it",
        ),
    ],
)
def test_a_guest_that_can_do_nothing_any_more_hangs(
    raw: RawGuests, words: tuple[int, ...], place: int, why: str, clock: str
) -> None:
    finished = armvcpu("run", "--clock", clock, raw.of(*words))
    assert finished.last == f"armvcpu: the guest hangs in a loop at {START + place:#x}, {why}"
    assert "\nwhat this usually means:\n" in finished.err
    assert (finished.out, finished.status) == (b"", 123)


def test_two_runs_find_the_same_hang_at_the_same_time(raw: RawGuests) -> None:
    hung = raw.of(*POLL)
    runs = [armvcpu("run", "--regs", hung).err for _ in range(2)]
    assert re.sub(r"[\d.]+ s\)", "", runs[0]) == re.sub(r"[\d.]+ s\)", "", runs[1])


def test_a_trace_says_that_its_guest_hangs(raw: RawGuests) -> None:
    finished = armvcpu("trace", "--format", "jsonl", raw.of(BRANCH_SELF))
    end = next(event for line in finished.err.splitlines() if (event := _event(line)).get("type") == "end")
    assert (end["ending"], end["status"], end["exits"]) == ("no progress", 123, 0)


def _event(line: str) -> dict[str, object]:
    return dict(json.loads(line)) if line.startswith("{") else {}


@pytest.mark.parametrize("clock", CLOCKS)
def test_an_idle_loop_that_a_timer_interrupts_goes_on(clock: str) -> None:
    finished = armvcpu("run", "--clock", clock, guest("ticking"))
    assert (finished.out, finished.err, finished.status) == (b".....", "", 0)


@pytest.mark.parametrize("words", LOOPS.values(), ids=LOOPS)
def test_what_is_not_proved_is_left_to_the_timeout(raw: RawGuests, words: tuple[int, ...]) -> None:
    finished = armvcpu("run", "--timeout", "2.5", raw.of(*words))
    assert re.fullmatch(
        r"armvcpu: stopped after 2\.5 s at 0x4008000\w: no exit for the last \d s, interrupts masked\n", finished.err
    )
    assert finished.status == 124


def test_an_unmasked_loop_with_a_timer_far_away_is_left_to_the_timeout(raw: RawGuests) -> None:
    finished = armvcpu("run", "--timeout", "2.5", raw.of(*TIMER_FAR_AWAY, UNMASK, BRANCH_SELF))
    assert re.fullmatch(r"armvcpu: stopped after 2\.5 s at 0x40080018: no exit for the last \d s\n", finished.err)
    assert finished.status == 124


def test_a_recorded_hang_is_repeated(raw: RawGuests, tmp_path: Path) -> None:
    hung, log = raw.of(*POLL), tmp_path / "log"
    recorded = armvcpu("run", "--record", log, hung)
    assert armvcpu("run", "--replay", log, hung) == recorded
    assert recorded.status == 123


# Waits in vain -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            (WFI, BRANCH_BACK),
            "the guest waits for an interrupt at 0x40080000, with interrupts masked, and nothing can raise one",
        ),
        ((UNMASK, WFI), "the guest waits for an interrupt at 0x40080004, and nothing can raise one"),
        ((*RECEIVE_INTERRUPT, WFI), "the guest waits for input at 0x4008000c, and the input has ended"),
    ],
)
def test_a_guest_that_waits_in_vain_says_for_what(raw: RawGuests, words: tuple[int, ...], message: str) -> None:
    finished = armvcpu("run", raw.of(*words))
    assert (finished.last, finished.status) == (f"armvcpu: {message}", 123)
    # Who has only come to the end of what was typed needs no advice.
    assert ("\nwhat this usually means:\n" in finished.err) is ("input has ended" not in message)


# Being stopped -------------------------------------------------------------------------------------------------

BUSY: Final = {
    "computes": LOOPS["adding"],
    "branches to itself": (*TIMER_FAR_AWAY, UNMASK, BRANCH_SELF),
    "sleeps": (*RECEIVE_INTERRUPT, WFI, BRANCH_BACK),
}
SAY_READY: Final = (
    0xD2A12001,  # mov x1, #0x09000000
    0x52800140,  # mov w0, #'\n'
    0xB9000020,  # str w0, [x1]
)


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("words", BUSY.values(), ids=BUSY)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_guest_whatever_it_does(
    raw: RawGuests, words: tuple[int, ...], clock: str, number: signal.Signals
) -> None:
    with running("run", "--clock", clock, raw.of(*SAY_READY, *words)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        process.send_signal(number)
        assert re.fullmatch(rb"armvcpu: interrupted at 0x400800\w\w\n", errors_of(process))
        assert process.wait(GUARD_SECONDS) == 130


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("words", BUSY.values(), ids=BUSY)
def test_the_timeout_stops_the_guest_whatever_it_does(raw: RawGuests, words: tuple[int, ...], clock: str) -> None:
    with running("run", "--clock", clock, "--timeout", "0.3", raw.of(*words)) as process:
        err = errors_of(process)
        assert process.wait(GUARD_SECONDS) == 124
    assert re.fullmatch(rb"armvcpu: stopped after 0\.3 s at 0x400800\w\w\n", err)


def test_a_guest_that_slept_until_the_timeout_was_idle(raw: RawGuests) -> None:
    with running("run", "--timeout", "2", raw.of(*RECEIVE_INTERRUPT, WFI, BRANCH_BACK)) as process:
        err = errors_of(process)
    assert re.fullmatch(rb"armvcpu: stopped after 2 s at 0x4008000c: idle for the last \d s of its time\n", err)


# Panics --------------------------------------------------------------------------------------------------------

NO_ROOT: Final = "VFS: Unable to mount root fs on unknown-block(0,0)"


def linux(append: str, *, initrd: bool = False, timeout: int = 60) -> Finished:
    """Run Debian's kernel with nothing on its stdin."""
    kernel = require_file(str(BUILD / "vmlinuz"))
    disk = ("--initrd", require_file(str(BUILD / "initrd.gz"))) if initrd else ()
    return armvcpu("run", "--timeout", timeout, kernel, *disk, "--append", f"console=ttyAMA0 {append}")


def test_a_kernel_that_panics_is_stopped_with_its_reason_and_a_report() -> None:
    finished = linux("")
    assert finished.out.endswith(f"---[ end Kernel panic - not syncing: {NO_ROOT} ]---\r\n".encode())
    assert finished.last == f"armvcpu: the guest's kernel panicked: {NO_ROOT}"
    assert finished.status == 122
    assert "what this usually means:\n  The kernel found no root file system.\n    Try: " in finished.err
    assert "\nbacktrace:\n  #0  0xffff" in finished.err
    assert re.search(r"^relevant registers.*:\n  pc 0x\w+ ", finished.err, re.MULTILINE)


def test_a_panic_that_resets_the_machine_is_still_a_panic() -> None:
    finished = linux("panic=-1")
    assert finished.last == f"armvcpu: the guest's kernel panicked: {NO_ROOT}; then the guest requested a reset"
    assert finished.status == 122


def test_a_root_that_is_not_there_is_a_panic_too() -> None:
    finished = linux("rdinit=/nonexistent root=/dev/nonexistent", initrd=True)
    assert finished.last.startswith("armvcpu: the guest's kernel panicked: VFS: Unable to mount root fs")
    assert finished.status == 122


def test_a_guest_that_only_says_the_words_is_not_stopped() -> None:
    finished = linux('run="echo Kernel panic - not syncing: x; sleep 1; echo still here"', initrd=True)
    assert b"Kernel panic - not syncing: x\r\nstill here\r\n" in finished.out
    assert (finished.err, finished.status) == ("", 0)


def test_a_kernel_that_was_halted_hangs() -> None:
    finished = linux('run="halt -f"', initrd=True)
    assert b"reboot: System halted" in finished.out
    loop = r"armvcpu: the guest hangs in a loop at 0xffff\w+ <machine_halt\+\w+>, with interrupts masked"
    assert re.fullmatch(loop, finished.last)
    assert finished.status == 123


def test_a_reboot_is_a_reset() -> None:
    finished = linux('run="reboot -f"', initrd=True)
    assert (finished.err, finished.status) == ("armvcpu: the guest requested a reset\n", 121)


def test_a_shell_whose_input_has_ended_is_ended_when_it_has_idled_for_an_hour_of_its_time() -> None:
    finished = linux("", initrd=True)
    assert re.fullmatch(
        r"armvcpu: the guest has been idle for 3600 s of its time, and its input has ended \(limits\.idle\), "
        r"at 0xffff\w+ <cpu_do_idle\+\w+>",
        finished.last,
    )
    assert finished.status == 123
