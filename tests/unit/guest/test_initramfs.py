"""Errors of an initial RAM disk from the point of view of a Linux kernel."""

from __future__ import annotations

import gzip
import lzma
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.guest.initramfs import complaints, recognised, what_it_is
from tests.unit.guest.cpio_writer import EXECUTABLE, FOLDER, LINK, PLAIN, cpio

LOADER = "/lib/ld-linux-aarch64.so.1"


def elf(machine: int = 183, interpreter: str = "") -> bytes:
    """The beginning of a 64-bit ELF file."""
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<HH", header, 16, 2, machine)
    struct.pack_into("<QQ", header, 32, 64, 0)
    struct.pack_into("<HH", header, 54, 56, 1 if interpreter else 0)
    if not interpreter:
        return bytes(header)
    return (
        bytes(header)
        + struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(interpreter) + 1, 0, 1)
        + interpreter.encode()
        + b"\0"
    )


STATIC = {"init": (EXECUTABLE, elf())}
GOOD = {
    "plain": cpio(STATIC),
    "gzip": gzip.compress(cpio(STATIC)),
    "xz": lzma.compress(cpio(STATIC)),
    "lzma": lzma.compress(cpio(STATIC), lzma.FORMAT_ALONE),
    "names with a dot": cpio({".": (FOLDER, b""), "./init": (EXECUTABLE, elf())}),
    "behind another archive": cpio({"kernel/microcode": (PLAIN, b"")}) + bytes(512) + gzip.compress(cpio(STATIC)),
    "two members": gzip.compress(cpio({"etc": (FOLDER, b"")})) + gzip.compress(cpio(STATIC)),
    "what cannot be unpacked": b"BZh9" + bytes(100),
    "an interpreter": cpio({"init": (EXECUTABLE, elf(interpreter=LOADER)), LOADER[1:]: (EXECUTABLE, elf())}),
    "by way of links": cpio(
        {
            "init": (LINK, b"sbin/start"),
            "sbin": (LINK, b"usr/sbin"),
            "usr/sbin/start": (EXECUTABLE, b"#!/bin/sh -e\n"),
            "bin": (LINK, b"/usr/bin"),
            "usr/bin/sh": (LINK, b"../lib/busybox"),
            "usr/lib/busybox": (EXECUTABLE, elf()),
        }
    ),
}
BAD = {
    "empty": (gzip.compress(b""), "what its gzip data holds is no cpio archive: it is empty"),
    "tar": (bytes(257) + b"ustar", "a tar archive"),
    "ext4": (bytes(0x438) + b"\x53\xef", "an ext2, ext3 or ext4 image"),
    "old cpio": (b"0707070000", "a cpio archive of an old format"),
    "packed twice": (gzip.compress(gzip.compress(b"")), "no cpio archive: it begins with the bytes 1f 8b"),
    "gzip cut": (gzip.compress(cpio(STATIC))[:-20], "its gzip data cannot be unpacked: it ends early"),
    "cut": (cpio(STATIC)[:130], "its archive is truncated: init should end at 0xb4, but the archive ends at 0x82"),
    "without an end": (cpio(STATIC)[:180], "its archive is truncated or damaged: there is no entry at 0xb4"),
    "garbage": (b"070701" + b"z" * 200, "the entry at 0x0 has invalid numbers"),
    "no init": (cpio({"hello": (PLAIN, b"")}), "it has no /init, the program that a kernel starts from it"),
    "a folder": (cpio({"init": (FOLDER, b"")}), "its /init is not a regular file"),
    "not executable": (cpio({"init": (PLAIN, elf())}), "its /init is not executable (mode 644)"),
    "x86": (cpio({"init": (EXECUTABLE, elf(62))}), "its /init is for another machine (EM 62), not for AArch64"),
    "dynamic": (
        cpio({"init": (EXECUTABLE, elf(interpreter=LOADER))}),
        f"its /init is dynamically linked, and needs {LOADER}, which is not in it",
    ),
    "no shell": (cpio({"init": (EXECUTABLE, b"#!/bin/sh\n")}), "its /init is a script for /bin/sh, which is not in it"),
    "text": (cpio({"init": (EXECUTABLE, b"echo\n")}), "its /init is neither an ELF file nor a script (#!)"),
    "a link in a circle": (cpio({"init": (LINK, b"init")}), "it has no /init"),
}


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_said_of_one_that_is_right(name: str) -> None:
    assert list(complaints(GOOD[name])) == []


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said(name: str) -> None:
    data, reason = BAD[name]
    (found,) = complaints(data)
    assert reason in found


def test_another_program_than_init_is_looked_for() -> None:
    assert list(complaints(GOOD["plain"], "/sbin/x")) == ["it has no /sbin/x, the program that a kernel starts from it"]


def test_what_a_kernel_knows_is_recognised() -> None:
    assert [recognised(head) for head in (b"070701", b"\x1f\x8b", b"BZh9", b"\x89LZO")] == [
        "cpio",
        "gzip",
        "bzip2",
        "lzo",
    ]
    assert recognised(bytes(5) + b"070701") == "cpio"
    assert recognised(b"ustar") is None
    assert what_it_is(b"abc") == "it begins with the bytes 61 62 63"


@given(st.binary(max_size=400), st.sampled_from([b"", b"070701", b"\x1f\x8b\x08\0", cpio(STATIC)[:120]]))
def test_no_bytes_are_too_bad(data: bytes, head: bytes) -> None:
    assert all("\n" not in line for line in complaints(head + data))
