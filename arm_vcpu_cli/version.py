"""The version of the package, for its metadata and for its code; importlib.metadata takes long to load."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
