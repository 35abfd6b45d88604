"""``armvcpu walk``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import click

from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.cli.complete import complete_symbols
from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.options import guest_options
from arm_vcpu_cli.cli.output import show
from arm_vcpu_cli.cli.sections import SectionedCommand
from arm_vcpu_cli.cli.session import load_files, open_input, run_loaded, slow_files, watched
from arm_vcpu_cli.errors import UsageError
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
from arm_vcpu_cli.vm.builder import build_machine
from arm_vcpu_cli.vm.diagnosis import on_cpu
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.machine import Machine

_ACCESSES: Final = {"read": Access.READ, "write": Access.WRITE, "exec": Access.EXECUTE}
_FAULT: Final = 1


@click.command("walk", cls=SectionedCommand, short_help="Walk a guest's translation tables for an address.")
@guest_options
@click.argument("addresses", metavar="[VA]...", nargs=-1, shell_complete=complete_symbols)
@click.option("--el", type=click.Choice(["0", "1"]), help="Who accesses it [default: where the guest has stopped].")
@click.option(
    "--access", type=click.Choice(tuple(_ACCESSES)), default="read", show_default=True, help="What it is accessed for."
)
@click.option("--ipa", "is_ipa", is_flag=True, help="The addresses are IPAs: walk stage 2 only.")
@click.option(
    "--interrupts",
    "shows_interrupts",
    is_flag=True,
    help="Print what is pending, the timers, and what holds them back.",
)
@click.option("--map", "whole_map", is_flag=True, help="Print all that both stages map, regions of a kind merged.")
@click.option(
    "--at",
    metavar="PLACE",
    help="Stop the guest at the first exit or exception with its PC in the function, or at the address, PLACE.",
)
@click.option(
    "--vcpu",
    type=click.IntRange(min=0),
    metavar="N",
    help="Whose tables and registers [default: those of the vCPU that has stopped].",
)
@click.option("--console", "shows_console", is_flag=True, help="Print what the guest prints, on stderr.")
@click.option("--json", "as_object", is_flag=True, help="Print one JSON object.")
def command(
    addresses: tuple[str, ...],
    el: str | None,
    access: str,
    is_ipa: bool,
    shows_interrupts: bool,
    whole_map: bool,
    at: str | None,
    vcpu: int | None,
    shows_console: bool,
    as_object: bool,
    **options: Any,
) -> int:
    """Run GUEST until it ends or is stopped (--timeout, --max-exits, --at, Ctrl-C), and show how each VA is translated
    at that moment: both stages level by level, every descriptor decoded, and the end of it or the fault.

    A VA is a number, a symbol with or without an offset (main+0x10), or a register: pc, sp, x0 to x30, or one that
    holds addresses, such as FAR_EL1 or VBAR_EL1. The walk is on stdout; what the guest prints is dropped, unless
    --console is given. With --at a function is only noticed if it exits, or takes an exception: accesses to memory
    alone do neither.

    \b
    Exit status:
      0    every address is translated
      1    at least one of them faults
      2    bad usage, guest file or machine file
      120  the walk cannot be written

    \b
    Examples:
      armvcpu walk samples/paging/paging.elf main pc sp
      armvcpu walk samples/crash/crash.elf --access write 0xdead0000
      armvcpu walk samples/paging/paging.elf --map
      armvcpu walk kernel.elf --timeout 2 --interrupts
      armvcpu walk vmlinuz --timeout 2 --symbols System.map --el 0 0x400000
      armvcpu walk guest.elf --at do_fault --json FAR_EL1 | jq '.walks[0].fault'
    """
    if not addresses and not whole_map and not shows_interrupts:
        raise click.UsageError("nothing to walk: expected a VA, --map or --interrupts")
    guest = GuestOptions(**options)
    with _stopped(guest, addresses, at, vcpu, shows_console=shows_console) as (machine, result):
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


@contextmanager
def _stopped(
    options: GuestOptions, addresses: tuple[str, ...], at: str | None, vcpu: int | None, *, shows_console: bool
) -> Iterator[tuple[Machine, RunResult]]:
    """The guest after its run, with what is asked about checked before it."""
    with _null_device() as nowhere:
        with slow_files(options):
            loaded = load_files(options)
            count = loaded.description.cpu.count
            if vcpu is not None and vcpu >= count:
                raise UsageError(f"--vcpu {vcpu}: the machine has {count}, counted from 0")
            for text in addresses:
                places.check(text, loaded.image.symbols)
            wanted = None if at is None else places.code_range(at, loaded.image.symbols)
            console = Console(sys.stderr.fileno() if shows_console else nowhere, _input())
            built = build_machine(loaded.description, loaded.image, console)
        with built as machine:
            with watched(machine, loaded) as watchdog, ExitStack() as recording:
                connect = open_input(machine, loaded, watchdog, recording)
                if wanted is not None:
                    machine.observe(StopAt(machine, wanted))
                result = run_loaded(machine, watchdog, connect, ignored=_nobody)
            if vcpu is not None:
                machine.look_at(machine.cpus[vcpu])
            yield machine, result


def _nobody() -> None:
    """Nobody types at this guest."""


@contextmanager
def _null_device() -> Iterator[int]:
    """Where the guest's console goes."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _input() -> int | None:
    """What the guest receives: our stdin, unless that is a terminal, from which nobody knows what he types to."""
    return None if sys.stdin.isatty() else sys.stdin.fileno()


def _walk(machine: Machine, address: int, el: int, access: Access, *, is_ipa: bool) -> Translated:
    if is_ipa:
        return translate_ipa(machine, address, access=access)
    return translate(machine, address, el=el, access=access)


def _sections(machine: Machine, *, is_ipa: bool) -> list[MapSection]:
    return [*([] if is_ipa else stage1_sections(machine)), stage2_section(machine)]


def _lines(machine: Machine, result: RunResult, walks: _Walks, sections: list[MapSection]) -> Iterator[str]:
    frame = machine.current.arch.ctx
    where = f"PC {place(machine, frame.elr)}{on_cpu(machine)}, EL{frame.spsr.el}"
    yield f"{result.message}; after {result.exits} exits, {where}"
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
    """What was asked, and the address where that is no number."""
    name = text if text[:1].isdigit() else f"{text} ({walk.address:#x})"
    access = "" if walk.access is None else f", {walk.access.value}"
    return f"{name}{access}" + ("" if walk.stage1 is None else f" by EL{walk.el}")


def _as_object(machine: Machine, result: RunResult, walks: _Walks, sections: list[MapSection]) -> dict[str, object]:
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
    if sections:
        found["map"] = [section_object(section) for section in sections]
        ranges = executed(machine)
        if ranges is not None:
            found["executed"] = [{"start": hex(ipas.start), "size": len(ipas)} for ipas in ranges]
    return found
