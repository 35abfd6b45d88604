"""Short machine code that the engine calls where Python would be too slow.

The block stub runs at the start of every block of guest code: it counts instructions and stops the engine once a budget
is used up, or when another thread requests it. Only there, between two instructions, can a guest be stopped and
resumed. The move stub runs for every MRS or MSR, and calls Python only for those with a wanted CRn, with their encoding
packed into one word. The read stub does the same for MRS, and answers reads of the counters from the words in which it
and the block stub count.

There are two block stubs. ``block`` checks for a request each time. ``block_unasked`` checks only when its budget seems
to be used up, and ``ask`` makes it seem so from another thread. A request may be lost, because the stub does not lock
the word that it counts in; but no count is ever lost, so the other thread repeats the request until it has been seen.
When translated code counts by itself (``inline_counting``), it calls ``used_up`` when the budget is used up. That
checks in the same way, and leaves the engine at once, or lets the engine check for other requests to stop.

If the host has another architecture, or refuses executable memory, functions in Python do the same.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.engine.host_cpu import host_cpu, is_linux, is_x86
from arm_vcpu_cli.engine.stub_code import CODE, Code

INSTRUCTION_SIZE_LOG2: Final = 2
BLOCK_CALLBACK: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)
"""(engine, address, size in bytes, user data)"""
MOVE_CALLBACK: Final = ctypes.CFUNCTYPE(
    ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p
)
"""(engine, register, the engine's description, user data) -> nonzero if the instruction is complete."""
NATIVE_MOVE_CALLBACK: Final = ctypes.CFUNCTYPE(
    ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p
)
"""The same for the native stub, with the packed encoding in place of the description."""
_ASK_FUNCTION: Final = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
STOP_FUNCTION: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
LEAVE_FUNCTION: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32)
REGISTER_FUNCTION: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
"""(engine, register, address of its value) -> status"""
CLOCK_FUNCTION: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
"""(clock, address for seconds and nanoseconds) -> status"""


ASKED: Final = -1 << 63
"""``ask`` adds this to the budget of ``block_unasked``: the next block finds the budget used up, removes this again and
checks for a request."""


class BlockWords(ctypes.Structure):
    """The words of the block stub. ``budget``: instructions left; a block that would exceed it is not begun. ``stop``:
    the function that it then calls. ``request``: nonzero asks for a stop at the next block. ``base``: the budget, plus
    the instructions executed and the time spent so far. ``engine`` and ``leave``: for ``used_up``, the engine and its
    function of (engine, 0) that leaves translated code after a request to stop.

    The rest is for stops at chosen instructions (``exact_control``). ``size``: the number of instructions in the block
    that was not begun. ``armed``: the number of virtual addresses at ``addresses``; a block with an instruction at one
    of them is not begun, and sets ``hit``. With ``pause`` no block is begun. These are checked only along with
    requests, so the budget keeps :data:`ASKED` while any is set. ``pc``: the place of the block's address, if that is
    not an argument.
    """

    _fields_ = (
        ("budget", ctypes.c_int64),
        ("stop", ctypes.c_void_p),
        ("request", ctypes.c_int64),
        ("base", ctypes.c_int64),
        ("engine", ctypes.c_void_p),
        ("leave", ctypes.c_void_p),
        ("size", ctypes.c_int64),
        ("armed", ctypes.c_int64),
        ("pc", ctypes.c_void_p),
        ("addresses", ctypes.c_void_p),
        ("hit", ctypes.c_int64),
        ("pause", ctypes.c_int64),
    )


class MoveWords(ctypes.Structure):
    """The words of a move stub: the function to call, and the wanted CRn as a bit set."""

    _fields_ = (("function", ctypes.c_void_p), ("wanted", ctypes.c_uint32))


class ReadWords(ctypes.Structure):
    """The words of the read stub; the first two are those of a move stub.

    In ``answered``, bits 0 and 1 enable answers to reads of CNTPCT_EL0 and CNTVCT_EL0 at EL1, bits 2 and 3 also at EL0.
    The counter is ``base`` less the budget of ``block``, plus ``offset``; a read takes ``cost`` from the budget and
    adds it to ``spent``. With ``host_clock``, the address of clock_gettime(), it is the host's monotonic time less
    ``start``. All of these are nanoseconds; a tick is 16. ``get`` and ``put`` read and write a register of the engine.
    """

    _fields_ = (
        ("function", ctypes.c_void_p),
        ("wanted", ctypes.c_uint32),
        ("answered", ctypes.c_uint32),
        ("block", ctypes.c_void_p),
        ("spent", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("cost", ctypes.c_int64),
        ("value", ctypes.c_uint64),
        ("put", ctypes.c_void_p),
        ("get", ctypes.c_void_p),
        ("host_clock", ctypes.c_void_p),
        ("start", ctypes.c_int64),
        ("seconds", ctypes.c_int64),
        ("nanoseconds", ctypes.c_int64),
        ("pstate", ctypes.c_uint32),
    )


class MoveDescription(ctypes.Structure):
    """The engine's description of a system register in a hook (the head of ``uc_arm64_cp_reg``)."""

    _fields_ = tuple((name, ctypes.c_uint32) for name in ("crn", "crm", "op0", "op1", "op2"))


_UNASKED_AT: Final = 128
_ASK_AT: Final = 320
_MOVE_AT: Final = 384
_READ_AT: Final = 512
_USED_UP_AT: Final = 1024


class Stubs:
    """The functions, by address; ``native`` is whether they are machine code.

    Only machine code has a ``block_unasked``, with an ``ask`` that takes the address of its words, and only that of
    some hosts has a ``read`` and ``used_up``. A native move stub passes the packed encoding to Python; without one
    Python is called for every MRS or MSR with the engine's description.
    """

    def __init__(
        self,
        block: int,
        move: int | None = None,
        read: int | None = None,
        block_unasked: int | None = None,
        ask: Callable[[int], object] | None = None,
        used_up: int | None = None,
        *,
        keep: object,
    ) -> None:
        self.block = block
        self.block_unasked = block_unasked
        self.ask = ask
        self.used_up = used_up
        self.move = move
        self.read = read
        self.native = move is not None
        self._keep = keep


def packed_encoding(description: int) -> int:
    """Return the packed encoding of the engine's description at an address."""
    move = MoveDescription.from_address(description)
    return SysReg(move.op0, move.op1, move.crn, move.crm, move.op2).packed


def load_stubs(*, native: bool = True) -> Stubs:
    """Return the stubs for this host: machine code if available and permitted, unless ``native`` is false.

    Stubs in machine code are shared by the whole process.
    """
    return (_native_stubs() if native else None) or _python_stubs()


@cache
def _native_stubs() -> Stubs | None:
    code = CODE.get(host_cpu())
    stubs = None if code is None else _load_native(code)
    return stubs if stubs is not None and _works(stubs) else None


def host_clock_function() -> int | None:
    """Return the address of clock_gettime() if its clock 1 is that of ``time.monotonic``, else None."""
    if not is_linux():
        return None
    try:
        return ctypes.cast(ctypes.CDLL(None).clock_gettime, ctypes.c_void_p).value
    except (OSError, AttributeError):
        return None


def _load_native(code: Code) -> Stubs | None:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except (OSError, ValueError):
        return None
    page[: len(code.block)] = code.block
    page[_UNASKED_AT : _UNASKED_AT + len(code.block_unasked)] = code.block_unasked
    page[_ASK_AT : _ASK_AT + len(code.ask)] = code.ask
    page[_MOVE_AT : _MOVE_AT + len(code.move)] = code.move
    page[_READ_AT : _READ_AT + len(code.read)] = code.read
    page[_USED_UP_AT : _USED_UP_AT + len(code.used_up)] = code.used_up
    anchor = ctypes.c_char.from_buffer(page)
    start = ctypes.addressof(anchor)
    if not _synchronise_instructions(start, mmap.PAGESIZE):
        return None
    read = start + _READ_AT if code.read else None
    used_up = start + _USED_UP_AT if code.used_up else None
    ask = _ASK_FUNCTION(start + _ASK_AT)
    return Stubs(start, start + _MOVE_AT, read, start + _UNASKED_AT, ask, used_up, keep=(page, anchor))


def _synchronise_instructions(start: int, size: int) -> bool:
    """Make code that was written as data visible to the instruction fetch; x86 does so by itself."""
    if is_x86():
        return True
    try:
        clear = ctypes.CDLL("libgcc_s.so.1")["__clear_cache"]
    except (OSError, AttributeError):
        return False
    clear(ctypes.c_void_p(start), ctypes.c_void_p(start + size))
    return True


def _python_stubs() -> Stubs:
    def on_block(engine: int, address: int, size: int, words_at: int) -> None:
        words = BlockWords.from_address(words_at)
        words.size = size >> INSTRUCTION_SIZE_LOG2
        left = words.budget - words.size
        if left >= 0 and not words.request and not (words.pause or (words.armed and _has_armed(words, address, size))):
            words.budget = left
            return
        words.hit = left >= 0 and not words.request
        STOP_FUNCTION(words.stop)(engine)

    callback = BLOCK_CALLBACK(on_block)
    return Stubs(ctypes.cast(callback, ctypes.c_void_p).value or 0, keep=callback)


def _has_armed(words: BlockWords, address: int, size: int) -> bool:
    armed = (ctypes.c_uint64 * words.armed).from_address(words.addresses)
    return any(0 <= each - address < size for each in armed)


def _works(stubs: Stubs) -> bool:
    """Run the stubs on test arguments; return whether they do the same as the functions in Python."""
    return (
        _blocks_work(stubs)
        and _moves_work(stubs)
        and (stubs.read is None or _reads_work(stubs.read))
        and (stubs.used_up is None or _used_up_works(stubs.used_up))
    )


def _blocks_work(stubs: Stubs) -> bool:
    stopped: list[int] = []
    stop = STOP_FUNCTION(stopped.append)
    words = BlockWords(5, ctypes.cast(stop, ctypes.c_void_p))
    block, unasked, ask = BLOCK_CALLBACK(stubs.block), BLOCK_CALLBACK(stubs.block_unasked or 0), stubs.ask
    if ask is None:
        return False

    def run_block(function: Callable[[int, int, int, int], object], size: int, request: int) -> int:
        words.request = request
        function(1, 0, size, ctypes.addressof(words))
        return int(words.budget)

    results = [run_block(block, size, request) for size, request in ((12, 0), (12, 0), (8, 1), (8, 0))]
    if results != [2, 2, 2, 0] or stopped != [1, 1]:
        return False
    results = []
    for asked, budget, size, request in ((1, 5, 12, 0), (0, 2, 12, 0), (0, 2, 8, 1), (1, 2, 8, 1), (1, 0, 4, 0)):
        words.budget = budget
        if asked:
            ask(ctypes.addressof(words))
            results.append(int(words.budget))
        results.append(run_block(unasked, size, request))
    if results != [ASKED + 5, 2, 2, 0, ASKED + 2, 2, ASKED, 0] or stopped != [1] * 5:
        return False
    return _armed_blocks_work(lambda words, at, size: unasked(1, at, size, ctypes.addressof(words)), stop)


def _armed_blocks_work(run: Callable[[BlockWords, int, int], object], stop: Any) -> bool:
    """Return whether blocks that contain an armed address are not begun; ``run`` is a block of (words, address,
    size)."""
    armed = (ctypes.c_uint64 * 2)(0x1008, 0x2000)
    words = BlockWords(stop=ctypes.cast(stop, ctypes.c_void_p), armed=2)
    words.addresses = ctypes.addressof(armed)
    results = []
    for budget, at, size, pause in (
        (5, 0x1000, 8, 0),
        (5, 0x1000, 12, 0),
        (5, 0x1008, 4, 0),
        (5, 0x100C, 20, 0),
        (4, 0x1000, 20, 0),
        (5, 0x1FF0, 20, 0),
        (5, 0x3000, 4, 1),
    ):
        words.budget, words.hit, words.pause = ASKED + budget, 0, pause
        run(words, at, size)
        results.append((words.budget - ASKED, words.hit, words.size))
    return results == [(3, 0, 2), (5, 1, 3), (5, 1, 1), (0, 0, 5), (4, 0, 5), (5, 1, 5), (5, 1, 1)]


def _used_up_works(used_up_stub: int) -> bool:
    told: list[object] = []
    stop = STOP_FUNCTION(lambda engine: told.append(engine))
    leave = LEAVE_FUNCTION(lambda engine, zero: told.append((engine, zero)))
    words = BlockWords(stop=ctypes.cast(stop, ctypes.c_void_p), engine=7, leave=ctypes.cast(leave, ctypes.c_void_p))
    used_up = BLOCK_CALLBACK(used_up_stub)

    def run(instructions: int, budget: int, request: int) -> int:
        """Run as after a block of ``instructions`` instructions that began with this budget."""
        words.budget, words.request = budget - instructions, request
        told.append("block")
        used_up(ctypes.addressof(words), 0, instructions, ctypes.addressof(words))
        return int(words.budget)

    budgets = [run(3, 2, 0), run(3, ASKED + 5, 1), run(3, ASKED + 5, 0), run(3, ASKED + 2, 0)]
    expected = [*("block", 7, (7, 0)), *("block", 7, (7, 0)), *("block", (7, 0)), *("block", 7, (7, 0))]
    if budgets != [2, 5, 2, 2] or told != expected:
        return False
    pc = ctypes.c_uint64()

    def run_armed(armed: BlockWords, at: int, size: int) -> None:
        armed.engine, armed.leave, armed.pc = words.engine, words.leave, ctypes.addressof(pc)
        pc.value = at
        armed.budget -= size >> INSTRUCTION_SIZE_LOG2
        used_up(ctypes.addressof(armed), 0, size >> INSTRUCTION_SIZE_LOG2, ctypes.addressof(armed))

    return _armed_blocks_work(run_armed, stop)


def _moves_work(stubs: Stubs) -> bool:
    moved: list[tuple[int, int]] = []

    def on_move(_engine: int, register: int, encoding: int, _data: int) -> int:
        moved.append((register, encoding))
        return 1

    moving = NATIVE_MOVE_CALLBACK(on_move)
    move = MOVE_CALLBACK(stubs.move or 0)
    wanted = MoveWords(ctypes.cast(moving, ctypes.c_void_p), 1 << 14 | 1 << 2)

    def run_move(*fields: int) -> int:
        description = MoveDescription(*fields)
        return int(move(1, 7, ctypes.addressof(description), ctypes.addressof(wanted)))

    moves = (run_move(14, 3, 3, 3, 1), run_move(13, 3, 3, 3, 1), run_move(2, 4, 3, 3, 0))
    expected = [(7, SysReg(3, 3, 14, 3, 1).packed), (7, SysReg(3, 3, 2, 4, 0).packed)]
    return moves == (1, 0, 1) and moved == expected


def _reads_work(read_stub: int) -> bool:
    told: list[object] = []
    levels = [0b0100, 0b0000]

    def to_python(_engine: int, _register: int, encoding: int, _data: int) -> int:
        told.append(encoding)
        return 0

    def put(_engine: int, register: int, value: int) -> int:
        told.append((register, ctypes.c_uint64.from_address(value).value))
        return 0

    def get(_engine: int, register: int, value: int) -> int:
        told.append(register)
        ctypes.c_uint64.from_address(value).value = levels.pop(0)
        return 0

    def host_time(_clock: int, moment: int) -> int:
        ctypes.c_int64.from_address(moment).value, ctypes.c_int64.from_address(moment + 8).value = 2, 500
        return 0

    python, putting, getting = NATIVE_MOVE_CALLBACK(to_python), REGISTER_FUNCTION(put), REGISTER_FUNCTION(get)
    host_clock = CLOCK_FUNCTION(host_time)
    block = BlockWords(budget=5000, base=21000)
    words = ReadWords(wanted=1 << 14, block=ctypes.addressof(block), offset=1000, cost=2000, start=500, pstate=9)
    words.function, words.put, words.get = (ctypes.cast(each, ctypes.c_void_p) for each in (python, putting, getting))
    read = MOVE_CALLBACK(read_stub)

    def run_read(op2: int, answered: int) -> tuple[int, int, int]:
        description = MoveDescription(14, 0, 3, 3, op2)
        words.answered = answered
        done = int(read(1, 7, ctypes.addressof(description), ctypes.addressof(words)))
        return done, int(block.budget), int(words.spent)

    physical, virtual = (SysReg(3, 3, 14, 0, op2).packed for op2 in (1, 2))
    results = [
        run_read(2, 0b0001),  # not answered
        run_read(2, 0b0010),  # at EL1
        run_read(1, 0b0001),  # at EL0
        run_read(1, 0b0101),  # at any Exception level
        run_read(1, 0b0101),  # costs more than the budget
    ]
    words.host_clock = ctypes.cast(host_clock, ctypes.c_void_p)
    results.append(run_read(2, 0b1010))
    expected = [(0, 5000, 0), (1, 3000, 2000), (0, 3000, 2000), (1, 1000, 4000), (0, 1000, 4000), (1, 1000, 4000)]
    first, second, third = (21000 + 1000 - 3000) // 16, (21000 + 1000 - 1000) // 16, 2_000_000_000 // 16
    return results == expected and told == [virtual, 9, (7, first), 9, physical, (7, second), physical, (7, third)]
