"""The hooks of one engine: its callbacks for exceptions, blocks, system registers and watched code."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final

from arm_vcpu_cli.engine.stubs import (
    MOVE_CALLBACK,
    NATIVE_MOVE_CALLBACK,
    BlockWords,
    MoveDescription,
    MoveWords,
    ReadWords,
    Stubs,
    packed_encoding,
)
from arm_vcpu_cli.engine.unicorn_api.binding import InterruptCallback, arm64_const, check, unicorn_const
from arm_vcpu_cli.engine.unicorn_api.library import bare_library

# Omit the third argument, the user data: a callee may take fewer arguments than it receives, and this one is called
# often.
_INTERRUPT_CFUNC: Final = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32)
_CODE_CFUNC: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)
_MEMORY_CFUNC: Final = ctypes.CFUNCTYPE(
    ctypes.c_bool,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_uint64,
    ctypes.c_int,
    ctypes.c_int64,
    ctypes.c_void_p,
)

NativeHook = tuple[int, Any]
"""The address of a function and of the structure that it works on."""

_EVERYWHERE: Final = (1, 0)
"""The bounds of a hook for all addresses."""
_UPPER_HALF: Final = (0xFFFF_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF)


class EngineHooks:
    """Installs hooks. ``flush_code`` drops the code translated without them."""

    def __init__(self, handle: object, flush_code: Callable[[], None]) -> None:
        self._handle = handle
        self._held = bare_library()
        self._flush_code = flush_code
        self._kept: list[object] = []
        """Objects that the engine has pointers to, kept alive."""
        self._exceptions: Callable[[], None] | None = None

    def exceptions(self, callback: InterruptCallback | None, native: NativeHook | None = None) -> None:
        """Call ``callback(engine, number)`` for each exception, replacing any other hook; it must not raise. With
        ``native``, call its function with its words instead, whose ``ask`` becomes the callback."""
        if self._exceptions is not None:
            self._exceptions()
            self._exceptions = None
        if callback is not None:
            function = _INTERRUPT_CFUNC(callback)
            if native is None:
                self._exceptions = self._add(unicorn_const.UC_HOOK_INTR, function)
                return
            address, words = native
            words.ask = ctypes.cast(function, ctypes.c_void_p)
            self._kept += [function, words]
            self._exceptions = self._add(unicorn_const.UC_HOOK_INTR, ctypes.c_void_p(address), ctypes.byref(words))

    def blocks(self, stubs: Stubs, words: BlockWords, *, inline: bool) -> None:
        """Call a block stub at the start of each block; with ``inline``, only when the budget is used up.

        Existing code is translated again.
        """
        stub = stubs.used_up if inline else stubs.block_unasked
        function = ctypes.c_void_p(stubs.block if stub is None else stub)
        self._add(unicorn_const.UC_HOOK_BLOCK, function, ctypes.byref(words))
        self._kept += [stubs, words]
        self._flush_code()

    def moves(
        self,
        stubs: Stubs,
        crns: Collection[int],
        on_read: Callable[[int], int | None],
        on_write: Callable[[int, int], bool],
        read_words: ReadWords,
    ) -> None:
        """Call ``on_read(encoding)`` and ``on_write(encoding, value)`` for MRS and MSR with one of these CRn.

        ``read_words`` defines which reads the read stub answers by itself.
        """
        value = ctypes.c_uint64()
        pointer, handle = ctypes.byref(value), self._handle
        get, put = self._held.uc_reg_read, self._held.uc_reg_write

        def read(_engine: int, register: int, encoding: int, _data: int) -> int:
            result = on_read(encoding)
            if result is None:
                return 0
            value.value = result
            put(handle, register, pointer)
            return 1

        def write(_engine: int, register: int, encoding: int, _data: int) -> int:
            get(handle, register, pointer)
            return int(on_write(encoding, value.value))

        wanted = sum(1 << crn for crn in crns)
        for instruction, function, words, stub in (
            (arm64_const.UC_ARM64_INS_MRS, read, read_words, stubs.read or stubs.move),
            (arm64_const.UC_ARM64_INS_MSR, write, MoveWords(), stubs.move),
        ):
            native, callback = _move_callback(function, stubs, wanted)
            words.function, words.wanted = ctypes.cast(callback, ctypes.c_void_p), wanted
            entry = ctypes.c_void_p(stub if native and stub else words.function)
            self._add(unicorn_const.UC_HOOK_INSN, entry, ctypes.byref(words), _EVERYWHERE, ctypes.c_int(instruction))
            self._kept += [stubs, callback, words]
        self._flush_code()

    def code(self, first: int, last: int, callback: Callable[[int], None]) -> Callable[[], None]:
        """Call ``callback(vaddr)`` before each instruction from ``first`` to ``last``; return a function that ends
        this."""
        function = _CODE_CFUNC(lambda _engine, vaddr, _size, _data: callback(vaddr))
        remove = self._add(unicorn_const.UC_HOOK_CODE, function, bounds=(first, last))
        self._flush_code()
        return remove

    def loads(self, callback: Callable[[], None]) -> None:
        """Call a function in the middle of each load."""

        def on_load(*_: object) -> bool:
            callback()
            return True

        self._add(unicorn_const.UC_HOOK_MEM_READ, _MEMORY_CFUNC(on_load))

    def leave_out_code_scans(self) -> Callable[[], None]:
        """Translate code in the upper half of the address space without scanning the TLB.

        The scan looks for entries that let stores to code pass unnoticed, because code was written through them at the
        address where it executes. If only EL1 executes there, none exist: an entry that permits execution permits no
        store, and the fetch replaces one that does not. The engine skips the scan for addresses inside the bounds of a
        memory hook, here one for an event that cannot happen; no physical address is inside those bounds, where a hook
        would slow accesses down. The returned function restores the scan.
        """
        return self._add(unicorn_const.UC_HOOK_MEM_FETCH_PROT, _MEMORY_CFUNC(lambda *_: False), bounds=_UPPER_HALF)

    def _add(
        self,
        kind: int,
        function: object,
        data: object = None,
        bounds: tuple[int, int] = _EVERYWHERE,
        *more: object,
    ) -> Callable[[], None]:
        """Install a hook; return a function that removes it."""
        hook = ctypes.c_size_t()
        first, last = (ctypes.c_uint64(bound) for bound in bounds)
        status = self._held.uc_hook_add(
            self._handle, ctypes.byref(hook), ctypes.c_int(kind), function, data, first, last, *more
        )
        check(status, "a hook cannot be installed")
        # Permanently: the engine may be iterating over its hooks when one is removed.
        self._kept += [hook, function]
        return partial(self._remove, hook)

    def _remove(self, hook: ctypes.c_size_t) -> None:
        check(self._held.uc_hook_del(self._handle, hook), "a hook cannot be removed")


def _move_callback(function: Callable[[int, int, int, int], int], stubs: Stubs, wanted: int) -> tuple[bool, Any]:
    """Return the function in the form that the engine or the native stub calls, and whether it is the stub."""
    if stubs.move is not None:
        return True, NATIVE_MOVE_CALLBACK(function)

    def filtered(engine: int, register: int, description: int, data: int) -> int:
        if not wanted >> MoveDescription.from_address(description).crn & 1:
            return 0
        return function(engine, register, packed_encoding(description), data)

    return False, MOVE_CALLBACK(filtered)
