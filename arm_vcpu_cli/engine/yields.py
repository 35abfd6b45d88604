"""Makes WFE a reason to leave the guest, so that a vCPU that waits for another one lets it run.

The engine executes WFE with a helper that leaves the translated code and continues at once. That helper calls another
one through the library's call table, which a stub (``interposition``) intercepts. The stub requests a stop at the next
block, through the words of the engine's block stub, if stops are wanted. If there is no such call, or the host is not
one that the stub is written for, WFE does nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Final

from arm_vcpu_cli.engine.interposition import interpose
from arm_vcpu_cli.engine.refusals import state_place
from arm_vcpu_cli.engine.unicorn_api import Engine, keep

_YIELD: Final = "helper_yield_aarch64"
_STUB: Final = bytes.fromhex(
    "488b0d39000000"  # mov rcx, [rip + table]
    "488b11"  # next: mov rdx, [rcx]
    "4839fa"  # cmp rdx, rdi
    "740f"  # je found
    "4883c110"  # add rcx, 16
    "4885d2"  # test rdx, rdx
    "75ef"  # jne next
    "ff251a000000"  # pass: jmp [rip + original]
    "488b4908"  # found: mov rcx, [rcx + 8]
    "4885c9"  # test rcx, rcx
    "74f1"  # je pass
    "f04883491002"  # lock or qword [rcx + 16], 2
    "f0480fba293f"  # lock bts qword [rcx], 63
    "ebe3"  # jmp pass
)
"""(state), x86-64, System V. It is followed by the original function and the address of the table: pairs of an engine's
state and the block words to request a stop in, 0 for none; a state of 0 marks the end."""

WAITS: Final = 2
"""The bit of the block stub's request that the stub sets."""
_FREE: Final = 1
_ENTRIES: Final = 64

Switch = Callable[[bool], None]
"""Sets whether the guest is to be stopped at a WFE."""


class _Table:
    """The table that the stub searches, with an entry for each open engine."""

    def __init__(self) -> None:
        self._memory = (ctypes.c_uint64 * (2 * _ENTRIES + 2))(*([_FREE, 0] * _ENTRIES))
        self._unused = list(range(_ENTRIES))
        keep(self._memory)

    @property
    def address(self) -> int:
        return ctypes.addressof(self._memory)

    def take(self, state: int, words: int) -> tuple[Switch, Callable[[], None]] | None:
        """Return (the switch of an engine, a function that frees its entry), None if all are taken."""
        if not self._unused:
            return None
        number = self._unused.pop()
        memory = self._memory
        memory[2 * number] = state

        def switch(on: bool) -> None:
            memory[2 * number + 1] = words if on else 0

        def give_back() -> None:
            switch(False)
            memory[2 * number] = _FREE
            self._unused.append(number)

        return switch, give_back


@cache
def _table() -> _Table | None:
    """Return the table of this process, None if WFE cannot be detected."""
    if state_place() is None:
        return None
    table = _Table()
    return None if interpose({_YIELD: _STUB}, (table.address,)) is None else table


def notices_wfe() -> bool:
    """Return whether a guest can be stopped at a WFE."""
    return _table() is not None


def watch_wfe(engine: Engine, words: int) -> tuple[Switch, Callable[[], None]]:
    """Return (a switch for stops at WFE, initially off; a function that ends it). ``words`` is the address of the
    engine's block words."""
    table, place = _table(), state_place()
    taken = None
    if table is not None and place is not None:
        pointer, distance = place
        taken = table.take(ctypes.c_uint64.from_address(engine.structure + pointer).value + distance, words)
    return taken or (_ignore, _nothing)


def _ignore(_on: bool) -> None:
    """Do nothing: WFE cannot be detected."""


def _nothing() -> None:
    """Do nothing: there is no entry to free."""
