"""Guests whose interrupt does not arrive, each with one mistake: the gate reported, the write that would open it, and
their JSON."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

import pytest

from tests.integration.command import GUESTS, Finished, armvcpu

TIMER: Final = "INTID 27 (virtual timer) is pending at cpu0, but "


class Case(NamedTuple):
    """The mistake in words, the write that is named, and the options of the run."""

    reason: str
    write: str
    last: str
    options: tuple[object, ...] = ()


V2: Final = ("--gic", 2)
TWO: Final = ("--smp", 2)
CASES: Final = {
    "timer_off": Case(
        "The virtual timer of cpu0 (INTID 27) was set to 1 ms from now, but CNTV_CTL_EL0 is 0x0: ENABLE is clear.",
        "write 0x1 to CNTV_CTL_EL0 on cpu0",
        "CNTV_CTL_EL0 = 0x0",
    ),
    "timer_masked": Case(
        "The virtual timer of cpu0 (INTID 27) fires 1 ms from now, but CNTV_CTL_EL0 is 0x3: IMASK is set.",
        "write 0x1 to CNTV_CTL_EL0 on cpu0",
        "CNTV_CTL_EL0 = 0x3",
    ),
    "edge": Case(
        "The virtual timer of cpu0 (INTID 27) fired just now, but GICR_ICFGR1 is 0x00800000: the interrupt is "
        "edge-triggered, and the edge has passed.",
        "write 0x00000000 to GICR_ICFGR1 (redistributor of cpu0, IPA 0x080b0c04)",
        "GICR_ICFGR1 = 0x00800000",
    ),
    "disabled": Case(
        f"{TIMER}GICR_ISENABLER0 is 0x00000000: bit 27 is clear.",
        "write 0x08000000 to GICR_ISENABLER0 (redistributor of cpu0, IPA 0x080b0100)",
        "GICR_ISENABLER0 = 0x00000000",
    ),
    "wrong_group": Case(
        f"{TIMER}it is in Group 0 (GICR_IGROUPR0 is 0x00000000: bit 27 is clear), and only Group 1 is enabled.",
        "write 0x08000000 to GICR_IGROUPR0 (redistributor of cpu0, IPA 0x080b0080)",
        "GICR_IGROUPR0 = 0x00000000",
    ),
    "distributor_off": Case(
        f"{TIMER}GICD_CTLR is 0x00000050: no group of interrupts is enabled.",
        "write 0x00000052 to GICD_CTLR (distributor, IPA 0x08000000)",
        "GICD_CTLR = 0x00000050",
    ),
    "asleep": Case(
        f"{TIMER}GICR_WAKER is 0x00000006: ProcessorSleep is set, so nothing is presented to cpu0.",
        "write 0x00000000 to GICR_WAKER (redistributor of cpu0, IPA 0x080a0014)",
        "GICR_WAKER = 0x00000006",
    ),
    "interface_off": Case(
        f"{TIMER}ICC_IGRPEN1_EL1 is 0x0: Group 1 interrupts are not signalled to cpu0.",
        "write 0x1 to ICC_IGRPEN1_EL1 on cpu0",
        "ICC_IGRPEN1_EL1 = 0x0",
    ),
    "lowest": Case(
        f"{TIMER}GICR_IPRIORITYR6[31:24] is 0xf8: the lowest priority, which every priority mask blocks.",
        "write 0xa0 to GICR_IPRIORITYR6[31:24] (redistributor of cpu0, IPA 0x080b041b)",
        "GICR_IPRIORITYR6[31:24] = 0xf8",
    ),
    "mask": Case(
        f"{TIMER}its priority 0xa0 is not higher than ICC_PMR_EL1, 0x00.",
        "write 0xff to ICC_PMR_EL1 on cpu0",
        "ICC_PMR_EL1 = 0x0",
    ),
    "running": Case(
        f"{TIMER}cpu0 has acknowledged INTID 1 and not ended it: priority 0xa0 is not higher than the running priority "
        "(ICC_RPR_EL1 is 0xa0).",
        "write 1 to ICC_EOIR1_EL1 on cpu0",
        "INTID 1, which was never ended (ICC_EOIR1_EL1)",
    ),
    "not_ended": Case(
        f"{TIMER}it is still active: cpu0 has acknowledged it and not ended it.",
        "write 27 to ICC_EOIR1_EL1 on cpu0",
        "still active and was never ended (ICC_EOIR1_EL1)",
    ),
    "not_deactivated": Case(
        f"{TIMER}it is still active: cpu0 has dropped its priority (EOImode 1) and not deactivated it.",
        "write 27 to ICC_DIR_EL1 on cpu0",
        "still active and was never ended (ICC_DIR_EL1)",
    ),
    "wrong_end": Case(
        f"{TIMER}it is still active (GICR_ISACTIVER0 is 0x08000000: bit 27 is set), though no CPU handles it: the "
        "value written to end it was not the one that its acknowledge had returned.",
        "write 0x08000000 to GICR_ICACTIVER0 (redistributor of cpu0, IPA 0x080b0380)",
        "still active and was never ended (GICR_ICACTIVER0)",
    ),
    "masked-spins": Case(
        f"{TIMER}it is signalled as IRQ, and cpu0 masks that: PSTATE.I is 1.",
        "MSR DAIFClr, #2 on cpu0",
        "with interrupts masked",
    ),
    "spi-nowhere": Case(
        "INTID 40 is pending, but GICD_IROUTER40 is 0x0000000000000005: it is routed to no CPU.",
        "write 0x0000000000000000 to GICD_IROUTER40 (distributor, IPA 0x08006140)",
        "GICD_IROUTER40 = 0x0000000000000005",
    ),
    "spi-off": Case(
        "INTID 40 is pending, but it is routed to cpu1 (GICD_IROUTER40 is 0x0000000000000001), which is off.",
        "write 0x0000000000000000 to GICD_IROUTER40 (distributor, IPA 0x08006140)",
        "INTID 40 goes to cpu1, which is off",
        TWO,
    ),
    "gicv2-disabled": Case(
        f"{TIMER}GICD_ISENABLER0 is 0x0000ffff: bit 27 is clear.",
        "write 0x08000000 to GICD_ISENABLER0 (distributor, IPA 0x08000100)",
        "GICD_ISENABLER0 = 0x0000ffff",
        V2,
    ),
    "gicv2-wrong_group": Case(
        f"{TIMER}it is in Group 1 (GICD_IGROUPR0 is 0x08000000: bit 27 is set), and only Group 0 is enabled.",
        "write 0x00000000 to GICD_IGROUPR0 (distributor, IPA 0x08000080)",
        "GICD_IGROUPR0 = 0x08000000",
        V2,
    ),
    "gicv2-distributor_off": Case(
        f"{TIMER}GICD_CTLR is 0x00000000: no group of interrupts is enabled.",
        "write 0x00000001 to GICD_CTLR (distributor, IPA 0x08000000)",
        "GICD_CTLR = 0x00000000",
        V2,
    ),
    "gicv2-interface_off": Case(
        f"{TIMER}GICC_CTLR is 0x00000000: Group 0 interrupts are not signalled to cpu0.",
        "write 0x00000001 to GICC_CTLR (CPU interface of cpu0, IPA 0x08010000)",
        "GICC_CTLR = 0x00000000",
        V2,
    ),
    "gicv2-mask": Case(
        f"{TIMER}its priority 0xa0 is not higher than GICC_PMR, 0x00.",
        "write 0x000000ff to GICC_PMR (CPU interface of cpu0, IPA 0x08010004)",
        "GICC_PMR = 0x00000000",
        V2,
    ),
    "gicv2-running": Case(
        f"{TIMER}cpu0 has acknowledged INTID 1 and not ended it: priority 0xa0 is not higher than the running priority "
        "(GICC_RPR is 0x000000a0).",
        "write 1 to GICC_EOIR (CPU interface of cpu0, IPA 0x08010010)",
        "INTID 1, which was never ended (GICC_EOIR)",
        V2,
    ),
    "gicv2-not_ended": Case(
        f"{TIMER}it is still active: cpu0 has acknowledged it and not ended it.",
        "write 27 to GICC_EOIR (CPU interface of cpu0, IPA 0x08010010)",
        "still active and was never ended (GICC_EOIR)",
        V2,
    ),
    "gicv2-not_deactivated": Case(
        f"{TIMER}it is still active: cpu0 has dropped its priority (EOImode 1) and not deactivated it.",
        "write 27 to GICC_DIR (CPU interface of cpu0, IPA 0x08011000)",
        "still active and was never ended (GICC_DIR)",
        V2,
    ),
    "gicv2-spi-nowhere": Case(
        "INTID 40 is pending, but GICD_ITARGETSR10[7:0] is 0x00: it is routed to no CPU.",
        "write 0x01 to GICD_ITARGETSR10[7:0] (distributor, IPA 0x08000828)",
        "GICD_ITARGETSR10[7:0] = 0x00",
        (*V2, *TWO),
    ),
    "gicv2-spi-off": Case(
        "INTID 40 is pending, but it is routed to cpu1 (GICD_ITARGETSR10[7:0] is 0x02), which is off.",
        "write 0x01 to GICD_ITARGETSR10[7:0] (distributor, IPA 0x08000828)",
        "INTID 40 goes to cpu1, which is off",
        (*V2, *TWO),
    ),
}


def flowing(finished: Finished) -> str:
    """What is told, without where its lines were broken."""
    return " ".join(finished.err.split()).replace("- ", "-")


@pytest.mark.parametrize("name", CASES)
def test_the_gate_that_holds_an_interrupt_back_is_named_and_the_write_that_opens_it(name: str) -> None:
    case = CASES[name]
    finished = armvcpu("run", *case.options, GUESTS / "gates" / f"{name}.elf")
    assert finished.status == 123
    assert "\nwhat this usually means:\n" in finished.err
    assert f"{case.reason} Try: {case.write}" in flowing(finished)
    assert finished.last.endswith(case.last)


@pytest.mark.parametrize(("name", "options"), [("right", ()), ("gicv2-right", V2)])
def test_without_a_mistake_the_interrupt_comes(name: str, options: tuple[object, ...]) -> None:
    finished = armvcpu("run", *options, GUESTS / "gates" / f"{name}.elf")
    assert (finished.status, finished.err) == (0, "")


def test_a_guest_that_is_stopped_is_told_too() -> None:
    finished = armvcpu("run", "--timeout", "2.5", GUESTS / "gates" / "fiq-spins.elf")
    assert finished.status == 124
    words = f"{TIMER}it is signalled as FIQ (Group 0), and cpu0 masks that: PSTATE.F is 1. Try: MSR DAIFClr, #1"
    assert words in flowing(finished)
    assert finished.last.startswith("armvcpu: stopped after 2.5 s at ")


def test_walk_lists_every_gate_and_what_is_active() -> None:
    finished = armvcpu("walk", "--interrupts", GUESTS / "gates" / "running.elf")
    lines = [line.strip() for line in finished.out.decode().splitlines()]
    assert finished.status == 0
    assert lines[2:4] == ["interrupts:", "cpu0, at EL1, in WFI, FIQ masked:"]
    assert lines[4].startswith("INTID 27 (virtual timer): pending, the timer fired just now (CNTV_CTL_EL0 0x5, ")
    assert lines[5].startswith("held back: cpu0 has acknowledged INTID 1 and not ended it: ")
    assert lines[6:] == ["write 1 to ICC_EOIR1_EL1 on cpu0", "ICC_PMR_EL1 0xf0, ICC_RPR_EL1 0xa0, active: INTID 1"]


def test_walk_has_the_same_as_json() -> None:
    finished = armvcpu("walk", "--interrupts", "--json", GUESTS / "gates" / "disabled.elf")
    found = json.loads(finished.out)["interrupts"]
    assert found["cpus"] == [{"cpu": 0, "activity": "waiting", "irq_masked": False, "fiq_masked": True}]
    (timer,) = found["awaited"]
    assert (timer["intid"], timer["source"], timer["pending"], timer["timer"]["fired"]) == (
        27,
        "virtual timer",
        True,
        True,
    )
    assert timer["held_by"] == [
        {
            "gate": "enable",
            "register": "GICR_ISENABLER0",
            "value": "0x0",
            "reason": "GICR_ISENABLER0 is 0x00000000: bit 27 is clear",
            "write": {
                "register": "GICR_ISENABLER0",
                "value": "0x8000000",
                "cpu": 0,
                "ipa": "0x80b0100",
                "width": 4,
            },
        }
    ]


def test_walk_stops_a_guest_anywhere_to_look_at_its_interrupts() -> None:
    finished = armvcpu("walk", "--interrupts", "--at", "tick+4", GUESTS / "gates" / "right.elf")
    said = finished.out.decode()
    # It has acknowledged the interrupt, and not set the timer anew yet.
    assert "INTID 27 (virtual timer): active and pending, the timer fired" in said
    assert "held back: it is still active: cpu0 has acknowledged it and not ended it" in said


HELD: Final = {
    "disabled-faults": (
        f"{TIMER}GICR_ISENABLER0 is 0x00000000: bit 27 is clear. Try: write 0x08000000 to GICR_ISENABLER0 "
        "(redistributor of cpu0, IPA 0x080b0100)"
    ),
    "spi-nowhere-faults": "INTID 40 is pending, but GICD_IROUTER40 is 0x0000000000000005: it is routed to no CPU.",
    "not_ended-faults": f"{TIMER}it is still active: cpu0 has acknowledged it and not ended it.",
    "late-masked-faults": f"{TIMER}it is signalled as IRQ, and cpu0 masks that: PSTATE.I is 1.",
}


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("form", ["short", "full"])
def test_the_report_on_a_fault_has_the_interrupts_that_were_held_back(name: str, form: str) -> None:
    finished = armvcpu("run", "--clock", "instructions", "--report", form, GUESTS / "gates" / f"{name}.elf")
    before, _, said = finished.err.partition("\ninterrupts held back at the end:\n")
    assert (finished.status, "data abort" in before) == (122, True)
    assert " ".join(said.split()).startswith(HELD[name])


@pytest.mark.parametrize(
    "name", ["masked-faults", "timer_masked-faults", "disabled-distributor_off-interface_off-faults"]
)
def test_it_has_none_that_handlers_hold_back_or_that_the_guest_does_not_use(name: str) -> None:
    finished = armvcpu("run", "--clock", "instructions", GUESTS / "gates" / f"{name}.elf")
    assert finished.status == 122
    assert "held back" not in finished.err


def test_a_clock_and_a_timer_that_may_both_be_unused_are_both_told() -> None:
    finished = armvcpu("run", GUESTS / "undecided.elf")
    said = " ".join(finished.err.partition("\nwhat this usually means:\n")[2].split())
    assert finished.status == 123
    assert said.startswith("INTID 34 (rtc) is enabled in the GIC, but RTCIMSC is 0x00000000")
    assert "The physical timer of cpu0 (INTID 30) is on, but CNTP_CVAL_EL0 is 0xffffffffffffffff" in said
