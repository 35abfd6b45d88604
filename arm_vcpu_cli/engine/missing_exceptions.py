"""Adds the exceptions that the engine does not take by itself, those of ``pc_alignment`` and ``pstate_stubs``, after a
trial."""

from __future__ import annotations

from functools import cache
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import EL1H_MASKED
from arm_vcpu_cli.engine import unicorn_api
from arm_vcpu_cli.engine.discovery import known_layout
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.pc_alignment import take_pc_alignment_faults
from arm_vcpu_cli.engine.pstate_stubs import heed_pstate
from arm_vcpu_cli.engine.throwaway import CODE_PA, throw_away_engine

_TARGET: Final = CODE_PA + 0x40
_MDSCR_KDE_SS: Final = 1 << 13 | 1
_EL2H: Final = 0x3C9
_MSR_ELR, _MSR_SPSR, _ERET, _BR = 0xD518_4020, 0xD518_4001, 0xD69F_03E0, 0xD61F_0000  # x0; x1; ; x0
_MSR_MDSCR, _UNMASK_DEBUG, _NOP, _SVC = 0xD510_0242, 0xD503_48FF, 0xD503_201F, 0xD400_0001  # x2
_ILLEGAL, _MISALIGNED, _STEP = 0x3A00_0000, 0x8A00_0000, 0xCE00_0022
_SVC_SYNDROME: Final = 0x5600_0000


@cache
def take_missing_exceptions() -> bool:
    """Make the engines of this process take them from now on; return whether that is possible."""
    alignment, pstate = take_pc_alignment_faults(), heed_pstate()
    if alignment is None or pstate is None:
        return False
    if known_build() is not None or exceptions_are_taken():
        return True
    pstate.undo()
    alignment.undo()
    return False


def exceptions_are_taken() -> bool:
    """Return whether an engine takes these exceptions and no others, by experiment."""
    eret = _MSR_ELR, _MSR_SPSR, _ERET
    return [
        _exception(*eret, target=_TARGET, spsr=_EL2H),
        _exception(*eret, target=_TARGET, spsr=int(EL1H_MASKED)),
        _exception(_BR, target=_TARGET + 2),
        _exception(_MSR_MDSCR, _UNMASK_DEBUG, _NOP),
    ] == [
        (_ILLEGAL, _TARGET),
        (_SVC_SYNDROME, _TARGET + 4),
        (_MISALIGNED, _TARGET + 2),
        (_STEP, CODE_PA + 8),
    ]


def _exception(*code: int, target: int = 0, spsr: int = 0) -> tuple[int, int]:
    """Return the (syndrome, PC) of the exception that the code causes. There is an SVC at :data:`_TARGET`."""
    layout = known_layout()
    with throw_away_engine() as probe:
        engine = probe.engine
        # The OS Lock is set at reset, and blocks software step.
        probe.begin_at_el1(OSLAR_EL1=0)
        for number, value in enumerate((target, spsr, _MDSCR_KDE_SS)):
            engine.write_register(unicorn_api.X[number], value)
        words = [*code, *[_NOP] * ((_TARGET - CODE_PA) // 4 - len(code)), _SVC]
        state = memoryview(probe.run(*words)[0])
        syndrome, pc = (state[at : at + 8].cast("Q")[0] for at in (layout.syndrome, layout.pc))
        return syndrome & 0xFFFF_FFFF, pc
