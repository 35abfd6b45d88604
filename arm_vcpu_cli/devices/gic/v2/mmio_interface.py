"""The CPU interface of one PE: the registers GICC_* (IHI 0048B, 4.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import INTID_SPURIOUS
from arm_vcpu_cli.arch.registers.gicv2regs import INTID_GROUP1, GiccCtlr, GiccIidr, GiccIntid
from arm_vcpu_cli.devices.gic.common.bank import INTID_MASK
from arm_vcpu_cli.devices.gic.common.interface import Interface
from arm_vcpu_cli.devices.gic.v2.forwarding import CPUID, Forwarding
from arm_vcpu_cli.devices.gic.v2.registers import (
    ABPR,
    AEOIR,
    AHPPIR,
    AIAR,
    APR,
    BPR,
    CPU_INTERFACE,
    CTLR,
    DIR,
    EOIR,
    HPPIR,
    IAR,
    IIDR,
    NSAPR,
    PMR,
    RPR,
)
from arm_vcpu_cli.saved import Saved

_IIDR: Final = int(GiccIidr.of(Architecture=2, Implementer=0x43B))
_ENABLE0: Final = int(GiccCtlr.of(EnableGrp0=1))
_ENABLE1: Final = int(GiccCtlr.of(EnableGrp1=1))
_ACK_CTL: Final = int(GiccCtlr.of(AckCtl=1))
_FIQ_EN: Final = int(GiccCtlr.of(FIQEn=1))
_CBPR: Final = int(GiccCtlr.of(CBPR=1))
_EOI_MODE: Final = int(GiccCtlr.of(EOImode=1))
_CONTROLS: Final = _ENABLE0 | _ENABLE1 | _ACK_CTL | _FIQ_EN | _CBPR | _EOI_MODE
_SENDER: Final = GiccIntid.CPUID.mask
_WORD: Final = 0xFFFF_FFFF


class CpuInterface(Interface[int]):
    """The frame GICC of the PE ``cpu``. ``signal(cpu, irq, fiq)`` is called when one of the two outputs changes.

    It is that of a GIC without the Security Extensions, like the virtual CPU interface of a guest under KVM. Its guest,
    although at Non-secure EL1, has the view of Secure software: both groups, all priorities, and GICC_CTLR with AckCtl
    and FIQEn, whose one bit EOImode applies to both groups. Group 1 is signalled as IRQ, and so is Group 0 unless FIQEn
    is set. The interface cannot be bypassed: those bits are RAZ/WI. GICC_ABPR is an ordinary register regardless of
    CBPR, as in QEMU. GICC_APR0 has the active priorities of Group 0 and GICC_NSAPR0 those of Group 1, one bit each; the
    others are RAZ/WI with 32 priorities. 32-bit accesses; all others read as zero and are ignored.
    """

    kind: Final = "gicv2-cpu-interface"

    def __init__(self, cpu: int, forwarding: Forwarding, signal: Callable[[int, bool, bool], None]) -> None:
        super().__init__(cpu, forwarding.pes[cpu], signal)
        self._forwarding = forwarding
        self._acknowledgers = {IAR: self._acknowledge, AIAR: self._acknowledge_group1}
        self._readers = {
            CTLR: self._read_control,
            PMR: lambda: self._pmr,
            BPR: lambda: self._bpr0,
            **self._acknowledgers,
            RPR: lambda: self._running,
            HPPIR: self._highest_pending,
            ABPR: lambda: self._bpr1,
            AHPPIR: self._highest_pending_group1,
            APR: lambda: self._apr0,
            NSAPR: lambda: self._apr1,
            IIDR: lambda: _IIDR,
        }
        self._writers: dict[int, Callable[[int], None]] = {
            CTLR: self._write_control,
            PMR: self._write_pmr,
            BPR: self._write_bpr0,
            EOIR: self._end,
            ABPR: self._write_bpr1,
            AEOIR: self._end_group1,
            APR: lambda value: self._set_active_priorities(value, self._apr1),
            NSAPR: lambda value: self._set_active_priorities(self._apr0, value),
            DIR: self._write_dir,
        }

    def read(self, offset: int, width: int) -> int:
        """Return ``width`` bytes at ``offset``."""
        reader = self._readers.get(offset)
        return 0 if reader is None or width != 4 else reader()

    def write(self, offset: int, width: int, value: int) -> None:
        """Write ``width`` bytes at ``offset``."""
        writer = self._writers.get(offset)
        if writer is not None and width == 4:
            writer(value & _WORD)

    def register_name(self, offset: int, width: int) -> str:
        """Return ``GICC_IAR``; see :class:`~arm_vcpu_cli.devices.naming.NamedRegisters`."""
        return CPU_INTERFACE.name(offset, width)

    def register_meaning(self, offset: int, width: int, value: int) -> str:
        """Return ``INTID 33``; see :class:`~arm_vcpu_cli.devices.naming.NamedRegisters`."""
        return CPU_INTERFACE.meaning(offset, width, value)

    def enabled_groups(self) -> tuple[bool, bool]:
        """Return whether any interrupts are signalled as IRQ, and as FIQ."""
        return self._enable1 or (self._enable0 and not self._fiq0), self._enable0 and self._fiq0

    def reset(self) -> None:
        """Set the reset values. The states of interrupts belong to the Distributor and do not change."""
        self._set_reset_values()
        self._evaluate()

    def _set_reset_values(self) -> None:
        super()._set_reset_values()
        self._fiq0 = self._ack_ctl = False

    # Acknowledging and ending ------------------------------------------------------------------------------------

    def _acknowledge(self) -> int:
        """Read GICC_IAR: take the interrupt that is signalled, but one in Group 1 only with AckCtl (3.2.5)."""
        if not (self._irq or self._fiq):
            return INTID_SPURIOUS
        if self._group1 and not self._ack_ctl:
            return INTID_GROUP1
        return self._forwarding.activate(self._cpu, self._take())

    def _acknowledge_group1(self) -> int:
        """Read GICC_AIAR: take the interrupt that is signalled if it is in Group 1 (4.4)."""
        if not self._group1 or not self._irq:
            return INTID_SPURIOUS
        return self._forwarding.activate(self._cpu, self._take())

    def _highest_pending(self) -> int:
        """Read GICC_HPPIR: masks and running priority have no effect, the interface's group enable does (4.4)."""
        if not (self._enable1 if self._group1 else self._enable0):
            return INTID_SPURIOUS
        return INTID_GROUP1 if self._group1 and not self._ack_ctl else self._best()

    def _highest_pending_group1(self) -> int:
        """Read GICC_AHPPIR: the same for Group 1 (4.4)."""
        return self._best() if self._group1 and self._enable1 else INTID_SPURIOUS

    def _best(self) -> int:
        """Return the best pending interrupt, an SGI with its sender."""
        intid = self._rank & INTID_MASK
        return intid | self._forwarding.sender(self._cpu, intid) << CPUID

    def _end(self, value: int) -> None:
        """Write GICC_EOIR: drop the running priority, and with EOImode 0 deactivate the interrupt written (3.2.1).

        Ignored if there is no such interrupt or nothing is running. The interrupt is not compared with the one
        acknowledged, which is UNPREDICTABLE, but an SGI is that of the sender in CPUID: another stays active. One in
        Group 1 is ended without AckCtl too, as in QEMU.
        """
        active = self._apr0 | self._apr1
        active &= -active
        intid = value & INTID_MASK
        if not active or not self._forwarding.exists(intid):
            return
        if self._apr0 & active:
            self._apr0 ^= active
        else:
            self._apr1 ^= active
        self._find_running()
        if self._eoi_mode:
            self._evaluate()
        else:
            self._forwarding.deactivate(self._cpu, intid, value >> CPUID & _SENDER)

    def _end_group1(self, value: int) -> None:
        """Write GICC_AEOIR: as GICC_EOIR, if both the interrupt written and the running one are in Group 1 (4.4)."""
        intid = value & INTID_MASK
        active = self._apr0 | self._apr1
        if (
            not self._apr0 & active & -active
            and self._forwarding.exists(intid)
            and self._forwarding.group1(self._cpu, intid)
        ):
            self._end(value)

    def _write_dir(self, value: int) -> None:
        """Deactivate an interrupt with EOImode 1; otherwise UNPREDICTABLE, and ignored (4.4)."""
        intid = value & INTID_MASK
        if self._eoi_mode and self._forwarding.exists(intid):
            self._forwarding.deactivate(self._cpu, intid, value >> CPUID & _SENDER)

    # Control -----------------------------------------------------------------------------------------------------

    def _read_control(self) -> int:
        return (
            (_ENABLE0 if self._enable0 else 0)
            | (_ENABLE1 if self._enable1 else 0)
            | (_ACK_CTL if self._ack_ctl else 0)
            | (_FIQ_EN if self._fiq0 else 0)
            | (_CBPR if self._cbpr else 0)
            | (_EOI_MODE if self._eoi_mode else 0)
        )

    def _write_control(self, value: int) -> None:
        self._set_controls(value)
        self._set_masks()

    def _set_controls(self, value: int) -> None:
        self._enable0, self._enable1 = bool(value & _ENABLE0), bool(value & _ENABLE1)
        self._ack_ctl, self._fiq0 = bool(value & _ACK_CTL), bool(value & _FIQ_EN)
        self._cbpr, self._eoi_mode = bool(value & _CBPR), bool(value & _EOI_MODE)

    # The state as plain data -------------------------------------------------------------------------------------

    def save(self) -> dict[str, object]:
        """Return the registers."""
        return {"control": self._read_control(), **self._save_priorities()}

    def load(self, saved: Saved) -> None:
        """Restore what :meth:`save` returned. Raises ValueError for anything else."""
        self._set_controls(saved.number("control", _CONTROLS))
        self._load_priorities(saved)
