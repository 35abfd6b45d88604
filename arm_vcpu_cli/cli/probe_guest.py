"""Whether a guest can run, for ``armvcpu probe --for``: as tables and as an object.

The object (``armvcpu probe --for GUEST --json``):

    version     1
    guest       path, kind (elf, linux, raw), size, problem (or null: why the loader refuses it),
                segments [{name, address, size}],
                elf {class, byte_order, machine, type, entry, interpreter or null, properties [name] or null} or null,
                linux {version or null, container or null, image_size, page_size or null, placement, efi,
                options {NAME: value} or null, uses [FEAT_], drivers [name]} or null,
                code {words, certain, asks [register], asks_current_el,
                uses [{need, count, first {instruction, address, place}, chosen, certain}]}
    runs        whether the exit status is 0: it runs on all of cpus
    cpus        [{model, runs, missing [FEAT_], has {FEAT_: bool} for what it uses,
                findings [{weight (no, maybe, note), text, feature or null}]}]
    elsewhere   models that are not among cpus, and on which it would run
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from arm_vcpu_cli.arch.instructions.instruction_needs import ERET, HINTS, HVC, SMC
from arm_vcpu_cli.guest.code_survey import CodeSurvey
from arm_vcpu_cli.guest.elf_survey import ElfSurvey
from arm_vcpu_cli.guest.guest_survey import GuestSurvey
from arm_vcpu_cli.guest.linux import ImageFlags
from arm_vcpu_cli.guest.linux_survey import LinuxSurvey
from arm_vcpu_cli.inspect.suitability import GuestCpu, Verdict, Weight
from arm_vcpu_cli.printable import printable_path
from arm_vcpu_cli.probe.report_tables import Row, Section
from arm_vcpu_cli.sizes import format_size

JSON_VERSION: Final = 1
_KINDS: Final = {"elf": "ELF file", "linux": "arm64 Linux kernel", "raw": "raw binary"}
_HARMLESS: Final = {
    HVC: "a call to the hypervisor: PSCI and SMCCC are answered",
    SMC: "a call to the secure monitor: PSCI and SMCCC are answered",
    ERET: "a return from an exception, to EL0 or EL1",
    HINTS: "pointer authentication and BTI as hints: NOPs where they are not there",
}


@dataclass(frozen=True)
class GuestReport:
    """A guest, the CPUs that it was checked against, and the other models on which it would run."""

    survey: GuestSurvey
    cpus: tuple[GuestCpu, ...]
    verdicts: tuple[Verdict, ...]
    elsewhere: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether it runs on all of them."""
        return all(verdict.runs for verdict in self.verdicts)


def guest_sections(report: GuestReport) -> tuple[Section, ...]:
    """The report as tables; the verdict is the last."""
    survey = report.survey
    found = [Section(f"Guest: {printable_path(survey.path)}", (), tuple(_file_rows(survey)))]
    columns = tuple(cpu.model for cpu in report.cpus)
    if survey.linux is not None:
        found.append(Section("Features that the kernel uses where they are", columns, _offer_rows(report)))
    if survey.code.words:
        found.append(Section(_code_title(survey), ("first", "words", *columns), tuple(_use_rows(report))))
    found.append(Section("Verdict", (), tuple(_verdict_rows(report))))
    return tuple(found)


def guest_json(report: GuestReport) -> dict[str, Any]:
    """The object described above."""
    survey = report.survey
    uses = [use.need for use in survey.code.uses if use.need.startswith("FEAT_")]
    wanted = list(survey.linux.uses) if survey.linux is not None else uses
    return {
        "version": JSON_VERSION,
        "guest": {
            "path": printable_path(survey.path),
            "kind": survey.kind,
            "size": survey.size,
            "problem": survey.problem,
            "segments": [
                {"name": each.name, "address": hex(each.address), "size": each.memory_size} for each in survey.segments
            ],
            "elf": None if survey.elf is None else _elf_json(survey.elf),
            "linux": None if survey.linux is None else _linux_json(survey.linux),
            "code": _code_json(survey.code),
        },
        "runs": report.runs,
        "cpus": [
            {
                "model": cpu.model,
                "runs": verdict.runs,
                "missing": sorted(verdict.missing),
                "has": {name: name in cpu.announced for name in wanted},
                "findings": [
                    {"weight": each.weight.value, "text": each.text, "feature": each.feature}
                    for each in verdict.findings
                ],
            }
            for cpu, verdict in zip(report.cpus, report.verdicts, strict=True)
        ],
        "elsewhere": list(report.elsewhere),
    }


# Tables --------------------------------------------------------------------------------------------------------


def _file_rows(survey: GuestSurvey) -> list[Row]:
    rows = [Row("File", (f"{_KINDS[survey.kind]}, {format_size(survey.size)}",))]
    if survey.elf is not None:
        rows += _elf_rows(survey.elf)
    if survey.linux is not None:
        rows += _linux_rows(survey.linux)
    rows += [
        Row("Memory", (f"{each.address:#x}-{each.end - 1:#x} {each.name}, {format_size(each.memory_size)}",))
        for each in survey.segments
        if each.memory_size
    ]
    return rows


def _elf_rows(elf: ElfSurvey) -> list[Row]:
    order = "big-endian" if elf.is_big_endian else "little-endian"
    rows = [
        Row("Machine", (f"{elf.machine_name}, {elf.bits}-bit, {order}",)),
        Row("Type", (f"{elf.type_name}, {'static' if elf.interpreter is None else 'dynamically linked'}",)),
        Row("Entry", (f"{elf.entry:#x} {elf.symbols.format(elf.entry)}".rstrip(),)),
    ]
    if elf.interpreter is not None:
        rows.append(Row("Interpreter", (elf.interpreter,)))
    if elf.properties is not None:
        rows.append(Row("Marked as fit for", (" ".join(elf.properties) or "nothing",)))
    return rows


def _linux_rows(linux: LinuxSurvey) -> list[Row]:
    efi = ", with an EFI stub" if linux.is_efi else ""
    rows = [
        Row("Version", (linux.version or "unknown",)),
        Row("Image", (f"{f'in {linux.container}' if linux.container else 'not compressed'}{efi}",)),
        Row("Page size", (ImageFlags.PAGE_SIZE.values[linux.flags.PAGE_SIZE],)),
        Row("Placement", (ImageFlags.PHYS_BASE.values[linux.flags.PHYS_BASE],)),
        Row("Drivers", (", ".join(linux.drivers) or "none of this machine's devices",)),
    ]
    if linux.options is None:
        rows.append(Row("Configuration", ("not in the image (CONFIG_IKCONFIG)",)))
    else:
        rows.append(Row("Configuration", (" ".join(f"{name}={value}" for name, value in linux.options.items()),)))
    return rows


def _offer_rows(report: GuestReport) -> tuple[Row, ...]:
    linux = report.survey.linux
    names = () if linux is None else linux.uses
    return tuple(Row(name, tuple(_has(name, cpu) for cpu in report.cpus)) for name in names)


def _has(name: str, cpu: GuestCpu) -> str:
    if name in cpu.announced:
        return "yes"
    return "hidden" if name in cpu.implemented else "no"


def _code_title(survey: GuestSurvey) -> str:
    words = survey.code.words
    if survey.code.is_certain:
        return f"Features that its {words} words of code use"
    if survey.linux is not None:
        return f"Features in {words} words that look like code; a kernel checks for features before it uses them"
    return f"Features in {words} words that look like code"


def _use_rows(report: GuestReport) -> list[Row]:
    code = report.survey.code
    rows = []
    for use in code.uses:
        answers = [""] * len(report.cpus)
        if use.need.startswith("FEAT_"):
            answers = [_has(use.need, cpu) for cpu in report.cpus]
        elif use.need in _HARMLESS:
            answers = ["yes"] * len(report.cpus)
        else:
            answers = ["no"] * len(report.cpus)
        rows.append(Row(use.need, (f"{use.mnemonic} at {use.place}", str(use.total), *answers)))
    return rows or [Row("nothing", ("that some CPUs lack", "", *[""] * len(report.cpus)))]


def _verdict_rows(report: GuestReport) -> list[Row]:
    rows = []
    for verdict in report.verdicts:
        rows.append(Row(verdict.model, (_verdict_text(report, verdict),)))
        shown = {Weight.NO: "because", Weight.MAYBE: "perhaps not", Weight.NOTE: "note"}
        rows += [Row(f"  {shown[each.weight]}", (each.text,)) for each in verdict.findings]
    return rows


def _verdict_text(report: GuestReport, verdict: Verdict) -> str:
    if not verdict.runs:
        elsewhere = ", ".join(f'cpu.model = "{model}"' for model in report.elsewhere)
        return "cannot run" + (f"; a machine with {elsewhere} provides it" if elsewhere else "")
    if any(each.weight is Weight.MAYBE for each in verdict.findings):
        return "can run, as far as armvcpu can tell without running it"
    return "can run"


# The object ----------------------------------------------------------------------------------------------------


def _elf_json(elf: ElfSurvey) -> dict[str, Any]:
    return {
        "class": elf.bits,
        "byte_order": "big" if elf.is_big_endian else "little",
        "machine": elf.machine_name,
        "type": elf.type_name,
        "entry": hex(elf.entry),
        "interpreter": elf.interpreter,
        "properties": None if elf.properties is None else list(elf.properties),
    }


def _linux_json(linux: LinuxSurvey) -> dict[str, Any]:
    page = linux.flags.PAGE_SIZE
    return {
        "version": linux.version,
        "container": linux.container,
        "image_size": linux.image_size,
        "page_size": ImageFlags.PAGE_SIZE.values[page] if page else None,
        "placement": ImageFlags.PHYS_BASE.values[linux.flags.PHYS_BASE],
        "efi": linux.is_efi,
        "options": None if linux.options is None else dict(linux.options),
        "uses": list(linux.uses),
        "drivers": list(linux.drivers),
    }


def _code_json(code: CodeSurvey) -> dict[str, Any]:
    return {
        "words": code.words,
        "certain": code.is_certain,
        "asks": sorted(code.asks),
        "asks_current_el": code.asks_level,
        "uses": [
            {
                "need": use.need,
                "count": use.total,
                "first": {"instruction": use.mnemonic, "address": hex(use.address), "place": use.place},
                "chosen": use.chosen,
                "certain": use.is_certain,
            }
            for use in code.uses
        ],
    }
