"""Every sample: its output, byte for byte, its exit status, and an empty stderr after a clean end."""

from __future__ import annotations

from typing import Final

import pytest

from tests.integration.command import SAMPLES, armvcpu, sample

OUTPUTS: Final = {
    "hello": (
        (),
        b"Hello from EL1!\nCurrentEL 0x4  MIDR_EL1 0x410fd083  MPIDR_EL1 0x80000000\n",
    ),
    "compute": ((), b"checksum 0x051073369fbc6bdc\n"),
    "ticks": ((), b"tick 1\ntick 2\ntick 3\n"),
    "paging": (
        (),
        b"EL1: MMU on, SCTLR_EL1 0x30c51835 TTBR0_EL1 0x40087000\n"
        b"EL0: hello\n"
        b"EL0: the number is 42\n"
        b"EL0: a string of the kernel is refused\n"
        b"EL1: data abort from EL0: ESR 0x92000007 FAR 0x0000001000100000\n"
        b"EL1: data abort from EL0: ESR 0x9200000f FAR 0x00000000400830d8\n"
        b"EL1: instruction abort from EL0: ESR 0x8200000f FAR 0x0000001000000000\n"
        b"EL1: 8 system calls, 2 data aborts, 1 instruction abort\n",
    ),
    "permission": (
        ("-m", SAMPLES / "permission" / "permission.toml"),
        b"ROM says: This text is in ROM.\n"
        b"write to ROM: ESR 0x96000050 FAR 0x0000000010000000\n"
        b"ROM still says: This text is in ROM.\n"
        b"data region holds 0xd65f03c0\n"
        b"jump to data: ESR 0x86000010 FAR 0x0000000011000000\n"
        b"permission faults: 2 caught\n",
    ),
    "smc": (
        ("-m", SAMPLES / "smc" / "smc.toml"),
        b"SMCCC_VERSION       -> x0 0x10002 x1 0x0 x2 0x0 x3 0x0\n"
        b"SMCCC_ARCH_FEATURES -> x0 0x0 x1 0x80000000 x2 0x0 x3 0x0\n"
        b"SiP 0xc2000001      -> x0 0x11 x1 0x22 x2 0x33 x3 0x44\n"
        b"SiP 0x82000002      -> x0 0x1234 x1 0x0 x2 0x0 x3 0x0\n"
        b"unknown 0xc20000ff  -> x0 0xffffffffffffffff x1 0x0 x2 0x0 x3 0x0\n",
    ),
}

EXITS_BODY: Final = b"""\
MmioWrite        UARTDR
MmioRead         UARTFR, ldr w 0x90
MmioRead         UARTFR, ldrsb x 0xffffffffffffff90
MmioRead         UARTFR, ldr w with write-back 0x90, base 0x9000018
Hypercall        0x100 -1
Hypercall        0xc6000001 -1
PSCI             VERSION 0x10001
PSCI             FEATURES(CPU_ON) 0
PSCI             FEATURES(SMCCC_VERSION) 0
PSCI             AFFINITY_INFO(self) 0
PSCI             MIGRATE_INFO_TYPE 2
PSCI             CPU_ON(self) -4
PSCI             CPU_ON(5) -2
SMCCC            VERSION 0x10002
SMC              SMCCC_ARCH_FEATURES(SMCCC_VERSION) 0
SMC              0xc20000ff -1
SysRegRead       ID_AA64PFR0_EL1 0x1000011
SysRegRead       ID_AA64MMFR0_EL1 0x1124
SysRegWrite      CONTEXTIDR_EL1 0x1234abcd
SendIPI          done
NestedPageFault  write to ROM abort, ESR 0x96000050 FAR 0x10000000
NestedPageFault  read of unbacked memory abort, ESR 0x96000010 FAR 0x20000000
NestedPageFault  write to unbacked memory abort, ESR 0x96000050 FAR 0x20000000
"""


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_a_sample_prints_exactly_this_and_powers_off_without_a_word_on_stderr(name: str) -> None:
    options, expected = OUTPUTS[name]
    finished = armvcpu("run", *options, sample(name))
    assert (finished.out, finished.err, finished.status) == (expected, "", 0)


@pytest.mark.parametrize(
    ("append", "last_line", "status", "message"),
    [
        ("", b"SystemDown       SYSTEM_OFF\n", 0, ""),
        ("end=reset", b"SystemReset      SYSTEM_RESET\n", 121, "armvcpu: the guest requested a reset\n"),
        ("end=halt", b"Halt             WFI\n", 123, "the guest waits for an interrupt at 0x"),
        ("end=cpu-off", b"CpuDown          CPU_OFF\n", 123, "the last CPU switched itself off at 0x"),
    ],
)
def test_the_exits_sample_ends_as_the_boot_arguments_say(
    append: str, last_line: bytes, status: int, message: str
) -> None:
    options = ("--append", append) if append else ()
    finished = armvcpu("run", "-m", SAMPLES / "exits" / "exits.toml", *options, sample("exits"))
    assert finished.out == EXITS_BODY + last_line
    assert finished.status == status
    assert message.rstrip() in finished.last
    # What never came to its end has advice before the last line.
    assert finished.err.count("\n") == (1 if message else 0) or status == 123


def test_a_semihosting_exit_gives_its_status_to_the_command() -> None:
    finished = armvcpu("run", sample("exit"))
    assert finished.out == b"Leaving with status 7\n"
    assert finished.err == "armvcpu: the guest exited with status 7\n"
    assert finished.status == 7


def test_echo_answers_what_arrives_on_stdin_until_it_is_told_to_quit() -> None:
    finished = armvcpu("run", sample("echo"), stdin=b"hello\nquit\nnever read\n")
    assert finished.out == b'Type lines; "quit" ends.\nHELLO\nQUIT\n2 lines\n'
    assert (finished.err, finished.status) == ("", 0)


def test_input_of_every_byte_value_reaches_the_guest_once_and_in_order() -> None:
    data = bytes(value for value in range(256) if value not in (0x04, 0x0A, 0x0D)) * 20
    finished = armvcpu("run", sample("echo"), stdin=data + b"\nquit\n")
    assert finished.out == b'Type lines; "quit" ends.\n' + data.upper() + b"\nQUIT\n2 lines\n"


def test_a_guest_that_waits_for_input_that_has_ended_is_stopped() -> None:
    finished = armvcpu("run", sample("echo"), stdin=b"hello\n")
    assert finished.out == b'Type lines; "quit" ends.\nHELLO\n'
    assert finished.status == 123
    assert finished.err.startswith("armvcpu: the guest waits for input, and the input has ended, at 0x")
    assert "<uart_getc+" in finished.err


def test_a_permission_fault_that_is_to_stop_the_guest_is_reported_with_region_and_place() -> None:
    finished = armvcpu("run", "-m", SAMPLES / "permission" / "permission-stop.toml", sample("permission"))
    assert finished.out == b"ROM says: This text is in ROM.\n"
    assert finished.status == 122
    assert "stage 2 denies the write of IPA 0x10000000, in memory region rom, at 0x" in finished.last
    assert "<write_word+" in finished.last
    assert "\n  #1  " in finished.err
    assert "<main+" in finished.err
