"""A moment of a run to which the same machine can return: its whole state, and what its observers knew.

The state is that of a snapshot, with a memory image that shares its pages with other moments. It also has what a
snapshot omits: the knowledge of observers, an exit that is being reported, an unfinished block. So everything after a
moment repeats identically, to the byte, and is reported identically.
"""

from __future__ import annotations

from typing import Any, Final

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.debug.execution import Execution
from arm_vcpu_cli.debug.pages import Image, PageRange, PageStore
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.saved import Remembers, Saved
from arm_vcpu_cli.vm.snapshot import load_parts, load_run, parts, save_parts, save_run

_FEW: Final = 256
"""The most pages whose translated code is discarded page by page, at 17 us each; for more pages all code is
discarded."""


class Moment(Record):
    """``executed`` is the number of instructions before it; ``changed``: the user has changed the machine there, so it
    cannot be reached from an earlier moment. ``place``: see :meth:`Moments.place`."""

    executed: int
    image: Image
    place: object
    state: dict[str, Any]
    knowledge: tuple[Any, ...]
    changed: bool = False


class Moments:
    """Takes moments of one run, and restores them."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._machine = machine = execution.machine
        self._store = PageStore([machine.host.memory(each.paddr, each.region.size) for each in machine.ram.regions])

    def take(self, *, changed: bool = False) -> Moment:
        """Take the current moment; the guest must be stopped."""
        return self._moment(self._store.take(), changed=changed)

    def take_without_memory(self) -> Moment:
        """Take the current moment for :meth:`undo`."""
        return self._moment(())

    def _moment(self, image: Image, *, changed: bool = False) -> Moment:
        execution = self._execution
        state = {**save_parts(self._machine), "run": save_run(execution.run)}
        return Moment(execution.executed(), image, self.place(), state, self._knowledge(), changed)

    def place(self) -> object:
        """Return a value that distinguishes this moment from others with the same instruction count. The whole state
        would not do: a core has a cycle counter that follows the host's time, invisible to the guest."""
        machine = self._machine
        frames = [cpu.arch.ctx for cpu in machine.cpus]
        registers = [(frame.elr, frame.sp, int(frame.spsr), frame.gprs()) for frame in frames]
        cpus = [(cpu.activity, cpu.time, cpu.turns, cpu.arch.exits, cpu.starts) for cpu in machine.cpus]
        return registers, cpus, machine.timeline.save(), machine.scheduler.save(), machine.input.save()

    def go_to(self, moment: Moment) -> None:
        """Restore a moment. Raises :class:`VCpuError` if a vCPU has failed, which no moment can undo."""
        host = parts(self._machine)["host"].save()
        written = self._store.put(moment.image)
        # Discard translated code first: stores to pages that lose their execute permission would go unnoticed.
        self._forget_code(written, all_of_it=host != moment.state["parts"]["host"])
        self._load(moment)

    def undo(self, moment: Moment) -> None:
        """Restore as :meth:`go_to` does, for a moment since which no memory has changed."""
        if parts(self._machine)["host"].save() != moment.state["parts"]["host"]:
            self._forget_code([], all_of_it=True)
        self._load(moment)

    def _load(self, moment: Moment) -> None:
        machine, state = self._machine, moment.state
        load_parts(machine, Saved(state), forget_code=False)
        current = machine.current
        # Displaying the vCPU's registers has already prepared the next entry into the guest.
        current.arch.load(state["parts"][f"cpu{current.index}"]["vcpu"])
        load_run(self._execution.run, state["run"])
        self._recall(moment.knowledge)

    def close(self) -> None:
        """Release the copies of memory."""
        self._store.close()

    def _forget_code(self, written: list[PageRange], *, all_of_it: bool) -> None:
        machine = self._machine
        if all_of_it or sum(each.size for each in written) > _FEW * PAGE_SIZE:
            for core in machine.host.cores:
                core.flush_code()
            return
        for each in written:
            machine.host.forget_code(machine.ram.regions[each.region].paddr + each.offset, each.size)

    def _knowing(self) -> list[Remembers]:
        machine = self._machine
        knowing: list[Remembers] = [*machine.observers, *(cpu.arch.memory_of_run for cpu in machine.cpus)]
        if machine.gic is not None and machine.gic.watched_by is not None:
            knowing.append(machine.gic.watched_by)
        return [*knowing, self._execution]

    def _knowledge(self) -> tuple[Any, ...]:
        file = self._machine.console.file
        return (None if file is None else file.remembered(), *(each.remembered() for each in self._knowing()))

    def _recall(self, knowledge: tuple[Any, ...]) -> None:
        file = self._machine.console.file
        if file is not None:
            file.recall(knowledge[0])
        for each, known in zip(self._knowing(), knowledge[1:], strict=True):
            each.recall(known)
