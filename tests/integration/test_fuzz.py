"""Random bytes as guests, as ELF files and as machine files: any documented status, no traceback, no hang."""

from __future__ import annotations

import os
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.cli.main import main
from tests.integration.command import Finished, armvcpu, guest, sample

TABLE: Final = frozenset({0, 2, 122, 123, 124, 130})
SLOW: Final = settings(deadline=None, suppress_health_check=list(HealthCheck))


@contextmanager
def standard_streams() -> Iterator[tuple[Path, Path]]:
    """Our own standard streams as the command finds them: nothing to read, and files for what it writes."""
    saved = [os.dup(number) for number in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        streams = sys.stdin, sys.stdout, sys.stderr
        with (
            Path(os.devnull).open(encoding="utf-8") as null,
            out.open("w", encoding="utf-8") as out_file,
            err.open("w", encoding="utf-8") as err_file,
        ):
            for number, file in enumerate((null, out_file, err_file)):
                os.dup2(file.fileno(), number)
            sys.stdin, sys.stdout, sys.stderr = null, out_file, err_file
            try:
                yield out, err
            finally:
                sys.stdin, sys.stdout, sys.stderr = streams
                for number, fd in enumerate(saved):
                    os.dup2(fd, number)
                    os.close(fd)


def in_process(arguments: Sequence[object]) -> Finished:
    """The command in this process; any exception but its own exit fails the test."""
    with standard_streams() as (out, err):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        sys.stdout.flush()
        sys.stderr.flush()
        written, said = out.read_bytes(), err.read_text(errors="replace")
    return Finished(exit_.value.code if isinstance(exit_.value.code, int) else 0, written, said)


MOST_LINES: Final = 11
"""Ten errors of a machine file, and how many more there are."""


def check(finished: Finished, *, most_lines: int = 1) -> None:
    assert finished.status in TABLE, finished
    assert "Traceback" not in finished.err
    if finished.status == 2:
        lines = finished.err.splitlines()
        assert all(line.startswith("armvcpu: error: ") for line in lines)
        assert 1 <= len(lines) <= most_lines


def test_the_command_in_this_process_is_the_command() -> None:
    here, there = in_process(["run", sample("hello")]), armvcpu("run", sample("hello"))
    assert here == there
    assert in_process(["run", "none.elf"]) == armvcpu("run", "none.elf")


WORDS: Final = st.one_of(
    st.integers(0, 2**32 - 1),
    # Branches, loads and stores, system instructions and exceptions, which random words seldom are.
    st.integers(0, 2**26 - 1).map(lambda bits: 0x1400_0000 | bits),
    st.integers(0, 2**24 - 1).map(lambda bits: 0xF900_0000 | bits),
    st.integers(0, 2**22 - 1).map(lambda bits: 0xD500_0000 | bits),
    st.integers(0, 2**16 - 1).flatmap(
        lambda bits: st.sampled_from([0xD400_0001, 0xD400_0002, 0xD400_0003, 0xD440_0000, 0xD420_0000]).map(
            lambda base: base | bits << 5
        )
    ),
)


@settings(SLOW, max_examples=30)
@given(st.lists(WORDS, min_size=1, max_size=64))
@example([0xD45E0000])
@example([0x14000000])
@example([0xD69F03E0])
def test_a_raw_binary_of_random_instructions_ends_with_a_status_of_the_table(words: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "random.bin")
        raw.write_bytes(b"".join(word.to_bytes(4, "little") for word in words))
        # A semihosting exit may give any status of its own, but random bytes do not build its parameter block.
        finished = armvcpu("run", "--timeout", "0.2", "--max-exits", "3000", raw)
    assert finished.status in TABLE | {1}, finished
    assert "Traceback" not in finished.err


ELF: Final = guest("undefined").read_bytes()


@settings(SLOW, max_examples=60)
@given(
    st.integers(0, len(ELF)),
    st.lists(st.tuples(st.integers(0, min(len(ELF), 0x200) - 1), st.integers(0, 7)), max_size=6),
)
def test_an_elf_file_cut_and_with_flipped_bits_runs_or_is_refused(length: int, flips: list[tuple[int, int]]) -> None:
    data = bytearray(ELF)
    for offset, bit in flips:
        data[offset] ^= 1 << bit
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "flipped.elf")
        path.write_bytes(data[:length])
        finished = in_process(["run", "--timeout", "0.2", "--max-exits", "2000", path])
    check(finished)
    if finished.status == 2:
        assert str(path) in finished.err


KEYS: Final = st.sampled_from(
    ["base", "cpu", "model", "mpidr", "memory", "ram", "rom", "size", "permissions", "on_fault", "file", "boot",
     "entry", "load_address", "dtb", "dtb_address", "bootargs", "smc", "conduit", "function", "id", "returns", "limits",
     "timeout", "max_exits", "semihosting", "enabled", "device", "uart0", "type", "intid", "el2", "hcr", "x",
     "initrd", "kernel_type", "clock", "source", "seed", "epoch", "gic", "rtc", "passthrough", "redistributor_base",
     "redistributor_size", "features", "FEAT_AES"]
)  # fmt: skip
VALUES: Final = st.one_of(
    st.sampled_from(['"virt"', '"none"', '"max"', '"rwx"', '"r"', '"4KiB"', '"pl011"', '"stop"', "true", "nan", "{}"]),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(["0x4000_0000", "0x0900_0000", "4096", "0", "0x4008_0000", "1979-05-27", "'''", '"\\u0000"']),
)
LINES: Final = st.one_of(
    st.tuples(KEYS, VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}"),
    st.lists(KEYS, min_size=1, max_size=3).map(lambda keys: f"[{'.'.join(keys)}]"),
)


@settings(SLOW, max_examples=150)
@given(st.lists(LINES, max_size=8).map("\n".join))
def test_a_machine_file_of_random_lines_gives_a_device_tree_or_is_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = Path(folder, "random.toml")
        machine.write_text(text)
        finished = in_process(["dtb", "-m", machine])
    check(finished, most_lines=MOST_LINES)
    assert finished.status in (0, 2)
    if finished.status == 0:
        assert finished.out[:4] == struct.pack(">I", 0xD00DFEED)
    else:
        assert str(machine) in finished.err


@settings(SLOW, max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(["run", "trace", "dtb", "probe", "completion", "-m", "--append", "--memory", "--regs", "-o",
                             "--timeout", "--max-exits", "--load-address", "--only", "--format", "jsonl", "bash"]),
            st.text(st.characters(codec="utf-8", exclude_characters="\0/"), max_size=8),
            st.integers(-5, 2**70).map(str),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_random_arguments_are_refused_or_mean_something(arguments: list[str]) -> None:
    if "-o" in arguments or any(argument.startswith("-o") for argument in arguments):
        arguments = [argument for argument in arguments if not argument.startswith("-o")]
    finished = in_process(arguments)
    assert "Traceback" not in finished.err
    assert finished.status in (0, 2)
