"""How a vCPU is created and set up, and its registers at reset (the crate's two configurations)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.registers.constant_registers import ConstantRegister
from arm_vcpu_cli.arch.registers.el1regs import Mpidr
from arm_vcpu_cli.arch.registers.el2regs import Cnthctl, Hcr, Mdcr
from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.arm_vcpu.psci import PowerStates
from arm_vcpu_cli.arm_vcpu.smc import SmcTable
from arm_vcpu_cli.arm_vcpu.stage2 import Stage2AddressSpace
from arm_vcpu_cli.arm_vcpu.trng import EntropySource
from arm_vcpu_cli.record import Record

SCTLR_EL1_RESET: Final = 0x30C5_0830
MDCR_EL2: Final = int(Mdcr.of(TPM=1, TPMCR=1))
"""The ID registers announce no performance monitors; the core's own, which count host time, trap."""
PMUSERENR_EL0: Final = 0x1
"""EN, so that none of them traps from EL0 to EL1 before it traps to EL2. The other bits would let the core skip that
trap."""


class Aarch64VCpuCreateConfig(Record):
    """``mpidr_el1``: the affinity that the guest sees; ``dtb_addr``: IPA of the device tree, given in x0.

    ``number`` is ours: the index of the vCPU in reports to observers.
    """

    mpidr_el1: int = 0
    dtb_addr: int = 0
    number: int = 0


class Aarch64VCpuSetupConfig(Record):
    """How EL2 treats the guest; the first two are the crate's.

    ``passthrough_interrupt``: physical interrupts are not routed to EL2 (HCR_EL2.IMO and FMO clear).
    ``passthrough_timer``: EL1 may use the physical counter and timer itself (CNTHCTL_EL2.EL1PCEN, EL1PCTEN).
    ``gic_cpu_interface``: the guest has a GICv3 CPU interface: every ICC_*_EL1 access traps, as on a PE whose
    ICH_HCR_EL2 traps them all, and ID_AA64PFR0_EL1 announces it. Without it only the registers that send SGIs trap.
    ``trap_wfi`` and ``trap_id_registers``: HCR_EL2.TWI and TID3. ``hcr``, ``cptr`` and ``mdcr``: further bits of
    HCR_EL2, CPTR_EL2 and MDCR_EL2 by name. ``vtcr``: VTCR_EL2 of the tables given to ``set_ept_root``, by default that
    of the whole PA range of the CPU. ``features``: architecture features (FEAT_*) to announce or to hide, visible to
    the guest with ``trap_id_registers``. ``entropy``: source of bytes for the TRNG functions (DEN0098); None omits
    them. ``power``: answers questions about the power states of the other CPUs; None for a single vCPU. ``smc_table``:
    the answers of the monitor at EL3. ``on_demand``: the stage 2 whose memory becomes executable when the guest
    executes from it, if there is one. ``constants``: system registers that the CPU has but the core lacks, which the
    platform answers.
    """

    passthrough_interrupt: bool = False
    passthrough_timer: bool = False
    gic_cpu_interface: bool = False
    vtcr: int | None = None
    trap_wfi: bool = True
    trap_id_registers: bool = True
    hcr: tuple[str, ...] = ()
    cptr: tuple[str, ...] = ()
    mdcr: tuple[str, ...] = ()
    features: tuple[tuple[str, bool], ...] = ()
    entropy: EntropySource | None = None
    power: PowerStates | None = None
    smc_table: SmcTable = MappingProxyType({})
    on_demand: Stage2AddressSpace | None = None
    constants: Mapping[SysReg, ConstantRegister] = MappingProxyType({})


def reset_hcr(config: Aarch64VCpuSetupConfig) -> Hcr:
    """Return HCR_EL2 of a guest: VM, RW, TSC; IMO and FMO unless interrupts are passed through; and our traps."""
    routed = int(not config.passthrough_interrupt)
    return Hcr.of(
        VM=1,
        RW=1,
        TSC=1,
        IMO=routed,
        FMO=routed,
        TWI=int(config.trap_wfi),
        TID3=int(config.trap_id_registers),
    ).replace(**dict.fromkeys(config.hcr, 1))


def virtual_mpidr(affinity: int) -> int:
    """Return VMPIDR_EL2: bit 31 (RES1) and the affinity."""
    return int(Mpidr(affinity).replace(RES1=1))


def reset_registers(config: Aarch64VCpuSetupConfig, *, vmpidr: int, vttbr: int, vtcr: int) -> dict[str, int]:
    """Return the system registers of a guest at reset, by name; all others keep the core's value."""
    physical_timer = int(config.passthrough_timer)
    return {
        "SCTLR_EL1": SCTLR_EL1_RESET,
        "CNTVOFF_EL2": 0,
        "CNTKCTL_EL1": 0,
        "PMCR_EL0": 0,
        "CNTHCTL_EL2": int(Cnthctl.of(EL1PCEN=physical_timer, EL1PCTEN=physical_timer)),
        "VMPIDR_EL2": vmpidr,
        "VTCR_EL2": vtcr,
        "VTTBR_EL2": vttbr,
        "HCR_EL2": int(reset_hcr(config)),
    }
