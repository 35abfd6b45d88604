"""The layouts of the self-hosted debug registers (DDI 0487, D24.3); MDSCR_EL1 and MDCR_EL2 are with their levels."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Register
from arm_vcpu_cli.arch.registers.layouttext import declare

_TEXTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "MDCCSR_EL0": "30 RXfull # DTRRX is full; 29 TXfull # DTRTX is full",
        "MDCCINT_EL1": "30 RX # interrupt when DTRRX is full; 29 TX # interrupt when DTRTX is empty",
        "MDSELR_EL1": "5:4 BANK = 0 0 to 15 | 1 16 to 31 | 2 32 to 47 | 3 48 to 63 # accessible bank of breakpoints",
        "MDRAR_EL1": """
            55:12 ROMADDR # address of the ROM table, bits 55:12
            1:0 Valid = not valid | 3 valid""",
        "OSLAR_EL1": "0 OSLK = unlock | lock # the OS lock",
        "OSLSR_EL1": """
            3 OSLM_1 # with OSLM_0, 0b10: the OS lock is implemented
            2 nTT # always 0: a 32-bit OSLAR
            1 OSLK = unlocked | locked # the OS lock
            0 OSLM_0 # low bit of OSLM""",
        "OSDLR_EL1": "0 DLK = unlocked | locked # the OS double lock",
        "DBGPRCR_EL1": "0 CORENPDRQ # emulate a powerdown of the core",
        "DBGCLAIMSET_EL1": "7:0 CLAIM # claim tags that software sets",
        "DBGCLAIMCLR_EL1": "7:0 CLAIM # claim tags that are set, a 1 clears",
        "DBGAUTHSTATUS_EL1": """
            27:26 RTNID = 0 none | 2 disabled | 3 enabled # Root non-invasive debug
            25:24 RTID = 0 none | 2 disabled | 3 enabled # Root invasive debug
            15:14 RLNID = 0 none | 2 disabled | 3 enabled # Realm non-invasive debug
            13:12 RLID = 0 none | 2 disabled | 3 enabled # Realm invasive debug
            7:6 SNID = 0 none | 2 disabled | 3 enabled # Secure non-invasive debug
            5:4 SID = 0 none | 2 disabled | 3 enabled # Secure invasive debug
            3:2 NSNID = 0 none | 2 disabled | 3 enabled # Non-secure non-invasive debug
            1:0 NSID = 0 none | 2 disabled | 3 enabled # Non-secure invasive debug""",
        "DBGDTR_EL0": "63:32 HighWord # read from or written to DTRTX or DTRRX; 31:0 LowWord # the other half",
        "DBGDTRRX_EL0": "31:0 DTRRX # word from the debugger",
        "DBGDTRTX_EL0": "31:0 DTRTX # word to the debugger",
        "OSDTRRX_EL1": "31:0 DTRRX # saved word from the debugger",
        "OSDTRTX_EL1": "31:0 DTRTX # saved word to the debugger",
        "OSECCR_EL1": "31:0 EDECCR # saved exception catch control",
        "DBGVCR32_EL2": """
            31 NSF; 30 NSI; 28 NSD; 27 NSP; 26 NSS; 25 NSU # Non-secure FIQ to Undefined vectors
            7 SF; 6 SI; 4 SD; 3 SP; 2 SS; 1 SU # Secure FIQ to Undefined vectors""",
        "DLR_EL0": "63:0 ADDR # address to restart from",
    }
)

_BREAKPOINT_CONTROL: Final = """
    31:30 LBNX # linked breakpoint, bits 5:4
    29 SSCE # security state control, extended
    28:24 MASK # address bits that are ignored
    23:20 BT = address | address, linked | context | context, linked | address mismatch |
        address mismatch, linked | CONTEXTIDR_EL1 | CONTEXTIDR_EL1, linked | VMID | VMID, linked |
        VMID and context | VMID and context, linked | CONTEXTIDR_EL2 | CONTEXTIDR_EL2, linked |
        full context | full context, linked # kind of match
    19:16 LBN # linked breakpoint
    15:14 SSC # security state control
    13 HMC # higher mode control
    8:5 BAS # bytes of the instruction
    3 BT2 # linking enabled
    2:1 PMC # Exception levels
    0 E = disabled | enabled"""

_WATCHPOINT_CONTROL: Final = """
    31:30 LBNX # linked breakpoint, bits 5:4
    29 SSCE # security state control, extended
    28:24 MASK # address bits that are ignored
    21 WT2 # mismatch
    20 WT = unlinked | linked
    19:16 LBN # linked breakpoint
    15:14 SSC # security state control
    13 HMC # higher mode control
    12:5 BAS # bytes of the doubleword
    4:3 LSC = 1 loads | 2 stores | 3 loads and stores
    2:1 PAC # Exception levels
    0 E = disabled | enabled"""

# The value register of a breakpoint holds an address or, depending on DBGBCR.BT, a context or a VMID.
_BREAKPOINT: Final[Mapping[str, type[Register]]] = MappingProxyType(
    {
        "DBGBVR": declare("DBGBVR", "63:0 VALUE # address, context identifier or VMID, by DBGBCR.BT"),
        "DBGBCR": declare("DBGBCR", _BREAKPOINT_CONTROL),
        "DBGWVR": declare("DBGWVR", "63:2 VA # address, bits 63:2"),
        "DBGWCR": declare("DBGWCR", _WATCHPOINT_CONTROL),
    }
)

DEBUG_LAYOUTS: Final[Mapping[str, type[Register]]] = MappingProxyType(
    {
        **{name: declare(name, text) for name, text in _TEXTS.items()},
        **{f"{prefix}{n}_EL1": layout for prefix, layout in _BREAKPOINT.items() for n in range(16)},
    }
)
"""The layouts of the debug registers by name."""
