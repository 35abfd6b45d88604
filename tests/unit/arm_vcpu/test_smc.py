"""The secure monitor: a table of answers behind ``smc_call``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.smc import SecureMonitor, smc_call
from arm_vcpu_cli.axvcpu.exit import CpuDown, Hypercall, SystemDown
from tests.support.arm_vcpu_bench import ENTRY, VTCR, bench
from tests.support.fake_core import hvc, smc

U64 = st.integers(0, 2**64 - 1)
NOT_SUPPORTED = 2**64 - 1


@given(x0=U64, x1=U64, x2=U64, x3=U64)
def test_an_empty_monitor_supports_nothing_and_keeps_the_arguments(x0: int, x1: int, x2: int, x3: int) -> None:
    assert smc_call(SecureMonitor({}), x0, x1, x2, x3) == (NOT_SUPPORTED, x1, x2, x3)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ((7,), (7, 11, 12, 13)),
        ((7, 8), (7, 8, 12, 13)),
        ((7, 8, 9), (7, 8, 9, 13)),
        ((7, 8, 9, 10), (7, 8, 9, 10)),
        ((-1, -(2**63)), (NOT_SUPPORTED, 1 << 63, 12, 13)),
    ],
)
def test_results_of_the_table(results: tuple[int, ...], expected: tuple[int, ...]) -> None:
    monitor = SecureMonitor({0xC200_0001: results})
    assert monitor.call(0xC200_0001, 11, 12, 13) == expected


def test_the_function_is_the_low_word() -> None:
    monitor = SecureMonitor({0xC200_0001: (5,)})
    assert smc_call(monitor, 0xFFFF_FFFF_C200_0001)[0] == 5
    assert smc_call(monitor, 0x8200_0001)[0] == NOT_SUPPORTED


@pytest.mark.parametrize("results", [(), (1, 2, 3, 4, 5)])
def test_a_table_with_too_few_or_too_many_results_is_refused(results: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected 1 to 4"):
        SecureMonitor({1: results})


# From the guest ------------------------------------------------------------------------------------------------


def test_a_guest_reaches_the_monitor_by_smc_and_goes_on_behind_the_instruction() -> None:
    setup = Aarch64VCpuSetupConfig(vtcr=VTCR, smc_table={0xC200_0001: (1, 2)})
    box = bench([smc(0xC200_0001, 10, 20, 30)], setup=setup)
    box.vcpu.run()
    assert [box.core.gpr(n) for n in range(4)] == [1, 2, 20, 30]
    assert box.core.resumed_at == [ENTRY + 4]


def test_an_hvc_does_not_reach_the_monitor() -> None:
    setup = Aarch64VCpuSetupConfig(vtcr=VTCR, smc_table={0xC200_0001: (1, 2)})
    box = bench([hvc(0xC200_0001)], setup=setup)
    assert box.vcpu.run() == Hypercall(0xC200_0001, (0,) * 6)


def test_psci_by_smc_does_not_reach_the_monitor() -> None:
    setup = Aarch64VCpuSetupConfig(vtcr=VTCR, smc_table={0x8400_0000: (0x99,), 0x8400_0002: (0x99,)})
    box = bench([smc(0x8400_0000), smc(0x8400_0002)], setup=setup)
    assert box.vcpu.run() == CpuDown(0)
    assert box.core.resumed_at[0] == ENTRY + 4


@pytest.mark.parametrize(("call", "step"), [(hvc, 4), (smc, 0)])
def test_hvc_is_past_the_instruction_already_and_smc_is_stepped_over_after_the_vmm_is_done(
    call: object, step: int
) -> None:
    box = bench([call(0x8400_0008)])  # type: ignore[operator]
    assert box.vcpu.run() == SystemDown()
    assert box.vcpu.ctx.elr == ENTRY + step, "an SMC is not stepped over before the call has succeeded"
    box.vcpu.run()
    assert box.core.started_at[1] == ENTRY + 4
