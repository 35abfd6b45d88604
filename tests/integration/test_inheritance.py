"""The resources dropped by the process that runs a guest, observed from outside while it waits for input."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.command import COMMAND, GUARD_SECONDS, environment, guest

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
pytestmark = linux
IN_PLACE = "import sys; from arm_vcpu_cli.__main__ import main; main(sys.argv[1:])"


@contextmanager
def waiting(
    *arguments: object,
    command: tuple[str, ...] = COMMAND,
    pass_fds: tuple[int, ...] = (),
    variables: Mapping[str, str] | None = None,
) -> Iterator[Path]:
    """/proc/PID of a run that waits for input."""
    process = subprocess.Popen(
        [*command, "run", *map(str, arguments), str(guest("keys"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=pass_fds,
        env={**environment(), **(variables or {})},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield Path(f"/proc/{process.pid}")
        process.communicate(b"q", timeout=GUARD_SECONDS)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def descriptors_at(process: Path, target: Path) -> list[int]:
    """The numbers under which a process holds a file."""
    return [int(link.name) for link in (process / "fd").iterdir() if os.path.realpath(link) == str(target)]


@pytest.fixture
def inherited(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A file, and our descriptor of it, for the command to inherit."""
    path = tmp_path.resolve() / "secret"
    path.touch()
    descriptor = os.open(path, os.O_RDWR)
    yield path, descriptor
    os.close(descriptor)


def core_limit(process: Path) -> str:
    limits = (process / "limits").read_text().splitlines()
    return next(line for line in limits if line.startswith("Max core file size")).split()[4]


@pytest.fixture
def cores_allowed() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    if before[1] != resource.RLIM_INFINITY and before[1] < 2:
        pytest.skip("the host allows no core dumps")
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


def test_an_inherited_descriptor_is_closed(inherited: tuple[Path, int]) -> None:
    path, descriptor = inherited
    with waiting(pass_fds=(descriptor,)) as process:
        assert descriptors_at(process, path) == []
        assert {0, 1, 2} <= {int(link.name) for link in (process / "fd").iterdir()}


@pytest.mark.parametrize("form", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_a_descriptor_that_an_argument_names_stays(form: str, inherited: tuple[Path, int]) -> None:
    path, descriptor = inherited
    path.write_text(f"0000000000400000 T {path.name}\n")
    with waiting("--symbols", form.format(descriptor), pass_fds=(descriptor,)) as process:
        assert descriptors_at(process, path) == [descriptor]


def test_a_process_that_calls_the_command_as_a_function_keeps_what_it_has(
    inherited: tuple[Path, int], cores_allowed: None
) -> None:
    path, descriptor = inherited
    with waiting(command=(sys.executable, "-c", IN_PLACE), pass_fds=(descriptor,)) as process:
        assert descriptors_at(process, path) == [descriptor]
        assert core_limit(process) != "1"
        assert "NoNewPrivs:\t0\n" in (process / "status").read_text()


def test_a_run_leaves_no_core_dump(cores_allowed: None) -> None:
    with waiting() as process:
        assert core_limit(process) == "1"


def test_core_dumps_are_kept_for_who_asks_for_them(cores_allowed: None) -> None:
    with waiting(variables={"ARMVCPU_CORE_DUMPS": "on"}) as process:
        assert core_limit(process) != "1"


@pytest.mark.parametrize("options", [(), ("--seed", "1")], ids=["plain", "parsed"])
def test_a_run_can_gain_no_privileges(options: tuple[str, ...]) -> None:
    with waiting(*options) as process:
        assert "NoNewPrivs:\t1\n" in (process / "status").read_text()


def test_a_run_with_more_descriptors_than_select_takes_ends_and_can_be_stopped(tmp_path: Path) -> None:
    """As a function, which closes none of them."""
    code = f"""
import os, resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
for _ in range(1500):
    os.open(os.devnull, os.O_RDONLY)
{IN_PLACE}
"""
    finished = subprocess.run(
        [sys.executable, "-c", code, "run", "--timeout", "0.2", str(guest("spin"))],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=GUARD_SECONDS,
        check=False,
        env=environment(),
    )
    assert (finished.returncode, finished.stdout) == (124, b"spinning\n")
    assert finished.stderr.startswith(b"armvcpu: stopped after 0.2 s")
    assert finished.stderr.count(b"\n") == 1


def test_a_trace_through_an_inherited_descriptor_is_written(inherited: tuple[Path, int]) -> None:
    path, descriptor = inherited
    finished = subprocess.run(
        [*COMMAND, "trace", "-o", f"/dev/fd/{descriptor}", str(guest("keys"))],
        input=b"q",
        capture_output=True,
        timeout=GUARD_SECONDS,
        check=True,
        pass_fds=(descriptor,),
        env=environment(),
    )
    assert finished.stderr == b""
    assert "ended: the guest powered off" in path.read_text()
