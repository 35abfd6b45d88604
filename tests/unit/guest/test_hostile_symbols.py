"""Very many symbols, and files that only seem to have any: little work, little memory, clear errors."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from arm_vcpu_cli.guest.symbol import Symbol
from arm_vcpu_cli.guest.symbols import SymbolTable
from tests.support import means

SIZE: Final = 100 << 20
SPACE: Final = 320 << 20
"""Address space for a file of that size: the interpreter takes 50 MB, and the file is there once, not thirty times."""
LOAD: Final = """
import sys
from pathlib import Path
from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.symbol_files import load_symbols
try:
    load_symbols(Path(sys.argv[1]))
except GuestFileError as error:
    print(error.where() + error.message)
"""


@pytest.mark.parametrize(
    ("start", "piece", "said"),
    [
        (b"", b"\n", "offset 0x0: line 1: expected an address"),
        (b"0000000000001000 T f\n", b"?\n", "offset 0x15: line 2: expected an address"),
        (b"", b"x", "offset 0x0: line 1: expected an address"),
        (b"0000000000001000 T f", b" ", "offset 0x0: line 1: expected an address"),
    ],
    ids=["empty lines", "short lines", "one line", "one line that begins well"],
)
def test_a_large_file_that_is_no_list_is_refused_at_its_first_bad_line(
    tmp_path: Path, start: bytes, piece: bytes, said: str
) -> None:
    path = tmp_path / "System.map"
    path.write_bytes(start + piece * (SIZE // len(piece)))
    assert means.python(LOAD, path, size=SPACE).startswith(said)


def test_a_name_that_is_none_of_a_million_like_it_costs_little() -> None:
    code = (
        "from arm_vcpu_cli.guest.symbol import Symbol\n"
        "from arm_vcpu_cli.guest.symbols import SymbolTable\n"
        "table = SymbolTable(Symbol(f'symbol_{n:07}_function', 4 * n) for n in range(1 << 20))\n"
        "print(*table.close_names('symbol_x012345_function'))"
    )
    found = means.python(code, seconds=30, size=2 << 30).split()
    assert len(found) == 3
    assert all("12345_function" in name for name in found)


@pytest.mark.parametrize("typed", ["start_kernle", "strat_kernel", "tart_kernel", "start-kernel", "startkernel"])
def test_the_name_that_is_meant_is_found_among_many(typed: str) -> None:
    heads = [f"{verb}_{noun}" for verb in ("start", "stop", "init") for noun in ("kernel_thread", "k")]
    names = [f"{head}{n}" for head in heads for n in range(999)]
    table = SymbolTable(Symbol(name, n) for n, name in enumerate([*names, "start_kernel"]))
    assert table.close_names(typed)[0] == "start_kernel"
