"""Registers of the GICv3 CPU interface (IHI 0069, chapter 12)."""

from __future__ import annotations

from arm_vcpu_cli.arch.bitfield import Field, Register


class IccSgi1r(Register):
    """ICC_SGI1R_EL1, and alike ICC_ASGI1R_EL1 and ICC_SGI0R_EL1: generate an SGI (12.2.23)."""

    Aff3 = Field(55, 48)
    RS = Field(47, 44)
    IRM = Field(40)
    Aff2 = Field(39, 32)
    INTID = Field(27, 24)
    Aff1 = Field(23, 16)
    TargetList = Field(15, 0)
