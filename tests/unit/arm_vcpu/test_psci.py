"""PSCI 1.1 (DEN0022) and the SMCCC's own functions (DEN0028) as plain calls."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.smccc import PsciFunction, PsciStatus, SmcccFunction, from_u64
from arm_vcpu_cli.arm_vcpu.psci import FirmwareCalls, OneCpu, PowerStates
from arm_vcpu_cli.axvcpu.exit import CpuDown, CpuUp, Halt, PowerAction, SystemDown

U64 = st.integers(0, 2**64 - 1)
OWN = 0x0000_0002_0003_0405
GARBAGE = 0xDEAD_BEEF_0000_0000
NOT_SUPPORTED = 2**64 - 1
INVALID_PARAMETERS = 2**64 - 2
INVALID_ADDRESS = 2**64 - 9
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


SUSPENDS = {PsciFunction.SYSTEM_SUSPEND, PsciFunction.SYSTEM_SUSPEND_64}
"""What is supported only for a VMM that can suspend a machine."""


class Others:
    """A machine around the caller that answers as it is told, and keeps what it was asked."""

    def __init__(
        self, *, state: int = 0, entry: PsciStatus = PsciStatus.SUCCESS, system: PsciStatus | None = None
    ) -> None:
        self.state = state
        self.entry = entry
        self.system = entry if system is None else system
        self.asked: list[tuple[int, ...]] = []

    def affinity_info(self, target: int, level: int) -> int:
        self.asked.append((target, level))
        return self.state

    def may_power_down(self, entry: int) -> PsciStatus:
        self.asked.append((entry,))
        return self.entry

    def may_system_suspend(self, caller: int, entry: int) -> PsciStatus:
        self.asked.append((caller, entry))
        return self.system


def call(function: int, x1: int = 0, x2: int = 0, x3: int = 0, *, mpidr: int = OWN) -> object:
    return FirmwareCalls(mpidr).call(function, x1, x2, x3)


def suspending(power: PowerStates | None = None) -> FirmwareCalls:
    """The calls of a machine that can be suspended as a whole."""
    return FirmwareCalls(OWN, power, system_suspend=True)


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
        assert not isinstance(result, SystemDown) or result.action is not PowerAction.SUSPEND


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


@pytest.mark.parametrize("level", [4, 5, 8, 0xFFFF_FFFF])
def test_there_are_four_affinity_levels(level: int) -> None:
    assert call(PsciFunction.AFFINITY_INFO_64, OWN, level) == INVALID_PARAMETERS


@pytest.mark.parametrize(
    ("level", "same", "other"),
    [
        (1, OWN ^ 0xFF, OWN ^ 0x100),
        (2, OWN ^ 0xFFFF, OWN ^ 0x1_0000),
        (3, OWN ^ 0xFF_FFFF, OWN ^ 0x1_0000_0000),
    ],
)
def test_the_callers_groups_are_on_and_fields_below_the_level_are_ignored(level: int, same: int, other: int) -> None:
    assert call(PsciFunction.AFFINITY_INFO_64, OWN, level) == 0
    assert call(PsciFunction.AFFINITY_INFO_64, same, level) == 0
    assert call(PsciFunction.AFFINITY_INFO_64, same, level - 1) == INVALID_PARAMETERS
    assert call(PsciFunction.AFFINITY_INFO_64, other, level) == INVALID_PARAMETERS


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_what_is_no_affinity_is_refused_at_every_level(level: int) -> None:
    assert call(PsciFunction.AFFINITY_INFO_64, OWN | 1 << 31, level) == INVALID_PARAMETERS
    assert call(PsciFunction.AFFINITY_INFO_64, OWN | 1 << 40, level) == INVALID_PARAMETERS


def test_the_level_is_a_word_in_both_conventions() -> None:
    assert call(PsciFunction.AFFINITY_INFO_64, OWN, GARBAGE) == 0
    assert call(PsciFunction.AFFINITY_INFO_64, OWN, GARBAGE | 4) == INVALID_PARAMETERS


@pytest.mark.parametrize(("state", "answer"), [(0, 0), (1, 1), (2, 2), (-2, INVALID_PARAMETERS)])
def test_the_vmm_can_tell_the_power_state_of_others(state: int, answer: int) -> None:
    others = Others(state=state)
    calls = FirmwareCalls(OWN, others)
    assert calls.call(PsciFunction.AFFINITY_INFO_64, 0x103, GARBAGE | 2, 0) == answer
    assert calls.call(PsciFunction.AFFINITY_INFO, GARBAGE | 3, GARBAGE, 0) == answer
    assert others.asked == [(0x103, 2), (3, 0)]
    assert calls.exit_reason(PsciFunction.AFFINITY_INFO_64, 0x103, 0, 0) is None
    assert len(others.asked) == 2, "what is answered is not carried out to describe it"


# CPU_SUSPEND ---------------------------------------------------------------------------------------------------

STANDBY, POWER_DOWN = 0, 1 << 16
CPU_SUSPEND = (PsciFunction.CPU_SUSPEND, PsciFunction.CPU_SUSPEND_64)


@pytest.mark.parametrize("function", CPU_SUSPEND)
@pytest.mark.parametrize("bit", [*range(17, 24), *range(26, 32)])
@pytest.mark.parametrize("state", [STANDBY, POWER_DOWN])
def test_reserved_bits_of_a_power_state_are_refused(function: int, bit: int, state: int) -> None:
    assert call(function, state | 1 << bit, 0x8000) == INVALID_PARAMETERS


@pytest.mark.parametrize("function", CPU_SUSPEND)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_only_cpus_have_power_states(function: int, level: int) -> None:
    assert call(function, level << 24 | STANDBY) == INVALID_PARAMETERS
    assert call(function, level << 24 | POWER_DOWN, 0x8000) == INVALID_PARAMETERS


@pytest.mark.parametrize("function", CPU_SUSPEND)
@pytest.mark.parametrize("state_id", [0, 1, 0xFFFF])
def test_a_standby_needs_no_entry_and_has_no_names_for_its_states(function: int, state_id: int) -> None:
    assert call(function, state_id, 1, 9) == Halt()


@given(entry=U64.map(lambda entry: entry & ~3), context=U64)
def test_a_power_down_state_carries_its_entry_and_its_context(entry: int, context: int) -> None:
    assert call(PsciFunction.CPU_SUSPEND_64, POWER_DOWN | 7, entry, context) == Halt(entry, context)
    assert call(PsciFunction.CPU_SUSPEND, POWER_DOWN, entry, context) == Halt(entry % 2**32, context % 2**32)


@pytest.mark.parametrize("function", CPU_SUSPEND)
def test_a_power_state_is_a_word_in_both_conventions(function: int) -> None:
    assert call(function, GARBAGE | POWER_DOWN, 0x8000) == Halt(0x8000, 0)
    assert call(function, GARBAGE) == Halt()


@pytest.mark.parametrize("entry", [1, 2, 3, 0x8001])
def test_a_cpu_that_is_alone_cannot_start_again_at_half_an_instruction(entry: int) -> None:
    assert call(PsciFunction.CPU_SUSPEND_64, POWER_DOWN, entry) == INVALID_ADDRESS


def test_where_a_cpu_may_start_again_is_the_machines_to_say() -> None:
    others = Others(entry=PsciStatus.INVALID_ADDRESS)
    calls = FirmwareCalls(OWN, others)
    assert calls.call(PsciFunction.CPU_SUSPEND_64, POWER_DOWN, 0x8000, 0) == INVALID_ADDRESS
    assert calls.exit_reason(PsciFunction.CPU_SUSPEND_64, POWER_DOWN, 0x8000, 0) is None
    assert calls.call(PsciFunction.CPU_SUSPEND_64, STANDBY, 0x8000, 0) == Halt()
    assert others.asked == [(0x8000,), (0x8000,)]


# SYSTEM_SUSPEND ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", sorted(SUSPENDS))
def test_a_system_is_suspended_with_where_it_starts_again(function: int) -> None:
    calls = suspending()
    assert calls.call(function, 0x8000, 9, 0) == SystemDown(PowerAction.SUSPEND, 0, 0x8000, 9)
    assert calls.exit_reason(function, 0x8000, 9, 0) == SystemDown(PowerAction.SUSPEND, 0, 0x8000, 9)
    assert calls.call(function, 0x8002, 9, 0) == INVALID_ADDRESS


def test_a_system_suspend_of_smc32_starts_again_at_a_word() -> None:
    found = suspending().call(PsciFunction.SYSTEM_SUSPEND, GARBAGE | 0x8000, GARBAGE | 9, 0)
    assert found == SystemDown(PowerAction.SUSPEND, 0, 0x8000, 9)


@pytest.mark.parametrize("status", [PsciStatus.DENIED, PsciStatus.INVALID_ADDRESS])
@pytest.mark.parametrize("function", sorted(SUSPENDS))
def test_what_stands_against_suspending_the_system_is_the_machines_to_say(function: int, status: PsciStatus) -> None:
    others = Others(system=status)
    calls = suspending(others)
    assert calls.call(function, 0x8000, 0, 0) == 2**64 + status
    assert calls.exit_reason(function, 0x8000, 0, 0) is None
    assert others.asked == [(OWN, 0x8000)] * 2


@pytest.mark.parametrize("function", sorted(SUSPENDS))
def test_a_machine_that_cannot_be_suspended_has_no_such_call(function: int) -> None:
    assert call(function, 0x8000) == NOT_SUPPORTED
    assert FirmwareCalls(OWN).exit_reason(function, 0x8000, 0, 0) is None


def test_one_cpu_is_what_calls_are_asked_of_without_others() -> None:
    alone = OneCpu(OWN | 1 << 31)
    assert alone.affinity_info(OWN, 0) == 0
    assert alone.may_power_down(0x8000) is PsciStatus.SUCCESS
    assert alone.may_system_suspend(OWN, 0x8000) is PsciStatus.SUCCESS


# Discovery -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", sorted(PsciFunction), ids=lambda function: PsciFunction(function).name)
def test_features_tells_the_truth_about_every_function(function: PsciFunction) -> None:
    claimed = call(PsciFunction.PSCI_FEATURES, function)
    argument = PsciFunction.PSCI_VERSION if function is PsciFunction.PSCI_FEATURES else OWN
    works = call(function, argument) != NOT_SUPPORTED
    assert claimed == (0 if function in SUPPORTED else NOT_SUPPORTED)
    assert works is (function in SUPPORTED)


@pytest.mark.parametrize("function", [*range(0x8400_0000, 0x8400_0020), *range(0xC400_0000, 0xC400_0020)], ids=hex)
@pytest.mark.parametrize("system_suspend", [False, True])
def test_features_says_supported_exactly_where_a_call_does_not_say_not(function: int, system_suspend: bool) -> None:
    calls = FirmwareCalls(OWN, system_suspend=system_suspend)
    claimed = calls.call(PsciFunction.PSCI_FEATURES, function, 0, 0)
    # PSCI_FEATURES says NOT_SUPPORTED of others as well, but not of itself.
    answer = calls.call(function, PsciFunction.PSCI_FEATURES, 0, 0)
    assert claimed == (NOT_SUPPORTED if answer == NOT_SUPPORTED else 0)
    assert (claimed == 0) is (function in (SUPPORTED | SUSPENDS if system_suspend else SUPPORTED))


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
