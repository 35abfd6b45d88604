"""The titles of the registers of debug, monitors, timers and GIC, in the format of ``register_titles``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

UNITS: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("debug", "DDI 0487, D24.3"): """
            MDCR_EL2 | Monitor Debug Configuration Register (EL2) |
            MDCR_EL3 | Monitor Debug Configuration Register (EL3) |
            MDSCR_EL1 | Monitor Debug System Control Register |
                EHBWE TTA TFO RXfull TXfull RXO TXU INTdis TDA SC2 HDE ERR=0 @cold
            MDCCSR_EL0 | Monitor DCC Status Register |
            MDCCINT_EL1 | Monitor DCC Interrupt Enable Register |
            MDSELR_EL1 | Breakpoint and Watchpoint Selection Register | ?
            MDRAR_EL1 | Monitor Debug ROM Address Register | =
            OSLAR_EL1 | OS Lock Access Register |
            OSLSR_EL1 | OS Lock Status Register | OSLK=1 @cold
            OSDLR_EL1 | OS Double Lock Register | DLK=0
            OSECCR_EL1 | OS Lock Exception Catch Control Register |
            OSDTRRX_EL1 | OS Lock Data Transfer Register, Receive | ?
            OSDTRTX_EL1 | OS Lock Data Transfer Register, Transmit | ?
            DBGBVR{0-15}_EL1 | Debug Breakpoint Value Register # | ?
            DBGBCR{0-15}_EL1 | Debug Breakpoint Control Register # | ?
            DBGWVR{0-15}_EL1 | Debug Watchpoint Value Register # | ?
            DBGWCR{0-15}_EL1 | Debug Watchpoint Control Register # | ?
            DBGPRCR_EL1 | Debug Power Control Register |
            DBGCLAIMSET_EL1 | Debug CLAIM Tag Set Register |
            DBGCLAIMCLR_EL1 | Debug CLAIM Tag Clear Register | CLAIM=0 @cold
            DBGAUTHSTATUS_EL1 | Debug Authentication Status Register | =
            DBGDTR_EL0 | Debug Data Transfer Register, half-duplex | ?
            DBGDTRRX_EL0 | Debug Data Transfer Register, Receive | ?
            DBGDTRTX_EL0 | Debug Data Transfer Register, Transmit | ?
            DBGVCR32_EL2 | Debug Vector Catch Register | ?""",
        ("performance monitors", "DDI 0487, D24.5"): """
            PMCR_EL0 | Performance Monitors Control Register | E=0
            PMCNTENSET_EL0 | Performance Monitors Count Enable Set Register | ?
            PMCNTENCLR_EL0 | Performance Monitors Count Enable Clear Register | ?
            PMOVSCLR_EL0 | Performance Monitors Overflow Flag Status Clear Register | ?
            PMOVSSET_EL0 | Performance Monitors Overflow Flag Status Set Register | ?
            PMSWINC_EL0 | Performance Monitors Software Increment Register |
            PMSELR_EL0 | Performance Monitors Event Counter Selection Register | ?
            PMCEID{0-1}_EL0 | Performance Monitors Common Event Identification Register # | =
            PMCCNTR_EL0 | Performance Monitors Cycle Count Register | ?
            PMCCFILTR_EL0 | Performance Monitors Cycle Count Filter Register |
            PMXEVTYPER_EL0 | Performance Monitors Selected Event Type Register |
            PMXEVCNTR_EL0 | Performance Monitors Selected Event Count Register | ?
            PMUSERENR_EL0 | Performance Monitors User Enable Register |
            PMINTENSET_EL1 | Performance Monitors Interrupt Enable Set Register | ?
            PMINTENCLR_EL1 | Performance Monitors Interrupt Enable Clear Register | ?
            PMMIR_EL1 | Performance Monitors Machine Identification Register | =
            PMEVCNTR{0-30}_EL0 | Performance Monitors Event Count Register # | ?
            PMEVTYPER{0-30}_EL0 | Performance Monitors Event Type Register # | ?""",
        ("activity monitors", "DDI 0487, D24.6"): """
            AMCR_EL0 | Activity Monitors Control Register |
            AMCFGR_EL0 | Activity Monitors Configuration Register | =
            AMCGCR_EL0 | Activity Monitors Counter Group Configuration Register | =
            AMUSERENR_EL0 | Activity Monitors User Enable Register |
            AMCG1IDR_EL0 | Activity Monitors Counter Group 1 Identification Register | =
            AMCNTENSET{0-1}_EL0 | Activity Monitors Count Enable Set Register # |
            AMCNTENCLR{0-1}_EL0 | Activity Monitors Count Enable Clear Register # |
            AMEVCNTR0{0-3}_EL0 | Activity Monitors Event Counter Register 0, counter # |
            AMEVCNTR1{0-15}_EL0 | Activity Monitors Event Counter Register 1, counter # |
            AMEVTYPER0{0-3}_EL0 | Activity Monitors Event Type Register 0, counter # | =
            AMEVTYPER1{0-15}_EL0 | Activity Monitors Event Type Register 1, counter # |""",
        ("profiling and trace", "DDI 0487, D24"): """
            PMSCR_EL1 | Statistical Profiling Control Register (EL1) |
            PMSNEVFR_EL1 | Sampling Inverted Event Filter Register | ?
            PMSICR_EL1 | Sampling Interval Counter Register | ?
            PMSIRR_EL1 | Sampling Interval Reload Register | ?
            PMSFCR_EL1 | Sampling Filter Control Register | ?
            PMSEVFR_EL1 | Sampling Event Filter Register | ?
            PMSLATFR_EL1 | Sampling Latency Filter Register | ?
            PMSIDR_EL1 | Sampling Profiling ID Register | =
            PMBLIMITR_EL1 | Profiling Buffer Limit Address Register |
            PMBPTR_EL1 | Profiling Buffer Write Pointer Register | ?
            PMBSR_EL1 | Profiling Buffer Status/syndrome Register (EL1) | ?
            PMBIDR_EL1 | Profiling Buffer ID Register | =
            TRBLIMITR_EL1 | Trace Buffer Limit Address Register |
            TRBPTR_EL1 | Trace Buffer Write Pointer Register | ?
            TRBBASER_EL1 | Trace Buffer Base Address Register | ?
            TRBSR_EL1 | Trace Buffer Status/syndrome Register (EL1) | ?
            TRBMAR_EL1 | Trace Buffer Memory Attribute Register | ?
            TRBTRG_EL1 | Trace Buffer Trigger Counter Register | ?
            TRBIDR_EL1 | Trace Buffer ID Register | =""",
        ("timers", "DDI 0487, D24.10"): """
            CNTFRQ_EL0 | Counter-timer Frequency Register | ?
            CNTPCT_EL0 | Counter-timer Physical Count Register |
            CNTVCT_EL0 | Counter-timer Virtual Count Register |
            CNTPCTSS_EL0 | Counter-timer Self-Synchronized Physical Count Register |
            CNTVCTSS_EL0 | Counter-timer Self-Synchronized Virtual Count Register |
            CNTKCTL_EL1 | Counter-timer Kernel Control Register | ?
            CNTHCTL_EL2 | Counter-timer Hypervisor Control Register | ?
            CNTVOFF_EL2 | Counter-timer Virtual Offset Register | ?
            CNTPOFF_EL2 | Counter-timer Physical Offset Register | ?
            CNTP_CTL_EL0 | Counter-timer Physical Timer Control Register | ?
            CNTP_CVAL_EL0 | Counter-timer Physical Timer CompareValue Register | ?
            CNTP_TVAL_EL0 | Counter-timer Physical Timer TimerValue Register | ?
            CNTV_CTL_EL0 | Counter-timer Virtual Timer Control Register | ?
            CNTV_CVAL_EL0 | Counter-timer Virtual Timer CompareValue Register | ?
            CNTV_TVAL_EL0 | Counter-timer Virtual Timer TimerValue Register | ?
            CNTHP_CTL_EL2 | Counter-timer Hypervisor Physical Timer Control Register | ?
            CNTHP_CVAL_EL2 | Counter-timer Hypervisor Physical Timer CompareValue Register | ?
            CNTHP_TVAL_EL2 | Counter-timer Hypervisor Physical Timer TimerValue Register | ?
            CNTHV_CTL_EL2 | Counter-timer Hypervisor Virtual Timer Control Register | ?
            CNTHV_CVAL_EL2 | Counter-timer Hypervisor Virtual Timer CompareValue Register | ?
            CNTHV_TVAL_EL2 | Counter-timer Hypervisor Virtual Timer TimerValue Register | ?
            CNTHPS_CTL_EL2 | Counter-timer Secure Physical Timer Control Register (EL2) | ?
            CNTHPS_CVAL_EL2 | Counter-timer Secure Physical Timer CompareValue Register (EL2) | ?
            CNTHPS_TVAL_EL2 | Counter-timer Secure Physical Timer TimerValue Register (EL2) | ?
            CNTHVS_CTL_EL2 | Counter-timer Secure Virtual Timer Control Register (EL2) | ?
            CNTHVS_CVAL_EL2 | Counter-timer Secure Virtual Timer CompareValue Register (EL2) | ?
            CNTHVS_TVAL_EL2 | Counter-timer Secure Virtual Timer TimerValue Register (EL2) | ?
            CNTPS_CTL_EL1 | Counter-timer Physical Secure Timer Control Register | ?
            CNTPS_CVAL_EL1 | Counter-timer Physical Secure Timer CompareValue Register | ?
            CNTPS_TVAL_EL1 | Counter-timer Physical Secure Timer TimerValue Register | ?""",
        ("GIC CPU interface", "IHI 0069H, 12.2"): """
            ICC_IAR{0-1}_EL1 | Interrupt Controller Interrupt Acknowledge Register # |
            ICC_EOIR{0-1}_EL1 | Interrupt Controller End Of Interrupt Register # |
            ICC_HPPIR{0-1}_EL1 | Interrupt Controller Highest Priority Pending Interrupt Register # |
            ICC_BPR{0-1}_EL1 | Interrupt Controller Binary Point Register # |
            ICC_AP0R{0-3}_EL1 | Interrupt Controller Active Priorities Group 0 Register # | *=0
            ICC_AP1R{0-3}_EL1 | Interrupt Controller Active Priorities Group 1 Register # | *=0
            ICC_NMIAR1_EL1 | Interrupt Controller Non-maskable Interrupt Acknowledge Register 1 |
            ICC_DIR_EL1 | Interrupt Controller Deactivate Interrupt Register |
            ICC_PMR_EL1 | Interrupt Controller Interrupt Priority Mask Register | Priority=0
            ICC_RPR_EL1 | Interrupt Controller Running Priority Register |
            ICC_SGI0R_EL1 | Interrupt Controller Software Generated Interrupt Group 0 Register |
            ICC_SGI1R_EL1 | Interrupt Controller Software Generated Interrupt Group 1 Register |
            ICC_ASGI1R_EL1 | Interrupt Controller Alias Software Generated Interrupt Group 1 Register |
            ICC_CTLR_EL1 | Interrupt Controller Control Register (EL1) |
            ICC_CTLR_EL3 | Interrupt Controller Control Register (EL3) |
            ICC_SRE_EL{1-3} | Interrupt Controller System Register Enable Register (EL#) |
            ICC_IGRPEN{0-1}_EL1 | Interrupt Controller Interrupt Group # Enable Register | Enable=0
            ICC_IGRPEN1_EL3 | Interrupt Controller Interrupt Group 1 Enable Register (EL3) | *=0""",
        ("GIC hypervisor control", "IHI 0069H, 12.4"): """
            ICH_HCR_EL2 | Interrupt Controller Hyp Control Register | *=0
            ICH_VTR_EL2 | Interrupt Controller VGIC Type Register | =
            ICH_VMCR_EL2 | Interrupt Controller Virtual Machine Control Register |
            ICH_MISR_EL2 | Interrupt Controller Maintenance Interrupt State Register |
            ICH_EISR_EL2 | Interrupt Controller End of Interrupt Status Register |
            ICH_ELRSR_EL2 | Interrupt Controller Empty List Register Status Register |
            ICH_AP0R{0-3}_EL2 | Interrupt Controller Hyp Active Priorities Group 0 Register # | *=0
            ICH_AP1R{0-3}_EL2 | Interrupt Controller Hyp Active Priorities Group 1 Register # | *=0
            ICH_LR{0-15}_EL2 | Interrupt Controller List Register # |""",
    }
)
"""By (group, section): the registers of the other chapters of D24, and of the GIC."""
