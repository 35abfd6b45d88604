"""Debuggers on guests: gdb through its commands and through MI, lldb, and ``armvcpu debug``."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.integration.command import (
    COMMAND,
    GUARD_SECONDS,
    SAMPLES,
    armvcpu,
    assert_refused,
    environment,
    guest,
    sample,
)
from tests.support.debuggers import batch, gdb, in_order, lldb, lldb_batch, running
from tests.support.tools import require_file

HELLO: Final = sample("hello")
SMP: Final = sample("smp")
SVE: Final = guest("sve")
HELLO_PRINTS: Final = b"Hello from EL1!\nCurrentEL 0x4  MIDR_EL1 0x410fd083  MPIDR_EL1 0x80000000\n"


def port(folder: Path) -> str:
    return f"unix:{folder / 'gdb.sock'}"


# gdb --------------------------------------------------------------------------------------------------------------


def test_gdb_breaks_steps_and_looks_around(tmp_path: Path) -> None:
    with running("run", "--gdb", port(tmp_path), "--wait", HELLO) as found:
        said = batch(
            found.place,
            [
                "info registers pc",
                "break uart_puts",
                "continue",
                "backtrace",
                "print *text@15",
                "next",
                "next",
                "finish",
                "stepi",
                "x/2i $pc",
                "print $cpsr",
                "print $SCTLR_EL1",
                "print/x $VBAR_EL1",
                "print $v0.q.u[0]",
                "set $x7 = 0x1234",
                "print/x $x7",
                "set {char}&hello_world_is_not_there = 0",
                "x/s 0x40080000 + 0",
                "print/x *(unsigned int *)$pc",
                "print *(int *)0xffff800000000000",
                "info threads",
                "delete",
                "continue",
            ],
            HELLO,
        )
        in_order(
            said,
            r"^pc +0x40080000 +0x40080000 <_start>",
            r"^Breakpoint 1 at 0x[0-9a-f]+: uart_puts",
            r"^Breakpoint 1\.\d, uart_puts \(",
            r"^#0  uart_puts \(",
            r"^#1  0x[0-9a-f]+ in main \(\) at hello/hello\.c",
            r'= "Hello from EL1!"',
            r"^main \(\) at hello/hello\.c:19",
            r"^=> 0x[0-9a-f]+ <main",
            r"^\$\d+ = \[ .*M=5",
            r"^\$\d+ = \[ .*nTLSMD",
            r"^\$\d+ = 0x",
            r"^\$\d+ = 0x1234$",
            r"No symbol \"hello_world_is_not_there\"",
            r"^\$\d+ = 0x[0-9a-f]{8}$",
            r"Cannot access memory at address 0xffff800000000000",
            r'^\* 1 +Thread 1\.1 "cpu0" \(.*EL1.*\) main ',
            r"^\[Inferior 1 \(process 1\) exited normally\]",
        )
        assert found.end() == 0
        assert bytes(found.out) == HELLO_PRINTS
    assert not (tmp_path / "gdb.sock").exists()


def test_gdb_goes_back_in_time(tmp_path: Path) -> None:
    """The store is at 0x4008104c: gdb finds it from either side."""
    with running("run", "--gdb", port(tmp_path), "--wait", sample("ticks")) as found:
        said = batch(
            found.place,
            [
                "break uart_printf",
                "continue",
                "continue",
                "stepi",
                "reverse-stepi",
                "reverse-continue",
                "set $a = (unsigned long)($sp - 16)",
                "delete",
                "watch *(unsigned long *)$a",
                "continue",
                "continue",
                "info registers pc",
                "reverse-continue",
                "info registers pc",
                "delete",
                "reverse-continue",
                "info registers pc",
                "kill",
            ],
            sample("ticks"),
        )
    place = r"pc +0x4008"
    in_order(said, rf"{place}1050", "Old value", rf"{place}104c", "No more reverse-execution history", rf"{place}0000")


def test_conditions_of_breakpoints(tmp_path: Path) -> None:
    with running("run", "--gdb", port(tmp_path), "--wait", guest("spin")) as found:
        said = batch(
            found.place,
            ["break *(_start + 24) if $x3 == 20", "continue", "print $x3", "info breakpoints", "kill"],
            guest("spin"),
        )
        in_order(said, r"^Breakpoint 1, ", r"= 20$", r"breakpoint already hit 1 time")


def test_vcpus_are_threads(tmp_path: Path) -> None:
    with running("run", "--gdb", port(tmp_path), "--wait", "--smp", 4, SMP) as found:
        said = batch(
            found.place,
            [
                "info threads",
                "break secondary_main",
                "continue",
                "continue",
                "continue",
                "info threads",
                "thread 1",
                "bt 1",
                "thread apply all -q print/x $MPIDR_EL1",
                "delete",
                "continue",
            ],
            SMP,
        )
        in_order(
            said,
            r'^\* 1 +Thread 1\.1 "cpu0"',
            r'^  2 +Thread 1\.2 "cpu1" \(.*off.*\)',
            r'^  4 +Thread 1\.4 "cpu3" \(.*off.*\)',
            r'^Thread 2 "cpu1" hit Breakpoint 1, secondary_main',
            r'^Thread 3 "cpu2" hit Breakpoint 1, secondary_main',
            r'^Thread 4 "cpu3" hit Breakpoint 1, secondary_main',
            r'^  1 +Thread 1\.1 "cpu0"',
            r'^\* 4 +Thread 1\.4 "cpu3" .* secondary_main',
            r"^\[Switching to thread 1 ",
            r"^\$1 = 0x80000003$",
            r"^\$2 = 0x80000002$",
            r"^\$3 = 0x80000001$",
            r"^\$4 = 0x80000000$",
            r"exited normally",
        )
        assert found.end() == 0
        assert found.out.endswith(b"cpu 3 is off\n")


def test_watchpoints(tmp_path: Path) -> None:
    with running("run", "--gdb", port(tmp_path), "--wait", "--smp", 2, SMP) as found:
        said = batch(
            found.place,
            [
                *("watch counter", "continue", "continue", "delete"),
                *("awatch counter if counter == 30", "continue", "print counter", "delete"),
                *("rwatch finished", "continue", "delete", "continue"),
            ],
            SMP,
        )
        in_order(
            said,
            r"hit Hardware watchpoint 1: counter",
            r"^Old value = 0\nNew value = 1$",
            r"hit Hardware watchpoint 1: counter",
            r"^Old value = 1\nNew value = 2$",
            r"hit Hardware access \(read/write\) watchpoint 2: counter",
            r"^\$1 = 30$",
            r"hit Hardware read watchpoint 3: finished",
            r"exited normally",
        )
        assert found.end() == 0
        assert b"counted to 20000 of 20000\n" in found.out


def test_reverse_execution(tmp_path: Path) -> None:
    """A watchpoint is hit in both directions, steps go back, and what was printed is not printed again."""
    with running("run", "--gdb", port(tmp_path), "--wait", "--smp", 2, SMP) as found:
        said = batch(
            found.place,
            [
                *("watch counter", "continue", "continue", "continue", "reverse-continue", "reverse-continue"),
                *(
                    "delete",
                    "print $pc",
                    "stepi",
                    "reverse-stepi",
                    "print $pc",
                    "reverse-finish",
                    "monitor snapshot here",
                ),
                *(
                    "break main",
                    "reverse-continue",
                    "reverse-continue",
                    "monitor when",
                    "delete",
                    "monitor restore here",
                ),
                *(
                    "maintenance flush register-cache",
                    "bt 1",
                    "monitor hold on",
                    "continue",
                    "reverse-stepi",
                    "continue",
                ),
                "continue",
            ],
            SMP,
        )
        in_order(
            said,
            *(r"hit Hardware watchpoint 1: counter", r"^Old value = 2\nNew value = 3$"),
            *(r"hit Hardware watchpoint 1: counter", r"^Old value = 3\nNew value = 2$"),
            *(r"hit Hardware watchpoint 1: counter", r"^Old value = 2\nNew value = 1$"),
            r"hit Breakpoint 2, main",
            r"No more reverse-execution history",
            r"^#0 ",
            r"received signal SIGABRT",
            r"received signal SIGABRT",
            r"exited normally",
        )
        places = re.findall(r"^\$\d+ = \(void \(\*\)\(\)\) (0x\w+)", said, re.MULTILINE)
        assert len(places) == 2
        assert places[0] == places[1]
        in_order(said, "here is this moment: instruction ", "instruction 0, 0.000000000 s", "the guest powered off")
        assert found.end() == 0
        assert found.out.count(b"cpu 0 is here\n") == 1
        assert found.out.endswith(b"cpu 1 is off\n")


def test_a_guest_that_crashes_is_kept_for_a_look_at_it(tmp_path: Path) -> None:
    crash = sample("crash")
    with running("run", "--gdb", port(tmp_path), "--wait", crash) as found:
        said = batch(found.place, ["continue", "print/x $FAR_EL1", "print/x $ELR_EL1", "continue"], crash)
        in_order(
            said,
            r"^the guest is stuck after a data abort on a write to 0xdead0000",
            r"received signal SIGABRT",
            r"^\$1 = ",
            r"exited with code 0172\]",
        )
        assert found.end() == 122
        assert found.err[-1].startswith("armvcpu: the guest is stuck after a data abort")
        assert "backtrace:" in found.err


def test_an_exit_status_is_told(tmp_path: Path) -> None:
    with running("run", "--gdb", port(tmp_path), "--wait", sample("exit")) as found:
        in_order(batch(found.place, ["continue"]), r"exited with code 07\]")
        assert found.end() == 7


def test_the_commands_of_monitor(tmp_path: Path) -> None:
    with running("run", "--gdb", port(tmp_path), "--wait", sample("paging")) as found:
        said = batch(
            found.place,
            [
                "break user_main",
                "continue",
                "monitor help",
                "monitor exits 2",
                "monitor walk pc exec",
                "monitor walk ipa 0x40080000",
                "monitor interrupts",
                "monitor explain CurrentEL",
                "monitor explain ESR_EL1=0x56000000",
                "monitor stat",
                "monitor when",
                "monitor phys 0x40080000 16",
                "monitor phys 0x9000000 16",
                "monitor map",
                "monitor map va",
                "monitor bt",
                "monitor regs",
                "monitor nonsense",
                "monitor walk",
                "monitor exits many",
            ],
            sample("paging"),
        )
        in_order(
            said,
            r"Breakpoint 1, user_main",
            r"^exits \[N\] +the last N exits",
            r"^ +\d+ .*EL1",
            r"^stage 1, VA 0x[0-9a-f]+: TTBR0_EL1",
            r"^both stages: PA ",
            r"^stage 2, IPA 0x40080000",
            r"^interrupts:",
            r"^CurrentEL",
            r"^ESR_EL1 = 0x56000000",
            r"^cpu0 +\d+ exits to EL2, at 0x[0-9a-f]+ <user_main",
            r"^instruction \d+, 0\.\d{9} s",
            r"^0x000040080000  ([0-9a-f]{2} ){16}",
            r"^0x000009000000  no memory",
            r"^0x000009000000-0x[0-9a-f]+ +4 KiB +device\.uart0",
            r"memory\.ram",
            r"^ *#0 ",
            r"x0 ",
            r"^error: there is no command 'nonsense'",
            r"^error: walk takes one address",
            r"^error: many: expected a number",
        )


def test_memory_by_ipa(tmp_path: Path) -> None:
    with running("run", "--gdb", port(tmp_path), "--wait", HELLO) as found:
        said = batch(
            found.place,
            [
                "maintenance packet Qqemu.PhyMemMode:1",
                "print/x *(unsigned int *)0x40080000",
                "set {int}0x50000000 = 0x55aa",
                "print/x {int}0x50000000",
                "print {int}0x9000000",
                "compare-sections .text",
            ],
            HELLO,
        )
        in_order(
            said,
            r'received: "OK"',
            r"^\$1 = 0x",
            r"^\$2 = 0x55aa",
            r"Cannot access memory",
            r"Section .text, .*: matched",
        )


def test_sve(tmp_path: Path) -> None:
    """Vectors are 2048 bits long for gdb, and 512 for the guest, which finds what gdb has written."""
    with running("run", "--cpu", "max", "--gdb", port(tmp_path), "--wait", SVE) as found:
        said = batch(
            found.place,
            [
                *("print $vg", "break changed", "continue", "print $vg", "print $z0.b.u", "print/x $v0.q.u[0]"),
                *("print $z31.d.s[7]", "print sizeof($z31)", "print $p0", "print/x $p15[0]", "print $ffr[7]"),
                *("set $z1.b.u[63] = 7", "set $z1.b.u[1] = 3", "set $p1[7] = 0x81", "set $ffr[0] = 0x0f"),
                *("set $z1.b.u[64] = 1", "set $p1[8] = 1", "set $vg = 4", "stepi", "reverse-stepi"),
                *("print $z1.b.u[63]", "info registers vg", "continue"),
            ],
            SVE,
        )
        in_order(
            said,
            r"^\$1 = 2$",
            r"^Breakpoint 1, ",
            r"^\$2 = 8$",
            r"^\$3 = \{1, 2, 3, .* 63, 64, 0 <repeats 192 times>\}",
            r"^\$4 = 0x100f0e0d0c0b0a090807060504030201$",
            r"^\$5 = -8$",
            r"^\$6 = 256$",
            r"^\$7 = \{85, 85, 85, 85, 85, 85, 85, 85, 0 <repeats 24 times>\}",
            r"^\$8 = 0x7$",
            r"^\$9 = 255$",
            r"z1 has 512 bits now, by ZCR_EL1",
            r"p1 has 64 bits now, by ZCR_EL1",
            r"vg is read-only",
            r"^\$10 = 7$",
            r"^vg +0x8 ",
            r"exited normally",
        )
        assert found.end() == 0
        assert bytes(found.out) == b"z1 10, p1 2, ffr 60\n"


# Coming and going -------------------------------------------------------------------------------------------------


def test_a_debugger_interrupts_leaves_and_comes_back(tmp_path: Path) -> None:
    with running("run", "--gdb", port(tmp_path), guest("spin")) as found:
        found.wait_for_output(b"spinning\n")
        counts: list[int] = []
        for _ in range(3):
            said = batch(
                found.place,
                [
                    "python import threading, os, signal",
                    "python threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()",
                    "print $x3",
                    "continue",
                    "print $x3",
                    "detach",
                ],
                guest("spin"),
            )
            in_order(said, r"^\$1 = \d+", r"received signal SIGINT", r"^\$2 = \d+", r"detached\]")
            counts += map(int, re.findall(r"^\$\d = (\d+)$", said, re.MULTILINE))
        assert counts == sorted(counts)
        assert len(set(counts)) == 6
        found.process.send_signal(signal.SIGINT)
        assert found.end() == 130
        assert found.err[-1].startswith("armvcpu: interrupted at 0x")
        assert len(found.err) == 2


def test_an_idle_guest_is_interrupted_too(tmp_path: Path) -> None:
    with running("run", "--gdb", port(tmp_path), sample("echo"), feeds=True) as found:
        said = batch(
            found.place,
            [
                "python import threading, os, signal",
                "python threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()",
                "continue",
                "detach",
            ],
        )
        in_order(said, r"received signal SIGINT", r"detached\]")
        assert found.process.stdin is not None
        found.process.stdin.write(b"hi\n")
        found.process.stdin.close()
        found.wait_for_output(b"HI\n")


def test_kill_ends_the_run(tmp_path: Path) -> None:
    with running("run", "--gdb", port(tmp_path), "--wait", HELLO) as found:
        in_order(batch(found.place, ["kill"]), r"killed\]")
        assert found.end() == 130
        assert found.err[-1] == "armvcpu: the debugger has ended the guest"
        assert not found.out


def test_a_second_debugger_is_refused(tmp_path: Path) -> None:
    with running("run", "--gdb", "0", "--wait", HELLO) as found:
        where = found.place
        number = int(where.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", number)) as first:
            first.sendall(b"$?#3f")
            assert first.recv(1) == b"+"
            for _ in range(2):
                assert "$" not in batch(where, ["print $pc"])
        found.wait_for_line("refused a second debugger")
        assert found.end() == 0
        assert bytes(found.out) == HELLO_PRINTS
        assert len(found.err) == 2


@pytest.mark.parametrize("when", ["waiting", "attached"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (None, 124)])
def test_signals_and_limits_end_a_run_that_waits(
    tmp_path: Path, when: str, number: signal.Signals | None, status: int
) -> None:
    limit = () if number else ("--timeout", 2)
    with running("run", "--gdb", port(tmp_path), "--wait", *limit, HELLO) as found:
        where = found.place
        attached = None
        if when == "attached":
            attached = socket.socket(socket.AF_UNIX)
            attached.connect(where)
            attached.sendall(b"$?#3f")
            assert attached.recv(1) == b"+"
        if number is not None:
            found.process.send_signal(number)
        assert found.end() == status
        if attached is not None:
            attached.close()
        assert not found.out
        assert len(found.err) == 2
        assert re.match(r"armvcpu: (interrupted|stopped after 2 s) at 0x", found.err[-1])
    assert not (tmp_path / "gdb.sock").exists()


def test_hostile_debuggers_leave_the_guest_alone(tmp_path: Path) -> None:
    """Garbage, half packets, long ones, floods, and connections that end in the middle of all that."""
    with running("run", "--gdb", port(tmp_path), guest("spin")) as found:
        where = found.place
        found.wait_for_output(b"spinning\n")
        hostile = (
            b"",
            b"\x03",
            b"GET / HTTP/1.0\r\n\r\n",
            b"$qSupp",
            b"$" + b"x" * 10_000_000,
            b"$?#3f$m0,ffffffffffffffff#",
        )
        for sent in (*hostile, b"$?#3f" * 10_000, bytes(range(256)) * 1000, b"$?#3f$c#63$c#63\x03\x03$G00#d7"):
            with socket.socket(socket.AF_UNIX) as debugger:
                debugger.connect(where)
                with contextlib.suppress(OSError):
                    debugger.sendall(sent)
        in_order(batch(where, ["print $x3", "detach"], guest("spin")), r"^\$1 = \d+", r"detached\]")
        found.process.send_signal(signal.SIGTERM)
        assert found.end() == 130
        assert bytes(found.out) == b"spinning\n"
        assert len(found.err) == 2


# What cannot be ---------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        assert_refused(armvcpu("run", "--gdb", where, HELLO), f"--gdb {where}: Address already in use")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--gdb", "unix:/nowhere/gdb.sock"), "--gdb unix:/nowhere/gdb.sock: No such file or directory"),
        (("--gdb", "192.0.2.1:1234"), "--gdb 192.0.2.1:1234: Cannot assign requested address"),
        (("--gdb", "70000"), "'70000' is not an address such as 1234"),
        (("--gdb", "hello"), "'hello' is not an address such as 1234"),
        (("--wait",), "--wait needs --gdb"),
    ],
)
def test_places_that_cannot_be_had_are_told_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    assert_refused(armvcpu("run", *arguments, HELLO), message)


# MI, as editors and IDEs use it -----------------------------------------------------------------------------------


class Mi:
    """gdb's machine interface."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [gdb(), "-nx", "-q", "--interpreter=mi3", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        )

    def until(self, pattern: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if re.match(pattern, line):
                return line
        raise AssertionError(f"nothing like {pattern!r}")

    def do(self, command: str, pattern: str = r"\^(done|running|connected|exit)") -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self.until(pattern)

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def end(self) -> None:
        self._process.communicate("-gdb-exit\n", GUARD_SECONDS)


def test_machine_interface(tmp_path: Path) -> None:
    with running("run", "--gdb", port(tmp_path), "--wait", "--smp", 2, SMP) as found:
        mi = Mi(str(SMP))
        mi.do(f"-target-select remote {found.place}")
        assert 'number="1"' in mi.do("-break-insert main", r"\^done,bkpt")
        mi.do("-exec-continue")
        assert 'reason="breakpoint-hit"' in mi.until(r"\*stopped")
        mi.do("-exec-next")
        assert 'reason="end-stepping-range"' in mi.until(r"\*stopped")
        mi.do("-exec-step-instruction")
        assert "frame=" in mi.until(r"\*stopped")
        assert 'func="main"' in mi.do("-stack-list-frames", r"\^done,stack")
        assert 'current-thread-id="1"' in mi.do("-thread-info", r"\^done,threads")
        assert '"SCTLR_EL1"' in mi.do("-data-list-register-names", r"\^done,register-names")
        assert 'contents="' in mi.do("-data-read-memory-bytes $pc 16", r"\^done,memory")
        assert 'value="' in mi.do("-data-evaluate-expression $sp", r"\^done,value")
        mi.do("-break-delete")
        mi.do("-exec-continue")
        assert 'reason="exited-normally"' in mi.until(r"\*stopped")
        mi.end()
        assert found.end() == 0


# lldb -------------------------------------------------------------------------------------------------------------


def test_lldb(tmp_path: Path) -> None:
    with running("run", "--gdb", port(tmp_path), "--wait", "--smp", 2, SMP) as found:
        said = lldb_batch(
            found.place,
            [
                "breakpoint set --name secondary_main",
                "continue",
                "thread backtrace",
                "thread list",
                "register read pc sp x0 MPIDR_EL1",
                "thread step-inst",
                "thread step-over",
                "memory read --count 16 $pc",
                "memory region $pc",
                "process plugin packet monitor when",
                "breakpoint delete --force",
                "watchpoint set variable counter",
                "continue",
                "continue",
                "print counter",
                "watchpoint delete --force",
                "continue",
            ],
            SMP,
        )
        in_order(
            said,
            r"stop reason = breakpoint 1\.1",
            r"frame #0: .*secondary_main",
            r"thread #1: ",
            r"\* thread #2: ",
            r"MPIDR_EL1 = 0x0000000080000001",
            r"stop reason = instruction step into",
            r"0x[0-9a-f]+: ([0-9a-f]{2} ){16}",
            r"instruction \d+",
            r"^old value: 0\nnew value: 1$",
            r"^old value: 1\nnew value: 2$",
            r"\(unsigned int\) \$\d = 2",
            r"exited with status = 0",
        )
        assert found.end() == 0


def test_lldb_and_sve(tmp_path: Path) -> None:
    """Vectors have the length of the guest, and V is in them."""
    of_64 = " ".join(f"{each:#04x}" for each in range(1, 65))
    of_16 = of_64[: 16 * 5 - 1]
    with running("run", "--cpu", "max", "--gdb", port(tmp_path), "--wait", SVE) as found:
        said = lldb_batch(
            found.place,
            [
                *("register read z0", "breakpoint set --name changed", "continue", "register read vg z0 p0 v0"),
                f'register write z1 "{{{of_64}}}"',
                f'register write v2 "{{{of_16}}}"',
                *("thread step-inst", "register read v1 z2 SCTLR_EL1", "continue"),
            ],
            SVE,
        )
        in_order(
            said,
            r"^ +z0 = \{(0x00 ?){16}\}",
            r"stop reason = breakpoint 1\.1",
            r"^ +vg = 0x0000000000000008",
            rf"^ +z0 = \{{{of_64}\}}",
            r"^ +p0 = \{(0x55 ?){8}\}",
            rf"^ +v0 = \{{{of_16}\}}",
            r"stop reason = instruction step into",
            rf"^ +v1 = \{{{of_16}\}}",
            rf"^ +z2 = \{{{of_16} (0x00 ?){{48}}\}}",
            r"^SCTLR_EL1 = 0x",
            r"exited with status = 0",
        )
        assert found.end() == 0
        assert bytes(found.out) == b"z1 2080, p1 0, ffr 64\n"


# The debugger that we start ourselves -----------------------------------------------------------------------------


def debug(script: Sequence[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """``armvcpu debug`` with a debugger that executes commands."""
    command = shlex.join([gdb(), "-nx", "-batch", *(f"-ex={each}" for each in ("set pagination off", *script))])
    return subprocess.run(
        [*COMMAND, "debug", "--debugger", command, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=GUARD_SECONDS,
        check=False,
        env=environment(),
    )


def test_a_debugger_is_started_with_the_guest() -> None:
    finished = debug(["break main", "continue", "next", "next", "continue"], HELLO)
    in_order(finished.stdout, r"^Breakpoint 1, main \(\)", r"Hello from EL1!", r"exited normally")
    assert finished.returncode == 0


def test_leaving_the_debugger_ends_the_guest() -> None:
    finished = debug(["break main", "continue"], HELLO)
    assert finished.returncode == 0
    assert "Hello" not in finished.stdout
    assert "armvcpu:" not in finished.stdout


@pytest.mark.parametrize("program", ["true", "false"])
def test_a_debugger_that_never_attaches_ends_the_guest(program: str) -> None:
    finished = armvcpu("debug", "--debugger", program, HELLO)
    assert (finished.status, finished.out, finished.err) == (0, b"", "")


def test_names_may_have_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    elf = folder / "my guest.elf"
    elf.write_bytes(HELLO.read_bytes())
    assert "exited normally" in debug(["continue"], elf).stdout
    finished = armvcpu("debug", "--debugger", f"{lldb()} --no-lldbinit -b -o continue", elf)
    assert b"exited with status = 0" in finished.out
    assert [path.name for path in folder.iterdir()] == ["my guest.elf"]


def test_the_status_is_that_of_the_guest() -> None:
    assert debug(["continue"], sample("exit")).returncode == 7
    finished = debug(["continue", "backtrace 1", "continue"], sample("crash"))
    assert finished.returncode == 122
    in_order(finished.stdout, r"received signal SIGABRT", r"^what happened:")


def test_a_debugger_that_detaches_leaves_the_guest_to_itself_until_it_ends() -> None:
    finished = debug(["detach", "shell sleep 1"], guest("spin"))
    assert finished.returncode == 0
    assert "spinning\n" in finished.stdout


def test_symbols_of_a_list_are_the_debugger_s(tmp_path: Path) -> None:
    symbols = tmp_path / "System.map"
    symbols.write_text("0000000040080000 T first_of_all\n0000000040080004 T second\n")
    finished = debug(["info symbol $pc", "break *second", "continue"], "--symbols", symbols, HELLO)
    in_order(finished.stdout, r"^first_of_all in section .text", r"^Breakpoint 1, 0x0*40080004 in second \(\)")


def test_a_machine_is_saved_where_its_debugger_is(tmp_path: Path) -> None:
    saved, later, whole = (tmp_path / name for name in ("saved.snap", "later.jsonl", "whole.jsonl"))
    finished = debug(
        ["break add_one", "continue", "stepi 3", f"monitor save {saved}", f"monitor save {saved}"], "--smp", 2, SMP
    )
    in_order(finished.stdout, "go on from here with: armvcpu run --from ", "error: .*: file exists")
    assert armvcpu("trace", "--smp", 2, "--format", "jsonl", "-o", whole, SMP).status == 0
    assert armvcpu("trace", "--from", saved, "--format", "jsonl", "-o", later).status == 0
    ends = [path.read_text().splitlines()[-2] for path in (whole, later)]
    assert ends[0] == ends[1]
    assert '"powered off"' in ends[0]
    finished = debug(["info symbol $pc", "continue"], "--from", saved)
    in_order(finished.stdout, r"^[a-z_]+ .*in section .text", "exited normally")


def test_files_are_not_written_for_who_comes_by_a_port() -> None:
    with running("run", "--gdb", "0", "--wait", HELLO) as found:
        in_order(batch(found.place, ["monitor save /tmp/no", "kill"]), "error: there is no command 'save'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--debugger", "no-such-debugger"), "--debugger no-such-debugger: no such program"),
        (("--debugger", "'"), "--debugger ': No closing quotation"),
        (("--debugger", ""), "no such program"),
    ],
)
def test_debuggers_that_are_not_there(arguments: tuple[str, ...], message: str) -> None:
    assert_refused(armvcpu("debug", *arguments, HELLO), message)


def test_without_any_debugger_it_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    finished = armvcpu("debug", HELLO)
    assert_refused(finished, f"type: armvcpu run --gdb 1234 --wait {HELLO}")


def test_ctrl_c_goes_to_the_debugger() -> None:
    """On a terminal: the guest is stopped, and nothing else is."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "debug", "--debugger", f"{gdb()} -nx", str(guest("spin"))],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        env={**environment(), "TERM": "dumb"},
    )
    os.close(slave)
    seen = b""

    def expect(wanted: bytes, *, typed: bytes = b"") -> None:
        nonlocal seen
        deadline = time.monotonic() + GUARD_SECONDS
        os.write(master, typed)
        while wanted not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([master], [], [], 5)[0]:
                seen += os.read(master, 65536)
        seen = seen[seen.index(wanted) + len(wanted) :]

    try:
        expect(b"(gdb) ")
        os.write(master, b"continue\n")
        expect(b"spinning")
        # Each but the first is typed while gdb still prepares to let the guest run.
        for _ in range(8):
            expect(b"received signal SIGINT", typed=b"\x03")
            expect(b"(gdb) ")
            os.write(master, b"continue\n")
            expect(b"Continuing.")
        expect(b"(gdb) ", typed=b"\x03")
        os.write(master, b"kill\n")
        expect(b"(y or n)")
        os.write(master, b"y\nquit\n")
        assert process.wait(GUARD_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)


# Linux ------------------------------------------------------------------------------------------------------------


def test_a_kernel_is_debugged_by_the_symbols_that_it_prints(tmp_path: Path) -> None:
    """A kernel image has none: its list of them is made an ELF file for gdb, and ``monitor bt`` follows its frames."""
    kernel, initrd = (require_file(str(SAMPLES / "linux" / "build" / name)) for name in ("vmlinuz", "initrd.gz"))
    # All of them take long to print.
    listing = "grep -wE 'start_kernel|__primary_switched|run_init_process|kernel_init|_einittext' /proc/kallsyms"
    booted = armvcpu("run", kernel, "--initrd", initrd, "--append", f'console=ttyAMA0 quiet run="{listing}"')
    symbols = tmp_path / "System.map"
    listed = re.findall(rb"^[0-9a-f]{16} .*$", booted.out.replace(b"\r", b""), re.MULTILINE)
    symbols.write_bytes(b"\n".join(listed) + b"\n")
    finished = debug(
        [
            *("break start_kernel", "continue", "backtrace", "info threads", "delete"),
            *("break run_init_process", "continue", "monitor bt", "print/x $TTBR1_EL1"),
        ],
        *("--smp", 2, "--symbols", symbols, kernel, "--initrd", initrd, "--append", "console=ttyAMA0 quiet"),
    )
    in_order(
        finished.stdout,
        r'^Thread 1 "cpu0" hit Breakpoint 1, 0xffff[0-9a-f]+ in start_kernel \(\)',
        r"^#0  0xffff[0-9a-f]+ in start_kernel \(\)",
        r"^#1  0xffff[0-9a-f]+ in __primary_switched \(\)",
        r'^\* 1 +Thread 1\.1 "cpu0" \(EL1 running\) +0xffff[0-9a-f]+ in start_kernel',
        r'^  2 +Thread 1\.2 "cpu1" \(off\)',
        r'^Thread \d "cpu\d" hit Breakpoint 2, 0xffff[0-9a-f]+ in run_init_process \(\)',
    )
    in_order(finished.stdout, r"#0  0xffff[0-9a-f]+ <run_init_process", r"#1  0xffff[0-9a-f]+ <kernel_init")


# What debugging leaves alone --------------------------------------------------------------------------------------


def test_a_trace_is_the_same_with_a_debugger(tmp_path: Path) -> None:
    plain, debugged = tmp_path / "plain.jsonl", tmp_path / "debugged.jsonl"
    options = ("--format", "jsonl", "--el1", "--smp", "3")
    assert armvcpu("trace", *options, "-o", plain, SMP).status == 0
    with running("trace", *options, "-o", debugged, "--gdb", port(tmp_path), "--wait", SMP) as found:
        batch(
            found.place,
            [
                *("break secondary_main", "continue", "continue", "next", "stepi 20", "info threads", "thread 2", "bt"),
                *(
                    "info registers",
                    "monitor walk pc",
                    "monitor exits",
                    "monitor regs",
                    "monitor bt",
                    "monitor interrupts",
                ),
                *("thread 1", "info registers", "monitor map va", "stepi 3", "delete", "hbreak finish_line", "stepi"),
            ],
            SMP,
        )
        # It has detached by leaving.
        assert found.end() == 0
    assert debugged.read_bytes() == plain.read_bytes()
