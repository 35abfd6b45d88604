"""The facts about a modelled CPU: what its ID registers announce, what a guest sees of them, and its stage 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.identification.architecture import Conformance, conformance, implemented_features
from arm_vcpu_cli.arch.identification.idregs import Aa64Mmfr0, Aa64Mmfr1, Aa64Mmfr2, Aa64Pfr0, pa_range_bits
from arm_vcpu_cli.arch.layouts import LAYOUTS
from arm_vcpu_cli.arch.registers.el2regs import Vtcr
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup, sysregs
from arm_vcpu_cli.arch.translation.descriptor import LAST_LEVEL
from arm_vcpu_cli.arm_vcpu.id_registers import guest_id_registers
from arm_vcpu_cli.arm_vcpu.stage2 import Stage2AddressSpace
from arm_vcpu_cli.arm_vcpu.stage2_transaction import FrameMemory
from arm_vcpu_cli.arm_vcpu.support import supports_virtualisation
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.probe.caches import Cache, read_caches

ID_REGISTERS: Final = tuple(
    name
    for name, reg in sorted(sysregs().items(), key=lambda item: item[1])
    if name in LAYOUTS and reg.op0 == 3 and reg.op1 in (0, 1, 3) and reg.crn == 0
)
"""The registers that identify a CPU and have a layout, by encoding: op0 3, CRn 0 at EL1 and EL0."""

GRANULES: Final = (("4 KiB", "TGran4"), ("16 KiB", "TGran16"), ("64 KiB", "TGran64"))
"""Translation granules and the field of ID_AA64MMFR0_EL1 that announces each; stage 2 has ``<field>_2``."""

FEATURES: Final = (
    ("FP", "ID_AA64PFR0_EL1", ("FP",)),
    ("AdvSIMD", "ID_AA64PFR0_EL1", ("AdvSIMD",)),
    ("SVE", "ID_AA64PFR0_EL1", ("SVE",)),
    ("LSE atomics", "ID_AA64ISAR0_EL1", ("Atomic",)),
    ("LRCPC", "ID_AA64ISAR1_EL1", ("LRCPC",)),
    ("PAuth", "ID_AA64ISAR1_EL1", ("APA", "API")),
    ("BTI", "ID_AA64PFR1_EL1", ("BT",)),
    ("PAN", "ID_AA64MMFR1_EL1", ("PAN",)),
    ("UAO", "ID_AA64MMFR2_EL1", ("UAO",)),
    ("MTE", "ID_AA64PFR1_EL1", ("MTE",)),
    ("RNDR", "ID_AA64ISAR0_EL1", ("RNDR",)),
    ("AES", "ID_AA64ISAR0_EL1", ("AES",)),
    ("SHA2", "ID_AA64ISAR0_EL1", ("SHA2",)),
    ("RAS", "ID_AA64PFR0_EL1", ("RAS",)),
    ("PMU", "ID_AA64DFR0_EL1", ("PMUVer",)),
)
"""Features worth a line: label, register, and the fields of which any one announces it."""

_ABSENT: Final = "none"
_AARCH32_CRM: Final = range(1, 4)
_WIDE: Final = 2
"""The value of ASIDBits and VMIDBits for 16 bits."""
_VA_BITS: Final = (48, 52, 56)


class IdRegister(NamedTuple):
    """A register as the core has it, and as a guest reads it."""

    name: str
    core: int
    guest: int


class Feature(NamedTuple):
    """A field's statement about a feature, also in words; ``guest`` is the value that a guest reads."""

    label: str
    register: str
    field: str
    value: int
    text: str
    guest: int


class HiddenField(NamedTuple):
    """A field that a guest reads differently than the core has it; ``field`` is None for a whole register."""

    register: str
    field: str | None
    core: int
    guest: int
    is_aarch32: bool = False


class Granule(NamedTuple):
    """Whether a granule can be used at each stage."""

    name: str
    stage1: bool
    stage2: bool


class Stage2Format(NamedTuple):
    """The widest stage-2 tables that a machine with this CPU may get; they have the 4 KiB granule."""

    ipa_bits: int
    levels: int
    start_level: int
    vtcr: Vtcr


@dataclass(frozen=True)
class CpuFacts:
    """One modelled CPU. Widths are in bits; ``stage2`` is None without an EL2 to use it.

    ``implemented`` are the FEAT_ names of the core's features, ``announced`` those that a guest's ID registers
    announce.
    """

    model: str
    midr: int
    has_hardware_support: bool
    el2: int
    el3: int
    vhe: bool
    pa_bits: int
    va_bits: int
    asid_bits: int
    vmid_bits: int
    gic: int
    granules: tuple[Granule, ...]
    stage2: Stage2Format | None
    features: tuple[Feature, ...]
    caches: tuple[Cache, ...]
    implemented: frozenset[str]
    announced: frozenset[str]
    conformance: Conformance
    id_registers: Mapping[str, IdRegister]
    hidden: tuple[HiddenField, ...]


def describe_cpu(core: CpuCore, frames: FrameMemory) -> CpuFacts:
    """Return all facts about ``core``. ``frames`` provides the memory for stage-2 tables, which is freed afterwards.

    Raises ValueError for a reserved ID_AA64MMFR0_EL1.PARange.
    """
    guest_view = guest_id_registers(core)
    registers = {name: _id_register(core, name, guest_view) for name in ID_REGISTERS}
    pfr0 = Aa64Pfr0(registers["ID_AA64PFR0_EL1"].core)
    mmfr0 = Aa64Mmfr0(registers["ID_AA64MMFR0_EL1"].guest)
    mmfr1 = Aa64Mmfr1(registers["ID_AA64MMFR1_EL1"].core)
    mmfr2 = Aa64Mmfr2(registers["ID_AA64MMFR2_EL1"].core)
    announced = implemented_features({lookup(name): each.guest for name, each in registers.items()})
    implemented = announced | implemented_features({lookup(name): each.core for name, each in registers.items()})
    supported = supports_virtualisation(pfr0, mmfr1)
    pa_bits = pa_range_bits(mmfr0)
    return CpuFacts(
        model=core.model,
        midr=registers["MIDR_EL1"].core,
        has_hardware_support=supported,
        el2=pfr0.EL2,
        el3=pfr0.EL3,
        vhe=bool(mmfr1.VH),
        pa_bits=pa_bits,
        va_bits=_VA_BITS[min(mmfr2.VARange, len(_VA_BITS) - 1)],
        asid_bits=16 if mmfr0.ASIDBits == _WIDE else 8,
        vmid_bits=16 if mmfr1.VMIDBits == _WIDE else 8,
        gic=pfr0.GIC,
        granules=tuple(_granule(mmfr0, name, field) for name, field in GRANULES),
        stage2=_stage2_format(frames, pa_bits) if supported else None,
        features=tuple(_feature(registers[register], label, fields) for label, register, fields in FEATURES),
        caches=read_caches(core, is_wide=bool(mmfr2.CCIDX)),
        implemented=implemented,
        announced=announced,
        conformance=conformance(implemented),
        id_registers=registers,
        hidden=tuple(_hidden(core, guest_view)),
    )


def field_of(register: str, field: str) -> Field:
    """Return the declaration of a field of a register, both by name. Raises KeyError if there is none."""
    return {declared.name: declared for declared in LAYOUTS[register].fields()}[field]


def value_name(register: str, field: str, value: int) -> str:
    """Return the meaning of an ID register field's value: its name, or yes and none where the number just counts up."""
    names = field_of(register, field).values
    if names:
        return names.get(value, f"{value:#x}(?)")
    return "yes" if value else _ABSENT


def _read(core: CpuCore, reg: SysReg) -> int:
    """Return an ID register; one that the core lacks reads as zero, as the Arm ARM specifies for the whole group."""
    try:
        return core.read_sysreg(reg)
    except EngineError:
        return 0


def _id_register(core: CpuCore, name: str, guest_view: Mapping[SysReg, int]) -> IdRegister:
    reg = lookup(name)
    value = _read(core, reg)
    return IdRegister(name, value, guest_view.get(reg, value))


def _granule(mmfr0: Aa64Mmfr0, name: str, field: str) -> Granule:
    values = mmfr0.as_dict()
    stage1 = _is_offered(field, values[field])
    stage2 = values[f"{field}_2"]
    # Zero refers to stage 1: the field is younger than the granule.
    return Granule(name, stage1, _is_offered(f"{field}_2", stage2) if stage2 else stage1)


def _is_offered(field: str, value: int) -> bool:
    return field_of("ID_AA64MMFR0_EL1", field).values.get(value, _ABSENT) != _ABSENT


def _feature(register: IdRegister, label: str, fields: tuple[str, ...]) -> Feature:
    layout = LAYOUTS[register.name]
    core, guest = layout(register.core).as_dict(), layout(register.guest).as_dict()
    field = next((name for name in fields if core[name]), fields[0])
    value = core[field]
    return Feature(label, register.name, field, value, value_name(register.name, field, value), guest[field])


def _hidden(core: CpuCore, guest_view: Mapping[SysReg, int]) -> list[HiddenField]:
    found = []
    for reg, guest in sorted(guest_view.items()):
        value = _read(core, reg)
        if value == guest:
            continue
        layout: type[Register] | None = LAYOUTS.get(reg.name)
        is_aarch32 = reg.crm in _AARCH32_CRM
        fields = [] if layout is None or is_aarch32 else _changed_fields(reg.name, layout(value), layout(guest))
        found += fields or [HiddenField(reg.name, None, value, guest, is_aarch32)]
    return found


def _changed_fields(register: str, core: Register, guest: Register) -> list[HiddenField]:
    seen = guest.as_dict()
    return [
        HiddenField(register, name, value, seen[name]) for name, value in core.as_dict().items() if value != seen[name]
    ]


def _stage2_format(frames: FrameMemory, pa_bits: int) -> Stage2Format:
    space = Stage2AddressSpace(frames, pa_bits=pa_bits)
    try:
        return Stage2Format(space.ipa_bits, space.levels, LAST_LEVEL - space.levels + 1, Vtcr(space.vtcr))
    finally:
        space.destroy()
