"""Facts about hosts, from made-up trees and a made-up kernel."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from arm_vcpu_cli.probe.host import HostFacts, Ioctl, KvmFacts, gather_host

GET_API_VERSION, CHECK_EXTENSION = 0xAE00, 0xAE03
MAX_VCPUS, ARM_VM_IPA_SIZE = 66, 165
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


def kvm(version: int = 12, **capabilities: int) -> Ioctl:
    """A kernel that answers as /dev/kvm does."""
    answers = {MAX_VCPUS: capabilities.get("vcpus", 512), ARM_VM_IPA_SIZE: capabilities.get("ipa", 48)}

    def ioctl(descriptor: int, request: int, argument: int) -> int:
        os.fstat(descriptor)
        if request == GET_API_VERSION:
            assert argument == 0
            return version
        assert request == CHECK_EXTENSION
        return answers[argument]

    return ioctl


def no_ioctl(_descriptor: int, _request: int, _argument: int) -> int:
    raise AssertionError("the kernel was asked")


def arm_linux(root: Path, ioctl: Ioctl = no_ioctl) -> HostFacts:
    return gather_host(root, system="Linux", architecture="aarch64", ioctl=ioctl)


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
    facts = arm_linux(root, kvm())
    assert facts.is_arm
    assert facts.virtualisation
    assert facts.kvm == KvmFacts(api_version=12, ipa_bits=48, max_vcpus=512)
    assert facts.cpu == "Arm Neoverse N1 r3p1"
    assert dict(facts.id_registers) == {"MIDR_EL1": 0x413FD0C1, "REVIDR_EL1": 0}


def test_an_old_kvm_without_the_capabilities_has_40_bits_and_an_unknown_number_of_vcpus(tmp_path: Path) -> None:
    facts = arm_linux(plant(tmp_path, {"dev/kvm": ""}), kvm(ipa=0, vcpus=0))
    assert facts.virtualisation
    assert facts.kvm == KvmFacts(api_version=12, ipa_bits=40, max_vcpus=None)


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

    def ioctl(descriptor: int, _request: int, _argument: int) -> int:
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
