"""The system registers and instructions of a CPU, and who may access them (DDI 0487, C5 and D24; IHI 0069, 12.2).

They are derived from the table of encodings and from the ID registers that a guest reads: op1 gives the lowest
Exception level that may access an encoding, and this module lists the exceptions to that, and the features that add a
register. "Undefined" is an exception with EC 0 at EL1. Accesses from EL0 that require a control of EL1 otherwise trap
to EL1, with EC 0x18.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.identification.features import announced_features
from arm_vcpu_cli.arch.identification.idregs import Aa64Dfr0
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup, sysregs
from arm_vcpu_cli.record import Record

NEVER: Final = 4
"""In place of an Exception level: this kind of access does not exist."""
EL1: Final = 1
EL0: Final = 0
FREE: Final = ""
"""In place of the name of a control: EL0 needs none."""


class Access(Record):
    """The lowest Exception levels at which a register is read and written; a system instruction is written. ``control``
    is the EL1 field that permits it at EL0, as REGISTER.FIELD."""

    read: int
    write: int
    control: str = FREE


_LEVELS: Final[Mapping[tuple[int, int], int]] = MappingProxyType(
    {
        **dict.fromkeys(((2, 0), (3, 0), (3, 1), (3, 2), (1, 0)), EL1),
        **dict.fromkeys(((2, 3), (3, 3), (1, 3)), EL0),
    }
)
"""By op0 and op1. All others belong to EL2, to EL3, or to Secure state, and guests have none of these; op1 = 1 of the
debug registers and of system instructions is that of trace units and branch records."""

_READ_ONLY: Final = """
    MIDR_EL1|MPIDR_EL1|REVIDR_EL1|AIDR_EL1|CTR_EL0|DCZID_EL0|CCSIDR\\w*|CLIDR_EL1|GMID_EL1|SMIDR_EL1|ID_\\w+|MVFR\\d_EL1
    |CurrentEL|ISR_EL1|MDRAR_EL1|OSLSR_EL1|DBGAUTHSTATUS_EL1|MDCCSR_EL0|IC[CV]_(N?MI|I)AR\\d_EL1|IC[CV]_HPPIR\\d_EL1
    |IC[CV]_RPR_EL1|RNDR|RNDRRS|CNTFRQ_EL0|CNT[PV]CT(SS)?_EL0|PMCEID\\d_EL0|PMMIR_EL1|ERRIDR_EL1|ERXFR_EL1|ERXPFGF_EL1
    |LORID_EL1|MPAMIDR_EL1|PM[SB]IDR_EL1|TRBIDR_EL1|AM(CFGR|CGCR|CG1IDR)_EL0|AMEVTYPER0\\d_EL0"""
_WRITE_ONLY: Final = "OSLAR_EL1|IC[CV]_(EOIR\\d|DIR|A?SGI[01]R)_EL1|PMSWINC_EL0|[A-Z]+ .*"
_READ_ONLY_AT_EL0: Final = "TPIDRRO_EL0|PMUSERENR_EL0|AM\\w+_EL0|TPIDR2_EL0"
_ABSENT: Final = """
    DSPSR_EL0|DLR_EL0|RVBAR_EL1|RMR_EL1|CNTPS_\\w+|IC[CV]_AP[01]R[1-3]_EL1|MPAM\\w+|IC[CV]_NMIAR1_EL1"""
"""Only for Debug state, for the highest Exception level or for Secure EL1; for more than 32 priorities; and for a
feature whose number no ID register field here has."""

_FEATURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AP[A-Z]+Key(Lo|Hi)_EL1": "FEAT_PAuth",
        "ZCR_EL1": "FEAT_SVE",
        "PAN": "FEAT_PAN",
        "AT S1E1[RW]P": "FEAT_PAN2",
        "UAO": "FEAT_UAO",
        "DIT": "FEAT_DIT",
        "SSBS": "FEAT_SSBS2",
        "TCO|RGSR_EL1|GCR_EL1|TFSRE?0?_EL1|GMID_EL1|DC \\w*G\\w*": "FEAT_MTE2",
        "LOR\\w+_EL1": "FEAT_LOR",
        "ER[RX]\\w+|DISR_EL1": "FEAT_RAS",
        "PM[SB]\\w+_EL1": "FEAT_SPE",
        "PM\\w+": "FEAT_PMUv3",
        "TRB\\w+": "FEAT_TRBE",
        "TRFCR_EL1": "FEAT_TRF",
        "AM(?!AIR)\\w+": "FEAT_AMUv1",
        "SMCR_EL1|SMPRI_EL1|SMIDR_EL1|SVCR|TPIDR2_EL0": "FEAT_SME",
        "TCR2_EL1": "FEAT_TCR2",
        "SCTLR2_EL1": "FEAT_SCTLR2",
        "A?MAIR2_EL1": "FEAT_AIE",
        "PIRE0_EL1|PIR_EL1": "FEAT_S1PIE",
        "POR_EL[01]": "FEAT_S1POE",
        "S2POR_EL1": "FEAT_S2POE",
        "GCS\\w+": "FEAT_GCS",
        "RCW\\w+": "FEAT_THE",
        "ACCDATA_EL1": "FEAT_LS64_ACCDATA",
        "SCXTNUM_EL[01]": "FEAT_CSV2_2",
        "CNT[PV]CTSS_EL0": "FEAT_ECV",
        "CCSIDR2_EL1": "FEAT_CCIDX",
        "IC[CV]_\\w+": "FEAT_GICv3",
        "ALLINT": "FEAT_NMI",
        "PFAR_EL1": "FEAT_PFAR",
        "MDSELR_EL1": "FEAT_Debugv8p9",
        "RNDR|RNDRRS": "FEAT_RNG",
        "FPMR": "FEAT_FPMR",
        "TLBI \\w+NXS": "FEAT_XS",
        "TLBI R\\w+": "FEAT_TLBIRANGE",
        "TLBI \\w+OS": "FEAT_TLBIOS",
        "AT S1E1A": "FEAT_ATS1A",
        "DC C\\w*VAP": "FEAT_DPB",
        "DC C\\w*VADP": "FEAT_DPB2",
        "(CFP|DVP|CPP) RCTX": "FEAT_SPECRES",
        "COSP RCTX": "FEAT_SPECRES2",
        "BRB \\w+": "FEAT_BRBE",
    }
)
"""The feature that adds the registers and instructions whose names match; the first match counts."""

_CONTROLS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CTR_EL0": "SCTLR_EL1.UCT",
        "DAIF": "SCTLR_EL1.UMA",
        "DC ZVA|DC G\\w*": "SCTLR_EL1.DZE",
        "DC \\w+|IC \\w+": "SCTLR_EL1.UCI",
        "(CFP|DVP|CPP|COSP) RCTX": "SCTLR_EL1.EnRCTX",
        "CNTFRQ_EL0": "CNTKCTL_EL1.EL0PCTEN or EL0VCTEN",
        "CNTPCT(SS)?_EL0": "CNTKCTL_EL1.EL0PCTEN",
        "CNTVCT(SS)?_EL0": "CNTKCTL_EL1.EL0VCTEN",
        "CNTP_\\w+": "CNTKCTL_EL1.EL0PTEN",
        "CNTV_\\w+": "CNTKCTL_EL1.EL0VTEN",
        "SCXTNUM_EL0": "SCTLR_EL1.TSCXT",
    }
)
"""The control that permits EL0 to access the registers whose names match; when clear, it traps them to EL1. FP and SIMD
have their own traps, and MDSCR_EL1.TDCC traps the debug communication channel when set."""

_MONITORS: Final = re.compile(r"DBG[BW][CV]R(\d+)_EL1")
_ID_SPACE: Final = range(1, 8)
"""CRm of the ID registers with op0 3, op1 0 and CRn 0, which read as zero if none is defined."""


def guest_registers(ids: Mapping[SysReg, int], others: Mapping[SysReg, bool]) -> dict[SysReg, Access]:
    """Return the registers of a CPU with the ID registers ``ids``, by encoding; everything else is undefined.
    ``others`` are implementation defined registers for EL1, with whether they can be written."""
    features = announced_features(ids)
    debug = Aa64Dfr0(ids.get(lookup("ID_AA64DFR0_EL1"), 0))
    found = {SysReg(3, 0, 0, crm, op2): Access(EL1, NEVER) for crm in _ID_SPACE for op2 in range(8)}
    found.update((reg, Access(EL1, EL1 if writable else NEVER)) for reg, writable in others.items())
    for name, reg in sysregs().items():
        level = _LEVELS.get((reg.op0, reg.op1))
        if level is None or _is_absent(name) or not _is_monitor_there(name, debug):
            continue
        feature = _feature_of(name)
        if feature is None or feature in features:
            found[reg] = _access(name, level)
    return found


def _access(name: str, level: int) -> Access:
    read = NEVER if _is_write_only(name) else level
    write = NEVER if _is_read_only(name) else EL1 if _is_read_only_at_el0(name) else level
    control = _control_of(name) if level == EL0 else None
    return Access(read, write, control or FREE)


def _is_monitor_there(name: str, debug: Aa64Dfr0) -> bool:
    monitor = _MONITORS.fullmatch(name)
    return monitor is None or int(monitor[1]) <= (debug.BRPs if name[3] == "B" else debug.WRPs)


def _matcher(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile("".join(line.strip() for line in pattern.splitlines()))
    return lambda name: compiled.fullmatch(name) is not None


def _finder(table: Mapping[str, str]) -> Callable[[str], str | None]:
    matchers = [(_matcher(pattern), value) for pattern, value in table.items()]
    return lambda name: next((value for matches, value in matchers if matches(name)), None)


_is_absent: Final = _matcher(_ABSENT)
_is_read_only: Final = _matcher(_READ_ONLY)
_is_write_only: Final = _matcher(_WRITE_ONLY)
_is_read_only_at_el0: Final = _matcher(_READ_ONLY_AT_EL0)
_feature_of: Final = _finder(_FEATURES)
_control_of: Final = _finder(_CONTROLS)


class ImmediateAccess(Record):
    """An instruction with op0 = 0: the lowest Exception level, the feature that adds it, and the control for EL0."""

    level: int
    feature: str | None = None
    control: str = FREE
    crm: int | None = None
    """The only CRm that is allocated, None if there are several."""


_BARRIER: Final = ImmediateAccess(EL0)
IMMEDIATES: Final[Mapping[tuple[int, int, int], ImmediateAccess]] = MappingProxyType(
    {
        **{(3, 2, op2): ImmediateAccess(EL0) for op2 in range(8)},
        **{(3, 3, op2): _BARRIER for op2 in (2, 4, 5, 6)},
        (3, 3, 7): ImmediateAccess(EL0, "FEAT_SB", crm=0),
        **{(0, 4, op2): ImmediateAccess(EL0, feature, crm=0) for op2, feature in enumerate(
            ("FEAT_FlagM", "FEAT_FlagM2", "FEAT_FlagM2"))},
        (0, 4, 3): ImmediateAccess(EL1, "FEAT_UAO"),
        (0, 4, 4): ImmediateAccess(EL1, "FEAT_PAN"),
        (0, 4, 5): ImmediateAccess(EL1),
        (3, 4, 1): ImmediateAccess(EL0, "FEAT_SSBS2"),
        (3, 4, 2): ImmediateAccess(EL0, "FEAT_DIT"),
        (3, 4, 4): ImmediateAccess(EL0, "FEAT_MTE2"),
        (3, 4, 6): ImmediateAccess(EL0, control="SCTLR_EL1.UMA"),
        (3, 4, 7): ImmediateAccess(EL0, control="SCTLR_EL1.UMA"),
        **{(3, 1, op2): ImmediateAccess(EL0, "FEAT_WFxT", crm=0) for op2 in (0, 1)},
        (3, 3, 1): ImmediateAccess(EL0, "FEAT_XS"),
    }
)  # fmt: skip
"""Hints, barriers and MSR (immediate), by op1, CRn and op2 (C4.1.94); Rt is 31. All others are undefined."""
