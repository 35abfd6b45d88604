"""The layouts of the performance monitors, activity monitors, profiling and trace buffers (DDI 0487, D24.5 to D24.8).

PMCR_EL0 is with the EL1 registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Register
from arm_vcpu_cli.arch.registers.layouttext import declare

_COUNTERS: Final = "32 F0 # instruction counter; 31 C # cycle counter; 30:0 P # one bit per event counter"
_LEVELS: Final = """
    31 P # do not count at EL1
    30 U # do not count at EL0
    29 NSK # Non-secure EL1, against P
    28 NSU # Non-secure EL0, against U
    27 NSH # count at EL2
    26 M # EL3, against P"""
_REALMS: Final = """
    24 SH # Secure EL2, against NSH
    22 RLK # Realm EL1, against P
    21 RLU # Realm EL0, against U
    20 RLH # Realm EL2, against NSH"""
_EVENT_TYPE: Final = f"""
    63:61 TC # threshold control
    60 TE # threshold edge
    59 SYNC # synchronous counter
    58:57 VS # SVE vector filter
    43:32 TH # threshold
    {_LEVELS}
    25 MT # count all threads
    {_REALMS}
    19:16 TLC # threshold linking
    15:0 evtCount # event number"""

_TEXTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "PMCNTENSET_EL0",
                "PMCNTENCLR_EL0",
                "PMOVSSET_EL0",
                "PMOVSCLR_EL0",
                "PMINTENSET_EL1",
                "PMINTENCLR_EL1",
            ),
            _COUNTERS,
        ),
        "PMSWINC_EL0": "30:0 P # counters to increment",
        "PMSELR_EL0": "4:0 SEL # counter of PMXEVTYPER and PMXEVCNTR, 31: the cycle counter",
        "PMCEID0_EL0": "63:32 IDhi # common events 0x4000 to 0x401F; 31:0 ID # common events 0x0000 to 0x001F",
        "PMCEID1_EL0": "63:32 IDhi # common events 0x4020 to 0x403F; 31:0 ID # common events 0x0020 to 0x003F",
        "PMUSERENR_EL0": """
            6 TID # trap PMCEID of EL0
            5 IR # EL0 may read the instruction counter
            4 UEN # per-counter permissions of PMUACR_EL1
            3 ER # EL0 may read event counters
            2 CR # EL0 may read the cycle counter
            1 SW # EL0 may write PMSWINC_EL0
            0 EN # EL0 may use the performance monitors""",
        "PMCCNTR_EL0": "63:0 CCNT # cycles",
        "PMXEVCNTR_EL0": "63:0 PMEVCNTR # value of the selected counter",
        "PMCCFILTR_EL0": f"58:57 VS # SVE vector filter\n{_LEVELS}\n{_REALMS}",
        "PMXEVTYPER_EL0": _EVENT_TYPE,
        "PMMIR_EL1": """
            27:24 EDGE # edge detection
            23:20 THWIDTH # bits of a threshold
            19:16 BUS_WIDTH # log2 of the bytes of a bus access, plus 1
            15:8 BUS_SLOTS # largest BUS_ACCESS count per cycle
            7:0 SLOTS # operations per cycle""",
        "PMSCR_EL1": """
            7:6 PCT = virtual | 1 physical | 3 guest physical # time stamps
            5 TS # time stamps are on; 4 PA # physical addresses; 3 CX # context identifiers
            1 E1SPE # profile EL1; 0 E0SPE # profile EL0""",
        "PMSNEVFR_EL1": "63:0 E # events that exclude a sample",
        "PMSICR_EL1": "63:56 ECOUNT # secondary counter; 31:0 COUNT # down to the next sample",
        "PMSIRR_EL1": "31:8 INTERVAL # between samples; 0 RND # random interval",
        "PMSFCR_EL1": """
            52 SIMDm; 51 FPm; 50 STm; 49 LDm; 48 Bm
            20 SIMD # operations to sample; 19 FP; 18 ST # stores; 17 LD # loads; 16 B # branches
            4 FDS # filter by data source; 3 FnE # filter by inverse event
            2 FL # filter by latency; 1 FT # filter by type; 0 FE # filter by event""",
        "PMSEVFR_EL1": "63:0 E # events that a sample needs",
        "PMSLATFR_EL1": "15:0 MINLAT # minimum latency in cycles",
        "PMSIDR_EL1": """
            32 SME; 31:28 ALTCLK; 27 FPF; 26 EFT; 25 CRR; 24 PBT # optional parts
            23:20 FORMAT # of the records
            19:16 COUNTSIZE = 2 12 bits | 3 16 bits # counters
            15:12 MaxSize # log2 of the bytes of a record
            11:8 Interval = 0 256 | 2 512 | 768 | 1024 | 1536 | 2048 | 3072 | 4096 # minimum interval
            7 FDS; 6 FnE; 5 ERnd; 4 LDS; 3 ArchInst; 2 FL; 1 FT; 0 FE""",
        "PMBLIMITR_EL1": """
            63:12 LIMIT # end of the buffer, bits 63:12
            5 PMFZ # freeze the counters when full
            2:1 FM = stop | 2 discard # when full
            0 E # the buffer is on""",
        "PMBPTR_EL1": "63:0 PTR # next record",
        "PMBSR_EL1": """
            31:26 EC = 0 buffer | 0x1E granule protection | 0x1F implementation defined | 0x24 stage 1 | 0x25 stage 2
            19 DL # data was lost; 18 EA # external abort; 17 S # service is needed; 16 COLL # collision
            15:0 MSS # syndrome""",
        "PMBIDR_EL1": """
            11:8 EA = not described | ignored | SError # effect of external aborts
            5 F # the buffer sets access flags and dirty state
            4 P # another Exception level owns the buffer
            3:0 Align # log2 of the alignment of PMBPTR""",
        "TRFCR_EL1": """
            6:5 TS = 1 virtual | guest physical | physical # time stamps
            1 ExTRE # trace EL1; 0 E0TRE # trace EL0""",
        "TRFCR_EL2": """
            6:5 TS = TRFCR_EL1.TS | virtual | guest physical | physical # time stamps
            3 CX # CONTEXTIDR_EL2 and VMID are traced
            1 E2TRE # trace EL2; 0 E0HTRE # trace EL0 under EL2""",
        "TRBLIMITR_EL1": """
            63:12 LIMIT # end of the buffer, bits 63:12
            6 XE # external mode; 5 nVM # addresses are physical
            4:3 TM = stop | interrupt | 3 ignore # on a trigger
            2:1 FM = fill | wrap | 3 circular # mode
            0 E # the buffer is on""",
        "TRBPTR_EL1": "63:0 PTR # next byte",
        "TRBBASER_EL1": "63:12 BASE # start of the buffer, bits 63:12",
        "TRBSR_EL1": """
            55:32 MSS2 # additional syndrome
            31:26 EC = 0 buffer | 0x1E granule protection | 0x1F implementation defined | 0x24 stage 1 | 0x25 stage 2
            23 DAT # data is held; 22 IRQ # interrupt; 21 TRG # triggered; 20 WRAP # wrapped
            18 EA # external abort; 17 S # collection stopped
            15:0 MSS # syndrome""",
        "TRBMAR_EL1": """
            11:10 PAS = Secure | Non-secure | Root | Realm # address space
            9:8 SH = 0 non-shareable | 2 outer | 3 inner
            7:0 Attr # memory attributes, as in MAIR""",
        "TRBTRG_EL1": "31:0 TRG # bytes after the trigger",
        "TRBIDR_EL1": """
            15:12 MPAM = none | default | yes
            11:8 EA = not described | ignored | SError # effect of external aborts
            5 F # the buffer sets access flags and dirty state
            4 P # another Exception level owns the buffer
            3:0 Align # log2 of the alignment of TRBPTR""",
        "AMCR_EL0": "17 CG1RZ # counters of group 1 read zero below the highest level; 10 HDBG # halt with debug",
        "AMCFGR_EL0": """
            31:28 NCG # groups minus one
            24 HDBG # AMCR_EL0.HDBG is implemented
            13:8 SIZE # bits of a counter minus one
            7:0 N # counters minus one""",
        "AMCGCR_EL0": "15:8 CG1NC # counters of group 1; 7:0 CG0NC # counters of group 0",
        "AMUSERENR_EL0": "0 EN # EL0 may use the activity monitors",
        "AMCG1IDR_EL0": "31:16 AMEVCNTOFF1 # counters with an offset; 15:0 AMEVCNTR1 # implemented counters",
        **{f"AMCNTEN{kind}{group}_EL0": "15:0 P # one bit per counter" for kind in ("SET", "CLR") for group in (0, 1)},
    }
)

_EVENT_COUNTER: Final = declare("PMEVCNTR", "63:0 PMEVCNTR # value of the counter")
_EVENT_TYPER: Final = declare("PMEVTYPER", _EVENT_TYPE)
_ACTIVITY_COUNTER: Final = declare("AMEVCNTR", "63:0 ACNT # value of the counter")
_ACTIVITY_TYPER: Final = declare("AMEVTYPER", "15:0 evtCount # event number")

MONITOR_LAYOUTS: Final[Mapping[str, type[Register]]] = MappingProxyType(
    {
        **{name: declare(name, text) for name, text in _TEXTS.items()},
        **{f"PMEVCNTR{n}_EL0": _EVENT_COUNTER for n in range(31)},
        **{f"PMEVTYPER{n}_EL0": _EVENT_TYPER for n in range(31)},
        **{f"AMEVCNTR0{n}_EL0": _ACTIVITY_COUNTER for n in range(4)},
        **{f"AMEVTYPER0{n}_EL0": _ACTIVITY_TYPER for n in range(4)},
        **{f"AMEVCNTR1{n}_EL0": _ACTIVITY_COUNTER for n in range(16)},
        **{f"AMEVTYPER1{n}_EL0": _ACTIVITY_TYPER for n in range(16)},
    }
)
"""The layouts of the monitors and buffers by name."""
