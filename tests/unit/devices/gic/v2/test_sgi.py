"""SGIs: their targets and senders (IHI 0048B, 4.3.15 to 4.3.17)."""

from __future__ import annotations

import pytest

from .bench import (
    CPENDSGIR,
    CTLR,
    DIR,
    EOI_MODE,
    GRP0,
    HPPIR,
    ISACTIVER,
    ISPENDR,
    ONES,
    SGIR,
    SPENDSGIR,
    SPURIOUS,
    Bench,
    sgi,
)


@pytest.mark.parametrize(
    ("value", "receivers"),
    [
        (sgi(3, to=0b0001), [0]),
        (sgi(3, to=0b1010), [1, 3]),
        (sgi(3, to=0xF0), []),
        (sgi(3), []),
        (sgi(3, to=0xFF, mode=1), [0, 1, 3]),
        (sgi(3, to=0xFF, mode=2), [2]),
        (sgi(3, to=0xFF, mode=3), []),
        (sgi(3, to=0b0010) | 0xFC00_FFF0, [1]),
    ],
)
def test_the_filter_says_who_gets_it(value: int, receivers: list[int]) -> None:
    bench = Bench(4).start()
    bench.gicd(SGIR, value, cpu=2)
    assert [cpu for cpu in bench.cpus if bench.irq[cpu]] == receivers
    for cpu in receivers:
        assert bench.acknowledge(cpu) == 2 << 10 | 3


def test_the_register_is_write_only() -> None:
    bench = Bench(2).start()
    bench.gicd(SGIR, sgi(3, to=2))
    assert bench.gicd_read(SGIR) == 0


def test_each_sender_is_told_apart_the_lowest_first() -> None:
    bench = Bench(4).start()
    for sender in (3, 1, 2):
        bench.gicd(SGIR, sgi(5, to=1), sender)
        bench.gicd(SGIR, sgi(5, to=1), sender)
    assert bench.gicd_read(SPENDSGIR + 4) == bench.gicd_read(CPENDSGIR + 4) == 0b1110 << 8
    taken = []
    while (value := bench.acknowledge()) != SPURIOUS:
        taken.append(value)
        bench.end(value)
    assert taken == [1 << 10 | 5, 2 << 10 | 5, 3 << 10 | 5]
    assert bench.gicd_read(SPENDSGIR + 4) == 0
    assert bench.gicd_read(ISPENDR) == 0


def test_the_next_sender_waits_until_the_first_has_ended() -> None:
    bench = Bench(2).start()
    bench.gicd(SGIR, sgi(5, to=1), cpu=0)
    bench.gicd(SGIR, sgi(5, to=1), cpu=1)
    assert bench.acknowledge() == 5
    assert bench.state(5) == "active and pending"
    assert not bench.irq[0]
    bench.end(5)
    assert bench.gicc_read(HPPIR) == 1 << 10 | 5
    assert bench.acknowledge() == 1 << 10 | 5


def test_an_sgi_is_ended_with_its_sender() -> None:
    bench = Bench(2).start()
    bench.gicd(SGIR, sgi(5, to=1), cpu=1)
    value = bench.acknowledge()
    bench.end(5)
    assert bench.state(5) == "active"
    bench.gicc(CTLR, GRP0 | EOI_MODE)
    bench.gicc(DIR, 5)
    assert bench.state(5) == "active"
    bench.gicc(DIR, value)
    assert bench.state(5) == "inactive"


def test_an_sgi_that_is_made_active_is_the_pes_own() -> None:
    bench = Bench(2).start(control=GRP0 | EOI_MODE)
    bench.bit(ISACTIVER, 5, cpu=1)
    bench.gicc(DIR, 5, cpu=1)
    assert bench.state(5, cpu=1) == "active"
    bench.gicc(DIR, 1 << 10 | 5, cpu=1)
    assert bench.state(5, cpu=1) == "inactive"


def test_an_active_sgi_that_is_made_active_once_more_keeps_its_sender() -> None:
    bench = Bench(2).start()
    bench.gicd(SGIR, sgi(5, to=1), cpu=1)
    value = bench.acknowledge()
    bench.bit(ISACTIVER, 5)
    bench.end(value)
    assert bench.state(5) == "inactive"


def test_pending_sgis_can_be_saved_and_restored_by_sender() -> None:
    bench = Bench(3).start()
    bench.gicd(SPENDSGIR + 5, 0b110, width=1)
    assert bench.irq[0]
    assert bench.gicd_read(SPENDSGIR + 5, width=1) == 0b110
    bench.gicd(CPENDSGIR + 4, 0b010 << 8)
    assert bench.gicd_read(SPENDSGIR + 4) == 0b100 << 8
    bench.gicd(CPENDSGIR + 5, 0xFF, width=1)
    assert not bench.irq[0]
    bench.gicd(SPENDSGIR + 12, ONES)
    assert bench.gicd_read(CPENDSGIR + 12) == 0x0707_0707
    assert bench.gicd_read(ISPENDR) == 0xF000
    assert bench.gicd_read(ISPENDR, cpu=1) == 0


def test_sgis_are_pending_while_the_distributor_is_off() -> None:
    bench = Bench(2)
    bench.gicd(SGIR, sgi(1, to=2))
    assert not bench.irq[1]
    bench.start()
    assert bench.acknowledge(1) == 1


def test_the_lowest_sgi_of_one_priority_comes_first() -> None:
    bench = Bench(2).start()
    bench.gicd(SGIR, sgi(2, to=2))
    bench.gicd(SGIR, sgi(1, to=2), cpu=1)
    assert bench.acknowledge(1) == 1 << 10 | 1
