"""The Distributor's registers (IHI 0069H, 12.9) with one Security state and affinity routing."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.gicregs import GicdTyper

from .bench import CLRSPI, DISK, GICD_CTLR, ICFGR, IGROUPR, IPRIORITYR, IROUTER, ISENABLER, ISPENDR, SETSPI, UART, Bench

WORD = 0xFFFF_FFFF
ID_REGISTERS = {
    0xFFD0: 0x44, 0xFFD4: 0, 0xFFD8: 0, 0xFFDC: 0,
    0xFFE0: 0x92, 0xFFE4: 0xB4, 0xFFE8: 0x3B, 0xFFEC: 0,
    0xFFF0: 0x0D, 0xFFF4: 0xF0, 0xFFF8: 0x05, 0xFFFC: 0xB1,
}  # fmt: skip
SGIR, CPENDSGIR, SPENDSGIR, ITARGETSR, IGRPMODR, NSACR = 0xF00, 0xF10, 0xF20, 0x800, 0xD00, 0xE00


@pytest.mark.parametrize(
    ("offset", "reset", "writable"),
    [
        (GICD_CTLR, 0x50, 0x3),
        (0x0004, 0x0549_0007, 0),
        (0x0008, 0x0000_043B, 0),
        (0x000C, 0, 0),
        (0x0010, 0, 0),
        (SETSPI, 0, 0),
        (CLRSPI, 0, 0),
        (0x0050, 0, 0),
        (0x0058, 0, 0),
        (IGROUPR + 4, 0, WORD),
        (IGROUPR + 28, 0, WORD),
        (IPRIORITYR + 32, 0, 0xF8F8_F8F8),
        (IPRIORITYR + 252, 0, 0xF8F8_F8F8),
        (ICFGR + 8, 0, 0xAAAA_AAAA),
        (ICFGR + 60, 0, 0xAAAA_AAAA),
        (ITARGETSR + 32, 0, 0),
        (IGRPMODR + 4, 0, 0),
        (NSACR + 8, 0, 0),
        (SGIR, 0, 0),
        (CPENDSGIR, 0, 0),
        (SPENDSGIR, 0, 0),
        (IROUTER + 8 * 32, 0, 0x80FF_FFFF),
        (IROUTER + 8 * 32 + 4, 0, 0xFF),
        (IROUTER + 8 * 255, 0, 0x80FF_FFFF),
        *((offset, value, 0) for offset, value in ID_REGISTERS.items()),
    ],
)
def test_register(offset: int, reset: int, writable: int) -> None:
    bench = Bench()
    assert bench.gicd_read(offset) == reset
    bench.gicd(offset, WORD)
    assert bench.gicd_read(offset) == reset | writable
    bench.gicd(offset, 0)
    assert bench.gicd_read(offset) == reset & ~writable


@pytest.mark.parametrize("base", range(0x80, 0x400, 0x80))
@pytest.mark.parametrize("word", [0, 8, 31])
def test_bits_of_interrupts_that_the_distributor_does_not_have_are_res0(base: int, word: int) -> None:
    """Word 0 is the PEs' private interrupts, word 8 lies behind the last SPI."""
    bench = Bench(spis=224)
    bench.gicd(base + 4 * word, WORD)
    assert bench.gicd_read(base + 4 * word) == 0
    assert bench.sgi_read(0, ISENABLER) == bench.sgi_read(0, ISPENDR) == bench.sgi_read(0, IGROUPR) == 0


@pytest.mark.parametrize("intid", [0, 31, 256, 1019, 1020])
def test_other_registers_of_interrupts_that_the_distributor_does_not_have_are_res0(intid: int) -> None:
    bench = Bench(spis=224)
    for offset, width in ((IPRIORITYR + intid, 1), (ICFGR + intid // 16 * 4, 4), (IROUTER + 8 * intid, 8)):
        bench.gicd(offset, WORD, width)
        assert bench.gicd_read(offset, width) == 0


@pytest.mark.parametrize(("spis", "lines"), [(0, 0), (1, 1), (32, 1), (33, 2), (224, 7), (256, 8), (988, 31)])
def test_typer_counts_lines_in_steps_of_32(spis: int, lines: int) -> None:
    assert GicdTyper(Bench(spis=spis).gicd_read(4)).ITLinesNumber == lines


def test_typer_tells_what_there_is() -> None:
    typer = GicdTyper(Bench().gicd_read(4))
    assert typer.as_dict() == {
        "ESPI_range": 0, "RSS": 1, "No1N": 0, "A3V": 1, "IDbits": 9, "DVIS": 0, "LPIS": 0, "MBIS": 1, "num_LPIs": 0,
        "SecurityExtn": 0, "NMI": 0, "ESPI": 0, "CPUNumber": 0, "ITLinesNumber": 7,
    }  # fmt: skip


def test_an_incomplete_word_of_interrupts_has_the_bits_that_exist() -> None:
    bench = Bench(spis=5)
    bench.gicd(ISENABLER + 4, WORD)
    assert bench.gicd_read(ISENABLER + 4) == 0x1F
    bench.gicd(IPRIORITYR + 36, WORD)
    assert bench.gicd_read(IPRIORITYR + 36) == 0xF8


@pytest.mark.parametrize(("set_base", "clear_base"), [(0x100, 0x180), (0x200, 0x280), (0x300, 0x380)])
def test_set_and_clear_registers_are_two_views_of_one_state(set_base: int, clear_base: int) -> None:
    bench = Bench()
    bench.gicd(set_base + 4, 0xF0F0)
    bench.gicd(set_base + 4, 0x000F)
    assert bench.gicd_read(set_base + 4) == bench.gicd_read(clear_base + 4) == 0xF0FF
    bench.gicd(clear_base + 4, 0xF000)
    assert bench.gicd_read(set_base + 4) == bench.gicd_read(clear_base + 4) == 0x00FF


def test_priorities_are_bytes_and_words() -> None:
    bench = Bench()
    bench.gicd(IPRIORITYR + 32, 0x4030_2010)
    assert [bench.gicd_read(IPRIORITYR + 32 + n, 1) for n in range(4)] == [0x10, 0x20, 0x30, 0x40]
    bench.gicd(IPRIORITYR + 34, 0x88, 1)
    assert bench.gicd_read(IPRIORITYR + 32) == 0x4088_2010


def test_priorities_keep_their_upper_five_bits() -> None:
    bench = Bench()
    bench.gicd(IPRIORITYR + 40, 0xFF, 1)
    assert bench.gicd_read(IPRIORITYR + 40, 1) == 0xF8


def test_triggers_are_two_bits_an_interrupt_and_changing_one_leaves_the_others() -> None:
    bench = Bench()
    bench.gicd(ICFGR + 8, 0x8000_0802)
    bench.gicd(ICFGR + 12, 0x0000_0020)
    assert (bench.gicd_read(ICFGR + 8), bench.gicd_read(ICFGR + 12)) == (0x8000_0802, 0x0000_0020)
    bench.gicd(ICFGR + 8, 0x7FFF_FFDF)
    assert (bench.gicd_read(ICFGR + 8), bench.gicd_read(ICFGR + 12)) == (0x2AAA_AA8A, 0x0000_0020)


def test_routers_are_double_words_and_their_halves() -> None:
    bench = Bench()
    bench.gicd(IROUTER + 8 * UART, 0x12_0003_0201, 8)
    assert bench.gicd_read(IROUTER + 8 * UART) == 0x0003_0201
    assert bench.gicd_read(IROUTER + 8 * UART + 4) == 0x12
    bench.gicd(IROUTER + 8 * UART + 4, 0x34)
    bench.gicd(IROUTER + 8 * UART, 0x0006_0504)
    assert bench.gicd_read(IROUTER + 8 * UART, 8) == 0x34_0006_0504
    assert bench.gicd_read(IROUTER + 8 * DISK, 8) == 0


@pytest.mark.parametrize(
    ("offset", "width"),
    [
        (GICD_CTLR, 1),
        (GICD_CTLR, 2),
        (GICD_CTLR, 8),
        (GICD_CTLR + 1, 4),
        (IGROUPR + 4, 1),
        (ISENABLER + 4, 2),
        (ISENABLER + 4, 8),
        (ISENABLER + 6, 4),
        (IPRIORITYR + 32, 2),
        (IPRIORITYR + 32, 8),
        (IPRIORITYR + 33, 4),
        (ICFGR + 8, 1),
        (IROUTER + 8 * UART, 1),
        (IROUTER + 8 * UART, 2),
        (IROUTER + 8 * UART + 4, 8),
        (IROUTER + 8 * UART + 2, 4),
    ],
)
def test_accesses_of_another_size_or_unaligned_read_zero_and_write_nothing(offset: int, width: int) -> None:
    bench = Bench().start()
    whole = offset & ~7
    before = [bench.gicd_read(whole + 4 * n) for n in range(4)]
    bench.gicd(offset, (1 << 8 * width) - 1, width)
    assert bench.gicd_read(offset, width) == 0
    assert [bench.gicd_read(whole + 4 * n) for n in range(4)] == before


@pytest.mark.parametrize("width", [2, 4])
def test_a_message_makes_an_edge_triggered_interrupt_pending_once(width: int) -> None:
    bench = Bench().start()
    bench.edge(DISK)
    bench.gicd(SETSPI, DISK, width)
    assert bench.irq == [True]
    assert bench.acknowledge() == DISK
    assert bench.state(DISK) == "active"


def test_a_message_holds_a_level_sensitive_interrupt_until_it_is_taken_back() -> None:
    bench = Bench().start()
    bench.edge(UART)
    bench.gicd(SETSPI, 0xFFFF_E000 | DISK)
    assert bench.acknowledge() == DISK
    assert bench.state(DISK) == "active and pending"
    bench.gicd(CLRSPI, DISK, 2)
    assert bench.state(DISK) == "active"
    bench.end(DISK)
    assert bench.irq == [False]


def test_a_message_and_a_wire_assert_a_level_together() -> None:
    bench = Bench().start()
    bench.line(DISK, True)
    bench.gicd(SETSPI, DISK)
    bench.gicd(CLRSPI, DISK)
    assert bench.state(DISK) == "pending"
    bench.line(DISK, False)
    assert bench.state(DISK) == "inactive"


def test_a_message_can_take_back_what_set_pending_did() -> None:
    bench = Bench().start()
    for edge in (False, True):
        bench.edge(DISK, edge)
        bench.bit(ISPENDR, DISK)
        bench.gicd(CLRSPI, DISK)
        assert bench.state(DISK) == "inactive"


@pytest.mark.parametrize("intid", [0, 31, 256, 1019, 1023, 0x1FFF])
def test_messages_for_anything_but_an_spi_are_ignored(intid: int) -> None:
    bench = Bench().start()
    for offset in (SETSPI, CLRSPI):
        bench.gicd(offset, intid)
    assert bench.edges == []
    assert [bench.gicd_read(ISPENDR + 4 * word) for word in range(32)] == [0] * 32


@pytest.mark.parametrize("offset", [0x50, 0x58])
def test_the_secure_message_registers_ignore_writes(offset: int) -> None:
    bench = Bench().start()
    bench.gicd(SETSPI, UART)
    bench.gicd(offset, DISK)
    bench.gicd(offset, UART)
    assert (bench.state(DISK), bench.state(UART)) == ("inactive", "pending")
