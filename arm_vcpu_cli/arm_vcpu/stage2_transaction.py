"""One change of stage-2 tables, which happens as a whole or leaves every table unchanged."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, Protocol

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.errors import Stage2Error

DESCRIPTOR: Final = struct.Struct("<Q")
EMPTY_TABLE: Final = bytes(PAGE_SIZE)


class FrameMemory(Protocol):
    """Frames of 4 KiB in host-physical memory, and their bytes. Addresses are integers in bytes."""

    def alloc_frame(self) -> int | None:
        """Allocate one frame; return its address, or None if none is left."""

    def alloc_frames(self, count: int) -> int | None:
        """Allocate ``count`` contiguous frames (a power of two), aligned to their total size, or None."""

    def dealloc_frame(self, paddr: int) -> None:
        """Free one frame; those of ``alloc_frames`` are freed one by one."""

    def memory(self, paddr: int, size: int) -> memoryview:
        """Return a writable view of a range of host-physical memory."""


class Slot(NamedTuple):
    """The place of one descriptor."""

    frame: int
    offset: int


class Transaction:
    """The changes of an operation so far: old descriptors, new frames, frames to free at the end."""

    def __init__(self, frames: FrameMemory, *, ipa: int, size: int) -> None:
        self._frames = frames
        self.ipa = ipa
        self.size = size
        self._undo: list[tuple[Slot, int]] = []
        self._allocated: list[int] = []
        self._retired: list[int] = []

    def refuse(self, message: str) -> Stage2Error:
        return Stage2Error(message, ipa=self.ipa, size=self.size)

    def read(self, slot: Slot) -> int:
        word: int = DESCRIPTOR.unpack_from(self._frames.memory(slot.frame, PAGE_SIZE), slot.offset)[0]
        return word

    def write(self, slot: Slot, descriptor: int) -> None:
        view = self._frames.memory(slot.frame, PAGE_SIZE)
        self._undo.append((slot, DESCRIPTOR.unpack_from(view, slot.offset)[0]))
        DESCRIPTOR.pack_into(view, slot.offset, descriptor)

    def new_table(self, content: bytes = EMPTY_TABLE) -> int:
        frame = self._frames.alloc_frame()
        if frame is None:
            raise self.refuse("no frame is left for a table")
        self._allocated.append(frame)
        self._frames.memory(frame, PAGE_SIZE)[:] = content
        return frame

    def retire(self, frame: int) -> None:
        self._retired.append(frame)

    def __enter__(self) -> None:
        """Begin; the end of the ``with`` block commits, an exception in it rolls everything back."""

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        if kind is None:
            for frame in self._retired:
                self._frames.dealloc_frame(frame)
            return
        for slot, descriptor in reversed(self._undo):
            DESCRIPTOR.pack_into(self._frames.memory(slot.frame, PAGE_SIZE), slot.offset, descriptor)
        for frame in self._allocated:
            self._frames.dealloc_frame(frame)
