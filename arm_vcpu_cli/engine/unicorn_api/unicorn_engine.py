"""One engine: registers, saved states, memory, execution.

The wrappers of the package's Python binding cost more than the calls that they wrap (1.2 us for a register read, 0.7 us
for the save and restore of the whole CPU), so all calls go to the library directly. Those on the exit path use a
``PyDLL`` handle: they are too short to release the interpreter lock. ``start`` releases it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Final
from weakref import finalize

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.engine.stubs import BlockWords, ReadWords
from arm_vcpu_cli.engine.unicorn_api.binding import (
    CP_REG,
    CPU_MODELS,
    PSTATE,
    TARGET_PAGE,
    check,
    close_engine,
    control,
    open_engine,
    unicorn_const,
)
from arm_vcpu_cli.engine.unicorn_api.hooks import EngineHooks
from arm_vcpu_cli.engine.unicorn_api.library import bare_library, held_library, library_function, released_library
from arm_vcpu_cli.errors import EngineError

STOP_CHECK: Final = "helper_check_exit_request_aarch64"
"""The engine's function that leaves translated code after a request to stop."""
_CODE_BUFFER: Final = 256 << 20
_PROT_ALL: Final = unicorn_const.UC_PROT_ALL
_PROT_EXEC: Final = unicorn_const.UC_PROT_EXEC
_PROT_READ: Final = unicorn_const.UC_PROT_READ
_PAGE: Final = 4096

_EL_FIELD: Final = int(Spsr.of(M=0b1100))
_EL1_VALUE: Final = int(Spsr.of(M=0b0100))


class _CpReg(ctypes.Structure):
    """unicorn's ``uc_arm64_cp_reg``."""

    _fields_ = (
        ("crn", ctypes.c_uint32),
        ("crm", ctypes.c_uint32),
        ("op0", ctypes.c_uint32),
        ("op1", ctypes.c_uint32),
        ("op2", ctypes.c_uint32),
        ("val", ctypes.c_uint64),
    )


_READ_CALLBACK: Final = ctypes.CFUNCTYPE(
    ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p
)
_WRITE_CALLBACK: Final = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p
)


class SavedContext:
    """Memory of one saved state, owned by the engine's allocator; ``memory`` is the block as bytes."""

    def __init__(self, engine: Engine) -> None:
        self._library = library = released_library()
        self.handle = ctypes.c_void_p()
        status = library.uc_context_alloc(engine.handle, ctypes.byref(self.handle))
        check(status, "a state cannot be saved")
        check(library.uc_context_save(engine.handle, self.handle), "a state cannot be saved")
        block = (ctypes.c_char * library.uc_context_size(engine.handle)).from_address(self.handle.value or 0)
        self.memory = memoryview(block).cast("B")

    def __del__(self) -> None:
        if self.handle:
            self._library.uc_context_free(self.handle)


class Engine:
    """One AArch64 engine: thin, typed calls. Raises :class:`EngineError` for every status but success."""

    def __init__(self, model: str) -> None:
        if model not in CPU_MODELS:
            raise EngineError(f"CPU model {model!r}: expected one of {', '.join(CPU_MODELS)}")
        self.handle = open_engine(unicorn_const.UC_ARCH_ARM64, unicorn_const.UC_MODE_ARM)
        self._close = finalize(self, close_engine, self.handle)
        self._close.atexit = False
        for kind, *arguments in (
            (unicorn_const.UC_CTL_CPU_MODEL, ctypes.c_int(CPU_MODELS[model])),
            # The engine's default is 1 KiB, for very old cores: four times as many TLB entries, each a large page (so
            # TLBI by address empties the TLB), and blocks of code that end at every KiB.
            (unicorn_const.UC_CTL_UC_PAGE_SIZE, ctypes.c_uint32(TARGET_PAGE)),
            # Translated code is dropped only when this is full. A guest that keeps changing its code fills any size;
            # the engine's default is 1 GiB, and a boot of Linux takes some tens of MiB.
            (unicorn_const.UC_CTL_TCG_BUFFER_SIZE, ctypes.c_uint32(_CODE_BUFFER)),
            # No address is special: without these the engine would treat 0 or `until` as the end of the guest.
            (unicorn_const.UC_CTL_UC_USE_EXITS, ctypes.c_int(1)),
            (unicorn_const.UC_CTL_UC_EXITS, (ctypes.c_uint64 * 1)(), ctypes.c_size_t(0)),
        ):
            control(self.handle, kind, "the Unicorn engine cannot be opened", *arguments)
        self._kept: list[object] = []
        """Objects that the engine points to."""
        self._released, self._held, self._bare = released_library(), held_library(), bare_library()
        self._pstate = ctypes.c_uint64()
        self._read_pstate = partial(
            self._bare.uc_reg_read, self.handle, ctypes.c_int(PSTATE), ctypes.byref(self._pstate)
        )
        self.hooks = EngineHooks(self.handle, self.flush_code)

    @property
    def structure(self) -> int:
        """The address of the engine's own structure."""
        return ctypes.cast(self.handle, ctypes.c_void_p).value or 0

    def saver(self, context: SavedContext) -> Callable[[], object]:
        """Return a call without arguments that saves the CPU into ``context``; it cannot fail."""
        return partial(self._held.uc_context_save, self.handle, context.handle)

    def restorer(self, context: SavedContext) -> Callable[[], object]:
        """Return a call without arguments that loads the CPU from ``context``; it cannot fail."""
        return partial(self._held.uc_context_restore, self.handle, context.handle)

    def leave_out_exit_checks(self, switch: int, left_out: bool) -> None:
        """Omit the check for a stop after each memory access and each call of a hook from code translated from now on,
        or restore it; ``switch`` is the offset of the engine's switch for it.

        The check at the beginning of each block remains, and so does code already translated.
        """
        ctypes.c_bool.from_address(self.structure + switch).value = left_out

    def pstate_writer(self, companion: SysReg) -> Callable[[int], object]:
        """Return a call that writes PSTATE and then zero to ``companion``.

        Any system-register write makes the core recompute what it caches about its Exception level; writing PSTATE
        alone does not.
        """
        pstate = ctypes.c_uint64()
        other = _CpReg(companion.crn, companion.crm, companion.op0, companion.op1, companion.op2, 0)
        ids = (ctypes.c_int * 2)(PSTATE, CP_REG)
        values = (ctypes.c_void_p * 2)(ctypes.addressof(pstate), ctypes.addressof(other))
        write = partial(self._held.uc_reg_write_batch, self.handle, ids, values, 2)

        def write_pstate(value: int, _keep: object = other) -> object:
            pstate.value = value
            return write()

        return write_pstate

    def read_register(self, register: int) -> int:
        """Return a 64-bit register by the engine's own number."""
        value = ctypes.c_uint64()
        check(self._bare.uc_reg_read(self.handle, ctypes.c_int(register), ctypes.byref(value)), "a register")
        return value.value

    def write_register(self, register: int, value: int) -> None:
        """Write a 64-bit register, or the low half of a vector, by the engine's own number. Not for the PC, nor inside
        the hook."""
        words = (ctypes.c_uint64 * 2)(value, 0)
        check(self._bare.uc_reg_write(self.handle, ctypes.c_int(register), words), "a register")

    def current_el(self) -> int:
        """Return PSTATE.EL; fast, and permitted inside a hook of an instruction."""
        self._read_pstate()
        return (self._pstate.value & _EL_FIELD) // _EL1_VALUE

    def read_sysreg(self, reg: SysReg) -> int:
        """Return a system register; 0 if the core has none with that encoding."""
        return self._read(reg, 0)

    def _read(self, reg: SysReg, before: int) -> int:
        block = _CpReg(reg.crn, reg.crm, reg.op0, reg.op1, reg.op2, before)
        status = self._bare.uc_reg_read(self.handle, ctypes.c_int(CP_REG), ctypes.byref(block))
        if status:
            check(status, f"{reg.name} cannot be read")
        return int(block.val)

    def has_sysreg(self, reg: SysReg) -> bool:
        """Return whether the core has a register with that encoding: reading an absent one leaves the block
        unchanged."""
        return any(self._read(reg, before) != before for before in (0, MASK64))

    def write_sysreg(self, reg: SysReg, value: int) -> None:
        """Write a system register through its write function."""
        block = _CpReg(reg.crn, reg.crm, reg.op0, reg.op1, reg.op2, value)
        status = self._bare.uc_reg_write(self.handle, ctypes.c_int(CP_REG), ctypes.byref(block))
        if status:
            check(status, f"{reg.name} cannot be written")

    def sysreg_writer(self, reg: SysReg) -> Callable[[int], object]:
        """Return a function that writes one system register through its write function; it cannot fail."""
        block = _CpReg(reg.crn, reg.crm, reg.op0, reg.op1, reg.op2, 0)
        write = partial(self._bare.uc_reg_write, self.handle, ctypes.c_int(CP_REG), ctypes.byref(block))

        def write_sysreg(value: int) -> object:
            block.val = value
            return write()

        return write_sysreg

    def block_words(self, budget: int) -> BlockWords:
        """Return the words of this engine's block stub, with ``budget`` instructions left."""
        stop = ctypes.cast(self._held.uc_emu_stop, ctypes.c_void_p)
        leave = library_function(STOP_CHECK)
        return BlockWords(budget, stop, 0, budget, ctypes.cast(self.handle, ctypes.c_void_p), leave)

    def read_words(self, words: BlockWords) -> ReadWords:
        """Return the words of this engine's read stub, which answers nothing yet."""
        made = ReadWords(block=ctypes.addressof(words), pstate=PSTATE)
        made.put = ctypes.cast(self._held.uc_reg_write, ctypes.c_void_p)
        made.get = ctypes.cast(self._held.uc_reg_read, ctypes.c_void_p)
        return made

    def map_device(
        self, paddr: int, size: int, read: Callable[[int, int], int], write: Callable[[int, int, int], None]
    ) -> None:
        """Call functions of (offset, width) and (offset, width, value) for accesses to a host-physical range."""
        callbacks = (
            _READ_CALLBACK(lambda _engine, offset, width, _data: read(offset, width)),
            _WRITE_CALLBACK(lambda _engine, offset, width, value, _data: write(offset, width, value)),
        )
        self._kept += callbacks
        on_read, on_write = callbacks
        status = self._bare.uc_mmio_map(
            self.handle, ctypes.c_uint64(paddr), ctypes.c_size_t(size), on_read, None, on_write, None
        )
        check(status, f"a device at PA {paddr:#x} size {size:#x} cannot be mapped")

    def start(self, pc: int) -> None:
        """Execute from ``pc`` until :meth:`stop`."""
        check(self._released.uc_emu_start(self.handle, pc, 0, 0, 0), "execution stopped")

    def stop(self) -> None:
        """Make :meth:`start` return."""
        self._held.uc_emu_stop(self.handle)

    def map_pointer(self, paddr: int, size: int, host_address: int) -> None:
        """Back a host-physical range with host memory."""
        status = self._bare.uc_mem_map_ptr(
            self.handle,
            ctypes.c_uint64(paddr),
            ctypes.c_size_t(size),
            ctypes.c_uint32(_PROT_ALL),
            ctypes.c_void_p(host_address),
        )
        check(status, f"memory at PA {paddr:#x} size {size:#x} cannot be mapped")

    def flush_code(self) -> None:
        """Drop all translated code."""
        control(self.handle, unicorn_const.UC_CTL_TB_FLUSH, "translated code cannot be dropped")

    def forget_code(self, vaddr: int, size: int) -> None:
        """Drop translated code by its virtual address in the regime that the core is in."""
        bounds = ctypes.c_uint64(vaddr), ctypes.c_uint64(vaddr + size)
        control(self.handle, unicorn_const.UC_CTL_TB_REMOVE_CACHE, "translated code cannot be dropped", *bounds)

    def fetcher(self) -> Callable[[int], int | None]:
        """Return a function that reads the 32-bit word at a virtual address as an instruction fetch would."""
        word, address = ctypes.c_uint32(), ctypes.c_uint64()
        # Arguments that are already ctypes objects are passed unchanged, at half the cost of converting five.
        read = partial(
            self._bare.uc_vmem_read,
            self.handle,
            address,
            ctypes.c_int(_PROT_EXEC),
            ctypes.byref(word),
            ctypes.c_size_t(ctypes.sizeof(word)),
        )

        def fetch(vaddr: int) -> int | None:
            address.value = vaddr
            return None if read() else word.value

        return fetch

    def read_virtual(self, vaddr: int, size: int) -> bytes | None:
        """Return the bytes at a virtual address as loads would see them; None if a translation fails."""
        buffer = ctypes.create_string_buffer(size)
        if self._held.uc_vmem_read(self.handle, vaddr, _PROT_READ, buffer, size):
            return self._read_pages(vaddr, size)
        return buffer.raw

    def _read_pages(self, vaddr: int, size: int) -> bytes | None:
        """Read page by page where the engine does not read through its entry for a page, because it has a
        watchpoint."""
        data = b""
        while len(data) < size:
            here = min(size - len(data), _PAGE - (vaddr + len(data)) % _PAGE)
            paddr, buffer = self.translate(vaddr + len(data)), ctypes.create_string_buffer(here)
            if paddr is None or self._held.uc_mem_read(
                self.handle, ctypes.c_uint64(paddr), buffer, ctypes.c_uint64(here)
            ):
                return None
            data += buffer.raw
        return data

    def translate(self, vaddr: int) -> int | None:
        """Return the physical address of a virtual address for a load; None if it faults."""
        paddr = ctypes.c_uint64()
        if self._held.uc_vmem_translate(self.handle, vaddr, _PROT_READ, ctypes.byref(paddr)):
            return None
        return paddr.value

    def close(self) -> None:
        """Free the engine; its memory regions are not touched again."""
        self._close()
