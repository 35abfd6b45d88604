"""Armvcpu's side: the same cases on the engine, one after the other, with the same kind of results."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from tests.engine.harness import EL1H, MASKED, RAM, RAM_SIZE, Guest, Script
from tests.engine.stage1 import Stage1
from tests.fuzz.qemu.cases import Case, Result

_REGISTERS: Final = ("SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "MAIR_EL1", "VBAR_EL1", "CPACR_EL1")
_ZEROED: Final = ("ESR_EL1", "FAR_EL1", "PAR_EL1", "TPIDR_EL0", "TPIDR_EL1", "TPIDRRO_EL0")
_TOLD: Final = (*("ESR_EL1", "FAR_EL1", "ELR_EL1", "SPSR_EL1", "PAR_EL1"), *_ZEROED[3:5], "SCTLR_EL1")


class FirstOpinion:
    """A guest that executes cases; ``contents`` is what QEMU's side has to have in memory."""

    def __init__(self, model: str, window: tuple[int, bytes]) -> None:
        self.guest = Guest("exceptions", model=model, platform=Script())
        self._window, self._content = window
        self._state, layout = self.guest.vcpu.state, self.guest.vcpu.state.layout
        self._x0, self._v0, self._stride = layout.x0 // 8, layout.v0 // 8, layout.vector_stride // 8
        self.tables = Stage1(self.guest)
        self._first = array("Q", self._state.u64)
        self._written: set[int] = set()

    @property
    def contents(self) -> list[tuple[int, bytes]]:
        """All of memory."""
        return [(RAM, self.guest.read(RAM, RAM_SIZE))]

    def close(self) -> None:
        """End the guest."""
        self.guest.host.close()

    def prepare(self) -> None:
        """Start all cases from how memory and the window are now."""
        guest = self.guest
        paddr = guest.stage2.translate(self._window).output
        assert paddr is not None
        self._bytes = guest.host.memory(paddr, len(self._content))
        self._bytes[:] = self._content

    def execute(self, case: Case) -> Result:
        """One case; what it has changed in the window is undone."""
        guest, core, state = self.guest, self.guest.core, self._state
        for address, data in case.writes:
            guest.write(address, data)
            if address in self._written:
                # Code that was written from outside is not translated again by itself.
                core.flush_code()
                self._written.clear()
            self._written.add(address)
        state.u64[:] = memoryview(self._first)
        core.restorer(state)()
        core.pstate_writer()(MASKED | EL1H)
        registers = case.sysregs
        core.write_sysreg(lookup("FPCR"), registers.get("FPCR", 0))
        core.write_sysreg(lookup("FPSR"), registers.get("FPSR", 0))
        core.saver(state)()
        for name in _REGISTERS:
            guest[name] = registers.get(name, 0)
        for name in _ZEROED:
            guest[name] = 0
        guest["SPSR_EL1"], guest["ELR_EL1"] = registers["SPSR_EL1"], registers["ELR_EL1"]
        ctx = guest.vcpu.ctx
        ctx.sp_el0, ctx.sp, ctx.elr = registers["SP_EL0"], registers["SP_EL1"], registers["PC"]
        state.u64[self._x0 : self._x0 + 31] = memoryview(array("Q", case.x))
        for number in range(32):
            at = self._v0 + number * self._stride
            state.u64[at], state.u64[at + 1] = case.v[2 * number], case.v[2 * number + 1]
        handlers = guest.vcpu._require_handlers()
        handlers.start_again(MASKED | EL1H)
        handlers.new_pstate = None
        guest.run()
        return self._found()

    def _found(self) -> Result:
        guest, words = self.guest, self._state.u64
        told = {name: guest[name] for name in _TOLD}
        ctx = guest.vcpu.ctx
        told["FPCR"], told["FPSR"] = (guest.core.read_sysreg(lookup(name)) for name in ("FPCR", "FPSR"))
        told["SP_EL0"], told["SP_EL1"] = ctx.sp_el0, ctx.sp_el1
        told["ELR_EL2"], told["SPSR_EL2"] = ctx.elr, int(ctx.spsr)
        vectors = tuple(words[self._v0 + number * self._stride + half] for number in range(32) for half in range(2))
        return Result(8, told, ctx.gprs(), vectors, self._changes(), b"")

    def _changes(self) -> tuple[tuple[int, int], ...]:
        now = bytes(self._bytes)
        if now == self._content:
            return ()
        before, after = (array("Q", content) for content in (self._content, now))
        found = [
            (8 * n, ours ^ theirs) for n, (ours, theirs) in enumerate(zip(after, before, strict=True)) if ours != theirs
        ]
        self._bytes[:] = self._content
        units: Sequence[int] = sorted({place & ~15 for place, _ in found})[:8]
        return tuple((place, bits) for place, bits in found if place & ~15 in units)
