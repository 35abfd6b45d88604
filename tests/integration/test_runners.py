"""``armvcpu exec``, and the tools that run their build results with it: CTest, Meson, prove, lit and Cargo."""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.command import (
    COMMAND,
    GUARD_SECONDS,
    GUESTS,
    Finished,
    armvcpu,
    assert_refused,
    environment,
    sample,
)
from tests.support.saying_guest import SAYS_ITS_COMMAND_LINE, End, saying
from tests.support.tools import require_program

RUNNER = (*COMMAND, "exec")
SEMIHOSTING = GUESTS / "semihosting" / "semihosting.elf"


def tool(*words: object, cwd: Path, **variables: str) -> Finished:
    finished = subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=GUARD_SECONDS,
        check=False,
        env={**environment(), **variables},
    )
    return Finished(finished.returncode, finished.stdout, finished.stderr.decode())


@pytest.fixture
def guests(tmp_path: Path) -> Path:
    folder = tmp_path / "guests"
    saying(folder / "good.elf", "all is well\n")
    saying(folder / "bad.elf", "all is bad\n", status=1)
    saying(folder / "skipped.elf", "", status=77)
    saying(folder / "broken.elf", "", status=99)
    saying(folder / "good_tap.elf", "1..2\nok 1 - a\nok 2 - b\n")
    saying(folder / "bad_tap.elf", "1..2\nok 1 - a\nnot ok 2 - b\n")
    return folder


# The command itself --------------------------------------------------------------------------------------------


def test_everything_behind_the_guest_is_its_arguments(tmp_path: Path) -> None:
    guest = saying(tmp_path / "g.elf", SAYS_ITS_COMMAND_LINE)
    finished = armvcpu("exec", "--timeout", 60, guest, "args", "--list", "-h", "--", "--smp", "2")
    assert (finished.status, finished.out, finished.err) == (0, b"g.elf args --list -h -- --smp 2", "")


@pytest.mark.parametrize("status", [1, 77, 99, 119])
def test_the_status_of_a_guest_is_that_of_the_command_with_one_line(status: int) -> None:
    finished = armvcpu("exec", SEMIHOSTING, "exit", status)
    assert (finished.status, finished.out) == (status, b"")
    assert finished.err == f"armvcpu: {SEMIHOSTING}: the guest exited with status {status}\n"


@pytest.mark.parametrize("guest", [sample("hello"), sample("tap")])
def test_of_a_guest_that_passes_there_is_its_console_only(guest: Path) -> None:
    finished = armvcpu("exec", guest)
    assert (finished.status, finished.err) == (0, "")
    assert finished.out


def test_a_guest_that_dies_has_one_line_and_no_report() -> None:
    finished = armvcpu("exec", sample("crash"))
    assert (finished.status, finished.err.count("\n")) == (122, 1)


def test_what_is_no_guest_is_refused(tmp_path: Path) -> None:
    assert_refused(armvcpu("exec", tmp_path / "none"), "none")
    assert_refused(armvcpu("exec"), "Missing argument 'GUEST'")


def test_input_reaches_the_guest() -> None:
    assert armvcpu("exec", sample("echo"), stdin=b"hello\nquit\n").out.endswith(b"HELLO\nQUIT\n2 lines\n")


def test_on_a_terminal_ctrl_c_ends_it(tmp_path: Path) -> None:
    guest = saying(tmp_path / "g.elf", "computing\n", end=End.COMPUTE)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*RUNNER, str(guest)], stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=environment()
    )
    os.close(slave)
    assert os.read(master, 100).startswith(b"computing")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=GUARD_SECONDS)
    os.close(master)
    assert (process.returncode, err.count(b"\n")) == (130, 1)
    assert err.startswith(f"armvcpu: {guest}: interrupted at 0x".encode())


# Tools ---------------------------------------------------------------------------------------------------------


def test_ctest_runs_its_tests_with_it(guests: Path, tmp_path: Path) -> None:
    require_program("cmake")
    names = ["good", "bad", "skipped", "regex", "arguments"]
    files = {"regex": "bad", "arguments": SEMIHOSTING}
    lines = ["cmake_minimum_required(VERSION 3.20)", "project(guests NONE)", "enable_testing()"]
    for name in names:
        file = files.get(name, name)
        path = file if isinstance(file, Path) else guests / f"{file}.elf"
        lines += [
            f"add_executable({name} IMPORTED)",
            f'set_target_properties({name} PROPERTIES IMPORTED_LOCATION "{path}")',
            f"add_test(NAME {name} COMMAND {name}{' exit 5' if name == 'arguments' else ''})",
        ]
    lines += [
        "set_tests_properties(skipped PROPERTIES SKIP_RETURN_CODE 77)",
        'set_tests_properties(regex PROPERTIES PASS_REGULAR_EXPRESSION "all is bad")',
    ]
    (tmp_path / "CMakeLists.txt").write_text("\n".join(lines))
    (tmp_path / "toolchain.cmake").write_text(
        "set(CMAKE_SYSTEM_NAME Generic)\nset(CMAKE_SYSTEM_PROCESSOR aarch64)\n"
        f"set(CMAKE_CROSSCOMPILING_EMULATOR {';'.join(RUNNER)})\n"
    )
    made = tool("cmake", "-B", "build", f"--toolchain={tmp_path}/toolchain.cmake", ".", cwd=tmp_path)
    assert made.status == 0, made
    ran = tool("ctest", "--test-dir", "build", "-V", cwd=tmp_path)
    text = ran.out.decode()
    assert ran.status == 8, text
    assert "60% tests passed, 2 tests failed out of 5" in text
    assert "(Skipped)" in text
    assert f"armvcpu: {SEMIHOSTING}: the guest exited with status 5" in text


FAKE_COMPILER = """#!/bin/sh
# What it links is a guest that is there already, so no compiler for guests is needed.
for word; do
    case $word in
    --version) echo "gcc (GCC) 12.2.0"; echo "Copyright (C) 2022 Free Software Foundation, Inc."; exit;;
    -dM) printf '#define %s\\n' '__GNUC__ 12' '__GNUC_MINOR__ 2' '__GNUC_PATCHLEVEL__ 0' '__aarch64__ 1'; exit;;
    -Wl,--version) echo "GNU ld (GNU Binutils) 2.40"; exit;;
    esac
done
while [ $# -gt 0 ]; do
    case $1 in -c) compiles=1;; -o) out=$2;; esac
    shift
done
[ "$compiles" ] && exec touch "$out"
cp "GUESTS/$(basename "$out").elf" "$out" && chmod +x "$out"
"""


def test_meson_runs_its_tests_with_it(guests: Path, tmp_path: Path) -> None:
    require_program("ninja")
    saying(guests / "arguments.elf", f"1..1\nok 1 - {SAYS_ITS_COMMAND_LINE}\n")
    compiler = tmp_path / "compiler"
    compiler.write_text(FAKE_COMPILER.replace("GUESTS", str(guests)))
    compiler.chmod(0o755)
    lines = ["project('guests', 'c')"]
    tap = ", protocol: 'tap', args: ['--list', 'a b']"
    for name in ("good", "bad", "skipped", "broken", "good_tap", "bad_tap", "arguments"):
        said = tap if name.endswith(("tap", "arguments")) else ""
        lines += [f"test('{name}', executable('{name}', 'empty.c'){said})"]
    (tmp_path / "meson.build").write_text("\n".join(lines))
    (tmp_path / "empty.c").write_text("")
    wrapper = ", ".join(f"'{word}'" for word in RUNNER)
    (tmp_path / "cross.txt").write_text(
        f"[binaries]\nc = '{compiler}'\nar = '{compiler}'\nexe_wrapper = [{wrapper}]\n"
        "[properties]\nneeds_exe_wrapper = true\nskip_sanity_check = true\n"
        "[host_machine]\nsystem = 'none'\ncpu_family = 'aarch64'\ncpu = 'cortex-a72'\nendian = 'little'\n"
    )
    meson = (sys.executable, "-m", "mesonbuild.mesonmain")
    made = tool(*meson, "setup", "--cross-file", "cross.txt", "build", cwd=tmp_path)
    assert made.status == 0, made
    ran = tool(*meson, "test", "-C", "build", "--verbose", cwd=tmp_path)
    text = ran.out.decode()
    found = dict(re.findall(r"^\s*\d/7 guests:(\w+)\s+(OK|FAIL|SKIP|ERROR)", text, re.MULTILINE))
    assert found == {
        "good": "OK",
        "bad": "FAIL",
        "skipped": "SKIP",
        "broken": "ERROR",
        "good_tap": "OK",
        "bad_tap": "FAIL",
        "arguments": "OK",
    }, text
    assert 'ok 1 - arguments --list "a b"' in (tmp_path / "build" / "meson-logs" / "testlog.txt").read_text()
    assert ran.status != 0


def test_prove_runs_its_tests_with_it(guests: Path, tmp_path: Path) -> None:
    require_program("prove")
    ran = tool("prove", "-e", shlex.join(RUNNER), guests / "good_tap.elf", sample("tap"), cwd=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert b"Files=2, Tests=6" in ran.out
    failed = tool("prove", "-e", shlex.join(RUNNER), guests / "bad_tap.elf", cwd=tmp_path)
    assert failed.status == 1
    assert b"Failed test:  2" in failed.out


def test_lit_runs_its_tests_with_it(guests: Path, tmp_path: Path) -> None:
    (tmp_path / "lit.cfg.py").write_text(
        "import os, lit.formats\n"
        "config.name = 'guests'\nconfig.suffixes = ['.test']\nconfig.test_format = lit.formats.ShTest()\n"
        f"config.substitutions.append(('%run', {shlex.join(RUNNER)!r}))\n"
        "config.environment['PYTHONPATH'] = os.environ['PYTHONPATH']\n"
    )
    (tmp_path / "good.test").write_text(f"RUN: %run {guests}/good.elf | grep 'all is well'\n")
    (tmp_path / "bad.test").write_text(f"RUN: %run {guests}/bad.elf | grep 'all is well'\n")
    lit = "import lit.main, sys; sys.argv[0] = 'lit'; lit.main.main()"
    ran = tool(sys.executable, "-c", lit, "-v", tmp_path, cwd=tmp_path)
    text = ran.out.decode()
    assert ran.status == 1, text
    assert "PASS: guests :: good.test" in text
    assert "FAIL: guests :: bad.test" in text


def test_cargo_runs_its_tests_with_it(tmp_path: Path) -> None:
    """Cargo for the host is enough to see how it calls a runner: a linker puts a guest where its program is to be."""
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not installed, and too large to be installed for one test")
    (tmp_path / "Cargo.toml").write_text(
        '[package]\nname = "guests"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n[lib]\npath = "lib.rs"\n'
        'test = false\ndoctest = false\n[[test]]\nname = "it"\npath = "it.rs"\nharness = false\n'
    )
    (tmp_path / "lib.rs").write_text("")
    (tmp_path / "it.rs").write_text("fn main() {}\n")
    linker = tmp_path / "linker"
    linker.write_text(
        '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\n'
        + f'cp {shlex.quote(str(SEMIHOSTING))} "$2"\nchmod +x "$2"\n'
    )
    linker.chmod(0o755)
    host = tool("rustc", "-vV", cwd=tmp_path).out.decode().partition("host: ")[2].split()[0]
    (tmp_path / ".cargo").mkdir()
    (tmp_path / ".cargo" / "config.toml").write_text(
        f"[target.{host}]\nlinker = '{linker}'\nrunner = {list(RUNNER)!r}\n".replace("'", '"')
    )
    passed = tool("cargo", "test", "--offline", "--quiet", "--", "exit", "0", cwd=tmp_path)
    assert passed.status == 0, passed
    failed = tool("cargo", "test", "--offline", "--quiet", "--", "exit", "5", cwd=tmp_path)
    assert failed.status != 0
    assert "(exit status: 5)" in failed.err
    assert "the guest exited with status 5" in failed.err
