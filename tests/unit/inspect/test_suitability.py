"""Verdicts on made-up guests: obstacles, possible obstacles, and notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from arm_vcpu_cli.board.loading import load_machine, machine_from_document
from arm_vcpu_cli.guest.code_survey import EL2, CodeSurvey, Use
from arm_vcpu_cli.guest.elf_survey import ElfSurvey
from arm_vcpu_cli.guest.guest_survey import GuestSurvey
from arm_vcpu_cli.guest.image import Segment
from arm_vcpu_cli.guest.linux import ImageFlags
from arm_vcpu_cli.guest.linux_survey import DRIVERS, LinuxSurvey
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.inspect.suitability import ENOUGH, GuestCpu, Verdict, Weight, guest_cpu, judge
from tests.unit.probe.models import facts, fake_model

MACHINE = load_machine(None)
RAM = MACHINE.ram.base
SEGMENT = Segment(RAM, b"", 0x1000, readable=True, writable=True, executable=True, name="LOAD[0]")
A72 = GuestCpu("cortex-a72", facts("cortex-a72").implemented, facts("cortex-a72").announced)
MAX = GuestCpu("max", facts("max").implemented, facts("max").announced)
ELF = ElfSurvey(64, False, 183, 2, RAM, None, False, (), None, SymbolTable())
LINUX = LinuxSurvey("6.1", None, 0x1000, ImageFlags.of(PAGE_SIZE=1), True, None, ("FEAT_LSE",), tuple(DRIVERS))


def use(need: str, total: int = 1, chosen: int = 0, *, is_certain: bool = True) -> Use:
    return Use(need, total, chosen, "ldadd", RAM + 16, "main+0x10", is_certain)


def code(*uses: Use, asks: frozenset[str] = frozenset(), asks_level: bool = False) -> CodeSurvey:
    return CodeSurvey(100, all(each.is_certain for each in uses), uses, asks, asks_level)


def program(*uses: Use, elf: ElfSurvey = ELF, **rest: object) -> GuestSurvey:
    return GuestSurvey(Path("guest.elf"), "elf", 100, None, (SEGMENT,), elf=elf, code=code(*uses, **rest))  # type: ignore[arg-type]


def kernel(linux: LinuxSurvey = LINUX) -> GuestSurvey:
    return GuestSurvey(Path("Image"), "linux", 100, None, (SEGMENT,), linux=linux, code=code(use("FEAT_LSE", 5000)))


def weights(verdict: Verdict) -> list[Weight]:
    return [each.weight for each in verdict.findings]


def test_a_program_that_needs_nothing_runs() -> None:
    verdict = judge(program(use("HVC"), use("FEAT_AES")), A72, MACHINE)
    assert verdict.runs
    assert verdict.findings == ()


def test_an_instruction_that_the_cpu_does_not_have_stops_it() -> None:
    verdict = judge(program(use("FEAT_LSE", 3)), A72, MACHINE)
    assert not verdict.runs
    assert verdict.missing == {"FEAT_LSE"}
    assert verdict.findings[0].text == (
        "it uses FEAT_LSE (ldadd at main+0x10, 3 in all), which cortex-a72 does not have: undefined there"
    )
    assert judge(program(use("FEAT_LSE")), MAX, MACHINE).runs


@pytest.mark.parametrize(("total", "weight"), [(1, Weight.MAYBE), (ENOUGH - 1, Weight.MAYBE), (ENOUGH, Weight.NO)])
def test_what_may_be_data_decides_only_if_there_is_much_of_it(total: int, weight: Weight) -> None:
    assert weights(judge(program(use("FEAT_LSE", total, is_certain=False)), A72, MACHINE)) == [weight]


def test_a_guest_that_asks_first_may_run() -> None:
    asked = program(use("FEAT_LSE"), asks=frozenset({"ID_AA64ISAR0_EL1"}))
    verdict = judge(asked, A72, MACHINE)
    assert (verdict.runs, weights(verdict)) == (True, [Weight.MAYBE])
    assert "it reads ID_AA64ISAR0_EL1" in verdict.findings[0].text
    other = program(use("FEAT_LSE"), asks=frozenset({"ID_AA64PFR0_EL1"}))
    assert not judge(other, A72, MACHINE).runs


def test_functions_that_are_chosen_at_run_time_are_only_noted() -> None:
    assert weights(judge(program(use("FEAT_LSE", 2, 2)), A72, MACHINE)) == [Weight.NOTE]
    assert not judge(program(use("FEAT_LSE", 3, 2)), A72, MACHINE).runs


def test_what_the_machine_hides_is_executed_all_the_same_and_said_so() -> None:
    hiding = GuestCpu("max", MAX.implemented, MAX.announced - {"FEAT_LSE"})
    verdict = judge(program(use("FEAT_LSE")), hiding, MACHINE)
    assert (verdict.runs, weights(verdict)) == (True, [Weight.NOTE])
    assert "the engine executes it all the same" in verdict.findings[0].text


def test_the_pmu_is_hidden_and_undefined_although_the_core_has_it() -> None:
    assert "FEAT_PMUv3" in A72.implemented
    assert not judge(program(use("FEAT_PMUv3")), A72, MACHINE).runs


def test_el2_is_out_of_reach_unless_the_guest_looks_where_it_is() -> None:
    assert not judge(program(use(EL2)), A72, MACHINE).runs
    verdict = judge(program(use(EL2), asks_level=True), A72, MACHINE)
    assert (verdict.runs, weights(verdict)) == (True, [Weight.NOTE])


@pytest.mark.parametrize(
    ("elf", "words"),
    [
        (ELF._replace(machine=62), "it is for x86-64, 64-bit"),
        (ELF._replace(machine=40, bits=32), "it is for Arm (AArch32), 32-bit"),
        (ELF._replace(is_big_endian=True), "it is for AArch64, 64-bit, big-endian"),
        (ELF._replace(type=1), "it is not a program but a relocatable object"),
        (ELF._replace(interpreter="/lib/ld.so"), "armvcpu does not load /lib/ld.so"),
        (ELF._replace(is_for_linux=True), "it is a Linux program"),
    ],
)
def test_a_program_for_something_else_is_told_so_and_nothing_more(elf: ElfSurvey, words: str) -> None:
    verdict = judge(program(use("FEAT_LSE"), elf=elf), A72, MACHINE)
    assert not verdict.runs
    assert len(verdict.findings) == 1
    assert words in verdict.findings[0].text


def test_what_the_loader_refuses_cannot_run() -> None:
    verdict = judge(replace(program(), problem="offset 0x0: broken"), A72, MACHINE)
    assert [each.text for each in verdict.findings] == ["offset 0x0: broken"]
    assert not verdict.runs


def test_a_guest_has_to_fit_into_memory() -> None:
    small = load_machine(None, memory_size=0x10_0000)
    big = replace(program(), segments=(SEGMENT, replace(SEGMENT, memory_size=0x20_0000)))
    assert judge(big, A72, MACHINE).runs
    verdict = judge(big, A72, small)
    assert not verdict.runs
    assert "LOAD[0] at 0x40000000-0x401fffff (2 MiB) is outside of memory: ram 0x40000000-0x400fffff" in (
        verdict.findings[0].text
    )


def test_a_kernel_uses_what_is_there_and_needs_pages_and_drivers() -> None:
    assert judge(kernel(), A72, MACHINE).findings == ()
    wide = judge(kernel(LINUX._replace(flags=ImageFlags.of(PAGE_SIZE=2))), A72, MACHINE)
    assert not wide.runs
    assert wide.missing == {"FEAT_TGran16K"}
    assert "pages of 16 KiB" in wide.findings[0].text
    assert "it has 4 KiB and 64 KiB" in wide.findings[0].text
    assert judge(kernel(LINUX._replace(flags=ImageFlags.of(PAGE_SIZE=3))), A72, MACHINE).runs


@pytest.mark.parametrize(
    ("driver", "weight"),
    [
        ("GICv3", Weight.NO),
        ("architected timer", Weight.NO),
        ("PL011 console", Weight.MAYBE),
        ("PSCI", Weight.MAYBE),
        ("PL031 clock", None),
    ],
)
def test_a_missing_driver_matters_as_much_as_its_device(driver: str, weight: Weight | None) -> None:
    drivers = tuple(name for name in DRIVERS if name != driver)
    verdict = judge(kernel(LINUX._replace(drivers=drivers)), A72, MACHINE)
    assert weights(verdict) == ([] if weight is None else [weight])


@pytest.mark.parametrize("version", [2, 3])
def test_the_driver_that_matters_is_that_of_the_machines_interrupt_controller(version: int) -> None:
    machine = load_machine(None, gic=version)
    for missing in (2, 3):
        drivers = tuple(name for name in DRIVERS if name != f"GICv{missing}")
        verdict = judge(kernel(LINUX._replace(drivers=drivers)), A72, machine)
        assert weights(verdict) == ([Weight.NO] if missing == version else [])


def test_a_kernel_that_insists_on_52_bits_needs_a_cpu_that_has_them() -> None:
    options = MappingProxyType({"ARM64_VA_BITS": "52", "ARM64_FORCE_52BIT": "y"})
    verdict = judge(kernel(LINUX._replace(options=options)), A72, MACHINE)
    assert verdict.missing == {"FEAT_LVA"}
    assert judge(kernel(LINUX._replace(options=MappingProxyType({"ARM64_VA_BITS": "52"}))), A72, MACHINE).runs


def test_a_raw_binary_without_code_is_doubted() -> None:
    verdict = judge(GuestSurvey(Path("text"), "raw", 100, None, (SEGMENT,)), A72, MACHINE)
    assert (verdict.runs, weights(verdict)) == (True, [Weight.MAYBE])


def test_the_cpu_of_a_guest_is_what_the_machine_makes_of_the_model() -> None:
    core = fake_model("max")
    plain = guest_cpu(core, MACHINE)
    # The interrupt controller is the machine's.
    assert (plain.model, plain.implemented) == ("max", facts("max").implemented | {"FEAT_GICv3"})
    assert {"FEAT_LSE", "FEAT_GICv3"} <= plain.announced
    assert not {"FEAT_VHE", "FEAT_AA64EL2", "FEAT_PMUv3"} & plain.announced
    # Its CPU interface is in memory: there are no registers of it to announce.
    assert plain.announced - guest_cpu(core, load_machine(None, gic=2)).announced == {"FEAT_GICv3"}
    without = machine_from_document({"cpu": {"model": "max", "features": {"FEAT_LSE": False}}}, None)
    assert plain.announced - guest_cpu(core, without).announced == {"FEAT_LSE"}
    bare = machine_from_document({"el2": {"trap_id_registers": False}}, None)
    assert "FEAT_AA64EL2" in guest_cpu(core, bare).announced
    impossible = machine_from_document({"cpu": {"features": {"FEAT_LSE": True}}}, None)
    with pytest.raises(ValueError, match="FEAT_LSE cannot be switched on"):
        guest_cpu(fake_model("cortex-a72"), impossible)
