"""Reads a guest's memory as its hypervisor does: through the tables, without the core."""

from __future__ import annotations

from typing import Final, Protocol

from arm_vcpu_cli.arch.identification.idregs import Aa64Mmfr0
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.arch.translation.controls import Stage1Controls, stage1_controls
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arch.translation.stage1walk import walk_stage1
from arm_vcpu_cli.arch.translation.stage2walk import walk_stage2
from arm_vcpu_cli.arch.translation.walk import Walk
from arm_vcpu_cli.arm_vcpu.platform import Aarch64Hal
from arm_vcpu_cli.errors import MemoryMapError
from arm_vcpu_cli.record import Record

_WORD: Final = 8


class Translation(Record):
    """Both stages of one translation; ``stage2`` is None if stage 1 faults."""

    stage1: Walk
    stage2: Walk | None

    @property
    def paddr(self) -> int | None:
        """The host-physical address, None if either stage faults."""
        return self.stage2.output if self.stage2 is not None else None


class RegisterReader(Protocol):
    """A source of the system registers that translation depends on: a core, or a saved state."""

    def read_sysreg(self, reg: SysReg) -> int:
        """Return the value of a system register."""


def controls_of(core: RegisterReader) -> Stage1Controls:
    """Return the controls of stage 1 that a CPU has, by its ID registers."""
    mmfr0, mmfr1, mmfr2, isar1 = (
        core.read_sysreg(lookup(f"ID_AA64{name}_EL1")) for name in ("MMFR0", "MMFR1", "MMFR2", "ISAR1")
    )
    if mmfr1:
        # The engine walks granules of 16 KiB regardless of what it announces. Only on Armv8.0 CPUs this is prevented
        # (walk_checks).
        mmfr0 = int(Aa64Mmfr0(mmfr0).replace(TGran16=1))
    return stage1_controls(mmfr0=mmfr0, mmfr1=mmfr1, mmfr2=mmfr2, isar1=isar1)


class GuestMemory:
    """The memory of a guest, by IPA and by VA; ``core`` provides its registers."""

    def __init__(self, core: RegisterReader, hal: Aarch64Hal) -> None:
        self._core = core
        self._hal = hal
        self._controls: Stage1Controls | None = None

    @property
    def controls(self) -> Stage1Controls:
        """The controls of stage 1 that the CPU has."""
        if self._controls is None:
            self._controls = controls_of(self._hal.core(0))
        return self._controls

    def tcr(self) -> int:
        """Return TCR_EL1 without the controls that the CPU lacks."""
        return self.controls.effective_tcr(self._sysreg("TCR_EL1"))

    def sctlr(self) -> int:
        """Return SCTLR_EL1 without the controls that the CPU lacks."""
        return self.controls.effective_sctlr(self._sysreg("SCTLR_EL1"))

    def walk_ipa(self, ipa: int, access: Access | None = None) -> Walk:
        """Walk stage 2 for an address."""
        return walk_stage2(self._read_physical, self._sysreg("VTTBR_EL2"), self._sysreg("VTCR_EL2"), ipa, access)

    def read_u64(self, ipa: int) -> int | None:
        """Return the 64-bit word at an IPA, None where nothing backs it."""
        paddr = self.walk_ipa(ipa).output
        return None if paddr is None else self._read_physical(paddr)

    def translate(self, vaddr: int, *, el: int = 1, access: Access | None = None, pan: bool = False) -> Translation:
        """Walk both stages for an access from ``el``; ``pan`` is PSTATE.PAN."""
        stage1 = walk_stage1(
            self._read_table,
            ttbr0=self._sysreg("TTBR0_EL1"),
            ttbr1=self._sysreg("TTBR1_EL1"),
            tcr=self.tcr(),
            sctlr=self.sctlr(),
            mair=self._sysreg("MAIR_EL1"),
            va=vaddr,
            access=access,
            el=el,
            pan=pan,
            pa_bits=self.controls.pa_bits,
        )
        if stage1.output is None:
            return Translation(stage1, None)
        return Translation(stage1, self.walk_ipa(stage1.output, access))

    def _read_table(self, ipa: int) -> int | None:
        """Return a descriptor of stage 1, None where stage 2 does not permit the walk to read it."""
        paddr = self.walk_ipa(ipa, Access.READ).output
        return None if paddr is None else self._read_physical(paddr)

    def _sysreg(self, name: str) -> int:
        return self._core.read_sysreg(lookup(name))

    def _read_physical(self, paddr: int) -> int | None:
        try:
            return int.from_bytes(self._hal.memory(paddr, _WORD), "little")
        except MemoryMapError:
            return None
