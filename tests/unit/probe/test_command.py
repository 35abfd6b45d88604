"""The command on a made-up engine: what it opens, its status, and a failing engine."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from arm_vcpu_cli.cli import probe
from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.errors import EngineError
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
