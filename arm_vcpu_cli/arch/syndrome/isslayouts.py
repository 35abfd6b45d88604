"""Layouts of the syndrome that depend on more than its exception class, and those of ISS2 (DDI 0487, D24.2, ESR_EL1).

``esr.ISS_LAYOUTS`` has one layout for each class, for the exit path. For a reader of a value, the fields of a data
abort depend on ISV and the fault status, those of an SError on IDS.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.fault import FSC_EXTERNAL
from arm_vcpu_cli.arch.registers.layouttext import declare
from arm_vcpu_cli.arch.syndrome import iss
from arm_vcpu_cli.arch.syndrome.esr import ISS_LAYOUTS, Esr, ExceptionClass

LOAD_STORE_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {0: "not specified", 1: "ST64BV", 2: "LD64B or ST64B", 3: "ST64BV0"}
)


class DataAbort64ByteIss(iss.DataAbortIss):
    """A data abort other than an external abort, with LST in place of SET."""

    SET = None  # type: ignore[assignment]
    LST = Field(12, 11, values=LOAD_STORE_TYPES, words="64-byte access (FEAT_LS64)")


class DataAbortExternalNoIsvIss(iss.DataAbortIss):
    """A synchronous external abort (DFSC 0x10) whose instruction is not described (ISV = 0)."""

    SAS = None  # type: ignore[assignment]
    SSE = None  # type: ignore[assignment]
    SRT = None  # type: ignore[assignment]
    SF = None  # type: ignore[assignment]
    AR = None  # type: ignore[assignment]
    TopLevel = Field(21, words="fault of the top-level table (FEAT_THE)")
    WU = Field(17, 16, values={0: "not known", 2: "not updated", 3: "updated"}, words="whether memory was written")
    WnRV = Field(15, words="WnR is valid (FEAT_RASv2)")
    PFV = Field(14, words="PFAR is valid")


class DataAbortNoIsvIss(DataAbortExternalNoIsvIss):
    """Any other data abort whose instruction is not described (ISV = 0)."""

    SET = None  # type: ignore[assignment]
    LST = Field(12, 11, values=LOAD_STORE_TYPES, words="64-byte access (FEAT_LS64)")


class InstructionAbortNoSetIss(iss.InstructionAbortIss):
    """An instruction abort other than an external abort: SET is RES0."""

    SET = None  # type: ignore[assignment]


class SErrorImplementationIss(Register):
    """An SError with an implementation defined syndrome (IDS = 1)."""

    WIDTH = 25
    IDS = Field(24, words="the syndrome is implementation defined")
    ISS = Field(23, 0, words="implementation defined")


class NoIss(Register):
    """A class without a syndrome: all bits are RES0."""

    WIDTH = 25


ISS2_LAYOUTS: Final[Mapping[int, type[Register]]] = MappingProxyType(
    {
        **dict.fromkeys(
            (ExceptionClass.DATA_ABORT, ExceptionClass.DATA_ABORT_LOWER),
            declare(
                "DataAbortIss2",
                """
                11 HDBSSF # fault of the dirty state structure
                10 TnD # fault of an allocation tag
                9 TagAccess # fault of the NoTagAccess attribute
                8 GCS # guarded control stack access
                7 AssuredOnly # fault of AssuredOnly
                6 Overlay # fault of permission overlays
                5 DirtyBit # fault of the dirty state
                4:0 Xs # status register of ST64BV""",
                width=24,
            ),
        ),
        **dict.fromkeys(
            (ExceptionClass.INSTRUCTION_ABORT, ExceptionClass.INSTRUCTION_ABORT_LOWER),
            declare(
                "InstructionAbortIss2",
                """
                11 HDBSSF # fault of the dirty state structure
                7 AssuredOnly # fault of AssuredOnly
                6 Overlay # fault of permission overlays""",
                width=24,
            ),
        ),
        **dict.fromkeys(
            (ExceptionClass.WATCHPOINT, ExceptionClass.WATCHPOINT_LOWER),
            declare("WatchpointIss2", "8 GCS # guarded control stack access", width=24),
        ),
    }
)
"""The layout of ISS2 by exception class; in all other classes it is RES0."""

_DATA_ABORTS: Final[Mapping[tuple[bool, bool], type[Register]]] = MappingProxyType(
    {
        (True, True): iss.DataAbortIss,
        (True, False): DataAbort64ByteIss,
        (False, True): DataAbortExternalNoIsvIss,
        (False, False): DataAbortNoIsvIss,
    }
)
"""By ISV, and whether it is a synchronous external abort."""

_WITHOUT_SYNDROME: Final = frozenset(
    {
        ExceptionClass.UNKNOWN,
        ExceptionClass.ILLEGAL_STATE,
        ExceptionClass.PC_ALIGNMENT,
        ExceptionClass.SP_ALIGNMENT,
        ExceptionClass.SVE,
    }
)


def iss_of(esr: int) -> Register:
    """Return the ISS of a syndrome in the layout that its class and its own bits select; ``iss.Iss`` if there is
    none."""
    syndrome = Esr(esr)
    value = syndrome.ISS
    layout = ISS_LAYOUTS.get(syndrome.EC, NoIss if syndrome.EC in _WITHOUT_SYNDROME else iss.Iss)
    if layout is iss.DataAbortIss:
        layout = _DATA_ABORTS[bool(iss.DataAbortIss(value).ISV), iss.DataAbortIss(value).DFSC == FSC_EXTERNAL]
    elif layout is iss.InstructionAbortIss and iss.InstructionAbortIss(value).IFSC != FSC_EXTERNAL:
        layout = InstructionAbortNoSetIss
    elif layout is iss.SErrorIss and iss.SErrorIss(value).IDS:
        layout = SErrorImplementationIss
    return layout(value)


def iss2_of(esr: int) -> Register | None:
    """Return ISS2 in the layout of the exception class; None if it is RES0 in that class."""
    syndrome = Esr(esr)
    layout = ISS2_LAYOUTS.get(syndrome.EC)
    return None if layout is None else layout(syndrome.ISS2)
