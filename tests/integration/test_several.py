"""Guests with several CPUs: their self-checks, locks under many schedules, and restarts."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.record import replace
from arm_vcpu_cli.vm.endings import Ending
from arm_vcpu_cli.vm.outcome import Result
from tests.integration.command import GUARD_SECONDS, Finished, armvcpu, guest, sample
from tests.support.tools import require_file

CPUS: Final = (1, 2, 4, 8)
GICS: Final = (2, 3)
SEEDS: Final = (None, 1, 2)
RAM: Final = 0x4000_0000
LINUX: Final = sample("linux").parent / "build"
LOCKS: Final = (
    "llsc",
    "llsc-wfe",
    "llsc-add",
    "lse-swp",
    "lse-swp-wfe",
    "lse-cas",
    "lse-add",
    "ticket",
    "ticket-wfe",
    "mcs",
    "mcs-wfe",
)
INCREMENTS: Final = 3000


def smp(name: str) -> Path:
    return guest(f"smp/{name}")


def failures(output: bytes) -> list[str]:
    return [line for line in output.decode().splitlines() if line.startswith("FAIL")]


def checked(output: bytes) -> int:
    """How many checks a guest has made and found right."""
    match = re.search(rb"(\d+) ok, 0 failed", output)
    return int(match[1]) if match else 0


@pytest.mark.parametrize("gic", GICS)
@pytest.mark.parametrize(("cpus", "least"), [(1, 41), (2, 86), (4, 89), (8, 89)])
def test_psci(cpus: int, least: int, gic: int) -> None:
    finished = armvcpu("run", "--smp", cpus, "--gic", gic, smp("psci"))
    assert failures(finished.out) == []
    assert (finished.status, checked(finished.out) >= least) == (0, True), finished


def patched(name: str, **words: int) -> GuestImage:
    """A guest with other values in words that it has for this."""
    image = load_guest(smp(name), ram_base=RAM)
    segments = list(image.segments)
    for symbol, value in words.items():
        address = image.symbols.lookup(symbol)
        assert address is not None
        at = next(n for n, each in enumerate(segments) if 0 <= address - each.address < len(each.data))
        data = bytearray(segments[at].data)
        offset = address - segments[at].address
        data[offset : offset + 4] = value.to_bytes(4, "little")
        segments[at] = replace(segments[at], data=bytes(data))
    return replace(image, segments=tuple(segments))


@pytest.mark.parametrize(("model", "cpus", "least"), [("cortex-a72", 2, 16), ("cortex-a72", 8, 34), ("max", 4, 24)])
def test_nothing_of_one_cpu_is_seen_by_another(model: str, cpus: int, least: int) -> None:
    """Registers, translations, exclusives, patched code; pointer authentication keys and SVE on max only."""
    image = patched("context", rounds=1500, handshakes=30)
    with Machine.open(image, {"cpu": {"model": model}}, cpus=cpus) as machine:
        result = machine.run(timeout=GUARD_SECONDS)
    assert failures(result.console) == []
    assert (result.status, checked(result.console)) == (0, least), result
    assert (b"pointer authentication: yes, SVE: yes" in result.console) is (model == "max")


@pytest.mark.parametrize("cpus", CPUS)
@pytest.mark.parametrize(("gic", "least"), [(2, 94), (3, 115)])
def test_an_interrupt_controller(gic: int, least: int, cpus: int) -> None:
    finished = armvcpu("run", "--smp", cpus, "--gic", gic, smp(f"gicv{gic}"))
    assert failures(finished.out) == []
    assert (finished.status, checked(finished.out) >= least) == (0, True), finished


@pytest.mark.parametrize("gic", GICS)
@pytest.mark.parametrize("cpus", CPUS)
def test_each_cpu_takes_its_own_timer_and_ipis(cpus: int, gic: int) -> None:
    finished = armvcpu("run", "--smp", cpus, "--gic", gic, smp("wfi"))
    lines = finished.out.decode().splitlines()
    assert (finished.status, lines[-1]) == (0, "wfi: all right"), finished
    assert [line for line in lines if "ticks, 0 of others" in line] == [
        f"cpu {cpu}: 10 ticks, 0 of others" for cpu in range(cpus)
    ]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ["psci", "gicv3", "wfi"])
def test_by_chance_it_is_right_too(name: str, seed: int) -> None:
    finished = armvcpu("run", "--smp", 4, "--schedule", seed, smp(name))
    assert (finished.status, failures(finished.out)) == (0, []), finished


@cache
def torture(seed: int | None) -> Result:
    """All locks, with fewer increments than the guest makes by itself."""
    image = patched("torture", increments=INCREMENTS)
    with Machine.open(image, {"cpu": {"model": "max"}}, cpus=4, schedule=seed) as machine:
        return machine.run(timeout=GUARD_SECONDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_lock_loses_an_increment_but_the_broken_one(seed: int | None) -> None:
    result = torture(seed)
    found = dict(re.findall(r"^([\w-]+) \d+ of \d+ (\w+)$", result.console.decode(), re.MULTILINE))
    assert {name: found.get(name) for name in LOCKS} == dict.fromkeys(LOCKS, "right")
    # In turns without chance a CPU is not interrupted where it would matter, as it happens.
    assert seed is None or found["broken"] == "LOST"
    assert (result.ending, result.status) == (Ending.EXITED, 0)


def test_the_seed_that_catches_it_does_so_every_time() -> None:
    first = torture(1)
    torture.cache_clear()
    again = torture(1)
    assert (again.console, again.exits, again.registers) == (first.console, first.exits, first.registers)
    assert torture(2).console != first.console, "another seed is another run"


def test_two_physical_cpus_share_the_memory() -> None:
    finished = armvcpu("run", "--smp", 4, "--phys-cpus", 2, smp("wfi"))
    assert (finished.status, finished.out.decode().splitlines()[-1]) == (0, "wfi: all right"), finished


@pytest.mark.parametrize("gic", GICS)
def test_the_sample(gic: int) -> None:
    finished = armvcpu("run", "--smp", 4, "--gic", gic, sample("smp"))
    lines = finished.out.decode().splitlines()
    assert (finished.status, finished.err) == (0, "")
    assert sorted(lines[:4]) == [f"cpu {cpu} is here" for cpu in range(4)]
    assert f"4 CPUs, GICv{gic}" in lines
    assert "counted to 40000 of 40000" in lines


# Linux -------------------------------------------------------------------------------------------------------------

HOTPLUG: Final = (
    "nproc; cd /sys/devices/system/cpu; for i in 1 2 3; do echo 0 > cpu$i/online; done; cat online; "
    "for i in 1 2 3; do echo 1 > cpu$i/online; done; cat online; i=0; while [ $i -lt 16 ]; do "
    "(j=0; while [ $j -lt 2000 ]; do j=$((j+1)); done) & i=$((i+1)); done; wait; cat /proc/interrupts; dmesg"
)
TROUBLE: Final = ("WARNING", "BUG", "Oops", "Call trace", "soft lockup", "rcu_sched", "not responding", "Unable to")


def linux(command: str, *options: object) -> Finished:
    kernel, disk = (require_file(str(LINUX / name)) for name in ("vmlinuz", "initrd.gz"))
    append = f'console=ttyAMA0 quiet run="{command}"'
    return armvcpu("run", *options, kernel, "--initrd", disk, "--append", append)


@pytest.mark.parametrize("gic", GICS)
def test_linux_takes_cpus_away_and_back(gic: int) -> None:
    finished = linux(HOTPLUG, "--smp", 4, "--gic", gic)
    text = finished.out.decode(errors="replace")
    lines = text.splitlines()
    assert finished.status == 0, finished
    at = lines.index("4")
    assert lines[at + 1 : at + 3] == ["0", "0-3"]
    timers = next(line for line in lines if "arch_timer" in line).split()
    assert all(int(count) > 50 for count in timers[1:5]), timers
    calls = next(line for line in lines if "Function call interrupts" in line).split()
    assert all(int(count) > 0 for count in calls[1:5]), calls
    assert [line for line in lines if any(word in line for word in TROUBLE)] == []


@pytest.mark.parametrize("gic", GICS)
def test_linux_has_eight_cpus(gic: int) -> None:
    finished = linux("nproc", "--smp", 8, "--gic", gic)
    assert (finished.status, "8" in finished.out.decode().splitlines()) == (0, True), finished


def test_a_reset_ends_the_run_with_a_status_of_its_own() -> None:
    finished = linux("reboot -f", "--smp", 2)
    assert (finished.status, finished.last) == (121, "armvcpu: the guest requested a reset")


def test_a_guest_that_is_started_anew_comes_up_again() -> None:
    """Its memory is empty then, so it can only count by the time that has passed since power-on."""
    command = "cut -d. -f1 /proc/uptime; [ $(date +%s) -gt 1767225602 ] && poweroff -f; sleep 2; reboot -f"
    finished = linux(command, "--smp", 2, "--reboot")
    banners = [line for line in finished.out.decode().splitlines() if line.startswith("Linux ")]
    assert (finished.status, len(banners)) == (0, 2), finished


@pytest.mark.parametrize("gic", GICS)
def test_linux_is_suspended_to_memory_and_woken_by_its_clock(gic: int) -> None:
    """With a GICv3 its Redistributor sleeps meanwhile, and the interrupt of the clock is only a request to wake."""
    command = "echo +3 > /sys/class/rtc/rtc0/wakealarm; echo mem > /sys/power/state; cat /sys/devices/system/cpu/online"
    finished = linux(command, "--smp", 2, "--gic", gic)
    assert (finished.status, "0-1" in finished.out.decode().splitlines()) == (0, True), finished
