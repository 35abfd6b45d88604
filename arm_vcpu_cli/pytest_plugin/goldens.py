"""Goldens: files of correct exits, with which those of a run are compared.

A golden is a trace in JSON Lines, so ``armvcpu diff``, ``report`` and ``stat`` read it too. It is rewritten only if it
differs in a compared property, so an unchanged run leaves the file alone. It contains only the compared events.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import pytest

from arm_vcpu_cli.errors import ArmVcpuError, FileError, UsageError
from arm_vcpu_cli.printable import printable_lines, printable_message
from arm_vcpu_cli.pytest_plugin.exit_log import ExitLog
from arm_vcpu_cli.trace.diff import Totals, align, hunks
from arm_vcpu_cli.trace.diff_text import DiffText
from arm_vcpu_cli.trace.diffkeys import TIMES, Comparison, Side
from arm_vcpu_cli.trace.output_stream import COMPRESSED, open_output
from arm_vcpu_cli.trace.reader import TraceReader

UPDATED: Final = "armvcpu_golden"
DIFFS: Final = pytest.StashKey[list[tuple[str, str]]]()
"""The differences found by the test: a heading and lines, for its report."""
_CONTEXT: Final = 3
_MOST_HUNKS: Final = 5
_FOLDER: Final = "armvcpu-exits"


class GoldenFactory:
    """Opens the goldens of one test: ``golden("boot.jsonl", only=["Hypercall"])``."""

    def __init__(self, item: pytest.Item, folders: pytest.TempPathFactory) -> None:
        self._item = item
        self._folders = folders

    def __call__(
        self,
        name: str | Path,
        *,
        only: Collection[str] = (),
        vcpus: Collection[int] = (),
        ignore: Collection[str] = (),
        by_symbol: bool = False,
        times: bool = False,
    ) -> Golden:
        """Return the golden ``name``, in the ini file's ``armvcpu_goldens`` beside the test file.

        All properties of all events are compared except numbers and, unless ``times``, times. ``only`` are the exit
        reasons and event types to compare, ``vcpus`` the vCPUs, ``ignore`` the properties to leave out; ``by_symbol``
        compares functions instead of addresses, for a rebuilt guest.
        """
        __tracebackhide__ = True
        said = {"only": only, "ignore": ignore}
        for option, value in said.items():
            if isinstance(value, str):
                raise UsageError(f"golden: {option}: expected a list of names, found {value!r}")
        config = self._item.config
        path = self._item.path.parent / config.getini("armvcpu_goldens") / name
        ignored = frozenset(ignore) | (frozenset() if times else TIMES)
        comparison = Comparison(ignored, by_symbol, frozenset(only), frozenset(vcpus))
        update = bool(config.getoption("update_goldens", False))
        return Golden(path, comparison, self._item, self._folders, update=update)


class Golden:
    """A file to compare exits with: ``run.exits == golden``. While goldens are updated, the comparison succeeds."""

    def __init__(
        self,
        path: Path,
        comparison: Comparison,
        item: pytest.Item,
        folders: pytest.TempPathFactory,
        *,
        update: bool,
    ) -> None:
        self.path = path
        self._comparison = comparison
        self._item = item
        self._folders = folders
        self._update = update
        self.explanation: list[str] = []
        """A few lines on why the last comparison failed."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExitLog):
            return NotImplemented
        try:
            return self._matches(other)
        except ArmVcpuError as error:
            self.explanation = str(error).splitlines()
            return False
        except OSError as error:
            self.explanation = [printable_message(f"{self._shown}: cannot be read: {error.strerror}")]
            return False

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"golden({self._shown!r})"

    @property
    def _shown(self) -> str:
        return _relative(self.path)

    def _matches(self, log: ExitLog) -> bool:
        if log.is_full:
            self.explanation = [f"only the first {len(log)} events are kept: choose fewer with events=[...]"]
            return False
        text = log.text(self._comparison.wants)
        if not self.path.exists():
            if self._update:
                self._write(text)
                return True
            self.explanation = [f"{self._shown}: this golden does not exist yet: pytest --update-goldens writes it"]
            return False
        if self.path.suffix not in COMPRESSED and _events(self.path.read_text("utf-8", "replace")) == _events(text):
            return True
        return self._compare(text)

    def _compare(self, text: str) -> bool:
        own = self._folders.mktemp(_FOLDER) / self.path.name.removesuffix(".gz").removesuffix(".zst")
        own.write_text(text, "utf-8")
        try:
            with TraceReader(Path(self._shown)) as golden, TraceReader(own) as trace:
                sides = Side(golden, self._comparison), Side(trace, self._comparison)
                totals = Totals()
                diff = DiffText(*sides, self._comparison)
                found = hunks(align(*sides, self._comparison), _CONTEXT, totals)
                shown = [line for hunk in islice(found, _MOST_HUNKS) for line in diff.hunk(hunk)]
                for _ in found:
                    pass
                if not totals.differ:
                    return True
                lines = [*diff.headings(), *shown]
                if totals.hunks > _MOST_HUNKS:
                    lines.append(f"... {totals.hunks - _MOST_HUNKS} more places (armvcpu diff shows them)")
                summary = [*diff.summary(totals)]
        except FileError:
            if not self._update:
                raise
        if self._update:
            self._write(text)
            return True
        hint = f"the full comparison: armvcpu diff {self._shown} {own}; to accept it: pytest --update-goldens"
        self.explanation = [*map(printable_message, summary[:2]), hint]
        diffs = self._item.stash.setdefault(DIFFS, [])
        diffs.append((f"exits and {self._shown}", printable_lines("\n".join([*lines, "", *summary]))))
        return False

    def _write(self, text: str) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(self.path.parent, f"cannot be made: {error.strerror}") from error
        with open_output(self.path) as file:
            file.write(text)
        self._item.user_properties.append((UPDATED, self._shown))


def explained(left: object, right: object) -> list[str] | None:
    """Return why exits differ from a golden; None for other operands."""
    golden = left if isinstance(left, Golden) else right if isinstance(right, Golden) else None
    if golden is None:
        return None
    log = right if golden is left else left
    if not isinstance(log, ExitLog):
        return [f"{golden!r} is compared with exits (run.exits), not with {type(log).__name__}"]
    return [f"{log!r} == {golden!r}", *golden.explanation]


def _events(text: str) -> str:
    """Return the text after the header, which contains the version of armvcpu."""
    return text.partition("\n")[2]


def _relative(path: Path) -> str:
    """Return a path relative to the working directory if possible."""
    shorter = os.path.relpath(path)
    return str(path) if shorter.startswith(os.pardir) else shorter


def diffs_of(item: pytest.Item) -> Sequence[tuple[str, str]]:
    """Return the differences found by a test."""
    return item.stash.get(DIFFS, [])
