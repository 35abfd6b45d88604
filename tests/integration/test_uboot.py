"""U-Boot, unmodified: from reset to its prompt, commands on stdin, and an idle prompt that costs little."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.command import COMMAND, GUARD_SECONDS, SAMPLES, armvcpu, environment
from tests.support.processes import cpu_seconds
from tests.support.tools import require_file

UBOOT: Final = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
PROMPT: Final = b"=> "
IDLE_SECONDS: Final = 3.0
IDLE_SHARE: Final = 0.5
"""Of a core. Without recognising the polling it is 1; with it, about 0.05."""


class Serial:
    """U-Boot with pipes as its serial line."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "run", "-m", str(SAMPLES / "uboot" / "uboot.toml"), str(UBOOT)],
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
        while not seen.endswith(b"\n" + PROMPT):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            assert data, f"no prompt: {seen!r}"
            seen += data
        return seen.decode()

    def command(self, text: str) -> str:
        """The answer to a command, without its echo."""
        self.type(text)
        echo, _, answer = self.until_prompt().partition("\n")
        assert echo.strip() == text
        return answer

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()


@pytest.fixture(scope="module")
def serial() -> Iterator[Serial]:
    if not UBOOT.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{UBOOT} is missing: install the package u-boot-qemu")
        pytest.skip(f"{UBOOT} is not installed (package u-boot-qemu)")
    line = Serial()
    yield line
    line.process.kill()
    line.process.communicate()


@pytest.fixture(scope="module")
def banner(serial: Serial) -> str:
    return serial.until_prompt()


def test_it_boots_to_its_prompt(banner: str) -> None:
    assert re.search(r"^U-Boot 20\d\d\.\d\d", banner, re.MULTILINE)
    assert re.search(r"^DRAM: +512 MiB\r?$", banner, re.MULTILINE)
    assert re.search(r"^In: +pl011@9000000\r?$", banner, re.MULTILINE)


def test_version_answers_with_that_of_the_banner(serial: Serial, banner: str) -> None:
    match = re.search(r"^U-Boot \S+", banner, re.MULTILINE)
    assert match is not None
    answer = serial.command("version")
    assert answer.startswith(match[0])
    assert "aarch64-linux-gnu-gcc" in answer


def test_bdinfo_shows_the_ram_of_the_machine(serial: Serial, banner: str) -> None:
    answer = serial.command("bdinfo")
    assert re.search(r"-> start += 0x0*40000000\r?\n-> size += 0x0*20000000\b", answer)
    assert re.search(r"memory\[0\]\s+\[0x40000000-0x5fffffff\], 0x20000000 bytes", answer)


def test_md_shows_the_device_tree_at_the_base_of_ram(serial: Serial, banner: str) -> None:
    assert serial.command("md.l 40000000 1").startswith("40000000: edfe0dd0 ")


def test_the_device_tree_can_be_edited_in_place(serial: Serial, banner: str) -> None:
    """As in QEMU, which gives it 1 MiB; without room U-Boot says FDT_ERR_NOSPACE."""
    serial.command("fdt addr 40000000")
    header = serial.command("fdt header")
    assert re.search(r"^totalsize:\s+0x100000 ", header, re.MULTILINE)
    assert re.search(r"^number mem_rsv:\s+0x0\b", header, re.MULTILINE)
    longer = "x" * 200
    assert serial.command(f"fdt set /chosen bootargs {longer}") == "=> "
    assert serial.command("fdt set /chosen armvcpu,new <1 2>") == "=> "
    assert serial.command("fdt mknode / armvcpu") == "=> "
    chosen = serial.command("fdt print /chosen")
    assert f'bootargs = "{longer}";' in chosen
    assert "armvcpu,new = <0x00000001 0x00000002>;" in chosen


def test_memory_written_by_a_command_reads_back(serial: Serial, banner: str) -> None:
    assert serial.command("mw.l 48000000 cafe1234 4") == "=> "
    assert serial.command("md.l 48000000 4").startswith("48000000: cafe1234 cafe1234 cafe1234 cafe1234 ")


def test_an_idle_prompt_does_not_burn_a_core(serial: Serial, banner: str) -> None:
    before = cpu_seconds(serial.process.pid)
    started = time.monotonic()
    time.sleep(IDLE_SECONDS)
    share = (cpu_seconds(serial.process.pid) - before) / (time.monotonic() - started)
    assert share < IDLE_SHARE
    assert serial.command("echo still there").startswith("still there")


def test_poweroff_ends_it_with_status_0(serial: Serial, banner: str) -> None:
    serial.type("poweroff")
    assert serial.process.stdout is not None
    assert serial.process.stderr is not None
    assert b"poweroff ..." in serial.process.stdout.read()
    assert serial.process.wait(GUARD_SECONDS) == 0
    assert serial.process.stderr.read() == b""


def test_on_a_gicv2_it_boots_and_asks_for_a_reset() -> None:
    require_file(str(UBOOT))
    machine = SAMPLES / "uboot" / "uboot.toml"
    finished = armvcpu("run", "--gic", 2, "-m", machine, UBOOT, stdin=b"\n\nversion\nreset\n")
    assert "GNU ld" in finished.out.decode(), "what version says last"
    assert (finished.status, finished.last) == (121, "armvcpu: the guest requested a reset")
