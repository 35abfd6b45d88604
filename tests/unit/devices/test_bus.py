"""The device bus: which device answers at an address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.regions import EmptyTransports, ReadAsZero
from arm_vcpu_cli.errors import MemoryMapError

DEVICE = ReadAsZero()


def bus_of(*windows: tuple[str, int, int]) -> Bus:
    bus = Bus()
    for name, base, size in windows:
        bus.add(name, base, size, DEVICE)
    return bus


@pytest.mark.parametrize(
    ("ipa", "width", "name"),
    [
        (0xFFF, 1, None),
        (0x1000, 1, "a"),
        (0x1000, 8, "a"),
        (0x1FFF, 1, "a"),
        (0x1FFC, 4, "a"),
        (0x1FFD, 4, None),
        (0x1FFF, 2, None),
        (0x2000, 1, None),
        (0x2FFF, 1, None),
        (0x3000, 1, "b"),
        (0x300F, 1, "b"),
        (0x3010, 1, None),
        (0, 1, None),
        (1 << 48, 8, None),
    ],
)
def test_an_access_finds_the_window_that_holds_all_of_it(ipa: int, width: int, name: str | None) -> None:
    window = bus_of(("b", 0x3000, 0x10), ("a", 0x1000, 0x1000)).find(ipa, width)
    assert (window.name if window is not None else None) == name


def test_an_access_across_two_neighbours_belongs_to_neither() -> None:
    bus = bus_of(("a", 0x1000, 0x10), ("b", 0x1010, 0x10))
    assert bus.find(0x100C, 8) is None
    found = bus.find(0x1010, 8)
    assert found is not None
    assert found.name == "b"


@pytest.mark.parametrize(
    ("base", "size"), [(0x1000, 0x1000), (0x1FFF, 1), (0xFFF, 2), (0x1800, 0x10), (0, 0x10_0000), (0x1000, 1)]
)
def test_overlap_is_refused_naming_both_and_leaves_the_bus_as_it_was(base: int, size: int) -> None:
    bus = bus_of(("first", 0x1000, 0x1000))
    with pytest.raises(MemoryMapError, match=r"second at .* overlaps first at 0x1000-0x1fff"):
        bus.add("second", base, size, DEVICE)
    assert [window.name for window in bus.windows()] == ["first"]


@pytest.mark.parametrize(("base", "size"), [(0xFFF, 1), (0x2000, 1)])
def test_neighbours_do_not_overlap(base: int, size: int) -> None:
    bus = bus_of(("first", 0x1000, 0x1000))
    bus.add("second", base, size, DEVICE)
    assert len(bus.windows()) == 2


@pytest.mark.parametrize("size", [0, -1])
def test_a_window_without_a_size_is_refused(size: int) -> None:
    with pytest.raises(MemoryMapError, match="size"):
        Bus().add("nothing", 0x1000, size, DEVICE)


@given(
    windows=st.lists(st.tuples(st.integers(0, 63), st.integers(1, 12)), max_size=8),
    ipa=st.integers(0, 80),
    width=st.sampled_from((1, 2, 4, 8)),
)
def test_the_bus_agrees_with_a_map_of_bytes(windows: list[tuple[int, int]], ipa: int, width: int) -> None:
    bus, owner = Bus(), dict[int, str]()
    for number, (base, size) in enumerate(windows):
        covered = range(base, base + size)
        if any(address in owner for address in covered):
            with pytest.raises(MemoryMapError):
                bus.add(str(number), base, size, DEVICE)
        else:
            bus.add(str(number), base, size, DEVICE)
            owner.update(dict.fromkeys(covered, str(number)))
    owners = {owner.get(address) for address in range(ipa, ipa + width)}
    expected = owners.pop() if len(owners) == 1 else None
    window = bus.find(ipa, width)
    assert (window.name if window is not None else None) == expected
    assert [each.base for each in bus.windows()] == sorted(each.base for each in bus.windows())


def test_empty_transports_give_way_to_a_device() -> None:
    bus = Bus()
    bus.add("virtio", 0x1000, 0x4000, EmptyTransports())
    bus.add("own", 0x2000, 0x1000, DEVICE)
    assert [window.name for window in bus.windows()] == ["own"]
    assert bus.find(0x1000) is None
    with pytest.raises(MemoryMapError, match="overlaps own"):
        bus.add("virtio", 0x1000, 0x4000, EmptyTransports())
