"""One change of stage-2 tables: it happens as a whole, or leaves every table as it was."""

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
        """Allocate one frame; its address, or None when there is none left."""

    def alloc_frames(self, count: int) -> int | None:
        """Allocate ``count`` contiguous frames (a power of two), aligned to their total size, or None."""

    def dealloc_frame(self, paddr: int) -> None:
        """Give back one frame; those of ``alloc_frames`` are given back one by one."""

    def memory(self, paddr: int, size: int) -> memoryview:
        """The writable bytes of a range of host-physical memory."""


class Slot(NamedTuple):
    """Where one descriptor is."""

    frame: int
    offset: int


class Transaction:
    """What an operation has changed so far: old descriptors, new frames, frames to free once it is done."""

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
