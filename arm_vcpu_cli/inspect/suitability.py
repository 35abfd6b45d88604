"""Judges whether a modelled CPU and a machine meet a guest's needs, and if not, why.

"Undefined" means that the instruction raises an Undefined Instruction exception. On the engine an instruction is
undefined if the CPU model does not have its feature; an instruction that the model has and the machine merely hides
from the guest still executes, unlike on a CPU without the feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.identification.architecture import implemented_features, places_of
from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.arm_vcpu.id_registers import guest_id_registers
from arm_vcpu_cli.board.description import GicDescription, MachineDescription
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.guest.code_survey import EL2, EL3, CodeSurvey, Use
from arm_vcpu_cli.guest.elf_survey import ET_DYN, ET_EXEC, ElfSurvey
from arm_vcpu_cli.guest.guest_survey import GuestSurvey
from arm_vcpu_cli.guest.image import Segment
from arm_vcpu_cli.guest.linux import ImageFlags
from arm_vcpu_cli.guest.linux_survey import CONSOLE, GICS, PSCI, TIMER, LinuxSurvey
from arm_vcpu_cli.sizes import format_size

ENOUGH: Final = 16
"""From this many matching words on, possible data certainly contains instructions."""
_UNUSABLE: Final = ("FEAT_PMUv3",)
"""Features that every machine hides, and whose instructions are undefined although the core has them."""
_ID_CRM: Final = range(4, 8)
"""Of the registers that identify the AArch64 side: op0 3, op1 0, CRn 0."""
_PAGE_FEATURES: Final[Mapping[int, tuple[str, str]]] = {
    1: ("4 KiB", "FEAT_TGran4K"),
    2: ("16 KiB", "FEAT_TGran16K"),
    3: ("64 KiB", "FEAT_TGran64K"),
}


class Weight(Enum):
    """The effect of a finding on the verdict."""

    NO = "no"
    """The guest cannot run, or not to its end."""
    MAYBE = "maybe"
    """It depends on what the guest does at run time."""
    NOTE = "note"


class Finding(NamedTuple):
    """One need or property of the guest; ``feature`` is the CPU feature that would satisfy it."""

    weight: Weight
    text: str
    feature: str | None = None


class GuestCpu(NamedTuple):
    """A CPU model in a machine: the features that its core implements and those that the guest sees, by FEAT_ names."""

    model: str
    implemented: frozenset[str]
    announced: frozenset[str]


class Verdict(NamedTuple):
    """The result for a guest on a CPU: it runs unless a finding says no."""

    model: str
    findings: tuple[Finding, ...]

    @property
    def runs(self) -> bool:
        """Whether no finding prevents the guest from running."""
        return not any(each.weight is Weight.NO for each in self.findings)

    @property
    def missing(self) -> frozenset[str]:
        """The missing features that prevent it from running."""
        return frozenset(each.feature for each in self.findings if each.weight is Weight.NO and each.feature)


def guest_cpu(core: CpuCore, description: MachineDescription) -> GuestCpu:
    """The CPU of a guest in that machine. Raises ValueError for requested features that the CPU model lacks."""
    values = {reg: _read(core, reg) for reg in (SysReg(3, 0, 0, crm, op2) for crm in _ID_CRM for op2 in range(8))}
    told = values
    if description.el2.trap_id_registers:
        switched = dict(description.cpu.features)
        told = guest_id_registers(core, gic=description.has_gic_registers, features=switched)
    announced = implemented_features(told)
    # The guest sees some features that the core has but does not announce.
    return GuestCpu(core.model, announced | implemented_features(values), announced)


def _read(core: CpuCore, reg: SysReg) -> int:
    """A register of the identification space; one that the core does not have reads zero."""
    try:
        return core.read_sysreg(reg)
    except EngineError:
        return 0


def judge(survey: GuestSurvey, cpu: GuestCpu, description: MachineDescription) -> Verdict:
    """Whether the guest can run on that CPU in that machine."""
    elsewhere = [] if survey.elf is None else _elf_findings(survey.elf)
    if elsewhere:
        # The further needs of a program for another platform do not matter here.
        return Verdict(cpu.model, tuple(elsewhere))
    findings = [] if survey.problem is None else [Finding(Weight.NO, survey.problem)]
    findings += _memory_findings(survey.segments, description)
    if survey.linux is not None:
        findings += _linux_findings(survey.linux, cpu, gic=description.gic)
    else:
        findings += _code_findings(survey.code, cpu)
    return Verdict(cpu.model, tuple(findings))


def _elf_findings(elf: ElfSurvey) -> list[Finding]:
    """Signs that the file is for another machine or needs an operating system."""
    no = Weight.NO
    if not elf.is_native:
        order = ", big-endian" if elf.is_big_endian else ""
        return [Finding(no, f"it is for {elf.machine_name}, {elf.bits}-bit{order}; guests are AArch64, little-endian")]
    if elf.type not in (ET_EXEC, ET_DYN):
        return [Finding(no, f"it is not a program but a {elf.type_name}")]
    if elf.interpreter is not None:
        return [
            Finding(no, f"it is dynamically linked, and armvcpu does not load {elf.interpreter or 'its interpreter'}")
        ]
    if elf.is_for_linux:
        return [Finding(no, "it is a Linux program (according to its note), and there is no kernel to handle its SVCs")]
    return []


def _memory_findings(segments: tuple[Segment, ...], description: MachineDescription) -> list[Finding]:
    found = []
    for segment in segments:
        size = segment.memory_size
        if size and not any(region.holds(segment.address, size) for region in description.memory):
            place = f"{segment.name} at {segment.address:#x}-{segment.end - 1:#x}"
            regions = ", ".join(f"{each.name} {each.base:#x}-{each.end - 1:#x}" for each in description.memory)
            found.append(Finding(Weight.NO, f"{place} ({format_size(size)}) is outside of memory: {regions}"))
    return found


def _linux_findings(linux: LinuxSurvey, cpu: GuestCpu, *, gic: GicDescription | None) -> list[Finding]:
    """Findings on a kernel, which detects optional features itself: page size, byte order and drivers must match."""
    page = page_size_finding(linux.flags, cpu)
    found = [] if page is None else [page]
    options = linux.options or {}
    if options.get("ARM64_FORCE_52BIT") == "y" and "FEAT_LVA" not in cpu.announced:
        text = f"it gives programs 52-bit addresses only (ARM64_FORCE_52BIT); {cpu.model} has 48 bits"
        found.append(Finding(Weight.NO, text, "FEAT_LVA"))
    found += [
        Finding(Weight.NO, f"it has no driver for the machine's {driver}")
        for driver in (*(() if gic is None else (GICS[gic.version],)), TIMER)
        if driver not in linux.drivers
    ]
    if CONSOLE not in linux.drivers:
        found.append(Finding(Weight.MAYBE, "it has no driver for the PL011, so its output will not appear"))
    if PSCI not in linux.drivers:
        found.append(Finding(Weight.MAYBE, "it does not support PSCI, so it cannot power itself off"))
    return found


def page_size_finding(flags: ImageFlags, cpu: GuestCpu) -> Finding | None:
    """The finding that a CPU lacks the kernel's page size; None if it has it, or the kernel does not state it."""
    page = _PAGE_FEATURES.get(flags.PAGE_SIZE)
    if page is None or page[1] in cpu.announced:
        return None
    granules = " and ".join(name for name, needed in _PAGE_FEATURES.values() if needed in cpu.announced)
    text = f"it has pages of {page[0]}, which {cpu.model} does not have at stage 1 (it has {granules})"
    return Finding(Weight.NO, text, page[1])


def _code_findings(code: CodeSurvey, cpu: GuestCpu) -> list[Finding]:
    found = []
    if not code.words:
        found.append(Finding(Weight.MAYBE, "nothing in it looks like A64 code"))
    for use in code.uses:
        if use.need in (EL2, EL3):
            found.append(_level_finding(code, use))
        elif use.need.startswith("FEAT_") and use.need not in cpu.announced:
            found.append(_feature_finding(code, use, cpu))
    return found


def describe_use(use: Use) -> str:
    """``ldadd at main+0x10, 3 in all``; for possible data ``at least 3 words look like it``."""
    first = f"{use.mnemonic} at {use.place}"
    if use.is_certain:
        return f"{first}, {use.total} in all" if use.total > 1 else first
    return f"{first}, one word that may be data" if use.total == 1 else f"{first}; at least {use.total} words look so"


def _level_finding(code: CodeSurvey, use: Use) -> Finding:
    what = f"has instructions of {use.need} ({describe_use(use)}); guests start at EL1, where they are undefined"
    if code.asks_level:
        return Finding(Weight.NOTE, f"it {what}, but it looks at CurrentEL first")
    return Finding(_weight(use), f"it {what}")


def _feature_finding(code: CodeSurvey, use: Use, cpu: GuestCpu) -> Finding:
    feature = use.need
    what = f"it uses {feature} ({describe_use(use)})"
    if feature in cpu.implemented and feature not in _UNUSABLE:
        anyway = "the engine executes it all the same; on a CPU without it it would be undefined"
        return Finding(Weight.NOTE, f"{what}, which is not announced here: {anyway}")
    what = (
        f"{what}, which {cpu.model} does not have" if feature not in _UNUSABLE else f"{what}, which no guest has here"
    )
    if use.chosen == use.total:
        return Finding(Weight.NOTE, f"{what}, only in functions that are chosen where it is there", feature)
    asked = sorted({register for register, _ in places_of(feature)} & code.asks)
    if asked:
        return Finding(Weight.MAYBE, f"{what}; it reads {asked[0]} and may use it only where it is there", feature)
    return Finding(_weight(use), f"{what}: undefined there", feature)


def _weight(use: Use) -> Weight:
    """The weight of a use: possible data decides nothing, unless there is much of it."""
    return Weight.NO if use.is_certain or use.total >= ENOUGH else Weight.MAYBE
