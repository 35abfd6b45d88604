"""An engine for experiments: running a few instructions on it reveals what its interface does not show."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import addressof, c_char
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import EL1H_MASKED
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.engine.handover import hand_over_to_el2
from arm_vcpu_cli.engine.unicorn_api import Engine, SavedContext

CODE_PA: Final = 0x1000_0000
"""The start of the engine's memory, where the code is."""
VTCR_T0SZ25_PS40: Final = 0x8002_3559
HCR_RW: Final = 1 << 31
HCR_VM_RW: Final = 1 << 31 | 1
LDR_X2_X1: Final = 0xF940_0022
_SIZE: Final = 0x1_0000
_TLBI_ALLE1: Final = lookup("TLBI ALLE1")


class ThrowAwayEngine:
    """A throw-away engine with a little code, and the saved states that its exceptions left."""

    def __init__(self, *, has_sve: bool = False) -> None:
        self.engine = Engine("max" if has_sve else "cortex-a72")
        self.memory = mmap.mmap(-1, _SIZE)
        self._anchor = c_char.from_buffer(self.memory)
        self.engine.map_pointer(CODE_PA, _SIZE, addressof(self._anchor))
        hand_over_to_el2(self.engine, has_sve=has_sve, has_pauth=False)
        self.context = SavedContext(self.engine)
        self.save = self.engine.saver(self.context)
        self.restore = self.engine.restorer(self.context)
        self.save()
        self._first = self.context.memory.tobytes()
        self._seen: list[bytes] = []
        self._edit: Callable[[memoryview], None] | None = None
        self.engine.hooks.exceptions(self._on_exception)

    def _on_exception(self, _engine: object, _number: int) -> None:
        self.save()
        self._seen.append(self.context.memory.tobytes())
        if self._edit is None:
            self.engine.stop()
            return
        self._edit(self.context.memory)
        self._edit = None
        self.restore()

    def reset(self) -> None:
        """Reset the engine to its initial state, except hooks and memory."""
        self.context.memory[:] = self._first
        self.engine.restorer(self.context)()
        # This makes the core apply it.
        self.engine.write_sysreg(_TLBI_ALLE1, 0)

    def begin_at_el1(self, **registers: int) -> None:
        """Reset the engine, and let it continue at EL1h with interrupts masked. ``registers`` are further system
        registers by name, or HCR_EL2 if more than RW is to be set in it."""
        self.reset()
        for name, value in ({"HCR_EL2": HCR_RW} | registers).items():
            self.engine.write_sysreg(lookup(name), value)
        self.engine.pstate_writer(lookup("TPIDR_EL2"))(EL1H_MASKED)

    def map_again(self, paddr: int, source: int, size: int) -> None:
        """Map the engine's memory at ``source`` at ``paddr`` too."""
        self.engine.map_pointer(paddr, size, addressof(self._anchor) + source - CODE_PA)

    def saved(self) -> bytes:
        """Return the current state."""
        self.save()
        return self.context.memory.tobytes()

    def run(self, *code: int, edit: Callable[[memoryview], None] | None = None) -> list[bytes]:
        """Run instructions until an exception that ``edit`` does not consume; return the states saved in the hook."""
        self.memory[: 4 * len(code)] = struct.pack(f"<{len(code)}I", *code)
        self.engine.flush_code()
        self._seen, self._edit = [], edit
        self.engine.start(CODE_PA)
        return self._seen

    def close(self) -> None:
        self.engine.close()
        self.context.memory.release()


@contextmanager
def throw_away_engine(*, has_sve: bool = False) -> Iterator[ThrowAwayEngine]:
    """Open an engine for one experiment, or for several with a reset in between."""
    engine = ThrowAwayEngine(has_sve=has_sve)
    try:
        yield engine
    finally:
        engine.close()
