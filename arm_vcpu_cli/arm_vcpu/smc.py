"""The secure monitor behind the hypervisor: the crate's ``smc_call``.

There is no EL3 software. A table in the machine description defines the answers; every other call gets SMCCC's answer
for an unknown function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from arm_vcpu_cli.arch.smccc import SmcccStatus, to_u64

SmcResult = tuple[int, int, int, int]
SmcTable = Mapping[int, tuple[int, ...]]
"""Answers by function identifier: one to four 64-bit values for x0 to x3."""

RESULT_REGISTERS: Final = 4


class SecureMonitor:
    """Firmware at EL3, as a table from 32-bit function identifier to results."""

    def __init__(self, table: SmcTable) -> None:
        self._table = {function: tuple(to_u64(value) for value in results) for function, results in table.items()}
        for function, results in self._table.items():
            if not 1 <= len(results) <= RESULT_REGISTERS:
                raise ValueError(f"SMC {function:#x}: {len(results)} results, expected 1 to {RESULT_REGISTERS}")

    def call(self, x0: int, x1: int, x2: int, x3: int) -> SmcResult:
        """Return x0 to x3 after the call (``smc_call``). Results missing from the table keep their argument (SMCCC 1.1
        and later preserve x1 to x17 unless they are results)."""
        results = self._table.get(x0 & 0xFFFF_FFFF)
        if results is None:
            return to_u64(SmcccStatus.NOT_SUPPORTED), x1, x2, x3
        given = (x0, x1, x2, x3)
        full = results + given[len(results) :]
        return full[0], full[1], full[2], full[3]


def smc_call(monitor: SecureMonitor, x0: int, x1: int = 0, x2: int = 0, x3: int = 0) -> SmcResult:
    """Call the secure monitor as the crate's ``smc_call`` does; return the 64-bit x0 to x3 after the call."""
    return monitor.call(x0, x1, x2, x3)
