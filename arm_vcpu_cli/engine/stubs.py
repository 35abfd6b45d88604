"""A few machine instructions of the host that the engine calls where Python would be too slow.

The block stub runs at the start of every block of guest code: it counts instructions and stops the engine once a
budget is used up, or when another thread has asked for it. There, between two instructions, is the only place where
a guest can be stopped and go on. The move stub runs for every MRS or MSR and lets only those through to Python whose
CRn is wanted, with their encoding packed into one word.

There are two block stubs. ``block`` looks for a request each time. ``block_unasked`` is for engines that take a stop
from another thread between two blocks by themselves: it looks only at the first block of a run, because what is asked
of the engine before that is lost.

Where the host has another architecture, or refuses executable memory, functions in Python do the same.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
from collections.abc import Callable
from types import MappingProxyType
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.sysreg import SysReg

INSTRUCTION_SIZE_LOG2: Final = 2
BLOCK_CALLBACK: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)
"""(engine, address, size in bytes, user data)"""
MOVE_CALLBACK: Final = ctypes.CFUNCTYPE(
    ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p
)
"""(engine, register, the engine's description, user data) -> nonzero if the instruction is done with."""
NATIVE_MOVE_CALLBACK: Final = ctypes.CFUNCTYPE(
    ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p
)
"""The same behind the native stub: the packed encoding takes the place of the description."""
STOP_FUNCTION: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


ENTERING: Final = -1 << 63
"""Added to the budget of ``block_unasked`` at the beginning of a run: the first block finds it used up, looks for a
request and takes this away again."""


class BlockWords(ctypes.Structure):
    """What the block stub works on. ``budget``: instructions left; a block that would exceed it is not begun.
    ``stop``: the function that it then calls. ``request``: nonzero asks for a stop at the next block."""

    _fields_ = (("budget", ctypes.c_int64), ("stop", ctypes.c_void_p), ("request", ctypes.c_int64))


class MoveWords(ctypes.Structure):
    """What a move stub works on: the function for what is let through, and the wanted CRn as a bit set."""

    _fields_ = (("function", ctypes.c_void_p), ("wanted", ctypes.c_uint32))


class MoveDescription(ctypes.Structure):
    """The engine's description of a system register in a hook (the head of ``uc_arm64_cp_reg``)."""

    _fields_ = tuple((name, ctypes.c_uint32) for name in ("crn", "crm", "op0", "op1", "op2"))


class _Code(NamedTuple):
    block: bytes
    block_unasked: bytes
    move: bytes


_X86_64: Final = _Code(
    block=bytes.fromhex(
        "89d0"  # mov eax, edx
        "c1e802"  # shr eax, 2
        "4c8b01"  # mov r8, [rcx]
        "4929c0"  # sub r8, rax
        "780a"  # js stop
        "83791000"  # cmp dword [rcx + 16], 0
        "7504"  # jne stop
        "4c8901"  # mov [rcx], r8
        "c3"  # ret
        "ff6108"  # stop: jmp [rcx + 8]
    ),
    block_unasked=bytes.fromhex(
        "c1ea02"  # shr edx, 2
        "482911"  # again: sub [rcx], rdx
        "7c01"  # jl slow
        "c3"  # ret
        "480111"  # slow: add [rcx], rdx
        "480fba313f"  # btr qword [rcx], 63     was this the first block?
        "7306"  # jnc stop
        "83791000"  # cmp dword [rcx + 16], 0
        "74ea"  # je again
        "ff6108"  # stop: jmp [rcx + 8]
    ),
    move=bytes.fromhex(
        "8b02"  # mov eax, [rdx]          crn
        "448b4108"  # mov r8d, [rcx + 8]
        "410fa3c0"  # bt r8d, eax
        "7203"  # jc wanted
        "31c0"  # xor eax, eax
        "c3"  # ret
        "448b4208"  # wanted: mov r8d, [rdx + 8]    op0
        "41c1e003"  # shl r8d, 3
        "440b420c"  # or r8d, [rdx + 12]  op1
        "41c1e004"  # shl r8d, 4
        "4409c0"  # or eax, r8d
        "c1e004"  # shl eax, 4
        "0b4204"  # or eax, [rdx + 4]     crm
        "c1e003"  # shl eax, 3
        "0b4210"  # or eax, [rdx + 16]    op2
        "89c2"  # mov edx, eax
        "ff21"  # jmp [rcx]
    ),
)
_AARCH64: Final = _Code(
    block=b"".join(
        word.to_bytes(4, "little")
        for word in (
            0xF9400064,  # ldr x4, [x3]
            0x53027C45,  # lsr w5, w2, #2
            0xEB050084,  # subs x4, x4, x5
            0x540000A4,  # b.mi stop
            0xB9401066,  # ldr w6, [x3, #16]
            0x35000066,  # cbnz w6, stop
            0xF9000064,  # str x4, [x3]
            0xD65F03C0,  # ret
            0xF9400465,  # stop: ldr x5, [x3, #8]
            0xD61F00A0,  # br x5
        )
    ),
    block_unasked=b"".join(
        word.to_bytes(4, "little")
        for word in (
            0x53027C45,  # lsr w5, w2, #2
            0xF9400064,  # again: ldr x4, [x3]
            0xEB050086,  # subs x6, x4, x5
            0x5400006B,  # b.lt slow
            0xF9000066,  # str x6, [x3]
            0xD65F03C0,  # ret
            0xB6F800C4,  # slow: tbz x4, #63, stop     was this the first block?
            0x9240F884,  # and x4, x4, #0x7fffffffffffffff
            0xF9000064,  # str x4, [x3]
            0xB9401066,  # ldr w6, [x3, #16]
            0x35000046,  # cbnz w6, stop
            0x17FFFFF6,  # b again
            0xF9400465,  # stop: ldr x5, [x3, #8]
            0xD61F00A0,  # br x5
        )
    ),
    move=b"".join(
        word.to_bytes(4, "little")
        for word in (
            0xB9400044,  # ldr w4, [x2]           crn
            0xB9400865,  # ldr w5, [x3, #8]
            0x1AC424A5,  # lsr w5, w5, w4
            0x37000065,  # tbnz w5, #0, wanted
            0x52800000,  # mov w0, #0
            0xD65F03C0,  # ret
            0xB9400845,  # wanted: ldr w5, [x2, #8]      op0
            0xB9400C46,  # ldr w6, [x2, #12]      op1
            0x2A050CC5,  # orr w5, w6, w5, lsl #3
            0x2A051084,  # orr w4, w4, w5, lsl #4
            0xB9400446,  # ldr w6, [x2, #4]       crm
            0x2A0410C4,  # orr w4, w6, w4, lsl #4
            0xB9401046,  # ldr w6, [x2, #16]      op2
            0x2A040CC2,  # orr w2, w6, w4, lsl #3
            0xF9400065,  # ldr x5, [x3]
            0xD61F00A0,  # br x5
        )
    ),
)
CODE: Final = MappingProxyType({"x86_64": _X86_64, "amd64": _X86_64, "aarch64": _AARCH64, "arm64": _AARCH64})
"""The stubs by the name of the host's architecture. All of these hosts pass the first four arguments in registers."""
_UNASKED_AT: Final = 128
_MOVE_AT: Final = 256


class Stubs:
    """The functions, by their addresses; ``native`` says whether they are machine code.

    Only machine code has a ``block_unasked``. A native move stub gives Python the packed encoding; without one Python
    is called for every MRS or MSR and gets the engine's description.
    """

    def __init__(self, block: int, block_unasked: int | None, move: int | None, keep: object) -> None:
        self.block = block
        self.block_unasked = block_unasked
        self.move = move
        self.native = move is not None
        self._keep = keep


def packed_encoding(description: int) -> int:
    """The packed encoding that the engine's description at an address stands for."""
    move = MoveDescription.from_address(description)
    return SysReg(move.op0, move.op1, move.crn, move.crm, move.op2).packed


def load_stubs(*, native: bool = True) -> Stubs:
    """The stubs for this host: machine code where that is known and allowed, unless ``native`` is false."""
    code = CODE.get(platform.machine().lower())
    if native and code is not None and platform.system() != "Windows":
        stubs = _load_native(code)
        if stubs is not None and _works(stubs):
            return stubs
    return _python_stubs()


def _load_native(code: _Code) -> Stubs | None:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except (OSError, ValueError):
        return None
    page[: len(code.block)] = code.block
    page[_UNASKED_AT : _UNASKED_AT + len(code.block_unasked)] = code.block_unasked
    page[_MOVE_AT : _MOVE_AT + len(code.move)] = code.move
    anchor = ctypes.c_char.from_buffer(page)
    start = ctypes.addressof(anchor)
    if not _synchronise_instructions(start, mmap.PAGESIZE):
        return None
    return Stubs(start, start + _UNASKED_AT, start + _MOVE_AT, (page, anchor))


def _synchronise_instructions(start: int, size: int) -> bool:
    """Make code that was written as data visible to the instruction fetch; x86 does so by itself."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        return True
    try:
        clear = ctypes.CDLL("libgcc_s.so.1")["__clear_cache"]
    except (OSError, AttributeError):
        return False
    clear(ctypes.c_void_p(start), ctypes.c_void_p(start + size))
    return True


def _python_stubs() -> Stubs:
    def on_block(engine: int, _address: int, size: int, words_at: int) -> None:
        words = BlockWords.from_address(words_at)
        left = words.budget - (size >> INSTRUCTION_SIZE_LOG2)
        if left < 0 or words.request:
            STOP_FUNCTION(words.stop)(engine)
        else:
            words.budget = left

    callback = BLOCK_CALLBACK(on_block)
    return Stubs(ctypes.cast(callback, ctypes.c_void_p).value or 0, None, None, callback)


def _works(stubs: Stubs) -> bool:
    """Run the stubs on made-up arguments: they must do what the functions in Python do."""
    stopped: list[int] = []
    moved: list[tuple[int, int]] = []

    def on_stop(engine: int) -> None:
        stopped.append(engine)

    def on_move(_engine: int, register: int, encoding: int, _data: int) -> int:
        moved.append((register, encoding))
        return 1

    stop, moving = STOP_FUNCTION(on_stop), NATIVE_MOVE_CALLBACK(on_move)
    words = BlockWords(5, ctypes.cast(stop, ctypes.c_void_p), 0)
    block, unasked = BLOCK_CALLBACK(stubs.block), BLOCK_CALLBACK(stubs.block_unasked or 0)

    def run_block(function: Callable[[int, int, int, int], object], size: int, request: int) -> int:
        words.request = request
        function(1, 0, size, ctypes.addressof(words))
        return int(words.budget)

    results = [run_block(block, size, request) for size, request in ((12, 0), (12, 0), (8, 1), (8, 0))]
    if results != [2, 2, 2, 0] or stopped != [1, 1]:
        return False
    results = []
    for budget, size, request in ((ENTERING + 5, 12, 0), (2, 12, 0), (2, 8, 1), (ENTERING + 2, 8, 1), (ENTERING, 4, 0)):
        words.budget = budget
        results.append(run_block(unasked, size, request))
    if results != [2, 2, 0, 2, 0] or stopped != [1] * 5:
        return False
    move = MOVE_CALLBACK(stubs.move or 0)
    wanted = MoveWords(ctypes.cast(moving, ctypes.c_void_p), 1 << 14 | 1 << 2)

    def run_move(*fields: int) -> int:
        description = MoveDescription(*fields)
        return int(move(1, 7, ctypes.addressof(description), ctypes.addressof(wanted)))

    moves = (run_move(14, 3, 3, 3, 1), run_move(13, 3, 3, 3, 1), run_move(2, 4, 3, 3, 0))
    expected = [(7, SysReg(3, 3, 14, 3, 1).packed), (7, SysReg(3, 3, 2, 4, 0).packed)]
    return moves == (1, 0, 1) and moved == expected
