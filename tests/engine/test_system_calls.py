"""System calls that the engine takes to EL1 by itself: the same as those taken by Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Spsr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.inject import El1Entry
from arm_vcpu_cli.engine.levers import NO_LEVERS, known_levers
from tests.support.observer import Observer

from .harness import EL0T, EL1H, EL1T, STACK, Guest

SCTLR = 0x30C5_0830
FLAGS = [1 << bit for bit in (31, 30, 29, 28, 9, 8, 7, 6)] + [int(Spsr.of(PAN=1)), int(Spsr.of(UAO=1))]
COMPARED = [lookup(f"{name}_EL1") for name in ("ESR", "ELR", "SPSR", "FAR", "SCTLR", "VBAR")]


@pytest.fixture(scope="module")
def guests() -> Iterator[tuple[Guest, Guest]]:
    """One on an engine with the levers that are found, one on an engine without."""
    with (
        Guest("exceptions", model="max", levers=known_levers()) as native,
        Guest("exceptions", model="max", levers=NO_LEVERS) as python,
    ):
        yield native, python


def taken(guest: Guest, mode: int, pstate: int, sctlr: int, low: int) -> tuple[Any, ...]:
    """All that a system call leaves."""
    guest["SCTLR_EL1"], guest["FAR_EL1"] = sctlr, 0x1234
    guest["VBAR_EL1"] = guest.label("vectors") | low
    registers = {n: 0x0123_4567_89AB_CDEF * n & (1 << 64) - 1 for n in range(31)}
    guest.start("svc_5a7", mode=mode, pstate=pstate, x=registers, sp_el0=STACK - 0x1230, sp_el1=STACK - 0x20)
    ctx = guest.vcpu.ctx
    return (
        *(guest.slot, guest.pstate, ctx.elr, ctx.sp, ctx.sp_el0, ctx.gprs()),
        *(guest.vcpu.read_sysreg(register) for register in COMPARED),
    )


@given(
    mode=st.sampled_from([EL0T, EL1T, EL1H]),
    flags=st.sets(st.sampled_from(FLAGS)),
    span=st.booleans(),
    low=st.sampled_from([0, 0, 0x20, 0x400]),
)
def test_both_ways_are_the_same(guests: tuple[Guest, Guest], mode: int, flags: set[int], span: bool, low: int) -> None:
    sctlr = SCTLR | int(Sctlr.of(SPAN=1)) if span else SCTLR & ~int(Sctlr.of(SPAN=1))
    native, python = (taken(guest, mode, sum(flags), sctlr, low) for guest in guests)
    assert native == python
    assert native[0] is not None


@pytest.mark.parametrize(("wants", "levers", "asked"), [(False, None, 0), (True, None, 3), (False, NO_LEVERS, 3)])
def test_nobody_is_asked_who_does_not_want_to_know(
    monkeypatch: pytest.MonkeyPatch, wants: bool, levers: Any, asked: int
) -> None:
    calls: list[int] = []
    make = El1Entry._taker

    def counting(self: El1Entry) -> Any:
        take = make(self)

        def counted(esr: int, far: int | None = None) -> int:
            calls.append(esr >> 26)
            return take(esr, far)

        return counted

    monkeypatch.setattr(El1Entry, "_taker", counting)
    observer = Observer()
    observer.wants_exceptions = wants
    with Guest("exceptions", levers=known_levers() if levers is None else levers, observer=observer) as guest:
        for _ in range(3):
            guest.start("svc_0", mode=EL1H)
    assert calls.count(0x15) == (asked if known_levers().system_calls else 3)
