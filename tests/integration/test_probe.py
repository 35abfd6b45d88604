"""``armvcpu probe`` with the real engine, as its user runs it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

import arm_vcpu_cli
from arm_vcpu_cli.errors import EngineError

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
