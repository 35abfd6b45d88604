"""Comparison of traces that differ in known places."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.trace.diff import MAX_HUNK, MIN_WINDOW, Hunk, Totals, align, hunks
from arm_vcpu_cli.trace.diffkeys import TIMES, Comparison, Side
from arm_vcpu_cli.trace.event import EVENT_TYPES
from arm_vcpu_cli.trace.jsonlines import JsonLinesSink
from arm_vcpu_cli.trace.reader import TraceReader
from arm_vcpu_cli.trace.records import event_of
from arm_vcpu_cli.trace.text import event_line

from .jsonlines import END, event, exit_, read, trace, write
from .traces import EVENTS, play

Events = Sequence[Mapping[str, Any]]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def numbered(events: Events) -> list[dict[str, Any]]:
    """The events one after another."""
    return [{**each, "seq": number, "time_ns": 100 * number} for number, each in enumerate(events, 1)]


def compare(
    tmp_path: Path, a: Events, b: Events, comparison: Comparison | None = None, *, window: int = 1 << 14,
    context: int = 3,
) -> tuple[Totals, list[Hunk]]:  # fmt: skip
    comparison = Comparison() if comparison is None else comparison
    paths = trace(tmp_path / "a.jsonl", a), trace(tmp_path / "b.jsonl", b)
    totals = Totals()
    with TraceReader(paths[0]) as first, TraceReader(paths[1]) as second:
        sides = Side(first, comparison), Side(second, comparison)
        found = list(hunks(align(*sides, comparison, window), context, totals))
        assert sum(sides[0].counts.values()) == totals.same + totals.changed + totals.only_a
        assert sum(sides[1].counts.values()) == totals.same + totals.changed + totals.only_b
    return totals, found


def numbers(totals: Totals) -> tuple[int, int, int, int]:
    return totals.same, totals.changed, totals.only_a, totals.only_b


def shape(hunk: Hunk) -> str:
    """A letter for each pair: same, changed, only in A or B."""
    return "".join(
        "-" if second is None else "+" if first is None else "=" if first.key == second.key else "!"
        for first, second in hunk.pairs
    )


def typed(text: str) -> list[dict[str, Any]]:
    """What a guest does that prints."""
    return [each for char in text for each in (read(0x90), write(char))]


def test_a_trace_is_the_same_as_itself(tmp_path: Path) -> None:
    events = numbered(typed(LETTERS))
    totals, found = compare(tmp_path, events, events)
    # The end of the run is compared as well.
    assert numbers(totals) == (53, 0, 0, 0)
    assert not totals.differ
    assert found == []


def test_numbers_and_times_are_not_compared_unless_asked_for(tmp_path: Path) -> None:
    a = [write("x", 1, 100, host_ns=7), event("irq", 1, 5, action="ended", intid=27, latency_ns=5)]
    b = [write("x", 9, 999, host_ns=8), event("irq", 9, 6, action="ended", intid=27, latency_ns=6)]
    assert not compare(tmp_path, a, b)[0].differ
    totals, _ = compare(tmp_path, a, b, Comparison(frozenset()))
    assert numbers(totals) == (1, 2, 0, 0)


@pytest.mark.parametrize("place", [0, 1, 25, 50, 51])
def test_one_event_more_is_one_event_more(tmp_path: Path, place: int) -> None:
    a = typed(LETTERS)
    b = [*a[:place], exit_("Halt"), *a[place:]]
    totals, [hunk] = compare(tmp_path, numbered(a), numbered(b))
    assert numbers(totals) == (53, 0, 0, 1)
    assert shape(hunk) == "=" * min(place, 3) + "+" + "=" * min(53 - place, 3)
    totals, [hunk] = compare(tmp_path, numbered(b), numbered(a))
    assert numbers(totals) == (53, 0, 1, 0)
    assert totals.first is not None
    first, second = totals.first
    assert first is not None
    assert second is None
    assert first.number == place + 2


def test_an_event_that_came_out_differently_is_one_change(tmp_path: Path) -> None:
    a = typed(LETTERS)
    b = [*a]
    b[20] = read(0x98)
    totals, [hunk] = compare(tmp_path, numbered(a), numbered(b))
    assert numbers(totals) == (52, 1, 0, 0)
    assert shape(hunk) == "===!==="


def test_a_letter_more_on_the_console_does_not_spoil_the_rest(tmp_path: Path) -> None:
    a, b = typed("the quick brown fox"), typed("the quick browwn fox")
    totals, found = compare(tmp_path, numbered(a), numbered(b))
    assert len(found) == 1
    assert numbers(totals) == (39, 0, 0, 2)


def test_a_counter_that_differs_at_each_event_is_a_change_of_each(tmp_path: Path) -> None:
    def counter(start: int) -> list[dict[str, Any]]:
        return [
            each
            for n in range(300)
            for each in (
                exit_("SysRegRead", sysreg="CNTVCT_EL0", reg="x0", value=hex(start + n)),
                write(LETTERS[n % 26]),
            )
        ]

    totals, _ = compare(tmp_path, numbered(counter(1000)), numbered(counter(5000)))
    assert numbers(totals) == (301, 300, 0, 0)


def test_a_longer_wait_in_a_loop_is_found_behind_a_thousand_events(tmp_path: Path) -> None:
    before, behind = typed(LETTERS), typed(LETTERS[::-1])
    a = [*before, *([read(0x98)] * 20), *behind]
    b = [*before, *([read(0x98)] * 3020), *behind]
    totals, found = compare(tmp_path, numbered(a), numbered(b))
    assert numbers(totals) == (len(a) + 1, 0, 0, 3000)
    assert len(found) == 1
    assert len(found[0].pairs) + found[0].omitted == 3 + 3000 + (0 if found[0].omitted else 3)
    assert len(found[0].pairs) <= MAX_HUNK


def test_traces_meet_again_behind_something_else_altogether(tmp_path: Path) -> None:
    def calls(name: str, count: int) -> list[dict[str, Any]]:
        return [exit_("Hypercall", conduit="hvc", nr=hex(n), call=f"{name}{n}") for n in range(count)]

    a = [*typed(LETTERS), *calls("A", 300), *typed(LETTERS[::-1])]
    b = [*typed(LETTERS), *calls("B", 200), *typed(LETTERS[::-1])]
    totals, found = compare(tmp_path, numbered(a), numbered(b))
    assert totals.same == 105
    assert (totals.changed + totals.only_a, totals.changed + totals.only_b) == (300, 200)
    assert len(found) == 1


def test_traces_with_nothing_in_common_are_told_apart_in_a_bounded_window(tmp_path: Path) -> None:
    a = [write(LETTERS[n % 26]) for n in range(700)]
    b = [exit_("Hypercall", conduit="hvc", nr=hex(n), call="F") for n in range(500)]
    totals, _ = compare(tmp_path, numbered(a), numbered(b), window=MIN_WINDOW)
    assert numbers(totals) == (1, 0, 700, 500)


def test_one_trace_that_is_cut_short_lacks_its_end(tmp_path: Path) -> None:
    events = numbered(typed(LETTERS))
    totals, [hunk] = compare(tmp_path, events, events[:-5])
    assert numbers(totals) == (48, 0, 5, 0)
    assert shape(hunk) == "===" + "-----" + "="


def test_how_the_run_ended_is_compared(tmp_path: Path) -> None:
    paths = trace(tmp_path / "a.jsonl", [write("x")]), trace(tmp_path / "b.jsonl", [write("x")], closed=False)
    with paths[1].open("a") as file:
        file.write(str({**END, "status": 122, "ending": "panic"}).replace("'", '"') + "\n")
    totals = Totals()
    comparison = Comparison()
    with TraceReader(paths[0]) as first, TraceReader(paths[1]) as second:
        list(hunks(align(Side(first, comparison), Side(second, comparison), comparison), 3, totals))
    assert numbers(totals) == (1, 1, 0, 0)


def test_differences_close_to_each_other_are_one_hunk(tmp_path: Path) -> None:
    a = [write(char) for char in LETTERS]
    for distance, expected in ((6, 1), (7, 2)):
        b = [*a]
        b[5] = b[5 + distance + 1] = read(0x90)
        _, found = compare(tmp_path, numbered(a), numbered(b))
        assert len(found) == expected
        assert sum(len(hunk.pairs) for hunk in found) == sum(shape(hunk).count("=") for hunk in found) + 4


@pytest.mark.parametrize("context", [0, 1, 5])
def test_context_is_as_long_as_asked_for(tmp_path: Path, context: int) -> None:
    a = typed(LETTERS)
    _, [hunk] = compare(tmp_path, numbered(a), numbered([*a[:20], *a[21:]]), context=context)
    assert shape(hunk) == "=" * context + "-" + "=" * context


def test_an_ignored_property_does_not_count(tmp_path: Path) -> None:
    a, b = numbered(typed("abc")), numbered([*typed("ab"), read(0x98), write("c")])
    assert compare(tmp_path, a, b)[0].changed == 1
    assert not compare(tmp_path, a, b, Comparison(TIMES | {"value"}))[0].differ


def test_another_build_is_the_same_by_its_functions(tmp_path: Path) -> None:
    def built(base: int, offset: int, register: str) -> list[dict[str, Any]]:
        place: dict[str, Any] = {"pc": hex(base), "symbol": f"uart_getc+{offset:#x}", "source": f"uart.c:{offset}"}
        return numbered(
            [
                write("x", va=hex(base + 5)) | place,
                read(0x90, reg=register, esr=f"{0x93000000 + base:#x}", esr_text="...") | place,
                event("exception", exception="svc", vector=hex(base + 0x400), el=0, **place),
                event("entry", **place, el=1),
            ]
        )

    a, b = built(0x1000, 0x10, "x1"), built(0x2000, 0x14, "x2")
    assert compare(tmp_path, a, b)[0].differ
    assert not compare(tmp_path, a, b, Comparison(by_symbol=True))[0].differ
    other = [each | {"symbol": "uart_putc+0x10"} for each in b]
    assert compare(tmp_path, a, other, Comparison(by_symbol=True))[0].only_b == 4
    first, second = ([{k: v for k, v in each.items() if k != "symbol"} for each in side] for side in (a, b))
    assert compare(tmp_path, first, second, Comparison(by_symbol=True))[0].differ


def test_only_what_is_asked_for_is_compared(tmp_path: Path) -> None:
    a = [write("a"), exit_("Halt"), event("entry", pc="0x1"), event("console", text="a")]
    b = [write("b"), exit_("Halt"), event("entry", pc="0x2"), event("console", text="a")]
    for only, expected in (
        (set(), (3, 1, 1, 1)),
        ({"console"}, (1, 0, 0, 0)),
        ({"Halt"}, (1, 0, 0, 0)),
        ({"Halt", "MmioWrite"}, (1, 1, 0, 0)),
        ({"exit"}, (1, 1, 0, 0)),
        ({"entry", "end"}, (1, 0, 1, 1)),
    ):
        totals, _ = compare(tmp_path, numbered(a), numbered(b), Comparison(only=frozenset(only)))
        assert numbers(totals) == expected, only


@given(
    st.lists(st.sampled_from("aab"), max_size=90), st.lists(st.sampled_from("aabc"), max_size=90),
    st.sampled_from([MIN_WINDOW, 1 << 14]), st.integers(0, 4),
)  # fmt: skip
def test_no_event_is_lost_added_or_moved(
    tmp_path_factory: pytest.TempPathFactory, a: list[str], b: list[str], window: int, context: int
) -> None:
    tmp_path = tmp_path_factory.mktemp("diff")
    comparison = Comparison()
    paths = [
        trace(tmp_path / name, numbered([write(char) for char in text]), closed=False)
        for name, text in (("a", a), ("b", b))
    ]
    with TraceReader(paths[0]) as first, TraceReader(paths[1]) as second:
        pairs = list(align(Side(first, comparison), Side(second, comparison), comparison, window))
    assert [one.number - 1 for one, _ in pairs if one] == list(range(1, len(a) + 1))
    assert [other.number - 1 for _, other in pairs if other] == list(range(1, len(b) + 1))
    totals = Totals()
    found = list(hunks(pairs, context, totals))
    same = sum(one is not None and other is not None and one.key == other.key for one, other in pairs)
    assert totals.same == same
    assert totals.differ == (a != b)
    assert sum(len(hunk.pairs) + hunk.omitted - shape(hunk).count("=") for hunk in found) <= len(pairs) - same or any(
        hunk.omitted for hunk in found
    )


def test_random_edits_are_found_about_as_small_as_they_were_made(tmp_path: Path) -> None:
    chance = random.Random(1)
    a = [write(chance.choice(LETTERS)) if chance.random() < 0.5 else read(0x90) for _ in range(4000)]
    b, edits = [*a], 40
    for _ in range(edits):
        place = chance.randrange(len(b))
        if chance.random() < 0.5:
            del b[place]
        else:
            b.insert(place, exit_("Halt"))
    totals, _ = compare(tmp_path, numbered(a), numbered(b))
    assert 2 * totals.changed + totals.only_a + totals.only_b <= 2 * edits


# Events shown again -----------------------------------------------------------------------------------------------

ANYTHING = st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(
    ["pc", "symbol", "source", "caller", "el", "esr", "note", "reason", "sysreg", "register", "device", "offset", "ipa",
     "value", "data", "meaning", "intid", "source_name", "latency_ns", "text", "from", "state", "virq", "\x1b[2J"]
)  # fmt: skip


@given(st.sampled_from([*EVENT_TYPES, "weather"]), st.dictionaries(KEYS, ANYTHING))
def test_whatever_is_in_an_event_is_shown_in_a_line(kind: str, said: dict[str, Any]) -> None:
    shown = event_line(event_of(event(kind) | said))
    assert shown.isprintable()
    assert len(shown) < 30_000


def test_an_event_is_shown_as_the_text_sink_shows_it() -> None:
    stream = io.StringIO()
    events = (*EVENTS, event_of(event("console", text="line\n")))
    play(JsonLinesSink(stream), events)
    lines = [json.loads(text) for text in stream.getvalue().splitlines()]
    again = [event_line(event_of(record)) for record in lines if record["type"] in EVENT_TYPES]
    assert again == [event_line(each) for each in events]


def turns(*order: int) -> list[dict[str, Any]]:
    """What two vCPUs do, in the order of their turns; each writes the letters of the alphabet."""
    written = [0, 0]
    events = []
    for vcpu in order:
        events.append({**write(LETTERS[written[vcpu]]), "vcpu": vcpu})
        written[vcpu] += 1
    return numbered(events)


def test_the_event_of_the_vcpu_that_differs_is_named(tmp_path: Path) -> None:
    events = turns(0, 1, 0, 1, 1, 0, 0, 1)
    other = [dict(each) for each in events]
    other[4] = {**other[4], "meaning": "'?'", "data": "0x3f"}
    totals, (hunk,) = compare(tmp_path, events, other)
    assert numbers(totals) == (8, 1, 0, 0)
    assert shape(hunk) == "===!==="
    (changed,) = [first for first, second in hunk.pairs if first and second and first.key != second.key]
    assert (json.loads(changed.line)["vcpu"], changed.number) == (1, 6)


def test_one_vcpu_is_compared_whatever_the_others_do_in_between(tmp_path: Path) -> None:
    one, other = turns(0, 1, 0, 1, 0, 1, 0, 1), turns(1, 1, 1, 0, 0, 0, 0, 1)
    assert compare(tmp_path, one, other)[0].differ
    for vcpu in (0, 1):
        totals, _ = compare(tmp_path, one, other, Comparison(vcpus=frozenset({vcpu})))
        assert numbers(totals) == (5, 0, 0, 0), "four events, and how the run ended"


def test_the_same_event_of_another_vcpu_is_another_one(tmp_path: Path) -> None:
    assert compare(tmp_path, turns(0), turns(1))[0].differ
