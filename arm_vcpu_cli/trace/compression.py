"""Compressing streams: gzip (RFC 1952) and, with the ``zstandard`` package, Zstandard (RFC 8878)."""

from __future__ import annotations

import gzip
import io
from contextlib import ExitStack
from typing import Any, Final

try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment,unused-ignore]

_GZIP_LEVEL: Final = 3
_ZSTD_LEVEL: Final = 3
_FRAME_LEVEL: Final = 1
"""The level for frames, which are written and read at once while the user waits."""
_SYNC_BYTES: Final = 1 << 17
_BUFFER: Final = 1 << 16
_LARGEST_WINDOW: Final = 1 << 23


def is_known(suffix: str) -> bool:
    """Return whether the packages for ``.gz`` or ``.zst`` are installed."""
    return suffix != ".zst" or zstandard is not None


def compressed(file: io.RawIOBase, suffix: str, layers: ExitStack) -> io.BufferedIOBase:
    """Return a stream that writes to ``file``, compressed as the suffix demands; the end of ``layers`` completes it."""
    below = layers.enter_context(io.BufferedWriter(file, _BUFFER))
    if suffix == ".gz":
        # Without a name and a time, so that equal runs have equal traces.
        packed = gzip.GzipFile("", "wb", _GZIP_LEVEL, below, mtime=0)
        return layers.enter_context(_Compressed(packed, ()))
    writer = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).stream_writer(below, closefd=False)
    return layers.enter_context(_Compressed(writer, (zstandard.FLUSH_BLOCK,)))


def frame(data: bytes) -> bytes:
    """Return ``data`` as one Zstandard frame; ``.zst`` must be known."""
    return zstandard.ZstdCompressor(level=_FRAME_LEVEL).compress(data)


def unframe(packed: bytes, size: int) -> bytes:
    """Return the ``size`` bytes of one Zstandard frame. Raises ValueError if it has a different size, without
    allocating memory for more."""
    try:
        if zstandard.frame_content_size(packed) != size:
            raise ValueError("its content has a different size")
        data: bytes = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompress(
            packed, max_output_size=size, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise ValueError("it is not compressed with Zstandard") from error
    if len(data) != size:
        raise ValueError("its content has a different size")
    return data


class _Compressed(io.BufferedIOBase):
    """A compressor as a stream that periodically flushes what it holds back."""

    def __init__(self, compressor: Any, sync: tuple[Any, ...]) -> None:
        self._compressor = compressor
        self._sync = sync
        self._held = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        self._compressor.write(data)
        self._held += size
        if self._held >= _SYNC_BYTES:
            self.flush()
        return size

    def flush(self) -> None:
        if self._held:
            self._held = 0
            self._compressor.flush(*self._sync)

    def close(self) -> None:
        if not self.closed:
            try:
                self._compressor.close()
            finally:
                self._held = 0
                super().close()
