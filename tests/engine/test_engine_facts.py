"""The properties of the engine that the package relies on, and the refusal of other engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, Halt, Hypercall
from arm_vcpu_cli.engine import throwaway
from arm_vcpu_cli.engine.discovery import discover_layout
from arm_vcpu_cli.engine.levers import known_levers
from arm_vcpu_cli.engine.throwaway import ThrowAwayEngine
from arm_vcpu_cli.engine.unicorn_api import CPU_MODELS
from arm_vcpu_cli.engine.unicorn_core import UnicornCore
from arm_vcpu_cli.errors import EngineError

from .harness import DATA, DEVICE, EL1H, MASKED, Guest

EL1, EL2 = 1, 2
AT, AFTER = 0, 4
NOWHERE = 0x7000_0000


@pytest.fixture
def guest() -> Iterator[Guest]:
    # The hook of these tests is to see what is under test, and not what comes before it.
    with Guest("exceptions", levers=replace(known_levers(), execute_on_demand=False)) as guest:
        yield guest


# The layout of the saved state -------------------------------------------------------------------------------------


def test_the_layout_is_found_and_is_the_same_each_time() -> None:
    assert discover_layout() == discover_layout()


@pytest.mark.parametrize("model", tuple(CPU_MODELS))
def test_all_models_share_the_layout(model: str) -> None:
    core = UnicornCore(model, discover_layout())
    state = core.new_state()
    assert state.u64.nbytes == core.layout.size
    core.close()


def test_a_layout_of_another_size_is_refused() -> None:
    layout = discover_layout()
    core = UnicornCore("cortex-a72", replace(layout, size=layout.size + 8))
    with pytest.raises(EngineError, match="bytes"):
        core.new_state()
    core.close()


def _shifted(saved: Callable[[ThrowAwayEngine], bytes]) -> Callable[[ThrowAwayEngine], bytes]:
    return lambda probe: b"\0" * 4 + saved(probe)[:-4]


def _scrambled(saved: Callable[[ThrowAwayEngine], bytes]) -> Callable[[ThrowAwayEngine], bytes]:
    return lambda probe: bytes(byte ^ 0x5A for byte in saved(probe))


def _frozen(saved: Callable[[ThrowAwayEngine], bytes]) -> Callable[[ThrowAwayEngine], bytes]:
    return lambda probe: bytes(len(saved(probe)))


@pytest.mark.parametrize("change", [_shifted, _scrambled, _frozen])
def test_an_engine_whose_state_looks_otherwise_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Callable[[ThrowAwayEngine], bytes]], Callable[[ThrowAwayEngine], bytes]],
) -> None:
    monkeypatch.setattr(ThrowAwayEngine, "saved", change(ThrowAwayEngine.saved))
    with pytest.raises(EngineError) as refused:
        discover_layout()
    message = str(refused.value)
    assert "not usable" in message
    assert "unicorn>=2.1.4,<2.2" in message
    assert "\n" not in message


def test_an_engine_that_ignores_edits_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(ThrowAwayEngine):
        def __init__(self, *, has_sve: bool = False) -> None:
            super().__init__(has_sve=has_sve)
            self.restore = lambda: None

    monkeypatch.setattr(throwaway, "ThrowAwayEngine", Deaf)
    with pytest.raises(EngineError, match="an edited register") as refused:
        discover_layout()
    assert "\n" not in str(refused.value)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(EngineError, match="cortex-a72"):
        UnicornCore("cortex-m0")


# Where exceptions surface ------------------------------------------------------------------------------------------


def raised_by(guest: Guest, place: str, x: dict[int, int], mode: int = EL1H) -> tuple[int, int, int]:
    """(PC from the label, target level, EC) of the first exception of an instruction, seen by a bare hook."""
    seen: list[tuple[int, int, int]] = []
    guest.prepare(place, mode=mode, x=x)
    core, state = guest.core, guest.vcpu.state
    save = core.saver(state)

    def hook(kind: int) -> None:
        assert kind == 0
        save()
        layout = state.layout
        syndrome = state.u32[layout.syndrome // 4]
        seen.append((guest.pc - guest.label(place), state.u32[layout.target_el // 4], syndrome >> 26))
        core.stop()

    guest.vcpu.synchronise()
    core.set_exception_hook(hook)
    core.run(guest.label("launch"))
    return seen[0]


@pytest.mark.parametrize(
    ("place", "x", "expected"),
    [
        ("hvc_1", {}, (AFTER, EL2, 0x16)),
        ("smc_1", {}, (AT, EL2, 0x17)),
        ("load", {1: DEVICE}, (AT, EL2, 0x24)),
        ("store", {1: DEVICE}, (AT, EL2, 0x24)),
        ("read_counter", {}, (AT, EL2, 0x18)),
        ("write_timer", {}, (AT, EL2, 0x18)),
        ("read_id", {}, (AT, EL2, 0x18)),
        ("wait", {}, (AT, EL2, 0x01)),
        ("svc_0", {}, (AFTER, EL1, 0x15)),
        ("load", {1: 1 << 47}, (AT, EL1, 0x25)),
        ("undefined", {}, (AT, EL1, 0x00)),
        ("read_gic", {}, (AT, EL1, 0x00)),
        ("hlt_1", {}, (AT, EL1, 0x00)),
        ("dcps1", {}, (AT, EL1, 0x00)),
        ("brk_0", {}, (AT, EL1, 0x3C)),
    ],
)
def test_pc_target_and_class_in_the_hook(
    guest: Guest, place: str, x: dict[int, int], expected: tuple[int, int, int]
) -> None:
    assert raised_by(guest, place, x) == expected


def test_pc_of_a_fetch_that_stage_2_refuses(guest: Guest) -> None:
    pc, target, exception_class = raised_by(guest, "jump", {1: NOWHERE})
    assert (pc + guest.label("jump"), target, exception_class) == (NOWHERE, EL2, 0x20)


def test_what_a_hook_raises_comes_out_of_run(guest: Guest) -> None:
    class OursError(Exception):
        pass

    def hook(kind: int) -> None:
        raise OursError

    guest.prepare("svc_0")
    guest.vcpu.synchronise()
    guest.core.set_exception_hook(hook)
    with pytest.raises(OursError):
        guest.core.run(guest.label("launch"))


# Saving, editing, restoring ----------------------------------------------------------------------------------------


def test_edits_of_the_saved_state_take_effect(guest: Guest) -> None:
    guest.start("hvc_1")
    ctx = guest.vcpu.ctx
    ctx.set_gpr(5, 41)
    ctx.elr = guest.label("line")
    ctx.sp = 0x1230
    guest.run()
    assert guest.x(5) == 45
    assert guest.pc == guest.label("line") + 24
    assert guest.vcpu.ctx.sp == 0x1230
    assert guest.pstate & 0xF000_0000 == 0x6000_0000, "flags of CMP X5, X5"


@pytest.mark.parametrize("flags", range(16))
def test_flags_are_read_from_and_written_to_their_words(guest: Guest, flags: int) -> None:
    guest.start("hvc_1", pstate=MASKED | flags << 28)
    assert guest.pstate >> 28 == flags
    guest.vcpu.synchronise()
    guest.core.saver(guest.vcpu.state)()
    assert guest.pstate == MASKED | EL1H | flags << 28


def test_vector_registers_lie_where_the_layout_says(guest: Guest) -> None:
    values = {n: (n + 1) * 0x0102_0304_0506_0708_1112_1314_1516_1718 & (1 << 128) - 1 for n in range(32)}
    for n, value in values.items():
        guest.set_v(n, value)
    guest.start("hvc_1")
    assert {n: guest.v(n) for n in range(32)} == values


def test_system_registers_of_the_layout_are_those_of_the_core(guest: Guest) -> None:
    guest.start("svc_5a7")
    layout, words = guest.vcpu.state.layout, guest.vcpu.state.u64
    for reg, offset in layout.sysregs.items():
        if reg.name not in ("SP_EL0", "SP_EL1"):
            assert words[offset // 8] == guest.core.read_sysreg(reg), reg.name


# Caches ------------------------------------------------------------------------------------------------------------


def test_flushing_code_shows_what_was_written_from_outside(guest: Guest) -> None:
    guest.start("patch")
    assert guest.x(5) == 1
    guest.write_code(guest.label("patch"), 0xD280_0045)  # MOV X5, #2
    guest.core.flush_code()
    guest.start("patch")
    assert guest.x(5) == 2


def test_code_that_the_guest_writes_itself_is_executed(guest: Guest) -> None:
    guest.start("patch")
    guest.start("store", x={0: 0xD420_0000_D280_0065, 1: guest.label("patch")})  # MOV X5, #3; BRK #0
    guest.start("patch")
    assert guest.x(5) == 3


def test_flushing_the_tlb_shows_an_edited_stage_2(guest: Guest) -> None:
    guest.start("load", x={1: DATA})
    assert guest.finished("load")
    guest.stage2.unmap(DATA, 0x1000)
    guest.core.flush_tlb()
    assert not isinstance(guest.start("load", x={1: DATA}), Hypercall)


# Virtual interrupts ------------------------------------------------------------------------------------------------


def test_virtual_irq_is_taken_when_it_is_unmasked(guest: Guest) -> None:
    guest.vcpu.set_virtual_irq(pending=True)
    guest.start("line", pstate=MASKED & ~0x80)
    assert guest.slot == 5
    assert guest["ELR_EL1"] == guest.label("line")
    guest.vcpu.set_virtual_irq(pending=False)
    guest.run()
    assert guest.x(5) == 4


def test_virtual_irq_waits_while_it_is_masked(guest: Guest) -> None:
    guest.vcpu.inject_interrupt(27)
    guest.start("line")
    assert guest.slot is None
    assert guest.x(5) == 4


def test_wfi_is_over_at_once_when_an_interrupt_is_pending(guest: Guest) -> None:
    reason: AxVCpuExitReason = guest.start("wait")
    assert reason == Halt()
    assert guest.pc == guest.label("wait")
    guest.run()
    assert guest.finished("wait")
    guest.vcpu.set_virtual_irq(pending=True)
    guest.start("wait")
    assert guest.finished("wait")


# Names that the layout has to know -------------------------------------------------------------------------------


def test_the_layout_has_what_entering_el1_needs(guest: Guest) -> None:
    names = "ELR_EL1 SPSR_EL1 ESR_EL1 FAR_EL1 VBAR_EL1 SCTLR_EL1 SP_EL0 SP_EL1 HPFAR_EL2".split()
    assert {lookup(name) for name in names} <= set(guest.core.layout.sysregs)
