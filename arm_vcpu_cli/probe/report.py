"""The whole report: as rows of text for people, and as one object for programs.

The object (``armvcpu probe --json``); values of registers are strings in hexadecimal, all other numbers decimal:

    version     1; it changes when a key goes away or changes its meaning, not when one is added
    supported   whether every CPU below has the virtualisation extension (exit status 0)
    host        system, architecture, cpu (or null), is_arm, virtualisation {usable, reason},
                kvm {api_version, ipa_bits, max_vcpus} or null, id_registers {name: value}
    engine      name, version, self_check {passed, message}
    cpus        one object a model: model, midr {value, name}, has_hardware_support,
                el2 and el3 {implemented, states}, vhe, pa_bits, vmid_bits,
                granules {name: {stage1, stage2}}, gic_system_registers {implemented, name},
                stage2 {granule, ipa_bits, levels, start_level, vtcr_el2 {value, fields}} or null,
                features [{feature, register, field, value, name, guest}],
                hidden [{register, field or null, core, guest}],
                id_registers {name: {core, guest, fields}}, the fields being those of the core
    limits      [{topic, text, hidden_in [REGISTER.FIELD]}]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from arm_vcpu_cli.arch.regs import LAYOUTS, layout_of
from arm_vcpu_cli.probe.cpu import CpuFacts, HiddenField, Stage2Format, field_of, value_name
from arm_vcpu_cli.probe.host import HostFacts
from arm_vcpu_cli.probe.limits import LIMITS
from arm_vcpu_cli.probe.midr import midr_name

JSON_VERSION: Final = 1
_PFR0: Final = "ID_AA64PFR0_EL1"
_NOT_HERE: Final = "-"


class Row(NamedTuple):
    """A line of a table: what it is about, and a text for each column."""

    label: str
    values: tuple[str, ...]


class Section(NamedTuple):
    """A table. ``columns`` heads the columns of values; empty where there is nothing to tell apart."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class EngineFacts:
    """The CPU engine; ``failure`` is None if it passed the self-check of its state layout."""

    name: str
    version: str
    failure: str | None = None


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
    found = [Section("Host", (), _host_rows(report.host)), Section("Engine", (), _engine_rows(report.engine))]
    if report.cpus:
        cpus = report.cpus
        models = tuple(cpu.model for cpu in cpus)
        title, columns = ("Modelled CPUs", models) if len(cpus) > 1 else (f"Modelled CPU: {models[0]}", ())
        found += [
            Section(title, columns, _cpu_rows(cpus)),
            Section("Stage 2 of a guest, at its widest", columns, _stage2_rows(cpus)),
            Section("Features of the core", columns, _feature_rows(cpus)),
            Section("Hidden from the guest (core -> guest)", columns, _hidden_rows(cpus)),
        ]
    found.append(Section("Limits of the engine", (), tuple(Row(limit.topic, (limit.text,)) for limit in LIMITS)))
    return tuple(found)


def as_json(report: Report) -> dict[str, Any]:
    """The report as the object described above."""
    host = report.host
    kvm = host.kvm
    return {
        "version": JSON_VERSION,
        "supported": report.supported,
        "host": {
            "system": host.system,
            "architecture": host.architecture,
            "cpu": host.cpu,
            "is_arm": host.is_arm,
            "virtualisation": {"usable": host.virtualisation, "reason": host.reason},
            "kvm": None
            if kvm is None
            else {"api_version": kvm.api_version, "ipa_bits": kvm.ipa_bits, "max_vcpus": kvm.max_vcpus},
            "id_registers": {name: hex(value) for name, value in host.id_registers.items()},
        },
        "engine": {
            "name": report.engine.name,
            "version": report.engine.version,
            "self_check": {"passed": report.engine.failure is None, "message": report.engine.failure},
        },
        "cpus": [_cpu_json(cpu) for cpu in report.cpus],
        "limits": [{"topic": limit.topic, "text": limit.text, "hidden_in": list(limit.hidden_in)} for limit in LIMITS],
    }


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


# Tables --------------------------------------------------------------------------------------------------------


def _host_rows(host: HostFacts) -> tuple[Row, ...]:
    rows = [
        Row("System", (f"{host.system} on {host.architecture}",)),
        Row("CPU", (host.cpu or "unknown",)),
        Row("Arm host", (_yes(host.is_arm),)),
        Row("Virtualisation here", (f"{'usable' if host.virtualisation else 'not usable'}. {host.reason}",)),
    ]
    if host.kvm is not None:
        vcpus = "" if host.kvm.max_vcpus is None else f", at most {host.kvm.max_vcpus} vCPUs"
        rows.append(Row("KVM", (f"API version {host.kvm.api_version}, {host.kvm.ipa_bits}-bit IPA{vcpus}",)))
    for name, value in host.id_registers.items():
        layout = layout_of(name, value)
        rows.append(Row(name, (f"{value:#x}" + (f"  {layout(value).describe()}" if layout and value else ""),)))
    return tuple(rows)


def _engine_rows(engine: EngineFacts) -> tuple[Row, ...]:
    check = "passed" if engine.failure is None else f"FAILED: {engine.failure}"
    return (Row(engine.name, (engine.version,)), Row("State layout check", (check,)))


def _cpu_rows(cpus: tuple[CpuFacts, ...]) -> tuple[Row, ...]:
    def row(label: str, texts: Iterable[str]) -> Row:
        return Row(label, tuple(texts))

    brief = len(cpus) > 1
    rows = [
        row("MIDR_EL1", (f"{cpu.midr:#010x}" + ("" if brief else f"  {midr_name(cpu.midr)}") for cpu in cpus)),
        row("Virtualisation", (_yes(cpu.has_hardware_support) for cpu in cpus)),
        row("EL2", (value_name(_PFR0, "EL2", cpu.el2) for cpu in cpus)),
        row("EL3", (value_name(_PFR0, "EL3", cpu.el3) + _firmware(cpu, brief=brief) for cpu in cpus)),
        row("VHE", (_yes(cpu.vhe) + ("" if brief or not cpu.vhe else " (not used: HCR_EL2.E2H is 0)") for cpu in cpus)),
        row("Physical addresses", (f"{cpu.pa_bits} bits" for cpu in cpus)),
        row("VMID", (f"{cpu.vmid_bits} bits" for cpu in cpus)),
        *(
            row(f"{stage}, granules", (_granules(cpu, index, brief=brief) for cpu in cpus))
            for index, stage in enumerate(("Stage 1", "Stage 2"), start=1)
        ),
        row("GIC system registers", (_gic_text(cpu.gic) for cpu in cpus)),
    ]
    return tuple(rows)


def _firmware(cpu: CpuFacts, *, brief: bool) -> str:
    return "" if brief or not cpu.el3 else " (a stub that hands over to EL2; SMC is answered by the monitor)"


def _granules(cpu: CpuFacts, stage: int, *, brief: bool) -> str:
    names = [each.name for each in cpu.granules if each[stage]]
    return ", ".join(name.replace(" KiB", "K") if brief else name for name in names) or "none"


def _gic_text(field: int) -> str:
    return value_name(_PFR0, "GIC", field) if field else "none in the core; a GICv3 is emulated"


def _stage2_rows(cpus: tuple[CpuFacts, ...]) -> tuple[Row, ...]:
    formats = [cpu.stage2 for cpu in cpus]

    def row(label: str, texts: Iterable[str | None]) -> Row:
        return Row(label, tuple(text or _NOT_HERE for text in texts))

    rows = [
        row("Granule", (each and "4 KiB" for each in formats)),
        row("Guest addresses", (each and f"{each.ipa_bits} bits" for each in formats)),
        row("Levels", (each and str(each.levels) for each in formats)),
        row("Start level", (each and str(each.start_level) for each in formats)),
        row("VTCR_EL2", (each and f"{int(each.vtcr):#x}" for each in formats)),
    ]
    for field in LAYOUTS["VTCR_EL2"].fields():
        numbers = [each.vtcr.as_dict()[field.name] if each else None for each in formats]
        if any(numbers):
            text = str if len(cpus) > 1 else field.text
            texts = (None if number is None else text(number) for number in numbers)
            rows.append(row(f"  .{field.name}", texts))
    return tuple(rows)


def _feature_rows(cpus: tuple[CpuFacts, ...]) -> tuple[Row, ...]:
    by_feature = zip(*(cpu.features for cpu in cpus), strict=True)
    return tuple(
        Row(
            each[0].label,
            tuple(f"{one.text}{' (hidden)' if one.guest != one.value else ''}" for one in each),
        )
        for each in by_feature
    )


def _hidden_rows(cpus: tuple[CpuFacts, ...]) -> tuple[Row, ...]:
    brief = len(cpus) > 1
    shown = [{_hidden_name(each): each for each in cpu.hidden if not each.is_aarch32} for cpu in cpus]
    names = dict.fromkeys(name for each in shown for name in each)
    rows = [
        Row(name, tuple(_hidden_text(each[name], brief=brief) if name in each else _NOT_HERE for each in shown))
        for name in names
    ]
    counts = [sum(each.is_aarch32 for each in cpu.hidden) for cpu in cpus]
    if any(counts):
        texts = (f"{count} read zero" if count else _NOT_HERE for count in counts)
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
    return f"{field.text(hidden.core)} -> {field.text(hidden.guest)}"


# The object ----------------------------------------------------------------------------------------------------


def _cpu_json(cpu: CpuFacts) -> dict[str, Any]:
    return {
        "model": cpu.model,
        "midr": {"value": hex(cpu.midr), "name": midr_name(cpu.midr)},
        "has_hardware_support": cpu.has_hardware_support,
        "el2": {"implemented": bool(cpu.el2), "states": value_name(_PFR0, "EL2", cpu.el2)},
        "el3": {"implemented": bool(cpu.el3), "states": value_name(_PFR0, "EL3", cpu.el3)},
        "vhe": cpu.vhe,
        "pa_bits": cpu.pa_bits,
        "vmid_bits": cpu.vmid_bits,
        "granules": {each.name: {"stage1": each.stage1, "stage2": each.stage2} for each in cpu.granules},
        "gic_system_registers": {"implemented": bool(cpu.gic), "name": value_name(_PFR0, "GIC", cpu.gic)},
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
    return {"register": hidden.register, "field": hidden.field, "core": core, "guest": guest}
