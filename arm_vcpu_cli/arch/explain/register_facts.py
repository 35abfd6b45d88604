"""Draws conclusions from a register's value as a whole, in sentences: modes, address ranges, targets, sizes.

DDI 0487, D8 (translation), D24; IHI 0069H, 12.2 and 12.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Register
from arm_vcpu_cli.arch.explain.meanings import byte_count, memory_attribute
from arm_vcpu_cli.arch.fault import fault_status_name
from arm_vcpu_cli.arch.registers.cacheregs import Clidr
from arm_vcpu_cli.arch.registers.el1regs import CntCtl, Mpidr, Par, ParFault, Sctlr, Spsr, Tcr, Ttbr
from arm_vcpu_cli.arch.registers.el2regs import Hcr, Hpfar, Vtcr, Vttbr
from arm_vcpu_cli.arch.registers.exceptionregs import Spsr32
from arm_vcpu_cli.arch.registers.fieldvalues import GRANULE0, GRANULE1, PA_SIZE, PA_SIZE_BITS
from arm_vcpu_cli.arch.registers.gicregs import IccSgi1r

_GRANULE_SHIFT: Final[Mapping[str, int]] = MappingProxyType({"4KB": 12, "16KB": 14, "64KB": 16})
_WIDE_GRANULE: Final = "64KB"
"""The granule whose addresses may have 52 bits without DS."""
_NARROW: Final = 48
"""Bits of an address with the other granules, unless DS is 1."""
_LAST_LEVEL: Final = 3
_ALL_SGI_TARGETS: Final = 16
_EL_LENGTH: Final = len("EL1")


def register_facts(name: str, layout: type[Register], value: Register) -> tuple[str, ...]:
    """Return sentences about a value of the register ``name`` in its layout; none for most registers."""
    controls = _CONTROLS.get(layout.__name__)
    if controls is not None:
        return tuple(controls(value, name[-_EL_LENGTH:]))
    known = _FACTS.get(layout.__name__)
    return () if known is None else tuple(known(value))


def _field(value: Register, name: str) -> int:
    return int(getattr(value, name))


def _pstate(value: Register) -> list[str]:
    state = Spsr(value)
    mode = Spsr.M.values.get(state.M)
    if mode is None:
        return [f"M = {state.M:#x} is reserved: a return to it is illegal."]
    facts = [f"{mode}: EL{state.el} with {'SP_EL0' if mode.endswith('t') else f'SP_EL{state.el}'}."]
    masked = [
        name for name, bit in (("debug", state.D), ("SError", state.A), ("IRQ", state.I), ("FIQ", state.F)) if bit
    ]
    facts.append(f"Masked: {', '.join(masked) or 'nothing'}.")
    flags = "".join(letter if _field(state, letter) else letter.lower() for letter in "NZCV")
    facts.append(f"Flags: {flags}.")
    return facts


def _pstate32(value: Register) -> list[str]:
    modes = {field.name: field for field in Spsr32.fields()}
    mode = modes["M"].values.get(_field(value, "M"), "a reserved mode")
    instructions = "T32" if _field(value, "T") else "A32"
    return [f"AArch32, {mode}, {instructions} instructions."]


def _mpidr(value: Register) -> list[str]:
    mpidr = Mpidr(value)
    facts = [
        f"Affinity {mpidr.Aff3}.{mpidr.Aff2}.{mpidr.Aff1}.{mpidr.Aff0} (device tree and PSCI: {mpidr.affinity:#x})."
    ]
    if mpidr.MT:
        facts.append("Aff0 counts the threads of a core.")
    return facts


def _hcr(value: Register) -> list[str]:
    hcr = Hcr(value)
    if hcr.E2H and hcr.TGE:
        return ["EL2 is a host: EL0 runs its applications, EL1 is not used."]
    routed = [name for name, bit in (("IRQ", hcr.IMO), ("FIQ", hcr.FMO), ("SError", hcr.AMO)) if bit]
    pending = [name for name, bit in (("IRQ", hcr.VI), ("FIQ", hcr.VF), ("SError", hcr.VSE)) if bit]
    traps = [field.name for field in Hcr.fields() if field.words.startswith("trap ") and _field(hcr, field.name)]
    facts = [
        f"EL1 is {'AArch64' if hcr.RW else 'AArch32'}, stage 2 is {'on' if hcr.VM else 'off'}.",
        f"To EL2: {', '.join(routed) or 'no interrupts'}.",
    ]
    if pending:
        facts.append(f"Virtual and pending: {', '.join(pending)}.")
    facts.append(f"Traps: {', '.join(traps) or 'none'}.")
    return facts


def _sctlr(value: Register) -> list[str]:
    sctlr = Sctlr(value)
    caches = [name for name, bit in (("data", sctlr.C), ("instruction", sctlr.I)) if bit]
    cached = f"{' and '.join(caches)} accesses are cacheable" if caches else "accesses are not cacheable"
    return [
        f"The MMU is {'on' if sctlr.M else 'off'}, {cached}.",
        f"Data is {'big' if sctlr.EE else 'little'}-endian.",
    ]


def _region(name: str, size: int, granule: str | None, *, no_walk: bool = False, wide: bool = False) -> str:
    """Describe the addresses, the granule and the start level of one half of a stage-1 range. ``wide`` is DS."""
    if no_walk:
        return f"{name}: no walks."
    bits = 64 - size
    if granule is None:
        return f"{name}: {bits}-bit addresses with a reserved granule."
    if bits <= _GRANULE_SHIFT[granule]:
        return f"{name}: {bits}-bit addresses are fewer than a page of {granule} has."
    if bits > _NARROW and not wide and granule != _WIDE_GRANULE:
        return f"{name}: {bits}-bit addresses, {granule} granule: more than {_NARROW} bits need DS = 1."
    return f"{name}: {bits}-bit addresses, {granule} granule, the walk starts at level {_start_level(bits, granule)}."


def _output(code: int, granules: Sequence[str | None], *, wide: bool) -> str:
    """Return the size of output addresses: 52 bits become 48 with granules of 4 and 16 KiB unless DS is 1 (DDI 0487,
    D8.1)."""
    size = PA_SIZE.get(code, "reserved")
    used = dict.fromkeys(granule for granule in granules if granule is not None)
    narrow = [granule for granule in used if granule != _WIDE_GRANULE]
    if PA_SIZE_BITS[code] <= _NARROW or wide or not narrow:
        return size
    narrowed = f"{_NARROW} bits (DS = 0)"
    return narrowed if len(narrow) == len(used) else f"{size}, with the {narrow[0]} granule {narrowed}"


def narrowed(layout: type[Register], value: Register, field: str) -> str:
    """Return why the size of output addresses in ``field`` does not apply; empty if it does."""
    granules = {"Tcr": ("TG0", "TG1"), "TcrEl2": ("TG0",), "TcrEl3": ("TG0",), "Vtcr": ("TG0",)}.get(layout.__name__)
    if granules is None or field not in ("IPS", "PS"):
        return ""
    names = {"TG0": GRANULE0, "TG1": GRANULE1}
    used = [names[granule].get(_field(value, granule)) for granule in granules]
    size = _output(_field(value, field), used, wide=bool(_field(value, "DS")))
    return "" if size == PA_SIZE.get(_field(value, field), "reserved") else size


def _without(value: Register, fields: Sequence[tuple[str, str]]) -> list[str]:
    """Return a sentence for each field that is set but has no effect because the other one is 0."""
    return [
        f"{field} has no effect with {needed} = 0."
        for field, needed in fields
        if _field(value, field) and not _field(value, needed)
    ]


def _start_level(bits: int, granule: str) -> int:
    shift = _GRANULE_SHIFT[granule]
    stride = shift - 3
    return _LAST_LEVEL + 1 - -(-(bits - shift) // stride)


def _tcr(value: Register, el: str) -> list[str]:
    tcr = Tcr(value)
    granule0, granule1, wide = GRANULE0.get(tcr.TG0), GRANULE1.get(tcr.TG1), bool(tcr.DS)
    walked = [granule for granule, off in ((granule0, tcr.EPD0), (granule1, tcr.EPD1)) if not off]
    output = _output(tcr.IPS, walked, wide=wide)
    return [
        _region("Lower half (TTBR0)", tcr.T0SZ, granule0, no_walk=bool(tcr.EPD0), wide=wide),
        _region("Upper half (TTBR1)", tcr.T1SZ, granule1, no_walk=bool(tcr.EPD1), wide=wide),
        f"Output addresses: {output}; ASID: {16 if tcr.AS else 8} bits in TTBR{tcr.A1}_{el}.",
        *_without(tcr, (("HD", "HA"), ("TBID0", "TBI0"), ("TBID1", "TBI1"))),
    ]


def _tcr_el2(value: Register, _el: str) -> list[str]:
    granule, wide = GRANULE0.get(_field(value, "TG0")), bool(_field(value, "DS"))
    return [
        _region("TTBR0", _field(value, "T0SZ"), granule, wide=wide),
        f"Output addresses: {_output(_field(value, 'PS'), [granule], wide=wide)}.",
        *_without(value, (("HD", "HA"), ("TBID", "TBI"))),
    ]


def _vtcr(value: Register) -> list[str]:
    vtcr = Vtcr(value)
    bits, granule = 64 - vtcr.T0SZ, GRANULE0.get(vtcr.TG0)
    size = _output(vtcr.PS, [granule], wide=bool(vtcr.DS))
    rest = [
        f"Output addresses: {size}; VMID: {16 if vtcr.VS else 8} bits.",
        *_without(vtcr, (("HD", "HA"), ("SL2", "DS"))),
    ]
    if granule is None:
        return [f"{bits}-bit IPAs with a reserved granule.", *rest]
    level = _stage2_level(vtcr, granule)
    if level is None:
        return [f"{bits}-bit IPAs, {granule} granule; SL0 = {vtcr.SL0} is reserved.", *rest]
    shift = _GRANULE_SHIFT[granule]
    stride = shift - 3
    excess = bits - shift - stride * (_LAST_LEVEL + 1 - level)
    if excess > 4 or excess <= -stride:
        fit = f"T0SZ and SL0 do not fit: level {level} is not where {bits} bits start"
    elif excess > 0:
        fit = f"the walk starts at level {level} in {1 << excess} concatenated tables"
    else:
        fit = f"the walk starts at level {level}"
    return [f"{bits}-bit IPAs, {granule} granule, {fit}.", *rest]


def _stage2_level(vtcr: Vtcr, granule: str) -> int | None:
    """Return the start level selected by SL0 (and SL2) (DDI 0487, D8.2)."""
    if granule == "4KB":
        if vtcr.DS and vtcr.SL2:
            return -1 if vtcr.SL0 == 0 else None
        return {0: 2, 1: 1, 2: 0, 3: 3}[vtcr.SL0]
    level = 3 - vtcr.SL0
    return level if level > 0 or (vtcr.DS and granule == "16KB") else None


def _ttbr(value: Register) -> list[str]:
    ttbr = Ttbr(value)
    return [f"Table at {ttbr.BADDR << 1:#x}, ASID {ttbr.ASID}.", *_with_52_bits(ttbr.BADDR << 1)]


def _base(value: Register) -> list[str]:
    base = _field(value, "BADDR") << 1
    return [f"Table at {base:#x}.", *_with_52_bits(base)]


def _vttbr(value: Register) -> list[str]:
    vttbr = Vttbr(value)
    return [f"Table at {vttbr.BADDR << 1:#x}, VMID {vttbr.VMID}.", *_with_52_bits(vttbr.BADDR << 1)]


def _with_52_bits(base: int) -> list[str]:
    """Describe where the table is if the translation control register selects 52-bit output addresses; return nothing
    if that makes no difference."""
    upper = base >> 2 & 0xF
    if not upper:
        return []
    table = base & ~0x3F | upper << 48
    return [f"With 52-bit output addresses (IPS or PS = 6), bits 5:2 are bits 51:48: the table is at {table:#x}."]


def _hpfar(value: Register) -> list[str]:
    hpfar = Hpfar(value)
    page = hpfar.FIPA << 12
    return [f"The fault is in the page of IPA {page:#x}; bits 11:0 are those of FAR_EL2."]


def _par(value: Register) -> list[str]:
    par = Par(value)
    return [f"The address is in the page at {par.PA << 12:#x}, {memory_attribute(par.ATTR)}."]


def _par_fault(value: Register) -> list[str]:
    par = ParFault(value)
    stage = 2 if par.S else 1
    walk = " of the stage-1 walk" if par.PTW else ""
    return [f"The translation failed at stage {stage}{walk}: {fault_status_name(par.FST)}."]


def _cpacr(value: Register) -> list[str]:
    names = {0: "traps", 1: "traps at EL0", 2: "traps", 3: "is on"}
    return [f"Floating-point {names[_field(value, 'FPEN')]}, SVE {names[_field(value, 'ZEN')]}."]


def _timer(value: Register) -> list[str]:
    timer = CntCtl(value)
    if not timer.ENABLE:
        return ["The timer is off."]
    fired = "has fired" if timer.ISTATUS else "has not fired yet"
    return [f"The timer is on and {fired}; its interrupt is {'masked' if timer.IMASK else 'not masked'}."]


def _sgi(value: Register) -> list[str]:
    sgi = IccSgi1r(value)
    if sgi.IRM:
        return [f"SGI {sgi.INTID} to all PEs but this one."]
    cluster = f"{sgi.Aff3}.{sgi.Aff2}.{sgi.Aff1}"
    targets = [sgi.RS * _ALL_SGI_TARGETS + bit for bit in range(_ALL_SGI_TARGETS) if sgi.TargetList >> bit & 1]
    if not targets:
        return [f"SGI {sgi.INTID} to nobody: the target list is empty."]
    return [f"SGI {sgi.INTID} to PE {', '.join(f'{cluster}.{target}' for target in targets)}."]


def _cache_size(value: Register) -> list[str]:
    sets, ways = _field(value, "NumSets") + 1, _field(value, "Associativity") + 1
    line = 16 << _field(value, "LineSize")
    return [f"{byte_count(sets * ways * line)}: {sets} sets, {ways} ways, lines of {byte_count(line)}."]


def _cache_levels(value: Register) -> list[str]:
    clidr = Clidr(value)
    kinds = [(level, _field(clidr, f"Ctype{level}")) for level in range(1, 8)]
    words = [f"L{level} {Clidr.Ctype1.values.get(kind, 'reserved')}" for level, kind in kinds if kind]
    return [f"Caches: {', '.join(words) or 'none'}."]


def _list_register(value: Register) -> list[str]:
    state = _field(value, "State")
    if not state:
        return ["The list register is free."]
    names = {1: "pending", 2: "active", 3: "pending and active"}
    source = f", physical INTID {_field(value, 'pINTID')}" if _field(value, "HW") else ""
    return [
        f"Virtual INTID {_field(value, 'vINTID')}, group {_field(value, 'Group')}, priority "
        f"{_field(value, 'Priority'):#x}, {names[state]}{source}."
    ]


def _breakpoint(value: Register) -> list[str]:
    if not _field(value, "E"):
        return ["Not enabled."]
    return []


_FACTS: Final[Mapping[str, Callable[[Register], list[str]]]] = MappingProxyType(
    {
        "Spsr": _pstate,
        "Spsr32": _pstate32,
        "Mpidr": _mpidr,
        "Hcr": _hcr,
        "Sctlr": _sctlr,
        "SctlrEl2": _sctlr,
        "SCTLR_EL3": _sctlr,
        "Vtcr": _vtcr,
        "Ttbr": _ttbr,
        "TTBR0_EL2": _base,
        "TTBR0_EL3": _base,
        "VSTTBR_EL2": _base,
        "Vttbr": _vttbr,
        "Hpfar": _hpfar,
        "Par": _par,
        "ParFault": _par_fault,
        "Cpacr": _cpacr,
        "CptrE2h": _cpacr,
        "CntCtl": _timer,
        "IccSgi1r": _sgi,
        "ICH_LR": _list_register,
        "Clidr": _cache_levels,
        "CCSIDR_EL1": _cache_size,
        "CcsidrWide": _cache_size,
        "DBGBCR": _breakpoint,
        "DBGWCR": _breakpoint,
    }
)
"""By layout name."""
_CONTROLS: Final[Mapping[str, Callable[[Register, str], list[str]]]] = MappingProxyType(
    {"Tcr": _tcr, "TcrEl2": _tcr_el2, "TcrEl3": _tcr_el2}
)
"""Layouts shared by registers of several Exception levels, whose sentences name others of the same level."""
