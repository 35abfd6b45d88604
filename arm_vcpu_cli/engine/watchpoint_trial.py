"""Checks whether watchpoints work with this process's engine, on a throw-away engine unless the build is known."""

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
from arm_vcpu_cli.engine.guest_debugging import GuestDebugging
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.engine.port import UNLIMITED, ExceptionHook, WatchedRange
from arm_vcpu_cli.engine.refusals import state_place
from arm_vcpu_cli.engine.stubs import BlockWords
from arm_vcpu_cli.engine.throwaway import CODE_PA, HCR_RW, LDR_X2_X1, ThrowAwayEngine, throw_away_engine
from arm_vcpu_cli.engine.unicorn_api import Engine
from arm_vcpu_cli.engine.watchpoint_stubs import notes_blocks, watchpoint_table
from arm_vcpu_cli.engine.watchpoints import Watchpoints
from arm_vcpu_cli.errors import WatchingError

if TYPE_CHECKING:
    from arm_vcpu_cli.engine.exact_control import ExactControl

_NOP, _SVC = 0xD503_201F, 0xD400_0001
_DATA: Final = CODE_PA + 0x1000
_SIZE: Final = 8
_MDE, _KDE, _D, _IL = 1 << 15, 1 << 13, 1 << 9, 1 << 25
_ANY_ACCESS: Final = 0xFF << 5 | 0b11 << 3 | 0b11 << 1 | 1
"""DBGWCR<n>_EL1: 8 bytes, loads and stores, at EL1 and EL0."""
_DEBUG_EVENT: Final = 0b10_0010
_UNAVAILABLE: Final = "watchpoints are not available with this build of the engine, or not on this host"


def open_watchpoints(
    engine: Engine,
    debugging: GuestDebugging,
    counts: BlockWords,
    state: CpuState,
    saver: Callable[[CpuState], Callable[[], object]],
    use: Callable[[Callable[[ExceptionHook], ExceptionHook] | None], None],
    stop: Callable[[], None],
    control: Callable[[], ExactControl | None],
) -> Watchpoints:
    """Return the watchpoints of an engine. Raises :class:`WatchingError` if it has none."""
    if debugging.words is None or not notices_accesses() or not notes_blocks():
        raise WatchingError(_UNAVAILABLE)
    return Watchpoints(engine, debugging.words, counts, state, saver, use, stop, control)


@cache
def notices_accesses() -> bool:
    """Return whether accesses of a guest can be detected, for its own watchpoints and to stop it."""
    if watchpoint_table() is None or state_place() is None:
        return False
    return known_build() is not None or works()


def works() -> bool:
    """Return :func:`notices_accesses` by experiment."""
    with throw_away_engine() as probe, closing(GuestDebugging(probe.engine, known_layout())) as debugging:
        state = CpuState(known_layout(), probe.context.memory, probe.context)
        words = probe.engine.block_words(UNLIMITED)
        if debugging.words is None or not notes_blocks():
            return False
        points = Watchpoints(
            probe.engine,
            debugging.words,
            words,
            state,
            lambda _: probe.save,
            lambda _: None,
            probe.engine.stop,
            lambda: None,
        )
        outside = [_hits(probe, points, at) for at in (_DATA - 1, _DATA + _SIZE)]
        inside = [_hits(probe, points, at) for at in (_DATA, _DATA + _SIZE - 1)]
        points.set([], lambda _: False)
        return (
            outside == [(ExceptionClass.SVC64, CODE_PA + 16, 0)] * 2
            and inside == [(ExceptionClass.WATCHPOINT, CODE_PA + 4, 3)] * 2
            and _fires(probe, debugging)
        )


def _fires(probe: ThrowAwayEngine, debugging: GuestDebugging) -> bool:
    """Return whether a guest's watchpoint fires at its address, and only when enabled."""
    found = []
    for address, mdscr in ((_DATA + _SIZE, _MDE | _KDE), (_DATA, _KDE), (_DATA, _MDE), (_DATA, _MDE | _KDE)):
        _prepare(probe)
        for name, value in (("DBGWVR0_EL1", address), ("DBGWCR0_EL1", _ANY_ACCESS), ("MDSCR_EL1", mdscr)):
            probe.engine.write_sysreg(lookup(name), value)
        probe.engine.write_sysreg(lookup("OSLAR_EL1"), 0)
        debugging.renew()
        state, layout = memoryview(probe.run(_NOP, LDR_X2_X1, _NOP, _SVC)[0]), known_layout()
        found.append(state[layout.syndrome : layout.syndrome + 4].cast("I")[0])
    svc, watchpoint = (each << EC_SHIFT | _IL for each in (ExceptionClass.SVC64, ExceptionClass.WATCHPOINT))
    return found == [svc, svc, svc, watchpoint | _DEBUG_EVENT]


def _prepare(probe: ThrowAwayEngine) -> None:
    probe.reset()
    engine = probe.engine
    engine.write_sysreg(lookup("HCR_EL2"), HCR_RW)
    engine.write_register(unicorn_api.PSTATE, EL1H_MASKED & ~_D)
    engine.write_register(unicorn_api.X[1], _DATA)


def _hits(probe: ThrowAwayEngine, points: Watchpoints, watched: int) -> tuple[int, int, int]:
    """Return the (class, PC, instructions left in the block) of the exception that ends a piece of code with one
    load."""
    _prepare(probe)
    layout = known_layout()
    points.set([WatchedRange(watched, 1, reads=True, writes=False)], lambda _: False)
    state = memoryview(probe.run(_NOP, LDR_X2_X1, _NOP, _SVC)[0])
    (syndrome,) = state[layout.syndrome : layout.syndrome + 4].cast("I")
    (pc,) = state[layout.pc : layout.pc + 8].cast("Q")
    exception_class = syndrome >> EC_SHIFT
    return exception_class, pc, points.left(pc) if exception_class != ExceptionClass.SVC64 else 0
