"""Machine descriptions: the meaning of a file, and what is refused with which key."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import FrozenInstanceError
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.board.cpu_loading import CPU_KEYS
from arm_vcpu_cli.board.description import (
    ClockDescription,
    ClockSource,
    Conduit,
    DeviceDescription,
    El2Description,
    GicDescription,
    Limits,
    MachineDescription,
    OnFault,
    Window,
)
from arm_vcpu_cli.board.document import parse_document
from arm_vcpu_cli.board.el2_loading import CPTR_TRAPS, HCR_TRAPS, MDCR_TRAPS
from arm_vcpu_cli.board.loading import load_machine, machine_from_document
from arm_vcpu_cli.board.presets import PRESETS
from arm_vcpu_cli.board.schema import CPU_MODELS
from arm_vcpu_cli.errors import MachineFileError
from arm_vcpu_cli.sizes import Written

MIB = 1 << 20
RAM = 0x4000_0000
UART = DeviceDescription("uart0", "pl011", 0x0900_0000, 0x1000, 33)
RTC = DeviceDescription("rtc", "pl031", 0x0901_0000, 0x1000, 34)
VIRTIO = DeviceDescription("virtio", "virtio-mmio", 0x0A00_0000, 0x4000, None)
GIC = GicDescription("gic", 3, Window(0x0800_0000, 0x1_0000), Window(0x080A_0000, 0xF6_0000))
RAM_ONLY = f'base = "none"\n[memory.ram]\nbase = {RAM}\nsize = "1MiB"\n'


def load(directory: Path, text: str) -> MachineDescription:
    path = directory / "board.toml"
    path.write_text(text, encoding="utf-8")
    return load_machine(path)


def refusal(directory: Path, text: str) -> MachineFileError:
    with pytest.raises(MachineFileError) as caught:
        load(directory, text)
    message = str(caught.value)
    line = "" if caught.value.line is None else f":{caught.value.line}"
    assert message.startswith(f"{directory / 'board.toml'}{line}: ")
    assert "\n" not in message
    assert len(message) < 500
    return caught.value


def test_without_a_file_the_machine_is_the_virt_preset() -> None:
    machine = load_machine(None)
    assert (machine.name, machine.path) == ("virt", None)
    assert (machine.ram.name, machine.ram.base, machine.ram.size) == ("ram", RAM, 512 * MIB)
    assert machine.ram.readable and machine.ram.writable and machine.ram.executable
    assert machine.devices == (UART, RTC, VIRTIO)
    assert machine.gic == GIC
    assert machine.boot.load_address is None


def test_the_defaults_are_those_of_the_manual() -> None:
    machine = load_machine(None)
    assert (machine.cpu.model, machine.cpu.mpidr, machine.cpu.pa_bits) == ("cortex-a72", 0, 44)
    assert machine.el2 == El2Description(False, True, True, True, ())
    assert machine.smc.conduit is Conduit.HVC
    assert machine.smc.functions == ()
    assert machine.limits == Limits(0.0, 0)
    assert machine.semihosting is True
    assert (machine.boot.entry, machine.boot.dtb, machine.boot.bootargs) == (None, True, "")
    assert (machine.boot.initrd, machine.boot.kernel_type) == (None, None)
    assert machine.ram.on_fault is OnFault.ABORT
    assert machine.clock == ClockDescription(ClockSource.AUTO, 0, 1_767_225_600, 2_000)  # 2026-01-01T00:00:00Z
    assert machine.cpu.features == ()


def test_the_description_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        load_machine(None).cpu.mpidr = 1  # type: ignore[misc]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_loads_by_name(tmp_path: Path, preset: str) -> None:
    machine = load(tmp_path, f'base = "{preset}"')
    assert (machine.name, machine.path) == ("board", tmp_path / "board.toml")
    assert machine.memory == load_machine(None).memory


def test_a_file_changes_single_keys_of_the_preset(tmp_path: Path) -> None:
    machine = load(tmp_path, '[memory.ram]\nsize = "1GiB"\n[device.uart0]\nintid = 40\n')
    assert (machine.ram.base, machine.ram.size) == (RAM, 1 << 30)
    assert machine.devices == (DeviceDescription("uart0", "pl011", 0x0900_0000, 0x1000, 40), RTC, VIRTIO)


def test_what_the_preset_has_can_be_switched_off(tmp_path: Path) -> None:
    machine = load(tmp_path, "device = {uart0.enabled = false, gic.enabled = false}")
    assert (machine.devices, machine.gic) == ((RTC, VIRTIO), None)


def test_base_none_starts_from_nothing(tmp_path: Path) -> None:
    machine = load(tmp_path, RAM_ONLY)
    assert [region.name for region in machine.memory] == ["ram"]
    assert (machine.devices, machine.gic) == ((), None)


def test_every_key_reaches_the_description(tmp_path: Path) -> None:
    (tmp_path / "fw.bin").write_bytes(bytes(0x100))
    (tmp_path / "initrd.gz").touch()
    machine = load(
        tmp_path,
        """
        base = "none"
        semihosting.enabled = false
        [cpu]
        model = "cortex-a53"
        mpidr = 0x1_0002_0304
        features = {FEAT_SHA256 = false, FEAT_AES = true}
        [el2]
        passthrough_interrupt = true
        passthrough_timer = false
        trap_wfi = false
        trap_id_registers = false
        hcr = ["TVM", "TTLB"]
        cptr = ["TFP"]
        mdcr = ["TDA"]
        [memory.rom]
        base = 0
        size = 0x10000
        permissions = "rx"
        on_fault = "ignore"
        file = "fw.bin"
        file_offset = 0x200
        [memory.ram]
        base = 0x8000_0000
        size = "16M"
        permissions = "rw"
        on_fault = "stop"
        [device.later]
        type = "zero"
        base = 0x2000_0000
        size = "1GiB"
        [device.scratch]
        type = "ram"
        base = 0x1000_0000
        size = 0x100
        [boot]
        entry = 0x40
        load_address = 0x8000_1000
        dtb = false
        dtb_address = 0x8080_0000
        bootargs = "console=ttyAMA0"
        initrd = "initrd.gz"
        kernel_type = "linux"
        [clock]
        source = "host"
        seed = 0xffff_ffff_ffff_ffff
        epoch = 0
        counter_read_ns = 50
        [smc]
        conduit = "smc"
        [smc.function.version]
        id = 0xC200_0001
        returns = [0, -1, 0x8000_0000_0000_0000, -9223372036854775808]
        [limits]
        timeout = 2.5
        max_exits = 1000
        """,
    )
    assert (machine.cpu.model, machine.cpu.mpidr, machine.cpu.pa_bits) == ("cortex-a53", 0x1_0002_0304, 40)
    assert machine.el2 == El2Description(True, False, False, False, ("TVM", "TTLB"), ("TFP",), ("TDA",))
    rom, ram = machine.memory
    assert (rom.base, rom.end, rom.on_fault, rom.file_offset) == (0, 0x1_0000, OnFault.IGNORE, 0x200)
    assert (rom.readable, rom.writable, rom.executable) == (True, False, True)
    assert rom.file == tmp_path / "fw.bin"
    assert (ram.base, ram.size, ram.on_fault, ram.file) == (0x8000_0000, 16 * MIB, OnFault.STOP, None)
    assert (ram.readable, ram.writable, ram.executable) == (True, True, False)
    assert machine.devices == (
        DeviceDescription("scratch", "ram", 0x1000_0000, 0x100, None),
        DeviceDescription("later", "zero", 0x2000_0000, 1 << 30, None),
    )
    boot = machine.boot
    assert (boot.entry, boot.load_address, boot.dtb_address) == (0x40, 0x8000_1000, 0x8080_0000)
    assert boot.dtb is False
    assert boot.bootargs == "console=ttyAMA0"
    assert (boot.initrd, boot.kernel_type) == (tmp_path / "initrd.gz", "linux")
    assert machine.clock == ClockDescription(ClockSource.HOST, (1 << 64) - 1, 0, 50)
    assert machine.cpu.features == (("FEAT_AES", True), ("FEAT_SHA256", False))
    assert hash(machine.cpu) is not None
    assert machine.smc.conduit is Conduit.SMC
    (function,) = machine.smc.functions
    assert (function.name, function.id) == ("version", 0xC200_0001)
    assert function.returns == (0, (1 << 64) - 1, 1 << 63, 1 << 63)
    assert machine.limits == Limits(2.5, 1000)
    assert machine.semihosting is False


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text('[memory.ram]\nsize = "1GiB"\n[boot]\nbootargs = "quiet"\n')
    machine = load_machine(path, memory_size=64 * MIB, bootargs="debug")
    assert (machine.ram.size, machine.boot.bootargs) == (64 * MIB, "debug")


@pytest.mark.parametrize("size", [0, -4096, 100, 1 << 50])
def test_a_memory_size_from_the_command_line_is_checked_as_that_of_the_file(size: int) -> None:
    with pytest.raises(MachineFileError) as caught:
        load_machine(None, memory_size=size)
    assert caught.value.key == "memory.ram.size"


def test_memory_that_grows_into_its_neighbour_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(RAM_ONLY + "[device.x]\ntype = 'zero'\nbase = 0x4100_0000\n")
    assert load_machine(path, memory_size=16 * MIB).ram.size == 16 * MIB
    with pytest.raises(MachineFileError, match=r"overlaps memory\.ram"):
        load_machine(path, memory_size=17 * MIB)


def test_a_memory_size_that_would_make_another_region_the_main_ram_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text('base = "none"\n[memory.a]\nbase = 0\nsize = "4M"\n[memory.b]\nbase = 0x100_0000\nsize = "2M"\n')
    assert load_machine(path, memory_size=8 * MIB).ram.size == 8 * MIB
    with pytest.raises(MachineFileError, match="no longer be the main RAM") as caught:
        load_machine(path, memory_size=MIB)
    assert caught.value.key == "memory.a.size"


def test_without_a_region_named_ram_the_largest_runnable_one_is_it(tmp_path: Path) -> None:
    text = 'base = "none"\n[memory.a]\nbase = 0\nsize = "2M"\n[memory.b]\nbase = 0x100_0000\nsize = "4M"\n'
    data = '[memory.c]\nbase = 0x200_0000\nsize = "8M"\npermissions = "rw"\n'
    assert load(tmp_path, text + data).ram.name == "b"
    assert load(tmp_path, 'base = "none"\n' + data).ram.name == "c"


@pytest.mark.parametrize(
    ("text", "key", "part"),
    [
        ("bsae = 'virt'", "bsae", 'unknown key (did you mean "base"?)'),
        ("base = 'vrit'", "base", 'did you mean "virt"?'),
        ("base = 1", "base", "found 1"),
        ("[cpu]\nmodle = 'max'", "cpu.modle", 'did you mean "model"?'),
        ("[cpu]\nmodel = 'cortex-a35'", "cpu.model", '"cortex-a53", "cortex-a57", "cortex-a72" or "max"'),
        ("[cpu]\nmpidr = 0x8000_0000", "cpu.mpidr", "affinity fields only"),
        ("[cpu]\nmpidr = -1", "cpu.mpidr", "found -1"),
        ("[cpu]\nmpidr = true", "cpu.mpidr", "expected an integer, found true"),
        ("cpu = 3", "cpu", "expected a table, found 3"),
        ("[el2]\ntrap_wfi = 1", "el2.trap_wfi", "expected true or false, found 1"),
        ("[el2]\nhcr = 'TVM'", "el2.hcr", "expected an array of strings"),
        ("[el2]\nhcr = ['tvm']", "el2.hcr", 'did you mean "TVM"?'),
        ("[el2]\nhcr = ['TVM', 'TVM']", "el2.hcr", "twice"),
        ("[el2]\nhcr = [1]", "el2.hcr", "found 1"),
        ("[el2]\ncptr = ['TTA']", "el2.cptr", "TCPAC"),
        ("[el2]\ncptr = ['TZ']", "el2.cptr", 'cpu.model = "max"'),
        ("[el2]\nmdcr = 'TDA'", "el2.mdcr", "expected an array of strings"),
        ("[el2]\nmdcr = ['TDCC']", "el2.mdcr", "TDRA"),
        ("[el2]\ntrap_id_registers = false\nmdcr = ['TDA', 'TPM']", "el2.mdcr", "trap_id_registers = true"),
        ("memory = []", "memory", "expected a table, found an array"),
        ("[memory]\nram = 1", "memory.ram", "expected a table, found 1"),
        ("[memory.x]\nsize = 4096", "memory.x.base", "missing, expected an integer"),
        ("[memory.x]\nbase = 0", "memory.x.size", "missing, expected a size"),
        ("[memory.x]\nbase = 0.5\nsize = 4096", "memory.x.base", "found the number 0.5"),
        ("[memory.x]\nbase = 'a'\nsize = 4096", "memory.x.base", 'found the string "a"'),
        ("[memory.x]\nbase = 2024-01-01\nsize = 4096", "memory.x.base", "found a date or time"),
        ("[memory.x]\nbase = 0x800\nsize = 4096", "memory.x.base", "multiple of 4 KiB, found 0x800"),
        ("[memory.x]\nbase = 0\nsize = 4097", "memory.x.size", "expected a multiple of 4 KiB"),
        ("[memory.x]\nbase = 0\nsize = 0", "memory.x.size", "found 0"),
        ("[memory.x]\nbase = 0\nsize = -4096", "memory.x.size", "found -4096"),
        ("[memory.x]\nbase = 0\nsize = true", "memory.x.size", "found true"),
        ("[memory.x]\nbase = 0\nsize = '4Q'", "memory.x.size", "expected a size such as"),
        ("[memory.x]\nbase = 0\nsize = '2048G'", "memory.x.size", "1 TiB"),
        ("[memory.x]\nbase = 0x0fff_ffff_f000\nsize = '8K'", "memory.x", "44-bit address space"),
        ("[memory.x]\nbase = -4096\nsize = 4096", "memory.x.base", "found -4096"),
        ("[memory.ram]\nsise = 1", "memory.ram.sise", 'did you mean "size"?'),
        ("[memory.ram]\npermissions = 'w'", "memory.ram.permissions", '"r", "rw", "rx" or "rwx"'),
        ("[memory.ram]\npermissions = 'rx'", "memory", "needs a region with permissions"),
        ("[memory.ram]\nenabled = false", "memory", "needs a region with permissions"),
        ("[memory.ram]\non_fault = 'explode'", "memory.ram.on_fault", '"abort", "stop" or "ignore"'),
        ("[memory.ram]\nfile_offset = 4", "memory.ram.file_offset", "only allowed with memory.ram.file"),
        ("[memory.ram]\nfile = 'none.bin'", "memory.ram.file", "No such file or directory"),
        ("[memory.ram]\nfile = '.'", "memory.ram.file", "not a regular file"),
        ('[memory.ram]\nfile = "a\\u0000b"', "memory.ram.file", "no control characters"),
        ("[memory.ram]\nfile = 3", "memory.ram.file", "expected a string, found 3"),
        ("[memory.'a b']\nbase = 0", 'memory."a b"', "expected a name"),
        ("[memory.x]\nbase = 0x4000_1000\nsize = 4096", "memory.x", "memory.ram (0x40000000 to 0x5fffffff)"),
        ("[memory.x]\nbase = 0x0900_0000\nsize = 4096", "memory.x", "overlaps device.uart0"),
        (
            *("[device.x]\nbase = 0", "device.x.type"),
            'expected "pl011", "pl031", "zero", "ram", "virtio-mmio", "gicv3" or "gicv2"',
        ),
        ("[device.x]\ntype = 'pl01'\nbase = 0", "device.x.type", 'did you mean "pl0'),
        ("[device.x]\ntype = 'zero'", "device.x.base", "missing"),
        ("[device.x]\ntype = 'zero'\nbase = 2", "device.x.base", "expected a multiple of 4 bytes"),
        ("[device.x]\ntype = 'zero'\nbase = 0\nsize = 6", "device.x.size", "expected a multiple of 4 bytes"),
        ("[device.x]\ntype = 'pl011'\nbase = 0\nsize = 256", "device.x.size", "expected a size from 4 KiB"),
        ("[device.x]\ntype = 'ram'\nbase = 0\nsize = '1G'", "device.x.size", "to 16 MiB"),
        ("[device.x]\ntype = 'zero'\nbase = 0x1000_0000_0000", "device.x.base", "expected an integer from"),
        ("[device.x]\ntype = 'zero'\nbase = 0x0fff_ffff_f800", "device.x", "44-bit address space"),
        ("[device.x]\ntype = 'zero'\nbase = 0x0900_0800", "device.x", "overlaps device.uart0"),
        ("[device.x]\ntype = 'zero'\nbase = 0\nintid = 31", "device.x.intid", "from 32 to 1019, found 31"),
        ("[device.x]\ntype = 'zero'\nbase = 0\nintid = 33", "device.x.intid", "already used by device.uart0"),
        ("[device.x]\ntype = 'zero'\nbase = 0\nirq = 33", "device.x.irq", "unknown key"),
        ("[device.x]\ntype = 'zero'\nbase = 0x0800_8000", "device.x", "overlaps device.gic (0x8000000 to 0x800ffff)"),
        ("[device.x]\ntype = 'zero'\nbase = 0x0810_0000", "device.x", "device.gic (0x80a0000 to 0x8ffffff)"),
        ("[device.x]\ntype = 'pl031'\nbase = 0\nsize = '8K'", "device.x.size", "from 4 KiB to 4 KiB"),
        ("[device.x]\ntype = 'pl031'\nbase = 0\nintid = 34", "device.x.intid", "already used by device.rtc"),
        ("[device.x]\ntype = 'zero'\nbase = 0\npassthrough = 1", "device.x.passthrough", "expected true or false"),
        ("[device.x]\ntype = 'zero'\nbase = 0x800\npassthrough = true", "device.x.base", "multiple of 4 KiB"),
        ("[device.x]\ntype = 'ram'\nbase = 0\nsize = 6144\npassthrough = true", "device.x.size", "multiple of 4 KiB"),
        ("[device.x]\ntype = 'pl011'\nbase = 0\nredistributor_base = 0", "device.x.redistributor_base", "pl011"),
        ("[device.gic]\nintid = 40", "device.gic.intid", 'devices of type "gicv3" have no such key'),
        ("[device.gic]\nsize = '64K'", "device.gic.size", "have no such key"),
        ("[device.gic]\npassthrough = true", "device.gic.passthrough", "have no such key"),
        ("[device.gic]\nbase = 0x0800_1000", "device.gic.base", "multiple of 64 KiB, found 0x0800_1000"),
        ("[device.gic]\nredistributor_base = 0x080A_1000", "device.gic.redistributor_base", "multiple of 64 KiB"),
        ("[device.gic]\nredistributor_base = 0x0800_0000", "device.gic", "overlaps device.gic"),
        ("[device.gic]\nredistributor_size = '64K'", "device.gic.redistributor_size", "from 128 KiB to 64 MiB"),
        ("[device.gic]\nspis = 100", "device.gic.spis", "multiple of 32"),
        ("[device.gic]\nspis = 992", "device.gic.spis", "from 32 to 960"),
        ("[device.gic]\nredistributor_size = '192K'", "device.gic.redistributor_size", "multiple of 128 KiB"),
        ("[device.gic]\nredistributor_size = '128M'", "device.gic.redistributor_size", 'found the string "128M"'),
        ("[device.g2]\ntype = 'gicv3'\nbase = 0\nredistributor_base = 0x2_0000", "device.g2", "device.gic"),
        ("[device.gic]\nenabled=false\n[device.g]\ntype='gicv3'\nbase=0", "device.g.redistributor_base", "missing"),
        ("[el2]\npassthrough_interrupt = true", "el2.passthrough_interrupt", "device.gic need HCR_EL2.IMO"),
        ("[clock]\nsource = 'guest'", "clock.source", '"auto", "instructions" or "host"'),
        ("[clock]\nseed = -1", "clock.seed", "found -1"),
        ("[clock]\nseed = 0x1_0000_0000_0000_0000", "clock.seed", "found 0x1_0000_0000_0000_0000"),
        ("[clock]\nseed = 'x'", "clock.seed", "expected an integer"),
        ("[clock]\nepoch = -1", "clock.epoch", "expected a time from 1970 to 2106-02-07T06:28:15+00:00, found -1"),
        ("[clock]\nepoch = 0x1_0000_0000", "clock.epoch", "found 0x1_0000_0000"),
        ("[clock]\nepoch = 1969-12-31T23:59:59Z", "clock.epoch", "found -1"),
        ("[clock]\nepoch = 2026-01-01T00:00:00", "clock.epoch", "found a date and time without an offset"),
        ("[clock]\nepoch = 2026-01-01", "clock.epoch", "2026-01-01T00:00:00Z, found a date or time"),
        ("[clock]\nepoch = true", "clock.epoch", "found true"),
        ("[clock]\nrate = 1", "clock.rate", "unknown key"),
        ("[cpu.features]\nFEAT_AESS = false", "cpu.features.FEAT_AESS", 'did you mean "FEAT_AES"?'),
        ("[cpu.features]\nFEAT_AES = 0", "cpu.features.FEAT_AES", "expected true or false, found 0"),
        ("[cpu]\nfeatures = ['FEAT_AES']", "cpu.features", "expected a table, found an array"),
        ("[boot]\ninitrd = 'none.gz'", "boot.initrd", "No such file or directory"),
        ("[boot]\ninitrd = '.'", "boot.initrd", "not a regular file"),
        ("[boot]\ninitrd = 3", "boot.initrd", "expected a string, found 3"),
        ("[boot]\nkernel_type = 'Image'", "boot.kernel_type", '"auto", "elf", "raw" or "linux"'),
        ("[boot]\nentry = 0x4000_0002", "boot.entry", "expected a multiple of 4 bytes"),
        ("[boot]\nentry = 0x1000", "boot.entry", "expected an address in a memory region"),
        ("[boot]\ndtb_address = 0x4000_0004", "boot.dtb_address", "expected a multiple of 8 bytes"),
        ("[boot]\nload_address = 0x6000_0000", "boot.load_address", "in a memory region"),
        ("[boot]\ndtb = 'yes'", "boot.dtb", "expected true or false"),
        ("[boot]\nbootargs = 'a\tb'", "boot.bootargs", "no control characters"),
        (f"[boot]\nbootargs = '{'x' * 2048}'", "boot.bootargs", "at most 2047 bytes"),
        ("[smc]\nconduit = 'eret'", "smc.conduit", '"hvc" or "smc"'),
        ("[smc]\nfunctions = 1", "smc.functions", 'did you mean "function"?'),
        ("[smc.function.f]\nreturns = [0]", "smc.function.f.id", "missing"),
        ("[smc.function.f]\nid = 0x1_0000_0000\nreturns = [0]", "smc.function.f.id", "0xffffffff"),
        ("[smc.function.f]\nid = 0x8400_0003\nreturns = [0]", "smc.function.f.id", "PSCI"),
        ("[smc.function.f]\nid = 0xC400_001F\nreturns = [0]", "smc.function.f.id", "PSCI"),
        ("[smc.function.f]\nid = 1", "smc.function.f.returns", "missing"),
        ("[smc.function.f]\nid = 1\nreturns = 0", "smc.function.f.returns", "1 to 4 integers, found 0"),
        ("[smc.function.f]\nid = 1\nreturns = []", "smc.function.f.returns", "found 0 of them"),
        ("[smc.function.f]\nid = 1\nreturns = [1,2,3,4,5]", "smc.function.f.returns", "found 5 of them"),
        ("[smc.function.f]\nid = 1\nreturns = [1.0]", "smc.function.f.returns", "found the number 1.0"),
        ("[smc.function.f]\nid = 1\nreturns = [-9223372036854775809]", "smc.function.f.returns", "-0x8"),
        ("[smc.function.f]\nid = 1\nreturns = [0x1000_0000_0000_0000_0]", "smc.function.f.returns", "found 0x1000_"),
        ("[smc.function]\nf = {id=1,returns=[0]}\ng = {id=1,returns=[0]}", "smc.function.g.id", "already"),
        ("[limits]\ntimeout = -1", "limits.timeout", "expected a number from 0"),
        ("[limits]\ntimeout = nan", "limits.timeout", "found the number nan"),
        ("[limits]\ntimeout = inf", "limits.timeout", "found the number inf"),
        ("[limits]\ntimeout = '10s'", "limits.timeout", "expected a number"),
        ("[limits]\nmax_exits = 1.5", "limits.max_exits", "expected an integer"),
        ("[limits]\nmax_exits = -1", "limits.max_exits", "found -1"),
        ("[semihosting]\nenabled = 'no'", "semihosting.enabled", "expected true or false"),
        ("semihosting = true", "semihosting", "expected a table, found true"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_key(tmp_path: Path, text: str, key: str, part: str) -> None:
    error = refusal(tmp_path, text)
    assert error.key == key
    assert part in error.message


def errors(directory: Path, text: str) -> list[tuple[int | None, str | None]]:
    """The line and the key of each error that a description is refused for."""
    with pytest.raises(MachineFileError) as caught:
        load(directory, text)
    shown = [caught.value, *caught.value.others]
    assert str(caught.value).count("\n") == len(shown) - 1 + bool(caught.value.left_out)
    return [(each.line, each.key) for each in shown]


def test_all_that_is_wrong_is_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """[limits]
timeout = "10s"
[cpu]
modle = "max"
count = 0
clusters = [4, "x"]

[memory.ram]
size = 4097
"base" = 0x4000_0800
[memory]
rom = { base = 0, permissions = "w" }
[device.uart0]
type = "pl01"
[device.x]
type = "zero"
base = 0x800_0000
intid = 5
[el2]
hcr = [
  "TVM",
  "tvm",
]
[boot]
entry = 2
"""
    assert errors(tmp_path, text) == [
        (2, "limits.timeout"),
        (4, "cpu.modle"),
        (5, "cpu.count"),
        (6, "cpu.clusters"),
        (9, "memory.ram.size"),
        (10, "memory.ram.base"),
        (12, "memory.rom.size"),
        (12, "memory.rom.permissions"),
        (14, "device.uart0.type"),
        (18, "device.x.intid"),
    ]
    with pytest.raises(MachineFileError, match=r"board\.toml: and 2 more$"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Without its model nobody knows how large the address space of the CPU is.
        ("[cpu]\nmodel = 'x'\n[memory.x]\nbase = 0x100_0000_0000\nsize = 4096", ["cpu.model"]),
        ("[cpu]\ncount = 100\nphys_cpu_sets = [[0]]", ["cpu.count"]),
        ("[cpu]\nmpidr = [0, 'x']\ncount = 3", ["cpu.mpidr"]),
        # What is in the memory that is wrong is not known, nor whether there is any to run from.
        ("[memory.ram]\nsize = 1\n[boot]\nentry = 0x1000", ["memory.ram.size"]),
        ("[memory]\nram = 1\n[boot]\nentry = 0x1000", ["memory.ram"]),
        ("[memory.x]\nbase = 0x4000_0000\nsize = 1", ["memory.x.size"]),
        ("memory = 1", ["memory"]),
        ("[device.gic]\nbase = 1\n[el2]\npassthrough_interrupt = true\n[cpu]\ncount = 64", ["device.gic.base"]),
        ("[memory.x]\nbase = 0\nsize = '1'\nfile_offset = 0\nfile = 'none'", ["memory.x.size", "memory.x.file"]),
        # One region over several devices is one mistake.
        ("[memory.x]\nbase = 0x0800_0000\nsize = '256MiB'", ["memory.x"]),
        ("base = 'x'\nbsae = 1", ["base", "bsae"]),
        ("[smc.function.f]\nid = 'x'\n[smc.function.g]\nid = 0x8400_0000", ["smc.function.f.id",
         "smc.function.f.returns", "smc.function.g.id", "smc.function.g.returns"]),
    ],
)  # fmt: skip
def test_what_only_follows_from_another_error_is_not_told(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert sorted(str(key) for _, key in errors(tmp_path, text)) == sorted(expected)


def test_an_overlap_is_told_of_the_table_that_the_file_has(tmp_path: Path) -> None:
    """Also where that of the preset is behind it."""
    error = refusal(tmp_path, "[memory.x]\nbase = 0x08ff_0000\nsize = '128KiB'\n[cpu]\n")
    assert (error.key, error.line) == ("memory.x", 1)
    behind = refusal(tmp_path, RAM_ONLY + "[memory.x]\nbase = 0x3fff_f000\nsize = 8192\n")
    assert behind.message == "0x40000000 to 0x400fffff overlaps memory.x (0x3fff_f000 to 0x40000fff)"


def test_a_description_that_is_no_file_has_all_its_errors_too_and_no_lines() -> None:
    with pytest.raises(MachineFileError) as caught:
        machine_from_document({"cpu": {"modle": 1}, "limits": {"timeout": -1}}, Path("board.toml"))
    assert str(caught.value) == (
        'board.toml: cpu.modle: unknown key (did you mean "model"?)\n'
        "board.toml: limits.timeout: expected a number from 0 to 1e+09, found -1"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[boot]\nentry = 0x4_0000", "expected an address in a memory region, found 0x4_0000"),
        ("[boot]\nentry = 1_048_576", "expected an address in a memory region, found 1_048_576"),
        ("[memory.ram]\nsize = 0b1000000000001", "expected a multiple of 4 KiB, found 0b1000000000001"),
        ("[memory.ram]\nsize = '4097'", 'expected a multiple of 4 KiB, found the string "4097"'),
        ("[cpu]\nmpidr = [\n0x0,\n 0x00_0000]", "0x00_0000 is listed twice"),
        ("[smc.function.f]\nid = 0x8400_0000\nreturns = [0]", "0x8400_0000 is a PSCI function, which the hypervisor"),
    ],
)
def test_a_number_is_told_as_it_was_written(tmp_path: Path, text: str, found: str) -> None:
    assert refusal(tmp_path, text).message.startswith(found)


def test_a_number_of_the_command_line_is_not_told_as_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text("[memory.ram]\nsize = 0x1000\n[cpu]\ncount = 0x2\n")
    with pytest.raises(MachineFileError, match=r"found 0x1_001$"):
        load_machine(path, memory_size=Written.of(0x1001, "0x1_001"))
    with pytest.raises(MachineFileError, match=r"found 4097$"):
        load_machine(path, memory_size=4097)
    with pytest.raises(MachineFileError, match=r"found 99$"):
        load_machine(path, cpus=99)


def test_what_is_wrong_a_hundred_thousand_times_is_counted(tmp_path: Path) -> None:
    with pytest.raises(MachineFileError, match=r": and 99990 more$"):
        load(tmp_path, "\n".join(f"k{number}=1" for number in range(100_000)))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0xFFFF_FFFF", 0xFFFF_FFFF),
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-01T01:00:00.999+01:00", 1_767_225_600),
        ("2026-01-01 00:00:00Z", 1_767_225_600),
    ],
)
def test_the_time_at_reset_may_be_a_date_with_an_offset(tmp_path: Path, text: str, seconds: int) -> None:
    assert load(tmp_path, f"[clock]\nepoch = {text}\n").clock.epoch == seconds


@pytest.mark.parametrize("kind", ["pl011", "pl031", "zero", "ram"])
def test_a_device_may_be_passed_through(tmp_path: Path, kind: str) -> None:
    text = f"[device.x]\ntype = '{kind}'\nbase = 0x1000\npassthrough = true\nintid = 50\n"
    assert load(tmp_path, text).devices[0] == DeviceDescription("x", kind, 0x1000, 0x1000, 50, passthrough=True)


def test_the_interrupt_controller_goes_where_the_file_says(tmp_path: Path) -> None:
    text = "[device.gic]\nbase = 0x1000_0000\nredistributor_base = 0x2000_0000\nredistributor_size = '256KiB'\n"
    windows = Window(0x1000_0000, 0x1_0000), Window(0x2000_0000, 0x4_0000)
    assert load(tmp_path, text).gic == GicDescription("gic", 3, *windows)


def test_interrupts_are_the_guests_own_only_without_an_interrupt_controller(tmp_path: Path) -> None:
    text = "[el2]\npassthrough_interrupt = true\n[device.gic]\nenabled = false\n"
    assert load(tmp_path, text).el2.passthrough_interrupt is True


def test_the_address_space_is_that_of_the_cpu_model(tmp_path: Path) -> None:
    region = "[memory.x]\nbase = 0xff_ffff_f000\nsize = '8K'\n"
    assert load(tmp_path, region).memory[-1].end == (1 << 40) + 0x1000
    error = refusal(tmp_path, "[cpu]\nmodel = 'cortex-a53'\n" + region)
    assert (error.key, "40-bit address space" in error.message) == ("memory.x", True)


def test_an_entry_in_memory_that_cannot_run_is_refused(tmp_path: Path) -> None:
    text = "[memory.data]\nbase = 0\nsize = 4096\npermissions = 'rw'\n[boot]\nentry = 0\n"
    error = refusal(tmp_path, text)
    assert (error.key, error.message) == ("boot.entry", "0 is in memory.data, which is not executable")


def test_neighbours_may_touch(tmp_path: Path) -> None:
    below = load(tmp_path, "[memory.x]\nbase = 0x3fff_f000\nsize = 4096\n")
    above = load(tmp_path, "[memory.x]\nbase = 0x6000_0000\nsize = 4096\n")
    assert [len(below.memory), len(above.memory)] == [2, 2]


def test_a_region_inside_an_earlier_one_is_found_behind_a_third(tmp_path: Path) -> None:
    text = "[device.a]\ntype='zero'\nbase = 0\nsize = 0x10000\n[device.b]\ntype='zero'\nbase = 0x20000\n"
    assert len(load(tmp_path, text).devices) == 5
    assert refusal(tmp_path, text + "[memory.c]\nbase = 0x8000\nsize = 4096").key == "memory.c"


def test_a_file_that_fills_its_region_fits_and_one_byte_more_does_not(tmp_path: Path) -> None:
    text = "[memory.rom]\nbase = 0\nsize = 4096\npermissions = 'r'\nfile = 'fw.bin'\nfile_offset = 0x800\n"
    (tmp_path / "fw.bin").write_bytes(bytes(0x800))
    assert load(tmp_path, text).memory[0].file_offset == 0x800
    (tmp_path / "fw.bin").write_bytes(bytes(0x801))
    error = refusal(tmp_path, text)
    assert (error.key, "2049 bytes, more than the 2 KiB" in error.message) == ("memory.rom.file", True)


def test_the_file_of_a_region_that_is_switched_off_need_not_exist(tmp_path: Path) -> None:
    text = "[memory.rom]\nbase = 0\nsize = 4096\nfile = 'none.bin'\nenabled = false\n"
    assert [region.name for region in load(tmp_path, text).memory] == ["ram"]


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"a = \n", ":1: not valid TOML: Invalid value (column 5)"),
        (b"[cpu]\nmodel = x\n", ":2: not valid TOML: Invalid value (column 9)"),
        (b"[cpu]\nmodel = '''x\n\n", ":2: not valid TOML: Expected \"'''\" (at end of document)"),
        (b"[cpu]\n\n[cpu]\n", ":3: not valid TOML: Cannot declare ('cpu',) twice (column 5)"),
        (b"x = 'a'\n\nz = '\xff'\n", ":3: not UTF-8: byte 0xff (offset 0xe)"),
        (b"a = " + b"[" * 100_000, "not valid TOML"),
        (b"\n\na = " + b"9" * 10_000, ":3: not valid TOML"),
        (b"#" * ((1 << 20) + 1), "larger than 1 MiB"),
    ],
)
def test_what_is_no_toml_is_refused_with_its_place(tmp_path: Path, data: bytes, part: str) -> None:
    path = tmp_path / "board.toml"
    path.write_bytes(data)
    with pytest.raises(MachineFileError) as caught:
        load_machine(path)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_values_that_would_take_long_to_print_are_described(tmp_path: Path) -> None:
    assert "40000 bits" in refusal(tmp_path, f"[cpu]\nmpidr = 0x{'f' * 10_000}").message
    assert refusal(tmp_path, f"[cpu]\nmodel = '{'x' * 100_000}'").key == "cpu.model"
    assert refusal(tmp_path, f"{'k' * 100_000} = 1").message.startswith('unknown key, expected "base", "cpu", ')
    assert refusal(tmp_path, "a" + ".a" * 100 + " = 1").key == "a"


@pytest.mark.parametrize("path", [Path("nowhere/board.toml"), Path("a\0b"), Path("/")])
def test_a_file_that_cannot_be_read_is_refused(path: Path) -> None:
    with pytest.raises(MachineFileError, match="cannot be read"):
        load_machine(path)


SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, 33, 0x1000, 0x4000_0000, 1 << 40, -1]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            "rw",
            "rwx",
            "pl011",
            "gicv3",
            "gicv2",
            "zero",
            "none",
            "virt",
            "4KiB",
            "abort",
            *CPU_MODELS,
            *HCR_TRAPS,
            *CPTR_TRAPS,
            *MDCR_TRAPS,
        ]
    ),
    st.dates(),
    st.datetimes(timezones=st.none() | st.timezones()),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
REGION_KEYS = ["base", "size", "permissions", "on_fault", "file", "file_offset", "enabled", "type", "intid"]
REGION_KEYS += [
    "passthrough",
    "redistributor_base",
    "redistributor_size",
    "cpu_interface_base",
    "cpu_interface_size",
    "spis",
]
TABLES = st.dictionaries(st.sampled_from(REGION_KEYS), VALUES, max_size=6)
NAMED_TABLES = st.dictionaries(st.sampled_from(["ram", "uart0", "gic", "x", ""]), TABLES | VALUES, max_size=3)
SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "base": st.sampled_from(["virt", "none"]) | VALUES,
        "cpu": st.dictionaries(st.sampled_from(CPU_KEYS), VALUES | st.lists(st.integers(0, 9))) | VALUES,
        "el2": st.dictionaries(st.sampled_from(["trap_wfi", "hcr", "cptr", "mdcr"]), VALUES | st.lists(VALUES))
        | VALUES,
        "memory": NAMED_TABLES | VALUES,
        "device": NAMED_TABLES | VALUES,
        "boot": st.dictionaries(st.sampled_from(["entry", "dtb_address", "bootargs", "initrd"]), VALUES) | VALUES,
        "clock": st.dictionaries(st.sampled_from(["source", "seed", "epoch"]), VALUES) | VALUES,
        "schedule": st.dictionaries(st.sampled_from(["seed", "quantum_ns"]), VALUES) | VALUES,
        "smc": st.fixed_dictionaries({"function": st.dictionaries(st.text(max_size=3), VALUES)}) | VALUES,
        "limits": st.dictionaries(st.sampled_from(["timeout", "max_exits"]), VALUES) | VALUES,
        "semihosting": VALUES,
    },
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(SECTIONS, st.sampled_from([None, 2, 3]), st.sampled_from([None, 1, 9]))
def test_any_document_loads_or_is_refused(document: dict[str, object], gic: int | None, cpus: int | None) -> None:
    try:
        machine = machine_from_document(document, Path("board.toml"), gic=gic, cpus=cpus)
    except MachineFileError as error:
        lines = str(error).split("\n")
        assert len(lines) <= 11
        assert all(line.startswith("board.toml: ") and len(line) < 500 for line in lines)
        return
    memory = [(region.base, region.end) for region in machine.memory]
    windows = () if machine.gic is None else machine.gic.windows
    ranges = sorted(
        memory
        + [(device.base, device.end) for device in machine.devices]
        + [(window.base, window.end) for window in windows]
    )
    assert all(lower[1] <= upper[0] for lower, upper in pairwise(ranges))
    assert all(0 < end <= 1 << machine.cpu.pa_bits for _, end in ranges)
    assert machine.ram.writable
    assert len(machine.cpu.phys_cpu_sets) == machine.cpu.count == len(set(machine.cpu.affinities))


@given(st.binary(max_size=200) | st.text(alphabet="[]{}=.,\"'#\n abc01-_e", max_size=200).map(str.encode))
def test_any_bytes_are_a_document_or_refused(data: bytes) -> None:
    try:
        document = parse_document(Path("board.toml"), data)
    except MachineFileError as error:
        assert "\n" not in str(error)
        return
    assert isinstance(document, dict)


WORDS = [
    "cpu",
    "model",
    "count",
    "memory",
    "ram",
    "x",
    "size",
    "base",
    "device",
    "gic",
    "type",
    "boot",
    "entry",
    "hcr",
    "el2",
]
STATEMENTS = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(lambda keys: f"[{'.'.join(keys)}]"),
    st.tuples(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(".".join),
        st.sampled_from(['"max"', '"zero"', "0x1001", "-1", "[1,\n2]", "{x = 1}", '"""\n\n"""', "4096", "true"]),
    ).map(" = ".join),
    st.sampled_from(["", "# [cpu]"]),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STATEMENTS, max_size=10).map("\n".join))
def test_every_error_of_a_file_is_on_a_line_that_has_its_key_or_the_table_around_it(text: str) -> None:
    try:
        document = parse_document(Path("board.toml"), text.encode())
    except MachineFileError as error:
        assert error.line is not None and 1 <= error.line <= text.count("\n") + 1
        return
    with suppress(MachineFileError):
        machine_from_document(document, Path("board.toml"))
        return
    with pytest.raises(MachineFileError) as caught:
        machine_from_document(document, Path("board.toml"))
    lines = text.split("\n")
    numbers = []
    for each in (caught.value, *caught.value.others):
        assert each.key is not None
        keys = [key.strip('"') for key in each.key.split(".")]
        if each.line is None:
            # Of the preset.
            assert not any(key in document for key in keys[:1])
            continue
        numbers.append(each.line)
        assert any(key in lines[each.line - 1] for key in keys), (each, lines[each.line - 1])
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    "text",
    [
        "[device.own]\ntype = 'zero'\nbase = 0x0a00_3ffc\nsize = 4\n",
        "[memory.own]\nbase = 0x0a00_2000\nsize = 0x1000\n",
        "[device.gic]\nredistributor_base = 0x0940_0000\n",
    ],
)
def test_empty_transports_give_way_to_what_is_put_in_their_place(tmp_path: Path, text: str) -> None:
    assert VIRTIO not in load(tmp_path, text).devices


def test_empty_transports_stay_beside_their_neighbours(tmp_path: Path) -> None:
    assert VIRTIO in load(tmp_path, "[device.own]\ntype = 'zero'\nbase = 0x0a00_4000\nsize = 4\n").devices
