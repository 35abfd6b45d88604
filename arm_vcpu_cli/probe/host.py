"""The machine that we run on: its CPU, and whether its own virtualisation extension could be used.

Nothing here is needed to run guests, which always run on the modelled CPU. Whatever is absent or unreadable is a
fact and not an error.
"""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from arm_vcpu_cli.arch.idregs import Midr
from arm_vcpu_cli.probe.midr import midr_name

Ioctl = Callable[[int, int, int], int]
"""(file descriptor, request, argument) -> answer; raises OSError."""

# Linux, Documentation/virt/kvm/api.rst: requests of the system descriptor, and capabilities.
KVM_GET_API_VERSION: Final = 0xAE00
KVM_CHECK_EXTENSION: Final = 0xAE03
KVM_CAP_MAX_VCPUS: Final = 66
KVM_CAP_ARM_VM_IPA_SIZE: Final = 165
KVM_API_VERSION: Final = 12
"""The only version that a program may use."""
_FIXED_IPA_BITS: Final = 40
"""IPA width of a kernel without KVM_CAP_ARM_VM_IPA_SIZE."""

_KVM: Final = "dev/kvm"
_CPUINFO: Final = "proc/cpuinfo"
_IDENTIFICATION: Final = "sys/devices/system/cpu/cpu0/regs/identification"
_AARCH64_NAMES: Final = frozenset({"aarch64", "aarch64_be", "arm64"})
_MODELLED: Final = "guests run on the modelled CPU"


@dataclass(frozen=True)
class KvmFacts:
    """What /dev/kvm answers; ``max_vcpus`` is None where it does not say."""

    api_version: int
    ipa_bits: int
    max_vcpus: int | None


@dataclass(frozen=True)
class HostFacts:
    """The host. ``virtualisation`` says whether its EL2 is usable, and ``reason`` why or why not.

    ``id_registers`` are those of the first CPU that the kernel shows, by name.
    """

    system: str
    architecture: str
    cpu: str | None
    is_arm: bool
    virtualisation: bool
    reason: str
    kvm: KvmFacts | None = None
    id_registers: Mapping[str, int] = field(default_factory=dict)


def gather_host(
    root: Path = Path("/"),
    *,
    system: str | None = None,
    architecture: str | None = None,
    ioctl: Ioctl = fcntl.ioctl,
) -> HostFacts:
    """Look at the host; ``root`` is the directory that stands for its root, the rest stands for the kernel."""
    system = platform.system() if system is None else system
    architecture = platform.machine() if architecture is None else architecture
    registers = _identification(root)
    cpu = _cpu_name(root, registers.get("MIDR_EL1"))
    is_arm = architecture in _AARCH64_NAMES or architecture.startswith("arm")
    kvm, usable = None, False
    if architecture not in _AARCH64_NAMES:
        kind = "a 32-bit Arm system does not offer" if is_arm else "no"
        reason = f"{architecture or 'unknown'}: {kind} AArch64 EL2 on this machine; {_MODELLED}"
    elif system != "Linux":
        reason = f"{system}: there is no KVM on this system; {_MODELLED}"
    else:
        kvm, usable, reason = _ask_kvm(root / _KVM, ioctl)
    return HostFacts(system, architecture, cpu, is_arm, usable, reason, kvm, registers)


def _ask_kvm(device: Path, ioctl: Ioctl) -> tuple[KvmFacts | None, bool, str]:
    """What KVM says, whether it is usable, and the sentence that explains it."""
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None, False, f"no /dev/kvm: this kernel has no KVM or was not started at EL2; {_MODELLED}"
    except OSError as error:
        return None, False, f"/dev/kvm cannot be opened ({error.strerror}); {_MODELLED}"
    try:
        version = ioctl(descriptor, KVM_GET_API_VERSION, 0)
        ipa_bits = ioctl(descriptor, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE)
        max_vcpus = ioctl(descriptor, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS)
    except OSError as error:
        return None, False, f"/dev/kvm does not answer ({error.strerror}); {_MODELLED}"
    finally:
        os.close(descriptor)
    facts = KvmFacts(version, ipa_bits or _FIXED_IPA_BITS, max_vcpus or None)
    if version != KVM_API_VERSION:
        return facts, False, f"/dev/kvm has API version {version}, not {KVM_API_VERSION}; {_MODELLED}"
    return facts, True, f"KVM is usable on this host; armvcpu does not need it: {_MODELLED}"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _identification(root: Path) -> dict[str, int]:
    """The registers under /sys that the kernel lets everybody read, MIDR_EL1 and REVIDR_EL1 as a rule."""
    try:
        files = sorted((root / _IDENTIFICATION).iterdir())
    except OSError:
        return {}
    values = {file.name.upper(): _number(_read_text(file)) for file in files}
    return {name: value for name, value in values.items() if value is not None}


def _number(text: str) -> int | None:
    """A register value of at most 64 bits, written as in C; None for anything else."""
    try:
        value = int(text.strip(), 0)
    except ValueError:
        return None
    return value if 0 <= value < 1 << 64 else None


def _cpu_name(root: Path, midr: int | None) -> str | None:
    """The CPU's name: by MIDR_EL1 on Arm, as /proc/cpuinfo has it elsewhere."""
    entries: dict[str, str] = {}
    for line in _read_text(root / _CPUINFO).splitlines():
        key, colon, value = line.partition(":")
        if colon and value.strip():
            entries.setdefault(key.strip().lower(), value.strip())
    if midr is None:
        midr = _midr_of(entries)
    return entries.get("model name") if midr is None else midr_name(midr)


def _midr_of(entries: Mapping[str, str]) -> int | None:
    """MIDR_EL1 put together from what an Arm kernel prints of it."""
    numbers = [_number(entries.get(f"cpu {key}", "")) for key in ("implementer", "variant", "part", "revision")]
    implementer, variant, part, revision = numbers
    if implementer is None or variant is None or part is None or revision is None:
        return None
    try:
        return int(Midr.of(Implementer=implementer, Variant=variant, PartNum=part, Revision=revision))
    except ValueError:
        return None
