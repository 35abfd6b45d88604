"""Mistakes with a misleading end: the report begins with the origin, and claims nothing false."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from arm_vcpu_cli.guest.loader import load_guest
from tests.integration.command import Finished, armvcpu, guest

MISLEADING = guest("misleading")
SYMBOLS = load_guest(MISLEADING, ram_base=0x4000_0000).symbols
NO_MEMORY = "No memory and no device is at IPA 0xdead0000"
MASKED = "PSTATE.I is 1"


class Case(NamedTuple):
    """``first`` begins the diagnosis, ``also`` are in it, ``never`` is not; ``last`` is in the last line."""

    first: str
    also: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    last: str = ""
    cpus: int = 1
    status: int = 123


OTHER = "in the handler of a data abort on a write to 0xdead0000"
CASES = {
    "vectors_askew": Case(
        NO_MEMORY,
        (
            "Its handler has stopped in an endless loop.",
            "which is not a multiple of 2 KiB: the CPU ignores its low bits and uses the vectors at",
        ),
        ("it returns to the same instruction",),
    ),
    "svc_before_vectors": Case(
        "The guest takes an exception before it has set VBAR_EL1", (), ("Its handler executes",), status=122
    ),
    "endless_timer": Case(
        "The virtual timer of cpu0 (INTID 27) is on, but CNTV_CVAL_EL0 is 0xffffffffffffffff, a time that will never",
        ("write a time to CNTV_CVAL_EL0 on cpu0, or 0xf424 to CNTV_TVAL_EL0, which is 1 ms",),
        ("no timer is armed",),
        "INTID 27 (virtual timer) is held back by CNTV_CVAL_EL0 = 0xffffffffffffffff",
    ),
    "masking_uart": Case(
        "INTID 33 (uart0) is enabled in the GIC, but UARTIMSC is 0x00000000: uart0 masks all of its interrupts.",
        ("write 0x00000020 to UARTIMSC (device, IPA 0x09000038)", "CNTV_CTL_EL0 is 0x0: ENABLE is clear"),
        (),
        "INTID 33 (uart0) is held back by UARTIMSC = 0x00000000",
    ),
    "masking_clock": Case(
        "INTID 34 (rtc) is enabled in the GIC, but RTCIMSC is 0x00000000: rtc masks all of its interrupts.",
        ("write 0x00000001 to RTCIMSC (device, IPA 0x09010010)",),
    ),
    "fails_in_interrupt": Case(NO_MEMORY, ("Its handler has stopped",), (MASKED,)),
    "fails_before_interrupt": Case(NO_MEMORY, ("Its handler has stopped",), (MASKED,)),
    "lost_sgi": Case(
        "SGI 5, sent at 0x",
        ("<lost_sgi+0x", "went to no CPU: it names the affinity 0x3, and the CPUs are 0x0, 0x1.", "bit of TargetList"),
        ("no timer armed",),
        cpus=2,
    ),
    "no_such_cpu": Case(
        "CPU_ON at 0x",
        ("has returned INVALID_PARAMETERS (-2): there is no CPU 0x100; the CPUs are 0x0, 0x1.",),
        ("check what that call returned",),
        cpus=2,
    ),
    "no_such_address": Case(
        "CPU_ON at 0x",
        ("has returned INVALID_ADDRESS (-9): no CPU can start at 0x10. Try: entry_point (x2) has to be",),
        cpus=2,
    ),
    "starts_in_the_tree": Case(
        "CPU_ON has started this CPU at 0x40000000, where no code is (0xedfe0dd0, the first word of a device tree).",
        cpus=2,
        status=122,
    ),
    "other_fails": Case(NO_MEMORY, (), ("is waiting for", "released"), OTHER, cpus=2),
    "other_fails_and_waits": Case(
        NO_MEMORY, ("Its handler has stopped, in a WFI.",), ("is waiting for",), OTHER, cpus=2
    ),
    "other_loops": Case(
        "cpu0 is waiting for memory to change, such as a lock or a flag, while cpu1 runs in a loop and will never",
        (),
        ("same memory",),
        cpus=2,
    ),
    "other_waits": Case(
        "cpu0 is waiting for memory to change, such as a lock or a flag, while cpu1 waits for an interrupt (WFI) that",
        (),
        ("same memory",),
        cpus=2,
    ),
    "no_walks": Case(
        "The guest has just enabled the MMU",
        ("Walks with TTBR0_EL1 are disabled (TCR_EL1.EPD0 = 1)", "clear EPD0"),
        ("identity-map",),
        status=122,
    ),
    "few_bits": Case("The guest has just enabled the MMU", ("with 28-bit addresses (TCR_EL1.T0SZ = 36)",), status=122),
    "no_table": Case("A translation table is at an address without memory: TTBR1_EL1 is 0x0.", status=122),
    "table_nowhere": Case(
        "A translation table is at an address without memory: the table descriptor of level 1 is 0x90000003.",
        status=122,
    ),
    "jumps_to_text": Case(
        "The guest has jumped to 0x4141414141414141", ('Its bytes are text: "AAAAAAAA".',), status=122
    ),
    "udf_0": Case("UDF #0x0 (0x00000000) is undefined on every CPU", (), ("only zeros",), status=122),
    "jumps_behind": Case(
        "There is no code here, only zeros (UDF #0). The instruction before them does not go on to them: the guest has "
        "jumped there.",
        (),
        ("runs on into them",),
        status=122,
    ),
    "udf": Case("UDF #0x7 (0x00000007) is undefined on every CPU", (), ("-march",), status=122),
}


def meaning(finished: Finished) -> str:
    found = re.search(r"^what this usually means:\n((?:  .*\n)*)", finished.err, re.MULTILINE)
    assert found is not None, finished.err
    return " ".join(found[1].split())


@pytest.mark.parametrize("name", CASES)
def test_the_diagnosis_begins_with_the_origin(name: str, tmp_path: Path) -> None:
    case, path = CASES[name], tmp_path / "machine.toml"
    path.write_text(f"[boot]\nentry = {SYMBOLS.lookup(name):#x}\n")
    finished = armvcpu("run", "-m", path, "--smp", case.cpus, MISLEADING)
    assert finished.status == case.status, finished.err
    said = meaning(finished)
    assert said.startswith(case.first)
    assert [phrase for phrase in case.also if phrase not in said] == []
    assert [phrase for phrase in case.never if phrase in said] == []
    assert case.last in finished.last


def test_an_exception_whose_handler_loops_at_once_is_no_repetition(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text(f"[boot]\nentry = {SYMBOLS.lookup('vectors_askew'):#x}\n")
    assert "over and over" not in armvcpu("run", "-m", path, MISLEADING).err


def test_a_second_cpu_that_the_machine_does_not_have_is_named_with_the_option_for_it(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text(f"[boot]\nentry = {SYMBOLS.lookup('other_loops'):#x}\n")
    said = meaning(armvcpu("run", "-m", path, MISLEADING))
    assert "there is no CPU 0x1; there is only one CPU, 0x0." in said
    assert "--smp 2 gives the machine a second CPU" in said
