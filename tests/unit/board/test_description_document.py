"""A machine equals the one described by its document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from arm_vcpu_cli.board.description_document import description_of, document_of, without_files
from arm_vcpu_cli.board.loading import load_machine, machine_from_document
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.record import replace

REPOSITORY: Final = Path(__file__).resolve().parents[3]
DOCUMENTS: Final[list[dict[str, Any]]] = [
    {},
    {"cpu": {"clusters": [2, 3], "model": "max", "features": {"FEAT_SVE": False}}},
    {"cpu": {"count": 3, "phys_cpus": 2, "phys_cpu_sets": [1, 2, 3]}, "schedule": {"seed": 7, "quantum_ns": 5000}},
    {"cpu": {"mpidr": [0x100, 0x0, 0x10000]}, "clock": {"source": "host", "seed": 1 << 63}},
    {
        "device": {
            "gic": {"type": "gicv2"},
            "own": {"type": "ram", "base": 0x0A00_0000, "size": 64, "passthrough": False},
        }
    },
    {"memory": {"rom": {"base": 0, "size": 0x1000, "permissions": "rx", "on_fault": "stop"}}, "limits": {"idle": 1.5}},
    {"boot": {"bootargs": 'a "b" \u00e9', "arguments": ["x", "y z"], "kernel_type": "raw", "entry": 0x4008_0000}},
    {"smc": {"conduit": "smc", "function": {"odd-name": {"id": 0xC200_0000, "returns": [-1, 2]}}}},
    {
        "el2": {"trap_wfi": False, "hcr": ["TVM", "TID1"], "cptr": ["TFP"], "mdcr": ["TDA"]},
        "semihosting": {"enabled": False},
    },
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_it_is_the_same_again(document: dict[str, Any]) -> None:
    described = machine_from_document(document)
    written = json.loads(json.dumps(document_of(described)))
    assert description_of(written, described.name) == without_files(described)


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("samples/*/*.toml")), ids=lambda path: path.name)
def test_samples_are_the_same_again(path: Path) -> None:
    described = replace(load_machine(path), faults=())
    assert description_of(document_of(described), described.name) == without_files(described)


def test_files_and_limits_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    document: dict[str, Any] = {
        "boot": {"initrd": str(file), "dtb_file": str(file)},
        "load": {"more": {"file": str(file), "address": 0x4100_0000}},
        "limits": {"timeout": 3, "max_exits": 4},
    }
    written = document_of(machine_from_document(document, tmp_path / "machine.toml"))
    assert str(file) not in json.dumps(written)
    assert written["limits"] == {"idle": 3600.0}


def test_what_no_document_gives_is_refused() -> None:
    described = machine_from_document({})
    odd = replace(described, cpu=replace(described.cpu, affinities=(5, 5), phys_cpu_sets=(None, None)))
    with pytest.raises(UsageError, match="no document describes it"):
        document_of(odd)
