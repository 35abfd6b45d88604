"""Guests that go wrong: the right status, a report with the reason, and no hang."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.integration.command import armvcpu, guest

ROM = """
[memory.rom]
base = 0x1000_0000
size = "4KiB"
permissions = "r"
on_fault = "{on_fault}"
"""

NO_VECTORS = (
    r"its handler is missing, the vector at 0x200 \(VBAR_EL1 is 0x0\) cannot be fetched "
    r"\(synchronous external abort\)"
)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere",
            r"the guest is stuck after an instruction abort \(synchronous external abort\) at 0xdead0000: "
            + NO_VECTORS,
        ),
        ("undefined", r"the guest is stuck after an undefined instruction at 0x\w+ <_start\+0x4>: " + NO_VECTORS),
        (
            "own_vectors",
            r"the guest is stuck after a system call \(SVC #0x1\) at 0x\w+ <broken>: the vector at 0x\w+ "
            r"<vectors\+0x200> \(VBAR_EL1 is 0x\w+\) holds no valid instruction",
        ),
        (
            "nothing_mapped",
            r"the guest is stuck after an instruction abort \(translation fault, level 1\) at 0x\w+ <_start\+0x\w+>: "
            r"its handler is missing, the vector at 0x\w+ <vectors\+0x200> \(VBAR_EL1 is 0x\w+\) cannot be fetched "
            r"\(translation fault, level 1\)",
        ),
    ],
)
def test_a_guest_that_cannot_go_on_is_stopped_with_the_reason(name: str, message: str) -> None:
    finished = armvcpu("run", guest(name))
    assert finished.status == 122
    assert finished.out == b""
    assert re.fullmatch("armvcpu: " + message, finished.last)
    assert finished.err.startswith("what happened:\n")
    assert re.search(r"^relevant registers.*:\n  pc 0x\w+ ", finished.err, re.MULTILINE)


@pytest.mark.parametrize(
    ("on_fault", "status", "message"),
    [
        (
            "abort",
            122,
            r"the guest is stuck after a data abort on a write to 0x10000000 \(synchronous external abort\) at "
            r"0x\w+ <store>: " + NO_VECTORS,
        ),
        ("stop", 122, r"stage 2 denies the write of IPA 0x10000000, in memory region rom, at 0x\w+ <store>"),
        ("ignore", 0, None),
    ],
)
def test_a_write_to_rom_ends_as_the_region_says(
    on_fault: str, status: int, message: str | None, tmp_path: Path
) -> None:
    machine = tmp_path / "rom.toml"
    machine.write_text(ROM.format(on_fault=on_fault))
    finished = armvcpu("run", "-m", machine, guest("rom"))
    assert finished.status == status
    assert re.fullmatch("armvcpu: " + (message or "the guest exited with status 0"), finished.last)


def test_psci_and_smccc_calls_with_garbage_are_all_answered() -> None:
    finished = armvcpu("trace", "--format", "jsonl", guest("psci_garbage"))
    assert (finished.status, finished.out) == (0, b"")
    *events, summary = map(json.loads, finished.err.splitlines())
    calls = [event for event in events if event["type"] == "exit"][:-1]
    # 7 ranges of 64 functions less the 7 that stop or wait, each by HVC and by SMC.
    assert len(calls) == 7 * (64 - 7) * 2
    assert summary["total"] == len(calls) + 1
    assert all("result" in call for call in calls)
    known = {call["call"] for call in calls if call.get("error") != "NOT_SUPPORTED"}
    assert "PSCI_VERSION" in known
    for call in calls:
        if call["call"] == "CPU_ON":
            assert call["error"] == "INVALID_PARAMETERS"


@pytest.mark.parametrize("size", [1, 3, 4, 100, 1 << 20])
def test_a_raw_binary_of_zeros_is_undefined_from_its_first_instruction(size: int, tmp_path: Path) -> None:
    raw = tmp_path / "zeros.bin"
    raw.write_bytes(bytes(size))
    finished = armvcpu("run", raw)
    assert finished.status == 122
    assert re.fullmatch(
        "armvcpu: the guest is stuck after an undefined instruction at 0x40080000: " + NO_VECTORS, finished.last
    )


def test_a_guest_without_any_memory_to_execute_from_is_stopped(tmp_path: Path) -> None:
    machine = tmp_path / "data.toml"
    machine.write_text("[memory.ram]\npermissions = 'rw'\n")
    finished = armvcpu("run", "-m", machine, "--timeout", "20", guest("undefined"))
    assert finished.status == 122
    assert "instruction abort" in finished.last
    assert "<_start>" in finished.last


def test_an_entry_outside_of_memory_is_reported(tmp_path: Path) -> None:
    machine = tmp_path / "entry.toml"
    machine.write_text("[boot]\nentry = 0x7000_0000\n")
    finished = armvcpu("run", "-m", machine, "--timeout", "20", guest("undefined"))
    assert finished.status == 2
    assert finished.last.endswith(":2: boot.entry: expected an address in a memory region, found 0x7000_0000")
