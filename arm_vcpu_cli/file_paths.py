"""The paths of files as callers give them.

``pathlib`` takes a twentieth of the time that a small guest takes, most of it for URLs. A plain run keeps the path it
was given and loads ``pathlib`` only where something asks for a :class:`~pathlib.Path`.
"""

from __future__ import annotations

import os
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

FilePath = str | os.PathLike[str]


def as_path(path: FilePath) -> Path:
    """The same path as an object of :mod:`pathlib`."""
    converted: Path = import_module("pathlib").Path(path)
    return converted


def base_name(path: FilePath) -> str:
    """The last component of a path."""
    return os.path.basename(path)  # noqa: PTH119
