"""Recognises files that are certainly not guests, although any file could be a raw binary."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from typing import Final

_TEXT_HEAD: Final = 4096
"""Bytes of a file that are examined to decide whether it is text."""
_NOT_IN_TEXT: Final = bytes({*range(0x20), 0x7F} - {*b"\t\n\f\r\x1b"})
_BEYOND_ASCII: Final = bytes(range(0x80, 0x100))
_LEAST_TEXT: Final = 64
"""Bytes; code without control characters is always shorter."""
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_PE_OFFSET: Final = 0x3C  # e_lfanew of the MS-DOS header

_ANOTHER_CPU: Final = "build it for arm64"
_A_DISK: Final = "take the kernel out of it, since armvcpu has no disks"
_RAM_DISK: Final = "give it as --initrd, beside a kernel"
_MAGIC: Final = (
    (0, b"\x1f\x8b", "a gzip file", "unpack it first (gunzip)"),
    (0, b"\xfd7zXZ\x00", "an xz file", "unpack it first (unxz)"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it first (unzstd)"),
    (0, b"BZh", "a bzip2 file", "unpack it first (bunzip2)"),
    (0, b"\x5d\x00\x00", "an lzma file", "unpack it first (unlzma)"),
    (0, b"\x89LZO", "an lzo file", "unpack it first (lzop -d)"),
    (0, b"\x04\x22\x4d\x18", "an lz4 file", "unpack it first (unlz4)"),
    (0, b"\x02\x21\x4c\x18", "an lz4 file of the old format", "unpack it first (unlz4)"),
    (0, b"LZIP\x01", "an lzip file", "unpack it first (lzip -d)"),
    (0, b"LRZI", "an lrzip file", "unpack it first (lrunzip)"),
    (0, b"\x1f\x9d\x90", "a file of compress", "unpack it first (uncompress)"),
    (0, b"PK\x03\x04", "a zip file", "unpack it first (unzip)"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first (7z x)"),
    (0x101, b"ustar", "a tar archive", "unpack it first (tar -x)"),
    (0, b"070701", "a cpio archive", _RAM_DISK),
    (0, b"070702", "a cpio archive", _RAM_DISK),
    (0, b"070707", "a cpio archive", _RAM_DISK),
    (0, b"!<arch>\ndebian-binary", "a Debian package", "take the kernel out of it (dpkg-deb -x)"),
    (0, b"\xed\xab\xee\xdb", "an RPM package", "take the kernel out of it (rpm2cpio)"),
    (0, b"!<arch>\n", "an archive of object files", "link them first"),
    (0, b"!<thin>\n", "an archive of object files", "link them first"),
    (0, b"BC\xc0\xde", "LLVM bitcode", "compile and link it first"),
    (0, b"\x27\x05\x19\x56", "a U-Boot image", "take the kernel out of it (dumpimage)"),
    (0, b"ANDROID!", "an Android boot image", "take the kernel out of it (unpack_bootimg)"),
    (0, b"VNDRBOOT", "an Android vendor boot image", "the kernel is in the boot image (unpack_bootimg)"),
    (0, b"\xd0\x0d\xfe\xed", "a device tree or a FIT image", "take the kernel out of it (dumpimage -T flat_dt)"),
    (0, b"UF2\n\x57\x51\x5d\x9e", "a UF2 file", "make a binary of it first"),
    (0, b"\xcf\xfa\xed\xfe", "a Mach-O file", "build it as an ELF file"),
    (0, b"\xce\xfa\xed\xfe", "a Mach-O file", "build it as an ELF file"),
    (0, b"\xca\xfe\xba\xbe", "a universal Mach-O file or a Java class", "build it as an ELF file"),
    (0, b"\x00asm", "a WebAssembly module", "build it as an ELF file"),
    (0x24, b"\x18\x28\x6f\x01", "a 32-bit Arm Linux kernel (zImage)", _ANOTHER_CPU),
    (0x202, b"HdrS", "an x86 Linux kernel (bzImage)", _ANOTHER_CPU),
    (0x38, b"RSC\x05", "a RISC-V Linux kernel", _ANOTHER_CPU),
    (0x38, b"\xcd\x23\x82\x81", "a LoongArch Linux kernel", _ANOTHER_CPU),
    (0, b"\x3a\xff\x26\xed", "an Android sparse image", _A_DISK),
    (0, b"QFI\xfb", "a disk image (qcow2)", _A_DISK),
    (0, b"KDMV", "a disk image (VMDK)", _A_DISK),
    (0, b"hsqs", "a file system (squashfs)", _A_DISK),
    (0x200, b"EFI PART", "a disk image (GPT)", _A_DISK),
    (0x8001, b"CD001", "a disk image (ISO 9660)", _A_DISK),
    (0, b"%PDF-", "a PDF document", ""),
    (0, b"\x89PNG\r\n\x1a\n", "a picture (PNG)", ""),
)
"""Offset, magic bytes, kind of file, and what to do with it."""
_MBR: Final = (0x1FE, b"\x55\xaa")
_PARTITIONS: Final = (0x1BE, 0x1CE, 0x1DE, 0x1EE)
_PARTITION_STATES: Final = (0, 0x80)
_EXT_SUPERBLOCK: Final = 0x400
_EXT: Final = (0x438, b"\x53\xef")

_HEX_FORMATS: Final = (
    (re.compile(rb"\s*:[0-9A-Fa-f]{10,}\s*\n:"), "an Intel HEX file", "ihex"),
    (re.compile(rb"\s*S[0-3][0-9A-Fa-f]{8,}\s*\nS"), "a Motorola S-record file", "srec"),
)


def foreign_kind(data: bytes) -> tuple[str, str] | None:
    """The kind of a file that is not a guest, and what to do with it; None for a file that may be a raw binary."""
    for offset, magic, name, step in _MAGIC:
        if data.startswith(magic, offset):
            return name, step
    if data.startswith(_MBR[1], _MBR[0]) and all(data[place] in _PARTITION_STATES for place in _PARTITIONS):
        return "a disk image (MBR)", _A_DISK
    if data.startswith(_EXT[1], _EXT[0]) and not any(data[:_EXT_SUPERBLOCK]):
        return "a file system (ext4)", _A_DISK
    for pattern, name, target in _HEX_FORMATS:
        if pattern.match(data):
            return name, f"make a binary of it first (objcopy -I {target} -O binary)"
    return None


def is_text(data: bytes) -> bool:
    """Whether a file starts with text in UTF-8, UTF-16 or, if it is mostly ASCII, any other character set."""
    head = data[:_TEXT_HEAD]
    if head.startswith(_UTF_16):
        # The upper bytes of most characters are zero.
        rest = head[len(_UTF_16[0]) :]
        return rest.translate(None, _NOT_IN_TEXT.replace(b"\0", b"")) == rest and 3 * rest.count(0) >= len(rest)
    if not head or head.translate(None, _NOT_IN_TEXT) != head:
        return False
    try:
        getincrementaldecoder("utf-8")().decode(head, final=len(data) <= _TEXT_HEAD)
    except UnicodeDecodeError:
        return len(head) >= _LEAST_TEXT and len(head.translate(None, _BEYOND_ASCII)) * 4 >= len(head) * 3
    return True


def is_pe(data: bytes) -> bool:
    """Whether ``data`` is a PE executable: a kernel for another architecture, or another UEFI program."""
    start = int.from_bytes(data[_PE_OFFSET : _PE_OFFSET + 4], "little")
    return data.startswith(b"MZ") and data[start : start + 4] == b"PE\0\0"
