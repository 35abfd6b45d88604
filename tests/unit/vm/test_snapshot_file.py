"""The file of a snapshot: it reads back unchanged, and anything else is refused in one line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.errors import FileError
from arm_vcpu_cli.trace.compression import unframe
from arm_vcpu_cli.vm.snapshot_file import SnapshotFile, SnapshotWriter
from arm_vcpu_cli.vm.snapshot_plain import packed, unpacked

PARTS = {"first": b"abc" * 100, "empty": b"", "second": bytes(5000)}
FACTS = {"tool": "0", "exits": 7}
SAME_FILE = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda below: st.lists(below) | st.dictionaries(st.text().filter(lambda key: key != "$bytes"), below),
    max_leaves=20,
)


def written(*, compress: bool = False) -> bytes:
    file = io.BytesIO()
    writer = SnapshotWriter(file, compress=compress)
    for name, data in PARTS.items():
        writer.add(name, data)
    writer.finish(FACTS)
    return file.getvalue()


def read_all(path: Path) -> dict[str, bytes]:
    with SnapshotFile(path) as file:
        return {part.name: file.read(part, 1 << 20) for part in file.parts}


@pytest.mark.parametrize("compress", [False, True])
def test_what_is_written_is_read(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "it.snap"
    path.write_bytes(written(compress=compress))
    assert read_all(path) == PARTS
    with SnapshotFile(path) as file:
        assert (file.facts.text("tool"), file.facts.number("exits", 9)) == ("0", 7)
        views = bytearray(300)
        file.read_into(file.named("first")[0], [memoryview(views)[:10], memoryview(views)[10:]])
        assert views == PARTS["first"]
        for part in file.parts:
            file.check(part)


def test_the_same_state_is_the_same_file() -> None:
    assert written() == written()


@SAME_FILE
@given(st.data(), st.booleans())
def test_a_changed_byte_is_noticed(tmp_path: Path, data: st.DataObject, compress: bool) -> None:
    whole = bytearray(written(compress=compress))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "it.snap"
    path.write_bytes(whole)
    with pytest.raises(FileError) as found:
        read_all(path)
    assert "\n" not in str(found.value)


@SAME_FILE
@given(st.data())
def test_a_file_that_is_cut_or_longer_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    whole = written()
    path = tmp_path / "it.snap"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))] + data.draw(st.just(b"") | st.binary()))
    if path.read_bytes() != whole:
        with pytest.raises(FileError):
            read_all(path)


@SAME_FILE
@given(st.binary(max_size=200))
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "it.snap"
    path.write_bytes(data)
    with pytest.raises(FileError, match=r"no snapshot|cut off|format|damaged|size"):
        read_all(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path, Path("/dev/null")):
        with pytest.raises(FileError, match=r"cannot be read|expected a regular file"):
            SnapshotFile(path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    whole = bytearray(written())
    whole[16] += 1
    path = tmp_path / "it.snap"
    path.write_bytes(whole)
    with pytest.raises(FileError, match=r"format 2\.0, expected 1\.0"):
        SnapshotFile(path)


def test_a_part_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "it.snap"
    path.write_bytes(written(compress=True))
    with SnapshotFile(path) as file, pytest.raises(FileError, match="more than 4999"):
        file.read(file.named("second")[0], 4999)


@pytest.mark.parametrize("size", [0, 99, 101])
def test_a_frame_has_the_size_that_it_must_have(size: int) -> None:
    """A frame that unpacks to far more than it must is given up before it takes any memory."""
    frame = zstandard.ZstdCompressor().compress(bytes(100))
    with pytest.raises(ValueError, match="different size"):
        unframe(frame, size)
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 24))
    with pytest.raises(ValueError, match=r"different size|not compressed"):
        unframe(bomb, size or 1)


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not compressed with Zstandard|different size"):
        unframe(b"garbage", 7)


@given(PLAIN)
def test_plain_data_are_the_same_again(data: Any) -> None:
    assert unpacked(packed(data)) == data


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[" * 5000, b"NaN", b'{"$bytes": 3}', b'{"$bytes": "?"}', b"\xff", b"1" * 5000, b"[]," * (1 << 20)],
)
def test_what_is_no_plain_data_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        unpacked(text)
