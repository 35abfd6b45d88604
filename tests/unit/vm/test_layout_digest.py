"""A snapshot records the build of the engine that took it."""

from __future__ import annotations

from typing import Any

from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.vm.snapshot_saving import layout_digest
from tests.support.fake_core import LAYOUT


def changed(**fields: int) -> StateLayout:
    values: dict[str, Any] = {name: getattr(LAYOUT, name) for name in LAYOUT.__match_args__}
    return StateLayout(**{**values, **fields})


def test_it_tells_apart_what_lies_elsewhere() -> None:
    assert layout_digest(changed(v0=LAYOUT.v0 + 16)) != layout_digest(LAYOUT)
    assert layout_digest(changed(os_lock=8)) != layout_digest(LAYOUT)


def test_snapshots_from_before_predicates_were_found_stay_valid() -> None:
    assert layout_digest(changed(p0=1024)) == layout_digest(LAYOUT)
