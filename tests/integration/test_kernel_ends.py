"""Kernels that fail early, and programs that are not kernels: the messages before they start and at their end."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.command import SAMPLES, Finished, armvcpu, assert_refused
from tests.support.tools import require_file
from tests.unit.guest.cpio_writer import EXECUTABLE, PLAIN, cpio
from tests.unit.guest.linux_writer import image

BUILD = SAMPLES / "linux" / "build"
ENDLESS = b"\x00\x00\x00\x14"
PAGES_16K = 2 << 1


def meaning(finished: Finished) -> str:
    found = re.search(r"^what this usually means:\n((?:  .*\n)*)", finished.err, re.MULTILINE)
    assert found is not None, finished.err
    return " ".join(found[1].split())


def kernel(directory: Path, flags: int = 0) -> Path:
    """An arm64 Image that does nothing."""
    path = directory / "Image"
    path.write_bytes(image(code=ENDLESS, flags=flags))
    return path


def test_pages_that_the_cpu_lacks_are_told_before_the_kernel_starts(tmp_path: Path) -> None:
    finished = armvcpu("run", kernel(tmp_path, PAGES_16K))
    assert finished.status == 123
    first, *_ = finished.err.splitlines()
    assert re.fullmatch(
        r"armvcpu: warning: .*/Image: it has pages of 16 KiB, which cortex-a72 does not have at stage 1 "
        r"\(it has 4 KiB and 64 KiB\); it will stop before it prints anything",
        first,
    )


@pytest.mark.parametrize("flags", [0, 1 << 1, 3 << 1], ids=["unspecified", "4 KiB", "64 KiB"])
def test_of_pages_that_it_has_nothing_is_said(flags: int, tmp_path: Path) -> None:
    assert "warning" not in armvcpu("run", kernel(tmp_path, flags)).err


def test_a_kernel_that_hangs_before_its_console_is_told_of_earlycon(tmp_path: Path) -> None:
    finished = armvcpu("run", kernel(tmp_path))
    assert finished.status == 123
    assert 'Try: show messages from the first line on: --append "earlycon console=ttyAMA0"' in meaning(finished)
    finished = armvcpu("run", "--append", "earlycon console=ttyAMA0", kernel(tmp_path))
    assert "not even by earlycon" in meaning(finished)


def test_a_console_that_the_machine_lacks_is_told_instead(tmp_path: Path) -> None:
    finished = armvcpu("run", "--append", "console=ttyS0", kernel(tmp_path))
    assert finished.err.splitlines()[0] == (
        "armvcpu: warning: console=ttyS0 is on the command line, but the UART of this machine is ttyAMA0"
    )
    assert "The kernel prints to ttyS0, which this machine does not have." in meaning(finished)
    assert "earlycon" not in meaning(finished)


def test_a_silent_kernel_is_told_of_earlycon_also_when_a_limit_ends_it() -> None:
    linux = require_file(str(BUILD / "vmlinuz"))
    finished = armvcpu("run", "--max-exits", 20, linux)
    assert finished.status == 124
    assert "The kernel has printed nothing, because its console starts late" in meaning(finished)
    assert "Machine model: armvcpu virt" in finished.err


@pytest.mark.parametrize(
    ("arguments", "end", "words"),
    [
        ("mem=1M", "the guest's kernel panicked: early_init_dt_alloc_memory_arch: ", "had no memory left"),
        ("console=ttyS0", "the guest's kernel panicked: VFS: Unable to mount root fs", "The kernel prints to ttyS0"),
    ],
    ids=["before its console", "without a console"],
)
def test_a_panic_that_is_not_printed_ends_the_run_with_the_messages(arguments: str, end: str, words: str) -> None:
    finished = armvcpu("run", "--append", arguments, require_file(str(BUILD / "vmlinuz")))
    assert finished.status == 122
    assert not finished.out
    assert end in finished.last
    assert words in meaning(finished)
    heading, *log = (line for line in finished.err.splitlines() if not line.startswith("armvcpu: warning: "))
    assert heading == "the kernel's last messages, from its log buffer (none of them was printed):"
    assert re.match(r"  \[ +\d+\.\d{6}\] ", log[0])


def test_an_oops_that_is_not_printed_is_told(tmp_path: Path) -> None:
    tree = tmp_path / "moved.dtb"
    good = armvcpu("dtb").out
    tree.write_bytes(good.replace((0x900_0000).to_bytes(8, "big"), (0x980_0000).to_bytes(8, "big")))
    finished = armvcpu("run", "--dtb", tree, require_file(str(BUILD / "vmlinuz")))
    assert finished.status == 122
    assert "(an oops): synchronous external abort" in meaning(finished)


def test_reports_name_a_kernels_functions_without_a_symbol_file() -> None:
    finished = armvcpu("run", "--append", "console=ttyAMA0 quiet", require_file(str(BUILD / "vmlinuz")))
    assert finished.status == 122
    names = re.findall(r"^  #\d+ +0xffff[0-9a-f]{12} <(\w+)", finished.err, re.MULTILINE)
    assert names[-7:-3] == ["panic", "mount_block_root", "mount_root", "prepare_namespace"]
    assert "--symbols" not in finished.err


def test_the_last_line_does_too() -> None:
    finished = armvcpu("run", "--append", "earlycon", "--max-exits", 500, require_file(str(BUILD / "vmlinuz")))
    assert re.fullmatch(r"armvcpu: stopped after 500 exits at 0xffff[0-9a-f]{12} <\w+\+0x[0-9a-f]+>", finished.last)


def test_a_device_tree_with_a_wrong_interrupt_is_told_when_the_kernel_is_idle(tmp_path: Path) -> None:
    tree, machine = tmp_path / "wrong.dtb", tmp_path / "machine.toml"
    good = armvcpu("dtb").out
    uart, other = ((0).to_bytes(4, "big") + spi.to_bytes(4, "big") + (4).to_bytes(4, "big") for spi in (1, 5))
    assert good.count(uart) == 1
    tree.write_bytes(good.replace(uart, other))
    machine.write_text("[limits]\nidle = 3\n")
    files = [require_file(str(BUILD / name)) for name in ("vmlinuz", "initrd.gz")]
    options = ("-m", machine, "--dtb", tree, "--initrd", files[1], "--append", "console=ttyAMA0 quiet")
    finished = armvcpu("run", *options, files[0], stdin=b"echo hello\n")
    assert finished.status == 123
    assert "(limits.idle)" in finished.last
    assert meaning(finished) == (
        "INTID 33 (uart0) is pending at cpu0, but GICD_ISENABLER1 is 0x00000024: bit 1 is clear. Try: no driver has "
        "enabled it: check that the device tree gives its device this interrupt (interrupts = <0 1 4>), and that the "
        "kernel has the driver"
    )


def test_a_panic_is_told_with_an_interrupt_that_was_held_back(tmp_path: Path) -> None:
    machine = tmp_path / "machine.toml"
    machine.write_text('[[fault]]\nkind = "spurious-interrupt"\nintid = 70\nat = { time = "300ms" }\n')
    finished = armvcpu("run", "-m", machine, "--append", "console=ttyAMA0", require_file(str(BUILD / "vmlinuz")))
    assert finished.status == 122
    assert "The kernel found no root file system." in meaning(finished)
    said = finished.err.partition("\ninterrupts held back at the end:\n")[2].partition("\nwhat this usually means:")[0]
    assert " ".join(said.split()) == (
        "INTID 70 is pending at cpu0, but GICD_ISENABLER2 is 0x00000000: bit 6 is clear. Try: no driver has enabled "
        "it: check that the device tree gives its device this interrupt (interrupts = <0 38 4>), and that the kernel "
        "has the driver"
    )


def test_what_has_printed_is_not_silent() -> None:
    linux = require_file(str(BUILD / "vmlinuz"))
    finished = armvcpu("run", "--append", "earlycon", "--max-exits", 500, linux)
    assert finished.out
    assert finished.status == 124
    assert finished.err.startswith("armvcpu: stopped after 500 exits")


INITRDS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (lambda good: good[: len(good) // 2], "its gzip data cannot be unpacked: it ends early"),
    "text": (lambda _: b"not an archive" * 100, "it is no initramfs, packed or not"),
    "no init": (lambda _: gzip.compress(cpio({"hello": (PLAIN, b"")})), "it has no /init"),
    "no shell": (lambda _: cpio({"init": (EXECUTABLE, b"#!/bin/sh\n")}), "a script for /bin/sh, which is not in it"),
}


@pytest.mark.parametrize("name", INITRDS)
def test_a_bad_initial_ram_disk_is_told_when_the_kernel_panics(name: str, tmp_path: Path) -> None:
    make, reason = INITRDS[name]
    linux, good = require_file(str(BUILD / "vmlinuz")), require_file(str(BUILD / "initrd.gz"))
    path = tmp_path / "disk.img"
    path.write_bytes(make(good.read_bytes()))
    finished = armvcpu("run", "--initrd", path, "--append", "console=ttyAMA0", linux)
    assert finished.status == 122
    text = meaning(finished)
    assert "The kernel was given an initial RAM disk, disk.img, but " in text
    assert reason in text
    assert finished.err.startswith("armvcpu: warning: ") is (name == "text")


def test_a_program_for_linux_is_no_guest(tmp_path: Path) -> None:
    archive = gzip.decompress(require_file(str(BUILD / "initrd.gz")).read_bytes())
    path = tmp_path / "busybox"
    start = archive.index(b"\x7fELF")
    path.write_bytes(archive[start:])
    assert_refused(armvcpu("run", path), "a Linux program, according to its note (.note.ABI-tag)", "--initrd")


@pytest.mark.parametrize(
    ("head", "name", "step"),
    [
        (b"\x02\x21\x4c\x18", "an lz4 file of the old format", "unlz4"),
        (b"\x5d\x00\x00\x80\x00", "an lzma file", "unlzma"),
        (b"\x89LZO\x00\r\n", "an lzo file", "lzop -d"),
        (b"ANDROID!", "an Android boot image", "unpack_bootimg"),
        (b"\xd0\x0d\xfe\xed", "a device tree or a FIT image", "dumpimage"),
    ],
)
def test_a_kernel_in_another_format_is_refused_with_what_to_do(
    head: bytes, name: str, step: str, tmp_path: Path
) -> None:
    path = tmp_path / "kernel.img"
    path.write_bytes(head + bytes(1000))
    assert_refused(armvcpu("run", path), name, step, "--kernel-type raw")


def test_all_members_of_a_gzip_file_are_the_kernel(tmp_path: Path) -> None:
    data = image(code=ENDLESS, flags=0)
    path = tmp_path / "Image.gz"
    path.write_bytes(gzip.compress(data[:64]) + gzip.compress(data[64:]))
    assert "hangs in a loop at 0x40000000" in armvcpu("run", path).last
