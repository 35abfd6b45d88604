"""Debian's kernel, unmodified: from reset to user space, a shell, interrupts, and equal runs.

``samples/linux/fetch.sh`` gets the kernel and the initial RAM disk. The tests share a few boots.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.command import COMMAND, GUARD_SECONDS, SAMPLES, Finished, armvcpu, environment
from tests.support.processes import cpu_seconds
from tests.support.tools import require_file

BUILD: Final = SAMPLES / "linux" / "build"
PROMPT: Final = b"\n# "
WHERE: Final = b"\x1b[6n"
"""The shell asks the terminal where its cursor is, unless a key has been typed already."""
EPOCH: Final = 1767225600
"""2026-01-01T00:00:00Z, what the real-time clock says at reset."""
IDLE_SECONDS: Final = 3.0
IDLE_SHARE: Final = 0.1
"""Of a core. A guest whose WFI does not wait takes all of one."""
CPU_BOUND: Final = "n=0; while [ $n -lt 400 ]; do n=$((n+1)); done"
"""Some milliseconds of the guest: longer than the scheduler lets a process run when others want to."""

TROUBLE: Final = (
    "WARNING",
    "BUG",
    "Oops",
    "Call trace",
    "Internal error",
    "Unexpected interrupt",
    "unexpected interrupt",
    "nobody cared",
    "soft lockup",
    "rcu_sched self-detected",
    "fail",
    "Fail",
    "error:",
    "Unable to",
    "unable to",
    "timed out",
    "timeout",
    "bogus",
    "Firmware Bug",
    "unhandled",
    "Unhandled",
    "invalid GIC",
    "No such device",
    "not responding",
    "Using dummy",
    "fall back",
    "falling back",
    "Kernel panic",
)
"""What no line of the kernel's log has on a machine that works. It says "Fallback order for Node 0" and "crash dump"
on every one."""


@dataclass(frozen=True)
class Run:
    """A run of the kernel with its console as text, and what ``--regs`` says."""

    finished: Finished

    @property
    def console(self) -> str:
        return self.finished.out.decode().replace("\r\n", "\n")

    @property
    def exits(self) -> int:
        """How many exits to EL2 the command counted."""
        match = re.search(r"\((\d+) exits to EL2, ", self.finished.last)
        assert match is not None, self.finished.last
        return int(match[1])

    def assert_powered_off(self) -> None:
        assert self.finished.status == 0, (self.finished.err, self.finished.out[-2000:])
        assert "armvcpu: the guest powered off" in self.finished.last

    def answer(self, command: str) -> str:
        """What a command of the shell printed, up to the next prompt."""
        _, found, rest = self.console.partition(f"\n# {command}\n")
        assert found, self.console
        return rest.partition("\n# ")[0]

    def interrupts(self) -> dict[str, int]:
        """How often each interrupt in the first ``/proc/interrupts`` came, by the name of the device, and Err."""
        counts = {}
        for line in self.console.splitlines():
            match = re.match(r" *(\w+): +(\d+)(?: .*?(\S+))?$", line)
            if match is not None and match[3 if match[1].isdigit() else 1] not in counts:
                counts[match[3] if match[1].isdigit() else match[1]] = int(match[2])
        return counts


@cache
def kernel() -> tuple[Path, Path]:
    """(kernel, initial RAM disk)."""
    return require_file(str(BUILD / "vmlinuz")), require_file(str(BUILD / "initrd.gz"))


def arguments(append: str, *, image: Path | None = None) -> list[object]:
    linux, initrd = kernel()
    return [linux if image is None else image, "--initrd", initrd, "--append", f"console=ttyAMA0 {append}"]


def boot(append: str, *options: object, command: str = "run", image: Path | None = None, stdin: bytes = b"") -> Run:
    return Run(armvcpu(command, "--regs", *options, *arguments(append, image=image), stdin=stdin))


def machine_file(folder: Path, text: str) -> Path:
    path = folder / "machine.toml"
    path.write_text(text)
    return path


def events(trace: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trace.read_text().splitlines()]


# To user space and off again ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Traced:
    run: Run
    trace: Path


def traced_boot(folder: Path) -> Traced:
    trace = folder / "trace.jsonl"
    return Traced(boot("poweroff", "--format", "jsonl", "-o", trace, command="trace"), trace)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Traced:
    return traced_boot(tmp_path_factory.mktemp("first"))


def test_it_boots_to_user_space_and_powers_off(first: Traced) -> None:
    first.run.assert_powered_off()
    assert re.search(r"^Linux \d\S* on aarch64, up 0\.\d\d s after reset$", first.run.console, re.MULTILINE)
    assert first.run.console.endswith("reboot: Power down\n")


def test_the_kernel_sees_the_machine_that_was_described(first: Traced) -> None:
    log = first.run.console
    assert "Machine model: armvcpu virt\n" in log
    assert re.search(r"psci: PSCIv1\.\d detected in firmware", log)
    assert "GICv3: 256 SPIs implemented\n" in log
    assert "GICv3: CPU0: found redistributor 0 region 0:0x00000000080a0000\n" in log
    assert "CPU features: detected: GIC system register CPU interface\n" in log
    assert "arch_timer: cp15 timer(s) running at 62.50MHz (virt).\n" in log
    assert "ttyAMA0 at MMIO 0x9000000 (irq = " in log
    assert "rtc-pl031 9010000.pl031: setting system clock to 2026-01-01T00:00:00 UTC" in log
    assert "CPU: All CPU(s) started at EL1\n" in log
    assert "Trying to unpack rootfs image as initramfs" in log


def test_the_kernel_has_nothing_to_complain_about(first: Traced) -> None:
    lines = first.run.console.splitlines()
    assert len(lines) > 100
    assert [line for line in lines if any(word in line for word in TROUBLE)] == []


def test_its_log_has_times_that_never_go_back(first: Traced) -> None:
    times = [float(stamp) for stamp in re.findall(r"^\[ *(\d+\.\d+)\]", first.run.console, re.MULTILINE)]
    assert times == sorted(times)
    assert times[-1] > 0.1


def test_it_is_interrupted_by_its_timer(first: Traced) -> None:
    reasons = [event.get("reason") for event in events(first.trace)]
    assert reasons.count("ExternalInterrupt") > 10
    assert reasons.count("MmioWrite") > 100
    assert reasons.count("SystemDown") == 1


def test_two_runs_are_the_same_to_the_byte(first: Traced, tmp_path: Path) -> None:
    """Each exit at the same time, with the same registers: interrupts too."""
    second = traced_boot(tmp_path)
    assert second.run.finished.out == first.run.finished.out
    ours, theirs = second.trace.read_bytes(), first.trace.read_bytes()
    if ours != theirs:
        pairs = zip(ours.splitlines(), theirs.splitlines(), strict=False)
        different = next((pair for pair in pairs if pair[0] != pair[1]), (len(ours), len(theirs)))
        pytest.fail(f"the traces differ: {different}")


# A shell -----------------------------------------------------------------------------------------------------------

SESSION: Final = {
    "uname": "uname -a",
    "date": "date +%s; sleep 2; date +%s",
    "checksum": "dd if=/dev/zero bs=1M count=16 2>/dev/null | sha256sum",
    "random": "head -c 4096 /dev/urandom | wc -c",
    # An interactive ash ignores SIGTERM, and its children do until they have run.
    "signal": "sleep 100 & sleep 0.1; kill $!; wait $!; echo status $?",
    "sleepers": "for i in $(seq 20); do (sleep 1; echo slept $i)& done; wait",
    "loops": f"for i in $(seq 20); do ({CPU_BOUND}; echo half $i; {CPU_BOUND}; echo ran $i)& done; wait",
    "interrupts": "cat /proc/interrupts",
}


@dataclass(frozen=True)
class Recorded:
    run: Run
    log: Path


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    log = tmp_path_factory.mktemp("session") / "input.jsonl"
    # A wide terminal, so that echoed commands are not wrapped; nobody wants to hear of jobs.
    commands = ["stty cols 500", "set +m", *SESSION.values(), "exit"]
    typed = "".join(f"{command}\n" for command in commands).encode()
    return Recorded(boot("quiet", "--record", log, stdin=typed), log)


@pytest.fixture
def shell(session: Recorded) -> Run:
    return session.run


def test_exit_powers_off(shell: Run) -> None:
    shell.assert_powered_off()
    assert "\n# exit\n" in shell.console


def test_uname_says_aarch64(shell: Run) -> None:
    assert re.fullmatch(r"Linux \(none\) \d\S* #1 SMP .* aarch64 GNU/Linux", shell.answer(SESSION["uname"]))


def test_sleep_takes_its_time_by_the_wall_clock_of_the_guest(shell: Run) -> None:
    before, after = map(int, shell.answer(SESSION["date"]).split())
    assert EPOCH <= before <= EPOCH + 10
    assert after - before == 2


def test_a_checksum_is_right(shell: Run) -> None:
    assert shell.answer(SESSION["checksum"]) == f"{hashlib.sha256(bytes(16 << 20)).hexdigest()}  -"


def test_random_bytes_come_without_waiting(shell: Run) -> None:
    assert shell.answer(SESSION["random"]) == "4096"


def test_a_signal_ends_a_process(shell: Run) -> None:
    assert "status 143" in shell.answer(SESSION["signal"]).splitlines()


@pytest.mark.parametrize(("command", "word"), [("sleepers", "slept"), ("loops", "ran")])
def test_twenty_processes_at_once_all_end(shell: Run, command: str, word: str) -> None:
    ended = re.findall(rf"^{word} (\d+)$", shell.answer(SESSION[command]), re.MULTILINE)
    assert sorted(map(int, ended)) == list(range(1, 21))


def test_processes_that_compute_take_turns(shell: Run) -> None:
    """Only the timer's interrupt takes the CPU from a loop."""
    lines = shell.answer(SESSION["loops"]).splitlines()
    first_end = next(at for at, line in enumerate(lines) if line.startswith("ran "))
    assert len([line for line in lines[:first_end] if line.startswith("half ")]) > 5


def test_each_interrupt_is_somebodys(shell: Run) -> None:
    counts = shell.interrupts()
    assert counts["arch_timer"] > 100
    assert counts["uart-pl011"] > 0
    assert counts["Err"] == 0


def test_a_recorded_session_is_repeated_to_the_byte(session: Recorded) -> None:
    recorded = session.run
    for _ in range(2):
        again = boot("quiet", "--replay", session.log)
        again.assert_powered_off()
        assert again.finished.out == recorded.finished.out
        assert again.exits == recorded.exits


# Other machines ----------------------------------------------------------------------------------------------------

COMMANDS: Final = 'quiet run="cat /proc/interrupts; cat /proc/cpuinfo"'


@pytest.fixture(scope="module")
def plain() -> Run:
    return boot(COMMANDS)


def test_a_trapped_physical_timer_makes_no_difference(plain: Run, tmp_path: Path) -> None:
    run = boot(COMMANDS, "-m", machine_file(tmp_path, "[el2]\npassthrough_timer = false\n"))
    run.assert_powered_off()
    assert re.search(r"^CNTHCTL_EL2 +0x0+$", run.finished.err, re.MULTILINE)
    assert run.interrupts() == plain.interrupts()
    assert run.interrupts()["arch_timer"] > 10


def test_a_uart_that_is_passed_through_never_exits(plain: Run, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    machine = machine_file(tmp_path, "[device.uart0]\npassthrough = true\n")
    run = boot(COMMANDS, "-m", machine, "--format", "jsonl", "-o", trace, command="trace")
    run.assert_powered_off()
    assert run.console.splitlines()[0].startswith("Linux ")
    # Interrupts come at other moments, so that only their number differs.
    assert re.sub(r"\d+", "N", run.console) == re.sub(r"\d+", "N", plain.console)
    accesses = [int(event["ipa"], 16) for event in events(trace) if event.get("reason") in ("MmioRead", "MmioWrite")]
    assert accesses, "those of the interrupt controller"
    assert [hex(address) for address in accesses if 0x0900_0000 <= address < 0x0900_1000] == []
    assert run.exits < plain.exits


@pytest.mark.parametrize(
    ("model", "part", "is_compressed"), [("cortex-a53", "0xd03", True), ("max", "0x051", False)], ids=["a53", "max"]
)
def test_it_boots_on_another_cpu(model: str, part: str, is_compressed: bool, tmp_path: Path) -> None:
    linux = kernel()[0]
    if is_compressed:
        image = tmp_path / "vmlinuz.gz"
        image.write_bytes(gzip.compress(linux.read_bytes(), compresslevel=1))
        linux = image
    run = boot(COMMANDS, "-m", machine_file(tmp_path, f'[cpu]\nmodel = "{model}"\n'), image=linux)
    run.assert_powered_off()
    assert re.search(rf"^CPU part\s*: {part}$", run.console, re.MULTILINE), run.console
    assert run.interrupts()["arch_timer"] > 10
    assert run.interrupts()["Err"] == 0


# An idle guest -----------------------------------------------------------------------------------------------------


class Terminal:
    """A guest at work, with pipes as its serial line."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "run", *options, *map(str, arguments("quiet"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )

    def until_prompt(self) -> str:
        """What is printed up to the next prompt."""
        assert self.process.stdout is not None
        seen = b""
        deadline = time.monotonic() + GUARD_SECONDS
        while not seen.endswith((PROMPT, PROMPT + WHERE)):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            assert data, f"no prompt: {seen!r}"
            seen += data
        return seen.decode().replace("\r\n", "\n")

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()


@pytest.fixture(params=["instructions", "host"])
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    line = Terminal("--clock", request.param)
    yield line
    line.process.kill()
    line.process.communicate()


def test_a_guest_at_its_prompt_costs_little_and_wakes_for_a_key(terminal: Terminal) -> None:
    terminal.until_prompt()
    before, started = cpu_seconds(terminal.process.pid), time.monotonic()
    time.sleep(IDLE_SECONDS)
    share = (cpu_seconds(terminal.process.pid) - before) / (time.monotonic() - started)
    assert share < IDLE_SHARE
    terminal.type("echo $((6 * 7))")
    assert "echo $((6 * 7))\n42\n# " in terminal.until_prompt()
    terminal.type("exit")
    _, err = terminal.process.communicate(timeout=GUARD_SECONDS)
    assert (terminal.process.returncode, err) == (0, b"")
