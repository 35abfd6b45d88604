"""Machine descriptions that request more than a machine can have: refused at once, with the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.command import Finished, assert_refused, sample
from tests.support import means


def run(path: Path, text: str) -> Finished:
    path.write_text(text)
    ended = means.armvcpu("run", "-m", path, sample("hello"), seconds=8)
    return Finished(ended.returncode, ended.stdout.encode(), ended.stderr)


def tables(kind: str, count: int, body: str, start: int = 0x8000_0000) -> str:
    return "\n".join(f"[{kind}.n{n}]\nbase = {start + n * 0x200_1000}\nsize = 4096\n{body}" for n in range(count))


@pytest.mark.parametrize(
    ("kind", "body"), [("memory", ""), ("device", 'type = "zero"'), ("device", 'type = "zero"\npassthrough = true')]
)
def test_very_many_regions_are_refused(tmp_path: Path, kind: str, body: str) -> None:
    path = tmp_path / "m.toml"
    found = run(path, tables(kind, 4000, body))
    assert_refused(found, f"{path}:1: {kind}: expected at most 256 tables in it, found 400")


def test_a_board_of_many_parts_is_built(tmp_path: Path) -> None:
    devices = tables("device", 200, 'type = "zero"\npassthrough = true', 0x10_0000_0000)
    text = f"{tables('memory', 200, '')}\n{devices}"
    assert run(tmp_path / "m.toml", text).status == 0


def test_what_is_passed_through_in_pages_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    found = run(path, '[device.d]\ntype = "zero"\npassthrough = true\nbase = 0x80001000\nsize = "1TiB"\n')
    assert_refused(found, f"{path}:5: device.d.size: expected a size from 4 bytes to 16 MiB")


def test_memory_that_the_host_does_not_have_is_the_fault_of_its_region(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    found = run(path, '[memory.big]\nbase = 0x100000000\nsize = "1TiB"\n')
    assert_refused(found, f"{path}:1: memory.big: the host refuses 1 TiB of memory")
