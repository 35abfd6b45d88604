"""Mistakes of one instruction or one descriptor, and panics: each guest does what its advice describes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from arm_vcpu_cli.guest.loader import load_guest
from tests.integration.command import Finished, armvcpu, guest

ADVICE = guest("advice")
SYMBOLS = load_guest(ADVICE, ram_base=0x4000_0000).symbols


class Case(NamedTuple):
    phrase: str
    machine: str = ""


CASES = {
    "sve": Case("The guest uses SVE while CPACR_EL1.ZEN traps it.", '[cpu]\nmodel = "max"\n'),
    "semihosting": Case("makes a semihosting call, but semihosting is disabled", "[semihosting]\nenabled = false\n"),
    "halt": Case("HLT is undefined without a debugger, except for semihosting"),
    "interrupt_controller": Case(
        "reads ICC_IAR1_EL1, but the machine has no interrupt controller", "[device.gic]\nenabled = false\n"
    ),
    "performance_monitors": Case("reads PMCCNTR_EL0, but there are no performance monitors"),
    "secure_register": Case("reads SCR_EL3 and so expects to be at EL3"),
    "no_register": Case("reads S3_3_C15_C7_7, which this CPU does not have"),
    "data_first": Case("Not even the first instruction (0x00001234) is valid"),
    "kernel_page": Case("EL0 accesses 0x80001000, in a page reserved for the kernel (AP[1] = 0)"),
    "user_register": Case("EL0 reads SCTLR_EL1, which only EL1 may"),
    "not_for_users": Case("The page at 0x80000000 is not executable at EL0: UXN (bit 54) is set"),
    "privileged_access_never": Case(
        "EL1 accesses 0x80000000, in a page of EL0, while PSTATE.PAN is set", '[cpu]\nmodel = "max"\n'
    ),
    "read_only_table": Case("A table descriptor on the way to 0x80000000 forbids this access (APTable)"),
    "never_executable_table": Case("A table descriptor on the way to 0x80000000 forbids execution (PXNTable"),
}


def meaning(finished: Finished) -> str:
    found = re.search(r"^what this usually means:\n((?:  .*\n)*)", finished.err, re.MULTILINE)
    assert found is not None, finished.err
    return " ".join(found[1].split())


def run(name: str, directory: Path, machine: str = "", stdin: bytes = b"") -> Finished:
    path = directory / "machine.toml"
    path.write_text(f"[boot]\nentry = {SYMBOLS.lookup(name):#x}\n{machine}")
    return armvcpu("run", "-m", path, ADVICE, stdin=stdin)


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_told(name: str, tmp_path: Path) -> None:
    finished = run(name, tmp_path, CASES[name].machine)
    assert finished.status == 122
    assert CASES[name].phrase in meaning(finished)


PANICS = {
    "VFS: Unable to mount root fs on unknown-block(0,0)": "found no root file system. Try: give it an initial RAM disk",
    "No working init found.": "no program to start",
    "Requested init /x failed (error -2).": "The program that init= or rdinit= names cannot be started",
    "Attempted to kill init! exitcode=0x00000100": "The first process (init) exited or crashed",
    "System is deadlocked on memory": "ran out of memory with no process left to kill. Try: give the machine more",
    "Out of memory: compulsory panic_on_oom is enabled": "The kernel ran out of memory.",
    "Fatal exception in interrupt": "took an exception in its own code that it could not handle (an oops)",
    "sysrq triggered crash": "A user requested this crash",
    "something else": "The kernel stopped itself; the console shows why",
}


@pytest.mark.parametrize("text", PANICS)
def test_a_panic_is_told_by_its_words(text: str, tmp_path: Path) -> None:
    line = f"Kernel panic - not syncing: {text}"
    finished = run("parrot", tmp_path, stdin=f"{line}\n---[ end {line} ]---\n".encode())
    assert finished.status == 122
    assert finished.last == f"armvcpu: the guest's kernel panicked: {text}"
    assert PANICS[text] in meaning(finished)
