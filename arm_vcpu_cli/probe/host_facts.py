"""The host machine: its CPUs, and whether its own virtualisation extension could be used.

Nothing here is needed to run guests, which always run on the modelled CPU. A missing or unreadable source is a fact
rather than an error.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.identification.architecture import implemented_features
from arm_vcpu_cli.arch.identification.idregs import Midr
from arm_vcpu_cli.arch.identification.midr import midr_name
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.printable import undecoded
from arm_vcpu_cli.probe.el0_registers import read_registers
from arm_vcpu_cli.probe.hwcaps import CPUID, AuxiliaryVector, read_auxiliary_vector
from arm_vcpu_cli.probe.kvm import KVM_API_VERSION, Ioctl, KvmFacts, ask_kernel, ask_kvm

_KVM: Final = "dev/kvm"
_CPUINFO: Final = "proc/cpuinfo"
_AUXV: Final = "proc/self/auxv"
_RELEASE: Final = "proc/sys/kernel/osrelease"
_CMDLINE: Final = "proc/cmdline"
_CPUS: Final = "sys/devices/system/cpu"
_IDENTIFICATION: Final = "regs/identification"
_KVM_CLASS: Final = "sys/class/misc/kvm"
_HYPERVISORS: Final = ("sys/hypervisor/type", "sys/firmware/devicetree/base/hypervisor/compatible")
_KVM_MODE: Final = re.compile(r"(?:^|\s)kvm-arm\.mode=(\S+)")
_CPU_DIRECTORY: Final = re.compile(r"cpu(\d+)")
_AARCH64_NAMES: Final = frozenset({"aarch64", "aarch64_be", "arm64"})
_WITH_HWCAPS: Final = "aarch64"
_MODELLED: Final = "guests run on the modelled CPU"
_LINUX: Final = "Linux"


class CpuGroup(NamedTuple):
    """CPUs of the same kind, by their numbers; ``midr`` is None where only a name is known."""

    name: str
    numbers: tuple[int, ...]
    midr: int | None = None


@dataclass(frozen=True)
class HostFacts:
    """The host. ``virtualisation`` is whether its EL2 is usable, and ``reason`` why or why not.

    ``cpu`` is the first CPU's name, ``cpus`` all of them. ``id_registers`` are those that the kernel shows, by name:
    those in its files for the first CPU, and those that it gives to programs for all CPUs together. ``page_size`` is in
    bytes, ``hints`` are sentences on how the kernel was started.
    """

    system: str
    architecture: str
    cpu: str | None
    is_arm: bool
    virtualisation: bool
    reason: str
    kvm: KvmFacts | None = None
    id_registers: Mapping[str, int] = field(default_factory=dict)
    kernel: str | None = None
    page_size: int | None = None
    hwcaps: tuple[str, ...] = ()
    cpus: tuple[CpuGroup, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def features(self) -> frozenset[str]:
        """The FEAT_ names that the ID registers announce; empty if the kernel shows none."""
        if not any(name.startswith("ID_AA64") for name in self.id_registers):
            return frozenset()
        return implemented_features({lookup(name): value for name, value in self.id_registers.items()})


def gather_host(
    root: Path = Path("/"),
    *,
    system: str | None = None,
    architecture: str | None = None,
    ioctl: Ioctl = ask_kernel,
    registers: Callable[[], Mapping[str, int]] = read_registers,
) -> HostFacts:
    """Gather the facts; ``root`` replaces the host's root directory, the other arguments its kernel.

    ``registers`` reads ID registers; it is only called if the kernel states that programs can.
    """
    system = platform.system() if system is None else system
    architecture = platform.machine() if architecture is None else architecture
    is_arm = architecture in _AARCH64_NAMES or architecture.startswith("arm")
    vector = AuxiliaryVector(None, ())
    if system == _LINUX and architecture == _WITH_HWCAPS:
        vector = read_auxiliary_vector(_read_bytes(root / _AUXV))
    shown = dict(registers()) if CPUID in vector.hwcaps else {}
    shown.update(_identification(root, 0))
    groups = _groups(root)
    first = shown.get("MIDR_EL1")
    kvm, usable = None, False
    if architecture not in _AARCH64_NAMES:
        kind = "a 32-bit Arm system does not offer" if is_arm else "no"
        reason = f"{architecture or 'unknown'}: {kind} AArch64 EL2 on this machine; {_MODELLED}"
    elif system != _LINUX:
        reason = f"{system}: there is no KVM on this system; {_MODELLED}"
    else:
        kvm, usable, reason = _ask_kvm(root / _KVM, ioctl)
    return HostFacts(
        system=system,
        architecture=architecture,
        cpu=midr_name(first) if first is not None else groups[0].name if groups else None,
        is_arm=is_arm,
        virtualisation=usable,
        reason=reason,
        kvm=kvm,
        id_registers=shown,
        kernel=_read_text(root / _RELEASE).strip() or None,
        page_size=vector.page_size,
        hwcaps=vector.hwcaps,
        cpus=groups,
        hints=tuple(_hints(root)) if architecture in _AARCH64_NAMES else (),
    )


def _ask_kvm(device: Path, ioctl: Ioctl) -> tuple[KvmFacts | None, bool, str]:
    """Return KVM's answers, whether it is usable, and a sentence that explains it."""
    try:
        facts = ask_kvm(device, ioctl)
    except FileNotFoundError:
        return None, False, f"no /dev/kvm: this kernel has no KVM or was not started at EL2; {_MODELLED}"
    except PermissionError as error:
        hint = "is this user in the group kvm?"
        return None, False, f"/dev/kvm cannot be opened ({error.strerror}; {hint}); {_MODELLED}"
    except OSError as error:
        verb = "cannot be opened" if error.filename is not None else "does not answer"
        return None, False, f"/dev/kvm {verb} ({error.strerror}); {_MODELLED}"
    if facts.api_version != KVM_API_VERSION:
        return facts, False, f"/dev/kvm has API version {facts.api_version}, not {KVM_API_VERSION}; {_MODELLED}"
    return facts, True, f"KVM is usable on this host; armvcpu does not need it: {_MODELLED}"


def _hints(root: Path) -> list[str]:
    """Return what can be inferred about how the kernel was started: its log is not readable everywhere."""
    found = []
    if (root / _KVM_CLASS).is_dir():
        found.append("KVM is registered: the kernel was started at EL2")
    mode = _KVM_MODE.search(_read_text(root / _CMDLINE))
    if mode is not None:
        found.append(f"kvm-arm.mode={mode[1]} on the kernel's command line")
    for name in _HYPERVISORS:
        kind = _read_text(root / name).strip("\0\n ").replace("\0", " ")
        if kind:
            found.append(f"the host is itself a guest ({kind})")
    return found


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _read_text(path: Path) -> str:
    return undecoded(_read_bytes(path))


def _identification(root: Path, number: int) -> dict[str, int]:
    """Return the world-readable registers under /sys, usually MIDR_EL1 and REVIDR_EL1."""
    try:
        files = sorted((root / _CPUS / f"cpu{number}" / _IDENTIFICATION).iterdir())
    except OSError:
        return {}
    values = {file.name.upper(): _number(_read_text(file)) for file in files}
    return {name: value for name, value in values.items() if value is not None}


def _number(text: str) -> int | None:
    """Parse a register value of at most 64 bits, written as in C; None for anything else."""
    try:
        value = int(text.strip(), 0)
    except ValueError:
        return None
    return value if 0 <= value < 1 << 64 else None


def _groups(root: Path) -> tuple[CpuGroup, ...]:
    """Return all CPUs, grouped: by MIDR_EL1 on Arm, by their names in /proc/cpuinfo elsewhere."""
    midrs = {number: _identification(root, number).get("MIDR_EL1") for number in _cpu_numbers(root)}
    found: dict[tuple[str, int | None], list[int]] = {}
    for number, entries in _cpuinfo(root).items():
        midr = midrs.pop(number, None)
        midr = _midr_of(entries) if midr is None else midr
        name = entries.get("model name") if midr is None else midr_name(midr)
        if name is not None:
            found.setdefault((name, midr), []).append(number)
    for number, midr in midrs.items():
        if midr is not None:
            found.setdefault((midr_name(midr), midr), []).append(number)
    groups = [CpuGroup(name, tuple(sorted(numbers)), midr) for (name, midr), numbers in found.items()]
    return tuple(sorted(groups, key=lambda group: group.numbers))


def _cpu_numbers(root: Path) -> list[int]:
    try:
        names = [entry.name for entry in (root / _CPUS).iterdir()]
    except OSError:
        return []
    return sorted(int(match[1]) for match in map(_CPU_DIRECTORY.fullmatch, names) if match)


def _cpuinfo(root: Path) -> dict[int, dict[str, str]]:
    """Return the blocks of /proc/cpuinfo by CPU number; lines before the first belong to CPU 0."""
    blocks: dict[int, dict[str, str]] = {}
    number = 0
    for line in _read_text(root / _CPUINFO).splitlines():
        key, colon, value = line.partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon or not value:
            continue
        if key == "processor" and value.isdecimal():
            number = int(value)
        blocks.setdefault(number, {}).setdefault(key, value)
    return blocks


def _midr_of(entries: Mapping[str, str]) -> int | None:
    """Return MIDR_EL1, composed of the fields that an Arm kernel prints."""
    numbers = [_number(entries.get(f"cpu {key}", "")) for key in ("implementer", "variant", "part", "revision")]
    implementer, variant, part, revision = numbers
    if implementer is None or variant is None or part is None or revision is None:
        return None
    try:
        # Architecture 0xF, as for every CPU of Armv8 and later, which /proc/cpuinfo calls "8".
        midr = Midr.of(Implementer=implementer, Variant=variant, Architecture=15, PartNum=part, Revision=revision)
    except ValueError:
        return None
    return int(midr)
