"""The whole report: as rows of text and as one object for programs.

The object (``armvcpu probe --json``); values of registers are strings in hexadecimal, all other numbers decimal:

    version     1; it changes when a key goes away or changes its meaning, not when one is added
    supported   whether the exit status is 0: every CPU below has the virtualisation extension
    host        see host_report
    engine      name, version, self_check {passed, message}, levers {name: whether it is used}
    cpus        one object a model: model, midr {value, name}, has_hardware_support,
                architecture {armv8, armv9 or null, lacks {version: [FEAT_]}, obstacles [FEAT_]},
                implemented [{name, since, announced}], announced being whether a guest reads of it,
                el2 and el3 {implemented, states}, vhe, pa_bits, va_bits, asid_bits, vmid_bits,
                granules {name: {stage1, stage2}}, gic_system_registers {implemented, name},
                caches [{level, kind, size, ways, sets, line}],
                stage2 {granule, ipa_bits, levels, start_level, vtcr_el2 {value, fields}} or null,
                features [{feature, register, field, value, name, guest}],
                hidden [{register, field or null, core, guest, why or null}],
                id_registers {name: {core, guest, fields}}, the fields being those of the core
    limits      [{part ("engine" or "machine"), topic, text, hidden_in [REGISTER.FIELD], notice or null}]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from arm_vcpu_cli.arch.identification.architecture import ARMV8, ARMV9, SINCE, Conformance, by_version, version_name
from arm_vcpu_cli.arch.identification.midr import midr_name
from arm_vcpu_cli.arch.layouts import LAYOUTS
from arm_vcpu_cli.probe.caches import Cache
from arm_vcpu_cli.probe.cpu_facts import CpuFacts, HiddenField, Stage2Format, field_of, value_name
from arm_vcpu_cli.probe.host_facts import HostFacts
from arm_vcpu_cli.probe.host_report import host_json, host_sections
from arm_vcpu_cli.probe.limits import ENGINE, LIMITS, MACHINE, WHY_HIDDEN
from arm_vcpu_cli.probe.report_tables import NOT_HERE, Row, Section, row, yes

JSON_VERSION: Final = 1
_PFR0: Final = "ID_AA64PFR0_EL1"
_KIB: Final = 1024


@dataclass(frozen=True)
class EngineFacts:
    """The CPU engine; ``failure`` is None if it passed the self-check of its state layout. ``levers`` are its
    accelerations by name, and whether each is used."""

    name: str
    version: str
    failure: str | None = None
    levers: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What ``armvcpu probe`` found. There are no CPUs if the engine failed."""

    host: HostFacts
    engine: EngineFacts
    cpus: tuple[CpuFacts, ...]

    @property
    def supported(self) -> bool:
        """Whether there is a CPU, and each has the virtualisation extension."""
        return bool(self.cpus) and all(cpu.has_hardware_support for cpu in self.cpus)


def sections(report: Report) -> tuple[Section, ...]:
    """The report as tables, in the order in which they are read."""
    found = [*host_sections(report.host), Section("Engine", (), _engine_rows(report.engine))]
    if report.cpus:
        cpus = report.cpus
        models = tuple(cpu.model for cpu in cpus)
        title, columns = ("Modelled CPUs", models) if len(cpus) > 1 else (f"Modelled CPU: {models[0]}", ())
        found += [
            Section(title, columns, _cpu_rows(cpus)),
            Section("Stage 2 of a guest, at its widest", columns, _stage2_rows(cpus)),
            Section("Features of the core, by the version that introduced them", columns, _feature_rows(cpus)),
            Section("Hidden from the guest (core -> guest)", columns, _hidden_rows(cpus)),
        ]
    found += [_limits(part) for part in (ENGINE, MACHINE)]
    return tuple(found)


def as_json(report: Report) -> dict[str, Any]:
    """The report as the object described above."""
    return {
        "version": JSON_VERSION,
        "supported": report.supported,
        "host": host_json(report.host),
        "engine": {
            "name": report.engine.name,
            "version": report.engine.version,
            "self_check": {"passed": report.engine.failure is None, "message": report.engine.failure},
            **({"levers": dict(report.engine.levers)} if report.engine.levers else {}),
        },
        "cpus": [_cpu_json(cpu) for cpu in report.cpus],
        "limits": [
            {
                "part": limit.part,
                "topic": limit.topic,
                "text": limit.text,
                "hidden_in": list(limit.hidden_in),
                "notice": limit.notice or None,
                "unnoticed": limit.unnoticed or None,
            }
            for limit in LIMITS
        ],
    }


# Tables --------------------------------------------------------------------------------------------------------


def _limits(part: str) -> Section:
    rows = tuple(Row(limit.topic, (f"{limit.text} {limit.sentence}",)) for limit in LIMITS if limit.part == part)
    return Section(f"Limits of the {part}", (), rows)


def _engine_rows(engine: EngineFacts) -> tuple[Row, ...]:
    check = "passed" if engine.failure is None else f"FAILED: {engine.failure}"
    used = [name for name, is_used in engine.levers.items() if is_used]
    unused = [name for name, is_used in engine.levers.items() if not is_used]
    levers = f"{', '.join(used) or 'none'}" + (f"; not used: {', '.join(unused)}" if unused else "")
    rows = (Row(engine.name, (engine.version,)), Row("State layout check", (check,)))
    return (*rows, Row("Levers", (levers,))) if engine.levers else rows


def _cpu_rows(cpus: tuple[CpuFacts, ...]) -> tuple[Row, ...]:
    brief = len(cpus) > 1
    rows = [
        row("MIDR_EL1", (f"{cpu.midr:#010x}" + ("" if brief else f"  {midr_name(cpu.midr)}") for cpu in cpus)),
        row("Architecture", (_architecture(cpu.conformance, brief=brief) for cpu in cpus)),
        row("Virtualisation", (yes(cpu.has_hardware_support) for cpu in cpus)),
        row("EL2", (value_name(_PFR0, "EL2", cpu.el2) for cpu in cpus)),
        row("EL3", (value_name(_PFR0, "EL3", cpu.el3) + _firmware(cpu, brief=brief) for cpu in cpus)),
        row("VHE", (yes(cpu.vhe) + ("" if brief or not cpu.vhe else " (not used: HCR_EL2.E2H is 0)") for cpu in cpus)),
        row("Physical addresses", (f"{cpu.pa_bits} bits" for cpu in cpus)),
        row("Virtual addresses", (f"{cpu.va_bits} bits" for cpu in cpus)),
        row("ASID", (f"{cpu.asid_bits} bits" for cpu in cpus)),
        row("VMID", (f"{cpu.vmid_bits} bits" for cpu in cpus)),
        *(
            row(f"{stage}, granules", (_granules(cpu, index, brief=brief) for cpu in cpus))
            for index, stage in enumerate(("Stage 1", "Stage 2"), start=1)
        ),
        row("GIC system registers", (_gic_text(cpu.gic) for cpu in cpus)),
        *_cache_rows(cpus),
    ]
    return tuple(rows)


def _architecture(found: Conformance, *, brief: bool) -> str:
    """Return ``Armv8.0; for Armv8.1 it lacks FEAT_LSE ...``."""
    reached = version_name(found.armv8) + (f" and {version_name(found.armv9)}" if found.armv9 else "")
    later = [version for version in (*ARMV8[ARMV8.index(found.armv8) + 1 :], *ARMV9) if version in found.lacks]
    if brief or not later:
        return reached
    return f"{reached}; for {version_name(later[0])} it lacks {' '.join(found.lacks[later[0]])}"


def _cache_rows(cpus: tuple[CpuFacts, ...]) -> list[Row]:
    places = dict.fromkeys((cache.level, cache.kind) for cpu in cpus for cache in cpu.caches)
    found = [{(cache.level, cache.kind): cache for cache in cpu.caches} for cpu in cpus]
    return [
        row(f"L{level} cache, {kind}", (_cache_text(each.get((level, kind)), brief=len(cpus) > 1) for each in found))
        for level, kind in sorted(places)
    ]


def _cache_text(cache: Cache | None, *, brief: bool) -> str | None:
    if cache is None:
        return None
    size = f"{cache.size // _KIB} KiB"
    return size if brief else f"{size}, {cache.ways} ways of {cache.sets} lines of {cache.line} bytes"


def _firmware(cpu: CpuFacts, *, brief: bool) -> str:
    return "" if brief or not cpu.el3 else " (a stub that hands over to EL2; SMC is answered by the monitor)"


def _granules(cpu: CpuFacts, stage: int, *, brief: bool) -> str:
    names = [each.name for each in cpu.granules if each[stage]]
    return ", ".join(name.replace(" KiB", "K") if brief else name for name in names) or "none"


def _gic_text(field: int) -> str:
    return value_name(_PFR0, "GIC", field) if field else "none in the core; a GICv3 is emulated"


def _stage2_rows(cpus: tuple[CpuFacts, ...]) -> tuple[Row, ...]:
    formats = [cpu.stage2 for cpu in cpus]

    rows = [
        row("Granule", (each and "4 KiB" for each in formats)),
        row("Guest addresses", (each and f"{each.ipa_bits} bits" for each in formats)),
        row("Levels", (each and str(each.levels) for each in formats)),
        row("Start level", (each and str(each.start_level) for each in formats)),
        row("VTCR_EL2", (each and f"{int(each.vtcr):#x}" for each in formats)),
    ]
    for part in LAYOUTS["VTCR_EL2"].fields():
        numbers = [each.vtcr.as_dict()[part.name] if each else None for each in formats]
        if any(numbers):
            text = str if len(cpus) > 1 else part.text
            texts = (None if number is None else text(number) for number in numbers)
            rows.append(row(f"  .{part.name}", texts))
    return tuple(rows)


def _feature_rows(cpus: tuple[CpuFacts, ...]) -> tuple[Row, ...]:
    """Return a row for each version with one CPU, a row for each feature with several."""
    if len(cpus) == 1:
        (cpu,) = cpus
        return tuple(
            Row(version_name(version), (" ".join(_with_mark(name, cpu) for name in names),))
            for version, names in by_version(cpu.implemented).items()
        )
    every = frozenset().union(*(cpu.implemented for cpu in cpus))
    return tuple(
        row(f"{name} ({version})", (_presence(name, cpu) for cpu in cpus))
        for version, names in by_version(every).items()
        for name in names
    )


def _with_mark(name: str, cpu: CpuFacts) -> str:
    return name if name in cpu.announced else f"{name}(hidden)"


def _presence(name: str, cpu: CpuFacts) -> str | None:
    if name not in cpu.implemented:
        return None
    return "yes" if name in cpu.announced else "hidden"


def _hidden_rows(cpus: tuple[CpuFacts, ...]) -> tuple[Row, ...]:
    brief = len(cpus) > 1
    shown = [{_hidden_name(each): each for each in cpu.hidden if not each.is_aarch32} for cpu in cpus]
    names = dict.fromkeys(name for each in shown for name in each)
    rows = [
        Row(name, tuple(_hidden_text(each[name], brief=brief) if name in each else NOT_HERE for each in shown))
        for name in names
    ]
    counts = [sum(each.is_aarch32 for each in cpu.hidden) for cpu in cpus]
    if any(counts):
        texts = (f"{count} read zero" if count else NOT_HERE for count in counts)
        rows.append(Row("AArch32 ID registers", tuple(texts)))
    return tuple(rows)


def _hidden_name(hidden: HiddenField) -> str:
    return hidden.register if hidden.field is None else f"{hidden.register}.{hidden.field}"


def _hidden_text(hidden: HiddenField, *, brief: bool) -> str:
    if hidden.field is None:
        return f"{hidden.core:#x} -> {hidden.guest:#x}"
    if brief:
        return f"{hidden.core} -> {hidden.guest}"
    field = field_of(hidden.register, hidden.field)
    why = WHY_HIDDEN.get(_hidden_name(hidden))
    return f"{field.text(hidden.core)} -> {field.text(hidden.guest)}" + (f": {why}" if why else "")


# The object ----------------------------------------------------------------------------------------------------


def _cpu_json(cpu: CpuFacts) -> dict[str, Any]:
    return {
        "model": cpu.model,
        "midr": {"value": hex(cpu.midr), "name": midr_name(cpu.midr)},
        "has_hardware_support": cpu.has_hardware_support,
        "architecture": {
            "armv8": cpu.conformance.armv8,
            "armv9": cpu.conformance.armv9,
            "lacks": {version: list(names) for version, names in cpu.conformance.lacks.items()},
            "obstacles": list(cpu.conformance.obstacles),
        },
        "implemented": [
            {"name": name, "since": SINCE[name], "announced": name in cpu.announced} for name in sorted(cpu.implemented)
        ],
        "el2": {"implemented": bool(cpu.el2), "states": value_name(_PFR0, "EL2", cpu.el2)},
        "el3": {"implemented": bool(cpu.el3), "states": value_name(_PFR0, "EL3", cpu.el3)},
        "vhe": cpu.vhe,
        "pa_bits": cpu.pa_bits,
        "va_bits": cpu.va_bits,
        "asid_bits": cpu.asid_bits,
        "vmid_bits": cpu.vmid_bits,
        "granules": {each.name: {"stage1": each.stage1, "stage2": each.stage2} for each in cpu.granules},
        "gic_system_registers": {"implemented": bool(cpu.gic), "name": value_name(_PFR0, "GIC", cpu.gic)},
        "caches": [{**cache._asdict(), "size": cache.size} for cache in cpu.caches],
        "stage2": None if cpu.stage2 is None else _stage2_json(cpu.stage2),
        "features": [
            {
                "feature": each.label,
                "register": each.register,
                "field": each.field,
                "value": each.value,
                "name": each.text,
                "guest": each.guest,
            }
            for each in cpu.features
        ],
        "hidden": [_hidden_json(each) for each in cpu.hidden],
        "id_registers": {
            name: {"core": hex(each.core), "guest": hex(each.guest), "fields": LAYOUTS[name](each.core).as_dict()}
            for name, each in cpu.id_registers.items()
        },
    }


def _stage2_json(form: Stage2Format) -> dict[str, Any]:
    return {
        "granule": "4 KiB",
        "ipa_bits": form.ipa_bits,
        "levels": form.levels,
        "start_level": form.start_level,
        "vtcr_el2": {"value": hex(form.vtcr), "fields": form.vtcr.as_dict()},
    }


def _hidden_json(hidden: HiddenField) -> dict[str, Any]:
    core: int | str = hidden.core
    guest: int | str = hidden.guest
    if hidden.field is None:
        core, guest = hex(hidden.core), hex(hidden.guest)
    return {
        "register": hidden.register,
        "field": hidden.field,
        "core": core,
        "guest": guest,
        "why": WHY_HIDDEN.get(_hidden_name(hidden)),
    }
