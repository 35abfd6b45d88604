"""The Arm ARM's titles of the general system registers, the sections that describe them, and their reset values, as
data.

Each key is a group and the place in DDI 0487; it has one line for each register: ``NAME | title | reset``. A name with
``{1-3}`` or ``{IA,IB}`` stands for several registers: each part replaces the braces, and ``#`` in the rest. A line
without a name continues the previous one. The reset is

- ``?`` for architecturally UNKNOWN, ``=`` for a fixed value of the implementation,
- ``M C=0``, the fields that reset to a known value (the others are UNKNOWN; ``*`` is all fields), with ``@EL1`` only
  where that is the highest implemented Exception level, and with ``@cold`` only on a Cold reset,
- ``~`` and words for everything else, or nothing if this table does not define it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

GENERAL: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("identification", "DDI 0487, D24.2"): """
            MIDR_EL1 | Main ID Register | =
            MPIDR_EL1 | Multiprocessor Affinity Register | =
            REVIDR_EL1 | Revision ID Register | =
            AIDR_EL1 | Auxiliary ID Register | =
            ID_PFR{0-2}_EL1 | AArch32 Processor Feature Register # | =
            ID_DFR{0-1}_EL1 | AArch32 Debug Feature Register # | =
            ID_AFR0_EL1 | AArch32 Auxiliary Feature Register 0 | =
            ID_MMFR{0-5}_EL1 | AArch32 Memory Model Feature Register # | =
            ID_ISAR{0-6}_EL1 | AArch32 Instruction Set Attribute Register # | =
            MVFR{0-2}_EL1 | AArch32 Media and VFP Feature Register # | =
            ID_AA64PFR{0-2}_EL1 | AArch64 Processor Feature Register # | =
            ID_AA64ZFR0_EL1 | SVE Feature ID Register 0 | =
            ID_AA64SMFR0_EL1 | SME Feature ID Register 0 | =
            ID_AA64FPFR0_EL1 | AArch64 Floating-point Feature Register 0 | =
            ID_AA64DFR{0-2}_EL1 | AArch64 Debug Feature Register # | =
            ID_AA64AFR{0-1}_EL1 | AArch64 Auxiliary Feature Register # | =
            ID_AA64ISAR{0-3}_EL1 | AArch64 Instruction Set Attribute Register # | =
            ID_AA64MMFR{0-4}_EL1 | AArch64 Memory Model Feature Register # | =
            CTR_EL0 | Cache Type Register | =
            CLIDR_EL1 | Cache Level ID Register | =
            CCSIDR_EL1 | Current Cache Size ID Register | =
            CCSIDR2_EL1 | Current Cache Size ID Register 2 | =
            CSSELR_EL1 | Cache Size Selection Register | ?
            DCZID_EL0 | Data Cache Zero ID Register | =
            GMID_EL1 | Multiple Tag Transfer ID Register | =
            SMIDR_EL1 | Streaming Mode Identification Register | =
            MPAMIDR_EL1 | MPAM ID Register (EL1) | =
            LORID_EL1 | LORegionID (EL1) | =
            ERRIDR_EL1 | Error Record ID Register | =""",
        ("system control", "DDI 0487, D24.2"): """
            SCTLR_EL{1-3} | System Control Register (EL#) | M C I=0 @EL#
            SCTLR2_EL{1-2} | System Control Register (EL#) |
            ACTLR_EL{1-3} | Auxiliary Control Register (EL#) |
            CPACR_EL1 | Architectural Feature Access Control Register | ?
            ZCR_EL{1-3} | SVE Control Register (EL#) | ?
            SMCR_EL{1-3} | SME Control Register (EL#) |
            SMPRI_EL1 | Streaming Mode Priority Register |
            TRFCR_EL{1-2} | Trace Filter Control Register (EL#) |
            RGSR_EL1 | Random Allocation Tag Seed Register | ?
            GCR_EL1 | Tag Control Register | ?
            GCSCR_EL1 | Guarded Control Stack Control (EL1) |
            GCSCRE0_EL1 | Guarded Control Stack Control (EL0) |
            GCSPR_EL{0-1} | Guarded Control Stack Pointer Register (EL#) | ?
            AP{IA,IB,DA,DB,GA}KeyLo_EL1 | Pointer Authentication Key (bits 63:0) | ?
            AP{IA,IB,DA,DB,GA}KeyHi_EL1 | Pointer Authentication Key (bits 127:64) | ?
            ACCDATA_EL1 | Accelerator Data | ?
            RNDR | Random Number |
            RNDRRS | Reseeded Random Number |
            CONTEXTIDR_EL{1-2} | Context ID Register (EL#) | ?
            TPIDR_EL{0-3} | EL# Read/Write Software Thread ID Register | ?
            TPIDRRO_EL0 | EL0 Read-Only Software Thread ID Register | ?
            TPIDR2_EL0 | EL0 Read/Write Software Thread ID Register 2 | ?
            SCXTNUM_EL{0-3} | EL# Read/Write Software Context Number | ?
            SCR_EL3 | Secure Configuration Register |
            CPTR_EL3 | Architectural Feature Trap Register (EL3) |
            SDER32_EL{2-3} | AArch32 Secure Debug Enable Register |""",
        ("virtualization", "DDI 0487, D24.2"): """
            HCR_EL2 | Hypervisor Configuration Register | ?
            HCRX_EL2 | Extended Hypervisor Configuration Register |
            CPTR_EL2 | Architectural Feature Trap Register (EL2) | ?
            HSTR_EL2 | Hypervisor System Trap Register |
            HACR_EL2 | Hypervisor Auxiliary Control Register |
            HFGRTR_EL2 | Hypervisor Fine-Grained Read Trap Register |
            HFGWTR_EL2 | Hypervisor Fine-Grained Write Trap Register |
            HFGITR_EL2 | Hypervisor Fine-Grained Instruction Trap Register |
            HDFGRTR_EL2 | Hypervisor Debug Fine-Grained Read Trap Register |
            HDFGWTR_EL2 | Hypervisor Debug Fine-Grained Write Trap Register |
            HAFGRTR_EL2 | Hypervisor Activity Monitors Fine-Grained Read Trap Register |
            HFGRTR2_EL2 | Hypervisor Fine-Grained Read Trap Register 2 |
            HFGWTR2_EL2 | Hypervisor Fine-Grained Write Trap Register 2 |
            HFGITR2_EL2 | Hypervisor Fine-Grained Instruction Trap Register 2 |
            HDFGRTR2_EL2 | Hypervisor Debug Fine-Grained Read Trap Register 2 |
            HDFGWTR2_EL2 | Hypervisor Debug Fine-Grained Write Trap Register 2 |
            VPIDR_EL2 | Virtualization Processor ID Register | ~ as MIDR_EL1 where EL2 or EL3 is highest
            VMPIDR_EL2 | Virtualization Multiprocessor ID Register | ~ as MPIDR_EL1 where EL2 or EL3 is highest
            VTCR_EL2 | Virtualization Translation Control Register | ?
            VTTBR_EL2 | Virtualization Translation Table Base Register | ?
            VSTCR_EL2 | Virtualization Secure Translation Control Register | ?
            VSTTBR_EL2 | Virtualization Secure Translation Table Base Register | ?
            VNCR_EL2 | Virtual Nested Control Register | ?
            VSESR_EL2 | Virtual SError Exception Syndrome Register | ?
            VDISR_EL2 | Virtual Deferred Interrupt Status Register | ?
            HPFAR_EL2 | Hypervisor IPA Fault Address Register | ?
            SMPRIMAP_EL2 | Streaming Mode Priority Mapping Register |
            DACR32_EL2 | Domain Access Control Register | ?
            IFSR32_EL2 | Instruction Fault Status Register (EL2) | ?
            FPEXC32_EL2 | Floating-Point Exception Control Register |""",
        ("translation", "DDI 0487, D24.2"): """
            TTBR0_EL{1-3} | Translation Table Base Register 0 (EL#) | ?
            TTBR1_EL{1-2} | Translation Table Base Register 1 (EL#) | ?
            TCR_EL{1-3} | Translation Control Register (EL#) | ?
            TCR2_EL{1-2} | Extended Translation Control Register (EL#) |
            MAIR_EL{1-3} | Memory Attribute Indirection Register (EL#) | ?
            MAIR2_EL{1-2} | Extended Memory Attribute Indirection Register (EL#) | ?
            AMAIR_EL{1-3} | Auxiliary Memory Attribute Indirection Register (EL#) | ?
            AMAIR2_EL{1-2} | Extended Auxiliary Memory Attribute Indirection Register (EL#) | ?
            PIR_EL{1-2} | Permission Indirection Register (EL#) | ?
            PIRE0_EL{1-2} | Permission Indirection Register 0 (EL#) | ?
            POR_EL{0-2} | Permission Overlay Register (EL#) | ?
            S2PIR_EL2 | Stage 2 Permission Indirection Register | ?
            S2POR_EL1 | Stage 2 Permission Overlay Register (EL1) | ?
            RCWMASK_EL1 | Read Check Write Instruction Mask (EL1) | ?
            RCWSMASK_EL1 | Software Read Check Write Instruction Mask (EL1) | ?
            PAR_EL1 | Physical Address Register | ?
            LORSA_EL1 | LORegion Start Address (EL1) |
            LOREA_EL1 | LORegion End Address (EL1) |
            LORN_EL1 | LORegion Number (EL1) |
            LORC_EL1 | LORegion Control (EL1) |
            GPTBR_EL3 | Granule Protection Table Base Register |
            GPCCR_EL3 | Granule Protection Check Control Register (EL3) |
            MPAM{0-1}_EL1 | MPAM# Register (EL1) |
            MPAM2_EL2 | MPAM2 Register (EL2) |
            MPAM3_EL3 | MPAM3 Register (EL3) |
            MPAMHCR_EL2 | MPAM Hypervisor Control Register (EL2) |
            MPAMVPMV_EL2 | MPAM Virtual Partition Mapping Valid Register |
            MPAMVPM{0-7}_EL2 | MPAM Virtual PARTID Mapping Register # |""",
        ("exceptions", "DDI 0487, D24.2"): """
            ESR_EL{1-3} | Exception Syndrome Register (EL#) | ?
            FAR_EL{1-3} | Fault Address Register (EL#) | ?
            PFAR_EL1 | Physical Fault Address Register (EL1) | ?
            MFAR_EL3 | Physical Fault Address Register (EL3) | ?
            AFSR0_EL{1-3} | Auxiliary Fault Status Register 0 (EL#) | ?
            AFSR1_EL{1-3} | Auxiliary Fault Status Register 1 (EL#) | ?
            VBAR_EL{1-3} | Vector Base Address Register (EL#) | ?
            RVBAR_EL{1-3} | Reset Vector Base Address Register (if EL# is the highest Exception level) | =
            RMR_EL{1-3} | Reset Management Register (EL#) |
            ISR_EL1 | Interrupt Status Register | ?
            DISR_EL1 | Deferred Interrupt Status Register | ?
            TFSR_EL{1-3} | Tag Fault Status Register (EL#) | ?
            TFSRE0_EL1 | Tag Fault Status Register (EL0) | ?
            ERRSELR_EL1 | Error Record Select Register | ?
            ERXFR_EL1 | Selected Error Record Feature Register |
            ERXCTLR_EL1 | Selected Error Record Control Register |
            ERXSTATUS_EL1 | Selected Error Record Primary Status Register |
            ERXADDR_EL1 | Selected Error Record Address Register |
            ERXPFGF_EL1 | Selected Pseudo-fault Generation Feature Register |
            ERXPFGCTL_EL1 | Selected Pseudo-fault Generation Control Register |
            ERXPFGCDN_EL1 | Selected Pseudo-fault Generation Countdown Register |
            ERXMISC{0-3}_EL1 | Selected Error Record Miscellaneous Register # |""",
        ("special-purpose", "DDI 0487, C5.2"): """
            PSTATE | Process State (layout of SPSR_ELx) | D A I F=1 IL SS=0
            SPSR_EL{1-3} | Saved Program Status Register (EL#) | ?
            SPSR_abt | Saved Program Status Register (Abort mode) | ?
            SPSR_fiq | Saved Program Status Register (FIQ mode) | ?
            SPSR_irq | Saved Program Status Register (IRQ mode) | ?
            SPSR_und | Saved Program Status Register (Undefined mode) | ?
            ELR_EL{1-3} | Exception Link Register (EL#) | ?
            SP_EL{0-2} | Stack Pointer (EL#) | ?
            SPSel | Stack Pointer Select | SP=1
            CurrentEL | Current Exception Level | ~ the highest implemented Exception level
            DAIF | Interrupt Mask Bits | *=1
            NZCV | Condition Flags | ?
            PAN | Privileged Access Never |
            UAO | User Access Override |
            DIT | Data Independent Timing |
            SSBS | Speculative Store Bypass Safe |
            TCO | Tag Check Override |
            ALLINT | All Interrupt Mask Bit |
            SVCR | Streaming Vector Control Register | *=0
            FPCR | Floating-point Control Register | ?
            FPSR | Floating-point Status Register | ?
            FPMR | Floating-point Mode Register | ?
            DSPSR_EL0 | Debug Saved Program Status Register | ?
            DLR_EL0 | Debug Link Register | ?""",
    }
)
"""By (group, section): the registers of chapters C5.2 and D24.2."""
