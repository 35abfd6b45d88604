"""Options, help, completion, device tree: what the command line accepts, and what it refuses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from arm_vcpu_cli.cli.commands import COMMANDS
from arm_vcpu_cli.cli.statuses import BY_COMMAND
from tests.integration.command import (
    COMMAND,
    GUARD_SECONDS,
    SAMPLES,
    armvcpu,
    assert_refused,
    environment,
    guest,
    sample,
    shell,
)
from tests.unit.guest.linux_writer import image


def dts(blob: bytes) -> str:
    """What the device tree compiler makes of a blob; it must not even warn."""
    finished = subprocess.run(
        ["dtc", "-I", "dtb", "-O", "dts"], input=blob, capture_output=True, timeout=GUARD_SECONDS, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, b"")
    return finished.stdout.decode()


@pytest.mark.parametrize("command", ["run", "trace", "dtb", "completion", "probe"])
def test_the_help_of_a_command_has_examples_that_name_it(command: str) -> None:
    finished = armvcpu(command, "--help")
    assert (finished.status, finished.err) == (0, "")
    text = finished.out.decode()
    assert text.startswith(f"Usage: armvcpu {command} ")
    assert f"\n    armvcpu {command} " in text.partition("Examples:")[2]
    assert armvcpu(command, "-h").out == finished.out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_ends_with_its_exit_statuses(command: str) -> None:
    text = armvcpu(command, "--help").out.decode().partition("\n  Exit status:\n")[2]
    found = re.findall(r"^    (\w+) +\S", text, re.MULTILINE)
    assert found == [str(status) for status, _ in BY_COMMAND[command]]
    assert {"0", "2", "120", "130"} <= set(found)


def test_commands_that_run_a_guest_to_its_end_have_the_same_exit_statuses() -> None:
    run, trace, stat = (
        armvcpu(command, "--help").out.partition(b"Exit status:")[2] for command in ("run", "trace", "stat")
    )
    assert run == trace == stat
    for status in ("N", "121", "122", "123", "124"):
        assert f"\n    {status:<5}".encode() in run


@pytest.mark.parametrize("command", ["run", "trace", "stat"])
def test_a_reset_is_a_status_of_its_own_unless_the_guest_starts_anew(command: str) -> None:
    finished = armvcpu(command, "--append", "end=reset", sample("exits"))
    assert finished.status == 121
    assert finished.last == "armvcpu: the guest requested a reset"
    again = armvcpu(command, "--reboot", "--max-exits", "2000", "--append", "end=reset", sample("exits"))
    assert again.status == 124


def test_a_walk_shows_a_guest_that_asked_for_a_reset() -> None:
    finished = armvcpu("walk", "--append", "end=reset", sample("exits"), "main")
    assert finished.status == 0
    assert finished.out.startswith(b"the guest requested a reset; after ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("trace", "-o", "/dev/full"),
        ("trace", "--format", "jsonl", "-o", "/dev/full"),
        ("trace", "--format", "perfetto", "-o", "/dev/full"),
        ("trace", "--append", "end=reset", "-o", "/dev/full"),
        ("stat", "-o", "/dev/full"),
        ("run", "--record", "/dev/full"),
    ],
    ids=" ".join,
)
def test_a_file_that_cannot_be_written_decides_the_status_however_the_guest_ends(arguments: tuple[str, ...]) -> None:
    finished = armvcpu(*arguments, sample("exits"))
    assert finished.status == 120
    assert finished.last == "armvcpu: error: /dev/full: cannot be written: No space left on device"


def test_the_command_alone_prints_its_help_on_stderr_as_wrong_usage() -> None:
    finished = armvcpu()
    assert (finished.status, finished.out) == (2, b"")
    for command in ("run", "trace", "dtb", "probe", "completion"):
        assert f"\n  {command} " in finished.err


def test_version() -> None:
    finished = armvcpu("--version")
    assert finished.status == 0
    assert finished.out.startswith(b"armvcpu")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_completion_script_of_a_shell(name: str) -> None:
    finished = armvcpu("completion", name)
    assert (finished.status, finished.err) == (0, "")
    assert b"_ARMVCPU_COMPLETE" in finished.out


def test_the_bash_completion_completes_commands_and_options(tmp_path: Path) -> None:
    command = tmp_path / "armvcpu"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m arm_vcpu_cli "$@"\n')
    command.chmod(0o755)
    script = """
        unset -f armvcpu; PATH="$1:$PATH"; source <(armvcpu completion bash)
        COMP_WORDS=(armvcpu tr); COMP_CWORD=1; _armvcpu_completion armvcpu; echo "${COMPREPLY[*]}"
        COMPREPLY=(); COMP_WORDS=(armvcpu run --max); COMP_CWORD=2; _armvcpu_completion armvcpu; echo "${COMPREPLY[*]}"
    """
    finished = shell(script, tmp_path)
    assert finished.out.decode().split() == ["trace", "--max-exits"], finished.err


def test_dtb_is_accepted_by_dtc_and_says_what_the_options_say(tmp_path: Path) -> None:
    blob = tmp_path / "virt.dtb"
    finished = armvcpu("dtb", "--memory", "1G", "--append", "console=ttyAMA0 quiet", "-o", blob)
    assert (finished.status, finished.out, finished.err) == (0, b"", "")
    source = dts(blob.read_bytes())
    assert 'bootargs = "console=ttyAMA0 quiet";' in source
    assert "reg = <0x00 0x40000000 0x00 0x40000000>;" in source
    assert "pl011@9000000 {" in source


def test_dtb_goes_to_stdout_by_default_and_is_what_the_guest_gets() -> None:
    blob = armvcpu("dtb", "-m", SAMPLES / "exits" / "exits.toml", "--append", "end=reset").out
    assert blob[:4] == bytes.fromhex("d00dfeed")
    assert 'bootargs = "end=reset";' in dts(blob)


@pytest.mark.parametrize("machine", sorted(SAMPLES.glob("*/*.toml")), ids=lambda path: path.stem)
def test_dtb_of_every_sample_machine_is_accepted_by_dtc(machine: Path) -> None:
    assert 'compatible = "linux,dummy-virt"' in dts(armvcpu("dtb", "-m", machine).out)


def test_the_command_line_says_how_many_cpus_there_are_and_which_interrupt_controller(tmp_path: Path) -> None:
    source = dts(armvcpu("dtb", "--smp", "4", "--gic", "2").out)
    assert [f"cpu@{number} {{" in source for number in range(5)] == [True] * 4 + [False]
    assert 'compatible = "arm,cortex-a15-gic"' in source
    machine = tmp_path / "board.toml"
    machine.write_text("[cpu]\ncount = 6\n[device.gic]\ntype = 'gicv2'\n")
    source = dts(armvcpu("dtb", "-m", machine, "--gic", "3", "--smp", "20").out)
    assert "cpu@103 {" in source
    assert 'compatible = "arm,gic-v3"' in source


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("", ("--smp", "9", "--gic", "2"), "--smp: 9 CPUs, but device.gic, a GICv2, has room for 8"),
        ("[cpu]\ncount = 9\n", ("--gic", "2"), "--gic: cpu.count: 9 CPUs, but device.gic, a GICv2, has room for 8"),
        ("[cpu]\nclusters = [4, 2]\n", ("--smp", "4"), "--smp: expected 6, the CPUs of cpu.clusters, found 4"),
        ("[cpu]\nmpidr = 1\n", ("--smp", "2"), "--smp: cpu.mpidr: expected an array of 2 integers"),
        ("[device.gic]\nenabled = false\n", ("--gic", "2"), "--gic: the machine has no interrupt controller"),
        ("[device.gic]\nbase = 0\n", ("--gic", "2"), "--gic: device.gic: only the virt board's interrupt controller"),
        ("[device.gic]\nbase = 1\n", ("--smp", "2"), "board.toml:2: device.gic.base: expected a multiple of 64 KiB"),
        ("[device.x]\ntype='zero'\nbase=0x4100_0000\n[memory.ram]\nsize='1M'\n", ("--memory", "32M"),
         "--memory: device.x: 0x4100_0000 to 0x41000fff overlaps memory.ram"),
    ],
)  # fmt: skip
def test_an_option_that_does_not_go_with_the_file_is_named(
    tmp_path: Path, text: str, arguments: tuple[str, ...], message: str
) -> None:
    machine = tmp_path / "board.toml"
    machine.write_text(text)
    assert_refused(armvcpu("dtb", "-m", machine, *arguments), message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--phys-cpus", "1"), "--phys-cpus: cpu.phys_cpu_sets: expected numbers of physical CPUs from 0 to 0"),
        (("--smp", "3"), "--smp: cpu.phys_cpu_sets: expected an array of 3 bit masks"),
    ],
)
def test_physical_cpus_that_do_not_go_with_the_file_are_refused(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    machine = tmp_path / "board.toml"
    machine.write_text("[cpu]\ncount = 2\nphys_cpus = 2\nphys_cpu_sets = [[0], [1]]\n")
    assert_refused(armvcpu("run", "-m", machine, *arguments, sample("hello")), message)


def test_timeout_stops_a_guest_that_never_exits() -> None:
    finished = armvcpu("run", "--timeout", "0.3", guest("spin"))
    assert finished.out == b"spinning\n"
    assert finished.status == 124
    assert finished.err.startswith("armvcpu: stopped after 0.3 s at 0x")


def test_what_the_command_line_says_of_the_limits_wins_over_the_file(tmp_path: Path) -> None:
    machine = tmp_path / "limits.toml"
    machine.write_text("[limits]\nmax_exits = 11\ntimeout = 0.3\n")
    assert armvcpu("run", "-m", machine, guest("flood")).out == b"0123456789\n"
    assert armvcpu("run", "-m", machine, "--max-exits", "22", guest("flood")).out == b"0123456789\n" * 2
    unlimited = armvcpu("run", "-m", machine, "--max-exits", "0", guest("flood"))
    assert unlimited.status == 124
    assert "stopped after 0.3 s" in unlimited.err


def test_memory_changes_the_ram_that_the_guest_has() -> None:
    enough = armvcpu("run", "--memory", "1MiB", sample("hello"))
    assert (enough.status, enough.err) == (0, "")
    assert_refused(
        armvcpu("run", "--memory", "64K", sample("hello")),
        "hello.elf: ",
        "is outside of memory: ram 0x40000000-0x4000ffff",
    )


def test_append_reaches_the_guest_in_its_device_tree() -> None:
    assert armvcpu("run", "--append", "end=reset", sample("exits")).err == "armvcpu: the guest requested a reset\n"


def test_load_address_places_a_raw_binary(tmp_path: Path) -> None:
    # movz x0, #0x8400, lsl #16; movk x0, #8; hvc #0
    code = b"".join(word.to_bytes(4, "little") for word in (0xD2B08000, 0xF2800100, 0xD4000002))
    raw = tmp_path / "off.bin"
    raw.write_bytes(code)
    assert armvcpu("run", raw).status == 0
    finished = armvcpu("run", "--regs", "--load-address", "0x4123_4000", raw)
    assert finished.status == 0
    assert "\npc  0x000000004123400c\n" in finished.err


OFF = b"".join(word.to_bytes(4, "little") for word in (0xD2B08000, 0xF2800100, 0xD4000002))
"""movz x0, #0x8400, lsl #16; movk x0, #8; hvc #0: PSCI SYSTEM_OFF."""


def kernel(directory: Path) -> Path:
    """A kernel that jumps over its header and powers the machine off."""
    path = directory / "vmlinuz"
    path.write_bytes(image(text_offset=0x1000, code=0x1400_0010.to_bytes(4, "little") + bytes(4), body=OFF))
    return path


def test_a_kernel_is_recognised_and_goes_to_the_base_of_ram(tmp_path: Path) -> None:
    finished = armvcpu("run", "--regs", kernel(tmp_path))
    assert finished.status == 0
    assert "\npc  0x000000004000104c\n" in finished.err


def test_load_address_is_the_base_of_a_kernel(tmp_path: Path) -> None:
    finished = armvcpu("run", "--regs", "--load-address", "0x4120_0000", kernel(tmp_path))
    assert "\npc  0x000000004120104c\n" in finished.err
    refused = armvcpu("run", "--load-address", "0x4121_0000", kernel(tmp_path))
    assert_refused(refused, "vmlinuz: ", "load address 0x4121_0000 is not a multiple of 2 MiB")


def test_kernel_type_wins_over_the_file_and_over_what_the_machine_file_says(tmp_path: Path) -> None:
    machine = tmp_path / "board.toml"
    machine.write_text("[boot]\nkernel_type = 'elf'\n")
    assert_refused(armvcpu("run", "-m", machine, kernel(tmp_path)), "vmlinuz: ", "not an ELF file")
    finished = armvcpu("run", "-m", machine, "--regs", "--kernel-type", "raw", kernel(tmp_path))
    assert "\npc  0x000000004008004c\n" in finished.err
    assert armvcpu("run", "-m", machine, "--kernel-type", "auto", kernel(tmp_path)).status == 0


def test_an_initrd_of_the_command_line_wins_over_that_of_the_file(tmp_path: Path) -> None:
    machine, initrd = tmp_path / "board.toml", tmp_path / "initrd.gz"
    machine.write_text("[boot]\ninitrd = 'initrd.gz'\n")
    initrd.touch()
    assert_refused(armvcpu("run", "-m", machine, kernel(tmp_path)), f"{initrd}: the file is empty")
    other = tmp_path / "other.gz"
    other.write_bytes(b"x")
    assert armvcpu("run", "-m", machine, "--initrd", other, kernel(tmp_path)).status == 0


def test_a_run_is_recorded_or_repeated_but_not_both(tmp_path: Path) -> None:
    finished = armvcpu("run", "--record", "a", "--replay", "b", kernel(tmp_path))
    assert_refused(finished, "--record", "--replay")


def test_symbols_name_the_addresses_of_a_kernel(tmp_path: Path) -> None:
    names = tmp_path / "System.map"
    names.write_text("0000000040001040 T power_off\n0000000040002000 B _end\n")
    finished = armvcpu("trace", "--symbols", names, kernel(tmp_path))
    assert "<power_off+0xc>" in finished.err
    assert_refused(armvcpu("run", "--symbols", kernel(tmp_path), kernel(tmp_path)), "vmlinuz: ", "line 1")


def test_load_address_is_refused_where_it_would_be_ignored() -> None:
    finished = armvcpu("run", "--load-address", "0x40000000", sample("hello"))
    assert_refused(finished, "--load-address", "hello.elf is an ELF")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("run",), ("GUEST", "armvcpu run --help")),
        (("run", "a", "b"), ("b", "armvcpu run --help")),
        (("rum", "a"), ("'rum'", "armvcpu --help")),
        (("run", "--tmeout", "1", "a"), ("'--tmeout'",)),
        (("run", "--timeout", "nan", "a"), ("--timeout", "'nan'")),
        (("run", "--timeout", "inf", "a"), ("--timeout", "'inf'")),
        (("run", "--timeout", "1e300", "a"), ("--timeout", "'1e300'")),
        (("run", "--timeout", "-1", "a"), ("--timeout", "'-1'")),
        (("run", "--timeout", "soon", "a"), ("--timeout", "'soon'")),
        (("run", "--max-exits", "-1", "a"), ("--max-exits", "'-1'")),
        (("run", "--max-exits", "1.5", "a"), ("--max-exits", "'1.5'")),
        (("run", "--max-exits", "9" * 10000, "a"), ("--max-exits",)),
        (("run", "--kernel-type", "bzImage", "a"), ("--kernel-type", "'bzImage'", "'linux'")),
        (("run", "--clock", "sun", "a"), ("--clock", "'sun'", "'instructions'")),
        (("run", "--seed", "-1", "a"), ("--seed", "'-1'")),
        (("run", "--seed", "0x1_0000_0000_0000_0000", "a"), ("--seed", "2^64")),
        (("run", "--seed", "x", "a"), ("--seed", "'x'")),
        (("run", "--smp", "0", "a"), ("--smp", "'0'", "from 1 to 64")),
        (("run", "--smp", "65", "a"), ("--smp", "'65'", "from 1 to 64")),
        (("dtb", "--smp", "9" * 10000), ("--smp", "from 1 to 64")),
        (("dtb", "--smp", "0" * 18 + "9999"), ("--smp", "from 1 to 64")),
        (("dtb", "--smp", "two"), ("--smp", "'two'")),
        (("run", "--phys-cpus", "9", "a"), ("--phys-cpus", "'9'", "from 1 to 8")),
        (("run", "--gic", "4", "a"), ("--gic", "'4'", "2 or 3")),
        (("run", "--schedule", "-1", "a"), ("--schedule", "'-1'", "2^64")),
        (("probe", "--gic", "2"), ("--gic", "--for")),
        (("run", "--memory", "0", "a"), ("--memory: ", "found 0")),
        (("run", "--memory", "1", "a"), ("--memory: ", "4 KiB")),
        (("run", "--memory", "-4096", "a"), ("--memory", "'-4096'")),
        (("run", "--memory", "4097", "a"), ("--memory: ", "found 4097")),
        (("run", "--memory", "0x1_001", "a"), ("--memory: ", "found 0x1_001")),
        (("run", "--memory", "100P", "a"), ("--memory", "'100P'")),
        (("run", "--memory", "100T", "a"), ("--memory: ", "1 TiB")),
        (("run", "--memory", "102400G", "a"), ("--memory: ", "1 TiB")),
        (("run", "--memory", "99999999999999999999G", "a"), ("--memory: ", "1 TiB")),
        (("dtb", "--memory", "2048G"), ("--memory: ", "1 TiB")),
        (("dtb", "--append", "x" * 3000), ("--append: ", "2047 bytes")),
        (("run", "--load-address", "here", "a"), ("--load-address", "'here'")),
        (("run", "--load-address", "-4", "a"), ("--load-address", "'-4'")),
        (("trace", "--format", "xml", "a"), ("--format", "'xml'", "jsonl")),
        (("completion", "tcsh"), ("'tcsh'", "fish")),
        (("run", "--timeout"), ("--timeout", "argument")),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else None,
)
def test_wrong_usage_is_one_line_with_the_option_and_what_was_found(
    arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    assert_refused(armvcpu(*arguments), *parts)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "run -M virt -cpu cortex-a72 -m 512M -nographic -kernel Image -append console=ttyAMA0",
            "-M, -cpu, -m, -nographic and 2 more are options of QEMU; type: armvcpu run --cpu cortex-a72 --memory 512M "
            "Image --append console=ttyAMA0 (-nographic: not needed, the console is on stdin and stdout)",
        ),
        ("run -machine virt a.elf", "-machine is an option of QEMU; type: armvcpu run a.elf"),
        ("run -hda d.img a.elf",
         "-hda is an option of QEMU; type: armvcpu run a.elf (-hda: no counterpart, there are no disks)"),
        ("stat -icount 1 a.elf", "-icount is an option of QEMU; type: armvcpu stat --clock instructions a.elf"),
        ("run -m 512M a.elf", "-m is an option of QEMU; type: armvcpu run --memory 512M a.elf (-m: here a machine file "
         "follows)"),
        ("lkvm run -k Image -c 2", "-k and -c are options of kvmtool; type: armvcpu run Image --smp 2"),
        ("run --kernel-path Image", "--kernel-path is an option of Firecracker; type: armvcpu run Image"),
        ("guest.elf --regs", "missing command; to run a guest, type: armvcpu run guest.elf --regs"),
        ("--smp 2 a.elf", "missing command; to run a guest, type: armvcpu run --smp 2 a.elf"),
        ("rnu a.elf", "no such command: 'rnu' (did you mean 'run'?); see armvcpu --help"),
    ],
)  # fmt: skip
def test_options_of_other_tools_are_answered_with_what_to_type(line: str, told: str) -> None:
    finished = armvcpu(*line.split())
    assert (finished.status, finished.out, finished.err) == (2, b"", f"armvcpu: error: {told}\n")


def test_a_value_that_looks_like_an_option_of_another_tool_is_a_value() -> None:
    assert armvcpu("run", "--append", "-kernel", sample("hello")).status == 0


def test_memory_that_the_host_cannot_have_is_refused_in_one_line() -> None:
    """More than the host's address space allows; the limit stands for a host with little memory."""
    finished = shell('ulimit -v 4000000; armvcpu run --memory 512G "$1"', sample("hello"))
    assert_refused(
        finished, "the host refuses 512 GiB of memory (", "; ask for less with --memory or memory.<name>.size"
    )


def test_append_of_bytes_that_are_no_text_reaches_the_device_tree_or_is_refused() -> None:
    finished = subprocess.run(
        [*COMMAND, b"dtb", b"--append", b"a\xff\xfeb"],
        capture_output=True,
        timeout=GUARD_SECONDS,
        check=False,
        env=environment(),
    )
    assert b"Traceback" not in finished.stderr
    assert finished.returncode in (0, 2)


@pytest.mark.parametrize("arguments", [["run", ""], ["trace", ""], ["run", "--initrd", "", sample("hello")]])
def test_the_empty_name_of_a_file_is_refused_as_that(arguments: list[str]) -> None:
    finished = armvcpu(*arguments)
    assert finished.status == 2
    assert "expected the name of a file, found an empty one" in finished.err
