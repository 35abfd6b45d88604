"""Measures the cost of exits and computing inside one process, against an empty hook and a bare engine.

All times are CPU seconds.
"""

from __future__ import annotations

import ctypes
import io
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import unicorn
from unicorn import arm64_const, unicorn_const
from unicorn.unicorn_py3.unicorn import uclib

from arm_vcpu_cli import (
    Aarch64PerCpu,
    Aarch64VCpu,
    Aarch64VCpuCreateConfig,
    Aarch64VCpuSetupConfig,
    AxPerCpu,
    AxVCpu,
    Host,
    Hypercall,
    Stage2AddressSpace,
    SystemDown,
)
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.translation.descriptor import Stage2Attributes
from arm_vcpu_cli.arch.translation.memtype import MemoryType
from arm_vcpu_cli.arm_vcpu.platform import Platform
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.regions import ReadAsZero
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.observe.describing import EventDescriber
from arm_vcpu_cli.observe.tracing import Tracer
from arm_vcpu_cli.trace.jsonlines import JsonLinesSink
from arm_vcpu_cli.vm.platform import MachinePlatform

SAMPLES: Final = Path(__file__).resolve().parents[2] / "samples"
RAM: Final = 0x4000_0000
CODE: Final = RAM + 0x8_0000
DEVICE: Final = 0x0900_0000
PSCI_VERSION: Final = 0x8400_0000
PSCI_OFF: Final = 0x8400_0008
VENDOR_CALL: Final = 0xC600_0001

MOV_X0_X3: Final = 0xAA03_03E0
HVC: Final = 0xD400_0002
STR_W0_X1: Final = 0xB900_0020
SUBS_X2: Final = 0xF100_0442
B_NE_BACK_2: Final = 0x54FF_FFC1  # b.ne .-8
B_NE_BACK_3: Final = 0x54FF_FFA1  # b.ne .-12
MOV_X0_X4: Final = 0xAA04_03E0
SCTLR_M: Final = 0x30C5_0831

Vcpu = AxVCpu[Aarch64VCpuSetupConfig, Aarch64PerCpu]

HVC_LOOP: Final = (MOV_X0_X3, HVC, SUBS_X2, B_NE_BACK_3, MOV_X0_X4, HVC)
MMIO_LOOP: Final = (STR_W0_X1, SUBS_X2, B_NE_BACK_2, MOV_X0_X4, HVC)

COMPUTE_WORDS: Final = 32768
COMPUTE_ROUNDS: Final = 40


def loop_guest(
    code: tuple[int, ...], count: int, call: int, platform: Platform | None, observed: bool = False
) -> tuple[Host, Vcpu]:
    """A vCPU about to run ``code`` ``count`` times: x1 the device, x2 the count, x3 the call, x4 SYSTEM_OFF."""
    host = Host()
    stage2 = Stage2AddressSpace(host, pa_bits=44)
    ram = host.alloc_guest_memory(0x20_0000, RAM)
    stage2.map(RAM, ram, 0x20_0000, Stage2Attributes(True, True, True, MemoryType.NORMAL))
    host.memory(ram + CODE - RAM, 4 * len(code))[:] = struct.pack(f"<{len(code)}I", *code)
    arch = Aarch64VCpu(Aarch64VCpuCreateConfig(), host, platform)
    if observed:
        arch.add_observer(Tracer(JsonLinesSink(io.StringIO()), EventDescriber(SymbolTable(), Bus())))
    vcpu: Vcpu = AxVCpu(0, 0, arch)
    vcpu.setup(CODE, stage2.root, Aarch64VCpuSetupConfig(vtcr=stage2.vtcr))
    cpu = Aarch64PerCpu(0, host)
    cpu.hardware_enable()
    vcpu.bind(AxPerCpu(cpu))
    for register, value in ((1, DEVICE), (2, count), (3, call), (4, PSCI_OFF)):
        vcpu.set_gpr(register, value)
    return host, vcpu


def zero_device() -> MachinePlatform:
    bus = Bus()
    bus.add("zero", DEVICE, 0x1000, ReadAsZero())
    return MachinePlatform(bus, ())


def time_in_place(code: tuple[int, ...], count: int, observed: bool = False) -> float:
    """Time for ``count`` exits that are completed in the hook."""
    host, vcpu = loop_guest(code, count, PSCI_VERSION, zero_device(), observed)
    with host:
        begun = time.process_time()
        reason = vcpu.run()
        spent = time.process_time() - begun
    if not isinstance(reason, SystemDown):
        raise SystemExit(f"unexpected exit {reason}")
    return spent


def time_returned(code: tuple[int, ...], count: int, expected: type) -> float:
    """Time for ``count`` exits that return from ``run()``."""
    host, vcpu = loop_guest(code, count, VENDOR_CALL, None)
    with host:
        seen = 0
        begun = time.process_time()
        while isinstance(reason := vcpu.run(), expected):
            seen += 1
        spent = time.process_time() - begun
    if not isinstance(reason, SystemDown) or seen != count:
        raise SystemExit(f"unexpected exit {reason} after {seen} of {count}")
    return spent


def time_bare_hook(code: tuple[int, ...], count: int, step: int) -> float:
    """Time for the same exits on a bare engine: the hook saves the whole state, moves the PC and restores it.

    The calls go to the library directly, through a handle that keeps the interpreter lock: the quickest way there
    is from Python, and two to three times quicker than the binding's own methods.
    """
    engine = unicorn.Uc(unicorn_const.UC_ARCH_ARM64, unicorn_const.UC_MODE_ARM)

    def sysreg(op0: int, op1: int, crn: int, crm: int, op2: int, value: int) -> None:
        engine.reg_write(arm64_const.UC_ARM64_REG_CP_REG, (crn, crm, op0, op1, op2, value))

    table, memory = 0x1000_0000, 0x8000_0000
    engine.mem_map(table, 0x1000)
    engine.mem_map(memory, 0x20_0000)
    engine.mem_write(table + 8, struct.pack("<Q", memory | 1 << 10 | 3 << 8 | 3 << 6 | 0xF << 2 | 1))
    engine.mem_write(memory + CODE - RAM, struct.pack(f"<{len(code)}I", *code))
    sysreg(3, 6, 1, 1, 0, 0x531)  # SCR_EL3: NS, HCE, RW
    sysreg(3, 4, 2, 1, 2, 0x8002_3559)  # VTCR_EL2: 39-bit IPA from level 1
    sysreg(3, 4, 2, 1, 0, table)  # VTTBR_EL2
    sysreg(3, 4, 1, 1, 0, 1 << 31 | 1)  # HCR_EL2: RW, VM
    engine.reg_write(arm64_const.UC_ARM64_REG_PSTATE, 0x3C5)
    for n, value in ((1, DEVICE), (2, count), (3, PSCI_VERSION), (4, PSCI_OFF)):
        engine.reg_write(arm64_const.UC_ARM64_REG_X0 + n, value)
    engine.ctl_exits_enabled(True)
    engine.ctl_set_exits([])

    library = ctypes.PyDLL(uclib._name)
    handle, context = engine._uch, engine.context_save()
    block = (ctypes.c_char * context.size).from_address(ctypes.cast(context.context, ctypes.c_void_p).value or 0)
    words = memoryview(block).cast("B").cast("Q")
    library.uc_context_save(handle, context.context)
    engine.reg_write(arm64_const.UC_ARM64_REG_PC, CODE)
    library.uc_context_save(handle, context.context)
    pc = next(n for n, word in enumerate(words) if word == CODE)
    end = CODE + 4 * len(code)
    save, restore, stop = library.uc_context_save, library.uc_context_restore, library.uc_emu_stop
    saved = context.context

    def hook(_engine: object, _number: int, _data: object) -> None:
        save(handle, saved)
        words[pc] += step
        if words[pc] - step >= end - (4 if step else 0):
            stop(handle)
        restore(handle, saved)

    callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)(hook)
    handle_of_hook = ctypes.c_size_t()
    zero, one = ctypes.c_uint64(0), ctypes.c_uint64(1)
    library.uc_hook_add(handle, ctypes.byref(handle_of_hook), unicorn_const.UC_HOOK_INTR, callback, None, one, zero)
    begun = time.process_time()
    engine.emu_start(CODE, 0)
    return time.process_time() - begun


def time_saves(count: int) -> float:
    """Time for ``count`` saves of the whole state and as many restores."""
    with Host() as host:
        core = host.core(0)
        state = core.new_state()
        save, restore = core.saver(state), core.restorer(state)
        begun = time.process_time()
        for _ in range(count):
            save()
            restore()
        return time.process_time() - begun


def time_switches(count: int, *, tables: bool = False) -> float:
    """Time for ``count`` switches between two vCPUs, with the restore that begins a turn and the save that ends it.

    With ``tables`` each has stage 1 on and tables of its own.
    """
    with Host() as host:
        stage2 = Stage2AddressSpace(host, pa_bits=44)
        cpu = Aarch64PerCpu(0, host)
        cpu.hardware_enable()
        physical = AxPerCpu(cpu)
        turns: list[tuple[Callable[[], object], Callable[[], object], Callable[[], object]]] = []
        for number in range(2):
            arch = Aarch64VCpu(Aarch64VCpuCreateConfig(mpidr_el1=number), host)
            vcpu: Vcpu = AxVCpu(0, number, arch)
            vcpu.setup(CODE, stage2.root, Aarch64VCpuSetupConfig(vtcr=stage2.vtcr))
            vcpu.bind(physical)
            if tables:
                arch.write_sysreg(lookup("TTBR0_EL1"), RAM + 0x1000 * number)
                arch.write_sysreg(lookup("SCTLR_EL1"), SCTLR_M)
            if arch.residency is None:
                raise SystemExit("a vCPU is bound and has no place on its physical CPU")
            state = arch.state
            turns.append((arch.residency.take, cpu.core.restorer(state), cpu.core.saver(state)))
        (take1, restore1, save1), (take2, restore2, save2) = turns
        begun = time.process_time()
        for _ in range(count // 2):
            take1()
            restore1()
            save1()
            take2()
            restore2()
            save2()
        return time.process_time() - begun


def time_space_switches(count: int) -> float:
    """The same for vCPUs with tables of their own, whose translations must not be mixed."""
    return time_switches(count, tables=True)


def _compute_blob() -> tuple[bytes, int, int]:
    description = load_machine(None)
    image = load_guest(SAMPLES / "compute" / "compute.elf", ram_base=description.ram.base)
    start_address, entry = image.segments[0].address, image.symbols.lookup("compute")
    if entry is None:
        raise SystemExit("the compute sample has no symbol 'compute'")
    blob = bytearray(max(segment.end for segment in image.segments) - start_address)
    for segment in image.segments:
        at = segment.address - start_address
        blob[at : at + len(segment.data)] = segment.data
    return bytes(blob), start_address, entry


def time_compute_bare() -> float:
    """Time for the compute kernel on an engine without hooks and without stage 2."""
    blob, base, entry = _compute_blob()
    engine = unicorn.Uc(unicorn_const.UC_ARCH_ARM64, unicorn_const.UC_MODE_ARM)
    engine.mem_map(RAM, 0x0400_0000)
    engine.mem_write(base, blob)
    until = RAM + 0x10_0000
    buffer = RAM + 0x100_0000
    for register, value in (
        (arm64_const.UC_ARM64_REG_X0, buffer),
        (arm64_const.UC_ARM64_REG_X1, COMPUTE_WORDS),
        (arm64_const.UC_ARM64_REG_X2, COMPUTE_ROUNDS),
        (arm64_const.UC_ARM64_REG_X30, until),
        (arm64_const.UC_ARM64_REG_SP, RAM + 0x200_0000),
    ):
        engine.reg_write(register, value)
    begun = time.process_time()
    engine.emu_start(entry, until)
    return time.process_time() - begun


def time_compute(*, counted: bool) -> float:
    """Time for the same kernel as a guest: under stage 2, with all hooks.

    ``counted``: with its instructions counted, as every machine of the command line has it.
    """
    blob, base, entry = _compute_blob()
    size = 0x0400_0000
    host = Host()
    with host:
        stage2 = Stage2AddressSpace(host, pa_bits=44)
        ram = host.alloc_guest_memory(size, RAM)
        stage2.map(RAM, ram, size, Stage2Attributes(True, True, True, MemoryType.NORMAL))
        host.memory(ram + base - RAM, len(blob))[:] = blob
        back = RAM + 0x10_0000
        host.memory(ram + back - RAM, 4)[:] = struct.pack("<I", HVC)
        vcpu = _ready(host, stage2, back_to=back, entry=entry)
        if counted:
            host.core(0).count_instructions()
        begun = time.process_time()
        reason = vcpu.run()
        spent = time.process_time() - begun
    if not isinstance(reason, Hypercall):
        raise SystemExit(f"unexpected exit {reason}")
    return spent


def _ready(host: Host, stage2: Stage2AddressSpace, *, back_to: int, entry: int) -> Vcpu:
    arch = Aarch64VCpu(Aarch64VCpuCreateConfig(), host)
    vcpu: Vcpu = AxVCpu(0, 0, arch)
    vcpu.setup(entry, stage2.root, Aarch64VCpuSetupConfig(vtcr=stage2.vtcr))
    cpu = Aarch64PerCpu(0, host)
    cpu.hardware_enable()
    vcpu.bind(AxPerCpu(cpu))
    for register, value in ((0, RAM + 0x100_0000), (1, COMPUTE_WORDS), (2, COMPUTE_ROUNDS), (30, back_to)):
        vcpu.set_gpr(register, value)
    arch.ctx.sp = RAM + 0x200_0000
    return vcpu
