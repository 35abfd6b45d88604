"""The drivers of ``tests/fuzz``, with few cases and fixed seeds; run longer ones by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.fuzz import endurance, files, guests
from tests.fuzz.children import run


@pytest.mark.parametrize("kind", files.KINDS)
def test_mutated_files(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert files.main(["--kind", kind, "--count", "15", "--seed", "1"]) == 0, capsys.readouterr().out


def test_random_guests(capsys: pytest.CaptureFixture[str]) -> None:
    assert guests.main(["--count", "20", "--seed", "1"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("part", endurance.PARTS)
def test_endurance(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert endurance.main(["--only", part, "--rounds", "120"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("driver", "arguments"),
    [(files.main, ("--kind", "elf", "--count", "4")), (guests.main, ("--count", "2"))],
    ids=["files", "guests"],
)
def test_a_driver_tells_what_goes_wrong(
    driver: Callable[[Sequence[str]], int],
    arguments: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("arm_vcpu_cli.cli.session.run_loaded", lambda *_, **__: 1 / 0)
    assert driver(arguments) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_a_child_is_limited() -> None:
    assert run(["explain", "ESR_EL2=0x93258005"]).end == 0
    refused = run(["run", "no such file"])
    assert (refused.end, refused.complaint) == (2, "")
    assert "no such file" in refused.err
