"""The guest's own breakpoints and watchpoints on one engine: DBGBVR<n>_EL1 to DBGWCR<n>_EL1.

The registers belong to a vCPU, the settings derived from them to the engine: loading another state makes these stale,
and they must be renewed before the guest executes.
"""

from __future__ import annotations

import ctypes
from typing import Final

from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.engine.refusals import register_address, state_place
from arm_vcpu_cli.engine.unicorn_api import Engine, library_function
from arm_vcpu_cli.engine.watchpoint_stubs import (
    FAULT_ADDRESS,
    OS_LOCK,
    PC,
    PSTATE,
    SYNDROME,
    TARGET_EL_AT,
    USED,
    Words,
    watchpoint_table,
)

_RENEWALS: Final = "hw_breakpoint_update_all_aarch64", "hw_watchpoint_update_all_aarch64"
_Renewal: Final = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)


class GuestDebugging:
    """``stale``: whether a renewal is due. ``words``: the stubs' words of the engine, None without stubs;
    ``registers``: the place of the engine's state in memory, laid out as in a saved state."""

    def __init__(self, engine: Engine, layout: StateLayout) -> None:
        self.stale = False
        self.words: Words | None = None
        place, table = state_place(), watchpoint_table()
        if place is None or table is None or layout.target_el - layout.syndrome != TARGET_EL_AT or not layout.os_lock:
            return
        pointer, distance = place
        self._cpu = ctypes.c_uint64.from_address(engine.structure + pointer).value
        state = self._cpu + distance
        self.registers = register_address(state, layout, 0)
        self.words = taken = table.take(state)
        if taken is None:
            return
        for word, offset in (
            (PSTATE, layout.pstate),
            (OS_LOCK, layout.os_lock),
            (PC, layout.pc),
            (FAULT_ADDRESS, layout.fault_address),
            (SYNDROME, layout.syndrome),
        ):
            taken.words[word] = self.registers + offset
        functions = [function for function in map(library_function, _RENEWALS) if function is not None]
        self._renewals = [_Renewal(function) for function in functions]

    def changed(self) -> None:
        """Record that another vCPU's state is about to be loaded."""
        if self.words is not None and self.words.words[USED]:
            self.stale = True

    def loaded(self) -> None:
        """Record that a state from elsewhere has been or will be loaded."""
        self.stale = self.words is not None

    def written(self) -> None:
        """Record that one of the registers was written from outside, perhaps in the hook of an exit: the guest may
        resume without a new entry."""
        if self.words is not None:
            self.renew()

    def renew(self) -> None:
        """Apply the registers to the engine."""
        self.stale = False
        for renew in self._renewals:
            renew(self._cpu)

    def close(self) -> None:
        """Record that the engine is gone."""
        if self.words is not None:
            self.words.give_back()
            self.words = None
