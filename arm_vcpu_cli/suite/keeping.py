"""Keeps the files of failed guests, under names derived from the guests' paths."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.errors import FileError, OutputError
from arm_vcpu_cli.suite.cases import Outcome
from arm_vcpu_cli.suite.pool import Result
from arm_vcpu_cli.suite.trial import CONSOLE, ERRORS, REPORT, TRACE

Kept = Mapping[str, Path]
"""The files of a guest by kind."""

NOTHING_KEPT: Final[Kept] = MappingProxyType({})
_KINDS: Final = (CONSOLE, REPORT, TRACE, ERRORS)
_PLAIN: Final = re.compile(r"[^\w.+=@-]+")
_LONGEST: Final = 120


def make_folder(folder: Path) -> None:
    """Create the folder for the files. Raises :class:`FileError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK | os.X_OK)
    except (OSError, ValueError) as error:
        raise FileError(folder, f"cannot be made: {getattr(error, 'strerror', None) or error}") from error
    if not usable:
        raise FileError(folder, "cannot be written")


def keep_files(results: Sequence[Result], folder: Path) -> list[Kept]:
    """Move the files of failed guests to ``folder``; return them in the order of the results. Raises
    :class:`OutputError`."""
    names = _names(results)
    return [_keep(result, folder, name) for result, name in zip(results, names, strict=True)]


def _keep(result: Result, folder: Path, name: str) -> Kept:
    if result.files is None or result.verdict.outcome not in (Outcome.FAILED, Outcome.ERROR):
        return NOTHING_KEPT
    kept: dict[str, Path] = {}
    for kind in _KINDS:
        source = result.files.path(kind)
        if source.exists() and source.stat().st_size:
            target = folder / f"{name}.{kind}"
            try:
                shutil.move(source, target)
            except OSError as error:
                raise OutputError(f"{target}: cannot be written: {error.strerror}") from error
            kept[kind.partition(".")[0]] = target
    return MappingProxyType(kept)


def _names(results: Sequence[Result]) -> list[str]:
    """Return a unique name for each guest, derived from its path."""
    found: list[str] = []
    taken: set[str] = set()
    for result in results:
        plain = _PLAIN.sub("-", str(result.guest)).strip("-.")[-_LONGEST:] or "guest"
        name, number = plain, 2
        while name in taken:
            name, number = f"{plain}-{number}", number + 1
        taken.add(name)
        found.append(name)
    return found
