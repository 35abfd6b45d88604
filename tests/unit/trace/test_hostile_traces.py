"""Small traces that would cause much work: none of it is done."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import zstandard

from arm_vcpu_cli.trace.reader import ALWAYS_UNPACKED, MAX_EXPANSION, TraceFileError, TraceReader
from tests.support import means

from .jsonlines import HEADER, event, line, write

Pack = Callable[[bytes], bytes]
PACKERS: Final = (gzip.compress, zstandard.ZstdCompressor().compress)
COMMANDS: Final = (("stat", "-i"), ("report", "--html", "-"), ("diff",))


def read(path: Path) -> int:
    """The number of the events."""
    with TraceReader(path) as reader:
        return sum(1 for _ in reader.lines())


@pytest.mark.parametrize("command", COMMANDS, ids=[command[0] for command in COMMANDS])
@pytest.mark.parametrize("pack", PACKERS, ids=["gzip", "zstd"])
def test_packed_empty_lines_are_refused_at_the_first(tmp_path: Path, pack: Pack, command: tuple[str, ...]) -> None:
    path = tmp_path / "t.packed"
    path.write_bytes(pack(line(HEADER).encode() + bytes(64 << 20).replace(b"\0", b"\n")))
    ended = means.armvcpu(*command, *([path] if command[0] == "diff" else []), path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"armvcpu: error: {path}: line 2: an empty line, expected one event per line\n"


def test_an_empty_line_is_damage_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(line(HEADER) + line(write("A")) + "\n" + line(write("B")))
    with pytest.raises(TraceFileError, match="line 3: an empty line, expected one event per line"):
        read(path)
    path.write_text("\n" + line(HEADER))
    with pytest.raises(TraceFileError, match="line 1: an empty line"):
        read(path)


def test_packed_lines_that_are_all_alike_have_a_limit(tmp_path: Path) -> None:
    """Four bytes of Zstandard stand for 128 KiB."""
    path = tmp_path / "t.zst"
    lines = line(HEADER).encode() + line(event("x")).encode() * (4 << 20)
    path.write_bytes(zstandard.ZstdCompressor(19).compress(lines))
    assert len(lines) > 1000 * path.stat().st_size
    ended = means.armvcpu("stat", "-i", path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"{path}: unpacks to more than 16 MiB and 256 times its size, expected a trace" in ended.stderr


def test_a_trace_that_packs_as_well_as_a_loop_does_is_read_to_its_end(tmp_path: Path) -> None:
    events = "".join(line(write("A", n, n * 1000)) for n in range(80_000)).encode()
    path = tmp_path / "t.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(line(HEADER).encode() + events))
    assert len(events) > ALWAYS_UNPACKED
    assert len(events) > 50 * path.stat().st_size
    assert MAX_EXPANSION > 100
    assert read(path) == 80_000
