"""Small guests on the real engine: load one, set its state, run it, inspect the result.

A guest is an ELF file of ``tests/guests`` whose labels are the pieces of code under test. :meth:`Guest.start` sets
SPSR_EL1 and ELR_EL1 and runs the ERET at the label ``launch``, so the guest enters the Exception level under test like
a real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from arm_vcpu_cli.arch.identification.idregs import Aa64Mmfr0, pa_range_bits
from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.arch.translation.descriptor import Stage2Attributes
from arm_vcpu_cli.arch.translation.memtype import MemoryType
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.observer import ExitObserver
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.platform import Outcome, Platform
from arm_vcpu_cli.arm_vcpu.stage2 import Stage2AddressSpace
from arm_vcpu_cli.arm_vcpu.vcpu import Aarch64VCpu
from arm_vcpu_cli.axvcpu.exit import AccessFlags, AxVCpuExitReason, Hypercall, SystemDown
from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.engine.levers import Levers
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.host.machine_host import Host
from arm_vcpu_cli.host.watchdog import Watchdog

GUESTS: Final = Path(__file__).resolve().parent.parent / "guests"
RAM: Final = 0x4000_0000
RAM_SIZE: Final = 0x40_0000
DATA: Final = RAM + 0x10_0000
"""Free memory for what a test reads and writes."""
STACK: Final = RAM + 0x20_0000
DEVICE: Final = 0x0900_0000
"""An IPA that stage 2 does not map."""
EL1H: Final = 0b0101
EL1T: Final = 0b0100
EL0T: Final = 0b0000
MASKED: Final = 0x3C0
"""PSTATE.DAIF, all set."""
GUARD_SECONDS: Final = 60.0
"""No test waits for this; it only ends a guest that would otherwise run for ever."""
CURRENT_SP0, CURRENT_SPX, LOWER_64 = 0, 4, 8
"""Vector slots of synchronous exceptions."""


def permissions(text: str) -> Stage2Attributes:
    """Attributes of normal memory from letters such as ``rx``."""
    return Stage2Attributes("r" in text, "w" in text, "x" in text, MemoryType.NORMAL)


class Guest:
    """One vCPU with a guest program in 4 MiB of memory at 0x4000_0000; nothing else is mapped."""

    def __init__(
        self,
        program: str,
        *,
        model: str = "cortex-a72",
        platform: Platform | None = None,
        observer: ExitObserver | None = None,
        layout: StateLayout | None = None,
        hcr: tuple[str, ...] = (),
        levers: Levers | None = None,
        cpus: int = 1,
    ) -> None:
        self.image: GuestImage = load_guest(GUESTS / f"{program}.elf", ram_base=RAM)
        self.host = Host(model, cpus=cpus, layout=layout, levers=levers)
        self.core = self.host.core(0)
        mmfr0 = Aa64Mmfr0(self.core.read_sysreg(lookup("ID_AA64MMFR0_EL1")))
        self.stage2 = Stage2AddressSpace(self.host, pa_bits=pa_range_bits(mmfr0))
        self.map(RAM, RAM_SIZE)
        for segment in self.image.segments:
            self.write(segment.address, segment.data)
        self.cpu = Aarch64PerCpu(0, self.host)
        self.cpu.hardware_enable()
        self.vcpu = Aarch64VCpu(Aarch64VCpuCreateConfig(), self.host, platform)
        if observer is not None:
            self.vcpu.add_observer(observer)
        self.vcpu.set_entry(self.label("launch"))
        self.vcpu.set_ept_root(self.stage2.vttbr)
        self.vcpu.setup(Aarch64VCpuSetupConfig(vtcr=self.stage2.vtcr, hcr=hcr, on_demand=self.stage2))
        self.vcpu.bind(self.cpu)
        self["VBAR_EL1"] = self.label("vectors")
        self["CPACR_EL1"] = 3 << 20
        # It is set at reset, and blocks breakpoints and software step.
        self["OSLAR_EL1"] = 0

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.host.close()

    def label(self, name: str) -> int:
        """The address of a label of the program."""
        address = self.image.symbols.lookup(name)
        assert address is not None, f"the guest has no label {name}"
        return address

    # Memory ----------------------------------------------------------------------------------------------------

    def map(self, ipa: int, size: int, letters: str = "rwx") -> int:
        """Back IPAs with memory; the host-physical address."""
        paddr = self.host.alloc_guest_memory(size, ipa)
        on_demand = self.core.prefers_execute_on_demand
        self.stage2.map(ipa, paddr, size, permissions(letters), execute_on_demand=on_demand)
        self.core.flush_tlb()
        return paddr

    def protect(self, ipa: int, size: int, letters: str) -> None:
        """Change the permissions of mapped IPAs."""
        self.stage2.protect(ipa, size, permissions(letters))
        self.core.flush_tlb()

    def unmap(self, ipa: int, size: int) -> None:
        """Take IPAs away."""
        self.stage2.unmap(ipa, size)
        self.core.flush_tlb()

    def _bytes(self, ipa: int, size: int) -> memoryview:
        paddr = self.stage2.translate(ipa).output
        assert paddr is not None, f"IPA {ipa:#x} is not mapped"
        return self.host.memory(paddr, size)

    def write(self, ipa: int, data: bytes) -> None:
        """Write guest memory from outside."""
        self._bytes(ipa, len(data))[:] = data

    def write_u64(self, ipa: int, *values: int) -> None:
        """Write 64-bit words."""
        for n, value in enumerate(values):
            self.write(ipa + 8 * n, value.to_bytes(8, "little"))

    def write_code(self, ipa: int, *words: int) -> None:
        """Write instructions, before the guest has executed any there."""
        self.write(ipa, b"".join(word.to_bytes(4, "little") for word in words))

    def read(self, ipa: int, size: int) -> bytes:
        """Read guest memory."""
        return bytes(self._bytes(ipa, size))

    # Registers -------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> int:
        """A system register by name."""
        return self.vcpu.read_sysreg(lookup(name))

    def __setitem__(self, name: str, value: int) -> None:
        self.vcpu.write_sysreg(lookup(name), value)

    def x(self, number: int) -> int:
        """A general-purpose register."""
        return self.vcpu.ctx.gpr(number)

    @property
    def pc(self) -> int:
        """Where the guest is."""
        return self.vcpu.ctx.elr

    @property
    def pstate(self) -> Spsr:
        """PSTATE in the form of an SPSR."""
        return self.vcpu.ctx.spsr

    def _vector_word(self, number: int) -> int:
        layout = self.vcpu.state.layout
        return (layout.v0 + number * layout.vector_stride) // 8

    def v(self, number: int) -> int:
        """A SIMD register, 128 bits."""
        words, at = self.vcpu.state.u64, self._vector_word(number)
        return words[at] | words[at + 1] << 64

    def set_v(self, number: int, value: int) -> None:
        """Set a SIMD register."""
        words, at = self.vcpu.state.u64, self._vector_word(number)
        words[at], words[at + 1] = value & (1 << 64) - 1, value >> 64

    @property
    def esr(self) -> int:
        """ESR_EL1."""
        return self["ESR_EL1"]

    @property
    def ec(self) -> int:
        """ESR_EL1.EC."""
        return self["ESR_EL1"] >> 26

    @property
    def iss(self) -> int:
        """ESR_EL1.ISS."""
        return self["ESR_EL1"] & 0x1FF_FFFF

    @property
    def slot(self) -> int | None:
        """Which vector the guest has stopped in, None if it is not behind a vector's hypercall."""
        offset = self.pc - 4 - self.label("vectors")
        return offset // 0x80 if 0 <= offset < 0x800 and offset % 0x80 == 0 else None

    # Running ---------------------------------------------------------------------------------------------------

    def prepare(
        self,
        place: str | int,
        *,
        mode: int = EL1H,
        pstate: int = MASKED,
        x: Mapping[int, int] | None = None,
        sp_el0: int = STACK - 0x1_0000,
        sp_el1: int = STACK,
        via: str = "launch",
    ) -> None:
        """Have the next run enter ``place`` in ``mode`` with the other bits of ``pstate``, by the ERET at ``via``."""
        self.core.restorer(self.vcpu.state)()
        self.core.pstate_writer()(MASKED | EL1H)
        self.core.saver(self.vcpu.state)()
        self["SPSR_EL1"] = pstate | mode
        self["ELR_EL1"] = self.label(place) if isinstance(place, str) else place
        ctx = self.vcpu.ctx
        ctx.sp_el0, ctx.sp, ctx.elr = sp_el0, sp_el1, self.label(via)
        for number in range(31):
            ctx.set_gpr(number, 0)
        for number, value in (x or {}).items():
            ctx.set_gpr(number, value)

    def start(
        self,
        place: str | int,
        *,
        mode: int = EL1H,
        pstate: int = MASKED,
        x: Mapping[int, int] | None = None,
        sp_el0: int = STACK - 0x1_0000,
        sp_el1: int = STACK,
        via: str = "launch",
    ) -> AxVCpuExitReason:
        """:meth:`prepare` and :meth:`run`."""
        self.prepare(place, mode=mode, pstate=pstate, x=x, sp_el0=sp_el0, sp_el1=sp_el1, via=via)
        return self.run()

    def run(self) -> AxVCpuExitReason:
        """Run to the next exit that nobody completes."""
        with Watchdog(self.core.stop, GUARD_SECONDS) as guard:
            reason = self.vcpu.run()
        assert guard.cause is None or reason is None, "the guest did not come to an end"
        return reason

    def finished(self, place: str | int) -> bool:
        """Whether the one instruction at a label was completed and the guest went on behind it, once."""
        start = self.label(place) if isinstance(place, str) else place
        if self.slot is None:
            return self.pc == start + 8
        # EL0 may not make the hypercall: it is undefined there.
        return self.slot == LOWER_64 and self.ec == 0 and self["ELR_EL1"] == start + 4


class Script:
    """A platform over a device of bytes that keeps a log; ``refuse`` are IPAs that nothing answers at."""

    def __init__(self, content: bytes = b"", *, base: int = DEVICE) -> None:
        self.base = base
        self.content = bytearray(content.ljust(0x2000, b"\0"))
        self.refuse: set[int] = set()
        self.log: list[tuple[str, int, int, int]] = []
        self.faults: list[tuple[int, AccessFlags]] = []
        self.on_fault = Outcome.ABORT

    def mmio_read(self, ipa: int, width: int) -> int | Outcome:
        """Read the bytes."""
        if ipa in self.refuse or not 0 <= ipa - self.base < len(self.content):
            return Outcome.ABORT
        at = ipa - self.base
        value = int.from_bytes(self.content[at : at + width], "little")
        self.log.append(("read", at, width, value))
        return value

    def mmio_write(self, ipa: int, width: int, value: int) -> Outcome:
        """Write the bytes."""
        if ipa in self.refuse or not 0 <= ipa - self.base < len(self.content):
            return Outcome.ABORT
        at = ipa - self.base
        self.content[at : at + width] = value.to_bytes(width, "little")
        self.log.append(("write", at, width, value))
        return Outcome.DONE

    def sysreg_read(self, reg: SysReg) -> int | Outcome:
        """Not known."""
        return Outcome.UNDEFINED

    def sysreg_write(self, reg: SysReg, value: int) -> Outcome:
        """Not known."""
        return Outcome.UNDEFINED

    def page_fault(self, ipa: int, access: AccessFlags) -> Outcome:
        """What the test wants."""
        self.faults.append((ipa, access))
        return self.on_fault

    def hypercall(self, number: int, args: tuple[int, ...]) -> int | Outcome:
        """The tests' own end of a guest."""
        return Outcome.EXIT

    def semihosting(self, operation: int, parameter: int) -> int | SystemDown | Outcome:
        """None here."""
        return Outcome.UNDEFINED


def is_call(reason: AxVCpuExitReason) -> bool:
    """Whether the guest has stopped at one of its hypercalls, which is how all programs stop."""
    return isinstance(reason, Hypercall)
