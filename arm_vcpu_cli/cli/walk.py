"""``armvcpu walk``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, Final

import click

from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.cli.completing import completer
from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.options import guest_options
from arm_vcpu_cli.cli.output import say, show
from arm_vcpu_cli.cli.sections import SectionedCommand
from arm_vcpu_cli.cli.session import load_files, open_input, open_machine, run_loaded, slow_files, watched
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.inspect.interrupts import interrupt_lines, interrupts_object
from arm_vcpu_cli.inspect.postmortem.backtrace import place
from arm_vcpu_cli.inspect.tables import places
from arm_vcpu_cli.inspect.tables.both_stages import Translated, translate, translate_ipa
from arm_vcpu_cli.inspect.tables.mapping import (
    MapSection,
    executed,
    executed_lines,
    section_lines,
    section_object,
    stage1_sections,
    stage2_section,
)
from arm_vcpu_cli.inspect.tables.translation_text import translation_lines, translation_object
from arm_vcpu_cli.observe.stop_at import StopAt
from arm_vcpu_cli.printable import printable_path
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.diagnosis import on_cpu
from arm_vcpu_cli.vm.endings import Ending, RunResult
from arm_vcpu_cli.vm.machine import Machine as Parts

_ACCESSES: Final = {"read": Access.READ, "write": Access.WRITE, "exec": Access.EXECUTE}
_INJECTED: Final = "arm_vcpu_cli.inspect.postmortem.injected_faults"
"""Loaded only for machines with faults."""
_FAULT: Final = 1
_NEVER_REACHED: Final = 3


@click.command("walk", cls=SectionedCommand, short_help="Walk a guest's translation tables for an address.")
@guest_options
@click.argument("addresses", metavar="[VA]...", nargs=-1, shell_complete=completer("symbols"))
@click.option(
    "--el", type=click.Choice(["0", "1"]), help="Exception level of the access [default: that of the stopped guest]."
)
@click.option(
    "--access", type=click.Choice(tuple(_ACCESSES)), default="read", show_default=True, help="Kind of access."
)
@click.option("--ipa", "is_ipa", is_flag=True, help="The addresses are IPAs: walk stage 2 only.")
@click.option(
    "--interrupts",
    "shows_interrupts",
    is_flag=True,
    help="Print pending interrupts, the timers, and what holds them back.",
)
@click.option(
    "--map", "whole_map", is_flag=True, help="Print everything that both stages map, with adjacent regions merged."
)
@click.option(
    "--at",
    metavar="PLACE",
    shell_complete=completer("symbols"),
    help="Stop the guest before the instruction at PLACE: a function, function+offset, or an address.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="With --at: stop at the N-th arrival there.")
@click.option(
    "--vcpu",
    type=click.IntRange(min=0),
    metavar="N",
    help="vCPU whose tables and registers to use [default: the one that stopped]; with --at, the one to stop there.",
)
@click.option("--console", "shows_console", is_flag=True, help="Print the guest's console output on stderr.")
@click.option("--json", "as_object", is_flag=True, help="Print one JSON object.")
def command(
    addresses: tuple[str, ...],
    el: str | None,
    access: str,
    is_ipa: bool,
    shows_interrupts: bool,
    whole_map: bool,
    at: str | None,
    count: int | None,
    vcpu: int | None,
    shows_console: bool,
    as_object: bool,
    **options: Any,
) -> int:
    """Run GUEST until it ends or is stopped (--timeout, --max-exits, --at, Ctrl-C), and show how each VA is translated
    at that point: both stages level by level, every descriptor decoded, and the result or the fault.

    A VA is a number, a symbol with or without an offset (main+0x10), or a register: pc, sp, x0 to x30, or one that
    holds addresses, such as FAR_EL1 or VBAR_EL1. The walk is on stdout; the guest's output is dropped, unless --console
    is given.

    With --from all words are VAs.

    --at compares virtual addresses, at EL0 as at EL1, and stops the guest before the instruction is executed. Of
    several vCPUs the one that gets there first stops, and --count counts all of them; with --vcpu N only vCPU N does.

    \b
    Examples:
      armvcpu walk samples/paging/paging.elf main pc sp
      armvcpu walk samples/crash/crash.elf --access write 0xdead0000
      armvcpu walk samples/paging/paging.elf --map
      armvcpu walk kernel.elf --timeout 2 --interrupts
      armvcpu walk vmlinuz --timeout 2 --symbols System.map --el 0 0x400000
      armvcpu walk samples/paging/paging.elf --at user_main+8 pc sp
      armvcpu walk guest.elf --at memcpy+0x40 --count 3 x0 x1
      armvcpu walk guest.elf --at do_fault --json FAR_EL1 | jq '.walks[0].fault'
    """
    if options["from_snapshot"] is not None and options["guest"] is not None:
        addresses, options["guest"] = (str(options["guest"]), *addresses), None
    if not addresses and not whole_map and not shows_interrupts:
        raise click.UsageError("nothing to walk: expected a VA, --map or --interrupts")
    if count is not None and at is None:
        raise click.UsageError("--count needs --at PLACE")
    guest = GuestOptions(**options, repeatable=True)
    stop = None if at is None else _Stop(at, count or 1, vcpu)
    with _stopped(guest, addresses, stop, vcpu, shows_console=shows_console) as (machine, result, hits):
        if stop is not None and hits < stop.count:
            say(_not_reached(stop, hits, result))
            return _NEVER_REACHED
        level = machine.current.arch.ctx.spsr.el if el is None else int(el)
        walks = [
            (text, _walk(machine, places.resolve(text, machine), level, _ACCESSES[access], is_ipa=is_ipa))
            for text in addresses
        ]
        sections = _sections(machine, is_ipa=is_ipa) if whole_map else []
        if as_object:
            found = _as_object(machine, result, walks, sections)
            if shows_interrupts:
                found["interrupts"] = interrupts_object(machine)
            show(json.dumps(found, indent=2))
        else:
            lines = _lines(machine, result, walks, sections)
            show("\n".join((*lines, *(("", *interrupt_lines(machine)) if shows_interrupts else ()))))
    return _FAULT if any(walk.paddr is None for _, walk in walks) else 0


_Walks = list[tuple[str, Translated]]


class _Stop(Record):
    """The requested stop: the ``count``-th arrival at ``place``, in the user's notation."""

    place: str
    count: int
    vcpu: int | None


@contextmanager
def _stopped(
    options: GuestOptions, addresses: tuple[str, ...], stop: _Stop | None, vcpu: int | None, *, shows_console: bool
) -> Iterator[tuple[Parts, RunResult, int]]:
    """Yield the guest after its run, and how often it reached the stop. Addresses are checked before the run."""
    with _null_device() as nowhere:
        with slow_files(options):
            loaded = load_files(options)
            count = loaded.description.cpu.count
            if vcpu is not None and vcpu >= count:
                raise UsageError(f"--vcpu {vcpu}: the machine has {count}, counted from 0")
            for text in addresses:
                places.check(text, loaded.image.symbols)
            wanted = None if stop is None else _address(stop, loaded.image.symbols)
            source = _input() if options.reads_input else None
            console = Console(sys.stderr.fileno() if shows_console else nowhere, source)
            opened = open_machine(loaded, console)
        machine = opened.parts
        with opened:
            with watched(machine, loaded) as watchdog, ExitStack() as recording:
                connect = open_input(machine, loaded, watchdog, recording)
                stopping = None
                if stop is not None and wanted is not None:
                    stopping = StopAt(machine, wanted, stop.place, count=stop.count, vcpu=stop.vcpu)
                result = run_loaded(opened, watchdog, connect, ignored=_nobody)
            if vcpu is not None:
                machine.look_at(machine.cpus[vcpu])
            yield machine, result, 0 if stopping is None else stopping.hits


def _address(stop: _Stop, symbols: SymbolTable) -> int:
    try:
        return places.code_address(stop.place, symbols)
    except UsageError as error:
        raise UsageError(f"--at {error}") from error


def _not_reached(stop: _Stop, hits: int, result: RunResult) -> str:
    who = "" if stop.vcpu is None else f" by vCPU {stop.vcpu}"
    times = f"only {hits} of {stop.count} times" if hits else "never"
    exits = "" if result.ending is Ending.LIMIT else f", after {result.exits} exits"
    return f"--at {stop.place}: {times} reached{who}: {result.message}{exits}"


def _nobody() -> None:
    """Do nothing: this guest has no keyboard input."""


@contextmanager
def _null_device() -> Iterator[int]:
    """The null device, for the guest's console."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _input() -> int | None:
    """The guest's input: our stdin unless it is a terminal, where users could not see the output of what they type."""
    return None if sys.stdin.isatty() else sys.stdin.fileno()


def _walk(machine: Parts, address: int, el: int, access: Access, *, is_ipa: bool) -> Translated:
    if is_ipa:
        return translate_ipa(machine, address, access=access)
    return translate(machine, address, el=el, access=access)


def _sections(machine: Parts, *, is_ipa: bool) -> list[MapSection]:
    return [*([] if is_ipa else stage1_sections(machine)), stage2_section(machine)]


def _lines(machine: Parts, result: RunResult, walks: _Walks, sections: list[MapSection]) -> Iterator[str]:
    frame = machine.current.arch.ctx
    where = f"PC {place(machine, frame.elr)}{on_cpu(machine)}, EL{frame.spsr.el}"
    yield f"{result.message}; after {result.exits} exits, {where}"
    if machine.faults is not None:
        yield from import_module(_INJECTED).injected_faults(machine)
    for text, walk in walks:
        yield ""
        yield f"{_title(text, walk)}:"
        yield from (f"  {line}" for line in translation_lines(walk))
    for section in sections:
        yield ""
        yield from section_lines(section)
    ranges = executed(machine) if sections else None
    if ranges is not None:
        yield ""
        yield from executed_lines(ranges)


def _title(text: str, walk: Translated) -> str:
    """The requested address as written, followed by its value unless it is a number with 0x."""
    name = text if text[:2].lower() == "0x" else f"{text} ({walk.address:#x})"
    access = "" if walk.access is None else f", {walk.access.value}"
    return f"{name}{access}" + ("" if walk.stage1 is None else f" by EL{walk.el}")


def _as_object(machine: Parts, result: RunResult, walks: _Walks, sections: list[MapSection]) -> dict[str, object]:
    frame = machine.current.arch.ctx
    found: dict[str, object] = {
        "guest": printable_path(machine.image.path),
        "stopped": {
            "ending": result.ending.value,
            "message": result.message,
            "exits": result.exits,
            "pc": hex(frame.elr),
            "symbol": machine.image.symbols.format(frame.elr),
            "el": frame.spsr.el,
            **({"vcpu": machine.current.index} if len(machine.cpus) > 1 else {}),
        },
        "walks": [{"name": text, **translation_object(walk)} for text, walk in walks],
    }
    if machine.faults is not None:
        found["faults"] = list(import_module(_INJECTED).injected_faults(machine))
    if sections:
        found["map"] = [section_object(section) for section in sections]
        ranges = executed(machine)
        if ranges is not None:
            found["executed"] = [{"start": hex(ipas.start), "size": len(ipas)} for ipas in ranges]
    return found
