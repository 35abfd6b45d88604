"""Finds the switch for the engine's check for a stop after each memory access.

A stop at that check is in the middle of an instruction, which is then executed again. armvcpu never stops there, and
the check takes up to a tenth of the run time. The engine has a switch that omits it from translated code
(``no_exit_request``), but no function that sets it. The translator of the 32-bit Arm architecture sets it for each
instruction of an IT block and clears it for all others, so the difference reveals its place.
"""

from __future__ import annotations

from contextlib import closing
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import EL1H_MASKED
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.engine import unicorn_api
from arm_vcpu_cli.engine.throwaway import CODE_PA, HCR_RW, LDR_X2_X1, ThrowAwayEngine, throw_away_engine
from arm_vcpu_cli.engine.unicorn_api import ThumbEngine

_ADDS: Final = bytes.fromhex("4018")
_PLAIN: Final = bytes.fromhex("00bf") + _ADDS  # nop; adds r0, r0, r1
_IT_BLOCK: Final = bytes.fromhex("08bf") + _ADDS  # it eq; addeq r0, r0, r1
_ROUNDS: Final = 2
_MOV_X3_1: Final = 0xD280_0023
_B_HERE: Final = 0x1400_0000
_X1, _X3 = unicorn_api.X[1], unicorn_api.X[3]


def find_exit_check() -> int | None:
    """Return the offset of the switch in the engine's structure, None if it is not found or does not work."""
    switch = _find_switch()
    if switch is None:
        return None
    with throw_away_engine() as probe:
        probe.engine.hooks.loads(probe.engine.stop)
        stopped = not _goes_on_after_load(probe)
        probe.engine.leave_out_exit_checks(switch, True)
        return switch if stopped and _goes_on_after_load(probe) else None


def _find_switch() -> int | None:
    candidates: set[int] | None = None
    with closing(ThumbEngine()) as engine:
        for _ in range(_ROUNDS):
            plain, inside = engine.run(_PLAIN), engine.run(_IT_BLOCK)
            set_now = {at for at, (off, on) in enumerate(zip(plain, inside, strict=True)) if (off, on) == (0, 1)}
            candidates = set_now if candidates is None else candidates & set_now
    return candidates.pop() if candidates is not None and len(candidates) == 1 else None


def _goes_on_after_load(probe: ThrowAwayEngine) -> bool:
    """Return whether a block executes to its end although a stop is requested during a load."""
    probe.reset()
    probe.engine.write_sysreg(lookup("HCR_EL2"), HCR_RW)
    probe.engine.write_register(unicorn_api.PSTATE, EL1H_MASKED)
    probe.engine.write_register(_X1, CODE_PA + 0x1000)
    probe.engine.write_register(_X3, 0)
    probe.run(LDR_X2_X1, _MOV_X3_1, _B_HERE)
    return probe.engine.read_register(_X3) == 1
