"""Shell completion: its candidates, and that it never fails, whatever is on the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from arm_vcpu_cli.cli.complete import complete_classes, complete_devices, complete_symbols, complete_vcpus
from arm_vcpu_cli.cli.trace import command
from tests.integration.command import GUARD_SECONDS, SAMPLES, environment, sample

PARAMETER = click.Option(["--symbol"])


def context(**params: object) -> click.Context:
    made = click.Context(command)
    made.params.update(params)
    return made


def names(completed: list[click.shell_completion.CompletionItem]) -> list[str]:
    return [item.value for item in completed]


def test_classes_by_their_beginning_in_any_case_with_their_number() -> None:
    found = complete_classes(context(), PARAMETER, "hvc6")
    assert [(item.value, item.help) for item in found] == [("HVC64", "0x16")]
    assert len(complete_classes(context(), PARAMETER, "")) > 20
    assert complete_classes(context(), PARAMETER, "nonsense") == []


def test_devices_of_the_machine() -> None:
    assert set(names(complete_devices(context(), PARAMETER, ""))) >= {"uart0", "rtc", "gic"}
    assert names(complete_devices(context(), PARAMETER, "ua")) == ["uart0"]


def test_devices_of_the_machine_that_was_given(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('base = "virt"\n[device.console2]\ntype = "pl011"\nbase = 0x0A00_0000\nsize = "4KiB"\n')
    assert "console2" in names(complete_devices(context(machine=str(path)), PARAMETER, "con"))


def test_symbols_of_the_guest_once_it_stands_there() -> None:
    assert complete_symbols(context(), PARAMETER, "ma") == []
    assert names(complete_symbols(context(guest=str(sample("hello"))), PARAMETER, "ma")) == ["main"]
    found = names(complete_symbols(context(guest=str(sample("hello"))), PARAMETER, "uart_"))
    assert found == sorted(found)
    assert {"uart_init", "uart_puts"} <= set(found)


def test_symbols_of_the_symbol_file_go_first() -> None:
    found = complete_symbols(context(guest="missing", symbols=str(sample("hello"))), PARAMETER, "ma")
    assert names(found) == ["main"]


@pytest.mark.parametrize("text", [b"", b"\x7fELF", b"\x7fELF" + bytes(100), b"[device\n", bytes(range(192, 256))])
def test_what_cannot_be_read_completes_to_nothing(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "broken"
    path.write_bytes(text)
    for params in ({"guest": str(path)}, {"symbols": str(path)}, {"guest": str(sample("hello")), "machine": str(path)}):
        assert isinstance(complete_symbols(context(**params), PARAMETER, "x"), list)
    assert isinstance(complete_devices(context(machine=str(path)), PARAMETER, ""), list)
    for missing in (tmp_path, tmp_path / "missing"):
        assert complete_symbols(context(guest=str(missing)), PARAMETER, "") == []
        assert complete_devices(context(machine=str(missing)), PARAMETER, "") == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (f"armvcpu trace {sample('hello')} --symbol ma", "main"),
        ("armvcpu trace --device ua", "uart0"),
        ("armvcpu trace --ec HVC6", "HVC64"),
        (f"armvcpu trace -m {SAMPLES / 'exits' / 'exits.toml'} --device rt", "rtc"),
        ("armvcpu trace --only Mmio", "MmioRead"),
        ("armvcpu trace --format js", "jsonl"),
    ],
)
def test_a_shell_is_told(words: str, expected: str) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", "from arm_vcpu_cli.cli.main import main; main()"],
        env={
            **environment(),
            "_ARMVCPU_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
        capture_output=True,
        text=True,
        timeout=GUARD_SECONDS,
        check=False,
    )
    assert f"plain,{expected}" in asked.stdout.splitlines(), (asked.stdout, asked.stderr)
    assert asked.stderr == ""


def test_the_numbers_of_the_vcpus_there_are() -> None:
    assert names(complete_vcpus(context(), PARAMETER, "")) == ["0"]
    assert names(complete_vcpus(context(smp=3), PARAMETER, "")) == ["0", "1", "2"]
    assert names(complete_vcpus(context(smp=12), PARAMETER, "1")) == ["1", "10", "11"]


def test_the_vcpus_of_a_machine_file_are_counted(tmp_path: Path) -> None:
    machine = tmp_path / "machine.toml"
    machine.write_text("[cpu]\ncount = 2\n")
    assert names(complete_vcpus(context(machine=str(machine)), PARAMETER, "")) == ["0", "1"]
    assert complete_vcpus(context(machine="nowhere.toml"), PARAMETER, "") == []
