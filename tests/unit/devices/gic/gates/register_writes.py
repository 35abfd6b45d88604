"""Register writes for the tests of gates: random ones, and the write that a closed gate names."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.devices.gic.gates.gate import Closed, Frame, RegisterAt
from arm_vcpu_cli.devices.gic.v2 import GicV2
from arm_vcpu_cli.devices.gic.v3 import GicV3
from arm_vcpu_cli.devices.gic.v3.gicv3 import REDISTRIBUTOR_SIZE

MOST_GATES: Final = 40
"""More than there can be on the way of one interrupt."""

Step = tuple[Any, ...]


def apply(gic: GicV2 | GicV3, closed: Closed) -> None:
    """Write what opens a gate, as the guest would."""
    assert closed.opener is not None
    store(gic, closed.opener, closed.write)


def store(gic: GicV2 | GicV3, register: RegisterAt, value: int) -> None:
    """Write a register as its PE does."""
    cpu = register.cpu
    if isinstance(gic, GicV2):
        frame = gic.cpu_interface(cpu) if register.frame is Frame.CPU_INTERFACE else gic.distributor(cpu)
        frame.write(register.offset, register.width, value)
    elif register.frame is Frame.SYSTEM:
        assert gic.cpu_interface(cpu).write(lookup(register.name), value)
    elif register.frame is Frame.REDISTRIBUTOR:
        gic.redistributors.write(cpu * REDISTRIBUTOR_SIZE + register.offset, register.width, value)
    else:
        gic.distributor.write(register.offset, register.width, value)


def histories(cpus: int, intids: st.SearchStrategy[int], *steps: st.SearchStrategy[Step]) -> st.SearchStrategy[Any]:
    """Lists of steps that both versions have, and of others."""
    levels = st.sampled_from([0x00, 0x08, 0x40, 0x48, 0x80, 0xA0, 0xF0, 0xF8, 0xFF])
    cpu = st.sampled_from(range(cpus))
    common = st.one_of(
        st.tuples(st.just("line"), intids.filter(lambda intid: intid >= 16), st.booleans(), cpu),
        st.tuples(st.just("pend"), intids, cpu),
        st.tuples(st.just("enable"), intids, st.booleans(), cpu),
        st.tuples(st.just("group"), intids, st.integers(0, 1), cpu),
        st.tuples(st.just("active"), intids, st.booleans(), cpu),
        st.tuples(st.just("priority"), intids, levels, cpu),
        st.tuples(st.just("edge"), intids.filter(lambda intid: intid >= 16), st.booleans(), cpu),
        st.tuples(st.just("control"), st.integers(0, 3)),
        st.tuples(st.just("mask"), levels, cpu),
        st.tuples(st.just("acknowledge"), cpu),
        st.tuples(st.just("end"), intids, cpu),
        st.tuples(st.just("deactivate"), intids, cpu),
        *steps,
    )
    return st.lists(common, max_size=40)
