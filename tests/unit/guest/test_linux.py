"""arm64 Linux kernels: recognised, unpacked, and placed as Documentation/arch/arm64/booting.rst requires."""

from __future__ import annotations

import gzip
import lzma
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest import linux
from arm_vcpu_cli.guest.decompression import MAX_UNPACKED
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.guest.linux import is_linux, load_linux, missing_consoles
from arm_vcpu_cli.guest.loader import load_guest

from .linux_writer import CODE, LE_4K_ANYWHERE, image, zboot

RAM = 0x4000_0000
MIB = 1 << 20
PATH = Path("vmlinuz")
PACKED = zboot(gzip.compress(image(), mtime=0), b"gzip")


def load(data: bytes, *, ram_base: int = RAM, base: int | None = None) -> GuestImage:
    return load_linux(PATH, data, ram_base=ram_base, base=base)


def refusal(data: bytes) -> GuestFileError:
    with pytest.raises(GuestFileError) as caught:
        load(data)
    message = str(caught.value)
    assert message.startswith("vmlinuz: ")
    assert "\n" not in message
    assert len(message) < 300
    return caught.value


def unpacked_form(data: bytes) -> bytes:
    return data


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "Image": unpacked_form,
    "Image.gz": gzip.compress,
    "zboot gzip": lambda data: zboot(gzip.compress(data, mtime=0), b"gzip"),
    "zboot xz": lambda data: zboot(lzma.compress(data) + len(data).to_bytes(4, "little"), b"xzkern"),
    "zboot lzma": lambda data: zboot(lzma.compress(data, lzma.FORMAT_ALONE), b"lzma"),
    "zboot zstd": lambda data: zboot(
        zstandard.ZstdCompressor().compress(data) + len(data).to_bytes(4, "little"), b"zstd22"
    ),
    "zboot with a signature behind it": lambda data: zboot(gzip.compress(data, mtime=0), b"gzip") + b"\x5a" * 100,
    "zboot of odd payload offset": lambda data: zboot(gzip.compress(data, mtime=0), b"gzip", offset=0x4321),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_kernel_is_recognised_and_loads_alike(form: str, tmp_path: Path) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(FORMS[form](image()))
    loaded = load_guest(path, ram_base=RAM)
    (segment,) = loaded.segments
    assert (loaded.kind, loaded.entry, loaded.path) == ("linux", RAM, path)
    assert (segment.address, segment.data, segment.memory_size) == (RAM, image(), MIB)
    assert segment.readable and segment.writable and segment.executable
    assert len(loaded.symbols) == 0


def test_a_kernel_need_not_look_like_an_efi_program() -> None:
    assert load(image(code=b"\x00\x00\x00\x14" + bytes(4))).kind == "linux"


def test_the_kernel_goes_text_offset_above_the_base_of_ram() -> None:
    loaded = load(image(text_offset=0x8_0000))
    assert (loaded.entry, loaded.segments[0].address) == (RAM + 0x8_0000, RAM + 0x8_0000)


@pytest.mark.parametrize(
    ("ram_base", "base"), [(0, 0), (1, 2 * MIB), (RAM + 0x1000, RAM + 2 * MIB), (RAM + 2 * MIB, RAM + 2 * MIB)]
)
def test_the_base_is_the_first_2_mib_of_ram_where_ram_begins_elsewhere(ram_base: int, base: int) -> None:
    assert load(image(text_offset=0x1000), ram_base=ram_base).entry == base + 0x1000


def test_a_base_may_be_asked_for_and_must_be_2_mib_aligned() -> None:
    assert load(image(text_offset=0x8_0000), base=0x6020_0000).entry == 0x6028_0000
    for base in (0x6020_1000, 0x6010_0000):
        with pytest.raises(GuestFileError, match=rf"load address {base:#x} is not a multiple of 2 MiB"):
            load(image(), base=base)


def test_the_kernel_gets_the_memory_that_its_header_asks_for() -> None:
    assert load(image(image_size=0x1AB_0000)).segments[0].memory_size == 0x1AB_0000


def test_a_file_longer_than_image_size_is_loaded_whole() -> None:
    assert load(image(image_size=64)).segments[0].memory_size == 64 + len(CODE)


def test_a_kernel_from_before_3_17_goes_to_512_kib_and_has_room_behind_it() -> None:
    # image_size is zero and text_offset of unknown endianness; flags do not exist yet.
    data = image(text_offset=0x0000_0800_0000_0000, image_size=0, flags=0)
    loaded = load(data)
    assert loaded.entry == RAM + 0x8_0000
    assert loaded.segments[0].memory_size >= len(data) + 4 * MIB


@pytest.mark.parametrize("pages", [0, 1, 2, 3])
def test_the_page_size_is_left_to_the_kernel(pages: int) -> None:
    assert load(image(flags=pages << 1)).kind == "linux"
    assert load(image(flags=pages << 1 | 1 << 3)).kind == "linux"


@pytest.mark.parametrize(
    ("data", "part", "offset"),
    [
        (image(flags=LE_4K_ANYWHERE | 1), "big-endian", 24),
        (image(text_offset=2), "text_offset 0x2", 8),
        (image(text_offset=1 << 60), "48-bit", 8),
        (image(image_size=1 << 63), "48-bit", 16),
        (image()[:60], "truncated header of an arm64 Image: expected 64 bytes, found 60", 0),
        (image(magic=b"ARM\x65"), "expected the bytes 41 52 4d 64, found 41 52 4d 65", 56),
        (b"\x7fELF", "found 4 bytes in all", 56),
        (b"", "empty", None),
        (gzip.compress(b"\x7fELF" + bytes(100), mtime=0), "what the gzip data holds is not an arm64 Linux kernel", 0),
        (gzip.compress(image(), mtime=0)[:-12], "ends early", 0),
        (gzip.compress(image(), mtime=0)[:12], "ends early", 0),
        (b"\x1f\x8b" + bytes(30), "gzip data", 0),
        (zboot(b"x", b"lzo"), "'lzo', expected one of gzip, xz, xzkern, lzma, zstd, zstd22", 24),
        (zboot(b"x", b"zstd22"), "the zstd data of the kernel: ", 0x200),
        (zboot(b"x", b"lz4"), "'lz4'", 24),
        (zboot(b"x", b"\x1b[2J\n" + b"\xff" * 20), "\\x1b[2J\\n", 24),
        (zboot(b"x", b"gzip", size=100), "truncated: the compressed kernel is 0x64 bytes at offset 0x200", 8),
        (PACKED[:0x180], "truncated", 8),
        (zboot(b"", b"gzip", offset=64, size=0)[:40], "truncated EFI zboot header", 0),
        (zboot(b"nonsense", b"gzip"), "gzip data", 0x200),
        (zboot(b"nonsense", b"xz"), "xz data", 0x200),
        (zboot(b"nonsense", b"lzma"), "lzma data", 0x200),
        (zboot(gzip.compress(b"x" * 100, mtime=0), b"gzip"), "not an arm64 Linux kernel", 0x200),
    ],
)  # fmt: skip
def test_a_bad_kernel_is_refused_with_the_place_and_what_was_found(data: bytes, part: str, offset: int | None) -> None:
    error = refusal(data)
    assert part in error.message
    assert error.offset == offset


def test_a_zboot_payload_inside_the_header_is_refused() -> None:
    data = bytearray(PACKED)
    data[8:12] = (16).to_bytes(4, "little")
    assert "at offset 0x10" in refusal(bytes(data)).message


def test_what_is_unpacked_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a few kilobytes that stands for gigabytes costs no more than a real kernel could."""
    assert MAX_UNPACKED <= 256 * MIB
    monkeypatch.setattr(linux, "MAX_UNPACKED", 4 * MIB)
    body = bytes(64 * MIB)
    for bomb in (gzip.compress(image(body=body), mtime=0), zboot(lzma.compress(image(body=body), preset=0), b"xz")):
        assert len(bomb) < 100_000
        tracemalloc.start()
        try:
            assert "more than 4 MiB when unpacked" in refusal(bomb).message
            assert tracemalloc.get_traced_memory()[1] < 20 * MIB
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_all_members_of_a_gzip_file_are_the_kernel(size: int) -> None:
    """RFC 1952, 2.2."""
    whole = image(body=bytes(range(256)) * 40)
    packed = b"".join(gzip.compress(whole[start : start + size]) for start in range(0, len(whole), size))
    assert load_linux(PATH, packed + b"behind", ram_base=RAM).segments[0].data == whole


def test_very_many_members_are_refused_in_time_that_their_number_bounds() -> None:
    """What is behind a member was copied for each: a file of 10 MB took hours to be recognised."""
    packed = gzip.compress(b"") * (1 << 19)
    assert not is_linux(packed)
    with pytest.raises(GuestFileError, match="more than 16384 members"):
        load_linux(PATH, packed, ram_base=RAM)


def test_a_gzip_file_is_judged_by_its_first_bytes() -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = compressor.compress(bytes(64 * MIB)) + compressor.flush()
    tracemalloc.start()
    try:
        assert not is_linux(bomb)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b", b"MZ", b"MZ\0\0zim", bytes(64), b"\x1f\x8b" + b"\xff" * 60])
def test_what_is_no_kernel_is_not_taken_for_one(data: bytes) -> None:
    assert not is_linux(data)


@pytest.mark.parametrize("whole", [image(), PACKED, gzip.compress(image(), mtime=0)], ids=["Image", "zboot", "gzip"])
def test_a_kernel_cut_anywhere_loads_or_is_refused(whole: bytes) -> None:
    for length in range(len(whole)):
        try:
            load(whole[:length])
        except GuestFileError:
            continue
        assert length >= 64


@given(st.sampled_from([image(), PACKED]), st.lists(st.tuples(st.integers(0, 79), st.integers(0, 7)), max_size=12))
def test_a_kernel_with_flipped_bits_loads_inside_the_address_space_or_is_refused(
    whole: bytes, flips: list[tuple[int, int]]
) -> None:
    data = bytearray(whole)
    for byte, bit in flips:
        data[byte] ^= 1 << bit
    try:
        loaded = load(bytes(data))
    except GuestFileError as error:
        assert "\n" not in str(error)
        return
    (segment,) = loaded.segments
    assert segment.address == loaded.entry
    assert segment.address >= RAM and segment.end <= 1 << 48
    assert loaded.entry % 4 == 0
    assert segment.memory_size >= len(segment.data)


@given(st.binary(max_size=100), st.sampled_from([b"", image()[:64], PACKED[:64], b"\x1f\x8b\x08\0"]))
def test_any_bytes_load_or_are_refused(data: bytes, prefix: bytes) -> None:
    try:
        load(prefix + data)
    except GuestFileError as error:
        assert "\n" not in str(error)


def with_sections(*ends: tuple[int, int]) -> bytes:
    """A kernel with a PE header whose sections have these sizes and starts."""
    kernel = bytearray(image().ljust(0x400, b"\0"))
    kernel[0x3C:0x40] = struct.pack("<I", 0x40)
    header = struct.pack("<4sHH12xHH", b"PE\0\0", 0xAA64, len(ends), 0, 0)
    sections = b"".join(struct.pack("<16xII16x", size, start) for size, start in ends)
    kernel[0x40 : 0x40 + len(header) + len(sections)] = header + sections
    return bytes(kernel)


@pytest.mark.parametrize(
    ("data", "warnings"),
    [
        (with_sections((0x200, 0x100), (0x100, 0x300)), ()),
        (with_sections((0x200, 0x100), (0x101, 0x300)), ("cut short: its sections end at 0x401, the file at 0x400",)),
        (with_sections(), ()),
        (with_sections((0x1000, 0))[:0x48], ()),
        (image(), ()),
    ],
)
def test_a_kernel_that_ends_before_its_sections_is_warned_of(data: bytes, warnings: tuple[str, ...]) -> None:
    assert load_linux(Path("Image"), data, ram_base=0x4000_0000).warnings == warnings


@given(st.binary(max_size=200))
def test_any_pe_header_is_no_trouble(rest: bytes) -> None:
    kernel = bytearray(image().ljust(0x40, b"\0"))
    kernel[0x3C:0x40] = struct.pack("<I", 0x40)
    load_linux(Path("Image"), bytes(kernel) + b"PE\0\0" + rest, ram_base=0x4000_0000)


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ("", []),
        ("console=ttyS0", ["ttyS0"]),
        ("console=ttyS0 console=ttyAMA0,115200", []),
        ("console=tty0 quiet console=hvc0", ["tty0", "hvc0"]),
        ("earlycon=pl011 console=pl11,0x9000000", []),
    ],
)
def test_consoles_that_a_machine_with_a_pl011_lacks(arguments: str, missing: list[str]) -> None:
    assert missing_consoles(arguments) == missing
