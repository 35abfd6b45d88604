"""The command on a made-up engine: what it opens, its status, and a failing engine."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from arm_vcpu_cli.cli import probe
from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.errors import EngineError, GuestFileError, MachineFileError, UsageError
from arm_vcpu_cli.probe.host_facts import HostFacts
from tests.support.fake_core import FakeCore

from .models import MODELS, Frames, fake_model


class MadeUpHost(Frames):
    """Stands for the host of a virtual machine; ``opened`` lists the models, ``layouts`` what was handed on."""

    opened: list[str]
    layouts: list[StateLayout | None]
    closed: int

    def __init__(self, model: str, *, layout: StateLayout | None = None) -> None:
        super().__init__(self.core_of(model))
        type(self).opened.append(model)
        type(self).layouts.append(layout)

    def core_of(self, model: str) -> FakeCore:
        return fake_model(model)

    def __enter__(self) -> MadeUpHost:
        return self

    def __exit__(self, *_: object) -> None:
        type(self).closed += 1


class HostWithoutEl2(MadeUpHost):
    """Its cortex-a53 has no EL2."""

    def core_of(self, model: str) -> FakeCore:
        return fake_model(model, ID_AA64PFR0_EL1=0x0022) if model == "cortex-a53" else fake_model(model)


class BrokenHost(MadeUpHost):
    """An engine that fails its self-check."""

    def core_of(self, model: str) -> FakeCore:
        raise EngineError("Unicorn 9.9 is not usable: PSTATE was not found")


def run(monkeypatch: pytest.MonkeyPatch, host: type[MadeUpHost], *arguments: str) -> Result:
    host.opened, host.layouts, host.closed = [], [], 0
    monkeypatch.setattr(probe, "Host", host)
    return CliRunner().invoke(probe.command, arguments, standalone_mode=False)


@pytest.mark.parametrize(("arguments", "status"), [((), 0), (("--cpu", "cortex-a53"), 1), (("--cpu", "all"), 1)])
def test_the_status_is_1_if_a_cpu_shown_has_no_virtualisation(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], status: int
) -> None:
    result = run(monkeypatch, HostWithoutEl2, *arguments)
    assert result.exception is None
    assert result.return_value == status
    result = run(monkeypatch, HostWithoutEl2, "--json", *arguments)
    assert (json.loads(result.stdout)["supported"], result.return_value) == (not status, status)


def test_all_opens_each_model_once_discovers_the_layout_once_and_closes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, MadeUpHost, "--cpu", "all")
    assert result.return_value == 0
    assert MadeUpHost.opened == list(MODELS)
    assert MadeUpHost.layouts[0] is None
    assert None not in MadeUpHost.layouts[1:]
    assert MadeUpHost.closed == len(MODELS)


def test_an_unusable_engine_is_part_of_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, BrokenHost)
    assert result.exception is None
    assert result.return_value == 1
    assert "FAILED: Unicorn 9.9 is not usable: PSTATE was not found" in " ".join(result.stdout.split())
    assert result.stdout.startswith("Host\n")
    found = json.loads(run(monkeypatch, BrokenHost, "--json").stdout)
    assert (found["cpus"], found["supported"]) == ([], False)


@pytest.mark.parametrize("cpu", [*MODELS, "all"])
def test_text_in_a_pipe_fits_80_columns_and_has_no_colour(monkeypatch: pytest.MonkeyPatch, cpu: str) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "300")
    lines = run(monkeypatch, MadeUpHost, "--cpu", cpu).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines == [line.rstrip() for line in lines]
    assert all(line.isprintable() and line.isascii() for line in lines)


ARM_HOST = HostFacts(
    "Linux",
    "aarch64",
    "Arm Cortex-A72 r0p3",
    is_arm=True,
    virtualisation=True,
    reason="KVM is usable",
    id_registers={"MIDR_EL1": 0x410FD083, "ID_AA64ISAR0_EL1": 2 << 20},
)
OTHER_HOST = HostFacts("Linux", "x86_64", "EPYC", is_arm=False, virtualisation=False, reason="no EL2")
LDADD, NOP, B = 0xB8200022, 0xD503201F, 0x14000000


@pytest.fixture
def guest(tmp_path: Path) -> str:
    path = tmp_path / "guest.bin"
    path.write_bytes(struct.pack("<20I", *[LDADD] * 18, NOP, B))
    return str(path)


@pytest.mark.parametrize(("host", "status"), [(ARM_HOST, 0), (OTHER_HOST, 1)])
def test_the_host_alone_decides_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, host: HostFacts, status: int
) -> None:
    monkeypatch.setattr(probe, "gather_host", lambda: host)
    result = run(monkeypatch, HostWithoutEl2, "--host")
    assert (result.return_value, HostWithoutEl2.opened) == (status, [])
    assert result.stdout.startswith("Host\n")
    assert "Modelled" not in result.stdout
    found = json.loads(run(monkeypatch, MadeUpHost, "--host", "--json").stdout)
    assert (found["supported"], found["host"]["architecture"]) == (not status, host.architecture)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--compare", "max", "max", "--cpu", "max"),
        ("--compare", "max", "max", "--host"),
        ("--for", "x", "--registers"),
        ("--host", "--cpu", "max"),
        ("--memory", "1G"),
        ("--machine", "x.toml", "--registers"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    result = run(monkeypatch, MadeUpHost, *arguments)
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_status == 2
    assert result.stdout == ""


def test_two_models_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, MadeUpHost, "--compare", "cortex-a53", "cortex-a72")
    assert (result.exception, result.return_value) == (None, 0)
    assert "ID_AA64MMFR0_EL1.PARange  2 (40 bits)  4 (44 bits)" in result.stdout
    found = json.loads(run(monkeypatch, MadeUpHost, "--compare", "max", "cortex-a72", "--json").stdout)
    assert (found["a"], found["b"], found["only_b"]) == ("max", "cortex-a72", [])


def test_a_model_is_compared_with_the_host_if_that_shows_its_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "gather_host", lambda: ARM_HOST)
    result = run(monkeypatch, MadeUpHost, "--compare", "host", "cortex-a72")
    assert "FEAT_LSE" in result.stdout
    monkeypatch.setattr(probe, "gather_host", lambda: OTHER_HOST)
    for arguments in (("--compare", "cortex-a72", "host"), ("--registers", "--host")):
        result = run(monkeypatch, MadeUpHost, *arguments)
        assert isinstance(result.exception, UsageError)
        assert str(result.exception) == "the host shows no ID registers (Linux on x86_64)"


def test_registers_are_shown_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, MadeUpHost, "--registers", "--cpu", "all")
    assert (result.exception, result.return_value) == (None, 0)
    assert "cortex-a53: MIDR_EL1 0x410fd034" in result.stdout
    assert "  PARange [3:0]" in result.stdout
    found = json.loads(run(monkeypatch, MadeUpHost, "--registers", "--json").stdout)
    assert [each["name"] for each in found["subjects"]] == ["cortex-a72"]


def test_a_guest_is_held_against_the_model_and_the_others_are_asked_if_it_cannot_run(
    monkeypatch: pytest.MonkeyPatch, guest: str
) -> None:
    result = run(monkeypatch, MadeUpHost, "--for", guest)
    assert (result.exception, result.return_value) == (None, 1)
    assert MadeUpHost.opened == ["cortex-a72", "cortex-a53", "cortex-a57", "max"]
    text = " ".join(result.stdout.split())
    assert 'cannot run; a machine with cpu.model = "max" provides it' in text
    assert "it uses FEAT_LSE (ldadd at 0x40080000; at least 18 words look so)" in text
    assert run(monkeypatch, MadeUpHost, "--for", guest, "--cpu", "max").return_value == 0
    assert MadeUpHost.opened == ["max"]


def test_the_machine_of_a_guest_decides_the_model_and_its_features(
    monkeypatch: pytest.MonkeyPatch, guest: str, tmp_path: Path
) -> None:
    machine = tmp_path / "machine.toml"
    machine.write_text('[cpu]\nmodel = "max"\nfeatures = { FEAT_LSE = false }\n')
    result = run(monkeypatch, MadeUpHost, "--for", guest, "-m", str(machine), "--json")
    (found,) = json.loads(result.stdout)["cpus"]
    assert (result.return_value, found["model"], found["runs"]) == (0, "max", True)
    assert [each["weight"] for each in found["findings"]] == ["note"]
    machine.write_text("[cpu]\nfeatures = { FEAT_LSE = true }\n")
    result = run(monkeypatch, MadeUpHost, "--for", guest, "-m", str(machine))
    assert isinstance(result.exception, MachineFileError)
    assert result.exception.key == "cpu.features"
    result = run(monkeypatch, MadeUpHost, "--for", str(tmp_path / "nothing"))
    assert isinstance(result.exception, GuestFileError)


def test_an_unusable_engine_is_an_error_where_there_is_nothing_else_to_report(
    monkeypatch: pytest.MonkeyPatch, guest: str
) -> None:
    for arguments in (("--for", guest), ("--registers",), ("--compare", "max", "max")):
        assert isinstance(run(monkeypatch, BrokenHost, *arguments).exception, EngineError)


@pytest.mark.parametrize("arguments", [("--compare", "cortex-a72", "max"), ("--registers",), ("--host",)])
def test_every_report_fits_80_columns_in_a_pipe(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    lines = run(monkeypatch, MadeUpHost, *arguments).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.isprintable() for line in lines)
