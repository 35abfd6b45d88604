"""Connects semihosting to a machine: its console, its time and its free memory."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from arm_vcpu_cli.board.guest_arguments import semihosting_command_line
from arm_vcpu_cli.board.placement import free_memory
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.semihosting.folder import Folder
from arm_vcpu_cli.vm.semihosting.service import Service, Surroundings

_NANOSECONDS: Final = 1_000_000_000


class _ConsoleLines:
    """Implements :class:`~arm_vcpu_cli.vm.semihosting.handles.Lines`."""

    def __init__(self, machine: Machine) -> None:
        self.read = machine.input.take
        self.write = machine.console.write
        self.write_error = machine.console.write_error


def service_of(machine: Machine, folder: Folder | None) -> Service:
    """The service for the calls of a machine's guest. ``folder`` holds the files that it may use."""
    description, timeline = machine.description, machine.timeline
    clock = description.clock
    host_began = int(time.time()) - timeline.now() // _NANOSECONDS
    return Service(
        Surroundings(
            lines=_ConsoleLines(machine),
            now=timeline.now,
            # Like a read of a counter: guests wait by polling the time.
            spend=partial(timeline.spend, clock.counter_read),
            epoch=host_began if timeline.follows_host else clock.epoch,
            command_line=semihosting_command_line(description, machine.image),
            free=partial(free_memory, machine.ram, description, machine.image),
            folder=folder,
        )
    )
