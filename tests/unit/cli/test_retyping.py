"""Command lines of other tools, and the one line with the equivalent command."""

from __future__ import annotations

import shlex
from importlib import import_module
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.cli.commands import COMMANDS
from arm_vcpu_cli.cli.retyping import retyped, without_command
from arm_vcpu_cli.cli.spellings import PROGRAMS, TOOLS


def typed(line: str) -> str:
    """What is to be typed, and what else there is to say."""
    told = retyped(shlex.split(line), COMMANDS)
    assert told is not None
    return told.partition("; type: ")[2]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run -M virt -cpu cortex-a72 -m 512M -kernel Image -append 'a b'",
         "armvcpu run --cpu cortex-a72 --memory 512M Image --append 'a b'"),
        ("-kernel Image", "armvcpu run Image"),
        ("qemu-system-aarch64 -M virt -kernel Image", "armvcpu run Image"),
        ("/usr/bin/qemu-system-aarch64 -kernel=Image", "armvcpu run Image"),
        ("run qemu-system-aarch64 -kernel Image", "armvcpu run Image"),
        ("sudo qemu-system-aarch64 -kernel Image", "armvcpu run Image"),
        ("time A=b qemu-system-aarch64 -kernel Image", "armvcpu run Image"),
        ("qemu-system-aarch64", "armvcpu run GUEST"),
        ("qemu-system-aarch64 a.elf", "armvcpu run a.elf"),
        ("qemu-system-aarch64 -strange value -kernel Image", "armvcpu run Image (-strange: unknown here, left out)"),
        ("qemu-system-aarch64 -strange -other=5 a.elf",
         "armvcpu run a.elf (-strange, -other: unknown here, left out)"),
        ("qemu-system-aarch64 -loadvm state -kernel Image",
         "armvcpu run Image (-loadvm: armvcpu snapshot saves a machine, and --from FILE continues from there)"),
        ("lkvm run -k Image --strange 3", "armvcpu run Image (--strange: unknown here, left out)"),
        ("stat -smp 2 a.elf", "armvcpu stat --smp 2 a.elf"),
        ("run -smp cpus=4,sockets=1 a.elf", "armvcpu run --smp 4 a.elf"),
        ("run -smp 4,maxcpus=8 a.elf", "armvcpu run --smp 4 a.elf"),
        ("run -m 512M a.elf", "armvcpu run --memory 512M a.elf (-m: here a machine file follows)"),
        ("run -m 512 a.elf", "armvcpu run --memory 512M a.elf (-m: here a machine file follows)"),
        ("run -m512M a.elf", "armvcpu run --memory 512M a.elf"),
        ("run -m size=1G,slots=2 a.elf", "armvcpu run --memory 1G a.elf (-m: here a machine file follows)"),
        ("run -m 4G,slots=2 a.elf", "armvcpu run --memory 4G a.elf (-m: here a machine file follows)"),
        ("run -machine virt,gic-version=2 a.elf", "armvcpu run --gic 2 a.elf"),
        ("run -machine virt,gic-version=max a.elf", "armvcpu run a.elf"),
        ("run --machine virt a.elf", "armvcpu run a.elf (--machine: here a machine file follows)"),
        ("run -M type=virt,virtualization=on a.elf",
         "armvcpu run a.elf (-M: the guest starts at EL1 and has neither EL2 nor EL3)"),
        ("run -M sbsa-ref a.elf",
         "armvcpu run a.elf (-M: no machine sbsa-ref, only virt and what a machine file describes)"),
        ("run -cpu host a.elf",
         "armvcpu run a.elf (-cpu: no model host, only cortex-a53, cortex-a57, cortex-a72, max)"),
        ("run -cpu max,sve=off a.elf",
         "armvcpu run --cpu max a.elf (-cpu: features are [cpu.features] of a machine file)"),
        ("run -kernel Image -initrd a.gz -dtb b.dtb", "armvcpu run Image --initrd a.gz --dtb b.dtb"),
        ("run -nographic a.elf", "armvcpu run a.elf (-nographic: not needed, the console is on stdin and stdout)"),
        ("run -nographic -serial mon:stdio a.elf",
         "armvcpu run a.elf (-nographic, -serial: not needed, the console is on stdin and stdout)"),
        ("run -serial file:log a.elf", "armvcpu run a.elf (-serial: the console is stdout: > log)"),
        ("run -s -S a.elf", "armvcpu run --gdb 1234 --wait a.elf"),
        ("run -gdb tcp::1 a.elf", "armvcpu run --gdb 1 a.elf"),
        ("run -gdb tcp:0.0.0.0:99,server=on a.elf", "armvcpu run --gdb 0.0.0.0:99 a.elf"),
        ("run -gdb unix:/tmp/g,server=on a.elf", "armvcpu run --gdb unix:/tmp/g a.elf"),
        ("run -gdb stdio a.elf", "armvcpu run a.elf (-gdb: --gdb [HOST:]PORT or --gdb unix:PATH)"),
        ("run -d int a.elf", "armvcpu trace --el1 a.elf"),
        ("run -d int,cpu_reset -D log a.elf", "armvcpu trace --el1 -o log a.elf"),
        ("stat -d int a.elf", "armvcpu stat a.elf (-d: see armvcpu trace)"),
        ("trace -d int a.elf", "armvcpu trace --el1 a.elf"),
        ("run -trace foo a.elf", "armvcpu trace a.elf (-trace: --only, --events and --device choose what is logged)"),
        ("run -drive file=x a.elf", "armvcpu run a.elf (-drive: no counterpart, there are no disks)"),
        ("run -hda x a.elf", "armvcpu run a.elf (-hda: no counterpart, there are no disks)"),
        ("run -device loader,file=b.bin,addr=0x48000000,force-raw=on a.elf",
         "armvcpu run --load b.bin@0x48000000 a.elf"),
        ("run -device loader,file=a.elf", "armvcpu run a.elf"),
        ("run -device virtio-net-device,netdev=n a.elf",
         "armvcpu run a.elf (-device: no counterpart, there is no network)"),
        ("run -device virtio-rng-pci a.elf",
         "armvcpu run a.elf (-device: no counterpart, there are neither disks nor buses)"),
        ("run -bios u.bin", "armvcpu run u.bin (-bios: for flash at address 0 write a machine file, such as "
         "samples/uboot/uboot.toml)"),
        ("run -accel kvm a.elf", "armvcpu run a.elf (-accel: not needed, every guest is emulated)"),
        ("run -no-reboot a.elf",
         "armvcpu run a.elf (-no-reboot: not needed, a reset ends the run unless --reboot is given)"),
        ("run -semihosting a.elf",
         "armvcpu run a.elf (-semihosting: not needed, semihosting is on; --semihosting-dir DIR opens files)"),
        ("run -semihosting-config enable=on,arg=a,arg=b a.elf", "armvcpu run a.elf -- a b"),
        ("run -net none a.elf", "armvcpu run a.elf (-net: no counterpart, there is no network)"),
        ("run -icount shift=1 a.elf", "armvcpu run --clock instructions a.elf"),
        ("stat -icount shift=1 a.elf", "armvcpu stat --clock instructions a.elf"),
        ("run --timeout 5 -smp 2 --regs a.elf -- -kernel x",
         "armvcpu run --timeout 5 --smp 2 --regs a.elf -- -kernel x"),
        ("walk -smp 2 a.elf main --at x+4", "armvcpu walk --smp 2 a.elf main --at x+4"),
        ("dtb -smp 2", "armvcpu dtb --smp 2"),
        ("run -smp 2", "armvcpu run --smp 2 GUEST"),
        ("lkvm run -k Image -c 2 -m 512 -p 'a b' -i x.gz",
         "armvcpu run Image --smp 2 --memory 512M --append 'a b' --initrd x.gz"),
        ("run -k Image -c 2 -p quiet -i x.gz", "armvcpu run Image --smp 2 --append quiet --initrd x.gz"),
        ("run --kernel Image --cpus 2 --mem 256 --params=quiet",
         "armvcpu run Image --smp 2 --memory 256M --append quiet"),
        ("lkvm run -d disk.img -k Image", "armvcpu run Image (-d: no counterpart, there are no disks)"),
        ("run -d disk.img -k Image", "armvcpu run Image (-d: no counterpart, there are no disks)"),
        ("run --disk d --console serial -k Image", "armvcpu run Image (--disk: no counterpart, there are no disks; "
         "--console: not needed, the console is on stdin and stdout)"),
        ("lkvm run --irqchip gicv2 -k Image", "armvcpu run --gic 2 Image"),
        ("firecracker --api-sock s --config-file vm.json",
         "armvcpu run GUEST (--api-sock: no counterpart, a run is described by its options and a machine file; "
         "--config-file: kernel_image_path is GUEST, initrd_path --initrd, boot_args --append, vcpu_count --smp, "
         "mem_size_mib --memory)"),
        ("run --kernel-path Image", "armvcpu run Image"),
        ("run -timeout 5 a.elf", "armvcpu run --timeout 5 a.elf"),
        ("run -timeout=5 a.elf", "armvcpu run --timeout=5 a.elf"),
        ("run -kernel", "armvcpu run GUEST"),
    ],
)  # fmt: skip
def test_what_to_type(line: str, expected: str) -> None:
    assert typed(line) == expected


@pytest.mark.parametrize(
    ("line", "whose"),
    [
        ("run -kernel a", "-kernel is an option of QEMU"),
        ("run -kernel a -m 1G", "-kernel and -m are options of QEMU"),
        ("run --kernel a --mem 1G", "--kernel and --mem are options of kvmtool"),
        ("run -smp 2 --api-sock s a.elf", "-smp and --api-sock are options of QEMU and Firecracker"),
        ("run -M virt -cpu max -smp 2 -m 1G -nographic -kernel a", "-M, -cpu, -smp, -m and 2 more are options of QEMU"),
        ("run -regs a.elf", "-regs takes two dashes"),
        ("run -regs -timeout 5 a.elf", "-regs and -timeout take two dashes"),
    ],
)
def test_whose_it_is(line: str, whose: str) -> None:
    told = retyped(shlex.split(line), COMMANDS)
    assert told is not None
    assert told.startswith(f"{whose}; type: armvcpu run ")


@pytest.mark.parametrize(
    "line",
    [
        "run a.elf", "run --append -kernel a.elf", "run -m board.toml a.elf", "run -mboard.toml a.elf", "run -",
        "trace -oout.txt a.elf", "run a.elf -- -kernel Image -m 512M", "run --memory 512M --smp 2 --seed 3 a.elf",
        "walk --console a.elf main", "explain -m 512M", "diff -d x", "--version", "-h", "", "run", "run --frobnicate a",
    ],
)  # fmt: skip
def test_what_is_nobody_elses_is_left_alone(line: str) -> None:
    assert retyped(shlex.split(line), COMMANDS) is None


def test_a_machine_file_may_be_called_like_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("512M").touch()
    assert retyped(["run", "-m", "512M", "a.elf"], COMMANDS) is None


def test_the_configuration_file_of_firecracker_is_read(tmp_path: Path) -> None:
    path = tmp_path / "vm.json"
    path.write_text(
        """{"boot-source": {"kernel_image_path": "Image", "boot_args": "console=ttyAMA0 quiet", "initrd_path": "a.gz"},
        "machine-config": {"vcpu_count": 2, "mem_size_mib": 256, "smt": false}, "drives": []}"""
    )
    assert typed(f"firecracker --no-api --config-file {path}") == (
        "armvcpu run Image --initrd a.gz --append 'console=ttyAMA0 quiet' --smp 2 --memory 256M "
        "(--no-api: not needed; --config-file: drives and network interfaces have no counterpart)"
    )


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"boot-source": 1}', "[" * 100_000, '{"boot-source": {"boot_args": []}}']
)
def test_a_configuration_file_that_is_none_is_no_trouble(tmp_path: Path, text: str) -> None:
    path = tmp_path / "vm.json"
    path.write_text(text)
    for name in (path, tmp_path, tmp_path / "none", "/dev/zero"):
        assert typed(f"firecracker --config-file {name}").startswith(
            "armvcpu run GUEST (--config-file: kernel_image_path"
        )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("guest.elf", "missing command; to run a guest, type: armvcpu run guest.elf"),
        ("./guest --regs", "missing command; to run a guest, type: armvcpu run ./guest --regs"),
        ("--smp=2 guest", "missing command; to run a guest, type: armvcpu run --smp=2 guest"),
        ("rum x", "no such command: 'rum' (did you mean 'run'?); see armvcpu --help"),
        ("frobnicate", "no such command: 'frobnicate'; see armvcpu --help"),
        ("--frobnicate", "no such option: '--frobnicate'; see armvcpu --help"),
    ],
)
def test_a_line_without_a_command(line: str, told: str) -> None:
    assert without_command(shlex.split(line), COMMANDS) == told


VALUES = ["x", "512M", "2", "virt", "cortex-a72", "int", "loader,file=a,addr=0x0", "gicv3", ""]


@pytest.mark.parametrize(("program", "tool"), PROGRAMS.items())
@pytest.mark.parametrize("value", VALUES)
def test_every_option_that_is_told_is_one_of_the_command(program: str, tool: str, value: str) -> None:
    """And its value one that the command takes: --cpu, --dtb and --load are the machine's."""
    for name, spelling in TOOLS[tool].items():
        dashed = f"-{name}" if len(name) == 1 else f"--{name}"
        told = retyped([program, dashed, *([value] if spelling.takes else [])], COMMANDS)
        assert told is not None and "\n" not in told
        command, *words = shlex.split(told.partition("; type: armvcpu ")[2].partition(" (")[0])
        found = import_module(COMMANDS[command][0]).command
        assert isinstance(found, click.Command)
        known = {name for parameter in found.params for name in parameter.opts}
        assert {word for word in words if word.startswith("-") and word != "--"} <= known


@given(st.lists(st.sampled_from(["run", "-m", "512M", "-kernel", "--", "-d", "x=y", "-", "=", "-=", "--=x", "-smp"])
                | st.text(max_size=6), max_size=8))  # fmt: skip
def test_no_words_raise_anything(words: list[str]) -> None:
    retyped(words, COMMANDS)
    if words:
        without_command(words, COMMANDS)
