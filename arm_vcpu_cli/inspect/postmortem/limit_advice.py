"""Limits of the engine and the machine that affect a guest: features it has configured that have no effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from arm_vcpu_cli.arch.identification.idregs import Aa64Dfr0
from arm_vcpu_cli.arch.registers.el1regs import Mdscr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.vm.machine import Machine

_ENABLED: Final = 1
"""In DBGBCR<n>_EL1 and DBGWCR<n>_EL1: E."""
_LOCKED: Final = 2
"""In OSLSR_EL1: OSLK."""


def limit_advice(machine: Machine) -> list[Advice]:
    """Advice on each limit that affects the current CPU or the interrupt controller."""
    found = (check(machine) for check in _CHECKS)
    return [advice for advice in found if advice is not None]


def _lpis(machine: Machine) -> Advice | None:
    if machine.gic is None or not machine.gic.lpis_wanted:
        return None
    return Advice(
        "The guest has set GICR_CTLR.EnableLPIs, but the GICv3 of this machine has neither LPIs nor an ITS: the bit "
        "stays 0, and no LPI will arrive.",
        "check GICD_TYPER.LPIS and GICR_TYPER.PLPIS first, and use an SPI instead",
    )


def _os_lock(machine: Machine) -> Advice | None:
    control = Mdscr(_read(machine, "MDSCR_EL1"))
    if not _read(machine, "OSLSR_EL1") & _LOCKED:
        return None
    if not control.SS and not (control.MDE and any(_numbers(machine, "DBGBCR"))):
        return None
    return Advice(
        "The OS Lock is set (OSLSR_EL1.OSLK = 1), as at reset: it blocks the breakpoints or the software step that the "
        "guest has enabled.",
        "write 0 to OSLAR_EL1 before the debug registers are used",
    )


def _watchpoints(machine: Machine) -> Advice | None:
    if machine.core.guest_watchpoints:
        return None
    numbers = [number for number, control in enumerate(_numbers(machine, "DBGWCR")) if control]
    if not numbers:
        return None
    names = ", ".join(f"DBGWCR{number}_EL1" for number in numbers)
    return Advice(
        f"The guest has enabled a watchpoint ({names}), but on this host no watchpoint of a guest fires.",
        "armvcpu debug has watchpoints on every host",
    )


def _numbers(machine: Machine, control: str) -> Iterator[int]:
    """Yield for each breakpoint or watchpoint whether it is enabled."""
    features = Aa64Dfr0(_read(machine, "ID_AA64DFR0_EL1"))
    count = (features.BRPs if control == "DBGBCR" else features.WRPs) + 1
    for number in range(count):
        yield _read(machine, f"{control}{number}_EL1") & _ENABLED


def _read(machine: Machine, name: str) -> int:
    return machine.current.arch.read_sysreg(lookup(name))


_CHECKS: Final[tuple[Callable[[Machine], Advice | None], ...]] = (_lpis, _os_lock, _watchpoints)
