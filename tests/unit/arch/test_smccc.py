"""Function identifiers and return codes of SMCCC, PSCI and TRNG."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch import smccc
from arm_vcpu_cli.arch.smccc import PsciFunction, PsciStatus, SmcccFunction, TrngStatus

EVERY_ID = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("fid", "name"),
    [
        (0x84000000, "PSCI_VERSION"),
        (0xC4000003, "CPU_ON_64"),
        (0x84000008, "SYSTEM_OFF"),
        (0x80000000, "SMCCC_VERSION"),
        (0xC4000053, "TRNG_RND_64"),
        (0xC2000001, "SMCCC 0xc2000001 (SiP, fast, SMC64)"),
        (0x86000001, "SMCCC 0x86000001 (vendor hypervisor service, fast, SMC32)"),
        (0x88000001, "SMCCC 0x88000001 (reserved owner, fast, SMC32)"),
        (0x00000001, "SMCCC 0x00000001 (Arm architecture, yielding, SMC32)"),
        (0xB2000000, "SMCCC 0xb2000000 (trusted OS, fast, SMC32)"),
        (0xFFFFFFFF_84000000, "PSCI_VERSION"),
    ],
)
def test_functions_have_names(fid: int, name: str) -> None:
    assert smccc.function_name(fid) == name


@given(EVERY_ID)
def test_every_identifier_has_a_name(fid: int) -> None:
    assert smccc.function_name(fid)
    assert 0 <= smccc.owner(fid) < 64


@pytest.mark.parametrize("fid", [0x84000000, 0x8400001F, 0xC4000000, 0xC400001F])
def test_the_ends_of_the_psci_ranges_are_psci(fid: int) -> None:
    assert smccc.is_psci(fid)
    assert smccc.is_fast(fid)


@pytest.mark.parametrize("fid", [0x83FFFFFF, 0x84000020, 0xC3FFFFFF, 0xC4000020, 0x04000000, 0x44000003])
def test_their_neighbours_are_not(fid: int) -> None:
    assert not smccc.is_psci(fid)


def test_all_psci_functions_lie_in_the_psci_ranges() -> None:
    for function in PsciFunction:
        assert smccc.is_psci(function)
        assert smccc.is_64bit(function) is function.name.endswith("_64")
        assert smccc.owner(function) == 4
        if function.name.endswith("_64"):
            assert PsciFunction[function.name[:-3]] == function - smccc.SMC64


def test_trng_functions_lie_in_their_range_and_not_in_psci() -> None:
    trng = {function for function in SmcccFunction if function.name.startswith("TRNG")}
    assert {function for function in SmcccFunction if smccc.is_trng(function)} == trng
    assert not any(smccc.is_psci(function) for function in SmcccFunction)


@pytest.mark.parametrize(
    ("fid", "count"),
    [
        (0x84000000, 0),  # PSCI_VERSION
        (0x84000001, 3),  # CPU_SUSPEND: power state, entry point, context
        (0x84000002, 0),
        (0xC4000003, 3),  # CPU_ON: target, entry point, context
        (0xC4000004, 2),  # AFFINITY_INFO: target, lowest level
        (0x84000005, 1),  # MIGRATE: target
        (0x84000007, 0),
        (0x84000008, 0),
        (0x84000009, 0),
        (0x8400000A, 1),  # PSCI_FEATURES: function
        (0xC400000C, 2),  # CPU_DEFAULT_SUSPEND: entry point, context
        (0x8400000D, 2),  # NODE_HW_STATE: target, power level
        (0xC400000E, 2),  # SYSTEM_SUSPEND: entry point, context
        (0x8400000F, 1),  # PSCI_SET_SUSPEND_MODE: mode
        (0xC4000010, 2),  # PSCI_STAT_RESIDENCY: target, power state
        (0xC4000012, 2),  # SYSTEM_RESET2: type, cookie
        (0x84000013, 1),  # MEM_PROTECT: on or off
        (0xC4000014, 2),  # MEM_PROTECT_CHECK_RANGE: base, length
        (0x80000000, 0),  # SMCCC_VERSION
        (0x80000001, 1),  # SMCCC_ARCH_FEATURES: function
        (0xC0000002, 1),  # SMCCC_ARCH_SOC_ID: which
        (0x80007FFF, 1),  # SMCCC_ARCH_WORKAROUND_2: on or off
        (0x80008000, 0),
        (0x84000051, 1),  # TRNG_FEATURES: function
        (0x84000052, 0),
        (0xC4000053, 1),  # TRNG_RND: bits
        (0xFFFFFFFF_84000003, 3),
        (0xC4000000, None),  # PSCI_VERSION has no SMC64 form
        (0x84000015, None),
        (0xC2000001, None),
        (0x00000003, None),
    ],
)
def test_calls_have_a_number_of_arguments(fid: int, count: int | None) -> None:
    assert smccc.argument_count(fid) == count


@given(EVERY_ID | st.sampled_from(sorted(smccc.FUNCTION_NAMES)))
def test_exactly_the_functions_with_a_name_have_one(fid: int) -> None:
    count = smccc.argument_count(fid)
    assert (count is not None) == (fid in smccc.FUNCTION_NAMES)
    assert count is None or 0 <= count <= 3


def test_versions_are_encoded() -> None:
    assert smccc.PSCI_VERSION_1_1 == 0x10001
    assert smccc.SMCCC_VERSION_1_2 == 0x10002
    assert smccc.TRNG_VERSION_1_0 == 0x10000
    for major, minor in ((0x8000, 0), (0, 0x10000), (-1, 0)):
        with pytest.raises(ValueError, match="version"):
            smccc.encode_version(major, minor)


def test_return_codes_become_register_values() -> None:
    assert smccc.to_u64(PsciStatus.SUCCESS) == 0
    assert smccc.to_u64(PsciStatus.NOT_SUPPORTED) == 0xFFFFFFFFFFFFFFFF
    assert smccc.to_u64(PsciStatus.INVALID_ADDRESS) == 0xFFFFFFFFFFFFFFF7
    assert smccc.to_u64(TrngStatus.NO_ENTROPY) == 0xFFFFFFFFFFFFFFFD


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed_results_round_trip(value: int) -> None:
    assert smccc.from_u64(smccc.to_u64(value)) == value
