"""Invalid files: each is refused with status 2 and one line that names the file and the error."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.command import armvcpu, assert_refused, sample
from tests.unit.guest.linux_writer import image, zboot

E_CLASS, E_DATA, E_TYPE, E_MACHINE, E_PHOFF, E_PHNUM = 4, 5, 16, 18, 32, 56
PH_PADDR, PH_FILESZ, PH_MEMSZ = 24, 32, 40


def patched(*changes: tuple[int, str, int]) -> bytes:
    """The hello sample with fields overwritten: offset, struct format and value."""
    data = bytearray(sample("hello").read_bytes())
    for offset, form, value in changes:
        struct.pack_into(form, data, offset, value)
    return bytes(data)


def first_segment(field: int) -> int:
    """File offset of a field of the first program header."""
    (offset,) = struct.unpack_from("<Q", sample("hello").read_bytes(), E_PHOFF)
    return int(offset) + field


BAD_ELF: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "empty": (lambda: b"", ("empty",)),
    "header cut": (lambda: sample("hello").read_bytes()[:40], ("offset 0x",)),
    "segments cut": (lambda: sample("hello").read_bytes()[:0x1100], ()),
    "32-bit": (lambda: patched((E_CLASS, "B", 1)), ("32-bit",)),
    "big-endian": (lambda: patched((E_DATA, "B", 2)), ("big-endian",)),
    "x86-64": (lambda: patched((E_MACHINE, "<H", 62)), ("X86_64",)),
    "object file": (lambda: patched((E_TYPE, "<H", 1)), ("ET_REL",)),
    "core file": (lambda: patched((E_TYPE, "<H", 4)), ("ET_CORE",)),
    "no segments": (lambda: patched((E_PHNUM, "<H", 0)), ()),
    "headers beyond the end": (lambda: patched((E_PHOFF, "<Q", 1 << 40)), ()),
    "outside of memory": (
        lambda: patched((first_segment(PH_PADDR), "<Q", 0x2000_0000)),
        ("at 0x20000000-0x", "is outside of memory: ram 0x40000000-0x5fffffff"),
    ),
    "data beyond the end": (lambda: patched((first_segment(PH_FILESZ), "<Q", 1 << 30)), ()),
    "memory smaller than data": (lambda: patched((first_segment(PH_MEMSZ), "<Q", 1)), ()),
    "absurd memory": (lambda: patched((first_segment(PH_MEMSZ), "<Q", 1 << 60)), ()),
}


@pytest.mark.parametrize("name", BAD_ELF)
def test_a_bad_elf_file_is_refused(name: str, tmp_path: Path) -> None:
    make, parts = BAD_ELF[name]
    path = tmp_path / "bad.elf"
    path.write_bytes(make())
    assert_refused(armvcpu("run", path), f"{path}: ", *parts)


@pytest.mark.parametrize("command", ["run", "trace"])
def test_a_guest_that_is_missing_or_a_directory_is_refused(command: str, tmp_path: Path) -> None:
    assert_refused(armvcpu(command, tmp_path / "none.elf"), "none.elf: cannot be read: No such file or directory")
    assert_refused(armvcpu(command, tmp_path), str(tmp_path), "is a directory")


def test_a_machine_description_in_the_place_of_a_guest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text("base = 'virt'\n")
    assert_refused(armvcpu("run", path), str(path), "-m")
    assert armvcpu("run", "--kernel-type", "raw", path).status == 122, "it is run if somebody really wants it"


def test_a_guest_through_a_file_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_refused(armvcpu("run", tmp_path / "file" / "x"), "Not a directory")


def test_a_name_that_is_no_text_is_shown_escaped(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.elf")
    assert_refused(armvcpu("run", path), "cannot be read")


@pytest.mark.parametrize("command", [("dtb",), ("trace", sample("hello"))], ids=["dtb", "trace"])
def test_an_output_file_that_cannot_be_written_is_refused(command: tuple[object, ...], tmp_path: Path) -> None:
    missing = tmp_path / "none" / "out"
    assert_refused(armvcpu(*command, "-o", missing), f"{missing}: cannot be written: No such file or directory")
    assert_refused(armvcpu(*command, "-o", tmp_path), str(tmp_path), "is a directory")


BAD_TOML: dict[str, tuple[str, tuple[str, ...]]] = {
    "syntax": ("[cpu\nmodel = 1\n", ("bad.toml:1: not valid TOML: ",)),
    "no text": ("\udcff\udcfe", ()),
    "unknown table": ("[mmeory.ram]\nsize = 4096\n", ("mmeory", "memory")),
    "unknown key": ("[cpu]\nmodle = 'max'\n", ("cpu.modle", "model")),
    "unknown deep key": ("[memory.ram]\nsiez = 4096\n", ("memory.ram.siez", "size")),
    "unknown cpu": ("[cpu]\nmodel = 'cortex-a1000'\n", ("cpu.model", "cortex-a1000")),
    "wrong type": ("[cpu]\nmpidr = true\n", ("cpu.mpidr",)),
    "table where a value belongs": ("[boot.entry]\nx = 1\n", ("boot.entry",)),
    "negative size": ("[memory.ram]\nsize = -4096\n", ("memory.ram.size", "-4096")),
    "no size": ("[memory.ram]\nsize = 0\n", ("memory.ram.size",)),
    "odd size": ("[memory.ram]\nsize = 4097\n", ("memory.ram.size", "4 KiB")),
    "absurd size": ("[memory.ram]\nsize = '100000GiB'\n", ("memory.ram.size",)),
    "endless number": ("[memory.ram]\nsize = 0x" + "f" * 5000 + "\n", ("memory.ram.size",)),
    "size that is no size": ("[memory.ram]\nsize = 'big'\n", ("memory.ram.size", "big")),
    "overlap": ("[memory.rom]\nbase = 0x5000_0000\nsize = '1MiB'\npermissions = 'r'\n", ("rom", "ram", "overlap")),
    "overlap with a device": (
        "[memory.rom]\nbase = 0x0900_0000\nsize = '1MiB'\npermissions = 'r'\n",
        ("rom", "uart0", "overlap"),
    ),
    "beyond the address space": (
        "[memory.far]\nbase = 0x1000_0000_0000\nsize = '1MiB'\npermissions = 'rw'\n",
        ("memory.far",),
    ),
    "missing preload": (
        "[memory.rom]\nbase = 0\nsize = '1MiB'\npermissions = 'r'\nfile = 'none.bin'\n",
        ("memory.rom.file", "none.bin", "No such file"),
    ),
    "preload is a directory": (
        "[memory.rom]\nbase = 0\nsize = '1MiB'\npermissions = 'r'\nfile = '.'\n",
        ("memory.rom.file",),
    ),
    "preload too large": (
        "[memory.rom]\nbase = 0\nsize = '4KiB'\npermissions = 'r'\nfile = 'large.bin'\n",
        ("memory.rom.file", "large.bin"),
    ),
    "no room for the device tree": ("[boot]\ndtb_address = 0x5fff_fff8\n", ("toml:2: boot.dtb_address", "0x5fff_fff8")),
    "device tree outside of memory": ("[boot]\ndtb_address = 0x1000\n", ("boot.dtb_address", "0x1000")),
    "trap that does not exist": ("[el2]\nhcr = ['XYZ']\n", ("el2.hcr", "XYZ")),
    "no such feature": ("[cpu.features]\nFEAT_AESS = false\n", ("cpu.features.FEAT_AESS", "FEAT_AES")),
    "missing initrd": ("[boot]\ninitrd = 'none.gz'\n", ("boot.initrd", "none.gz", "No such file")),
    "no such kind of kernel": ("[boot]\nkernel_type = 'bzImage'\n", ("boot.kernel_type", "bzImage")),
    "initrd without a device tree": ("[boot]\ninitrd = 'large.bin'\ndtb = false\n", ("boot.dtb", "initial RAM disk")),
    "no clock like that": ("[clock]\nsource = 'sun'\n", ("clock.source", "sun")),
    "time without an offset": ("[clock]\nepoch = 2026-01-01T00:00:00\n", ("clock.epoch", "offset")),
    "two interrupt controllers": (
        "[device.g]\ntype = 'gicv3'\nbase = 0x1000_0000\nredistributor_base = 0x1100_0000\n",
        ("device.g", "device.gic"),
    ),
    "physical interrupts with an interrupt controller": (
        "[el2]\npassthrough_interrupt = true\n",
        ("el2.passthrough_interrupt", "device.gic"),
    ),
    "nan": ("[limits]\ntimeout = nan\n", ("limits.timeout",)),
    "inf": ("[limits]\ntimeout = inf\n", ("limits.timeout",)),
    "no memory to write": ("base = 'none'\n", ("memory",)),
}


@pytest.mark.parametrize("name", BAD_TOML)
def test_a_bad_machine_file_is_refused(name: str, tmp_path: Path) -> None:
    text, parts = BAD_TOML[name]
    machine = tmp_path / "bad.toml"
    machine.write_bytes(text.encode("utf-8", "surrogateescape"))
    (tmp_path / "large.bin").write_bytes(bytes(4097))
    assert_refused(armvcpu("run", "-m", machine, sample("hello")), f"{machine}:", *parts)


def test_five_mistakes_in_a_machine_file_are_five_lines(tmp_path: Path) -> None:
    machine = tmp_path / "board.toml"
    machine.write_text(
        "[cpu]\nmodle = 'max'\n[memory.ram]\nsize = 0x1_0001\n\n[device.uart0]\ntype = 'pl01'\n"
        "[boot]\nkernel_type = 'Image'\nentry = 0x4000_0002\n"
    )
    expected = f"""\
armvcpu: error: {machine}:2: cpu.modle: unknown key (did you mean "model"?)
armvcpu: error: {machine}:4: memory.ram.size: expected a multiple of 4 KiB, found 0x1_0001
armvcpu: error: {machine}:7: device.uart0.type: expected "pl011", "pl031", "zero", "ram", \
"virtio-mmio", "gicv3" or "gicv2", found the string "pl01" (did you mean "pl031"?)
armvcpu: error: {machine}:9: boot.kernel_type: expected "auto", "elf", "raw" or "linux", found the string "Image"
armvcpu: error: {machine}:10: boot.entry: expected a multiple of 4 bytes, found 0x4000_0002
"""
    for command in (("run", sample("hello")), ("dtb",), ("probe", "--for", sample("hello"))):
        finished = armvcpu(*command, "-m", machine)
        assert (finished.status, finished.out, finished.err) == (2, b"", expected)


def test_more_than_ten_mistakes_are_ten_lines_and_how_many_more(tmp_path: Path) -> None:
    machine = tmp_path / "board.toml"
    machine.write_text("[cpu]\n" + "".join(f"key{number} = 1\n" for number in range(13)))
    finished = armvcpu("run", "-m", machine, sample("hello"))
    lines = finished.err.splitlines()
    assert finished.status == 2
    assert [f"armvcpu: error: {machine}:{n + 2}: cpu.key{n}:" in lines[n] for n in range(10)] == [True] * 10
    assert lines[10:] == [f"armvcpu: error: {machine}: and 3 more"]


def test_a_machine_file_that_is_missing_or_a_directory_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert_refused(armvcpu("run", "-m", missing, sample("hello")), f"{missing}: cannot be read")
    assert_refused(armvcpu("dtb", "-m", tmp_path), str(tmp_path), "is a directory")


def test_a_guest_that_leaves_no_room_for_the_device_tree_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "all.bin"
    raw.write_bytes(bytes(0x2000))
    machine = tmp_path / "small.toml"
    machine.write_text("[memory.ram]\nsize = '8KiB'\n[boot]\nload_address = 0x4000_0000\n")
    assert_refused(armvcpu("run", "-m", machine, raw), "small.toml:3: boot.dtb_address: ", "no room for", "device tree")


def test_a_raw_binary_outside_of_memory_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "raw.bin"
    raw.write_bytes(bytes(64))
    assert_refused(armvcpu("run", "--load-address", "0", raw), "raw.bin: ", "0x0-0x3f is outside of memory")
    assert_refused(armvcpu("run", "--load-address", "0x5fffffe0", raw), "raw.bin: ", "is outside of memory")
    assert_refused(armvcpu("run", "--load-address", str(1 << 70), raw), "raw.bin: ", "48-bit")


BAD_KERNELS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "big-endian": (image(flags=1), ("offset 0x18", "big-endian")),
    "header cut": (image()[:60], ("truncated header",)),
    "larger than memory": (image(image_size=1 << 30), ("Linux kernel", "is outside of memory: ram 0x40000000")),
    "zboot of a compression that we have not": (zboot(b"x", b"lzo"), ("lzo", "unpack it first")),
    "zboot cut": (zboot(b"x", b"gzip", size=1000), ("truncated",)),
    "gzip cut": (gzip.compress(image())[:-12], ("gzip data", "ends early")),
    "gzip of something else": (gzip.compress(bytes(100)), ("a gzip file",)),
    "for another machine": (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0" + bytes(64), ("EFI program",)),
}


@pytest.mark.parametrize("name", BAD_KERNELS)
def test_a_bad_kernel_is_refused(name: str, tmp_path: Path) -> None:
    data, parts = BAD_KERNELS[name]
    path = tmp_path / "vmlinuz"
    path.write_bytes(data)
    assert_refused(armvcpu("run", path), f"{path}: ", *parts)


def test_a_bad_initrd_is_refused_by_name(tmp_path: Path) -> None:
    kernel, missing, empty, large = (tmp_path / name for name in ("vmlinuz", "none.gz", "empty.gz", "large.gz"))
    kernel.write_bytes(image())
    empty.touch()
    large.write_bytes(bytes(16 << 20))
    assert_refused(armvcpu("run", kernel, "--initrd", missing), f"{missing}: cannot be read: No such file or directory")
    assert_refused(armvcpu("run", kernel, "--initrd", empty), f"{empty}: the file is empty")
    assert_refused(
        armvcpu("run", kernel, "--initrd", large, "--memory", "16M"), f"{large}: ram has no room for 0x1000000"
    )
    assert_refused(armvcpu("run", kernel, "--initrd", tmp_path), "--initrd", "is a directory")
