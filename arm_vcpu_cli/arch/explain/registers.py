"""Every system register by name: encoding, layout, title, reset value and the section that describes it.

Sources: Arm Architecture Reference Manual for A-profile architecture (DDI 0487), chapters C5.2 and D24, and the GIC
architecture specification (IHI 0069H), chapter 12. The layouts of the ID registers, of the controls of EL1 and EL2 and
of the trap, profiling, MPAM and ICH registers were compared with Linux's copy of the register data that Arm publishes
(arch/arm64/tools/sysreg, of 2026), the syndromes with QEMU's (target/arm/syndrome.h).

Each fact has one owner: encodings in ``el1_encodings`` and the like, layouts in the modules of their subject, titles
and resets in ``register_titles`` and ``unit_titles``. Importing this module builds all layouts; what only runs guests
uses ``arch.layouts``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Register
from arm_vcpu_cli.arch.explain.register_titles import GENERAL
from arm_vcpu_cli.arch.explain.unit_titles import UNITS
from arm_vcpu_cli.arch.identification.aa32idregs import AA32_ID_LAYOUTS, CcsidrWide
from arm_vcpu_cli.arch.layouts import LAYOUTS, layout_of
from arm_vcpu_cli.arch.registers.debugregs import DEBUG_LAYOUTS
from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.exceptionregs import EXCEPTION_LAYOUTS, Spsr32
from arm_vcpu_cli.arch.registers.ichregs import ICH_LAYOUTS
from arm_vcpu_cli.arch.registers.monitorregs import MONITOR_LAYOUTS
from arm_vcpu_cli.arch.registers.sysreg import SysReg, is_generic, lookup, sysreg_names, sysregs
from arm_vcpu_cli.arch.registers.translationregs import E2H_LAYOUTS, TRANSLATION_LAYOUTS
from arm_vcpu_cli.arch.registers.trapregs import TRAP_LAYOUTS

REGISTER_WIDTH: Final = 64
_SYSTEM_INSTRUCTION: Final = 1
_IMPLEMENTATION_DEFINED_CRN: Final = (11, 15)
_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True)
class Reset:
    """The reset value of a register. ``known`` has the fields with an architectural value; ``text`` describes all of
    it."""

    text: str
    known: Mapping[str, int]


@dataclass(frozen=True)
class RegisterInfo:
    """A register. ``encoding`` is None for PSTATE, ``layout`` is None if no fields are known."""

    name: str
    encoding: SysReg | None
    layout: type[Register] | None
    title: str
    group: str
    section: str
    reset: Reset | None
    own_name: str
    """The register that an alias accesses (SCTLR_EL1 for SCTLR_EL12, ICC_PMR_EL1 for ICV_PMR_EL1), else ``name``."""
    e2h_layout: type[Register] | None = None
    """The layout with HCR_EL2.E2H = 1, if it differs."""
    width: int = REGISTER_WIDTH

    def layout_of(self, value: int, *, e2h: bool = False) -> type[Register] | None:
        """Return the layout of the register with this value; ``e2h`` selects that of HCR_EL2.E2H = 1."""
        if e2h and self.e2h_layout is not None:
            return self.e2h_layout
        if self.layout is Spsr and not Spsr(value).is_aarch64:
            return Spsr32
        if self.name == "CCSIDR_EL1" and value >> 32:
            return CcsidrWide
        if self.name == "PAR_EL1":
            return layout_of(self.name, value)
        return self.layout


ALL_LAYOUTS: Final[Mapping[str, type[Register]]] = MappingProxyType(
    {
        **AA32_ID_LAYOUTS,
        **TRAP_LAYOUTS,
        **TRANSLATION_LAYOUTS,
        **EXCEPTION_LAYOUTS,
        **DEBUG_LAYOUTS,
        **MONITOR_LAYOUTS,
        **ICH_LAYOUTS,
        "DSPSR_EL0": Spsr,
        **LAYOUTS,
    }
)
"""The layout of each register by its own name; ``register_info`` also finds it by an alias."""

RES1_WITHOUT: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "SCTLR_EL1": MappingProxyType(
            {
                "LSMAOE": "FEAT_LSMAOC",
                "nTLSMD": "FEAT_LSMAOC",
                "SPAN": "FEAT_PAN",
                "EIS": "FEAT_ExS",
                "EOS": "FEAT_ExS",
                "TSCXT": "FEAT_CSV2_2",
            }
        ),
        "SCTLR_EL2": MappingProxyType(
            {
                **dict.fromkeys(("LSMAOE", "nTLSMD", "SPAN", "nTWE", "nTWI", "CP15BEN", "SA0"), "HCR_EL2.E2H"),
                "EIS": "FEAT_ExS",
                "EOS": "FEAT_ExS",
            }
        ),
        "SCTLR_EL3": MappingProxyType({"EIS": "FEAT_ExS", "EOS": "FEAT_ExS"}),
        "PMCR_EL0": MappingProxyType({"LC": "AArch32"}),
    }
)
"""Fields that are RES1 without a feature or a setting, by register and field (DDI 0487, D24.2)."""

NOT_RES0: Final[Mapping[str, int]] = MappingProxyType({"CTR_EL0": 1 << 31, "PAR_EL1": 1 << 11, "CCSIDR_EL1": 0xF << 28})
"""Bits that no field covers and that are RES1 or UNKNOWN, by register; all others without a field are RES0."""

GROUPS: Final = (*dict.fromkeys(group for group, _ in (*GENERAL, *UNITS)), "other")
"""The groups of registers in the order of the manuals."""

ALIASES: Final[Mapping[str, str]] = MappingProxyType({"CPSR": "PSTATE"})
"""Further names of registers; ``register_info`` itself distinguishes those that share an encoding."""
_IMPLEMENTATION: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "L2CTLR_EL1": ("S3_1_C11_C0_2", "L2 Control Register"),
        "L2ECTLR_EL1": ("S3_1_C11_C0_3", "L2 Extended Control Register"),
        "L2ACTLR_EL1": ("S3_1_C15_C0_0", "L2 Auxiliary Control Register"),
        "CPUACTLR_EL1": ("S3_1_C15_C2_0", "CPU Auxiliary Control Register"),
        "CPUECTLR_EL1": ("S3_1_C15_C2_1", "CPU Extended Control Register"),
        "CPUMERRSR_EL1": ("S3_1_C15_C2_2", "CPU Memory Error Syndrome Register"),
        "L2MERRSR_EL1": ("S3_1_C15_C2_3", "L2 Memory Error Syndrome Register"),
        "CBAR_EL1": ("S3_1_C15_C3_0", "Configuration Base Address Register"),
    }
)
"""The registers of Cortex-A53, A57 and A72 that kernels use: the names in the CPUs' manuals, encodings, titles."""
_LEVELS: Final = ("_EL1", "_EL0", "_EL2", "_EL3")
"""What kernels leave out of a name (``ESR = 0x96000045``), in the order in which it is looked for."""


def _entries() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield (name, title, reset, group, section) of each register in the tables."""
    for table in (GENERAL, UNITS):
        for (group, section), text in table.items():
            for line in re.split(r"\n(?=[^|\n]*\|)", text.strip()):
                name, title, reset = (" ".join(part.split()) for part in line.split("|"))
                run = re.search(r"\{(.*)\}", name)
                for part in _parts(run[1]) if run else ("",):
                    plain = name if run is None else f"{name[: run.start()]}{part}{name[run.end() :]}"
                    filled = (title, reset) if run is None else (title.replace("#", part), reset.replace("#", part))
                    yield plain, *filled, group, section


def _parts(run: str) -> Iterator[str]:
    first, dash, last = run.partition("-")
    if dash:
        yield from (str(number) for number in range(int(first), int(last) + 1))
    else:
        yield from run.split(",")


def _reset(name: str, text: str) -> Reset | None:
    if not text:
        return None
    if text == "?":
        return Reset("architecturally UNKNOWN", _NOTHING)
    if text == "=":
        return Reset("read-only, a value of the implementation", _NOTHING)
    if text.startswith("~"):
        return Reset(text[1:].strip(), _NOTHING)
    assignments, _, condition = text.partition("@")
    known: dict[str, int] = {}
    for names, value in re.findall(r"([\w*\s]+)=(\d+)", assignments):
        for field in names.split():
            every = [declared.name for declared in ALL_LAYOUTS[name].fields()] if field == "*" else [field]
            known.update(dict.fromkeys(every, int(value)))
    everything = {declared.name for declared in ALL_LAYOUTS[name].fields()} <= set(known)
    if everything and len(set(known.values())) == 1 and not any(known.values()):
        words = "0"
    else:
        words = " ".join(f"{field}={value}" for field, value in known.items())
    if condition == "cold":
        words += " on a Cold reset"
    elif condition:
        words += f" where {condition} is the highest Exception level"
    words += "" if everything else "; the rest is UNKNOWN"
    return Reset(words, MappingProxyType(known))


_DECLARED: Final[Mapping[str, tuple[str, str, str, str]]] = MappingProxyType(
    {name: (title, reset, group, section) for name, title, reset, group, section in _entries()}
)
_ALIAS_SUFFIXES: Final = (("_EL12", "_EL1"), ("_EL02", "_EL0"))


def register_names() -> tuple[str, ...]:
    """Return all registers that have a name, except system instructions, in the order of their encodings."""
    named = (name for name, reg in sysregs().items() if reg.op0 != _SYSTEM_INSTRUCTION)
    return ("PSTATE", *sorted(named, key=lambda name: (sysregs()[name], name)))


_BY_UPPER_NAME: Final[Mapping[str, str]] = MappingProxyType(
    {**{name.upper(): name for name in register_names()}, **ALIASES}
)


def register_info(name: str) -> RegisterInfo:
    """Return the register of a name in either case, or of a generic name (``S3_4_C1_C1_0``).

    Raises KeyError, with the closest names in its message, for an unknown name.
    """
    known = _BY_UPPER_NAME.get(name.upper())
    if name.upper() in _IMPLEMENTATION:
        generic, title = _IMPLEMENTATION[name.upper()]
        return replace(_nameless(lookup(generic)), name=name.upper(), title=f"{title} (Cortex-A53, A57, A72)")
    if known is None and is_generic(name):
        reg = lookup(name)
        known = sysreg_names().get(reg, reg.generic_name)
        if known not in _BY_UPPER_NAME.values():
            return _nameless(reg)
    if known is None:
        close = difflib.get_close_matches(name.upper(), _BY_UPPER_NAME, n=3)
        hint = f"; did you mean {', '.join(_BY_UPPER_NAME[match] for match in close)}?" if close else ""
        raise KeyError(f"there is no register {name}{hint}")
    return _describe(known)


def full_name(name: str) -> str:
    """The register that a name without its Exception level stands for (ESR_EL1 for ESR); any other name as it is."""
    if name.upper() in _BY_UPPER_NAME:
        return name
    return next((full for level in _LEVELS if (full := f"{name.upper()}{level}") in _BY_UPPER_NAME), name)


def _describe(name: str) -> RegisterInfo:
    own = _own_name(name)
    title, reset, group, section = _DECLARED.get(own, ("", "", "other", "DDI 0487, D24"))
    encoding = sysregs().get(name)
    if name.startswith("ICV_"):
        title, section = title.replace("Interrupt Controller", "Interrupt Controller Virtual", 1), "IHI 0069H, 12.3"
    elif own != name:
        title = f"{title}: {own} for EL2 with HCR_EL2.E2H = 1"
    layout = ALL_LAYOUTS.get(own)
    return RegisterInfo(name, encoding, layout, title, group, section, _reset(own, reset), own, E2H_LAYOUTS.get(own))


def _own_name(name: str) -> str:
    """Return the register that another name accesses: ICC_* for ICV_*, that of EL1 or EL0 for the aliases of
    FEAT_VHE."""
    if name.startswith("ICV_"):
        return f"ICC_{name[4:]}"
    for suffix, plain in _ALIAS_SUFFIXES:
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix)}{plain}"
    return name


def _nameless(reg: SysReg) -> RegisterInfo:
    if reg.op0 == _SYSTEM_INSTRUCTION:
        raise KeyError(f"{reg.generic_name} is a system instruction, not a register")
    is_private = reg.op0 == 3 and reg.crn in _IMPLEMENTATION_DEFINED_CRN
    title = "IMPLEMENTATION DEFINED register" if is_private else "no register is known at this encoding"
    return RegisterInfo(reg.generic_name, reg, None, title, "other", "DDI 0487, D24", None, reg.generic_name)
