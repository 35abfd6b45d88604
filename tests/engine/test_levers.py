"""Accelerations of the engine are invisible to a guest: the same tests with and without each lever."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator

import pytest

from arm_vcpu_cli.axvcpu.exit import AccessFlags
from arm_vcpu_cli.engine import discovery, exit_check, instruction_budget, interposition, levers, refusals, unicorn_api
from arm_vcpu_cli.engine.code_writes import notices_aliased_stores
from arm_vcpu_cli.engine.known_builds import Build, known_build
from arm_vcpu_cli.engine.levers import NO_LEVERS, Levers, known_levers
from arm_vcpu_cli.engine.unicorn_core import UnicornCore

from .harness import DATA, EL0T, EL1H, RAM, RAM_SIZE, Guest, Script, is_call
from .stage1 import AP_EL0, AP_RO, KERNEL, PXN, SIZES, UPPER, USER, UXN, VALID, Stage1
from .test_preemption import Result, finish_work, prepare_work, result_of

EVERY_LEVER = known_levers()
KINDS = {
    "none": NO_LEVERS,
    "exit checks": Levers(exit_check=EVERY_LEVER.exit_check),
    "code scans": Levers(code_scans=True, execute_on_demand=True),
    "on demand, by blocks": Levers(execute_on_demand=True),
    "on demand, by pages": Levers(stage1_sizes=EVERY_LEVER.stage1_sizes, execute_on_demand=True),
    "all": EVERY_LEVER,
}
RET = 0xD65F_03C0
BLOCK = SIZES[2]
CODE = RAM + BLOCK
"""The second block of the guest's memory, which nothing else is executed from."""


def returns(value: int) -> int:
    """A function of eight bytes: MOV X0, #value and RET."""
    return 0xD280_0000 | value << 5 | RET << 32


@pytest.fixture(params=KINDS)
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    with Guest("exceptions", platform=Script(), levers=KINDS[request.param]) as guest:
        yield guest


# Finding them ------------------------------------------------------------------------------------------------------


def test_all_are_found_where_they_are_known() -> None:
    if platform.machine() == "x86_64" and platform.system() == "Linux" and known_levers() is not NO_LEVERS:
        assert EVERY_LEVER.exit_check is not None
        assert set(levers.named(EVERY_LEVER).values()) == {True}


def test_the_environment_switches_them_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(levers.SWITCH, "off")
    assert known_levers.__wrapped__() == NO_LEVERS


def test_experiments_find_what_is_written_down_of_this_build() -> None:
    build = known_build()
    if platform.machine() == "x86_64" and platform.libc_ver()[0] == "glibc" and unicorn_api.version() == "2.1.4":
        assert build is not None
    if build is not None:
        assert build == Build(
            discovery.discover_layout(),
            exit_check.find_exit_check() or 0,
            build.operations,
            refusals.find_state() or (0, 0),
        )


def test_the_state_is_found_beside_other_engines() -> None:
    # Their objects may lie before the state, and pointers to them lead to it too, from further away.
    others, found = [], set()
    try:
        for number in range(40):
            found.add(refusals.find_state())
            if number % 3 == 0:
                others.append(unicorn_api.Engine("max"))
    finally:
        for engine in others:
            engine.close()
    assert len(found) == 1


def test_levers_of_a_build_that_is_not_known_are_found_by_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(levers.SWITCH, raising=False)
    tried: list[str] = []

    def find(what: str, result: object) -> Callable[[], object]:
        def called() -> object:
            tried.append(what)
            return result

        return called

    monkeypatch.setattr(levers, "known_build", lambda: None)
    monkeypatch.setattr(levers, "find_exit_check", find("exit check", 5))
    monkeypatch.setattr(levers, "_take_stage1_sizes", find("sizes", False))
    monkeypatch.setattr(levers, "_take_arithmetic", find("arithmetic", True))
    assert known_levers.__wrapped__() == Levers(5, True, False, True, True)
    assert tried == ["exit check", "sizes", "arithmetic"]


def test_a_switch_that_does_nothing_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exit_check, "_goes_on_after_load", lambda _probe: False)
    assert exit_check.find_exit_check() is None


def test_an_interposition_that_changes_nothing_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    undone: list[bool] = []

    class Idle:
        def undo(self) -> None:
            undone.append(True)

    monkeypatch.setattr(levers, "interpose_walk", Idle)
    monkeypatch.setattr(levers, "_loaded_after_tlbi", lambda *_, **__: 0)
    assert not levers._take_stage1_sizes()
    assert undone == [True]


def test_nothing_is_interposed_on_a_host_that_the_code_is_not_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interposition, "is_x86", lambda: False)
    assert interposition.interpose_walk() is None


# Code that changes -------------------------------------------------------------------------------------------------


def call(guest: Guest, address: int, mode: int = EL1H) -> int:
    assert is_call(guest.start("call", x={1: address}, mode=mode))
    return guest.x(0)


def store(guest: Guest, address: int, value: int, mode: int = EL1H) -> None:
    assert is_call(guest.start("store", x={0: value, 1: address}, mode=mode))


def check_patching(guest: Guest, executed: int, written: int, *, by: int = EL1H, executed_by: int = EL1H) -> None:
    """Three versions of a function: each call is of the latest."""
    for version in (1, 2, 3):
        store(guest, written, returns(version), by)
        assert call(guest, executed, executed_by) == version
        # The second store to a page may take another way than the first.
        store(guest, written, returns(version + 10), by)
        assert call(guest, executed, executed_by) == version + 10


def test_code_is_patched_with_the_mmu_off(guest: Guest) -> None:
    check_patching(guest, CODE, CODE)


def test_code_is_patched_beside_the_code_that_patches(guest: Guest) -> None:
    place = guest.label("patch") & -8
    check_patching(guest, place, place)


def test_code_is_patched_in_memory_that_is_writable_and_executable(guest: Guest) -> None:
    Stage1(guest).enable()
    check_patching(guest, CODE, CODE)


@pytest.mark.parametrize("mode", [EL0T, EL1H], ids=["EL0", "EL1"])
def test_user_space_executes_what_it_or_the_kernel_has_written(guest: Guest, mode: int) -> None:
    tables = Stage1(guest)
    tables.map(DATA, DATA, 3, USER)
    tables.map(RAM, RAM, 2, KERNEL | AP_EL0 | AP_RO)
    tables.map(CODE + BLOCK, DATA, 2, KERNEL)
    user = CODE + 4 * BLOCK
    tables.map(user, DATA, 3, USER | PXN)
    tables.enable()
    check_patching(guest, user, user, by=mode, executed_by=EL0T)


def test_kernel_code_in_the_upper_half_is_patched(guest: Guest) -> None:
    tables = Stage1(guest)
    tables.map(UPPER, CODE, 3, KERNEL)
    tables.enable()
    check_patching(guest, UPPER, UPPER)


@pytest.mark.parametrize("mode", [EL0T, EL1H], ids=["EL0", "EL1"])
def test_user_space_may_execute_in_the_upper_half_too(guest: Guest, mode: int) -> None:
    tables = Stage1(guest)
    tables.map(UPPER, DATA + BLOCK, 3, USER | PXN)
    tables.enable()
    check_patching(guest, UPPER, UPPER, by=mode, executed_by=EL0T)


@pytest.mark.parametrize("half", [0, UPPER], ids=["lower", "upper"])
def test_code_is_patched_through_another_mapping_that_is_executable_too(guest: Guest, half: int) -> None:
    tables = Stage1(guest)
    executed, written = half + CODE + 4 * BLOCK, half + CODE + 5 * BLOCK
    tables.map(executed, CODE, 3, KERNEL)
    tables.map(written, CODE, 3, KERNEL)
    tables.enable()
    check_patching(guest, executed, written)


def test_kernel_code_is_patched_through_another_mapping_with_tlbi(guest: Guest) -> None:
    """What Linux does: the code is read-only, and written through a page that is mapped for the occasion."""
    tables = Stage1(guest)
    window = UPPER + 0x10_0000
    tables.map(UPPER, CODE, 3, KERNEL | AP_RO)
    tables.enable()
    for version in range(1, 6):
        tables.map(window, CODE, 3, KERNEL | PXN | UXN)
        store(guest, window, returns(version))
        tables.set(window, 3, 0)
        assert is_call(guest.start("invalidate", x={1: window >> 12}))
        assert call(guest, UPPER) == version


def test_kernel_code_is_patched_through_a_mapping_that_is_not_executable(guest: Guest) -> None:
    """What Linux does in its linear map at boot: several places of a page, without TLBI in between."""
    if not notices_aliased_stores():
        pytest.skip("the engine is not a known build")
    tables = Stage1(guest)
    alias, other = UPPER + 0x10_0000, 0x40
    tables.map(UPPER, CODE, 3, KERNEL | AP_RO)
    tables.map(alias, CODE, 3, KERNEL | PXN | UXN)
    tables.enable()
    check_patching(guest, UPPER, alias)
    for version in (1, 2, 3):
        for place in (0, other):
            store(guest, alias + place, returns(version + place))
        assert (call(guest, UPPER), call(guest, UPPER + other)) == (version, version + other)


def test_a_module_is_written_first_and_then_made_executable(guest: Guest) -> None:
    tables = Stage1(guest)
    tables.map(UPPER, CODE, 3, KERNEL | PXN | UXN)
    tables.enable()
    store(guest, UPPER, returns(1))
    store(guest, UPPER, returns(2))
    tables.map(UPPER, CODE, 3, KERNEL | AP_RO)
    assert is_call(guest.start("invalidate", x={1: UPPER >> 12}))
    assert call(guest, UPPER) == 2


# Execution on demand -----------------------------------------------------------------------------------------------


def test_the_first_execution_is_no_exit(guest: Guest) -> None:
    store(guest, CODE, returns(1))
    before = guest.vcpu.exits
    call(guest, CODE)
    # The hypercall behind it is one.
    assert guest.vcpu.exits == before + 1
    assert [exit_.number for exit_ in guest.vcpu.recent_exits()][-2:] == [before, before + 1]


def test_stage_2_shows_what_is_permitted_and_what_was_executed() -> None:
    with Guest("exceptions", platform=Script(), levers=KINDS["on demand, by blocks"]) as guest:
        store(guest, CODE, returns(1))
        assert [region.size for region in guest.stage2.regions()] == [RAM_SIZE]
        assert list(guest.stage2.executed()) == [range(RAM, RAM + BLOCK)]
        call(guest, CODE)
        assert [region.attributes.execute for region in guest.stage2.regions()] == [True]
        assert list(guest.stage2.executed()) == [range(RAM, CODE + BLOCK)]


def test_pages_where_code_is_writable_and_blocks_where_it_is_not() -> None:
    if not EVERY_LEVER.stage1_sizes:
        pytest.skip("stage 2 is not split on this host")
    with Guest("exceptions", platform=Script(), levers=EVERY_LEVER) as guest:
        granted: list[tuple[int, range]] = []
        guest.vcpu.execution_watcher = lambda vaddr, ipas: granted.append((vaddr, ipas))
        store(guest, CODE, returns(1))
        call(guest, CODE)
        first = guest.label("launch") & -0x1000
        assert granted == [
            (guest.label("launch"), range(first, first + 0x1000)),
            (CODE, range(CODE, CODE + 0x1000)),
        ]
        granted.clear()
        tables = Stage1(guest)
        tables.map(UPPER, CODE, 3, KERNEL | AP_RO)
        tables.map(UPPER + 0x1000, CODE + 0x1000, 3, KERNEL | AP_RO)
        tables.enable()
        guest.write_u64(CODE + 0x1000, returns(7))
        assert call(guest, UPPER + 0x1000) == 7
        # The program itself is mapped read-only too, and stands in the first block.
        assert granted[-1] == (UPPER + 0x1000, range(CODE + 0x1000, CODE + BLOCK))


def test_memory_that_may_not_be_executed_is_a_permission_fault(guest: Guest) -> None:
    guest.protect(CODE, 0x1000, "rw")
    guest.vcpu._platform.faults.clear()  # type: ignore[attr-defined]
    guest.start("jump", x={1: CODE})
    assert guest.vcpu._platform.faults == [(CODE, AccessFlags.EXECUTE)]  # type: ignore[attr-defined]


def test_tlbi_of_a_block_forgets_all_of_it(guest: Guest) -> None:
    """Stage 2 may map it by pages."""
    tables = Stage1(guest)
    va, here, other = CODE + 4 * BLOCK, RAM + BLOCK, RAM
    tables.map(va, here, 2, KERNEL)
    tables.enable()
    store(guest, va, returns(1))
    call(guest, va)
    guest.write_u64(here + 0x8000, 1)
    guest.write_u64(other + 0x8000, 2)
    assert load(guest, va + 0x8000) == 1
    tables.set(va, 2, other | KERNEL | VALID)
    assert is_call(guest.start("invalidate", x={1: va >> 12}))
    assert load(guest, va + 0x8000) == 2


def load(guest: Guest, address: int) -> int:
    assert is_call(guest.start("load", x={1: address}))
    return guest.x(0)


# Writes from outside -----------------------------------------------------------------------------------------------


def test_code_that_the_host_writes_is_executed_as_written(guest: Guest) -> None:
    paddr = guest.stage2.translate(CODE).output
    assert paddr is not None
    for version in (1, 2, 3):
        guest.write_u64(CODE, returns(version))
        guest.core.forget_code(paddr, 8)
        assert call(guest, CODE) == version


def test_only_the_pages_that_were_written_are_forgotten(guest: Guest) -> None:
    paddr = guest.stage2.translate(CODE).output
    assert paddr is not None
    guest.write_u64(CODE, returns(1))
    guest.write_u64(CODE + 0x1000, returns(2))
    assert (call(guest, CODE), call(guest, CODE + 0x1000)) == (1, 2)
    guest.write_u64(CODE, returns(3))
    guest.write_u64(CODE + 0x1000, returns(4))
    guest.core.forget_code(paddr, 8)
    assert (call(guest, CODE), call(guest, CODE + 0x1000)) == (3, 2)


def test_the_guest_goes_on_as_it_was_after_code_was_forgotten(guest: Guest) -> None:
    guest.start("nothing", x={number: 0x100 + number for number in range(31)})
    before = guest.pstate, guest.pc, guest["ELR_EL1"], [guest.x(number) for number in range(31)]
    guest.core.forget_code(guest.stage2.translate(RAM).output or 0, RAM_SIZE)
    guest.vcpu.synchronise()
    guest.core.saver(guest.vcpu.state)()
    assert before == (guest.pstate, guest.pc, guest["ELR_EL1"], [guest.x(number) for number in range(31)])


# The TLB -----------------------------------------------------------------------------------------------------------


def test_slices_that_let_the_tlb_grow_are_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(budget: int) -> tuple[Result, int, int]:
        with Guest("preemption") as guest:
            prepare_work(guest)
            stops = finish_work(guest, lambda: guest.core.set_budget(budget))
            return result_of(guest), len(stops), guest.core.instruction_count()

    expected = run(1000), run(1 << 40)
    flushed: list[int] = []
    monkeypatch.setattr(UnicornCore, "flush_tlb", lambda self: flushed.append(self.instruction_count()))
    monkeypatch.setattr(instruction_budget, "_FIRST_SLICE", 16)
    monkeypatch.setattr(instruction_budget, "_LAST_SLICE", 300)
    assert (run(1000), run(1 << 40)) == expected
    assert len(flushed) > 100
