"""What KVM offers on an Arm host: Linux, Documentation/virt/kvm/api.rst, and include/uapi/linux/kvm.h."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

Ioctl = Callable[[int, int, "int | bytes"], "int | bytes"]
"""(file descriptor, request, argument) -> answer, like fcntl.ioctl; raises OSError."""

KVM_GET_API_VERSION: Final = 0xAE00
KVM_CREATE_VM: Final = 0xAE01
KVM_CHECK_EXTENSION: Final = 0xAE03
KVM_CREATE_DEVICE: Final = 0xC00C_AEE0
KVM_CREATE_DEVICE_TEST: Final = 1
KVM_API_VERSION: Final = 12
"""The only version that a program may use."""
FIXED_IPA_BITS: Final = 40
"""IPA width of a kernel without KVM_CAP_ARM_VM_IPA_SIZE."""
_CREATE_DEVICE: Final = struct.Struct("=III")  # type, fd, flags


class Capability(NamedTuple):
    """A KVM extension to query; ``is_number`` if the answer is more than yes or no."""

    number: int
    text: str
    is_number: bool = False


CAPABILITIES: Final[Mapping[str, Capability]] = MappingProxyType(
    {
        "NR_VCPUS": Capability(9, "vCPUs, recommended", is_number=True),
        "MAX_VCPUS": Capability(66, "vCPUs, at most", is_number=True),
        "MAX_VCPU_ID": Capability(128, "vCPU numbers", is_number=True),
        "ARM_VM_IPA_SIZE": Capability(165, "bits of a guest address", is_number=True),
        "GUEST_DEBUG_HW_BPS": Capability(119, "hardware breakpoints", is_number=True),
        "GUEST_DEBUG_HW_WPS": Capability(120, "hardware watchpoints", is_number=True),
        "ONE_REG": Capability(70, "registers one by one"),
        "DEVICE_CTRL": Capability(89, "devices in the kernel"),
        "IRQCHIP": Capability(0, "interrupt controller in the kernel"),
        "ARM_USER_IRQ": Capability(144, "timer and PMU without one"),
        "ARM_IRQ_LINE_LAYOUT_2": Capability(174, "more than 256 vCPUs on interrupt lines"),
        "MSI_DEVID": Capability(131, "MSIs with a device number"),
        "ARM_SET_DEVICE_ADDR": Capability(88, "placing the interrupt controller"),
        "ARM_PSCI_0_2": Capability(102, "PSCI 0.2"),
        "ARM_SYSTEM_SUSPEND": Capability(216, "PSCI SYSTEM_SUSPEND"),
        "ARM_EL1_32BIT": Capability(93, "AArch32 at EL1"),
        "ARM_EL2": Capability(240, "EL2 for guests (nested virtualisation)"),
        "ARM_EL2_E2H0": Capability(241, "EL2 for guests without VHE"),
        "ARM_PMU_V3": Capability(126, "PMUv3"),
        "ARM_SVE": Capability(170, "SVE"),
        "ARM_PTRAUTH_ADDRESS": Capability(171, "pointer authentication"),
        "ARM_PTRAUTH_GENERIC": Capability(172, "generic authentication"),
        "ARM_MTE": Capability(205, "memory tagging"),
        "ARM_INJECT_SERROR_ESR": Capability(158, "SErrors with a syndrome"),
        "ARM_INJECT_EXT_DABT": Capability(178, "external aborts"),
        "ARM_NISV_TO_USER": Capability(177, "aborts without a syndrome to user space"),
        "STEAL_TIME": Capability(187, "stolen time"),
        "PTP_KVM": Capability(198, "the host's clock for guests"),
        "COUNTER_OFFSET": Capability(227, "counter offset"),
        "ARM_WRITABLE_IMP_ID_REGS": Capability(239, "a custom MIDR_EL1"),
    }
)
"""By name, without KVM_CAP_."""

GIC_DEVICES: Final[Mapping[str, int]] = MappingProxyType({"GICv2": 5, "GICv3": 7, "ITS": 8})
"""KVM_DEV_TYPE_ARM_VGIC_V2, _V3 and _ITS."""


class KvmFacts(NamedTuple):
    """The answers of /dev/kvm.

    ``max_vcpus`` is None if it does not report one. ``capabilities`` are the answers by name; ``gics`` the interrupt
    controllers that a virtual machine can have, None if no virtual machine could be created to try.
    """

    api_version: int
    ipa_bits: int
    max_vcpus: int | None
    capabilities: Mapping[str, int] = MappingProxyType({})
    gics: tuple[str, ...] | None = None


def ask_kernel(descriptor: int, request: int, argument: int | bytes) -> int | bytes:
    """Call ioctl(2) on the device."""
    return fcntl.ioctl(descriptor, request, argument)


def ask_kvm(device: Path, ioctl: Ioctl) -> KvmFacts:
    """Return the answers of ``device``, /dev/kvm. Raises OSError if it cannot be opened or does not answer."""
    descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        version = _number(ioctl(descriptor, KVM_GET_API_VERSION, 0))
        answers = {
            name: _number(ioctl(descriptor, KVM_CHECK_EXTENSION, each.number)) for name, each in CAPABILITIES.items()
        }
        ipa_bits = answers["ARM_VM_IPA_SIZE"]
        gics = _gics(descriptor, ioctl, ipa_bits) if version == KVM_API_VERSION else None
    finally:
        os.close(descriptor)
    return KvmFacts(version, ipa_bits or FIXED_IPA_BITS, answers["MAX_VCPUS"] or None, MappingProxyType(answers), gics)


def _gics(descriptor: int, ioctl: Ioctl, ipa_bits: int) -> tuple[str, ...] | None:
    """Return the GICs that a virtual machine could have, by creating and closing one."""
    try:
        # The type of a machine is the width of its addresses; 0 stands for 40 bits, which not every CPU supports.
        machine = _number(ioctl(descriptor, KVM_CREATE_VM, ipa_bits))
    except OSError:
        return None
    try:
        return tuple(name for name, kind in GIC_DEVICES.items() if _can_create(machine, ioctl, kind))
    finally:
        os.close(machine)


def _can_create(machine: int, ioctl: Ioctl, kind: int) -> bool:
    try:
        ioctl(machine, KVM_CREATE_DEVICE, _CREATE_DEVICE.pack(kind, 0, KVM_CREATE_DEVICE_TEST))
    except OSError:
        return False
    return True


def _number(answer: int | bytes) -> int:
    return answer if isinstance(answer, int) else int.from_bytes(answer, "little")
