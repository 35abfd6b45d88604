"""Whether watchpoints work with the engine of this process: tried on a throw-away engine, unless the build is known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.arch.registers.el1regs import EL1H_MASKED
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass
from arm_vcpu_cli.engine import unicorn_api
from arm_vcpu_cli.engine.discovery import known_layout
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.engine.port import UNLIMITED, ExceptionHook, WatchedRange
from arm_vcpu_cli.engine.refusals import state_place
from arm_vcpu_cli.engine.stubs import BlockWords
from arm_vcpu_cli.engine.throwaway import CODE_PA, HCR_RW, LDR_X2_X1, ThrowAwayEngine, throw_away_engine
from arm_vcpu_cli.engine.unicorn_api import Engine
from arm_vcpu_cli.engine.watchpoint_stubs import watchpoint_table
from arm_vcpu_cli.engine.watchpoints import Watchpoints
from arm_vcpu_cli.errors import EngineError

if TYPE_CHECKING:
    from arm_vcpu_cli.engine.exact_control import ExactControl

_NOP, _SVC = 0xD503_201F, 0xD400_0001
_DATA: Final = CODE_PA + 0x1000
_SIZE: Final = 8
_UNAVAILABLE: Final = "watchpoints: not with this build of the engine, or not on this host"


def open_watchpoints(
    engine: Engine,
    counts: BlockWords,
    state: CpuState,
    saver: Callable[[CpuState], Callable[[], object]],
    use: Callable[[Callable[[ExceptionHook], ExceptionHook] | None], None],
    stop: Callable[[], None],
    control: Callable[[], ExactControl | None],
) -> Watchpoints:
    """The watchpoints of an engine. Raises :class:`EngineError` if there are none."""
    if not notices_accesses():
        raise EngineError(_UNAVAILABLE)
    return Watchpoints(engine, counts, state, saver, use, stop, control)


@cache
def notices_accesses() -> bool:
    """Whether a guest can be stopped at its accesses."""
    if watchpoint_table() is None or state_place() is None:
        return False
    return known_build() is not None or works()


def works() -> bool:
    """:func:`notices_accesses` by experiment."""
    with throw_away_engine() as probe:
        state = CpuState(known_layout(), probe.context.memory, probe.context)
        words = probe.engine.block_words(UNLIMITED)
        with closing(
            Watchpoints(
                probe.engine, words, state, lambda _: probe.save, lambda _: None, probe.engine.stop, lambda: None
            )
        ) as points:
            return _hits(probe, points, _DATA - 1) == _hits(probe, points, _DATA + _SIZE) == (
                ExceptionClass.SVC64,
                CODE_PA + 16,
                0,
            ) and all(
                _hits(probe, points, at) == (ExceptionClass.WATCHPOINT, CODE_PA + 4, 3)
                for at in (_DATA, _DATA + _SIZE - 1)
            )


def _hits(probe: ThrowAwayEngine, points: Watchpoints, watched: int) -> tuple[int, int, int]:
    """(class, PC, instructions left of the block) of the exception that ends a piece of code with one load."""
    probe.reset()
    engine, layout = probe.engine, known_layout()
    engine.write_sysreg(lookup("HCR_EL2"), HCR_RW)
    engine.write_register(unicorn_api.PSTATE, EL1H_MASKED)
    engine.write_register(unicorn_api.X[1], _DATA)
    points.set([WatchedRange(watched, 1, reads=True, writes=False)], lambda _: False)
    state = memoryview(probe.run(_NOP, LDR_X2_X1, _NOP, _SVC)[0])
    (syndrome,) = state[layout.syndrome : layout.syndrome + 4].cast("I")
    (pc,) = state[layout.pc : layout.pc + 8].cast("Q")
    exception_class = syndrome >> EC_SHIFT
    return exception_class, pc, points.left(pc) if exception_class != ExceptionClass.SVC64 else 0
