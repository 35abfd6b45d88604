"""The power states of several CPUs: PSCI's error codes, races, groups of CPUs, and invariants under any order of
calls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.arch.registers.el1regs import AFFINITY_MASK
from arm_vcpu_cli.arch.smccc import AffinityState, PsciFunction, PsciStatus, from_u64
from arm_vcpu_cli.arm_vcpu.psci import CallResult, FirmwareCalls
from arm_vcpu_cli.axvcpu.exit import CpuDown, CpuUp, Halt, PowerAction, SystemDown
from arm_vcpu_cli.vm.power import CpuPower, PowerController, Start

RAM = range(0x4000_0000, 0x4800_0000)
CODE = 0x4008_0000
# Two clusters of two, a group of them far away (Aff3), and one CPU in a group of its own (Aff2).
CPUS = (0x000, 0x001, 0x100, 0x101, 0x5_0000_0000, 0x2_0000)
BOOT, SECOND, THIRD, FOURTH, FAR, LONE = CPUS


def controller(cpus: tuple[int, ...] = CPUS) -> PowerController:
    return PowerController(cpus, RAM.__contains__)


def started(power: PowerController, *cpus: int) -> PowerController:
    """The controller, with these CPUs on."""
    for cpu in cpus:
        assert power.cpu_on(cpu, CODE, 0) is PsciStatus.SUCCESS
        assert power.take_start(cpu) == Start(CODE, 0)
    return power


# Construction --------------------------------------------------------------------------------------------------


def test_the_first_cpu_is_on_and_the_others_are_off() -> None:
    power = controller()
    assert power.online() == (BOOT,)
    assert [power.state(cpu) for cpu in CPUS] == [CpuPower.ON] + [CpuPower.OFF] * 5
    assert controller((LONE, BOOT)).online() == (LONE,), "in the machine's order, not in that of affinities"


@pytest.mark.parametrize("cpus", [(), (0, 1, 0), (0, 1 << 31), (1 << 24,), (-1,)])
def test_affinities_that_are_none_are_refused(cpus: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        controller(cpus)


# CPU_ON --------------------------------------------------------------------------------------------------------


def test_a_cpu_is_on_its_way_until_it_is_taken_up() -> None:
    power = controller()
    assert power.cpu_on(SECOND, CODE, 9) is PsciStatus.SUCCESS
    assert power.state(SECOND) is CpuPower.ON_PENDING
    assert power.affinity_info(SECOND, 0) == AffinityState.ON_PENDING
    assert power.online() == (BOOT,)
    assert power.take_start(SECOND) == Start(CODE, 9)
    assert power.state(SECOND) is CpuPower.ON
    assert power.online() == (BOOT, SECOND)
    assert power.take_start(SECOND) is None


@pytest.mark.parametrize("cpu", [BOOT, THIRD])
def test_nobody_else_has_a_start_to_take(cpu: int) -> None:
    power = controller()
    assert power.cpu_on(SECOND, CODE, 9) is PsciStatus.SUCCESS
    assert power.take_start(cpu) is None
    assert power.state(SECOND) is CpuPower.ON_PENDING


@pytest.mark.parametrize("target", [2, 0x102, 1 << 31, 1 << 24, FAR | 1, 1 << 40])
def test_a_cpu_that_is_not_there_is_not_started(target: int) -> None:
    assert controller().cpu_on(target, CODE, 0) is PsciStatus.INVALID_PARAMETERS


def test_two_cpus_that_start_a_third_have_one_winner() -> None:
    power = started(controller(), SECOND)
    assert power.cpu_on(THIRD, CODE, 1) is PsciStatus.SUCCESS
    assert power.cpu_on(THIRD, CODE + 4, 2) is PsciStatus.ON_PENDING
    assert power.take_start(THIRD) == Start(CODE, 1), "the loser has changed nothing"
    assert power.cpu_on(THIRD, CODE + 4, 2) is PsciStatus.ALREADY_ON


@pytest.mark.parametrize("entry", [0, CODE + 1, CODE + 2, CODE + 3, RAM.start - 4, RAM.stop, 2**64 - 4])
def test_a_cpu_is_not_started_where_it_cannot_execute(entry: int) -> None:
    power = controller()
    assert power.cpu_on(SECOND, entry, 0) is PsciStatus.INVALID_ADDRESS
    assert power.state(SECOND) is CpuPower.OFF
    assert power.take_start(SECOND) is None


def test_what_a_cpu_is_comes_before_where_it_would_start() -> None:
    power = started(controller(), SECOND)
    assert power.cpu_on(THIRD, CODE, 0) is PsciStatus.SUCCESS
    assert power.cpu_on(2, 1, 0) is PsciStatus.INVALID_PARAMETERS
    assert power.cpu_on(BOOT, 1, 0) is PsciStatus.ALREADY_ON
    assert power.cpu_on(THIRD, 1, 0) is PsciStatus.ON_PENDING


# CPU_OFF -------------------------------------------------------------------------------------------------------


def test_a_cpu_goes_off_and_comes_back_somewhere_else() -> None:
    power = started(controller(), SECOND)
    assert power.cpu_off(SECOND) is PsciStatus.SUCCESS
    assert power.affinity_info(SECOND, 0) == AffinityState.OFF
    assert power.cpu_on(SECOND, CODE + 8, 7) is PsciStatus.SUCCESS
    assert power.take_start(SECOND) == Start(CODE + 8, 7)


def test_the_boot_cpu_can_go_off_and_be_started_by_another() -> None:
    power = started(controller(), SECOND)
    assert power.cpu_off(BOOT) is PsciStatus.SUCCESS
    assert power.online() == (SECOND,)
    assert power.cpu_on(BOOT, CODE, 3) is PsciStatus.SUCCESS
    assert power.take_start(BOOT) == Start(CODE, 3)


def test_only_a_cpu_that_runs_can_go_off() -> None:
    power = controller()
    assert power.cpu_off(SECOND) is PsciStatus.DENIED
    assert power.cpu_on(SECOND, CODE, 9) is PsciStatus.SUCCESS
    assert power.cpu_off(SECOND) is PsciStatus.DENIED
    assert power.take_start(SECOND) == Start(CODE, 9)
    assert power.suspend(SECOND) is PsciStatus.SUCCESS
    assert power.cpu_off(SECOND) is PsciStatus.DENIED


def test_the_last_cpu_that_is_on() -> None:
    power = controller()
    assert power.is_last_on(BOOT)
    assert not power.is_last_on(SECOND), "it is off"
    assert power.cpu_on(SECOND, CODE, 0) is PsciStatus.SUCCESS
    assert not power.is_last_on(BOOT), "somebody is on the way"
    power.take_start(SECOND)
    power.suspend(SECOND)
    assert not power.is_last_on(BOOT), "a suspended CPU comes back"
    power.resume(SECOND)
    power.cpu_off(BOOT)
    assert power.is_last_on(SECOND)
    power.cpu_off(SECOND)
    assert not any(power.is_last_on(cpu) for cpu in CPUS)


# CPU_SUSPEND and SYSTEM_SUSPEND --------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [None, Start(CODE, 9)])
def test_a_suspended_cpu_counts_as_on_and_starts_again_where_it_wanted(start: Start | None) -> None:
    power = started(controller(), SECOND)
    assert power.suspend(SECOND, start) is PsciStatus.SUCCESS
    assert power.state(SECOND) is CpuPower.SUSPENDED
    assert power.affinity_info(SECOND, 0) == AffinityState.ON
    assert power.online() == (BOOT, SECOND)
    assert power.cpu_on(SECOND, CODE, 0) is PsciStatus.ALREADY_ON
    assert power.take_start(SECOND) is None
    assert power.resume(SECOND) == start
    assert power.state(SECOND) is CpuPower.ON
    assert power.resume(SECOND) is None
    assert power.suspend(SECOND) is PsciStatus.SUCCESS
    assert power.resume(SECOND) is None, "nothing is left of the last time"


def test_a_wake_up_starts_nobody_who_is_not_suspended() -> None:
    power = controller()
    assert power.cpu_on(SECOND, CODE, 9) is PsciStatus.SUCCESS
    assert power.resume(SECOND) is None
    assert power.resume(THIRD) is None
    assert (power.state(SECOND), power.state(THIRD)) == (CpuPower.ON_PENDING, CpuPower.OFF)


def test_a_cpu_is_not_suspended_where_it_cannot_start_again() -> None:
    power = controller()
    assert power.may_power_down(CODE + 2) is PsciStatus.INVALID_ADDRESS
    assert power.suspend(BOOT, Start(CODE + 2)) is PsciStatus.INVALID_ADDRESS
    assert power.suspend(BOOT, Start(0x900_0000)) is PsciStatus.INVALID_ADDRESS
    assert power.state(BOOT) is CpuPower.ON
    assert power.suspend(SECOND) is PsciStatus.DENIED


def test_a_system_is_suspended_by_the_only_cpu_that_is_on() -> None:
    power = started(controller(), SECOND)
    for cpu in (BOOT, SECOND):
        assert power.system_suspend(cpu, Start(CODE)) is PsciStatus.DENIED
    power.suspend(SECOND)
    assert power.system_suspend(BOOT, Start(CODE)) is PsciStatus.DENIED
    power.resume(SECOND)
    power.cpu_off(SECOND)
    assert power.cpu_on(THIRD, CODE, 0) is PsciStatus.SUCCESS
    assert power.system_suspend(BOOT, Start(CODE)) is PsciStatus.DENIED, "one is on the way"
    power.take_start(THIRD)
    power.cpu_off(THIRD)
    assert power.system_suspend(SECOND, Start(CODE)) is PsciStatus.DENIED, "it is off itself"
    assert power.system_suspend(BOOT, Start(CODE + 1)) is PsciStatus.INVALID_ADDRESS
    assert power.system_suspend(BOOT, Start(CODE, 9)) is PsciStatus.SUCCESS
    assert power.state(BOOT) is CpuPower.SUSPENDED
    assert power.may_system_suspend(BOOT, CODE) is PsciStatus.DENIED, "it sleeps already"
    assert power.resume(BOOT) == Start(CODE, 9)
    assert power.may_system_suspend(BOOT, CODE) is PsciStatus.SUCCESS


# AFFINITY_INFO -------------------------------------------------------------------------------------------------

ON, OFF, PENDING = AffinityState.ON, AffinityState.OFF, AffinityState.ON_PENDING
INVALID = PsciStatus.INVALID_PARAMETERS


@pytest.mark.parametrize(
    ("target", "level", "expected"),
    [
        (BOOT, 0, ON), (SECOND, 0, OFF), (THIRD, 0, PENDING), (FOURTH, 0, OFF), (FAR, 0, ON), (LONE, 0, OFF),
        (2, 0, INVALID), (FAR | 1, 0, INVALID),
        (BOOT, 1, ON), (SECOND, 1, ON), (0xFF, 1, ON), (THIRD, 1, PENDING), (0x1FF, 1, PENDING), (0x200, 1, INVALID),
        (FAR, 1, ON), (FAR | 0x100, 1, INVALID), (LONE, 1, OFF), (LONE | 0xFF, 1, OFF), (LONE | 0x100, 1, INVALID),
        (BOOT, 2, ON), (0xFFFF, 2, ON), (LONE | 0xFFFF, 2, OFF), (0x3_0000, 2, INVALID), (FAR | 0x1_0000, 2, INVALID),
        (BOOT, 3, ON), (0xFF_FFFF, 3, ON), (FAR | 0xFF_FFFF, 3, ON), (0x6_0000_0000, 3, INVALID),
        (BOOT, 4, INVALID), (BOOT, 2**32 - 1, INVALID),
        (1 << 31, 0, INVALID), (1 << 31, 3, INVALID), (1 << 24, 3, INVALID), (1 << 40, 3, INVALID),
    ],
)  # fmt: skip
def test_affinity_info_at_every_level(target: int, level: int, expected: int) -> None:
    power = started(controller(), FAR)
    assert power.cpu_on(THIRD, CODE, 0) is PsciStatus.SUCCESS
    assert power.affinity_info(target, level) == expected


def test_a_group_is_on_as_soon_as_one_of_it_is_and_off_with_the_last() -> None:
    power = started(controller(), THIRD)
    assert power.cpu_on(FOURTH, CODE, 0) is PsciStatus.SUCCESS
    assert power.affinity_info(THIRD, 1) == ON
    power.cpu_off(THIRD)
    assert power.affinity_info(THIRD, 1) == PENDING
    power.take_start(FOURTH)
    power.suspend(FOURTH)
    assert power.affinity_info(THIRD, 1) == ON
    power.resume(FOURTH)
    power.cpu_off(FOURTH)
    assert power.affinity_info(THIRD, 1) == OFF


# Snapshots -----------------------------------------------------------------------------------------------------


def saved() -> dict[str, Any]:
    """One of each state."""
    power = started(controller(), SECOND, THIRD)
    power.suspend(SECOND, Start(CODE, 5))
    power.suspend(THIRD)
    power.cpu_on(FOURTH, CODE + 4, 6)
    return power.save()


def test_what_is_saved_is_plain_data_with_a_version() -> None:
    data = saved()
    assert json.loads(json.dumps(data)) == data
    assert data["version"] == 1
    assert [each["state"] for each in data["cpus"]] == ["on", "suspended", "suspended", "on pending", "off", "off"]
    assert [each["start"] for each in data["cpus"]] == [None, [CODE, 5], None, [CODE + 4, 6], None, None]


def test_what_is_loaded_goes_on_as_what_was_saved() -> None:
    power = controller()
    power.load(saved())
    assert power.save() == saved()
    assert power.resume(SECOND) == Start(CODE, 5)
    assert power.resume(THIRD) is None
    assert power.take_start(FOURTH) == Start(CODE + 4, 6)
    assert power.online() == (BOOT, SECOND, THIRD, FOURTH)


@pytest.mark.parametrize(
    ("cpu", "change"),
    [
        (0, {"start": [CODE, 0]}), (1, {"state": "asleep"}), (3, {"start": None}), (4, {"start": [CODE, 0]}),
        (5, {"affinity": 7}), (5, {"affinity": BOOT}),
    ],
)  # fmt: skip
def test_what_no_controller_of_these_cpus_has_saved_is_refused(cpu: int, change: dict[str, Any]) -> None:
    data, power = saved(), controller()
    before = power.save()
    data["cpus"][cpu] |= change
    with pytest.raises(ValueError):
        power.load(data)
    assert power.save() == before


@pytest.mark.parametrize("data", [{}, {"version": 2, "cpus": []}, {"version": 1, "cpus": []}])
def test_another_version_and_another_machine_are_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        controller().load(data)


# Any calls in any order ----------------------------------------------------------------------------------------


class Vm:
    """CPUs with their firmware calls, and a VMM that does what their exits ask for."""

    def __init__(self) -> None:
        self.power = controller()
        self.calls = {cpu: FirmwareCalls(cpu, self.power, system_suspend=True) for cpu in CPUS}

    def call(self, cpu: int, *registers: int) -> tuple[CallResult, int | None]:
        """(what the call is, what becomes of x0)."""
        x0, x1, x2, x3 = registers
        before = self.power.save()
        reason = self.calls[cpu].exit_reason(x0, x1, x2, x3)
        result = self.calls[cpu].call(x0, x1, x2, x3)
        assert self.power.save() == before, "the firmware decides nothing"
        assert result is not None
        assert reason == (None if isinstance(result, int) else result)
        return result, self.carry_out(cpu, result)

    def carry_out(self, cpu: int, result: CallResult) -> int | None:
        if isinstance(result, CpuUp):
            return self.power.cpu_on(result.target_cpu, result.entry_point, result.arg)
        if isinstance(result, CpuDown):
            return self.power.cpu_off(cpu)
        if isinstance(result, Halt):
            entry = result.entry_point
            return self.power.suspend(cpu, None if entry is None else Start(entry, result.arg))
        if isinstance(result, SystemDown):
            if result.action is not PowerAction.SUSPEND:
                return None
            assert result.entry_point is not None
            return self.power.system_suspend(cpu, Start(result.entry_point, result.arg))
        assert isinstance(result, int)
        return from_u64(result)


FUNCTIONS = st.integers(0x8400_0000, 0x8400_001F) | st.integers(0xC400_0000, 0xC400_001F)
BUSY = st.sampled_from(
    [
        PsciFunction.CPU_ON_64, PsciFunction.CPU_OFF, PsciFunction.CPU_SUSPEND_64, PsciFunction.SYSTEM_SUSPEND_64,
        PsciFunction.CPU_ON, PsciFunction.AFFINITY_INFO_64,
    ]
)  # fmt: skip
ENTRIES = st.sampled_from([CODE, CODE + 4, CODE + 2, 0, RAM.stop])
VALUES = (
    st.sampled_from(CPUS)
    | ENTRIES
    | st.sampled_from([0, 1, 2, 3, 4, 1 << 16, 1 << 24, 1 << 30])
    | st.integers(0, 2**64 - 1)
)
CALLS = st.tuples(st.just("call"), st.sampled_from(CPUS), BUSY | FUNCTIONS, VALUES, ENTRIES | VALUES, VALUES)
EVENTS = st.tuples(st.sampled_from(["take", "wake"]), st.sampled_from(CPUS))
STEPS = st.lists(CALLS | EVENTS, max_size=40)
Step = tuple[Any, ...]
# The first draw may take seconds: Hypothesis then reads all modules that are loaded, for their numbers.
SLOW_TO_DRAW = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def step(vm: Vm, what: Step) -> object:
    kind, cpu, *registers = what
    if kind == "call":
        return vm.call(cpu, *registers)
    return vm.power.take_start(cpu) if kind == "take" else vm.power.resume(cpu)


def follow(states: dict[int, CpuPower], cpu: int, result: CallResult) -> tuple[int, int, CpuPower | None]:
    """(status, whose state changes, into which), by the words of the specification, from the states before."""
    caller = states[cpu]
    if isinstance(result, CpuUp):
        target = result.target_cpu
        now = states.get(target)
        if now is None:
            return PsciStatus.INVALID_PARAMETERS, target, None
        if now is not CpuPower.OFF:
            pending = now is CpuPower.ON_PENDING
            return PsciStatus.ON_PENDING if pending else PsciStatus.ALREADY_ON, target, None
        if result.entry_point % 4 or result.entry_point not in RAM:
            return PsciStatus.INVALID_ADDRESS, target, None
        return PsciStatus.SUCCESS, target, CpuPower.ON_PENDING
    if caller is not CpuPower.ON:
        return PsciStatus.DENIED, cpu, None
    return PsciStatus.SUCCESS, cpu, CpuPower.OFF if isinstance(result, CpuDown) else CpuPower.SUSPENDED


@SLOW_TO_DRAW
@given(steps=STEPS)
def test_any_calls_in_any_order_have_defined_answers_and_lose_no_cpu(steps: list[Step]) -> None:
    vm = Vm()
    states = {cpu: vm.power.state(cpu) for cpu in CPUS}
    starts: dict[int, Start | None] = {}
    for each in steps:
        kind, cpu = each[:2]
        if kind == "call":
            result, status = vm.call(cpu, *each[2:])
            if isinstance(result, int):
                assert status is not None
                assert status >= 0 or status in list(PsciStatus)
            elif not isinstance(result, SystemDown) or result.action is PowerAction.SUSPEND:
                expected, whose, state = follow(states, cpu, result)
                assert status is expected
                if state is not None:
                    states[whose] = state
                if state in (CpuPower.ON_PENDING, CpuPower.SUSPENDED):
                    assert isinstance(result, (CpuUp, Halt, SystemDown))
                    entry = result.entry_point
                    starts[whose] = None if entry is None else Start(entry, result.arg)
            else:
                assert status is None
        else:
            waits = CpuPower.ON_PENDING if kind == "take" else CpuPower.SUSPENDED
            found = vm.power.take_start(cpu) if kind == "take" else vm.power.resume(cpu)
            if states[cpu] is waits:
                assert found == starts.pop(cpu)
                states[cpu] = CpuPower.ON
            else:
                assert found is None
        assert {cpu: vm.power.state(cpu) for cpu in CPUS} == states
        awake = (CpuPower.ON, CpuPower.SUSPENDED)
        assert vm.power.online() == tuple(cpu for cpu in CPUS if states[cpu] in awake)
        for cpu in CPUS:
            info = {CpuPower.OFF: OFF, CpuPower.ON_PENDING: PENDING}.get(states[cpu], ON)
            assert vm.power.affinity_info(cpu, 0) == info
    for cpu in [cpu for cpu in CPUS if states[cpu] is CpuPower.ON_PENDING]:
        assert vm.power.take_start(cpu) == starts[cpu], "nobody who was started is forgotten"


@SLOW_TO_DRAW
@given(steps=STEPS, at=st.integers(0, 40))
def test_saved_and_loaded_at_any_point_the_rest_is_the_same(steps: list[Step], at: int) -> None:
    vm, twin = Vm(), Vm()
    for each in steps[:at]:
        step(vm, each)
    twin.power.load(json.loads(json.dumps(vm.power.save())))
    for each in steps[at:]:
        assert step(vm, each) == step(twin, each)
    assert vm.power.save() == twin.power.save()


@given(target=st.integers(0, 2**64 - 1) | st.sampled_from(CPUS), level=st.integers(0, 5))
def test_any_target_has_a_defined_state_at_any_level(target: int, level: int) -> None:
    found = controller().affinity_info(target, level)
    if target & ~AFFINITY_MASK or level > 3:
        assert found == INVALID
    else:
        assert found in (ON, OFF, INVALID)


@given(cpus=st.permutations(CPUS), target=st.sampled_from(CPUS), order=st.permutations([0, 1, 2]))
def test_of_any_callers_of_cpu_on_one_wins(cpus: list[int], target: int, order: list[int]) -> None:
    power = controller((*(cpu for cpu in cpus if cpu != target), target))
    answers = [power.cpu_on(target, CODE + 4 * caller, caller) for caller in order]
    assert answers == [PsciStatus.SUCCESS, PsciStatus.ON_PENDING, PsciStatus.ON_PENDING]
    assert power.take_start(target) == Start(CODE + 4 * order[0], order[0])
