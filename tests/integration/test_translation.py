"""Walks of a guest's tables, against what the core itself translates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.inspect.tables.both_stages import translate
from arm_vcpu_cli.inspect.tables.mapping import stage1_sections
from arm_vcpu_cli.vm.machine import Machine as Parts
from tests.integration.command import sample

RAM = 0x4000_0000


@contextmanager
def ended(name: str) -> Iterator[Parts]:
    """A sample after its end."""
    description = load_machine(None)
    image = load_guest(sample(name), ram_base=RAM)
    with Machine.open(image, description) as machine:
        machine.run(timeout=30.0)
        yield machine.parts


@pytest.mark.parametrize("name", ["paging", "hello"])
def test_a_walk_ends_where_the_core_reads(name: str) -> None:
    with ended(name) as machine:
        core = machine.host.core(0)
        checked = 0
        for va in (*range(RAM, RAM + 0x10_0000, 0x1000), *range(0x10_0000_0000, 0x10_0020_0000, 0x1_0000), 0, 1 << 40):
            for address in (va, va + 0xABC):
                found = translate(machine, address, access=Access.READ)
                assert found.paddr == core.translate(address), hex(address)
                checked += found.paddr is not None
    assert checked > 400


def test_every_region_of_the_map_is_what_a_walk_finds() -> None:
    with ended("paging") as machine:
        regions = [region for section in stage1_sections(machine) for region in section.regions]
        for region in regions:
            for address in (region.start, region.start + region.size - 1):
                found = translate(machine, address)
                assert found.stage1 is not None
                assert found.stage1.output == region.output + address - region.start
                if found.paddr is not None:
                    assert (found.el0, found.el1) == (region.el0, region.el1)
    assert len(regions) > 5
