"""Images of memory: restoring yields what was taken, and identical pages are shared."""

from __future__ import annotations

import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.debug import pages
from arm_vcpu_cli.debug.pages import PageStore, memory_of

PAGE = 4096
SIZES = (3 << 20, PAGE * 20, PAGE + 512)
WRITES = st.lists(
    st.tuples(st.sampled_from(range(len(SIZES))), st.floats(0, 0.9999), st.sampled_from((b"\0", b"\1", b"abc"))),
    max_size=12,
)


def memory() -> list[memoryview]:
    return [memoryview(mmap.mmap(-1, -(-size // PAGE) * PAGE))[:size] for size in SIZES]


def write(regions: list[memoryview], writes: list[tuple[int, float, bytes]]) -> None:
    for region, place, data in writes:
        at = int(place * SIZES[region])
        data = data[: SIZES[region] - at]
        regions[region][at : at + len(data)] = data


@pytest.mark.parametrize("pagemap", ["/proc/self/pagemap", "/nowhere"])
@given(rounds=st.lists(WRITES, min_size=1, max_size=5), back=st.lists(st.integers(0, 4), max_size=6), last=WRITES)
def test_what_was_taken_is_put_back(
    pagemap: str, rounds: list[list[tuple[int, float, bytes]]], back: list[int], last: list[tuple[int, float, bytes]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "_PAGEMAP", pagemap)
        regions = memory()
        store = PageStore(regions)
        images, contents = [], []
        for writes in rounds:
            write(regions, writes)
            images.append(store.take())
            contents.append([bytes(region) for region in regions])
        write(regions, last)
        for number in back:
            chosen = number % len(images)
            before = [bytes(region) for region in regions]
            written = store.put(images[chosen])
            assert [bytes(region) for region in regions] == contents[chosen]
            for region, (old, new) in enumerate(zip(before, contents[chosen], strict=True)):
                for at in range(0, SIZES[region], PAGE):
                    if old[at : at + PAGE] != new[at : at + PAGE]:
                        assert any(r.region == region and r.offset <= at < r.offset + r.size for r in written)
            write(regions, last)
        store.close()


def test_pages_that_have_not_changed_are_shared() -> None:
    regions = memory()
    store = PageStore(regions)
    write(regions, [(0, 0.5, b"\1"), (1, 0.5, b"\2")])
    first = store.take()
    assert memory_of([first]) == 2 * PAGE
    write(regions, [(1, 0.5, b"\3")])
    second = store.take()
    assert second[0] == first[0] and second[0][0] is first[0][0]
    assert memory_of([first, second]) == 3 * PAGE
    write(regions, [(0, 0.5, b"\0"), (1, 0.5, b"\0")])
    assert memory_of([store.take()]) == 0
    assert store.put(second) and not store.put(second)
