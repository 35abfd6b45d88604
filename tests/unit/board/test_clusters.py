"""The number of CPUs that share a cluster."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.board.description import CpuDescription


@pytest.mark.parametrize(("clusters", "sizes"), [((), [4, 4, 4, 4]), ((1, 3), [1, 3, 3, 3]), ((2, 2), [2, 2, 2, 2])])
def test_the_size_of_the_cluster_of_each(clusters: tuple[int, ...], sizes: list[int]) -> None:
    cpu = CpuDescription(model="cortex-a53", affinities=(0, 1, 2, 3), clusters=clusters)
    assert [cpu.cluster_of(index) for index in range(4)] == sizes
