"""Facts about hosts, from made-up trees and a made-up kernel."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from arm_vcpu_cli.probe.host_facts import CpuGroup, HostFacts, gather_host
from arm_vcpu_cli.probe.kvm import Ioctl

GET_API_VERSION, CREATE_VM, CHECK_EXTENSION, CREATE_DEVICE = 0xAE00, 0xAE01, 0xAE03, 0xC00CAEE0
MAX_VCPUS, ARM_VM_IPA_SIZE, ARM_SVE, EL1_32BIT = 66, 165, 170, 93
GICV3, ITS = 7, 8
GRAVITON2 = """\
processor\t: 0
BogoMIPS\t: 243.75
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1

processor\t: 1
CPU implementer\t: 0x41
CPU variant\t: 0x0
CPU part\t: 0xd03
CPU revision\t: 4
"""
EPYC = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n"
WRONG_CPUINFO = "CPU implementer : 0x4141\nCPU variant : 0\nCPU part : 1\nCPU revision : 1\n: :\nmodel name :"
IDENTIFICATION = "sys/devices/system/cpu/cpu0/regs/identification"


def plant(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def kvm(version: int = 12, machines: list[int] | None = None, **capabilities: int) -> Ioctl:
    """A kernel that answers as /dev/kvm does; ``machines`` are its virtual machines, each an open file."""
    answers = {MAX_VCPUS: capabilities.get("vcpus", 512), ARM_VM_IPA_SIZE: capabilities.get("ipa", 48), ARM_SVE: 1}

    def ioctl(descriptor: int, request: int, argument: int | bytes) -> int:
        os.fstat(descriptor)
        if request == GET_API_VERSION:
            assert argument == 0
            return version
        if request == CREATE_VM:
            if machines is None or argument != answers[ARM_VM_IPA_SIZE]:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            machines.append(os.open(os.devnull, os.O_RDONLY))
            return machines[-1]
        if request == CREATE_DEVICE:
            assert isinstance(argument, bytes)
            kind, _, flags = struct.unpack("=III", argument)
            assert (descriptor, flags) == ((machines or [-1])[-1], 1), "only a test, on the virtual machine"
            if kind not in (GICV3, ITS):
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            return 0
        assert request == CHECK_EXTENSION
        assert isinstance(argument, int)
        return answers.get(argument, 0)

    return ioctl


def no_ioctl(_descriptor: int, _request: int, _argument: int | bytes) -> int:
    raise AssertionError("the kernel was asked")


def no_registers() -> Mapping[str, int]:
    raise AssertionError("code was run")


def auxv(*entries: tuple[int, int]) -> bytes:
    """An auxiliary vector."""
    return b"".join(struct.pack("<QQ", *entry) for entry in (*entries, (0, 0)))


def arm_linux(root: Path, ioctl: Ioctl = no_ioctl) -> HostFacts:
    return gather_host(root, system="Linux", architecture="aarch64", ioctl=ioctl, registers=no_registers)


def test_an_x86_host_says_in_a_sentence_that_it_has_no_el2_and_never_asks_its_kvm(tmp_path: Path) -> None:
    root = plant(tmp_path, {"proc/cpuinfo": EPYC, "dev/kvm": ""})
    facts = gather_host(root, system="Linux", architecture="x86_64", ioctl=no_ioctl)
    assert facts == HostFacts(
        "Linux",
        "x86_64",
        "AMD EPYC",
        is_arm=False,
        virtualisation=False,
        reason="x86_64: no AArch64 EL2 on this machine; guests run on the modelled CPU",
        cpus=(CpuGroup("AMD EPYC", (0,)),),
    )


def test_an_arm_host_with_kvm_tells_its_limits(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        {
            "proc/cpuinfo": GRAVITON2,
            "dev/kvm": "",
            f"{IDENTIFICATION}/midr_el1": "0x00000000413fd0c1\n",
            f"{IDENTIFICATION}/revidr_el1": "0x0000000000000000\n",
        },
    )
    machines: list[int] = []
    facts = arm_linux(root, kvm(machines=machines))
    assert facts.is_arm
    assert facts.virtualisation
    assert facts.kvm is not None
    assert (facts.kvm.api_version, facts.kvm.ipa_bits, facts.kvm.max_vcpus) == (12, 48, 512)
    assert (facts.kvm.capabilities["ARM_SVE"], facts.kvm.capabilities["ARM_MTE"]) == (1, 0)
    assert facts.kvm.gics == ("GICv3", "ITS")
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(machines[0])
    assert facts.cpu == "Arm Neoverse N1 r3p1"
    assert dict(facts.id_registers) == {"MIDR_EL1": 0x413FD0C1, "REVIDR_EL1": 0}


def test_an_old_kvm_without_the_capabilities_has_40_bits_and_an_unknown_number_of_vcpus(tmp_path: Path) -> None:
    facts = arm_linux(plant(tmp_path, {"dev/kvm": ""}), kvm(ipa=0, vcpus=0))
    assert facts.virtualisation
    assert facts.kvm is not None
    assert (facts.kvm.ipa_bits, facts.kvm.max_vcpus, facts.kvm.gics) == (40, None, None)


def test_an_arm_host_without_kvm_says_why_not(tmp_path: Path) -> None:
    facts = arm_linux(plant(tmp_path, {"proc/cpuinfo": GRAVITON2}))
    assert facts.is_arm
    assert not facts.virtualisation
    assert facts.kvm is None
    assert facts.reason.startswith("no /dev/kvm: ")


def test_the_first_cpu_is_named_from_cpuinfo_where_the_kernel_shows_no_registers(tmp_path: Path) -> None:
    assert arm_linux(plant(tmp_path, {"proc/cpuinfo": GRAVITON2})).cpu == "Arm Neoverse N1 r3p1"


def test_the_register_wins_over_cpuinfo(tmp_path: Path) -> None:
    files = {"proc/cpuinfo": GRAVITON2, f"{IDENTIFICATION}/midr_el1": "0x410fd083"}
    assert arm_linux(plant(tmp_path, files)).cpu == "Arm Cortex-A72 r0p3"


def test_another_kvm_api_is_not_usable(tmp_path: Path) -> None:
    facts = arm_linux(plant(tmp_path, {"dev/kvm": ""}), kvm(version=11))
    assert not facts.virtualisation
    assert "API version 11, not 12" in facts.reason


def test_a_kvm_device_that_cannot_be_opened_is_a_reason_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "dev" / "kvm").mkdir(parents=True)
    facts = arm_linux(tmp_path)
    assert not facts.virtualisation
    assert f"cannot be opened ({os.strerror(errno.EISDIR)})" in facts.reason


def test_a_file_in_place_of_the_device_is_a_reason_and_no_error(tmp_path: Path) -> None:
    facts = gather_host(plant(tmp_path, {"dev/kvm": ""}), system="Linux", architecture="aarch64")
    assert not facts.virtualisation
    assert f"does not answer ({os.strerror(errno.ENOTTY)})" in facts.reason


def test_the_device_is_closed_again_also_when_it_fails(tmp_path: Path) -> None:
    used: list[int] = []

    def ioctl(descriptor: int, _request: int, _argument: int | bytes) -> int:
        used.append(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    arm_linux(plant(tmp_path, {"dev/kvm": ""}), ioctl)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(used[0])


def test_an_arm_host_that_is_not_linux_has_no_kvm(tmp_path: Path) -> None:
    facts = gather_host(tmp_path, system="Darwin", architecture="arm64", ioctl=no_ioctl)
    assert facts.is_arm
    assert not facts.virtualisation
    assert facts.reason.startswith("Darwin: ")


def test_a_32_bit_arm_host_is_arm_without_an_el2_for_aarch64(tmp_path: Path) -> None:
    facts = gather_host(tmp_path, system="Linux", architecture="armv7l", ioctl=no_ioctl)
    assert facts.is_arm
    assert not facts.virtualisation
    assert facts.reason.startswith("armv7l: a 32-bit Arm system does not offer AArch64 EL2")


def test_nothing_at_all_is_not_an_error(tmp_path: Path) -> None:
    facts = gather_host(tmp_path / "nowhere", system="", architecture="", ioctl=no_ioctl)
    assert facts.cpu is None
    assert facts.id_registers == {}
    assert facts.reason.startswith("unknown: no AArch64 EL2")


def test_rubbish_in_the_files_is_ignored(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        {
            f"{IDENTIFICATION}/midr_el1": "none",
            f"{IDENTIFICATION}/revidr_el1": "-1",
            f"{IDENTIFICATION}/smidr_el1": hex(1 << 64),
            "proc/cpuinfo": WRONG_CPUINFO,
        },
    )
    (root / IDENTIFICATION / "aidr_el1").mkdir()
    (root / "proc" / "cpuinfo").open("ab").write(b"\n\xff\xfe\n")
    facts = arm_linux(root)
    assert facts.cpu is None
    assert facts.id_registers == {}


def test_cpus_of_the_same_kind_are_one_group(tmp_path: Path) -> None:
    big, little = "0x411fd080", "0x410fd034"
    midrs = [little, little, little, little, big, big]
    files = {f"sys/devices/system/cpu/cpu{n}/regs/identification/midr_el1": midr for n, midr in enumerate(midrs)}
    facts = arm_linux(plant(tmp_path, {**files, "sys/devices/system/cpu/cpufreq/policy0": ""}))
    assert facts.cpus == (
        CpuGroup("Arm Cortex-A53 r0p4", (0, 1, 2, 3), 0x410FD034),
        CpuGroup("Arm Cortex-A72 r1p0", (4, 5), 0x411FD080),
    )
    assert facts.cpu == "Arm Cortex-A53 r0p4"


def test_cpus_are_grouped_by_cpuinfo_where_there_is_nothing_better(tmp_path: Path) -> None:
    facts = arm_linux(plant(tmp_path, {"proc/cpuinfo": GRAVITON2}))
    assert [(each.name, each.numbers) for each in facts.cpus] == [
        ("Arm Neoverse N1 r3p1", (0,)),
        ("Arm Cortex-A53 r0p4", (1,)),
    ]


def test_hardware_capabilities_have_the_names_of_proc_cpuinfo(tmp_path: Path) -> None:
    root = plant(tmp_path, {"proc/sys/kernel/osrelease": "6.1.0-arm64\n"})
    (root / "proc/self").mkdir()
    (root / "proc/self/auxv").write_bytes(
        auxv((6, 65536), (16, 1 << 0 | 1 << 8 | 1 << 47 | 1 << 48 | 1 << 62), (26, 1 << 16)) + b"cut"
    )
    facts = arm_linux(root)
    assert (facts.page_size, facts.kernel) == (65536, "6.1.0-arm64")
    assert facts.hwcaps == ("fp", "atomics", "smesmop4", "hwcap.48", "hwcap.62", "rng")


def test_id_registers_are_read_where_the_kernel_says_that_programs_can(tmp_path: Path) -> None:
    root = plant(tmp_path, {f"{IDENTIFICATION}/midr_el1": "0x410fd083"})
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/auxv").write_bytes(auxv((16, 1 << 11)))
    facts = gather_host(
        root,
        system="Linux",
        architecture="aarch64",
        ioctl=no_ioctl,
        registers=lambda: {"MIDR_EL1": 1, "ID_AA64ISAR0_EL1": 2 << 20},
    )
    assert facts.id_registers == {"MIDR_EL1": 0x410FD083, "ID_AA64ISAR0_EL1": 2 << 20}
    assert "FEAT_LSE" in facts.features
    assert arm_linux(tmp_path / "nowhere").features == frozenset()


def test_another_architecture_has_its_own_capabilities_and_they_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/auxv").write_bytes(auxv((6, 4096), (16, 1 << 11)))
    facts = gather_host(tmp_path, system="Linux", architecture="x86_64", ioctl=no_ioctl, registers=no_registers)
    assert (facts.hwcaps, facts.id_registers) == ((), {})


def test_how_the_kernel_was_started_is_told_as_far_as_it_can_be_seen(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        {
            "sys/class/misc/kvm/dev": "10:232",
            "proc/cmdline": "root=/dev/sda kvm-arm.mode=protected quiet",
            "sys/firmware/devicetree/base/hypervisor/compatible": "xen,xen-4.11\0xen,xen\0",
        },
    )
    assert arm_linux(root).hints == (
        "KVM is registered: the kernel was started at EL2",
        "kvm-arm.mode=protected on the kernel's command line",
        "the host is itself a guest (xen,xen-4.11 xen,xen)",
    )


def test_a_device_without_permission_asks_for_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/dev/kvm")

    monkeypatch.setattr(os, "open", refuse)
    facts = arm_linux(tmp_path)
    assert not facts.virtualisation
    assert "is this user in the group kvm?" in facts.reason
