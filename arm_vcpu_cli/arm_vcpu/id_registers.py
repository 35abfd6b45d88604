"""The ID registers that a guest sees: the core's own, without features that the core announces but the guest does not
get, and with those that the core has but does not announce.

HCR_EL2.TID3 traps the whole group (op0 3, op1 0, CRn 0, CRm 1 to 7); registers that the Arm ARM does not list read as
zero. Where a CPU's technical reference manual and the core differ, the core wins: nothing is announced that it cannot
do.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.identification.idregs import ID_LAYOUTS
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import EngineError

_AARCH64_CRM: Final = range(4, 8)
_AARCH64_ONLY: Final = 1
_GIC_V3: Final = 1
_NO_DOUBLE_LOCK: Final = 0xF

FieldValues = Mapping[str, Mapping[str, int]]
"""Values of fields, by register and field name."""

HIDDEN: Final[FieldValues] = MappingProxyType(
    {
        # A virtual machine has neither EL2 nor EL3; AArch32 is not modelled. The machine announces the GIC.
        "ID_AA64PFR0_EL1": {"EL0": _AARCH64_ONLY, "EL1": _AARCH64_ONLY, "EL2": 0, "EL3": 0, "GIC": 0},
        # There is no usable PMU, and the OS Double Lock has no effect.
        "ID_AA64DFR0_EL1": {"PMUVer": 0, "DoubleLock": _NO_DOUBLE_LOCK},
        # Without EL2 there are no VMIDs and no VHE. Limited ordering regions would have to trap, and do not.
        "ID_AA64MMFR1_EL1": {"VH": 0, "VMIDBits": 0, "LO": 0},
    }
)
"""Hidden from every guest, whatever the CPU model."""

HIDDEN_FROM_MODEL: Final[Mapping[str, FieldValues]] = MappingProxyType(
    {
        "cortex-a53": {},
        "cortex-a57": {},
        "cortex-a72": {},
        # The model announces more than the engine implements; none of these works in the core.
        "max": {
            "ID_AA64PFR0_EL1": {"RAS": 0, "AMU": 0, "DIT": 0},
            "ID_AA64PFR1_EL1": {"SSBS": 0, "MTE": 0},
        },
    }
)
"""Hidden in addition from a guest with that CPU model."""

UNANNOUNCED: Final[Mapping[str, FieldValues]] = MappingProxyType(
    {
        # TGran16_2 means "as TGran16".
        "max": {"ID_AA64MMFR0_EL1": {"TGran16": 1}},
    }
)
"""Features that the core has but does not announce, announced to a guest with that CPU model."""

NO_WATCHPOINTS: Final[FieldValues] = MappingProxyType({"ID_AA64DFR0_EL1": {"WRPs": 0}})
"""Hidden where watchpoints never fire: the field's minimum stands for one watchpoint."""

NO_CHOICE: Final[Mapping[str, bool]] = MappingProxyType({})
"""All features as the model has them."""


def guest_id_registers(
    core: CpuCore, *, gic: bool = False, rndr: bool = True, features: Mapping[str, bool] = NO_CHOICE
) -> dict[SysReg, int]:
    """Return the 64-bit values, by register, of everything that TID3 traps.

    ``gic`` announces the GIC's system registers, ``rndr`` the random number registers, if the core has them;
    ``features`` switches architecture features by name, and on only those that the core has. Raises ValueError for an
    unknown name and for a feature that the core lacks.
    """
    values = {}
    for crm in range(1, 8):
        for op2 in range(8):
            reg = SysReg(3, 0, 0, crm, op2)
            # AArch32 is hidden; without it, its ID registers are UNKNOWN, and read as zero as they do under KVM.
            values[reg] = _read(core, reg) if crm in _AARCH64_CRM else 0
    _set(values, HIDDEN)
    if not core.guest_watchpoints:
        _set(values, NO_WATCHPOINTS)
    _set(values, HIDDEN_FROM_MODEL.get(core.model, {}))
    _set(values, UNANNOUNCED.get(core.model, {}))
    if gic:
        _set(values, {"ID_AA64PFR0_EL1": {"GIC": _GIC_V3}})
    if not rndr:
        _set(values, {"ID_AA64ISAR0_EL1": {"RNDR": 0}})
    if features:
        # Few guests change the features of the CPU model, and the table of all features is long.
        values = import_module("arm_vcpu_cli.arch.identification.features").with_features(values, features)
    return values


def _set(values: dict[SysReg, int], fields: FieldValues) -> None:
    for name, by_field in fields.items():
        reg = lookup(name)
        values[reg] = int(ID_LAYOUTS[name](values[reg]).replace(**by_field))


def _read(core: CpuCore, reg: SysReg) -> int:
    try:
        return core.read_sysreg(reg)
    except EngineError:
        return 0
