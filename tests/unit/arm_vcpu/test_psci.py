"""PSCI 1.1 (DEN0022) and the SMCCC's own functions (DEN0028) as plain calls."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.smccc import PsciFunction, PsciStatus, SmcccFunction, from_u64
from arm_vcpu_cli.arm_vcpu.psci import FirmwareCalls
from arm_vcpu_cli.axvcpu.exit import CpuDown, CpuUp, Halt, PowerAction, SystemDown

U64 = st.integers(0, 2**64 - 1)
OWN = 0x0000_0002_0003_0405
GARBAGE = 0xDEAD_BEEF_0000_0000
NOT_SUPPORTED = 2**64 - 1
INVALID_PARAMETERS = 2**64 - 2
NOT_REQUIRED = 2**64 - 2

SUPPORTED = {
    PsciFunction.PSCI_VERSION,
    PsciFunction.CPU_SUSPEND,
    PsciFunction.CPU_SUSPEND_64,
    PsciFunction.CPU_OFF,
    PsciFunction.CPU_ON,
    PsciFunction.CPU_ON_64,
    PsciFunction.AFFINITY_INFO,
    PsciFunction.AFFINITY_INFO_64,
    PsciFunction.MIGRATE_INFO_TYPE,
    PsciFunction.SYSTEM_OFF,
    PsciFunction.SYSTEM_RESET,
    PsciFunction.PSCI_FEATURES,
    PsciFunction.SYSTEM_RESET2,
    PsciFunction.SYSTEM_RESET2_64,
}
MANDATORY = {
    PsciFunction.PSCI_VERSION,
    PsciFunction.CPU_SUSPEND,
    PsciFunction.CPU_SUSPEND_64,
    PsciFunction.CPU_OFF,
    PsciFunction.CPU_ON,
    PsciFunction.CPU_ON_64,
    PsciFunction.AFFINITY_INFO,
    PsciFunction.AFFINITY_INFO_64,
    PsciFunction.SYSTEM_OFF,
    PsciFunction.SYSTEM_RESET,
    PsciFunction.PSCI_FEATURES,
}
"""What PSCI 1.1 demands of every implementation (DEN0022, 5.1.1 and table 5)."""


def call(function: int, x1: int = 0, x2: int = 0, x3: int = 0, *, mpidr: int = OWN) -> object:
    return FirmwareCalls(mpidr).call(function, x1, x2, x3)


def in_psci_range() -> st.SearchStrategy[int]:
    return st.integers(0x8400_0000, 0x8400_001F) | st.integers(0xC400_0000, 0xC400_001F)


@given(function=in_psci_range(), upper=st.integers(0, 2**32 - 1), x1=U64, x2=U64, x3=U64)
def test_any_psci_call_gets_an_answer(function: int, upper: int, x1: int, x2: int, x3: int) -> None:
    result = call(function | upper << 32, x1, x2, x3)
    assert result is not None
    if function not in SUPPORTED:
        assert result == NOT_SUPPORTED
    elif isinstance(result, int):
        assert type(result) is int
        assert 0 <= result < 2**64
        assert from_u64(result) >= PsciStatus.INVALID_ADDRESS
    else:
        assert isinstance(result, (CpuUp, CpuDown, Halt, SystemDown))


@given(function=st.integers(0, 2**32 - 1), x1=U64)
def test_calls_outside_of_the_ranges_are_somebody_elses(function: int, x1: int) -> None:
    psci = function & ~0x4000_001F == 0x8400_0000
    own = function in (0x8000_0000, 0x8000_0001, 0x8000_8000, 0x8000_3FFF)
    assert (call(function, x1) is None) is not (psci or own)


@pytest.mark.parametrize("function", [0x83FF_FFFF, 0x8400_0020, 0xC3FF_FFFF, 0xC400_0020, 0x0400_0000, 0x8600_FF01, 0])
def test_the_neighbours_of_the_psci_ranges_are_not_psci(function: int) -> None:
    assert call(function) is None


def test_versions() -> None:
    assert call(PsciFunction.PSCI_VERSION) == 0x1_0001
    assert call(SmcccFunction.SMCCC_VERSION) == 0x1_0002


# Power ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (PsciFunction.CPU_OFF, CpuDown(0)),
        (PsciFunction.SYSTEM_OFF, SystemDown(PowerAction.OFF)),
        (PsciFunction.SYSTEM_RESET, SystemDown(PowerAction.RESET)),
        (PsciFunction.SYSTEM_RESET2, SystemDown(PowerAction.RESET)),
        (PsciFunction.SYSTEM_RESET2_64, SystemDown(PowerAction.RESET)),
        (PsciFunction.CPU_SUSPEND, Halt()),
        (PsciFunction.CPU_SUSPEND_64, Halt()),
    ],
)
def test_power_calls_leave_to_the_vmm(function: int, expected: object) -> None:
    assert call(function) == expected


def test_cpu_off_ignores_its_registers() -> None:
    assert call(PsciFunction.CPU_OFF, 2**64 - 1, 2**64 - 1, 2**64 - 1) == CpuDown(0)


@pytest.mark.parametrize("kind", [1, 0x8000_0000, 0xFFFF_FFFF])
def test_unknown_kinds_of_reset_are_refused(kind: int) -> None:
    assert call(PsciFunction.SYSTEM_RESET2, kind) == INVALID_PARAMETERS
    assert call(PsciFunction.SYSTEM_RESET2_64, kind) == INVALID_PARAMETERS


@pytest.mark.parametrize("function", [PsciFunction.SYSTEM_RESET2, PsciFunction.SYSTEM_RESET2_64])
def test_a_kind_of_reset_is_a_word_in_both_conventions(function: int) -> None:
    assert call(function, GARBAGE) == SystemDown(PowerAction.RESET)


@given(entry=U64, context=U64)
def test_cpu_on_hands_on_what_the_guest_said(entry: int, context: int) -> None:
    assert call(PsciFunction.CPU_ON_64, 0x5_0001_0203, entry, context) == CpuUp(0x5_0001_0203, entry, context)
    assert call(PsciFunction.CPU_ON, 0x1_0203, entry, context) == CpuUp(0x1_0203, entry % 2**32, context % 2**32)


def test_cpu_on_of_the_caller_itself_is_the_vmms_to_answer() -> None:
    assert call(PsciFunction.CPU_ON_64, OWN, 1, 2) == CpuUp(OWN, 1, 2)


@pytest.mark.parametrize("target", [1 << 24, 1 << 31, 1 << 30, 1 << 40, 2**64 - 1])
def test_a_target_that_is_no_affinity_is_refused(target: int) -> None:
    assert call(PsciFunction.CPU_ON_64, target) == INVALID_PARAMETERS
    assert call(PsciFunction.AFFINITY_INFO_64, target) == INVALID_PARAMETERS


def test_smc32_targets_are_cut_to_a_word() -> None:
    assert call(PsciFunction.CPU_ON, GARBAGE | 3) == CpuUp(3, 0, 0)
    assert call(PsciFunction.AFFINITY_INFO, GARBAGE | 3, GARBAGE, mpidr=3) == 0


# AFFINITY_INFO -------------------------------------------------------------------------------------------------


def test_the_caller_is_on_and_nobody_else_is_there() -> None:
    assert call(PsciFunction.AFFINITY_INFO_64, OWN) == 0
    assert call(PsciFunction.AFFINITY_INFO_64, OWN + 1) == INVALID_PARAMETERS
    assert call(PsciFunction.AFFINITY_INFO, OWN) == INVALID_PARAMETERS, "SMC32 has no Aff3"


@pytest.mark.parametrize("level", [1, 2, 3, 4, 0xFFFF_FFFF])
def test_only_affinity_level_0_is_there(level: int) -> None:
    assert call(PsciFunction.AFFINITY_INFO_64, OWN, level) == INVALID_PARAMETERS


def test_the_level_is_a_word_in_both_conventions() -> None:
    assert call(PsciFunction.AFFINITY_INFO_64, OWN, GARBAGE) == 0
    assert call(PsciFunction.AFFINITY_INFO_64, OWN, GARBAGE | 1) == INVALID_PARAMETERS


@pytest.mark.parametrize(("state", "answer"), [(0, 0), (1, 1), (2, 2), (None, INVALID_PARAMETERS)])
def test_the_vmm_can_tell_the_power_state_of_others(state: int | None, answer: int) -> None:
    asked: list[int] = []

    def power_state(mpidr: int) -> int | None:
        asked.append(mpidr)
        return state

    calls = FirmwareCalls(OWN, power_state)
    assert calls.call(PsciFunction.AFFINITY_INFO_64, 0x103, 0, 0) == answer
    assert asked == [0x103]


# Discovery -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", sorted(PsciFunction), ids=lambda function: PsciFunction(function).name)
def test_features_tells_the_truth_about_every_function(function: PsciFunction) -> None:
    claimed = call(PsciFunction.PSCI_FEATURES, function)
    argument = PsciFunction.PSCI_VERSION if function is PsciFunction.PSCI_FEATURES else OWN
    works = call(function, argument) != NOT_SUPPORTED
    assert claimed == (0 if function in SUPPORTED else NOT_SUPPORTED)
    assert works is (function in SUPPORTED)


def test_nothing_that_is_mandatory_is_missing() -> None:
    assert MANDATORY <= SUPPORTED


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        (SmcccFunction.SMCCC_VERSION, 0),
        (SmcccFunction.SMCCC_ARCH_FEATURES, NOT_SUPPORTED),
        (0x8400_0018, NOT_SUPPORTED),
        (0xC400_0000, NOT_SUPPORTED),
        (0xC400_0008, NOT_SUPPORTED),
        (0xC200_0001, NOT_SUPPORTED),
        (0, NOT_SUPPORTED),
        (GARBAGE | PsciFunction.CPU_ON_64, 0),
    ],
)
def test_features_of_other_functions(function: int, answer: int) -> None:
    assert call(PsciFunction.PSCI_FEATURES, function) == answer


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        (SmcccFunction.SMCCC_VERSION, 0),
        (SmcccFunction.SMCCC_ARCH_FEATURES, 0),
        (SmcccFunction.SMCCC_ARCH_WORKAROUND_1, 1),
        (SmcccFunction.SMCCC_ARCH_WORKAROUND_2, NOT_REQUIRED),
        (SmcccFunction.SMCCC_ARCH_WORKAROUND_3, 1),
        (SmcccFunction.SMCCC_ARCH_SOC_ID, NOT_SUPPORTED),
        (SmcccFunction.SMCCC_ARCH_SOC_ID_64, NOT_SUPPORTED),
        (SmcccFunction.TRNG_VERSION, NOT_SUPPORTED),
        (PsciFunction.PSCI_VERSION, NOT_SUPPORTED),
        (0x8000_0010, NOT_SUPPORTED),
        (GARBAGE | SmcccFunction.SMCCC_VERSION, 0),
    ],
)
def test_arch_features(function: int, answer: int) -> None:
    assert call(SmcccFunction.SMCCC_ARCH_FEATURES, function) == answer


@pytest.mark.parametrize("function", sorted(SmcccFunction), ids=lambda function: SmcccFunction(function).name)
def test_an_arch_function_is_there_exactly_where_arch_features_does_not_say_no(function: SmcccFunction) -> None:
    claimed = from_u64(cast(int, call(SmcccFunction.SMCCC_ARCH_FEATURES, function))) >= 0
    assert claimed is (FirmwareCalls(OWN).find(function) is not None)


@pytest.mark.parametrize("function", [SmcccFunction.SMCCC_ARCH_WORKAROUND_1, SmcccFunction.SMCCC_ARCH_WORKAROUND_3])
def test_a_workaround_that_is_not_required_can_be_called_all_the_same(function: int) -> None:
    assert call(function) == 0


# Exits that are only asked about -------------------------------------------------------------------------------


@given(function=in_psci_range() | st.sampled_from(sorted(SmcccFunction)), x1=U64, x2=U64, x3=U64)
def test_asking_for_the_exit_gives_what_the_call_is(function: int, x1: int, x2: int, x3: int) -> None:
    calls = FirmwareCalls(OWN, entropy=bytes)
    result = calls.call(function, x1, x2, x3)
    expected = None if isinstance(result, (int, tuple)) else result
    assert calls.exit_reason(function, x1, x2, x3) == expected


def test_asking_for_the_exit_uses_up_no_entropy() -> None:
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return bytes(size)

    calls = FirmwareCalls(OWN, entropy=entropy)
    assert calls.exit_reason(GARBAGE | SmcccFunction.TRNG_RND_64, 64, 0, 0) is None
    assert asked == []


def test_no_trusted_os_to_migrate() -> None:
    assert call(PsciFunction.MIGRATE_INFO_TYPE) == 2
    assert call(PsciFunction.MIGRATE) == NOT_SUPPORTED
    assert call(PsciFunction.MIGRATE_INFO_UP_CPU) == NOT_SUPPORTED
