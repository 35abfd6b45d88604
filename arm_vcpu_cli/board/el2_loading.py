"""The ``[el2]`` table of a machine description: how EL2 treats the guest."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.board.description import El2Description, GicDescription
from arm_vcpu_cli.board.schema import Table

HCR_TRAPS: Final = ("TVM", "TRVM", "TTLB", "TACR", "TSW", "TPC", "TPU", "TID1", "TID2", "TIDCP", "TDZ", "TWE")
CPTR_TRAPS: Final = ("TCPAC", "TFP", "TZ")
MDCR_TRAPS: Final = ("TDRA", "TDOSA", "TDA", "TPM", "TPMCR", "TDE")
"""The trap bits that have an effect, of each register. No model has the trace registers or the activity monitors that
the other bits of CPTR_EL2 trap."""
EL2_KEYS: Final = (
    *("passthrough_interrupt", "passthrough_timer", "trap_wfi", "trap_id_registers"),
    *("hcr", "cptr", "mdcr"),
)

_WITH_SVE: Final = "max"
_MONITORS: Final = ("TPM", "TPMCR")


def read_el2(table: Table, gic: GicDescription | None, model: str) -> El2Description:
    """The description in the table, for a machine with CPUs of that model and the interrupt controller ``gic``."""
    passthrough_interrupt = table.boolean("passthrough_interrupt", False)
    if passthrough_interrupt and gic is not None:
        message = f"true, but the interrupts of device.{gic.name} need HCR_EL2.IMO; switch that off (enabled = false)"
        table.refuse("passthrough_interrupt", message)
    trap_id_registers = table.boolean("trap_id_registers", True)
    cptr, mdcr = table.choices("cptr", CPTR_TRAPS), table.choices("mdcr", MDCR_TRAPS)
    if "TZ" in cptr and model != _WITH_SVE:
        table.refuse("cptr", f'"TZ" traps SVE, and {model} has none; cpu.model = "{_WITH_SVE}" does')
    monitors = [name for name in _MONITORS if name in mdcr]
    if monitors and not trap_id_registers:
        message = f'"{monitors[0]}" needs trap_id_registers = true; without it, the guest sees the core\'s own PMU'
        table.refuse("mdcr", message)
    return El2Description(
        passthrough_interrupt=passthrough_interrupt,
        passthrough_timer=table.boolean("passthrough_timer", True),
        trap_wfi=table.boolean("trap_wfi", True),
        trap_id_registers=trap_id_registers,
        hcr=table.choices("hcr", HCR_TRAPS),
        cptr=cptr,
        mdcr=mdcr,
    )
