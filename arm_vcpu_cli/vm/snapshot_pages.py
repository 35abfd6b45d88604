"""The memory of a guest in a snapshot: all non-zero pages, in chunks that are unpacked one at a time."""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, Final

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.errors import FileError
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.sizes import MIB, format_size
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.snapshot_file import SnapshotFile, SnapshotWriter
from arm_vcpu_cli.vm.snapshot_plain import packed, unpacked

INDEX: Final = "pages"
MEMORY: Final = "memory"
"""The names of the parts: the list of pages, and their contents."""
CHUNK: Final = 4 * MIB
"""Bytes packed together."""
_BLOCK: Final = 8192
"""Pages searched together."""
_ENTRY: Final = 8
"""Bytes of an entry of the page map."""
_MOST_INDEX: Final = 32 * MIB
_NO_PAGE: Final = bytes(PAGE_SIZE)
_PAGEMAP: Final = "/proc/self/pagemap"
_USED: Final = 62
"""In an entry of the page map, bit 63 means that the page is in memory, and bit 62 that it is swapped out (Linux,
Documentation/admin-guide/mm/pagemap.rst)."""

Run = tuple[int, int]
"""The number of the first page in its region, and the number of pages."""


def write_pages(machine: Machine, writer: SnapshotWriter) -> int:
    """Add the memory of a machine to a snapshot; return the number of its pages."""
    index: list[dict[str, Any]] = []
    views: list[memoryview] = []
    for backed in machine.ram.regions:
        view = machine.host.memory(backed.paddr, backed.region.size)
        runs = list(_runs(_not_zero(view, machine.host.phys_to_virt(backed.paddr))))
        views += _views(view, runs)
        flat = array("Q", [number for run in runs for number in run])
        index.append({"name": backed.region.name, "runs": flat.tobytes()})
    writer.add(INDEX, packed({"regions": index}))
    stream = _Stream(views)
    while taken := stream.take(CHUNK):
        writer.add(MEMORY, b"".join(taken))
    return sum(view.nbytes for view in views) // PAGE_SIZE


def read_pages(file: SnapshotFile, machine: Machine) -> None:
    """Fill the memory of a new machine, which is still zero, from a snapshot. Raises :class:`FileError`."""
    try:
        stream = _Stream(_wanted(file, machine))
        for part in file.named(MEMORY):
            if part.raw > CHUNK:
                raise ValueError(f"a part of its memory has {part.raw} bytes, more than {CHUNK}")
            views = stream.take(part.raw)
            if sum(view.nbytes for view in views) != part.raw:
                raise ValueError("it has more memory than pages")
            file.read_into(part, views)
        if stream.take(1):
            raise ValueError("it has more pages than memory")
    except ValueError as error:
        raise FileError(file.path, str(error)) from error


def _wanted(file: SnapshotFile, machine: Machine) -> list[memoryview]:
    """Return the places for the pages of a snapshot, in its order. Raises ValueError."""
    parts = file.named(INDEX)
    if len(parts) != 1:
        raise ValueError(f"it has {len(parts)} lists of pages, expected one")
    saved = Saved(unpacked(file.read(parts[0], _MOST_INDEX)), "pages")
    regions = machine.ram.regions
    views: list[memoryview] = []
    total = 0
    for backed, each in zip(regions, saved.parts("regions", len(regions)), strict=True):
        if each.text("name") != backed.region.name:
            raise ValueError(f"it has pages of memory.{each.text('name')}, expected memory.{backed.region.name}")
        flat = array("Q")
        flat.frombytes(each.data("runs"))
        runs = list(zip(flat[::2], flat[1::2], strict=True))
        end = 0
        for first, count in runs:
            if first < end or not count:
                raise ValueError("its pages are not in order")
            end = first + count
        if end * PAGE_SIZE > backed.region.size:
            raise ValueError(f"it has pages outside of memory.{backed.region.name}")
        total += sum(count for _, count in runs) * PAGE_SIZE
        if total > memory_of_host():
            raise ValueError(f"it has {format_size(total)} of memory, more than this host")
        views += _views(machine.host.memory(backed.paddr, backed.region.size), runs)
    return views


def _views(memory: memoryview, runs: Iterable[Run]) -> list[memoryview]:
    return [memory[first * PAGE_SIZE : (first + count) * PAGE_SIZE] for first, count in runs]


def memory_of_host() -> int:
    """Return the size of this host's memory in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class _Stream:
    """Views of memory as a stream of bytes."""

    def __init__(self, views: Iterable[memoryview]) -> None:
        self._views = iter(views)
        self._rest: memoryview | None = None

    def take(self, most: int) -> list[memoryview]:
        """Return the next ``most`` bytes, or what is left."""
        taken: list[memoryview] = []
        while most:
            view = next(self._views, None) if self._rest is None else self._rest
            self._rest = None
            if view is None:
                break
            if view.nbytes > most:
                self._rest = view[most:]
                view = view[:most]
            taken.append(view)
            most -= view.nbytes
        return taken


# Pages that are not zero ---------------------------------------------------------------------------------------------


def _runs(pages: Iterable[int]) -> Iterator[Run]:
    first = end = 0
    for page in pages:
        if page != end:
            if end > first:
                yield first, end - first
            first = page
        end = page + 1
    if end > first:
        yield first, end - first


def _not_zero(memory: memoryview, address: int) -> Iterator[int]:
    """Yield the numbers of the non-zero pages of a memory, at ``address`` of this process."""
    for page in _touched(len(memory) // PAGE_SIZE, address):
        if memory[page * PAGE_SIZE : (page + 1) * PAGE_SIZE].tobytes() != _NO_PAGE:
            yield page


def _touched(count: int, address: int) -> Iterator[int]:
    """Yield the numbers of the pages that this process has ever touched; of all pages if the host does not report them.

    Reading an untouched page would make the host allocate it, and most memory of a guest is never used.
    """
    try:
        fd = os.open(_PAGEMAP if mmap.PAGESIZE == PAGE_SIZE else "", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield from range(count)
        return
    try:
        for start in range(0, count, _BLOCK):
            wanted = min(_BLOCK, count - start)
            entries = array("Q")
            entries.frombytes(os.pread(fd, wanted * _ENTRY, (address // PAGE_SIZE + start) * _ENTRY))
            if len(entries) != wanted:
                yield from range(start, count)
                return
            if max(entries) >> _USED:
                yield from (start + number for number, entry in enumerate(entries) if entry >> _USED)
    finally:
        os.close(fd)
