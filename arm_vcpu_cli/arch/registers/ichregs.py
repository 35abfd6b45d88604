"""The layouts of the GICv3 registers that a hypervisor and firmware use, and the rest of ICC_* (IHI 0069H, 12.2, 12.4).

The registers of a CPU interface that a guest uses are in ``gicregs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Register
from arm_vcpu_cli.arch.registers.gicregs import IccIntid
from arm_vcpu_cli.arch.registers.layouttext import declare

_ACTIVE_PRIORITIES: Final = declare(
    "ActivePriorities", "63 NMI # an NMI is active; 31:0 P # one bit per preemption level"
)
_LIST_REGISTER: Final = """
    63:62 State = inactive | pending | active | pending and active
    61 HW = software | hardware # deactivating it deactivates the physical interrupt
    60 Group = group 0 | group 1
    59 NMI # non-maskable
    55:48 Priority # lower numbers have priority
    44:32 pINTID # physical INTID, or with HW = 0 bit 41: maintenance interrupt on EOI
    31:0 vINTID # INTID that the guest sees"""

_TEXTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ICH_HCR_EL2": """
            31:27 EOIcount # EOIs of interrupts without a list register
            15 DVIM # direct injection is masked
            14 TDIR # trap ICC_DIR_EL1
            13 TSEI # trap locally generated SErrors
            12 TALL1 # trap the group 1 registers
            11 TALL0 # trap the group 0 registers
            10 TC # trap the registers common to both groups
            8 vSGIEOICount # EOIs of virtual SGIs do not count
            7 VGrp1DIE # maintenance interrupt when group 1 is disabled
            6 VGrp1EIE # maintenance interrupt when group 1 is enabled
            5 VGrp0DIE # maintenance interrupt when group 0 is disabled
            4 VGrp0EIE # maintenance interrupt when group 0 is enabled
            3 NPIE # maintenance interrupt when none is pending
            2 LRENPIE # maintenance interrupt when EOIcount is not 0
            1 UIE # maintenance interrupt on underflow
            0 En # the virtual CPU interface is on""",
        "ICH_VTR_EL2": """
            31:29 PRIbits # priority bits minus one
            28:26 PREbits # preemption bits minus one
            25:23 IDbits = 0 16 bits | 1 24 bits # size of an INTID
            22 SEIS # local SErrors
            21 A3V # SGIs with a nonzero Aff3
            20 nV4 # no direct injection
            19 TDS # ICH_HCR_EL2.TDIR is implemented
            18 DVIM # ICH_HCR_EL2.DVIM is implemented
            4:0 ListRegs # list registers minus one""",
        "ICH_MISR_EL2": """
            7 VGrp1D # group 1 is disabled
            6 VGrp1E # group 1 is enabled
            5 VGrp0D # group 0 is disabled
            4 VGrp0E # group 0 is enabled
            3 NP # none is pending
            2 LRENP # EOIcount is not 0
            1 U # underflow: at most one list register is in use
            0 EOI # a list register requests it""",
        "ICH_EISR_EL2": "15:0 Status # one bit per list register: EOI happened",
        "ICH_ELRSR_EL2": "15:0 Status # one bit per list register: empty",
        "ICH_VMCR_EL2": """
            31:24 VPMR # ICV_PMR_EL1.Priority
            23:21 VBPR0 # ICV_BPR0_EL1.BinaryPoint
            20:18 VBPR1 # ICV_BPR1_EL1.BinaryPoint
            9 VEOIM # ICV_CTLR_EL1.EOImode
            4 VCBPR # ICV_CTLR_EL1.CBPR
            3 VFIQEn # group 0 is signalled as FIQ
            2 VAckCtl # GICv2 only
            1 VENG1 # ICV_IGRPEN1_EL1.Enable
            0 VENG0 # ICV_IGRPEN0_EL1.Enable""",
        "ICC_SRE_EL2": """
            3 Enable # EL1 may use ICC_SRE_EL1
            2 DIB # no IRQ bypass
            1 DFB # no FIQ bypass
            0 SRE # system register interface""",
        "ICC_SRE_EL3": """
            3 Enable # EL2 and EL1 may use ICC_SRE_EL2 and ICC_SRE_EL1
            2 DIB # no IRQ bypass
            1 DFB # no FIQ bypass
            0 SRE # system register interface""",
        "ICC_CTLR_EL3": """
            19 ExtRange # extended INTIDs are supported
            18 RSS # SGI range selector
            17 nDS # security cannot be disabled
            15 A3V # SGIs with a nonzero Aff3
            14 SEIS # local SErrors
            13:11 IDbits = 0 16 bits | 1 24 bits # size of an INTID
            10:8 PRIbits # priority bits minus one
            6 PMHE # priority mask hints to the distributor
            5 RM # routing modifier
            4 EOImode_EL1NS # EOIR only drops the priority, Non-secure EL1
            3 EOImode_EL1S # EOIR only drops the priority, Secure EL1
            2 EOImode_EL3 # EOIR only drops the priority, EL3
            1 CBPR_EL1NS # BPR0 is used for both groups, Non-secure EL1
            0 CBPR_EL1S # BPR0 is used for both groups, Secure EL1""",
        "ICC_IGRPEN1_EL3": """
            1 EnableGrp1S # Secure group 1 is on
            0 EnableGrp1NS # Non-secure group 1 is on""",
    }
)

ICH_LAYOUTS: Final[Mapping[str, type[Register]]] = MappingProxyType(
    {
        **{name: declare(name, text) for name, text in _TEXTS.items()},
        **dict.fromkeys((f"ICH_LR{n}_EL2" for n in range(16)), declare("ICH_LR", _LIST_REGISTER)),
        **{
            f"{prefix}_AP{group}R{n}_{level}": _ACTIVE_PRIORITIES
            for prefix, level in (("ICC", "EL1"), ("ICH", "EL2"))
            for group in (0, 1)
            for n in range(4)
        },
        "ICC_NMIAR1_EL1": IccIntid,
    }
)
"""The layouts by name. Bit 63 of the active priorities exists only in AP1R0, with FEAT_GICv3_NMI."""
