"""One guest for each way to go wrong: the status, the meaning in the report, and the place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from arm_vcpu_cli.guest.loader import load_guest
from tests.integration.command import Finished, armvcpu, guest

FAULTS = guest("faults")
SYMBOLS = load_guest(FAULTS, ram_base=0x4000_0000).symbols
NO_VECTORS = "The guest takes an exception before it has set VBAR_EL1"


class Case(NamedTuple):
    status: int
    phrases: tuple[str, ...]
    model: str = "cortex-a72"


CASES = {
    "null_read": Case(122, ("A null pointer: x1 is 0, and the address is 0x8", NO_VECTORS)),
    "null_call": Case(
        122, ("The guest has jumped to address 0x0. The guest got there through the call BLR x8", NO_VECTORS)
    ),
    "no_stack": Case(122, ("uses its stack before it has set SP (SP is 0x0", NO_VECTORS)),
    "deep": Case(
        122, ("The stack has overflowed: SP is 0x40000000", "full of recursive, which calls itself: 8 frames")
    ),
    "atomic": Case(122, ("needs FEAT_LSE, which cortex-a72 does not have", '[cpu] model = "max"')),
    "tagging": Case(122, ("needs FEAT_MTE, which cortex-a72 does not have", "no CPU model has it")),
    "el2_register": Case(122, ("reads HCR_EL2 and so expects to be at EL2",)),
    "crooked_pc": Case(122, ("not a multiple of 4",)),
    "aarch32": Case(122, ("entered AArch32 state",)),
    "trap": Case(122, ("BRK #0x3e8 is GCC's code for __builtin_trap()",)),
    "behind_ram": Case(122, ("RAM has 512 MiB and ends at 0x5fffffff", "--memory 1GiB reaches that far")),
    "no_device": Case(122, ("at IPA 0xb000000; the nearest is device.virtio at 0xa000000", "-m FILE.toml")),
    "returning": Case(122, ("0x00000007) is undefined", "Its handler does not remove the cause")),
    "bad_handler_stack": Case(
        122,
        (
            "0x00000007) is undefined",
            "first instruction of the handler uses the stack and faults as well: SP is 0x30000000",
        ),
    ),
    "unmapped": Case(122, ("Nothing maps 0x80000040: the descriptor of level 1 is invalid",)),
    "not_an_address": Case(122, ("0x6b6f6f426e654f21 is not a valid virtual address: with 39-bit",)),
    "upper_disabled": Case(122, ("Walks with TTBR1_EL1 are disabled (TCR_EL1.EPD1 = 1)",)),
    "table_nowhere": Case(122, ("A translation table is at an address without memory",)),
    "no_access_flag": Case(122, ("access flag is clear",)),
    "read_only": Case(122, ("a read-only page (AP[2] = 1)",)),
    "writable_code": Case(122, ("The guest has just enabled the MMU by writing SCTLR_EL1", "SCTLR_EL1.WXN")),
    "user_code": Case(
        122,
        ("The guest has just enabled the MMU by writing SCTLR_EL1", "EL1 cannot execute from pages that EL0 can write"),
    ),
    "never_executable": Case(122, ("is not executable at EL1: PXN (bit 53) is set",)),
    "no_landing_pad": Case(122, ("not a landing pad (BTI)",), "max"),
    "bad_return": Case(122, ("failed authentication (PAC)",), "max"),
    "illegal_return": Case(122, ("PSTATE.IL is set: the last ERET had an SPSR_EL1 that leads nowhere",)),
    "hang_in_handler": Case(123, ("A null pointer, judging by the address: 0x8", "endless loop")),
    "hang": Case(123, ("endless loop", "SYSTEM_OFF")),
    "wait": Case(123, ("(WFI) with interrupts masked and no timer armed", "SYSTEM_OFF")),
    "wait_for_memory": Case(
        123, ("<root> over and over at 0x", "and waits for it to become nonzero; it is 0x0", "second CPU")
    ),
    "unknown_calls": Case(123, ("HVC (PSCI 0x8400001b), HVC #0x5 (SMCCC 0xc2000000", "[smc.function.NAME]")),
    "cpu_off": Case(123, ("CPU_OFF switches off one CPU", "SYSTEM_OFF")),
}


def run(name: str, directory: Path, *options: str) -> Finished:
    entry = SYMBOLS.lookup(name)
    assert entry is not None
    machine = directory / "machine.toml"
    machine.write_text(f'[boot]\nentry = {entry:#x}\n[cpu]\nmodel = "{CASES[name].model}"\n')
    return armvcpu("run", "-m", machine, *options, FAULTS)


def meaning(finished: Finished) -> str:
    found = re.search(r"^what this usually means:\n((?:  .*\n)*)", finished.err, re.MULTILINE)
    assert found is not None, finished.err
    return " ".join(found[1].split())


@pytest.mark.parametrize("name", CASES)
def test_a_guest_that_goes_wrong_is_told_why(name: str, tmp_path: Path) -> None:
    finished = run(name, tmp_path)
    assert finished.status == CASES[name].status
    text = meaning(finished)
    assert all(phrase in text for phrase in CASES[name].phrases), text
    assert finished.last.startswith("armvcpu: the ")


def test_the_report_knows_the_line_of_the_fault(tmp_path: Path) -> None:
    finished = run("null_read", tmp_path)
    source = FAULTS.with_suffix(".S").read_text().splitlines()
    number = next(number for number, line in enumerate(source, 1) if "ldr     x0, [x1, #8]" in line)
    assert f"<null_read+0x4> faults.S:{number}\n" in finished.err
    assert f"\n     faults.S:{number}:\n  => 0x" in finished.err


def test_a_recursion_shows_in_the_backtrace(tmp_path: Path) -> None:
    finished = run("deep", tmp_path)
    folded = r"^  #1-#(\d+) .*<recursive\+0xc> faults\.S:\d+ \.\.\. (\d+) times$"
    found = re.search(folded, finished.err, re.MULTILINE)
    assert found is not None
    assert int(found[2]) == int(found[1]) >= 6


def test_the_descriptor_that_forbids_it_is_decoded(tmp_path: Path) -> None:
    finished = run("read_only", tmp_path, "--report", "full")
    assert re.search(
        r"^translation of VA 0x400830\w\w, write by EL1:\n"
        r"  stage 1, .*: TTBR0_EL1 0x400\w+, 4 KiB granule, 39-bit VAs\n"
        r"    level 1  IPA 0x400\w+ \(PA 0x\w+\): 0x0000000040000785  block -> 0x40000000\n"
        r"            AP=2 \(EL1 r\) UXN=0 PXN=0 AF=1 SH=3 \(inner\) AttrIndx=1 \(MAIR_EL1 0xff: "
        r"Normal write-back\) nG=0\n"
        r"    -> permission fault, level 1, of stage 1 \(fault status 0x0d\)\n"
        r"  both stages: EL1 r-x, EL0 --x, Normal write-back, inner shareable\n",
        finished.err,
        re.MULTILINE,
    )


def test_a_table_that_cannot_be_read_is_where_the_walk_ends(tmp_path: Path) -> None:
    finished = run("table_nowhere", tmp_path, "--report", "full")
    assert re.search(r"^    level 2  IPA 0x30000000: no memory is there$", finished.err, re.MULTILINE)


def test_a_guest_that_hangs_has_its_whole_report_with_regs(tmp_path: Path) -> None:
    brief, whole = run("hang", tmp_path), run("hang", tmp_path, "--regs")
    assert "relevant registers (all registers and table walks: --report full):" in brief.err
    assert "TPIDR_EL1" not in brief.err
    assert "\nbacktrace:\n" in whole.err
    assert re.search(r"^registers.*:$", whole.err, re.MULTILINE)
    assert re.search(r"^  TPIDR_EL1 ", whole.err, re.MULTILINE)


def test_a_vector_that_cannot_be_fetched_has_its_translation_too(tmp_path: Path) -> None:
    finished = armvcpu("run", "--report", "full", guest("nothing_mapped"))
    assert len(re.findall(r"^translation of VA 0x40080\w{3}, execute by EL1:$", finished.err, re.MULTILINE)) == 2
