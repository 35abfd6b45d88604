"""The neutral vCPU around a mock architecture: its states, its errors, its placement."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from arm_vcpu_cli.axvcpu.arch import AxArchPerCpu, AxArchVCpu
from arm_vcpu_cli.axvcpu.exit import Halt, Hypercall, Nothing
from arm_vcpu_cli.axvcpu.vcpu import AxPerCpu, AxVCpu, VCpuState
from arm_vcpu_cli.errors import VCpuError, VCpuStateError

from .mock_arch import MockConfig, MockError, MockPerCpu, MockVCpu

VCpu = AxVCpu[MockConfig, MockPerCpu]
Operation = Callable[[VCpu, AxPerCpu[MockPerCpu]], object]

OPERATIONS: dict[str, Operation] = {
    "setup": lambda vcpu, _cpu: vcpu.setup(0x8000, 0x1000, MockConfig()),
    "bind": lambda vcpu, cpu: vcpu.bind(cpu),
    "run": lambda vcpu, _cpu: vcpu.run(),
    "unbind": lambda vcpu, _cpu: vcpu.unbind(),
    "block": lambda vcpu, _cpu: vcpu.block(),
    "unblock": lambda vcpu, _cpu: vcpu.unblock(),
}
WAYS: dict[VCpuState, tuple[str, ...]] = {
    VCpuState.CREATED: (),
    VCpuState.FREE: ("setup",),
    VCpuState.READY: ("setup", "bind"),
    VCpuState.BLOCKED: ("setup", "bind", "block"),
    VCpuState.INVALID: ("run_wrongly",),
}
"""How to bring a new vCPU into each state in which a caller can find it between two operations."""
TRANSITIONS: dict[tuple[str, VCpuState], VCpuState] = {
    ("setup", VCpuState.CREATED): VCpuState.FREE,
    ("bind", VCpuState.FREE): VCpuState.READY,
    ("run", VCpuState.READY): VCpuState.READY,
    ("unbind", VCpuState.READY): VCpuState.FREE,
    ("block", VCpuState.READY): VCpuState.BLOCKED,
    ("unblock", VCpuState.BLOCKED): VCpuState.READY,
}


def cpu(number: int = 0) -> AxPerCpu[MockPerCpu]:
    return AxPerCpu(MockPerCpu(number))


def vcpu_in(state: VCpuState, arch: MockVCpu, on: AxPerCpu[MockPerCpu]) -> VCpu:
    vcpu: VCpu = AxVCpu(1, 7, arch)
    for step in WAYS[state]:
        if step == "run_wrongly":
            with pytest.raises(VCpuStateError):
                vcpu.run()
        else:
            OPERATIONS[step](vcpu, on)
    assert vcpu.state is state
    return vcpu


def test_the_mock_satisfies_the_protocols() -> None:
    arch: AxArchVCpu[MockConfig, MockPerCpu] = MockVCpu()
    per_cpu: AxArchPerCpu = MockPerCpu(3)
    assert per_cpu.cpu_id == 3
    assert isinstance(arch, MockVCpu)


def test_a_whole_life_calls_the_architecture_in_order() -> None:
    arch = MockVCpu(exits=[Hypercall(1, (2, 3)), Nothing()])
    vcpu: VCpu = AxVCpu(0, 0, arch)
    states = [vcpu.state]
    vcpu.setup(0x4000, 0x9000, MockConfig("red"))
    states.append(vcpu.state)
    vcpu.bind(cpu(2))
    states.append(vcpu.state)
    assert vcpu.run() == Hypercall(1, (2, 3))
    vcpu.set_return_value(5)
    vcpu.set_gpr(3, 4)
    vcpu.inject_interrupt(33)
    assert vcpu.run() == Nothing()
    states.append(vcpu.state)
    vcpu.unbind()
    states.append(vcpu.state)
    assert arch.log == [
        ("set_entry", 0x4000),
        ("set_ept_root", 0x9000),
        ("setup", MockConfig("red")),
        ("bind", 2),
        ("run",),
        ("set_return_value", 5),
        ("set_gpr", 3, 4),
        ("inject_interrupt", 33),
        ("run",),
        ("unbind",),
    ]
    assert states == [VCpuState.CREATED, VCpuState.FREE, VCpuState.READY, VCpuState.READY, VCpuState.FREE]


def test_it_is_running_only_inside_run() -> None:
    seen: list[VCpuState] = []
    arch = MockVCpu()
    vcpu = vcpu_in(VCpuState.READY, arch, cpu())
    arch.during["run"] = lambda: seen.append(vcpu.state)
    vcpu.run()
    assert seen == [VCpuState.RUNNING]
    assert vcpu.state is VCpuState.READY


@pytest.mark.parametrize(("operation", "found"), sorted(TRANSITIONS, key=str))
def test_allowed_transition(operation: str, found: VCpuState) -> None:
    on = cpu()
    vcpu = vcpu_in(found, MockVCpu(), on)
    OPERATIONS[operation](vcpu, on)
    assert vcpu.state is TRANSITIONS[operation, found]


@pytest.mark.parametrize(
    ("operation", "found"),
    [(operation, found) for operation in OPERATIONS for found in WAYS if (operation, found) not in TRANSITIONS],
)
def test_a_call_in_the_wrong_state_names_the_state_it_found_and_ends_the_vcpu(operation: str, found: VCpuState) -> None:
    on, arch = cpu(), MockVCpu()
    vcpu = vcpu_in(found, arch, on)
    before = list(arch.log)
    with pytest.raises(VCpuStateError) as caught:
        OPERATIONS[operation](vcpu, on)
    assert (caught.value.operation, caught.value.found, caught.value.vcpu_id) == (operation, found.value, 7)
    assert f"found {found.value}" in str(caught.value)
    assert caught.value.expected in {expected.value for name, expected in TRANSITIONS if name == operation}
    assert vcpu.state is VCpuState.INVALID
    assert arch.log == before, "the architecture must not be called"


@pytest.mark.parametrize(
    ("failing", "operation", "found"),
    [
        ("set_entry", "setup", VCpuState.CREATED),
        ("set_ept_root", "setup", VCpuState.CREATED),
        ("setup", "setup", VCpuState.CREATED),
        ("bind", "bind", VCpuState.FREE),
        ("run", "run", VCpuState.READY),
        ("unbind", "unbind", VCpuState.READY),
    ],
)
def test_an_error_inside_an_operation_makes_the_vcpu_invalid(failing: str, operation: str, found: VCpuState) -> None:
    on, arch = cpu(), MockVCpu()
    vcpu = vcpu_in(found, arch, on)
    arch.fail_in = failing
    with pytest.raises(MockError, match=failing):
        OPERATIONS[operation](vcpu, on)
    assert vcpu.state is VCpuState.INVALID
    assert on.current_vcpu is None, "the physical CPU is free for others again"


def test_a_keyboard_interrupt_makes_the_vcpu_invalid_too() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    arch, on = MockVCpu(), cpu()
    vcpu = vcpu_in(VCpuState.READY, arch, on)
    arch.during["run"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        vcpu.run()
    assert vcpu.state is VCpuState.INVALID
    assert on.current_vcpu is None


@pytest.mark.parametrize("outer", ["run", "unbind"])
def test_a_vcpu_cannot_be_bound_in_the_middle_of_an_operation_of_another(outer: str) -> None:
    on, arch, other_arch = cpu(), MockVCpu(), MockVCpu()
    vcpu = vcpu_in(VCpuState.READY, arch, on)
    other = vcpu_in(VCpuState.FREE, other_arch, on)
    before = list(other_arch.log)

    def nested() -> None:
        assert on.current_vcpu == 7
        with pytest.raises(VCpuError, match=r"vCPU 7: physical CPU 0 .* vCPU 7"):
            other.bind(on)

    arch.during[outer] = nested
    OPERATIONS[outer](vcpu, on)
    assert other_arch.log == before
    assert other.state is VCpuState.INVALID
    assert vcpu.state is not VCpuState.INVALID
    assert on.current_vcpu is None


def test_vcpus_take_turns_on_a_physical_cpu() -> None:
    on = cpu(3)
    arch, other_arch = MockVCpu(), MockVCpu()
    vcpu = vcpu_in(VCpuState.READY, arch, on)
    other: VCpu = AxVCpu(2, 8, other_arch)
    other.setup(0, 0, MockConfig())
    other.bind(on)
    both = on.bound_vcpus
    assert both == (7, 8)
    vcpu.run()
    other.run()
    vcpu.run()
    assert (vcpu.state, other.state) == (VCpuState.READY, VCpuState.READY)
    assert [entry[0] for entry in arch.log].count("run") == 2
    assert [entry[0] for entry in other_arch.log].count("run") == 1
    vcpu.unbind()
    assert on.bound_vcpus == (8,)
    assert (vcpu.cpu, other.cpu) == (None, on)


@pytest.mark.parametrize("failing", ["bind", "run", "unbind"])
def test_a_vcpu_that_became_invalid_leaves_its_physical_cpu_to_others(failing: str) -> None:
    on, arch = cpu(), MockVCpu()
    vcpu = vcpu_in(VCpuState.FREE if failing == "bind" else VCpuState.READY, arch, on)
    arch.fail_in = failing
    with pytest.raises(MockError):
        OPERATIONS[failing](vcpu, on)
    assert (on.bound_vcpus, vcpu.cpu) == ((), None)
    assert vcpu_in(VCpuState.READY, MockVCpu(), on).run() == Halt()


def test_operations_on_two_physical_cpus_may_overlap() -> None:
    arch, other_arch = MockVCpu(), MockVCpu(exits=[Nothing()])
    vcpu = vcpu_in(VCpuState.READY, arch, cpu(0))
    other = vcpu_in(VCpuState.READY, other_arch, cpu(1))
    inner: list[object] = []
    arch.during["run"] = lambda: inner.append(other.run())
    assert vcpu.run() == Halt()
    assert inner == [Nothing()]


def test_a_vcpu_that_is_running_cannot_be_run_again_from_inside_and_stays_invalid() -> None:
    arch, on = MockVCpu(), cpu()
    vcpu = vcpu_in(VCpuState.READY, arch, on)

    def again() -> None:
        with pytest.raises(VCpuStateError, match="found Running"):
            vcpu.run()

    arch.during["run"] = again
    vcpu.run()
    assert vcpu.state is VCpuState.INVALID, "Invalid is final, even where the outer call swallows the error"


@pytest.mark.parametrize(
    ("outer", "found"), [("setup", VCpuState.CREATED), ("bind", VCpuState.FREE), ("unbind", VCpuState.READY)]
)
def test_an_operation_cannot_be_started_inside_another_of_the_same_vcpu(outer: str, found: VCpuState) -> None:
    arch, on = MockVCpu(), cpu()
    vcpu = vcpu_in(found, arch, on)

    def again() -> None:
        with pytest.raises(VCpuError, match="in the middle of"):
            OPERATIONS[outer](vcpu, cpu(1))

    arch.during[outer] = again
    OPERATIONS[outer](vcpu, on)
    assert vcpu.state is VCpuState.INVALID


@pytest.mark.parametrize(
    ("allowed", "number", "refused"), [(None, 5, False), (0b100, 2, False), (0b100, 1, True), (0, 0, True)]
)
def test_the_set_of_physical_cpus_is_enforced(allowed: int | None, number: int, refused: bool) -> None:
    arch = MockVCpu()
    vcpu: VCpu = AxVCpu(0, 1, arch, phys_cpu_set=allowed)
    vcpu.setup(0, 0, MockConfig())
    if refused:
        with pytest.raises(VCpuError, match=f"physical CPU {number} is not in its set"):
            vcpu.bind(cpu(number))
        assert ("bind", number) not in arch.log
        assert vcpu.state is VCpuState.INVALID
        assert vcpu.cpu is None
    else:
        vcpu.bind(cpu(number))
        assert vcpu.cpu is not None
        assert vcpu.cpu.cpu_id == number


def test_unbind_releases_the_physical_cpu_and_bind_takes_another() -> None:
    arch = MockVCpu()
    vcpu = vcpu_in(VCpuState.READY, arch, cpu(0))
    vcpu.unbind()
    assert vcpu.cpu is None
    vcpu.bind(cpu(4))
    assert vcpu.cpu is not None
    assert vcpu.cpu.cpu_id == 4


@pytest.mark.parametrize(("number", "boots"), [(0, True), (1, False), (7, False)])
def test_vcpu_0_boots_its_vm(number: int, boots: bool) -> None:
    vcpu: VCpu = AxVCpu(3, number, MockVCpu(), favor_phys_cpu=2)
    assert vcpu.is_bsp is boots
    assert (vcpu.vm_id, vcpu.id, vcpu.favor_phys_cpu, vcpu.phys_cpu_set) == (3, number, 2, None)


# Those who watch ---------------------------------------------------------------------------------------------------


def test_every_change_of_state_is_told_with_both_states() -> None:
    changes: list[tuple[str, str]] = []
    arch, on = MockVCpu(exits=[Nothing()]), cpu()
    vcpu: VCpu = AxVCpu(0, 0, arch)
    vcpu.observe_state(lambda before, after: changes.append((before.value, after.value)))
    for operation in ("setup", "bind", "run", "block", "unblock", "unbind"):
        OPERATIONS[operation](vcpu, on)
    assert changes == [
        ("Created", "Free"),
        ("Free", "Ready"),
        ("Ready", "Running"),
        ("Running", "Ready"),
        ("Ready", "Blocked"),
        ("Blocked", "Ready"),
        ("Ready", "Free"),
    ]


def test_who_watches_finds_the_new_state() -> None:
    vcpu: VCpu = AxVCpu(0, 0, MockVCpu())
    found: list[bool] = []
    vcpu.observe_state(lambda _before, after: found.append(vcpu.state is after))
    for operation in ("setup", "bind", "run"):
        OPERATIONS[operation](vcpu, cpu())
    assert found == [True] * 4


@pytest.mark.parametrize(("found", "operation"), [(VCpuState.READY, "setup"), (VCpuState.CREATED, "run")])
def test_the_end_of_a_vcpu_is_told_once(found: VCpuState, operation: str) -> None:
    on = cpu()
    vcpu = vcpu_in(found, MockVCpu(), on)
    changes: list[tuple[VCpuState, VCpuState]] = []
    vcpu.observe_state(lambda before, after: changes.append((before, after)))
    for _ in range(2):
        with pytest.raises(VCpuStateError):
            OPERATIONS[operation](vcpu, on)
    assert changes == [(found, VCpuState.INVALID)]


def test_an_error_in_the_middle_of_a_run_is_told_as_the_end() -> None:
    arch, on = MockVCpu(), cpu()
    vcpu = vcpu_in(VCpuState.READY, arch, on)
    changes: list[tuple[VCpuState, VCpuState]] = []
    vcpu.observe_state(lambda before, after: changes.append((before, after)))
    arch.fail_in = "run"
    with pytest.raises(MockError):
        vcpu.run()
    assert changes == [(VCpuState.READY, VCpuState.RUNNING), (VCpuState.RUNNING, VCpuState.INVALID)]


def test_nobody_watches_any_more_who_is_taken_away() -> None:
    changes: list[object] = []
    vcpu: VCpu = AxVCpu(0, 0, MockVCpu())
    vcpu.observe_state(lambda before, after: changes.append(after))
    OPERATIONS["setup"](vcpu, cpu())
    vcpu.observe_state(None)
    OPERATIONS["bind"](vcpu, cpu())
    assert changes == [VCpuState.FREE]
