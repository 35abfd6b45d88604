"""Watchpoints on the real engine: they hit before the access, distinguish neighbours, and have no effect."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pytest

from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import LoadStore
from arm_vcpu_cli.axvcpu.exit import Nothing
from arm_vcpu_cli.engine import watchpoint_trial
from arm_vcpu_cli.engine.port import StopReason, WatchedRange, WatchHit
from arm_vcpu_cli.engine.watchpoint_stubs import RANGES, watchpoint_table
from arm_vcpu_cli.engine.watchpoint_trial import works
from arm_vcpu_cli.errors import EngineError
from tests.support.tools import missing

from .harness import DATA, DEVICE, EL0T, EL1H, GUESTS, Guest, Script, is_call
from .test_preemption import EXCLUSIVE, NODES, SCRATCH, Result, prepare_work, result_of

AT = DATA + 0x1_0800
INDEX = 0x20
"""In x2."""
LABELS = tuple(re.findall(r"case\s+(\w+),", (GUESTS / "accesses.S").read_text(encoding="utf-8")))
NO_TRANSFERS = {
    # name: (first byte, bytes, loads, stores), for what is not a LoadStore
    "ldxr_x": (0, 8, True, False),
    "ldaxr_w": (0, 4, True, False),
    "ldxp_x": (0, 16, True, False),
    "ldadd_x": (0, 8, True, True),
    "ldset_w": (0, 4, True, True),
    "swp_x": (0, 8, True, True),
    "swpab_w": (0, 1, True, True),
    "cas_x": (0, 8, True, True),
    "casal_w": (0, 4, True, True),
    "casp_x": (0, 16, True, True),
    "stadd_w": (0, 4, True, True),
    "ld1": (0, 16, True, False),
    "st1": (0, 16, False, True),
    "ld1_single": (0, 4, True, False),
    "dc_zva": (0, 64, False, True),
}


@pytest.fixture(autouse=True, scope="module")
def available() -> None:
    if watchpoint_table() is None:
        missing("the host that the stubs are for")


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    with Guest("accesses", model="max", platform=Script()) as guest:
        yield guest


def hits_of(
    guest: Guest, label: str, watched: Sequence[WatchedRange], mode: int = EL1H, at: int = AT
) -> list[WatchHit]:
    """Execute the instruction at a label, with a stop at each hit."""
    hits: list[WatchHit] = []

    def hit(what: WatchHit) -> bool:
        hits.append(what)
        return True

    guest.core.set_watchpoints(watched, hit)
    reason = guest.start(label, mode=mode, x={1: at, 2: INDEX, 7: 0}, sp_el1=at, sp_el0=at)
    stops = 0
    while isinstance(reason, Nothing):
        assert guest.vcpu.stopped_by is StopReason.WATCHPOINT
        assert guest.pc == guest.label(label)
        assert (guest.x(1), guest.x(2), guest.vcpu.ctx.sp if mode == EL1H else guest.vcpu.ctx.sp_el0) == (at, INDEX, at)
        stops += 1
        reason = guest.run()
    assert stops == len(hits)
    assert guest.finished(label)
    return hits


def extent_of(guest: Guest, label: str, at: int = AT) -> tuple[int, int, bool, bool] | None:
    """First and last byte that the instruction at a label accesses, and whether it loads and stores."""
    if label in NO_TRANSFERS:
        first, size, loads, stores = NO_TRANSFERS[label]
        return at + first, at + first + size - 1, loads, stores
    decoded = decode_load_store(int.from_bytes(guest.read(guest.label(label), 4), "little"))
    if not isinstance(decoded, LoadStore):
        return None
    if decoded.offset is None:
        shift = {"ldr_register_lsl": 3, "ldr_register_uxtw": 1, "ldr_q_register": 4}.get(label, 0)
        first = at + (INDEX << shift)
    else:
        first = at + (0 if decoded.post_index else decoded.offset)
    last = max(first + each.offset + each.size for each in decoded.transfers) - 1
    return first, last, decoded.is_load, not decoded.is_load


@pytest.mark.parametrize("label", LABELS)
def test_each_form_of_access_hits_where_it_accesses_and_nowhere_else(guest: Guest, label: str) -> None:
    for mode in (EL1H, EL0T):
        for at in (AT, AT + 0x7F0):
            extent = extent_of(guest, label, at)
            if extent is None or (label, mode) == ("dc_zva", EL0T):
                # It is trapped at EL0 while SCTLR_EL1.DZE is 0.
                continue
            first, last, loads, stores = extent
            if label == "dc_zva":
                first, last = at & -64, at | 63
            for address, size, reads, writes in (
                (first, 1, loads, stores),
                (last, 1, loads, stores),
                (first - 5, 100, True, True),
                (0, 1 << 64, loads, stores),
            ):
                hits = hits_of(guest, label, [WatchedRange(address, size, reads, writes)], mode, at)
                assert [each.address for each in hits] == [max(first, address)], (mode, address - at, size)
                assert hits[0].is_write == (stores and not loads)
            for address, size, reads, writes in (
                (first - 4, 4, True, True),
                (last + 1, 4, True, True),
                (first, last - first + 1, not loads, not stores),
            ):
                assert hits_of(guest, label, [WatchedRange(address, size, reads, writes)], mode, at) == []


def test_addresses_may_cross_a_page(guest: Guest) -> None:
    at = (AT | 0xFFF) - 2
    for label in ("ldr_x", "str_x", "ldp_x", "stp_x", "ldr_q", "str_q", "ld1", "st1", "ldr_register", "ldr_wzr"):
        first, last, loads, _ = extent_of(guest, label, at) or (0, 0, False, False)
        for address in range(first - 2, last + 3):
            hits = hits_of(guest, label, [WatchedRange(address, 1, True, True)], at=at)
            expected = [WatchHit(0, address, not loads)] if first <= address <= last else []
            assert hits == expected, (label, address - at)


def test_the_tag_of_a_pointer_does_not_count(guest: Guest) -> None:
    guest["TCR_EL1"] = 1 << 37
    tagged = AT | 0x5A << 56
    for label in ("ldr_x", "stp_x", "swp_x"):
        assert [each.address for each in hits_of(guest, label, [WatchedRange(AT, 8, True, True)], at=tagged)] == [AT]
    guest["TCR_EL1"] = 0


def test_the_first_of_several_ranges_is_told(guest: Guest) -> None:
    ranges = [WatchedRange(AT + 8 * n, 8, True, True) for n in range(16)]
    assert hits_of(guest, "stp_x", ranges) == [WatchHit(0, AT, True)]
    assert hits_of(guest, "stp_x", ranges, at=AT + 8 * 14) == [WatchHit(14, AT + 8 * 14, True)]
    assert hits_of(guest, "stp_x", ranges, at=AT + 8 * 16) == []


def test_who_does_not_stop_the_guest_is_asked_once(guest: Guest) -> None:
    asked: list[WatchHit] = []

    def hit(what: WatchHit) -> bool:
        asked.append(what)
        return False

    guest.core.set_watchpoints([WatchedRange(AT, 16, True, True)], hit)
    for label in ("ldp_x", "casp_x", "st1"):
        asked.clear()
        assert is_call(guest.start(label, x={1: AT}))
        assert guest.finished(label)
        assert len(asked) == 1


def test_accesses_from_outside_do_not_hit(guest: Guest) -> None:
    guest.core.set_watchpoints([WatchedRange(AT, 16, True, True)], lambda _hit: pytest.fail("it hit"))
    assert guest.core.read_virtual(AT, 8) is not None
    assert guest.core.translate(AT) is not None
    code = guest.label("ldr_x")
    guest.core.set_watchpoints([WatchedRange(code, 64, True, True)], lambda _hit: pytest.fail("it hit"))
    assert is_call(guest.start("ldr_x", x={1: AT}))
    assert guest.core.fetcher()(code) is not None
    guest.write_u64(AT, 0)


def test_none_is_left_once_they_are_taken_away(guest: Guest) -> None:
    assert len(hits_of(guest, "ldr_x", [WatchedRange(AT, 1, True, True)])) == 1
    assert hits_of(guest, "ldr_x", []) == []


def test_the_trial_succeeds() -> None:
    assert works()


def test_vectors_of_sve_hit_where_they_access(guest: Guest) -> None:
    """ptrue p0.b; ld1d {z0.d}, p0/z, [x1]; st1d {z0.d}, p0, [x1]. A gather of which one element is watched."""
    guest["CPACR_EL1"] = 3 << 20 | 3 << 16
    for words, loads in (((0x2518_E3E0, 0xA5E0_A020), True), ((0x2518_E3E0, 0xE5E0_E020), False)):
        guest.write_code(DATA, *words, 0xD400_2002)
        guest.core.flush_code()
        for address, size, expected in ((AT, 16, 1), (AT + 15, 1, 1), (AT + 8, 1, 1), (AT - 1, 1, 0)):
            hits: list[WatchHit] = []

            def hit(what: WatchHit, hits: list[WatchHit] = hits) -> bool:
                hits.append(what)
                return True

            guest.core.set_watchpoints([WatchedRange(address, size, True, True)], hit)
            guest.write_u64(AT, 5, 6)
            reason = guest.start(DATA, x={1: AT})
            while isinstance(reason, Nothing):
                assert guest.pc == DATA + 4
                reason = guest.run()
            assert guest.slot is None
            assert guest.pc == DATA + 12
            assert [(each.address, each.is_write) for each in hits] == [(address, not loads)] * expected
    guest.core.set_watchpoints([], lambda _hit: True)


def test_a_core_without_them_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchpoint_trial, "notices_accesses", lambda: False)
    with Guest("accesses", platform=Script()) as guest, pytest.raises(EngineError, match="not available"):
        guest.core.set_watchpoints([WatchedRange(AT, 1, True, True)], lambda _hit: True)


def test_too_many_are_refused(guest: Guest) -> None:
    with pytest.raises(EngineError, match="at most"):
        guest.core.set_watchpoints([WatchedRange(AT, 1, True, True)] * (RANGES // 2 + 1), lambda _hit: True)
    guest.core.set_watchpoints([WatchedRange(AT, 1, True, True)] * (RANGES // 2), lambda _hit: True)
    guest.core.set_watchpoints([], lambda _hit: True)


@pytest.mark.parametrize(
    ("label", "at", "watched", "logged"),
    [
        ("ldr_w", 0, 3, 1),
        ("str_x", 0, 7, 1),
        ("ldp_x", 0, 15, 2),
        ("stp_q_pre", 32, 31, 4),
        ("ldr_register", 0, INDEX, 1),
        ("ldr_x_post_negative", 8, 8, 1),
    ],
)
def test_accesses_to_a_trapped_device_hit_before_they_are_made(label: str, at: int, watched: int, logged: int) -> None:
    def outcome(ranges: Sequence[WatchedRange]) -> tuple[object, ...]:
        platform = Script()

        def hit(what: WatchHit) -> bool:
            assert platform.log == []
            hits.append(what)
            return True

        with Guest("accesses", platform=platform) as guest:
            hits: list[WatchHit] = []
            guest.core.set_watchpoints(ranges, hit)
            reason = guest.start(label, x={1: DEVICE + at, 2: INDEX})
            if isinstance(reason, Nothing):
                assert guest.pc == guest.label(label)
                assert guest.x(1) == DEVICE + at
                reason = guest.run()
            assert is_call(reason)
            assert guest.finished(label)
            found.append(hits)
            return platform.log, guest.core.instruction_count(), guest.vcpu.exits, guest.x(0), guest.x(1)

    found: list[list[WatchHit]] = []
    undisturbed = outcome([])
    assert len(undisturbed[0]) == logged  # type: ignore[arg-type]
    assert outcome([WatchedRange(DEVICE + watched, 1, True, True)]) == undisturbed
    assert outcome([WatchedRange(DEVICE + watched + 32, 1, True, True)]) == undisturbed
    assert [[each.address for each in hits] for hits in found] == [[], [DEVICE + watched], []]


# A whole piece of work ---------------------------------------------------------------------------------------------


def work(
    watched: Sequence[WatchedRange], *, budget: int | None = None, mode: int = EL1H
) -> tuple[Result, int, list[tuple[int, int]], list[tuple[int, int, WatchHit]]]:
    """(what it left, instructions, where and when budgets stopped it, where and when it was stopped at which hits)."""
    hits: list[WatchHit] = []
    stops: list[tuple[int, int]] = []
    accesses: list[tuple[int, int, WatchHit]] = []
    with Guest("preemption") as guest:
        prepare_work(guest, rounds=20, mode=mode)

        def hit(what: WatchHit) -> bool:
            hits.append(what)
            return True

        guest.core.set_watchpoints(watched, hit)
        reason: object = Nothing()
        if budget is not None:
            guest.core.set_budget(budget)
        while isinstance(reason, Nothing):
            reason = guest.run()
            moment = guest.pc, guest.core.instruction_count()
            if isinstance(reason, Nothing) and guest.vcpu.stopped_by is StopReason.BUDGET:
                stops.append(moment)
                guest.core.set_budget(budget or 0)
            elif isinstance(reason, Nothing):
                assert guest.vcpu.stopped_by is StopReason.WATCHPOINT
                accesses.append((*moment, hits[-1]))
        assert len(accesses) == len(hits)
        return result_of(guest), guest.core.instruction_count(), stops, accesses


EVERYTHING = WatchedRange(DATA, 0x3000, reads=True, writes=True)


@pytest.mark.parametrize("mode", [EL1H, EL0T])
@pytest.mark.parametrize("budget", [None, 17, 257])
@pytest.mark.parametrize(
    "watched",
    [
        [EVERYTHING],
        [WatchedRange(SCRATCH, 8, reads=True, writes=True), WatchedRange(EXCLUSIVE + 24, 1, reads=False, writes=True)],
        [WatchedRange(DATA + 64 * node, 8, reads=True, writes=False) for node in range(NODES)],
    ],
)
def test_the_work_is_the_same_with_stops_at_each_access(
    watched: list[WatchedRange], budget: int | None, mode: int
) -> None:
    result, count, stops, accesses = work(watched, budget=budget, mode=mode)
    assert len(accesses) >= 20
    undisturbed = work([], budget=budget, mode=mode)
    assert undisturbed == (result, count, stops, [])
    moments = [moment for _, moment, _ in accesses]
    assert moments == sorted(set(moments))


def test_all_accesses_are_met_in_their_order() -> None:
    """Each is at an instruction that accesses memory, and what each range alone meets is a part of what all do."""
    *_, everywhere = work([EVERYTHING])
    ranges = [WatchedRange(at, 8, reads=True, writes=True) for at in range(DATA, DATA + 0x3000, 0x800)]
    for each in ranges:
        *_, alone = work([each])
        assert {where[:2] for where in alone} <= {where[:2] for where in everywhere}


def test_a_store_exclusive_is_a_store() -> None:
    *_, loads = work([WatchedRange(EXCLUSIVE, 16, reads=True, writes=False)])
    *_, stores = work([WatchedRange(EXCLUSIVE, 16, reads=False, writes=True)])
    *_, both = work([WatchedRange(EXCLUSIVE, 16, reads=True, writes=True)])
    assert len(loads) == len(stores) == 20
    assert not any(hit.is_write for *_, hit in loads)
    assert all(hit.is_write for *_, hit in stores)
    assert sorted([*loads, *stores], key=lambda access: access[1]) == both
