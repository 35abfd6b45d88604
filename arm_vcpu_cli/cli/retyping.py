"""Translates command lines of QEMU, kvmtool and Firecracker into ours."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from arm_vcpu_cli.cli.spellings import MEMORY_SIZE, PROGRAMS, TOOLS, Answer, Spelling

_REST: Final = "--"
_MOST_NAMES: Final = 5
_HAS_COMMANDS: Final = ("kvmtool",)
_PREFIX: Final = re.compile(r"sudo|env|exec|time|[A-Za-z_]\w*=.*")
"""What a pasted command line may have before the program."""
_RUN: Final = "run"
_GUEST: Final = "GUEST"
_RUNS_A_GUEST: Final = ("run", "trace", "stat", "walk")
_HAS_A_MACHINE: Final = (*_RUNS_A_GUEST, "test", "dtb", "probe")
_OWN_ANYWAY: Final = ("-h", "--help", "--version")


def retyped(arguments: Sequence[str], commands: Mapping[str, tuple[str, str]]) -> str | None:
    """One line with the command to type instead of ``arguments``; None if none of them is another tool's.

    ``commands`` are ours, each with its module.
    """
    line = _Line(arguments, commands)
    if line.command not in _HAS_A_MACHINE:
        return None
    line.read()
    return line.told() if line.foreign or line.program else None


def without_command(arguments: Sequence[str], commands: Mapping[str, tuple[str, str]]) -> str:
    """The message for a command line whose first word is not a command of armvcpu."""
    first = arguments[0]
    if _looks_like_a_file(first) or first.partition("=")[0] in _own_options(commands[_RUN][0]):
        return f"missing command; to run a guest, type: {shlex.join(['armvcpu', _RUN, *arguments])}"
    close = get_close_matches(first, commands, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    kind = "option" if first.startswith("-") else "command"
    return f"no such {kind}: {first!r}{hint}; see armvcpu --help"


def _looks_like_a_file(word: str) -> bool:
    # Unlike Path's, this never raises.
    return os.path.isfile(word) or (not word.startswith("-") and ("/" in word or "." in word))  # noqa: PTH113


def _own_options(module: str) -> dict[str, bool]:
    """The options of a command, and whether each takes a value."""
    command = import_module(module).command
    assert isinstance(command, click.Command)
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return {name: not each.is_flag for each in options for name in (*each.opts, *each.secondary_opts)}


class _Line:
    """A command line, read from first word to last, and its translation."""

    def __init__(self, arguments: Sequence[str], commands: Mapping[str, tuple[str, str]]) -> None:
        self._words = list(arguments)
        self._tool: str | None = None
        self.program = ""
        """The other tool's program, if the line begins with one."""
        self.command = self._leading_command(commands)
        self._own = _own_options(commands[self.command][0]) if self.command in commands else {}
        self._typed: list[str] = []
        self._notes: dict[str, list[str]] = {}
        self._guest: str | None = None
        self._arguments: list[str] = []
        self.foreign: dict[str, str | None] = {}
        """Foreign spellings as found, and the tools that they belong to; None for near misses of ours."""

    def _leading_command(self, commands: Mapping[str, tuple[str, str]]) -> str:
        """Our command, or the one equivalent to the program at the start of the line."""
        words = self._words
        command = words.pop(0) if words and words[0] in commands else None
        before = next((count for count, word in enumerate(words) if not _PREFIX.fullmatch(word)), 0)
        self._tool = PROGRAMS.get(Path(words[before]).name) if words else None
        if self._tool is not None:
            self.program = words[before]
            del words[: before + 1]
            if words and words[0] == _RUN:
                words.pop(0)
            elif self._tool in _HAS_COMMANDS and words and not words[0].startswith("-"):
                # Another command of the tool, which runs nothing.
                self.program = ""
        elif command is None and (not words or not words[0].startswith("-") or words[0] in _OWN_ANYWAY):
            return ""
        return command or _RUN

    def read(self) -> None:
        """Parse the line."""
        while self._words:
            word = self._words.pop(0)
            if word == _REST:
                self._arguments += self._words
                return
            if not word.startswith("-") or word == "-":
                self._take_plain(word)
            elif not self._take_foreign(word):
                self._take_own(word)

    def _take_plain(self, word: str) -> None:
        if self._guest is None:
            self._guest = word
        self._typed.append(word)

    def _take_own(self, word: str) -> None:
        """Take one of our options, or an unknown one, which our parser will refuse."""
        if self._tool is not None:
            self._take_unknown(word)
            return
        self._typed.append(word)
        if self._own.get(word) and self._words:
            self._typed.append(self._words.pop(0))

    def _take_unknown(self, word: str) -> None:
        """Leave out an option of another tool that has no entry, with what is probably its value."""
        name, equals, _ = word.partition("=")
        self.foreign[name] = self._tool
        self._note("unknown here, left out", name)
        if not equals and self._words and not self._words[0].startswith("-") and not _looks_like_a_file(self._words[0]):
            self._words.pop(0)

    def _take_foreign(self, word: str) -> bool:
        """Translate a word of another tool; return whether it is one."""
        if self._is_own(word):
            return False
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("--") and name[:1] == "m" and MEMORY_SIZE.fullmatch(name[1:]):
            name, equals, value = "m", "=", name[1:]
        if f"--{name}" in self._own and not any(name in spellings for spellings in TOOLS.values()):
            # One of our options with a dash missing.
            self._typed.append(f"--{name}{equals}{value}")
            self.foreign[word] = None
            return True
        for tool, spelling in self._spellings(name):
            if len(name) == 1 and word.startswith("--"):
                continue
            if spelling.takes and not equals:
                value = self._words.pop(0) if self._words else ""
            spelt = word.partition("=")[0]
            self.foreign[spelt] = tool
            self._answer(spelt, spelling.answer(value))
            return True
        return False

    def _spellings(self, name: str) -> Iterator[tuple[str, Spelling]]:
        for tool, spellings in TOOLS.items():
            if name in spellings and self._tool in (None, tool):
                yield tool, spellings[name]

    def _is_own(self, word: str) -> bool:
        """Whether an option is ours, and valid for this command."""
        name, _, attached = word.partition("=")
        if name not in self._own or self._tool is not None:
            return False
        value = attached or (self._words[0] if self._words else "")
        return name not in ("-m", "--machine") or not is_no_machine_file(value)

    def _answer(self, word: str, answer: Answer) -> None:
        if answer.command is not None and self.command not in (_RUN, answer.command):
            answer = Answer(note=f"see armvcpu {answer.command}")
        self.command = answer.command or self.command
        if answer.guest is not None:
            self._guest = answer.guest or _GUEST
            self._typed.append(self._guest)
        self._typed += answer.words
        self._arguments += answer.arguments
        if answer.note:
            self._note(answer.note, word)

    def _note(self, note: str, word: str) -> None:
        words = self._notes.setdefault(note, [])
        if word not in words:
            words.append(word)

    def told(self) -> str:
        """The line for the user."""
        words = ["armvcpu", self.command, *self._typed]
        if self._guest is None and self.command in _RUNS_A_GUEST:
            words.append(_GUEST)
        if self._arguments:
            words += [_REST, *self._arguments]
        if self._tool is None and all(word in self._own for word in self.foreign):
            # A user of the other tool may not know the meaning of this option here.
            self._note("here a machine file follows", next(iter(self.foreign)))
        notes = "; ".join(f"{', '.join(names)}: {note}" for note, names in self._notes.items())
        return f"{self._whose()}; type: {shlex.join(words)}{f' ({notes})' if notes else ''}"

    def _whose(self) -> str:
        """The tool that the spellings belong to, if a single one has them all."""
        if not self.foreign:
            return f"{self.program} is a program of {self._tool}"
        shown = list(self.foreign)
        if len(shown) > _MOST_NAMES:
            shown = [*shown[: _MOST_NAMES - 1], f"{len(shown) - _MOST_NAMES + 1} more"]
        names = _listed(shown)
        found = set(self.foreign.values())
        if found == {None}:
            return f"{names} {'takes' if len(self.foreign) == 1 else 'take'} two dashes"
        alone = [tool for tool, spellings in TOOLS.items() if all(_bare(name) in spellings for name in self.foreign)]
        tools = alone[:1] or [tool for tool in TOOLS if tool in found]
        verb = "is an option" if len(self.foreign) == 1 else "are options"
        return f"{names} {verb} of {_listed(tools)}"


def is_no_machine_file(value: str) -> bool:
    """Whether the value of -m is a size of memory, or the name of another tool's machine."""
    first = value.partition(",")[0]
    is_other = MEMORY_SIZE.fullmatch(first) is not None or first == "virt" or first.startswith("size=")
    # Unlike Path's, this never raises.
    return is_other and not os.path.isfile(value)  # noqa: PTH113


def _bare(word: str) -> str:
    name = word.lstrip("-")
    return "m" if name[:1] == "m" and MEMORY_SIZE.fullmatch(name[1:]) else name


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
