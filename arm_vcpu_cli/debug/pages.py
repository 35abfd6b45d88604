"""Images of a machine's memory that share their identical pages.

An image has a ``bytes`` object for each page of memory, None for a page of zeros, and shares the objects of unchanged
pages with the previous image. Changes are found by comparing memory with a copy from the previous image, because
nothing records the stores of a guest without slowing it down: the engine notices the first store to a page only after a
TLB flush, and not every kernel reports the pages that a process has written. Comparing a GiB in use takes some 80 ms;
untouched memory is skipped.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator, Sequence
from typing import Final

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.record import Record

Chunk = tuple[bytes | None, ...]
"""The pages of 2 MiB, or of the rest at the end of a region."""
Image = tuple[tuple[Chunk, ...], ...]
"""The chunks of each region."""

_CHUNK_PAGES: Final = 512
_CHUNK: Final = _CHUNK_PAGES * PAGE_SIZE
_PIECE: Final = 16 * PAGE_SIZE
"""The size of each comparison in bytes: few calls, and few pages to examine where it differs."""
_ZERO: Final = bytes(PAGE_SIZE)
_PAGEMAP: Final = "/proc/self/pagemap"
_ENTRY: Final = 8
"""Bytes of an entry of pagemap. The highest bits of the last byte say whether the page is present or swapped out."""
_IN_USE: Final = bytes(1 if high & 0xC0 else 0 for high in range(256))
_MAP_NORESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0x4000)


class PageRange(Record):
    """Consecutive pages of one region: the index of the region, and byte offsets from its start."""

    region: int
    offset: int
    size: int


class _Region:
    """A region of memory, and a copy of its contents at the last image."""

    def __init__(self, memory: memoryview) -> None:
        self.memory = memory
        self.size = len(memory)
        self._copy = mmap.mmap(-1, self.size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
        self.copy = memoryview(self._copy)
        self._address, self._copy_address = _address_of(memory), _address_of(self.copy)
        self._compare = ctypes.CDLL(None).memcmp
        self._compare.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        self._touched = _reports_use(self._address)

    def chunks_in_use(self) -> list[int]:
        """Return the offsets of the chunks ever touched; of all chunks if that is unknown."""
        chunks = list(range(0, self.size, _CHUNK))
        pages = -(-self.size // PAGE_SIZE)
        found = _used_pages(self._address, pages) if self._touched else None
        if found is None:
            return chunks
        return [at for at in chunks if found.find(b"\1", at // PAGE_SIZE, at // PAGE_SIZE + _CHUNK_PAGES) >= 0]

    def changed(self, chunk: int) -> list[int]:
        """Return the offsets of the pages of a chunk that differ from the copy."""
        found: list[int] = []
        compare, mine, copy = self._compare, self._address, self._copy_address
        for piece in range(chunk, min(chunk + _CHUNK, self.size), _PIECE):
            if not compare(mine + piece, copy + piece, min(_PIECE, self.size - piece)):
                continue
            found += (
                page
                for page in range(piece, min(piece + _PIECE, self.size), PAGE_SIZE)
                if compare(mine + page, copy + page, min(PAGE_SIZE, self.size - page))
            )
        return found

    def close(self) -> None:
        self.copy.release()
        self.memory.release()


class PageStore:
    """Takes images of memory and restores them. ``regions`` are views of it."""

    def __init__(self, regions: Sequence[memoryview]) -> None:
        self._regions = tuple(map(_Region, regions))
        self._last: list[list[Chunk]] = [_empty(region.size) for region in self._regions]

    def take(self) -> Image:
        """Take an image of the current memory."""
        for number, region in enumerate(self._regions):
            chunks = self._last[number]
            for at, pages in self._differences(region):
                chunk = list(chunks[at // _CHUNK])
                for page in pages:
                    data = region.memory[page : page + PAGE_SIZE].tobytes()
                    region.copy[page : page + PAGE_SIZE] = data
                    chunk[(page - at) // PAGE_SIZE] = None if data == _ZERO[: len(data)] else data
                chunks[at // _CHUNK] = tuple(chunk)
        return tuple(map(tuple, self._last))

    def put(self, image: Image) -> list[PageRange]:
        """Restore memory to an image of this store; return the pages written."""
        written: list[PageRange] = []
        for number, region in enumerate(self._regions):
            changed = {at: set(pages) for at, pages in self._differences(region)}
            chunks = self._last[number]
            for index, (chunk, last) in enumerate(zip(image[number], chunks, strict=True)):
                at = index * _CHUNK
                pages = changed.get(at, set())
                if chunk is not last:
                    for place, (page, before) in enumerate(zip(chunk, last, strict=True)):
                        if page is not before:
                            pages.add(at + place * PAGE_SIZE)
                if pages:
                    ranges = tuple(_ranges(number, sorted(pages)))
                    _write(region, chunk, at, ranges)
                    written += ranges
                chunks[index] = chunk
        return written

    def close(self) -> None:
        """Release the copies."""
        for region in self._regions:
            region.close()

    @staticmethod
    def _differences(region: _Region) -> Iterator[tuple[int, list[int]]]:
        for at in region.chunks_in_use():
            pages = region.changed(at)
            if pages:
                yield at, pages


def memory_of(images: Sequence[Image]) -> int:
    """Return the size in bytes of the pages of these images, counting shared ones once."""
    chunks = {id(chunk): chunk for image in images for region in image for chunk in region}
    return len({id(page) for chunk in chunks.values() for page in chunk if page is not None}) * PAGE_SIZE


def _write(region: _Region, chunk: Chunk, at: int, ranges: Sequence[PageRange]) -> None:
    for run in ranges:
        first = (run.offset - at) // PAGE_SIZE
        data = b"".join(page or _ZERO for page in chunk[first : first + run.size // PAGE_SIZE])
        end = min(run.offset + run.size, region.size)
        region.memory[run.offset : end] = region.copy[run.offset : end] = data[: end - run.offset]


def _ranges(region: int, pages: list[int]) -> Iterator[PageRange]:
    start = end = pages[0]
    for page in pages:
        if page != end:
            yield PageRange(region, start, end - start)
            start = page
        end = page + PAGE_SIZE
    yield PageRange(region, start, end - start)


def _empty(size: int) -> list[Chunk]:
    whole: Chunk = (None,) * _CHUNK_PAGES
    pages = -(-size // PAGE_SIZE)
    rest = pages % _CHUNK_PAGES
    return [whole] * (pages // _CHUNK_PAGES) + ([(None,) * rest] if rest else [])


def _address_of(memory: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _reports_use(address: int) -> bool:
    """Return whether the system reports the pages in use. Some systems have the file but do not fill it in."""
    ctypes.c_char.from_address(address).value  # noqa: B018  Touched now.
    found = _used_pages(address, 1)
    return found is not None and found[0] == 1


def _used_pages(address: int, pages: int) -> bytes | None:
    """Return a byte for each page, 1 if it is in use; None if that is unknown."""
    try:
        file = os.open(_PAGEMAP, os.O_RDONLY)
    except OSError:
        return None
    try:
        data = os.pread(file, pages * _ENTRY, address // mmap.PAGESIZE * _ENTRY)
    except OSError:
        return None
    finally:
        os.close(file)
    known = mmap.PAGESIZE == PAGE_SIZE and len(data) == pages * _ENTRY
    return data[_ENTRY - 1 :: _ENTRY].translate(_IN_USE) if known else None
