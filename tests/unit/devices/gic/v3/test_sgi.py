"""Software generated interrupts: targets and groups (IHI 0069H, 4.4, 8.1 and 12.2)."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.gicregs import IccSgi1r

from .bench import ICENABLER, ISENABLER, SPURIOUS, Bench

CLUSTERS = (0x00_0000_0000, 0x00_0000_0001, 0x00_0000_000F, 0x00_0000_0010, 0x00_0000_0100, 0x00_0001_0001)
WIDE = (0x00_0000_0002, 0x00_0000_00F2, 0x07_0000_0002, 0x07_0000_00F2)


def heard(bench: Bench) -> list[int]:
    return [cpu for cpu in bench.cpus if bench.irq[cpu] or bench.fiq[cpu]]


@pytest.mark.parametrize(
    ("fields", "cpus"),
    [
        ({"TargetList": 0b0001}, [0]),
        ({"TargetList": 0b0011}, [0, 1]),
        ({"TargetList": 0x8000}, [2]),
        ({"TargetList": 0xFFFF}, [0, 1, 2]),
        ({"TargetList": 0b0100}, []),
        ({"TargetList": 0}, []),
        ({"TargetList": 0xFFFF, "RS": 1}, [3]),
        ({"TargetList": 0xFFFE, "RS": 1}, []),
        ({"TargetList": 0xFFFF, "RS": 2}, []),
        ({"TargetList": 0b0001, "Aff1": 1}, [4]),
        ({"TargetList": 0b0010, "Aff1": 1}, []),
        ({"TargetList": 0b0010, "Aff2": 1}, [5]),
        ({"TargetList": 0xFFFF, "Aff2": 1, "RS": 1}, []),
        ({"TargetList": 0xFFFF, "Aff3": 1}, []),
        ({"TargetList": 0xFFFF, "Aff1": 0xFF, "Aff2": 0xFF, "Aff3": 0xFF, "RS": 0xF}, []),
    ],
)
def test_a_target_list_names_pes_of_one_cluster(fields: dict[str, int], cpus: list[int]) -> None:
    bench = Bench(CLUSTERS).start()
    bench.icc("SGI1R", IccSgi1r.of(INTID=5, **fields), cpu=1)
    assert heard(bench) == cpus
    assert [bench.acknowledge(cpu) for cpu in cpus] == [5] * len(cpus)


@pytest.mark.parametrize(
    ("aff3", "range_selector", "cpus"), [(0, 0, [0]), (0, 15, [1]), (7, 0, [2]), (7, 15, [3]), (7, 1, [])]
)
def test_range_selector_and_affinity_3_select_a_range_of_16(aff3: int, range_selector: int, cpus: list[int]) -> None:
    bench = Bench(WIDE).start()
    bench.icc("SGI1R", IccSgi1r.of(INTID=15, Aff3=aff3, RS=range_selector, TargetList=0b0100))
    assert heard(bench) == cpus


@pytest.mark.parametrize("sender", range(len(CLUSTERS)))
def test_the_routing_mode_names_all_but_the_sender(sender: int) -> None:
    bench = Bench(CLUSTERS).start()
    bench.icc("SGI1R", IccSgi1r.of(INTID=0, IRM=1, TargetList=1 << sender % 16, Aff1=9), cpu=sender)
    assert heard(bench) == [cpu for cpu in range(len(CLUSTERS)) if cpu != sender]


def test_a_pe_can_interrupt_itself_by_name() -> None:
    bench = Bench().start()
    bench.icc("SGI1R", IccSgi1r.of(INTID=9, TargetList=1))
    assert bench.acknowledge() == 9
    bench.end(9)
    assert bench.acknowledge() == SPURIOUS


def test_the_same_sgi_twice_before_it_is_taken_comes_once() -> None:
    bench = Bench((0, 1, 2)).start()
    for sender in (0, 1):
        bench.icc("SGI1R", IccSgi1r.of(INTID=3, TargetList=0b100), cpu=sender)
    assert bench.acknowledge(2) == 3
    bench.end(3, 2)
    assert bench.acknowledge(2) == SPURIOUS


def test_a_disabled_sgi_waits() -> None:
    bench = Bench().start()
    bench.bit(ICENABLER, 3)
    bench.icc("SGI1R", IccSgi1r.of(INTID=3, TargetList=1))
    assert bench.irq == [False]
    bench.bit(ISENABLER, 3)
    assert bench.irq == [True]


@pytest.mark.parametrize(
    ("register", "group", "arrives"),
    [
        ("SGI1R", 1, True),
        ("SGI1R", 0, True),
        ("SGI0R", 1, False),
        ("SGI0R", 0, True),
        ("ASGI1R", 1, False),
        ("ASGI1R", 0, True),
    ],
)
def test_the_group_at_the_target_decides_which_register_reaches_it(register: str, group: int, arrives: bool) -> None:
    bench = Bench((0, 1)).start(group=group)
    bench.icc(register, IccSgi1r.of(INTID=7, TargetList=0b10))
    assert bench.irq == [False, arrives and group == 1]
    assert bench.fiq == [False, arrives and group == 0]
    assert bench.state(7, cpu=1) == ("pending" if arrives else "inactive")


def test_each_target_decides_by_its_own_group() -> None:
    bench = Bench((0, 1, 2)).start()
    bench.group(7, 0, cpu=2)
    bench.icc("SGI0R", IccSgi1r.of(INTID=7, TargetList=0b111))
    assert heard(bench) == [2]
