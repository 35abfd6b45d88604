"""``armvcpu explain`` as a user runs it."""

from __future__ import annotations

import json

import pytest

from .command import armvcpu, shell


def test_a_value_is_explained_without_colour_in_a_pipe() -> None:
    finished = armvcpu("explain", "ESR_EL1=0x96000045", "SPSR_EL1=0x60000005")
    assert (finished.status, finished.err) == (0, "")
    text = finished.out.decode()
    assert "\x1b" not in text
    assert "found no translation at level 1 of stage 1. The virtual address is in FAR_EL1.\n" in text
    assert "Flags: nZCv.\n" in text


def test_json_can_be_read_by_others() -> None:
    finished = armvcpu("explain", "--json", "ICC_SGI1R_EL1=0x5000003")
    assert finished.status == 0
    assert json.loads(finished.out)[0]["facts"] == ["SGI 5 to PE 0.0.0.0, 0.0.0.1."]


def test_a_bad_name_or_value_is_one_line_on_stderr_and_status_2() -> None:
    for word in ("HRC_EL2=1", "HCR_EL2=1x", "HCR_EL2=0x10000000000000000", "7"):
        finished = armvcpu("explain", word)
        assert (finished.status, finished.out) == (2, b"")
        assert finished.err.startswith("armvcpu: error: ")
        assert finished.err.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    finished = shell("armvcpu explain --list | head -n 1")
    assert (finished.out, finished.err) == (b"Identification\n", "")


@pytest.mark.parametrize(
    ("arguments", "heading"),
    [
        (("ESR=96000045",), b"ESR_EL1 = 0x96000045  "),
        (("ESR = 0x0000000096000045",), b"ESR_EL1 = 0x96000045  "),
        (("ESR_EL1", "=", "96000045"), b"ESR_EL1 = 0x96000045  "),
        (("esr_el1", "0x96000045"), b"ESR_EL1 = 0x96000045  "),
        (("pstate: 60400005 (nZCv daif +PAN -UAO)",), b"PSTATE = 0x60400005  "),
        (("pstate:", "60400005", "(nZCv daif +PAN -UAO)"), b"PSTATE = 0x60400005  "),
        (("esr_el1            0x96000045          2516582469",), b"ESR_EL1 = 0x96000045  "),
        (("esr_el1", "0x96000045", "2516582469"), b"ESR_EL1 = 0x96000045  "),
        (("HCR=0x80000000",), b"HCR_EL2 = 0x80000000  "),
        (("CPUECTLR_EL1=0x40",), b"CPUECTLR_EL1 = 0x40  CPU Extended Control Register (Cortex-A53, A57, A72)\n"),
    ],
)
def test_registers_are_understood_as_kernels_and_debuggers_print_them(
    arguments: tuple[str, ...], heading: bytes
) -> None:
    finished = armvcpu("explain", *arguments)
    assert (finished.status, finished.err) == (0, "")
    assert finished.out.startswith(heading)


def test_an_instruction_behind_a_register_is_not_its_value() -> None:
    finished = armvcpu("explain", "--json", "VTCR_EL2", "0xd53800a1")
    assert [each["register"] for each in json.loads(finished.out)] == ["VTCR_EL2", "MPIDR_EL1"]


@pytest.mark.parametrize("arguments", [("=5",), ("=",), ("",), ("ESR_EL1=",), ("ESR_EL1", "5", "6")])
def test_what_is_no_register_and_no_value_is_one_line(arguments: tuple[str, ...]) -> None:
    finished = armvcpu("explain", *arguments)
    assert (finished.status, finished.out, finished.err.count("\n")) == (2, b"", 1)
    assert "there is no register  " not in finished.err
