"""Makes the engine execute one instruction, or a block of a given length.

The engine's main loop takes the flags of the next block that it looks up, among them its greatest length, from a word
of its CPU's structure if there is one in it (``cflags_next_tb``; -1 for none). Such blocks are kept apart from all
others. A block of one instruction that is translated with ``singlestep_enabled`` set ends with an internal exception
instead of a jump to the next block, so nothing of what follows the instruction is fetched. The engine leaves its loop
behind that exception only if a stop has been requested; the CPU class has a function that is called in between, and
the one that is put there requests it.

Neither word is in the engine's interface. They are found by their values and by what lies around them.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Final

from arm_vcpu_cli.engine.refusals import state_place
from arm_vcpu_cli.engine.unicorn_api import WORD, Engine, library_function

_DEBUG_HANDLER: Final = "arm_debug_excp_handler_aarch64"
_HANDLER: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_NO_FLAGS: Final = 0xFFFF_FFFF
_APART: Final = 0x8000
"""CF_LAST_IO: has no effect here but to keep these blocks apart from those of one instruction that go on."""
_ENABLED_WITHOUT_INTERRUPTS: Final = 3
_HEAD: Final = 64
"""How far into the structure the flags are looked for."""
_SINGLE_BEHIND_FLAGS: Final = 8
_CLASS_SIZE: Final = 512


class SingleSteps:
    """The two words of one engine."""

    def __init__(self, engine: Engine, state: int, flags: int, handler: int) -> None:
        """``state``: where its registers are, ``flags``: where the flags of the next block, ``handler``: where the
        address of the function of the CPU class."""
        self._flags = ctypes.c_uint32.from_address(flags)
        self._single = ctypes.c_int32.from_address(flags + _SINGLE_BEHIND_FLAGS)
        self._stop = _HANDLER(lambda _cpu: engine.stop())
        ctypes.c_void_p.from_address(handler).value = ctypes.cast(self._stop, ctypes.c_void_p).value
        self.state: Final = state

    def one(self) -> None:
        """Have the next start execute one instruction and stop."""
        self._flags.value, self._single.value = 1 | _APART, _ENABLED_WITHOUT_INTERRUPTS

    def last(self) -> None:
        """Have the next start begin with a block of one instruction that goes on."""
        self.block(1)

    def block(self, instructions: int) -> None:
        """Have the next start begin with a block of at most so many instructions."""
        self._flags.value = instructions

    def end(self) -> None:
        """Go on as usual."""
        self._flags.value, self._single.value = _NO_FLAGS, 0


def single_steps(engine: Engine) -> SingleSteps | None:
    """What makes this engine take single steps; None if it is built in another way."""
    place, handler = state_place(), library_function(_DEBUG_HANDLER)
    if place is None or handler is None:
        return None
    pointer, distance = place
    cpu = ctypes.c_uint64.from_address(engine.structure + pointer).value
    content = ctypes.string_at(cpu, distance)
    head = struct.unpack_from(f"<{_HEAD // 4}I", content)
    found = [at for at, word in enumerate(head) if word == _NO_FLAGS]
    words = struct.unpack_from(f"<{distance // WORD}Q", content)
    # The structure refers to the engine, and next to that to its class.
    classes = [words[at + 1] for at, word in enumerate(words[:-1]) if word == engine.structure]
    if len(found) != 1 or len(classes) != 1:
        return None
    functions = struct.unpack(f"<{_CLASS_SIZE // WORD}Q", ctypes.string_at(classes[0], _CLASS_SIZE))
    handlers = [classes[0] + WORD * at for at, word in enumerate(functions) if word == handler]
    if len(handlers) != 1:
        return None
    return SingleSteps(engine, cpu + distance, cpu + 4 * found[0], handlers[0])
