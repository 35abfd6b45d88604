"""The stand-ins for hardware that a guest only touches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.devices.irq import unconnected
from arm_vcpu_cli.devices.regions import EmptyTransports, ReadAsZero, Scratch

WIDTHS = st.sampled_from((1, 2, 4, 8))


def test_a_zero_device_forgets_what_is_written() -> None:
    device = ReadAsZero()
    device.write(4, 4, 0xFFFF_FFFF)
    assert [device.read(offset, 8) for offset in (0, 4, 0xFF8)] == [0, 0, 0]


def test_a_transport_without_a_device_says_so() -> None:
    device = EmptyTransports()
    device.write(0x70, 4, 1)
    for slot in (0, 0x200, 31 * 0x200):
        assert [device.read(slot + offset, 4) for offset in (0, 4, 8, 0xC, 0x70, 0x1FC)] == [0x7472_6976, 2, 0, 0, 0, 0]
        assert bytes(device.read(slot + n, 1) for n in range(4)) == b"virt"
    names = [device.register_name(offset, 4) for offset in (0, 0x204, 0x3E08, 0x0C)]
    assert names == ["virtio0.MagicValue", "virtio1.Version", "virtio31.DeviceID", ""]
    assert device.register_meaning(0x208, 4, 0) == "no device"


def test_scratch_registers_keep_bytes_little_endian_across_widths() -> None:
    device = Scratch(0x100)
    device.write(0x10, 4, 0x1122_3344)
    device.write(0x12, 1, 0xAA)
    assert device.read(0x10, 4) == 0x11AA_3344
    assert device.read(0x10, 1) == 0x44
    assert device.read(0x0F, 2) == 0x4400
    assert device.read(0x14, 8) == 0


def test_scratch_registers_end_at_their_size() -> None:
    device = Scratch(0x10)
    device.write(0xC, 8, 0x1122_3344_5566_7788)
    device.write(0x20, 4, 0xFFFF_FFFF)
    assert device.read(0xC, 4) == 0x5566_7788
    assert device.read(0x10, 4) == 0
    assert device.read(0x20, 4) == 0


@given(
    writes=st.lists(st.tuples(st.integers(0, 24), WIDTHS, st.integers(0, 2**64 - 1)), max_size=20),
    offset=st.integers(0, 24),
    width=WIDTHS,
)
def test_scratch_agrees_with_memory(writes: list[tuple[int, int, int]], offset: int, width: int) -> None:
    device, memory = Scratch(32), bytearray(32)
    for at, size, value in writes:
        value &= (1 << 8 * size) - 1
        device.write(at, size, value)
        memory[at : at + size] = value.to_bytes(size, "little")
    assert device.read(offset, width) == int.from_bytes(memory[offset : offset + width], "little")


def test_a_line_that_leads_nowhere_takes_any_level() -> None:
    unconnected(True)
    unconnected(False)
