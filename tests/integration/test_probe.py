"""``armvcpu probe`` with the real engine, as its user runs it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import arm_vcpu_cli
from arm_vcpu_cli.errors import EngineError
from tests.unit.guest.elf_writer import STB_LOCAL, STT_NOTYPE, ElfFile, Load, R, Symbol, W, X

BASE = 0x4008_0000
ROOT = Path(__file__).parents[2]
GUARD = 120
PROBE = [sys.executable, "-m", "arm_vcpu_cli", "probe"]


def probe(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROBE, *arguments], capture_output=True, text=True, timeout=GUARD, check=False)


def probe_json(*arguments: str) -> Any:
    result = probe("--json", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_all_models_are_described_from_the_engine() -> None:
    found = probe_json("--cpu", "all")
    assert found["supported"] is True
    assert found["engine"]["self_check"]["passed"] is True
    assert {
        cpu["model"]: (cpu["pa_bits"], cpu["vmid_bits"], cpu["vhe"], cpu["stage2"]["levels"]) for cpu in found["cpus"]
    } == {
        "cortex-a53": (40, 8, False, 3),
        "cortex-a57": (44, 8, False, 4),
        "cortex-a72": (44, 8, False, 4),
        "max": (44, 16, True, 4),
    }
    assert [cpu["midr"]["name"] for cpu in found["cpus"]][:3] == [
        "Arm Cortex-A53 r0p4",
        "Arm Cortex-A57 r1p0",
        "Arm Cortex-A72 r0p3",
    ]
    announced = {each["feature"]: each["name"] for each in found["cpus"][3]["features"]}
    assert (announced["SVE"], announced["LSE atomics"], announced["PAuth"]) == ("yes", "LSE", "yes")


def test_what_limits_say_is_hidden_is_hidden_on_the_engine_too() -> None:
    found = probe_json("--cpu", "all")
    for cpu in found["cpus"]:
        hidden = {f"{each['register']}.{each['field']}" for each in cpu["hidden"]}
        for limit in found["limits"]:
            assert set(limit["hidden_in"]) <= hidden


def test_the_default_is_the_cortex_a72_and_the_host_is_told() -> None:
    result = probe()
    assert (result.returncode, result.stderr) == (0, "")
    assert "Modelled CPU: cortex-a72" in result.stdout
    assert os.uname().machine in result.stdout
    assert "\x1b" not in result.stdout


def test_an_unknown_model_is_bad_usage() -> None:
    result = probe("--cpu", "cortex-m3")
    assert (result.returncode, result.stdout) == (2, "")
    assert "'cortex-m3' is not one of 'cortex-a53'" in result.stderr


POWER_OFF = (0xD2B08000, 0xF2800100, 0xD4000002)
"""mov x0, #0x84000000; movk x0, #8; hvc #0: SYSTEM_OFF."""
SKIP_DATA = 0x10000001
"""adr x1, .: an address to load from and store to."""


@pytest.mark.parametrize(
    ("word", "runs_on_a72", "runs_on_max"),
    [
        (0xD503201F, True, True),  # nop
        (0xD503233F, True, True),  # paciasp, a hint
        (0x9AC25C20, True, True),  # crc32cx w0, w1, x2
        (0xB8200022, False, True),  # ldadd w0, w2, [x1]
        (0xDAC10020, False, True),  # pacia x0, x1
        (0xD53B2400, False, True),  # mrs x0, RNDR
        (0x38BFC020, False, True),  # ldaprb w0, [x1]
        (0x9ADF1020, False, False),  # irg x0, x1
        (0xD53C1100, False, False),  # mrs x0, HCR_EL2
        (0xD53B9C00, False, False),  # mrs x0, PMCR_EL0
    ],
)
def test_the_verdict_on_a_guest_is_what_becomes_of_it(
    tmp_path: Path, word: int, runs_on_a72: bool, runs_on_max: bool
) -> None:
    guest = tmp_path / "guest.elf"
    code = struct.pack("<5I", SKIP_DATA, word, *POWER_OFF)
    symbols = [Symbol("$x", BASE, kind=STT_NOTYPE, binding=STB_LOCAL)]
    guest.write_bytes(ElfFile([Load(BASE, code, flags=R | W | X)], BASE, symbols=symbols).to_bytes())
    for model, runs in (("cortex-a72", runs_on_a72), ("max", runs_on_max)):
        verdict = probe("--for", str(guest), "--cpu", model)
        assert verdict.returncode == (0 if runs else 1), verdict.stdout
        machine = tmp_path / "machine.toml"
        machine.write_text(f'[cpu]\nmodel = "{model}"\n')
        command = [sys.executable, "-m", "arm_vcpu_cli", "run", "-m", str(machine), "--timeout", "20", str(guest)]
        run = subprocess.run(command, capture_output=True, timeout=GUARD, check=False)
        assert run.returncode == (0 if runs else 122), run.stderr


@pytest.mark.parametrize("name", ["hello", "exits", "paging", "permission"])
def test_the_samples_find_what_they_need_on_every_model(name: str) -> None:
    result = probe("--for", str(ROOT / "samples" / name / f"{name}.elf"), "--cpu", "all", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert [cpu["runs"] for cpu in found["cpus"]] == [True] * 4
    assert found["guest"]["code"]["certain"]


def test_a_guest_that_cannot_be_read_is_bad_usage() -> None:
    result = probe("--for", "/nonexistent")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "armvcpu: error: /nonexistent: cannot be read: No such file or directory\n"


def test_models_are_compared_on_the_engine() -> None:
    found = probe_json("--compare", "cortex-a57", "max")
    assert (found["a"], found["b"], found["only_a"]) == ("cortex-a57", "max", [])
    assert {"name": "FEAT_LSE", "since": "v8.1"} in found["only_b"]


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m arm_vcpu_cli probe --registers --cpu all | head -1"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=GUARD, check=False)
    assert result.stdout.startswith("cortex-a53: MIDR_EL1 0x410fd034")
    assert "Traceback" not in result.stderr


def test_the_shell_completes_models() -> None:
    words = {"COMP_WORDS": "armvcpu probe --cpu cort", "COMP_CWORD": "3", "_ARMVCPU_COMPLETE": "bash_complete"}
    command = [
        sys.executable,
        "-c",
        "import sys; from arm_vcpu_cli.__main__ import main; sys.argv[0] = 'armvcpu'; main()",
    ]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=GUARD, check=False, env=dict(os.environ, **words)
    )
    assert [line.split(",")[1] for line in result.stdout.splitlines()] == ["cortex-a53", "cortex-a57", "cortex-a72"]


def test_help_has_an_example() -> None:
    result = probe("--help")
    assert result.returncode == 0
    assert "armvcpu probe --cpu all" in result.stdout


def on_terminal(**environment: str) -> str:
    """The output of ``armvcpu probe`` on a terminal of its own."""
    variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
    main, worker = pty.openpty()
    process = subprocess.Popen(PROBE, stdin=worker, stdout=worker, stderr=worker, env=variables | environment)
    os.close(worker)
    output = b""
    # The end of a terminal whose other side is gone is an error on Linux.
    with contextlib.suppress(OSError):
        while block := os.read(main, 4096):
            output += block
    os.close(main)
    assert process.wait(GUARD) == 0
    return output.decode()


def test_a_terminal_gets_frames_and_colours() -> None:
    output = on_terminal(TERM="xterm", PYTHONUTF8="1")
    assert "\x1b[36m" in output
    assert "╭" in output


def test_no_color_takes_every_escape_sequence_away() -> None:
    output = on_terminal(TERM="xterm", PYTHONUTF8="1", NO_COLOR="1")
    assert "\x1b" not in output
    assert "Modelled CPU: cortex-a72" in output


@pytest.mark.parametrize("command", ["run", "trace", "dtb"])
def test_rich_is_loaded_by_no_command_that_runs_a_guest(command: str) -> None:
    code = f"import arm_vcpu_cli.cli.main, arm_vcpu_cli.cli.{command}, sys; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=GUARD, check=False).returncode == 0


def test_has_hardware_support_asks_the_modelled_cpu() -> None:
    assert arm_vcpu_cli.has_hardware_support() is True
    assert arm_vcpu_cli.has_hardware_support("max") is True
    with pytest.raises(EngineError, match="cortex-m3"):
        arm_vcpu_cli.has_hardware_support("cortex-m3")
