"""Messages in the log buffer of a Linux kernel: rings of every shape, and invalid memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.guest.kernel_log import Message, last_messages
from tests.unit.guest.kernel_log_writer import BASE, LogWriter

TEXTS = [b"Booting Linux", b"Linux version 6.1", b"", b"Kernel panic - not syncing: no memory"]


def texts_of(log: LogWriter, most: int = 100) -> list[str]:
    return [message.text for message in last_messages(bytes(log.memory), log.read, most)]


@pytest.mark.parametrize("info_size", [88, 96, 112])
@pytest.mark.parametrize("last_finalised", [True, False], ids=["5.19", "5.10"])
def test_a_log_is_found_without_symbols(info_size: int, last_finalised: bool) -> None:
    log = LogWriter(info_size=info_size, last_finalised=last_finalised)
    log.write_all(TEXTS)
    assert texts_of(log) == [text.decode() for text in TEXTS]
    assert texts_of(log, 2) == ["", "Kernel panic - not syncing: no memory"]


def test_a_single_message_is_a_log() -> None:
    log = LogWriter()
    log.write(b"Booting Linux", 1_234_567_891, level=3)
    (message,) = last_messages(bytes(log.memory), log.read, 10)
    assert message == Message(1_234_567_891, 3, "Booting Linux")
    assert list(message.lines()) == ["[    1.234567] Booting Linux"]


def test_each_line_of_a_message_has_its_time() -> None:
    log = LogWriter()
    log.write(b"one\ntwo\x1b[2J", 5_000)
    assert [line for each in last_messages(bytes(log.memory), log.read, 1) for line in each.lines()] == [
        "[    0.000005] one",
        "[    0.000005] two\ufffd[2J",
    ]


def test_messages_without_text_and_those_being_written_are_no_obstacle() -> None:
    log = LogWriter()
    log.write(b"before")
    log.write(b"", without_text=True)
    log.write(b"half", state=0)
    log.write(b"committed", state=1)
    assert texts_of(log) == ["before", "", "committed"]


def test_of_two_logs_the_later_one_counts() -> None:
    log = LogWriter()
    log.write_all(TEXTS)
    other = LogWriter(count_bits=6, at=0x4000, memory=log.memory)
    other.write_all([*TEXTS, b"later"])
    assert texts_of(other)[-1] == "later"


def test_a_log_that_is_not_mapped_is_none() -> None:
    log = LogWriter()
    log.write_all(TEXTS)
    assert last_messages(bytes(log.memory), lambda _address, _size: None, 10) == []


@given(st.lists(st.binary(max_size=200).map(lambda raw: raw.hex().encode()), min_size=1, max_size=120))
def test_a_ring_that_has_been_round_has_its_last_messages(texts: list[bytes]) -> None:
    log = LogWriter()
    log.write_all(texts)
    kept = log.head_number - log.tail_number + 1
    assert texts_of(log, 1000) == [text.decode() for text in texts[-kept:]]


@given(st.data())
def test_damaged_memory_is_read_without_an_error(data: st.DataObject) -> None:
    log = LogWriter()
    log.write_all(TEXTS)
    size = data.draw(st.integers(0, len(log.memory)))
    for _ in range(data.draw(st.integers(0, 20))):
        log.memory[data.draw(st.integers(0x100, 0x800))] = data.draw(st.integers(0, 255))
    for message in last_messages(bytes(log.memory[:size]), log.read, 50):
        assert message.text.replace("\n", "").isprintable()


@given(st.lists(st.sampled_from([0, 5, 17, BASE, BASE + 0x100, (1 << 64) - 1, 1 << 63]), max_size=200))
def test_any_words_are_no_error(words: list[int]) -> None:
    memory = b"".join(word.to_bytes(8, "little") for word in words)

    def read(address: int, size: int) -> bytes | None:
        return memory[:size].ljust(size, b"\xff") if address >= BASE else None

    last_messages(memory, read, 20)
