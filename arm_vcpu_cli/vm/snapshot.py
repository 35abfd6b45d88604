"""The state of a whole machine as plain data: saved between two exits, loaded into an equal machine.

Plain data are integers, truth values, strings, bytes, None, lists, and dictionaries with strings as keys. Under the
instruction clock a restored machine continues bit for bit like the saved one: every part saves its state, random
numbers have a position, alarms have names. The state leaves out everything that a guest cannot see: cached
translations, translated code, the latest exits for a report, and observers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.board.description import NO_LIMITS, MachineDescription
from arm_vcpu_cli.board.placement import BackedRegion
from arm_vcpu_cli.devices.regions import EmptyTransports, ReadAsZero
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.host.machine_host import engine_version
from arm_vcpu_cli.record import replace
from arm_vcpu_cli.saved import Part, Saved
from arm_vcpu_cli.vm.guest_run import GuestRun
from arm_vcpu_cli.vm.machine import Machine

VERSION: Final = 1
STATELESS: Final = (EmptyTransports, ReadAsZero, type(None))
"""The types of parts without state: a stateless device, or None for a part that the machine does not have."""
FAULTS: Final = "faults"
"""A part that only one of the two machines may have."""
MOST_INSTRUCTIONS: Final = 1 << 72
_CHUNK: Final = 512 * PAGE_SIZE
"""Memory is first checked in pieces of this size, because most of it is zero."""
_NO_PAGE: Final = bytes(PAGE_SIZE)


def parts(machine: Machine) -> dict[str, Part]:
    """All parts of a machine by name, in loading order, so that no part undoes an earlier one.

    The timeline, random numbers and the memory of the guest are not among them. Raises ValueError for a part whose
    state cannot be saved.
    """
    all_parts: dict[str, object] = {
        "host": machine.host,
        **machine.shared_parts,
        "console": machine.console,
        **{f"cpu{cpu.index}": cpu for cpu in machine.cpus},
        "scheduler": machine.scheduler,
        **({} if machine.faults is None else {FAULTS: machine.faults}),
    }
    found: dict[str, Part] = {}
    for name, part in all_parts.items():
        if isinstance(part, Part):
            found[name] = part
        elif not isinstance(part, STATELESS):
            raise ValueError(f"{name}: the state of a {type(part).__name__} cannot be saved")
    return found


def save_machine(machine: Machine) -> dict[str, Any]:
    """Return the state of a machine that has been started, between two exits: with the guest stopped."""
    memory = {backed.region.name: _pages(machine, backed) for backed in machine.ram.regions}
    return {**save_without_memory(machine), "memory": memory}


def save_without_memory(machine: Machine) -> dict[str, Any]:
    """Return the state as :func:`save_machine` does, without the memory of the guest."""
    return {
        "version": VERSION,
        "engine": engine_version(),
        "description": _described(machine.description),
        "guest": identity(machine.image),
        **save_parts(machine),
    }


def save_parts(machine: Machine) -> dict[str, Any]:
    """Return the part of that without what identifies the machine."""
    return {
        "parts": {name: part.save() for name, part in parts(machine).items()},
        "timeline": machine.timeline.save(),
        "input": machine.input.save(),
        "random": {name: random.save() for name, random in machine.random.items()},
        "instructions": machine.instructions,
    }


def load_machine_state(machine: Machine, state: object) -> None:
    """Make a machine continue from the saved state of another one with the same description and guest.

    It has been built and started, its input is connected, and its guest has not executed yet. Raises ValueError, in one
    line with the name of the part, if the state does not fit; the machine is then unusable.
    """
    saved = Saved(state, "snapshot", version=VERSION)
    _check(machine, saved)
    pages = saved.part("memory")
    for backed in machine.ram.regions:
        _load_pages(machine, backed, pages.rows_of_bytes(backed.region.name))
    load_without_memory(machine, state)


def load_without_memory(machine: Machine, state: object) -> None:
    """Load a state as :func:`load_machine_state` does, for a machine that has its memory already."""
    saved = Saved(state, "snapshot", version=VERSION)
    _check(machine, saved)
    load_parts(machine, saved)


def load_parts(machine: Machine, saved: Saved, *, forget_code: bool = True) -> None:
    """Restore what :func:`save_parts` returned for this machine or an equal one; with ``forget_code``, discard the code
    translated from its memory."""
    of_parts = saved.part("parts")
    mine = parts(machine)
    faults = mine.pop(FAULTS, None)
    if sorted(mine) != sorted(name for name in of_parts.names() if name != FAULTS):
        raise ValueError(f"snapshot.parts are {', '.join(of_parts.names())}, expected {', '.join(mine)}")
    for name, part in mine.items():
        _loading(name, part, of_parts.value(name))
    _restore_wake_requests(machine)
    random = saved.part("random")
    for name, numbers in machine.random.items():
        if not random.is_none(name):
            numbers.load(random.part(name))
    _load_timeline(machine, saved, forget_code=forget_code)
    machine.input.load(saved.value("input"))
    machine.earlier_instructions += saved.number("instructions", MOST_INSTRUCTIONS) - machine.instructions
    if faults is not None:
        _loading(FAULTS, faults, of_parts.value(FAULTS) if FAULTS in of_parts.names() else None)


def _restore_wake_requests(machine: Machine) -> None:
    """Restore the GIC's wake requests for CPUs that wait without power, by their power states."""
    gic = machine.gic
    if gic is None:
        return
    for cpu in machine.cpus:
        wake = partial(machine.scheduler.raised, cpu.index) if machine.power.is_powered_down(cpu.affinity) else None
        gic.restore_wake_request(cpu.index, wake)


def save_run(run: GuestRun) -> dict[str, Any]:
    """Return the state of a run's watchers; :func:`save_machine` saves its machine."""
    return {"version": VERSION, "hang": run.hang.save(), "idle": run.idle.save(), "panic": run.panic.save()}


def load_run(run: GuestRun, state: object) -> None:
    """Restore the state that :func:`save_run` returned, after :func:`load_machine_state` and before ``run`` starts.
    Raises ValueError for any other state."""
    saved = Saved(state, "run", version=VERSION)
    run.hang.load(saved.value("hang"))
    run.idle.load(saved.value("idle"))
    run.panic.load(saved.value("panic"))


# The state must match the machine
# ----------------------------------------------------------------------------------------------


def _described(description: MachineDescription) -> dict[str, str]:
    """Return the identity of a machine, by the sections of its description. Limits are omitted, as they only cut a run
    short, and so are file names, which say nothing about content, and faults, so that one state may continue with
    different ones."""
    alone = replace(
        description,
        name="",
        path=None,
        limits=NO_LIMITS,
        boot=replace(description.boot, initrd=None, dtb_file=None),
        loads=(),
        semihosting_dir=None,
        faults=(),
        memory=tuple(replace(region, file=None) for region in description.memory),
    )
    return {name: repr(getattr(alone, name)) for name in alone.__match_args__}


def identity(image: GuestImage) -> dict[str, Any]:
    """Return facts that identify a guest, whatever its file is called."""
    if image.digest:
        return {"entry": image.entry, "kind": image.kind, "digest": image.digest}
    digest = hashlib.sha256()
    for segment in image.segments:
        digest.update(f"{segment.address} {segment.memory_size} {len(segment.data)} ".encode())
        digest.update(segment.data)
    return {"entry": image.entry, "kind": image.kind, "digest": digest.hexdigest()}


def _check(machine: Machine, saved: Saved) -> None:
    """Raise ValueError, with the name of the difference, unless the state is of an equal machine."""
    if saved.text("engine") != engine_version():
        raise ValueError(f"snapshot.engine is {saved.text('engine')}, expected {engine_version()}")
    description = saved.part("description")
    for name, value in _described(machine.description).items():
        if description.text(name) != value:
            raise ValueError(f"snapshot.description.{name} is that of another machine")
    guest = saved.part("guest")
    for name, value in identity(machine.image).items():
        if guest.value(name) != value:
            raise ValueError(f"snapshot.guest.{name} is that of another guest")


# Loading -----------------------------------------------------------------------------------------------------------


def _loading(name: str, part: Part, state: object) -> None:
    try:
        part.load(state)
    except ValueError as error:
        raise ValueError(f"snapshot.parts.{name}: {error}") from error


def _load_timeline(machine: Machine, saved: Saved, *, forget_code: bool) -> None:
    """Restore the time, in the timeline and in the cores."""
    timeline, description = machine.timeline, machine.description
    timeline.load(saved.value("timeline"), [cpu.core for cpu in machine.cpus])
    for core in machine.host.cores:
        core.answer_counters(
            timeline.counter_reads(description.clock.counter_read, physical=description.el2.passthrough_timer)
        )
        core.flush_tlb()
        if forget_code:
            core.flush_code()
    current = machine.current
    current.go_on()
    vcpu = saved.part("parts").part(f"cpu{current.index}").part("vcpu")
    if vcpu.flag("here"):
        current.arch.synchronise()


# Memory ------------------------------------------------------------------------------------------------------------


def _used(view: memoryview) -> Iterator[int]:
    """The offsets of the non-zero pages of a memory. Memory never used stays unallocated."""
    nothing = bytes(_CHUNK)
    for start in range(0, len(view), _CHUNK):
        chunk = view[start : start + _CHUNK].tobytes()
        if chunk == nothing[: len(chunk)]:
            continue
        for offset in range(0, len(chunk), PAGE_SIZE):
            if chunk[offset : offset + PAGE_SIZE] != _NO_PAGE[: len(chunk) - offset]:
                yield start + offset


def _pages(machine: Machine, backed: BackedRegion) -> list[list[Any]]:
    """[offset, bytes] of all runs of non-zero pages."""
    view = machine.host.memory(backed.paddr, backed.region.size)
    runs: list[list[int]] = []
    for offset in _used(view):
        if runs and runs[-1][1] == offset:
            runs[-1][1] += PAGE_SIZE
        else:
            runs.append([offset, offset + PAGE_SIZE])
    return [[first, view[first:end].tobytes()] for first, end in runs]


def _load_pages(machine: Machine, backed: BackedRegion, runs: list[tuple[int, bytes]]) -> None:
    view = machine.host.memory(backed.paddr, backed.region.size)
    for offset in _used(view):
        size = min(PAGE_SIZE, len(view) - offset)
        view[offset : offset + size] = _NO_PAGE[:size]
    for offset, data in runs:
        if offset + len(data) > len(view):
            raise ValueError(f"snapshot.memory.{backed.region.name} has what is outside of the region")
        view[offset : offset + len(data)] = data
