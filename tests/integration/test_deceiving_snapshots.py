"""Malicious snapshots: all digests are correct, but the contents of the parts are not."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from arm_vcpu_cli import Machine
from arm_vcpu_cli.errors import ArmVcpuError
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.vm.guest_run import GuestRun
from arm_vcpu_cli.vm.snapshot_file import SnapshotFile, SnapshotWriter
from arm_vcpu_cli.vm.snapshot_plain import packed, unpacked
from tests.integration.command import sample

MOST: Final = 1 << 26
ROUNDS: Final = 60
VALUES: Final[tuple[Any, ...]] = (
    *(None, True, -1, 0, 1 << 64, 3.5, "", "x", "\0", "/etc/passwd", b"", b"\xff" * 9),
    *([], [1], [[]], [[1, 2, 3]], {}, {"version": 1}),
)


def places(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    keys: Any = data if isinstance(data, dict) else range(min(len(data), 40)) if isinstance(data, list) else ()
    for key in keys:
        yield from places(data[key], (*place, key))


def changed(data: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = data.copy()
    copy[place[0]] = changed(data[place[0]], place[1:], value)
    return copy


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("snapshots") / "taken.snap"
    with Machine.open(sample("ticks"), cpus=2) as machine:
        machine.expect("tick 1")
        machine.snapshot(path)
    return path


@pytest.mark.parametrize("name", ["machine", "state", "pages"])
def test_it_is_refused_in_one_line(taken: Path, tmp_path: Path, name: str) -> None:
    with SnapshotFile(taken) as file:
        parts = {part.name: file.read(part, MOST) for part in file.parts}
        facts = {key: file.facts.value(key) for key in file.facts.names()}
    assert len(parts) == 5
    whole, chance, path = unpacked(parts[name]), random.Random(name), tmp_path / "it.snap"
    for _ in range(ROUNDS):
        place, value = chance.choice(list(places(whole))), chance.choice(VALUES)
        out = io.BytesIO()
        writer = SnapshotWriter(out, compress=False)
        for each, data in parts.items():
            writer.add(each, packed(changed(whole, place, value)) if each == name else data)
        writer.finish(facts)
        path.write_bytes(out.getvalue())
        try:
            with Machine.open(from_snapshot=path) as machine:
                machine.start()
                machine.hand_over(GuestRun(machine.parts, Watchdog(machine.parts.request_stop)))
        except ArmVcpuError as error:
            assert error.exit_status == 2, (place, value)
            assert "\n" not in str(error), (place, value)
