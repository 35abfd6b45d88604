"""The layouts of special-purpose registers, exception registers, software identifiers and timers.

DDI 0487, C5.2 (special-purpose), D24.2 (general system control), D24.10 (timers). A register with a single field that
the Arm ARM does not name has a field named after its content.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Register
from arm_vcpu_cli.arch.registers.el1regs import CntCtl
from arm_vcpu_cli.arch.registers.layouttext import declare

Spsr32: Final = declare(
    "Spsr32",
    """
    33 PPEND # a PMU exception is pending
    31 N # negative
    30 Z # zero
    29 C # carry
    28 V # overflow
    27 Q # saturation
    26:25 IT_1_0 # if-then state, bits 1:0
    24 DIT # data independent timing
    23 SSBS # speculative store bypass is allowed
    22 PAN # no privileged access to EL0's pages
    21 SS # software step
    20 IL # illegal execution state
    19:16 GE # greater than or equal flags
    15:10 IT_7_2 # if-then state, bits 7:2
    9 E # big-endian data
    8 A # SError is masked
    7 I # IRQ is masked
    6 F # FIQ is masked
    5 T # T32 instructions
    4:0 M = 16 User | FIQ | IRQ | Supervisor | 22 Monitor | Abort | 26 Hyp | Undefined | 31 System # mode""",
)
"""SPSR_ELx for an exception from AArch32 (M[4] is 1)."""

_SYNDROME_OF_SERROR: Final = """
    24 IDS # the syndrome is implementation defined
    23:0 ISS # syndrome, as ESR_ELx.ISS of an SError"""
_FLAGS: Final = "31 N # negative; 30 Z # zero; 29 C # carry; 28 V # overflow"
_VECTORS: Final = "63:11 VBA # address of the vector table, bits 63:11"
_RESET_ADDRESS: Final = "63:0 ADDR # where execution starts after reset"
_RESET_MANAGEMENT: Final = "1 RR # request a warm reset; 0 AA64 = AArch32 | AArch64 # state after a warm reset"
_LINK: Final = "63:0 ADDR # where the exception returns to"
_FAULT_ADDRESS: Final = "63:0 ADDR # faulting virtual address"
_STACK: Final = "63:0 SP # stack pointer"
_THREAD: Final = "63:0 ThreadID # for use by software"
_CONTEXT: Final = "31:0 PROCID # process identifier, for debug and trace"
_SOFTWARE_CONTEXT: Final = "63:0 SoftwareContextNumber # separates branch prediction of contexts"
_KEY: Final = "63:0 KEY # half of a pointer authentication key"
_COUNT: Final = "63:0 COUNT # ticks"
_COMPARE: Final = "63:0 CompareValue # the timer fires when the counter reaches it"
_TIMER: Final = "31:0 TimerValue # signed ticks until the timer fires"

_TEXTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CurrentEL": "3:2 EL = EL0 | EL1 | EL2 | EL3",
        "SPSel": "0 SP = SP_EL0 | SP_ELx # stack pointer in use",
        "DAIF": "9 D # debug exceptions are masked; 8 A # SError is masked; 7 I # IRQ is masked; 6 F # FIQ is masked",
        "NZCV": _FLAGS,
        "PAN": "22 PAN # no privileged access to EL0's pages",
        "UAO": "23 UAO # LDTR and STTR act as privileged accesses",
        "DIT": "24 DIT # data independent timing",
        "SSBS": "12 SSBS # speculative store bypass is allowed",
        "TCO": "25 TCO # tag checks are off",
        "ALLINT": "13 ALLINT # all interrupts are masked",
        "SVCR": "1 ZA # the ZA array is on; 0 SM # streaming mode",
        "FPCR": """
            26 AHP # alternative half precision
            25 DN # default NaN
            24 FZ # flush to zero
            23:22 RMode = to nearest | to plus infinity | to minus infinity | to zero # rounding
            21:20 Stride # AArch32 only
            19 FZ16 # flush to zero, half precision
            18:16 Len # AArch32 only
            15 IDE # input denormal traps
            13 EBF # extended BFloat16
            12 IXE # inexact traps
            11 UFE # underflow traps
            10 OFE # overflow traps
            9 DZE # division by zero traps
            8 IOE # invalid operation traps
            2 NEP # only element 0 is written
            1 AH # alternate handling
            0 FIZ # flush inputs to zero""",
        "FPSR": f"""
            {_FLAGS}
            27 QC # saturation
            7 IDC # input denormal
            4 IXC # inexact
            3 UFC # underflow
            2 OFC # overflow
            1 DZC # division by zero
            0 IOC # invalid operation""",
        "FPMR": """
            37:32 LSCALE2; 31:24 NSCALE; 22:16 LSCALE; 15 OSC; 14 OSM
            8:6 F8D = E5M2 | E4M3 # FP8 formats
            5:3 F8S2 = E5M2 | E4M3
            2:0 F8S1 = E5M2 | E4M3""",
        "ISR_EL1": """
            10 IS # the IRQ has superpriority
            9 FS # the FIQ has superpriority
            8 A # an SError is pending
            7 I # an IRQ is pending
            6 F # an FIQ is pending""",
        "DISR_EL1": f"31 A # an SError was deferred\n{_SYNDROME_OF_SERROR}",
        "VDISR_EL2": f"31 A # a virtual SError was deferred\n{_SYNDROME_OF_SERROR}",
        "VSESR_EL2": _SYNDROME_OF_SERROR,
        **dict.fromkeys(
            ("SDER32_EL2", "SDER32_EL3"),
            "1 SUNIDEN # Secure EL0: non-invasive debug; 0 SUIDEN # Secure EL0: invasive debug",
        ),
        "FPEXC32_EL2": """
            31 EX # exception state
            30 EN # AArch32 floating-point is on
            29 DEX # defined exception
            28 FP2V; 27 VV # registers that hold more state
            26 TFV # the flags are valid
            10:8 VECITR # vector iteration
            7 IDF # input denormal; 4 IXF # inexact; 3 UFF # underflow
            2 OFF # overflow; 1 DZF # division by zero; 0 IOF # invalid operation""",
        "RNDR": "63:0 RNDR # random number",
        "RNDRRS": "63:0 RNDRRS # random number from a fresh seed",
        "ERRIDR_EL1": "15:0 NUM # error records",
        "ERRSELR_EL1": "15:0 SEL # error record of the ERX registers",
        "PFAR_EL1": "63 NS; 62 NSE # address space; 55:0 PA # faulting physical address",
        "TFSR_EL1": "1 TF1 # tag fault, upper half; 0 TF0 # tag fault, lower half",
        "TFSR_EL2": "1 TF1 # tag fault, upper half; 0 TF0 # tag fault, lower half",
        "TFSR_EL3": "0 TF0 # tag fault",
        "TFSRE0_EL1": "1 TF1 # tag fault, upper half; 0 TF0 # tag fault, lower half",
        "RGSR_EL1": "23:8 SEED # of IRG; 3:0 TAG # last tag of IRG",
        "GCR_EL1": "16 RRND # tags are random; 15:0 Exclude # tags that IRG excludes",
        "CNTFRQ_EL0": "31:0 ClockFrequency # of the system counter in Hz, set by firmware",
        **{f"CNT{name}_EL0": _COUNT for name in ("PCT", "VCT", "PCTSS", "VCTSS")},
        "CNTVOFF_EL2": "63:0 VirtualOffset # the virtual counter is the physical one minus this",
        "CNTPOFF_EL2": "63:0 PhysicalOffset # EL1 reads the counter minus this",
        **{f"VBAR_EL{el}": _VECTORS for el in (1, 2, 3)},
        **{f"RVBAR_EL{el}": _RESET_ADDRESS for el in (1, 2, 3)},
        **{f"RMR_EL{el}": _RESET_MANAGEMENT for el in (1, 2, 3)},
        **{f"ELR_EL{el}": _LINK for el in (1, 2, 3)},
        **{f"FAR_EL{el}": _FAULT_ADDRESS for el in (1, 2, 3)},
        **{f"SP_EL{el}": _STACK for el in (0, 1, 2)},
        **{f"TPIDR_EL{el}": _THREAD for el in (0, 1, 2, 3)},
        "TPIDRRO_EL0": _THREAD,
        "TPIDR2_EL0": _THREAD,
        **{f"CONTEXTIDR_EL{el}": _CONTEXT for el in (1, 2)},
        **{f"SCXTNUM_EL{el}": _SOFTWARE_CONTEXT for el in (0, 1, 2, 3)},
        **{f"AP{key}Key{half}_EL1": _KEY for key in ("IA", "IB", "DA", "DB", "GA") for half in ("Lo", "Hi")},
    }
)

# Timers by name and level: each has a control, a compare value and a timer value.
_TIMERS: Final = (
    ("CNTP", "EL0"),
    ("CNTV", "EL0"),
    ("CNTHP", "EL2"),
    ("CNTHV", "EL2"),
    ("CNTHVS", "EL2"),
    ("CNTHPS", "EL2"),
    ("CNTPS", "EL1"),
)
_WITH_THEIR_LEVEL: Final = ("CNTP_CTL_EL0", "CNTV_CTL_EL0", "CNTHP_CTL_EL2")
"""Controls whose layout ``arch.layouts`` names."""
_COMPARE_VALUE: Final = declare("CompareValue", _COMPARE)
_TIMER_VALUE: Final = declare("TimerValue", _TIMER)

EXCEPTION_LAYOUTS: Final[Mapping[str, type[Register]]] = MappingProxyType(
    {
        **{name: declare(name, text) for name, text in _TEXTS.items()},
        **{
            f"{timer}_CTL_{level}": CntCtl
            for timer, level in _TIMERS
            if f"{timer}_CTL_{level}" not in _WITH_THEIR_LEVEL
        },
        **{f"{timer}_CVAL_{level}": _COMPARE_VALUE for timer, level in _TIMERS},
        **{f"{timer}_TVAL_{level}": _TIMER_VALUE for timer, level in _TIMERS},
        **dict.fromkeys(("SPSR_irq", "SPSR_abt", "SPSR_und", "SPSR_fiq"), Spsr32),
    }
)
"""The layouts by name; those of control registers on the exit path are with their levels."""
