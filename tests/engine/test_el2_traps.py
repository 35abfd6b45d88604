"""Traps set for observation: each exits, and the instruction still has its effect."""

from __future__ import annotations

import pytest

from arm_vcpu_cli import (
    Aarch64PerCpu,
    Aarch64VCpu,
    Aarch64VCpuCreateConfig,
    Aarch64VCpuSetupConfig,
    Host,
    Hypercall,
    MemoryType,
    Stage2AddressSpace,
    Stage2Attributes,
)
from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.axvcpu.exit import SysRegRead, SysRegWrite
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.vm.platform import MachinePlatform
from tests.support.observer import Observer

RAM = 0x4000_0000
HVC = 0xD400_0002
VALUE = 0x1234

TRAPS = (
    ("TVM", 0xD518_D021, "CONTEXTIDR_EL1", False),  # msr contextidr_el1, x1
    ("TRVM", 0xD538_1000, "SCTLR_EL1", True),  # mrs x0, sctlr_el1
    ("TTLB", 0xD508_871F, "TLBI VMALLE1", False),  # tlbi vmalle1
    ("TACR", 0xD538_1020, "ACTLR_EL1", True),  # mrs x0, actlr_el1
    ("TSW", 0xD508_7642, "DC ISW", False),  # dc isw, x2
    ("TPC", 0xD50B_7E24, "DC CIVAC", False),  # dc civac, x4
    ("TPU", 0xD508_751F, "IC IALLU", False),  # ic iallu
    ("TID1", 0xD538_00C0, "REVIDR_EL1", True),  # mrs x0, revidr_el1
    ("TID2", 0xD53B_0020, "CTR_EL0", True),  # mrs x0, ctr_el0
)


@pytest.mark.parametrize(("bit", "word", "register", "is_read"), TRAPS, ids=[trap[0] for trap in TRAPS])
def test_a_trapped_instruction_exits_and_is_completed(bit: str, word: int, register: str, is_read: bool) -> None:
    recorder = Observer()
    with Host() as host:
        tables = Stage2AddressSpace(host, pa_bits=44)
        memory = host.alloc_guest_memory(0x20_0000, RAM)
        tables.map(RAM, memory, 0x20_0000, Stage2Attributes(True, True, True, MemoryType.NORMAL))
        host.memory(memory, 8)[:] = word.to_bytes(4, "little") + HVC.to_bytes(4, "little")
        platform = MachinePlatform(Bus(), ())
        vcpu = Aarch64VCpu(Aarch64VCpuCreateConfig(), host, platform)
        platform.connect(vcpu)
        vcpu.add_observer(recorder)
        vcpu.set_entry(RAM)
        vcpu.set_ept_root(tables.root)
        vcpu.setup(Aarch64VCpuSetupConfig(hcr=(bit,)))
        cpu = Aarch64PerCpu(0, host)
        cpu.hardware_enable()
        vcpu.bind(cpu)
        vcpu.set_gpr(0, 0xDEAD)
        vcpu.set_gpr(1, VALUE)
        vcpu.set_gpr(4, RAM + 0x1000)
        vcpu.max_exits = 2
        vcpu.run()
        vcpu.close_record()

        trapped, call = (record.reason for record in recorder.records)
        assert isinstance(call, Hypercall), "the guest went on behind the trapped instruction"
        assert vcpu.ctx.elr == RAM + 8
        if is_read:
            assert isinstance(trapped, SysRegRead)
            assert recorder.records[0].value == vcpu.read_sysreg(SysReg.from_iss(trapped.addr))
            assert call.nr == recorder.records[0].value
        else:
            assert isinstance(trapped, SysRegWrite)
        assert SysReg.from_iss(trapped.addr).name == register
        if bit == "TVM":
            assert vcpu.guest_system_regs["CONTEXTIDR_EL1"] == VALUE
