"""The engine's library, and the numbers of its interface.

armvcpu calls the library's C interface, which is public and stable. The package that contains the library also has a
Python binding, but importing it takes 40 ms, longer than a small guest runs: mostly for the search for the library
through inspect, pathlib and importlib.resources, and for the constants of all architectures. So the library is loaded
from its place in the package, and the constants from their own modules. If they are not there, the binding is used.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from typing import Any, Final

_NAMES: Final = {"darwin": "libunicorn.2.dylib", "win32": "unicorn.dll"}


@cache
def _package() -> str:
    """Return the folder of the package without executing any of it."""
    spec = find_spec("unicorn")
    return "" if spec is None or not spec.submodule_search_locations else spec.submodule_search_locations[0]


def constants(name: str) -> Any:
    """Return a module of constants of the package, such as ``unicorn_const``."""
    spec = spec_from_file_location(f"{__package__}.{name}", os.path.join(_package(), f"{name}.py"))  # noqa: PTH118
    if spec is None or spec.loader is None:
        return import_module(f"unicorn.{name}")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except OSError:
        return import_module(f"unicorn.{name}")
    return module


@cache
def library_path() -> str:
    """Return the path of the library."""
    path = os.path.join(_package(), "lib", _NAMES.get(sys.platform, "libunicorn.so.2"))  # noqa: PTH118
    if os.environ.get("LIBUNICORN_PATH") or not os.path.exists(path):  # noqa: PTH110
        path = import_module("unicorn.unicorn_py3.unicorn").uclib._name
    return path


@cache
def released_library() -> ctypes.CDLL:
    """Return the library for calls that release the interpreter lock. All share one handle, because loading takes
    time."""
    library = ctypes.CDLL(library_path())
    library.uc_emu_start.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint64,
        ctypes.c_uint64,
        ctypes.c_uint64,
        ctypes.c_size_t,
    ]
    library.uc_strerror.restype = ctypes.c_char_p
    library.uc_ctl.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.uc_context_size.restype = ctypes.c_size_t
    return library


@cache
def held_library() -> ctypes.PyDLL:
    """Return the library for calls that are too short to release the interpreter lock."""
    library = ctypes.PyDLL(library_path())
    library.uc_vmem_read.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint64,
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_size_t,
    ]
    library.uc_vmem_translate.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int, ctypes.c_void_p]
    return library


@cache
def bare_library() -> ctypes.PyDLL:
    """Return the library without argument types: every argument must be a ctypes object."""
    return ctypes.PyDLL(library_path())


def library_function(name: str) -> int | None:
    """Return the address of a function of the library by its symbol, None if the library does not export it."""
    try:
        function = released_library()[name]
    except AttributeError:
        return None
    return ctypes.cast(function, ctypes.c_void_p).value


def keep(memory: object) -> None:
    """Keep an object of ctypes until the process ends: the library may still use it while the interpreter destroys its
    objects."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
