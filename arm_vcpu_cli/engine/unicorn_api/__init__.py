"""The part of Unicorn's C API that armvcpu uses, raising our errors. No other package calls Unicorn."""

from __future__ import annotations

from arm_vcpu_cli.engine.unicorn_api.binding import (
    CPU_MODELS,
    NZCV,
    PC,
    PSTATE,
    SP,
    InterruptCallback,
    Q,
    X,
    version,
)
from arm_vcpu_cli.engine.unicorn_api.library import keep, library_function
from arm_vcpu_cli.engine.unicorn_api.loaded import WORD, loaded_library
from arm_vcpu_cli.engine.unicorn_api.thumb import ThumbEngine
from arm_vcpu_cli.engine.unicorn_api.unicorn_engine import STOP_CHECK, Engine, SavedContext

__all__ = [
    "CPU_MODELS",
    "NZCV",
    "PC",
    "PSTATE",
    "SP",
    "STOP_CHECK",
    "WORD",
    "Engine",
    "InterruptCallback",
    "Q",
    "SavedContext",
    "ThumbEngine",
    "X",
    "keep",
    "library_function",
    "loaded_library",
    "version",
]
