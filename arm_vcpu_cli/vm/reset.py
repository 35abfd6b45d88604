"""A reset of the whole machine (DEN0022, SYSTEM_RESET): everything inside it returns to its power-on state.

Time, recorded input, random numbers and the console continue. Memory is zero except for the files that the machine file
and the guest load.
"""

from __future__ import annotations

from typing import Any

from arm_vcpu_cli.board.boot_files import entry_point, load_boot_files
from arm_vcpu_cli.board.placement import load_files, load_segments, preload_files
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.saved import Part
from arm_vcpu_cli.vm.machine import Machine


class PowerOn(Record):
    """The states of a machine's parts before its guest started, by name."""

    states: dict[str, Any]


def power_on(machine: Machine) -> PowerOn:
    """The state that :func:`reset_machine` restores; taken from a machine that has not run."""
    return PowerOn({name: part.save() for name, part in _parts(machine).items()})


def reset_machine(machine: Machine, before: PowerOn) -> None:
    """Restart the machine, with its first CPU at the entry point; only between two exits."""
    description, image, ram = machine.description, machine.image, machine.ram
    for backed in ram.regions:
        machine.host.clear(backed.paddr, backed.region.size)
    preload_files(ram, description)
    load_segments(ram, image)
    load_files(ram, description, image)
    load_boot_files(ram, description, image, machine.random["boot"].randbytes)
    for core in machine.host.cores:
        core.flush_code()
    for cpu in machine.cpus:
        cpu.switch_off()
    for name, part in _parts(machine).items():
        part.load(before.states[name])
    if machine.faults is not None:
        machine.faults.reset()
    for cpu in machine.cpus:
        cpu.power_on(entry_point(description, image), machine.dtb_address or 0)
    machine.scheduler.begin_again()


def _parts(machine: Machine) -> dict[str, Part]:
    return {name: part for name, part in machine.shared_parts.items() if isinstance(part, Part)}
