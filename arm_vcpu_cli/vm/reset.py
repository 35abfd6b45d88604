"""A reset of the whole machine (DEN0022, SYSTEM_RESET): all is as after power-on, but for what lies outside of it.

Time goes on, and with it recorded input and random numbers; so does the console. Memory is empty but for what the
machine file and the guest's files put there.
"""

from __future__ import annotations

from typing import Any

from arm_vcpu_cli.board.boot_files import entry_point, load_boot_files
from arm_vcpu_cli.board.placement import load_files, load_segments, preload_files
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.saved import Part
from arm_vcpu_cli.vm.machine import Machine


class PowerOn(Record):
    """What a machine's parts were like before its guest began, by name."""

    states: dict[str, Any]


def power_on(machine: Machine) -> PowerOn:
    """What :func:`reset_machine` is to bring back; of a machine that has not run."""
    return PowerOn({name: part.save() for name, part in _parts(machine).items()})


def reset_machine(machine: Machine, before: PowerOn) -> None:
    """Start the machine anew, with its first CPU at the entry point. Between two exits."""
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
    for cpu in machine.cpus:
        cpu.power_on(entry_point(description, image), machine.dtb_address or 0)
    machine.scheduler.begin_again()


def _parts(machine: Machine) -> dict[str, Part]:
    return {name: part for name, part in machine.shared_parts.items() if isinstance(part, Part)}
