"""Programs and packages that some tests need but users do not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def missing(what: str) -> None:
    """In CI a missing tool is a failure; elsewhere the test is skipped and says what is missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is not installed")


def require_program(name: str) -> str:
    """The path of a program."""
    found = shutil.which(name)
    if found is None:
        missing(name)
    return found or name


def require_file(path: str) -> Path:
    """A file that a package of the distribution installs."""
    if not Path(path).exists():
        missing(path)
    return Path(path)
