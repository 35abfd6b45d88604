"""The memory of a virtual machine's host: frames, and the memory given to a guest."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import pytest

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.errors import MemoryMapError
from arm_vcpu_cli.host.machine_host import Host


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


def frame(host: Host) -> int:
    paddr = host.alloc_frame()
    assert paddr is not None
    return paddr


def test_a_frame_that_is_given_back_is_taken_again_and_zero(host: Host) -> None:
    paddr = frame(host)
    host.memory(paddr, 4)[:] = b"used"
    host.dealloc_frame(paddr)
    assert frame(host) == paddr
    assert host.memory(paddr, PAGE_SIZE) == bytes(PAGE_SIZE)
    host.dealloc_frame(paddr)


def test_a_frame_that_is_free_already_is_refused(host: Host) -> None:
    paddr = frame(host)
    host.dealloc_frame(paddr)
    with pytest.raises(MemoryMapError, match=f"{paddr:#x} is a frame that is free already"):
        host.dealloc_frame(paddr)
    with pytest.raises(MemoryMapError, match="free already"):
        host.dealloc_frame(paddr + PAGE_SIZE * 100)
    assert frame(host) != frame(host), "no frame is given out twice"


@pytest.mark.parametrize("offset", [1, -PAGE_SIZE * 20_000, PAGE_SIZE * 20_000])
def test_what_is_no_frame_cannot_be_given_back(host: Host, offset: int) -> None:
    with pytest.raises(MemoryMapError, match="is not a frame"):
        host.dealloc_frame(frame(host) + offset)


@pytest.mark.parametrize("count", [2, 3, 16])
def test_frames_in_a_row_are_aligned_apart_from_others_and_can_be_given_back(host: Host, count: int) -> None:
    single = frame(host)
    first = host.alloc_frames(count)
    assert first is not None
    assert first % (PAGE_SIZE << (count - 1).bit_length()) == 0
    frames = range(first, first + count * PAGE_SIZE, PAGE_SIZE)
    assert single not in frames
    assert frame(host) not in frames
    for paddr in frames:
        host.dealloc_frame(paddr)
    assert host.alloc_frame() in frames


def test_what_alignment_passes_over_is_taken_next_and_all_frames_can_be_taken() -> None:
    with Host() as host:
        single, row = frame(host), host.alloc_frames(16)
        assert row is not None
        assert [frame(host) for _ in range(16)] == [
            *range(single + PAGE_SIZE, row, PAGE_SIZE),
            row + 16 * PAGE_SIZE,
        ]
        taken = {single, row}
        while (paddr := host.alloc_frame()) is not None:
            assert paddr not in taken
            taken.add(paddr)
        assert len(taken) == 16384 - 31
        host.dealloc_frame(row)
        assert host.alloc_frames(2) is None
        assert host.alloc_frame() == row


def test_memory_that_the_host_refuses_is_named_by_its_size_with_what_to_do(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> mmap.mmap:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(MemoryMapError) as caught:
        host.alloc_guest_memory(3 << 40, 0x4000_0000)
    assert str(caught.value) == (
        "the host refuses 3 TiB of memory (Cannot allocate memory); ask for less with --memory or memory.<name>.size"
    )
