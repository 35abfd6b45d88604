"""The pytest plugin, in separate pytest runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from arm_vcpu_cli.pytest_plugin import booting, exit_log, goldens, machines, reports  # noqa: F401
from tests.integration.command import GUARD_SECONDS, SAMPLES, environment, sample
from tests.manual.examples import MANUAL

pytest_plugins = ["pytester"]

IS_INSTALLED = any(point.name == "armvcpu" for point in entry_points(group="pytest11"))
LOADED = () if IS_INSTALLED else ("-p", machines.__name__.rpartition(".")[0])
"""Options that load the plugin where its entry point does not."""
PLAIN = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-W", "ignore::pytest.PytestAssertRewriteWarning")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with the guests ``echo.elf``, ``hello.elf`` and ``crash.elf`` in it."""
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\naddopts = --strict-markers --strict-config\n")
    for name in ("echo", "hello", "crash"):
        (pytester.path / f"{name}.elf").symlink_to(sample(name))
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    """pytest with the plugin, in this process: its modules are loaded only once."""
    return project.runpytest_inprocess(*LOADED, *PLAIN, *options)


def run_apart(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    """pytest with the plugin, in a process of its own."""
    return project.runpytest_subprocess(*LOADED, *PLAIN, *options, timeout=GUARD_SECONDS)


def lines(result: pytest.RunResult) -> str:
    """All that pytest has printed."""
    return "\n".join([*result.outlines, *result.errlines])


def test_what_a_run_gives_to_a_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from arm_vcpu_cli import Ending

        def test_hello(armvcpu_run):
            run = armvcpu_run("hello.elf")
            assert (run.ending, run.status, run.message) == (Ending.POWERED_OFF, 0, "the guest powered off")
            assert run.console.startswith("Hello from EL1!\\nCurrentEL 0x4")
            assert run.console_bytes.startswith(b"Hello from EL1!\\n")
            assert len(run.exits) == run.machine.machine.parts.exits
            assert run.exits[0]["reason"] in ("MmioWrite", "MmioRead", "SysRegRead")
            assert run.exits[-1]["action"] == "off"
            assert [event["conduit"] for event in run.exits.only("SystemDown")] == ["hvc"]
            assert run.exits.counts["SystemDown"] == 1
            assert run.exits == run.exits[:] and run.exits != run.exits[1:]
            assert run.registers[0]["x0"] == 0x8400_0008
            assert run.memory(0x4008_0000, 4) == run.machine.read_memory(0x4008_0000, 4) != bytes(4)
            assert run.machine.run().message == "the guest powered off"

        def test_echo(armvcpu_run):
            assert "LINE" in armvcpu_run("echo.elf", input="line\\nquit\\n").console

        def test_a_limit(armvcpu_run):
            run = armvcpu_run("echo.elf", timeout=0.5)
            assert (run.ending, run.status) == (Ending.LIMIT, 124)
            assert run.message.startswith("stopped after 0.5 s of guest time")

        def test_what_is_kept(armvcpu_run):
            run = armvcpu_run("hello.elf", events=["console"])
            assert {event["type"] for event in run.exits} == {"console"}
            assert not armvcpu_run("hello.elf", events=[]).exits
        """
    )
    run(project).assert_outcomes(passed=4)


def test_a_conversation_and_markers(project: pytest.Pytester) -> None:
    project.makefile(".toml", board='[cpu]\nmodel = "cortex-a53"\n[memory.ram]\nsize = "64MiB"\n')
    project.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.armvcpu(guest="echo.elf", machine="board.toml", timeout=5)

        @pytest.mark.armvcpu(cpus=2)
        def test_both_markers_count(armvcpu_machine):
            machine = armvcpu_machine()
            assert len(machine.cpus) == 2
            assert machine.settings.timeout == 5
            machine.start()
            assert machine.cpus[0].read("MIDR_EL1") == 0x410F_D034

        def test_the_call_is_first(armvcpu_machine):
            machine = armvcpu_machine(machine={"memory": {"ram": {"size": "32MiB"}}}, memory_size="128MiB")
            assert machine.read_memory(0x4000_0000 + (128 << 20) - 1, 1) == b"\\0"

        def test_it_talks(armvcpu_machine):
            machine = armvcpu_machine()
            machine.expect("ends")
            machine.send("abc\\n")
            assert machine.expect("^(A)(.*)$")[2] == "BC"
            machine.send(b"quit\\n")
            assert machine.expect(r"(\\d+) lines")[1] == "2"
            assert machine.run().status == 0
            assert machine.console.splitlines()[-1] == "2 lines"
        """
    )
    run(project).assert_outcomes(passed=3)


def test_files_are_found_from_the_test_file_and_the_ini_file(project: pytest.Pytester) -> None:
    project.makefile(".toml", board='[cpu]\nmodel = "cortex-a53"\n')
    folder = project.mkdir("deeper")
    (folder / "hello.elf").symlink_to(sample("hello"))
    project.makeini("[pytest]\narmvcpu_machine = board.toml\narmvcpu_timeout = 7\narmvcpu_host_timeout = 8\n")
    (folder / "test_it.py").write_text(
        "def test_it(armvcpu_machine):\n"
        "    machine = armvcpu_machine('hello.elf')\n"
        "    machine.start()\n"
        "    assert machine.cpus[0].read('MIDR_EL1') == 0x410F_D034\n"
        "    assert (machine.settings.timeout, machine.settings.host_timeout) == (3, 8)\n"
    )
    run(project, "--armvcpu-timeout=3").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("time_out=4", "unknown option time_out: did you mean timeout?"),
        ("'board.toml'", "expected keywords such as machine=FILE, found 'board.toml'"),
        ("timeout='soon'", "timeout: expected seconds, found 'soon'"),
        ("timeout=-1", "timeout: expected seconds, found -1"),
        ("machine=3", "machine: expected the path of a file, found 3"),
        ("memory_size='lots'", "memory_size: expected a size such as 4096, 64KiB, 512MiB or 4G, found 'lots'"),
        ("events=['exits']", "events: expected some of exit, entry, "),
        ("input=3", "input: expected bytes, found 3"),
    ],
)
def test_a_marker_that_is_wrong_is_one_line(project: pytest.Pytester, marker: str, message: str) -> None:
    project.makepyfile(f"import pytest\n@pytest.mark.armvcpu({marker})\ndef test_it(armvcpu_run):\n    armvcpu_run()\n")
    result = run(project, "--no-header")
    result.assert_outcomes(errors=1)
    told = [line for line in result.outlines if "@pytest.mark.armvcpu" in line and line.startswith("test_")]
    assert len(told) == 1
    assert f"@pytest.mark.armvcpu: {message}" in told[0]
    assert "Traceback" not in lines(result)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("armvcpu_run()", "UsageError: expected a guest: in the call, or @pytest.mark.armvcpu(guest=...)"),
        ("armvcpu_run('none.elf')", "none.elf: cannot be read: No such file or directory"),
        ("armvcpu_run('hello.elf', cpus='4')", "cpu.count: expected"),
        (
            "armvcpu_run('hello.elf', time_out=4)",
            "UsageError: the call: unknown option time_out: did you mean timeout?",
        ),
        ("armvcpu_run('hello.elf').memory(0, 4)", "MemoryMapError: IPA 0x0 size 0x4 is not in the memory"),
    ],
)
def test_a_call_that_is_wrong_is_told_at_its_line(project: pytest.Pytester, call: str, message: str) -> None:
    project.makepyfile(f"def test_it(armvcpu_run):\n    {call}\n")
    result = run(project, "--no-header")
    result.assert_outcomes(failed=1)
    assert any(line.startswith("E  ") and message in line for line in result.outlines), lines(result)
    assert "pytest_plugin/" not in lines(result)


FAILING = """
    def test_it(armvcpu_run):
        run = armvcpu_run("crash.elf")
        assert run.status == 0

    def test_text(armvcpu_machine):
        machine = armvcpu_machine("echo.elf", input="one\\ntwo\\n")
        machine.expect("three", timeout=1)
"""


def test_a_failure_shows_what_the_guest_did(project: pytest.Pytester) -> None:
    project.makepyfile(FAILING)
    result = run(project)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "E * assert 122 == 0",
            "*- guest crash.elf -*",
            "the guest is stuck after a data abort on a write to 0xdead0000 *exits to EL2)",
            "what happened:",
            "backtrace:",
            "last exits (the latest last):",
            "what this usually means:",
            "console:",
            "  Storing to 0xdead0000",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "E * the console does not show 'three': stopped after 1 s of guest time at 0x*",
            "E * all that was printed since the last match:",
            "E *  | TWO",
            "*- guest echo.elf -*",
            "last exits (the latest last):",
            "console:",
            "  TWO",
        ]
    )
    assert "pytest_plugin/" not in lines(result)


@pytest.mark.parametrize(
    ("options", "shown", "hidden"),
    [
        (("-q",), ["guest crash.elf", "Storing to"], ["what happened:", "SCTLR_EL1"]),
        (("-v",), ["guest crash.elf", "what happened:", "SCTLR_EL1"], []),
        (("-v", "--armvcpu-report=short"), ["what happened:"], ["SCTLR_EL1"]),
        (("--armvcpu-report=none",), [], ["guest crash.elf"]),
        (("--show-capture=no",), [], ["guest crash.elf"]),
        (("--tb=no",), [], ["guest crash.elf"]),
    ],
)
def test_how_much_is_shown(
    project: pytest.Pytester, options: tuple[str, ...], shown: list[str], hidden: list[str]
) -> None:
    project.makepyfile(FAILING)
    printed = lines(run(project, "-k", "test_it", *options))
    assert [text for text in shown if text not in printed] == []
    assert [text for text in hidden if text in printed] == []


def test_machines_are_closed_whatever_happens(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import os, threading

        machines = []

        def test_fails(armvcpu_machine, armvcpu_run):
            machines.extend(armvcpu_machine(f"{name}.elf") for name in ("echo", "hello"))
            machines.append(armvcpu_run("hello.elf").machine)
            machines[0].expect("Type")
            raise ValueError

        def test_closed_by_itself(armvcpu_machine):
            machine = armvcpu_machine("hello.elf")
            machine.run()
            machine.machine.close()
            machine.close()
            assert machine.console.startswith("Hello")
            raise ValueError

        def test_nothing_is_left():
            assert [machine.is_open for machine in machines] == [False] * 3
            assert threading.active_count() == 1
            assert len(os.listdir("/proc/self/fd")) < 20
        """
    )
    result = run_apart(project)
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(["*- guest echo.elf (1 of 3) -*", "*- guest hello.elf (2 of 3) -*", "it has not run"])
    result.stdout.fnmatch_lines(["*ValueError", "*- guest hello.elf -*", "(it was closed *", "  Hello from EL1!"])


GOLDEN = """
    def test_golden(armvcpu_run, golden):
        assert armvcpu_run("hello.elf").exits == golden("hello.jsonl")

    def test_selected(armvcpu_run, armvcpu_golden):
        assert armvcpu_run("hello.elf").exits == armvcpu_golden("calls.jsonl.gz", only=["SystemDown"])
"""


def test_goldens_are_written_on_request_and_compared(project: pytest.Pytester) -> None:
    project.makepyfile(GOLDEN)
    folder = project.path / "goldens"
    result = run(project)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["E * goldens/hello.jsonl: this golden does not exist yet: pytest --update-goldens writes it"]
    )
    assert not folder.exists()
    result = run(project, "--update-goldens")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["golden written: goldens/calls.jsonl.gz", "golden written: goldens/hello.jsonl"])
    run(project).assert_outcomes(passed=2)

    golden = folder / "hello.jsonl"
    text = golden.read_text()
    # Versions, times and numbers are not compared, and a golden that is right is not written again.
    other = re.sub(r'"(time_ns|seq)":\\d+', r'"\\1":7', text.replace('"tool":"armvcpu', '"tool":"another'))
    golden.write_text(other)
    run(project, "--update-goldens").assert_outcomes(passed=2)
    assert golden.read_text() == other != text


def test_where_exits_and_their_golden_part(project: pytest.Pytester) -> None:
    project.makepyfile(GOLDEN)
    run(project, "--update-goldens").assert_outcomes(passed=2)
    golden = project.path / "goldens" / "hello.jsonl"
    kept = golden.read_text()
    before = kept.splitlines(keepends=True)
    golden.write_text(
        "".join([*before[:10], before[10].replace('"data":"0x', '"data":"0xa'), *before[11:20], *before[21:]])
    )
    result = run(project, "-k", "test_golden", "-q")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E  * first difference: line 11, exit 10, *",
            "E  * only in goldens/hello.jsonl, * only in */hello.jsonl",
            "E  * the full comparison: armvcpu diff goldens/hello.jsonl */hello.jsonl; to accept it: pytest "
            "--update-goldens",
            "*- exits and goldens/hello.jsonl -*",
            "--- goldens/hello.jsonl  (hello.elf on virt, *",
            "[?] data 0xa* -> 0x*",
        ]
    )
    compared = re.search(r"armvcpu (diff \S+ \S+); to accept", lines(result))
    assert compared is not None
    argv = [sys.executable, "-m", "arm_vcpu_cli", *compared[1].split()]
    diff = subprocess.run(argv, cwd=project.path, capture_output=True, text=True, env=environment(), check=False)
    assert (diff.returncode, "first difference: line 11" in diff.stdout) == (1, True)
    run(project, "--update-goldens").assert_outcomes(passed=2)
    assert golden.read_text() == kept


def test_no_more_events_are_kept_than_memory_can_hold(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exit_log, "MOST_EVENTS", 100)
    monkeypatch.setattr(machines, "MOST_EVENTS", 100)
    project.makepyfile(
        """
        def test_it(armvcpu_run, golden):
            run = armvcpu_run("hello.elf")
            assert run.status == 0 and len(run.exits) == 100 and run.exits.is_full
            assert run.exits == golden("hello.jsonl")
        """
    )
    result = run(project, "--update-goldens")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E  *only the first 100 events are kept: choose fewer with events=[[]...[]]"])


@pytest.mark.parametrize("text", ["", "garbage\\n", '{"type":"trace","schema":"armvcpu-trace","version":99}\\n'])
def test_a_golden_that_is_none(project: pytest.Pytester, text: str) -> None:
    project.makepyfile(GOLDEN)
    (project.mkdir("goldens") / "hello.jsonl").write_text(text)
    result = run(project, "-k", "test_golden")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E  * goldens/hello.jsonl: *"])
    assert "Traceback" not in lines(result)
    run(project, "-k", "test_golden", "--update-goldens").assert_outcomes(passed=1)


def test_a_golden_elsewhere(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_in_another_folder(armvcpu_run, golden, monkeypatch, tmp_path):
            there = golden("hello.jsonl")
            monkeypatch.chdir(tmp_path)
            assert armvcpu_run("hello.elf").exits == there

        def test_a_folder(armvcpu_run, golden, tmp_path):
            assert armvcpu_run("hello.elf").exits == golden(tmp_path)

        def test_no_list(golden):
            golden("hello.jsonl", only="exit")

        def test_no_exits(armvcpu_run, golden):
            assert armvcpu_run("hello.elf").console == golden("hello.jsonl")
        """
    )
    run(project, "--update-goldens").assert_outcomes(passed=1, failed=3)
    result = run(project)
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(["E  * /*: cannot be read: Is a directory"])
    result.stdout.fnmatch_lines(["E  *UsageError: golden: only: expected a list of names, found 'exit'"])
    result.stdout.fnmatch_lines(["E  *golden('goldens/hello.jsonl') is compared with exits (run.exits), not with str"])
    assert "goldens.py" not in lines(result)


def test_workers(project: pytest.Pytester) -> None:
    project.makepyfile(GOLDEN + FAILING)
    result = run_apart(project, "-n", "2", "--update-goldens")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["*- guest crash.elf -*", "  Storing to 0xdead0000"])
    result.stdout.fnmatch_lines(["golden written: goldens/calls.jsonl.gz", "golden written: goldens/hello.jsonl"])


BOOTED = """
    import pytest

    pytestmark = pytest.mark.armvcpu(guest="echo.elf", until="ends.\\n")

    @pytest.mark.parametrize("word", ["one", "two", "three", "four"])
    def test_it(armvcpu_booted, word):
        machine = armvcpu_booted()
        assert machine.console == "" and not machine.exits
        machine.send(f"{word}\\nquit\\n")
        assert machine.run().console == f"{word}\\nquit\\n2 lines\\n".upper().replace("LINES", "lines")
        assert machine.exits[-1]["reason"] == "SystemDown"

    def test_two_at_a_time(armvcpu_booted):
        first, second = armvcpu_booted(), armvcpu_booted()
        first.send("first\\n")
        assert second.run(timeout=0.1).console == ""
        assert first.expect("F.*T").group() == "FIRST"
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_guest_boots_once_in_a_session(project: pytest.Pytester, options: tuple[str, ...]) -> None:
    project.makepyfile(BOOTED)
    run_apart(project, *options).assert_outcomes(passed=5)
    assert len([*project.path.glob("runpytest-0/armvcpu-booted/*.snap")]) == 1


def test_a_guest_that_does_not_boot(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_first(armvcpu_booted):
            armvcpu_booted("hello.elf", until="login: ")

        def test_second(armvcpu_booted):
            armvcpu_booted("hello.elf", until="login: ")

        def test_no_text(armvcpu_booted):
            armvcpu_booted("hello.elf")
        """
    )
    result = run(project)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "E  *ExpectationError: the console does not show 'login: ': the guest powered off",
            "*- guest hello.elf -*",
            "  Hello from EL1!",
            "E  * the guest has failed to boot in an earlier test: the console does not show 'login: ': the guest *",
            "E  *UsageError: armvcpu_booted: expected until=REGEX, what the guest prints once it is booted",
        ]
    )


def test_the_example_of_the_manual(project: pytest.Pytester) -> None:
    for path in (SAMPLES / "pytest").glob("*.[et]*[lf]"):
        shutil.copy(path, project.path)
    text = (MANUAL / "testing.md").read_text(encoding="utf-8").partition("\n## Guests in pytest\n")[2]
    (project.path / "test_example.py").write_text(text.partition("```text\n")[2].partition("```")[0])
    run(project, "--update-goldens").assert_outcomes(passed=4)
    run(project).assert_outcomes(passed=4)


def test_the_marker_is_told(project: pytest.Pytester) -> None:
    project.makepyfile("")
    run(project, "--markers").stdout.fnmatch_lines(["@pytest.mark.armvcpu(guest=..., machine=..., *"])


def test_a_project_that_does_not_use_it_loads_nothing_of_it(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import sys

        def test_nothing_is_loaded():
            assert False

        def test_it():
            ours = [name for name in sys.modules if name.startswith("arm_vcpu_cli")]
            assert ours == ["arm_vcpu_cli", "arm_vcpu_cli.pytest_plugin"]
            assert "unicorn" not in sys.modules
        """
    )
    run_apart(project).assert_outcomes(passed=1, failed=1)


def test_another_plugin_with_the_same_names(project: pytest.Pytester) -> None:
    """pytest-golden has a fixture ``golden`` and an option ``--update-goldens``: both are its own then."""
    (project.mkpydir("pytest_golden") / "plugin.py").write_text(
        "import pytest\n"
        "def pytest_addoption(parser):\n"
        "    parser.getgroup('golden').addoption('--update-goldens', action='store_true')\n"
        "@pytest.fixture\n"
        "def golden():\n"
        "    return 'theirs'\n"
    )
    project.makepyfile(
        GOLDEN.replace("golden)", "armvcpu_golden)")
        .replace("golden(", "armvcpu_golden(")
        .replace("armvcpu_armvcpu", "armvcpu")
        + "\n    def test_theirs(golden):\n        assert golden == 'theirs'\n"
    )
    run_apart(project, "-p", "pytest_golden.plugin", "--update-goldens").assert_outcomes(passed=3)


def test_the_example_project(project: pytest.Pytester) -> None:
    folder = project.path / "example"
    shutil.copytree(SAMPLES / "pytest", folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    result = run_apart(project, str(folder))
    result.assert_outcomes(passed=8)
