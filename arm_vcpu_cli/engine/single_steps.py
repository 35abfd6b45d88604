"""Makes the engine execute one instruction, or a block of a given length.

The engine's main loop takes the flags of the next block that it looks up, including its maximum length, from a word of
its CPU's structure if that is set (``cflags_next_tb``; -1 for none). Such blocks are kept separate from all others. A
block of one instruction translated with ``singlestep_enabled`` set ends with an internal exception instead of a jump to
the next block, so nothing after the instruction is fetched. The engine leaves its loop after that exception only if a
stop has been requested; a function of the CPU class is called in between, and its replacement requests the stop, unless
the exception is one of the guest's own breakpoints.

Neither word is in the engine's interface. They are found by their values and their surroundings.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Final

from arm_vcpu_cli.engine.interposition import executable, with_words
from arm_vcpu_cli.engine.os_lock import breakpoint_hit, heed_os_lock
from arm_vcpu_cli.engine.refusals import state_place
from arm_vcpu_cli.engine.unicorn_api import WORD, Engine, library_function

_DEBUG_HANDLER: Final = "arm_debug_excp_handler_aarch64"
_HANDLER: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_DEBUG_STUB: Final = bytes.fromhex(
    "488b0531000000"  # mov rax, [rip + hit]
    "488b1532000000"  # mov rdx, [rip + state]
    "483910"  # cmp [rax], rdx
    "750a"  # jne step
    "48832000"  # and qword [rax], 0
    "ff250b000000"  # jmp [rip + original]
    "ff250d000000"  # step: jmp [rip + stop]
)
"""(CPU), x86-64, System V. It is followed by the engine's own function, the one that requests a stop, the address of
:func:`~arm_vcpu_cli.engine.os_lock.breakpoint_hit`, and the engine's state."""
_NO_FLAGS: Final = 0xFFFF_FFFF
_APART: Final = 0x8000
"""CF_LAST_IO, which here only keeps these blocks separate from blocks of one instruction that continue."""
_ENABLED_WITHOUT_INTERRUPTS: Final = 3
_HEAD: Final = 64
"""The size of the part of the structure that is searched for the flags."""
_SINGLE_BEHIND_FLAGS: Final = 8
_CLASS_SIZE: Final = 512


class SingleSteps:
    """The two words of one engine."""

    def __init__(self, engine: Engine, state: int, flags: int, handler: int) -> None:
        """``state`` is the address of its registers, ``flags`` of the flags of the next block, ``handler`` of the
        pointer to the function of the CPU class."""
        self._flags = ctypes.c_uint32.from_address(flags)
        self._single = ctypes.c_int32.from_address(flags + _SINGLE_BEHIND_FLAGS)
        self._stop = _HANDLER(lambda _cpu: engine.stop())
        function = ctypes.c_uint64.from_address(handler)
        stop, original = ctypes.cast(self._stop, ctypes.c_void_p).value or 0, library_function(_DEBUG_HANDLER)
        if heed_os_lock() and original is not None:
            hit = breakpoint_hit()
            hit.value = 0
            (stop,) = executable([with_words(_DEBUG_STUB, original, stop, ctypes.addressof(hit), state)])
        function.value = stop
        self.state: Final = state

    def one(self) -> None:
        """Make the next start execute one instruction and stop."""
        self._flags.value, self._single.value = 1 | _APART, _ENABLED_WITHOUT_INTERRUPTS

    def last(self) -> None:
        """Make the next start begin with a block of one instruction, and continue."""
        self.block(1)

    def block(self, instructions: int) -> None:
        """Make the next start begin with a block of at most ``instructions`` instructions."""
        self._flags.value = instructions

    def end(self) -> None:
        """Return to normal execution."""
        self._flags.value, self._single.value = _NO_FLAGS, 0


def single_steps(engine: Engine) -> SingleSteps | None:
    """Return what makes this engine take single steps; None if the engine is built differently."""
    place, handler = state_place(), library_function(_DEBUG_HANDLER)
    if place is None or handler is None:
        return None
    pointer, distance = place
    cpu = ctypes.c_uint64.from_address(engine.structure + pointer).value
    content = ctypes.string_at(cpu, distance)
    head = struct.unpack_from(f"<{_HEAD // 4}I", content)
    found = [at for at, word in enumerate(head) if word == _NO_FLAGS]
    words = struct.unpack_from(f"<{distance // WORD}Q", content)
    # The structure refers to the engine and, next to that, to its class.
    classes = [words[at + 1] for at, word in enumerate(words[:-1]) if word == engine.structure]
    if len(found) != 1 or len(classes) != 1:
        return None
    functions = struct.unpack(f"<{_CLASS_SIZE // WORD}Q", ctypes.string_at(classes[0], _CLASS_SIZE))
    handlers = [classes[0] + WORD * at for at, word in enumerate(functions) if word == handler]
    if len(handlers) != 1:
        return None
    return SingleSteps(engine, cpu + distance, cpu + 4 * found[0], handlers[0])
