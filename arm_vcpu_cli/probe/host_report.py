"""The host as rows of text and as an object for programs.

The object: system, architecture, cpu (or null), is_arm, virtualisation {usable, reason}, kernel (or null), page_size
(bytes or null), cpus [{name, midr or null, numbers}], hwcaps [name], features [FEAT_ name], hints [sentence], kvm
{api_version, ipa_bits, max_vcpus, capabilities {name: number}, gics [name] or null} or null, id_registers {name:
value}.
"""

from __future__ import annotations

from typing import Any, Final

from arm_vcpu_cli.arch.identification.architecture import by_version, version_name
from arm_vcpu_cli.arch.layouts import layout_of
from arm_vcpu_cli.probe.host_facts import CpuGroup, HostFacts
from arm_vcpu_cli.probe.kvm import CAPABILITIES, KvmFacts
from arm_vcpu_cli.probe.report_tables import Row, Section, yes

_KIB: Final = 1024


def host_sections(host: HostFacts) -> list[Section]:
    """Return the host, and KVM with its capabilities if there is one, as tables."""
    found = [Section("Host", (), tuple(_host_rows(host)))]
    if host.kvm is not None and host.kvm.capabilities:
        found.append(Section("KVM on the host", (), tuple(_kvm_rows(host.kvm))))
    if host.features:
        rows = (Row(version_name(version), (" ".join(names),)) for version, names in by_version(host.features).items())
        found.append(Section("Features that the host's kernel shows to programs", (), tuple(rows)))
    return found


def host_json(host: HostFacts) -> dict[str, Any]:
    """Return the host as the object described above."""
    return {
        "system": host.system,
        "architecture": host.architecture,
        "cpu": host.cpu,
        "is_arm": host.is_arm,
        "virtualisation": {"usable": host.virtualisation, "reason": host.reason},
        "kernel": host.kernel,
        "page_size": host.page_size,
        "cpus": [
            {"name": each.name, "midr": None if each.midr is None else hex(each.midr), "numbers": list(each.numbers)}
            for each in host.cpus
        ],
        "hwcaps": list(host.hwcaps),
        "features": sorted(host.features),
        "hints": list(host.hints),
        "kvm": None if host.kvm is None else _kvm_json(host.kvm),
        "id_registers": {name: hex(value) for name, value in host.id_registers.items()},
    }


def _kvm_json(kvm: KvmFacts) -> dict[str, Any]:
    return {
        "api_version": kvm.api_version,
        "ipa_bits": kvm.ipa_bits,
        "max_vcpus": kvm.max_vcpus,
        "capabilities": dict(kvm.capabilities),
        "gics": None if kvm.gics is None else list(kvm.gics),
    }


def _host_rows(host: HostFacts) -> list[Row]:
    kernel = f", kernel {host.kernel}" if host.kernel else ""
    rows = [Row("System", (f"{host.system} on {host.architecture}{kernel}",))]
    if host.cpus:
        rows += [Row("CPUs" if len(host.cpus) > 1 else "CPU", (_group_text(each),)) for each in host.cpus]
    else:
        rows.append(Row("CPU", (host.cpu or "unknown",)))
    rows += [
        Row("Arm host", (yes(host.is_arm),)),
        Row("Virtualisation here", (f"{'usable' if host.virtualisation else 'not usable'}. {host.reason}",)),
        *(Row("Start of the kernel", (hint,)) for hint in host.hints),
    ]
    if host.kvm is not None:
        vcpus = "" if host.kvm.max_vcpus is None else f", at most {host.kvm.max_vcpus} vCPUs"
        rows.append(Row("KVM", (f"API version {host.kvm.api_version}, {host.kvm.ipa_bits}-bit IPA{vcpus}",)))
    if host.page_size is not None:
        rows.append(Row("Pages", (f"{host.page_size // _KIB} KiB",)))
    if host.hwcaps:
        rows.append(Row("Hardware capabilities", (" ".join(host.hwcaps),)))
    for name, value in host.id_registers.items():
        layout = layout_of(name, value)
        rows.append(Row(name, (f"{value:#x}" + (f"  {layout(value).describe()}" if layout and value else ""),)))
    return rows


def _kvm_rows(kvm: KvmFacts) -> list[Row]:
    numbers = [
        Row(each.text, (str(kvm.capabilities.get(name, 0)),)) for name, each in CAPABILITIES.items() if each.is_number
    ]
    switches = [
        Row(each.text, (yes(bool(kvm.capabilities.get(name, 0))),))
        for name, each in CAPABILITIES.items()
        if not each.is_number
    ]
    gics = "unknown: no virtual machine could be created" if kvm.gics is None else " ".join(kvm.gics) or "none"
    return [*numbers, Row("interrupt controllers for guests", (gics,)), *switches]


def _group_text(group: CpuGroup) -> str:
    count = len(group.numbers)
    return f"{group.name} ({'CPU' if count == 1 else f'{count} CPUs:'} {_ranges(group.numbers)})"


def _ranges(numbers: tuple[int, ...]) -> str:
    """``0-3,6`` for 0, 1, 2, 3, 6."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
