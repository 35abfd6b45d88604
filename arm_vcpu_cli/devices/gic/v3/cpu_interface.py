"""The CPU interface of one PE: ICC_*_EL1, priorities, preemption, the IRQ and FIQ outputs (IHI 0069H, 4.8 and 12.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import INTID_SPURIOUS, IccCtlr, IccIgrpen, IccIntid, IccSre
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.devices.gic.common.bank import INTID_MASK, PRIORITY_BITS
from arm_vcpu_cli.devices.gic.common.interface import MAX_BPR, Interface
from arm_vcpu_cli.devices.gic.v3.iri import Iri
from arm_vcpu_cli.saved import Saved

_SRE: Final = int(IccSre.of(SRE=1, DFB=1, DIB=1))
"""Neither legacy operation nor the bypass of the interface exists: all three are RAO/WI (12.2)."""
_CTLR_FIXED: Final = int(IccCtlr.of(RSS=1, A3V=1, PRIbits=PRIORITY_BITS - 1))
_EOI_MODE: Final = int(IccCtlr.of(EOImode=1))
_CBPR: Final = int(IccCtlr.of(CBPR=1))
_ENABLE: Final = int(IccIgrpen.of(Enable=1))
_INTID: Final = int(IccIntid.of(INTID=0xFF_FFFF))

_PMR, _RPR, _CTLR, _ICC_SRE, _DIR = (lookup(f"ICC_{name}_EL1") for name in ("PMR", "RPR", "CTLR", "SRE", "DIR"))
_IAR0, _IAR1, _EOIR0, _EOIR1, _HPPIR0, _HPPIR1, _BPR0, _BPR1, _IGRPEN0, _IGRPEN1 = (
    lookup(f"ICC_{name}{group}_EL1") for name in ("IAR", "EOIR", "HPPIR", "BPR", "IGRPEN") for group in (0, 1)
)
_AP0R0, _AP1R0, _SGI0R, _SGI1R, _ASGI1R = (
    lookup(f"ICC_{name}_EL1") for name in ("AP0R0", "AP1R0", "SGI0R", "SGI1R", "ASGI1R")
)


class CpuInterface(Interface[SysReg]):
    """The interface of PE ``cpu``. ``signal(cpu, irq, fiq)`` is called when one of the two outputs changes.

    Group 1 interrupts are signalled as IRQ, those of Group 0 as FIQ (4.6.2: one Security state). ICC_CTLR_EL1.PMHE is
    RAZ/WI: the priority mask does not affect the choice of a PE for 1 of N interrupts.
    """

    def __init__(self, cpu: int, iri: Iri, signal: Callable[[int, bool, bool], None]) -> None:
        super().__init__(cpu, iri.pes[cpu], signal)
        self._iri = iri
        self._acknowledgers = {
            _IAR0: lambda: self._acknowledge(False),
            _IAR1: lambda: self._acknowledge(True),
        }
        self._readers = {
            _PMR: lambda: self._pmr,
            _RPR: lambda: self._running,
            _CTLR: self._read_ctlr,
            _ICC_SRE: lambda: _SRE,
            **self._acknowledgers,
            _HPPIR0: lambda: self._highest_pending(False),
            _HPPIR1: lambda: self._highest_pending(True),
            _BPR0: lambda: self._bpr0,
            _BPR1: lambda: min(self._bpr0 + 1, MAX_BPR) if self._cbpr else self._bpr1,
            _IGRPEN0: lambda: int(self._enable0),
            _IGRPEN1: lambda: int(self._enable1),
            _AP0R0: lambda: self._apr0,
            _AP1R0: lambda: self._apr1,
        }
        self._writers: dict[SysReg, Callable[[int], None]] = {
            _PMR: self._write_pmr,
            _CTLR: self._write_ctlr,
            _ICC_SRE: lambda _: None,
            _EOIR0: lambda value: self._end(value, False),
            _EOIR1: lambda value: self._end(value, True),
            _DIR: self._write_dir,
            _BPR0: self._write_bpr0,
            _BPR1: self._write_bpr1,
            _IGRPEN0: lambda value: self._enable(bool(value & _ENABLE), self._enable1),
            _IGRPEN1: lambda value: self._enable(self._enable0, bool(value & _ENABLE)),
            _AP0R0: lambda value: self._set_active_priorities(value, self._apr1),
            _AP1R0: lambda value: self._set_active_priorities(self._apr0, value),
            _SGI0R: lambda value: iri.send_sgi(cpu, value, False),
            _SGI1R: lambda value: iri.send_sgi(cpu, value, True),
            _ASGI1R: lambda value: iri.send_sgi(cpu, value, False),
        }

    def reset(self) -> None:
        """Reset as after power-on: every register has its reset value (12.2), and both outputs are low."""
        self._set_reset_values()
        self._enable(False, False)

    def save(self) -> dict[str, object]:
        """Return the registers."""
        return {
            "enable0": self._enable0,
            "enable1": self._enable1,
            "eoi_mode": self._eoi_mode,
            "cbpr": self._cbpr,
            **self._save_priorities(),
        }

    def load(self, saved: Saved) -> None:
        """Restore what :meth:`save` returned. Raises ValueError for anything else."""
        enable0, enable1 = saved.flag("enable0"), saved.flag("enable1")
        self._eoi_mode, self._cbpr = saved.flag("eoi_mode"), saved.flag("cbpr")
        self._enable(enable0, enable1)
        self._load_priorities(saved)

    @property
    def enabled_groups(self) -> tuple[bool, bool]:
        """Whether any interrupts of Group 1 and of Group 0 are signalled."""
        return self._enable1, self._enable0

    def read(self, reg: SysReg) -> int | None:
        """Execute MRS: return the register's value; None if it is not a register of the interface or is write-only."""
        reader = self._readers.get(reg)
        return None if reader is None else reader()

    def write(self, reg: SysReg, value: int) -> bool:
        """Execute MSR of a 64-bit value; return False if it is not a register of the interface or is read-only."""
        writer = self._writers.get(reg)
        if writer is None:
            return False
        writer(value)
        return True

    # Acknowledging and ending ---------------------------------------------------------------------------------

    def _highest_pending(self, group1: bool) -> int:
        """Read ICC_HPPIR<n>_EL1: masks and running priority have no effect, the interface's group enable does."""
        enabled = self._enable1 if group1 else self._enable0
        return self._rank & INTID_MASK if enabled and group1 == self._group1 else INTID_SPURIOUS

    def _acknowledge(self, group1: bool) -> int:
        """Read ICC_IAR<n>_EL1: take the interrupt that is signalled, if it is in this group."""
        if not (self._irq if group1 else self._fiq):
            return INTID_SPURIOUS
        intid = self._take()
        self._iri.activate(self._cpu, intid)
        return intid

    def _end(self, value: int, group1: bool) -> None:
        """Write ICC_EOIR<n>_EL1: drop the running priority, and with EOImode 0 deactivate the interrupt written.

        Ignored if there is no such interrupt, or if the highest active priority is not in this group, which is
        UNPREDICTABLE; the INTID is not compared with the one acknowledged.
        """
        intid = value & _INTID
        active = (self._apr0 | self._apr1) & -(self._apr0 | self._apr1)
        if not active or not self._iri.exists(intid) or group1 != (not self._apr0 & active):
            return
        if group1:
            self._apr1 ^= active
        else:
            self._apr0 ^= active
        self._find_running()
        if self._eoi_mode:
            self._evaluate()
        else:
            self._iri.deactivate(self._cpu, intid)

    # Registers -------------------------------------------------------------------------------------------------

    def _write_dir(self, value: int) -> None:
        """Deactivate an interrupt with EOImode 1; otherwise UNPREDICTABLE, and ignored."""
        intid = value & _INTID
        if self._eoi_mode and self._iri.exists(intid):
            self._iri.deactivate(self._cpu, intid)

    def _read_ctlr(self) -> int:
        return _CTLR_FIXED | (_EOI_MODE if self._eoi_mode else 0) | (_CBPR if self._cbpr else 0)

    def _write_ctlr(self, value: int) -> None:
        self._eoi_mode = bool(value & _EOI_MODE)
        self._cbpr = bool(value & _CBPR)
        self._set_masks()

    def _write_bpr1(self, value: int) -> None:
        if not self._cbpr:
            super()._write_bpr1(value)

    def _enable(self, enable0: bool, enable1: bool) -> None:
        self._enable0, self._enable1 = enable0, enable1
        self._iri.set_participation(self._cpu, enable0, enable1)
