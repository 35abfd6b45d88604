"""The byte order of a guest's data, by its Exception level."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.el1regs import Sctlr
from arm_vcpu_cli.arm_vcpu.byte_order import data_order
from tests.support.stopped_cpu import StoppedCpu

EVERYTHING = (1 << 64) - 1


@pytest.mark.parametrize(("mode", "field"), [(0, "E0E"), (4, "EE"), (5, "EE")])
def test_each_exception_level_has_its_own_byte_order(mode: int, field: str) -> None:
    alone = int(Sctlr.of(**{field: 1}))
    assert data_order(StoppedCpu(mode, alone)) == "big"
    assert data_order(StoppedCpu(mode, EVERYTHING & ~alone)) == "little"
