"""The guest's own breakpoints and watchpoints on one engine: DBGBVR<n>_EL1 to DBGWCR<n>_EL1.

The registers are a vCPU's, and what is made of them is the engine's: after another state has been loaded, it is stale
and has to be renewed before the guest executes.
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
    """``stale``: whether to renew. ``words``: what the stubs have of the engine, None if there are no stubs;
    ``registers`` is where its state lies, as in a saved state."""

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
        """Note that another vCPU's state is going to be loaded."""
        if self.words is not None and self.words.words[USED]:
            self.stale = True

    def loaded(self) -> None:
        """Note that a state from elsewhere has been loaded or is going to be."""
        self.stale = self.words is not None

    def written(self) -> None:
        """Note that one of the registers has been written from outside, perhaps in the hook of an exit: the guest may
        resume without a new entry."""
        if self.words is not None:
            self.renew()

    def renew(self) -> None:
        """Make of the registers what the engine needs."""
        self.stale = False
        for renew in self._renewals:
            renew(self._cpu)

    def close(self) -> None:
        """Note that the engine is gone."""
        if self.words is not None:
            self.words.give_back()
            self.words = None
