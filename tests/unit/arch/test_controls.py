"""Controls of stage 1 that a CPU has, by its ID registers."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.identification.idregs import Aa64Isar1, Aa64Mmfr0, Aa64Mmfr1, Aa64Mmfr2
from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Tcr
from arm_vcpu_cli.arch.translation.controls import Stage1Controls, stage1_controls


def controls(*, mmfr0: int = Aa64Mmfr0.of(PARange=4), mmfr1: int = 0, mmfr2: int = 0, isar1: int = 0) -> Stage1Controls:
    return stage1_controls(mmfr0=mmfr0, mmfr1=mmfr1, mmfr2=mmfr2, isar1=isar1)


@pytest.mark.parametrize(
    ("having", "control"),
    [
        (controls(mmfr1=Aa64Mmfr1.of(HAFDBS=1)), Tcr.of(HA=1)),
        (controls(mmfr1=Aa64Mmfr1.of(HAFDBS=2)), Tcr.of(HA=1, HD=1)),
        (controls(mmfr1=Aa64Mmfr1.of(HPDS=1)), Tcr.of(HPD0=1, HPD1=1)),
        (controls(mmfr2=Aa64Mmfr2.of(E0PD=1)), Tcr.of(E0PD0=1, E0PD1=1)),
        (controls(isar1=Aa64Isar1.of(APA=1)), Tcr.of(TBID0=1, TBID1=1)),
        (controls(isar1=Aa64Isar1.of(API=1)), Tcr.of(TBID0=1, TBID1=1)),
    ],
)
def test_a_control_counts_only_where_its_feature_is(having: Stage1Controls, control: int) -> None:
    other = Tcr.of(T0SZ=16, T1SZ=25, TG1=2, TBI0=1, EPD1=1, IPS=2)
    assert having.effective_tcr(other | control) == other | control
    assert controls().effective_tcr(other | control) == other


def test_hardware_that_only_sets_the_access_flag_leaves_the_dirty_state_alone() -> None:
    assert controls(mmfr1=Aa64Mmfr1.of(HAFDBS=1)).effective_tcr(Tcr.of(HA=1, HD=1)) == Tcr.of(HA=1)


def test_pan3_is_what_epan_needs() -> None:
    assert controls(mmfr1=Aa64Mmfr1.of(PAN=2)).effective_sctlr(Sctlr.of(M=1, EPAN=1)) == Sctlr.of(M=1)
    assert controls(mmfr1=Aa64Mmfr1.of(PAN=3)).effective_sctlr(Sctlr.of(M=1, EPAN=1)) == Sctlr.of(M=1, EPAN=1)


@pytest.mark.parametrize(("ips", "effective"), [(0, 0), (4, 4), (5, 4), (6, 4), (7, 4)])
def test_output_addresses_are_no_wider_than_the_cpu_has_them(ips: int, effective: int) -> None:
    assert controls().effective_tcr(Tcr.of(IPS=ips)) == Tcr.of(IPS=effective)
    assert controls().pa_bits == 44


@pytest.mark.parametrize(
    ("mmfr0", "codes"),
    [
        (Aa64Mmfr0.of(), {(0, 2), (1, 3)}),
        (Aa64Mmfr0.of(TGran16=1), {(0, 2), (1, 3), (2, 1)}),
        (Aa64Mmfr0.of(TGran4=15), {(1, 3)}),
    ],
)
def test_a_granule_that_is_not_there_is_another_one(mmfr0: int, codes: set[tuple[int, int]]) -> None:
    found = set()
    for low, high in ((0, 2), (1, 3), (2, 1)):
        tcr = Tcr(controls(mmfr0=mmfr0).effective_tcr(Tcr.of(TG0=low, TG1=high)))
        found.add((tcr.TG0, tcr.TG1))
    assert found == codes
