"""The ``monitor`` commands, which offer other commands' functions inside a debugger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arm_vcpu.recorder import RECENT
from arm_vcpu_cli.debug.client import Client
from arm_vcpu_cli.debug.looking import looking_at
from arm_vcpu_cli.debug.moments import SECOND, goto_time, nanoseconds
from arm_vcpu_cli.debug.target import Stop
from arm_vcpu_cli.errors import ArmVcpuError, UsageError
from arm_vcpu_cli.inspect.explained import explain_word, explained_lines
from arm_vcpu_cli.inspect.interrupts import interrupt_lines
from arm_vcpu_cli.inspect.postmortem.backtrace import backtrace, place
from arm_vcpu_cli.inspect.postmortem.last_exits import exit_lines
from arm_vcpu_cli.inspect.postmortem.registers import register_dump
from arm_vcpu_cli.inspect.tables import places
from arm_vcpu_cli.inspect.tables.both_stages import translate, translate_ipa
from arm_vcpu_cli.inspect.tables.ipa_map import places as ipa_places
from arm_vcpu_cli.inspect.tables.mapping import section_lines, stage1_sections, stage2_section
from arm_vcpu_cli.inspect.tables.translation_text import translation_lines
from arm_vcpu_cli.printable import printable_path
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.sizes import format_size
from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.guest_run import GuestRun
from arm_vcpu_cli.vm.machine import Machine

_SAVING: Final = "arm_vcpu_cli.vm.snapshot_saving"
"""Loaded only to save a machine."""
_DUMP_MOST: Final = 1 << 16
_DUMP_ROW: Final = 16
_ACCESSES: Final[Mapping[str, Access]] = MappingProxyType(
    {"read": Access.READ, "write": Access.WRITE, "exec": Access.EXECUTE}
)
_LONGEST_NUMBER: Final = 20


class Asked(Record):
    """A command typed by a user: its target, its words, and the function that prints its output."""

    machine: Machine
    client: Client
    words: tuple[str, ...]


Lines = Iterator[str] | Sequence[str]


class Command(Record):
    """A command: the words that it takes, its function, and the lines that it prints."""

    usage: str
    help: str
    lines: Callable[[Asked], Lines]
    travels: bool = False
    """Whether the command is available only if the target can go back in time."""


class Monitor:
    """Executes the commands that a user types after ``monitor``."""

    def __init__(self, machine: Machine, more: Mapping[str, Command] = MappingProxyType({})) -> None:
        """``more`` are commands in addition to those of this module, by name."""
        self._machine = machine
        moments: dict[str, int] = {}
        self._commands = {
            **COMMANDS,
            "snapshot": Command("NAME", "name this moment", partial(_snapshot, moments), travels=True),
            "restore": Command("[NAME]", "go to a moment by its name, or list them", partial(_restore, moments), True),
            **more,
        }

    def __call__(self, client: Client, text: str, say: Callable[[str], None]) -> None:
        """Execute a command and print its output line by line."""
        name, *words = text.split() or ["help"]
        known = {each: command for each, command in self._commands.items() if _is_there(command, client)}
        command = known.get(name) or _only(name, known)
        try:
            if name == "help" or command is None:
                lines: Lines = _help(known, None if name == "help" else name)
            else:
                lines = command.lines(Asked(self._machine, client, tuple(words)))
            for line in lines:
                say(line)
        except ArmVcpuError as error:
            say(f"error: {error}")


def _is_there(command: Command, client: Client) -> bool:
    return client.target.travels or not command.travels


def _only(name: str, commands: Mapping[str, Command]) -> Command | None:
    """Return the only command that begins with a word, None if there is none or several."""
    found = [command for each, command in commands.items() if each.startswith(name)]
    return found[0] if len(found) == 1 else None


def _help(commands: Mapping[str, Command], unknown: str | None) -> Iterator[str]:
    if unknown is not None:
        yield f"error: there is no command {unknown!r}"
    rows = [(f"{name} {command.usage}".rstrip(), command.help) for name, command in commands.items()]
    width = max(len(usage) for usage, _ in rows)
    yield from (f"{usage.ljust(width)}  {help}" for usage, help in rows)


# Inspection -------------------------------------------------------------------------------------------------------


def _exits(asked: Asked) -> Iterator[str]:
    number = _number(asked.words[0]) if asked.words else RECENT
    with looking_at(asked.machine, asked.client.selected) as machine:
        recent = machine.current.arch.recent_exits()[-number:] if number else ()
        yield from exit_lines(machine, recent)
        if not recent:
            yield f"cpu{asked.client.selected} has not exited yet"


def _walk(asked: Asked) -> Iterator[str]:
    words = [word for word in asked.words if word not in _ACCESSES and word != "ipa"]
    access = next((_ACCESSES[word] for word in asked.words if word in _ACCESSES), Access.READ)
    if len(words) != 1:
        raise UsageError("walk takes one address: walk [ipa] VA [read|write|exec]")
    with looking_at(asked.machine, asked.client.selected) as machine:
        address = places.resolve(words[0], machine)
        if "ipa" in asked.words:
            yield from translation_lines(translate_ipa(machine, address, access=access))
        else:
            el = machine.current.arch.ctx.spsr.el
            yield from translation_lines(translate(machine, address, el=el, access=access))


def _map(asked: Asked) -> Iterator[str]:
    if asked.words == ("va",):
        with looking_at(asked.machine, asked.client.selected) as machine:
            for section in stage1_sections(machine):
                yield from section_lines(section)
        return
    if asked.words == ("stage2",):
        yield from section_lines(stage2_section(asked.machine))
        return
    for each in ipa_places(asked.machine.description):
        yield f"{each.base:#014x}-{each.end - 1:#014x}  {format_size(each.end - each.base):>9}  {each.name}"


def _registers(asked: Asked) -> Sequence[str]:
    with looking_at(asked.machine, asked.client.selected) as machine:
        return register_dump(machine)


def _backtrace(asked: Asked) -> Iterator[str]:
    with looking_at(asked.machine, asked.client.selected) as machine:
        yield from backtrace(machine)


def _interrupts(asked: Asked) -> Iterator[str]:
    return interrupt_lines(asked.machine)


def _explain(asked: Asked) -> Iterator[str]:
    if len(asked.words) != 1:
        raise UsageError("explain takes one register: explain REG or REG=VALUE")
    word = asked.words[0]
    found = explain_word(word)
    if found.move is None and "=" not in word:
        held = _value_of(asked, found.explanation.info.name)
        found = found if held is None else explain_word(f"{word}={held:#x}")
    yield from explained_lines(found)


def _value_of(asked: Asked, name: str) -> int | None:
    wanted = "cpsr" if name == "PSTATE" else name
    for each in asked.client.registers:
        if each.register.name.upper() == wanted.upper():
            return asked.client.target.read_register(asked.client.selected, each.register.name)
    return None


def _physical(asked: Asked) -> Iterator[str]:
    if len(asked.words) not in (1, 2):
        raise UsageError("phys takes an IPA and a length: phys ADDR [LEN]")
    address, size = _number(asked.words[0]), _number(asked.words[1]) if len(asked.words) > 1 else 64
    data = asked.client.target.read_physical(address, min(size, _DUMP_MOST))
    for at in range(0, len(data), _DUMP_ROW):
        row = data[at : at + _DUMP_ROW]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"{address + at:#014x}  {row.hex(' ').ljust(3 * _DUMP_ROW)} {text}"
    if len(data) < min(size, _DUMP_MOST):
        yield f"{address + len(data):#014x}  no memory"


def _statistics(asked: Asked) -> Iterator[str]:
    machine = asked.machine
    yield from _when(asked)
    for cpu in machine.cpus:
        doing = "off" if cpu.activity is Activity.OFF else f"at {place(machine, cpu.arch.ctx.elr)}"
        waits = ", in WFI" if cpu.activity is Activity.WAITING else ""
        yield f"cpu{cpu.index}  {cpu.arch.exits:>10} exits to EL2, {doing}{waits}"


# Through time -----------------------------------------------------------------------------------------------------


def _when(asked: Asked) -> Iterator[str]:
    at = asked.client.target.position()
    yield f"instruction {at.instructions}, {at.nanoseconds / SECOND:.9f} s"


def _goto(asked: Asked) -> Iterator[str]:
    if len(asked.words) != 1:
        raise UsageError("goto takes a moment: the number of an instruction, or a time such as 1.5s")
    client, word = asked.client, asked.words[0]
    time = nanoseconds(word)
    moved = client.target.goto(_number(word)) if time is None else goto_time(client.target, time)
    yield from arrived(asked, moved)


def arrived(asked: Asked, stop: Stop) -> Iterator[str]:
    """Yield the lines to print when the guest has moved to another moment."""
    asked.client.take_stop(stop)
    yield from _when(asked)
    if not asked.client.launched:
        yield "gdb does not know yet: maintenance flush register-cache"


def _hold(asked: Asked) -> Iterator[str]:
    if asked.words not in ((), ("on",), ("off",)):
        raise UsageError("hold takes on or off")
    if asked.words:
        asked.client.holds = asked.words == ("on",)
    yield f"a guest that powers off or exits {'is kept' if asked.client.holds else 'ends the run'}"


def _snapshot(moments: dict[str, int], asked: Asked) -> Iterator[str]:
    name = _name(asked, "snapshot")
    moments[name] = asked.client.target.position().instructions
    yield f"{name} is this moment: instruction {moments[name]}"


def _restore(moments: dict[str, int], asked: Asked) -> Iterator[str]:
    if not asked.words:
        yield from (f"{name}  instruction {moments[name]}" for name in sorted(moments))
        return
    name = _name(asked, "restore")
    if name not in moments:
        raise UsageError(f"there is no moment {name}; there are {', '.join(sorted(moments)) or 'none'}")
    yield from arrived(asked, asked.client.target.goto(moments[name]))


def _name(asked: Asked, command: str) -> str:
    if len(asked.words) != 1:
        raise UsageError(f"{command} takes a name: {command} NAME")
    return asked.words[0]


def _save(run: GuestRun, asked: Asked) -> Iterator[str]:
    path = Path(_name(asked, "save"))
    if path.exists():
        raise UsageError(f"{path}: file exists")
    machine = asked.machine
    note = f"saved by a debugger at {place(machine, machine.current.arch.ctx.elr)}"
    import_module(_SAVING).write_snapshot(machine, run, path, note=note)
    yield f"go on from here with: armvcpu run --from {printable_path(path)}"


def save_command(run: GuestRun) -> Command:
    """Return the command that saves the machine of a run to a file. It is for users who may write files anyway."""
    return Command("FILE", "save the machine in a file, for armvcpu run --from", partial(_save, run))


def _number(text: str) -> int:
    try:
        value = int(text, 0) if len(text) <= _LONGEST_NUMBER else -1
    except ValueError:
        value = -1
    if value < 0:
        raise UsageError(f"{text}: expected a number such as 1000 or 0x40080000")
    return value


COMMANDS: Final[Mapping[str, Command]] = MappingProxyType(
    {
        "exits": Command("[N]", f"the last N exits of the selected vCPU, {RECENT} at most", _exits),
        "bt": Command(
            "", "the calls of the selected vCPU, by frame pointers; for code without debug information", _backtrace
        ),
        "walk": Command("[ipa] VA [read|write|exec]", "both stages of a translation, or stage 2 of an IPA", _walk),
        "map": Command("[va|stage2]", "the machine's memory map; what is mapped at which VA, or by stage 2", _map),
        "mtree": Command("", "the same as map", _map),
        "interrupts": Command("", "pending interrupts, the timers, and what holds them back", _interrupts),
        "explain": Command("REG[=VALUE]", "a register, field by field", _explain),
        "regs": Command("", "all registers of the selected vCPU", _registers),
        "phys": Command("ADDR [LEN]", "memory at an IPA", _physical),
        "stat": Command("", "the guest's progress, and the exits of each vCPU", _statistics),
        "hold": Command("[on|off]", "keep a guest that powers off or exits, like one that gets stuck", _hold),
        "when": Command("", "the instruction and the time", _when),
        "goto": Command("INSTRUCTION|TIME", "go to a moment, back or forward: 1000, 1.5s, 20ms", _goto, travels=True),
    }
)
