"""``armvcpu walk``."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest

from tests.integration.command import armvcpu, assert_refused, guest, sample, shell
from tests.support import means

PAGING = sample("paging")
USER = "0x1000000000"
UNMAPPED = "0x1000100000"


def walks(*arguments: object, status: int = 0) -> list[dict[str, Any]]:
    finished = armvcpu("walk", "--json", *arguments)
    assert (finished.status, finished.err) == (status, "")
    found = json.loads(finished.out)["walks"]
    assert isinstance(found, list)
    return found


def test_an_address_is_walked_through_both_stages() -> None:
    finished = armvcpu("walk", PAGING, "main")
    assert (finished.status, finished.err) == (0, "")
    first, blank, title, *lines = finished.out.decode().splitlines()
    assert re.match(
        r"the guest powered off; after \d+ exits, PC 0x00000000400\w+ <psci_system_off\+0x20> common/", first
    )
    assert blank == ""
    assert re.fullmatch(r"main \(0x400\w+\), read by EL1:", title)
    shape = [re.sub(r"0x[0-9a-f]+", "N", line.strip()) for line in lines]
    assert shape == [
        "stage 1, VA N: TTBR0_EL1 N, 4 KiB granule, 39-bit VAs",
        "level 1  IPA N (PA N): N  table -> N",
        "level 2  IPA N (PA N): N  table -> N",
        "level 3  IPA N (PA N): N  page -> N",
        "AP=2 (EL1 r) UXN=1 PXN=0 AF=1 SH=3 (inner) AttrIndx=1 (MAIR_EL1 N: Normal write-back) nG=0",
        "-> IPA N, 4 KiB page",
        "stage 2, IPA N: VTTBR_EL2 N, 4 KiB granule, 32-bit IPAs",
        "level 2  PA N: N  block -> N",
        "S2AP=3 (rw) XN=0 AF=1 SH=3 (inner) MemAttr=N (Normal write-back)",
        "-> PA N, 2 MiB block",
        "both stages: PA N, EL1 r-x, EL0 ---, Normal write-back, inner shareable",
    ]


def test_a_fault_is_named_by_stage_and_level() -> None:
    finished = armvcpu("walk", PAGING, UNMAPPED)
    assert finished.status == 1
    assert finished.out.decode().endswith(
        "0x0000000000000000  invalid: nothing is mapped\n"
        "    -> translation fault, level 3, of stage 1 (fault status 0x07)\n"
    )


@pytest.mark.parametrize(("options", "device"), [((), "device.uart0"), (("--ipa",), "device.uart0")])
def test_an_address_of_a_device_is_said_to_be_trapped_to_it(options: tuple[str, ...], device: str) -> None:
    finished = armvcpu("walk", *options, PAGING, "0x9000000")
    assert finished.status == 1
    assert finished.out.decode().endswith(f"0x0000000000000000  invalid: accesses trap\n    -> trapped to {device}\n")
    (walk,) = json.loads(armvcpu("walk", "--json", *options, PAGING, "0x9000000").out)["walks"]
    assert walk["trapped_to"] == device


@pytest.mark.parametrize(
    ("address", "device"),
    [
        ("0x8010000", "the CPU interface of a GICv2"),
        ("0x9020000", "fw_cfg"),
        ("0x3f000000", "the configuration space of PCIe"),
    ],
)
def test_a_device_that_only_the_board_of_qemu_has_is_named(address: str, device: str) -> None:
    finished = armvcpu("walk", "--ipa", PAGING, address)
    assert finished.out.decode().endswith(f"QEMU's virt board has {device} there; this machine does not\n")
    (walk,) = json.loads(armvcpu("walk", "--json", "--ipa", PAGING, address).out)["walks"]
    assert walk["absent"] == device


def test_an_address_that_no_board_has_is_called_nothing_more_than_unmapped() -> None:
    finished = armvcpu("walk", "--ipa", PAGING, "0x60000000")
    assert finished.out.decode().endswith("of stage 2 (fault status 0x06)\n")


def test_no_device_answers_a_fetch() -> None:
    finished = armvcpu("walk", "--ipa", "--access", "exec", PAGING, "0x9000000")
    assert finished.out.decode().endswith("-> translation fault, level 2, of stage 2 (fault status 0x06)\n")


@pytest.mark.parametrize(
    ("options", "address", "fault"),
    [
        ((), "main", None),
        (("--access", "exec"), "main", None),
        (("--access", "write"), "main", ("permission", 3, 1)),
        (("--el", "0"), "main", ("permission", 3, 1)),
        (("--el", "0", "--access", "write"), USER, None),
        (("--access", "exec"), USER, ("permission", 3, 1)),
        ((), UNMAPPED, ("translation", 3, 1)),
        ((), "0x800000000000", ("translation", 0, 1)),
        (("--ipa",), "0x40080000", None),
        (("--ipa",), "0x9000000", ("translation", 2, 2)),
        ((), "0x9000000", ("translation", 2, 2)),
    ],
)
def test_who_accesses_it_and_what_for_decides(
    options: tuple[str, ...], address: str, fault: tuple[str, int, int] | None
) -> None:
    (walk,) = walks(*options, PAGING, address, status=0 if fault is None else 1)
    if fault is None:
        assert "pa" in walk
        assert "fault" not in walk
    else:
        found = walk["fault"]
        assert (found["kind"], found["level"], found["stage"]) == fault
        assert "pa" not in walk


def test_the_object_has_every_descriptor() -> None:
    main, user = walks(PAGING, "main", USER)
    assert main["name"] == "main"
    assert [step["level"] for step in main["stage1"]["steps"]] == [1, 2, 3]
    assert [step["kind"] for step in main["stage1"]["steps"]] == ["table", "table", "page"]
    assert main["stage1"]["steps"][2]["fields"]["AP"] == "2 (EL1 r)"
    assert main["stage1"]["output"] == main["va"]
    assert (main["permissions"], main["memory"]) == ({"el0": "---", "el1": "r-x"}, "Normal write-back")
    assert user["permissions"] == {"el0": "rw-", "el1": "rw-"}
    assert user["stage1"]["output"] == user["stage2"]["input"] != user["va"]


def test_registers_are_those_at_the_end() -> None:
    pc, sp, register, table = walks(PAGING, "pc", "sp", "x29", "TTBR0_EL1")
    assert pc["permissions"]["el1"] == "r-x"
    assert sp["permissions"]["el1"] == "rw-"
    assert register["permissions"]["el1"] == "rw-"
    assert table["va"] == "0x40087000"


def test_with_the_mmu_off_the_ipa_is_the_va() -> None:
    finished = armvcpu("walk", sample("hello"), "main")
    assert "off (SCTLR_EL1.M = 0): the IPA is the VA" in finished.out.decode()
    (walk,) = walks(sample("hello"), "main")
    assert walk["mmu"] is False
    assert walk["stage1"]["steps"] == []
    # Data accesses are to Device memory then (D8.2.10), and that wins over what stage 2 says.
    assert walk["memory"] == "Device-nGnRnE"


def test_the_walk_is_of_the_moment_at_which_the_guest_was_stopped() -> None:
    finished = armvcpu("walk", "--json", "--max-exits", "1", PAGING, "main")
    stopped = json.loads(finished.out)["stopped"]
    assert (stopped["ending"], stopped["exits"]) == ("limit", 1)
    assert json.loads(finished.out)["walks"][0]["mmu"] is False


@pytest.mark.parametrize(
    ("place", "symbol", "el"),
    [("_start", "_start", 1), ("main+8", "main+0x8", 1), ("uart_putc", "uart_putc", 1), ("user_main+0x40", None, 0)],
)
def test_a_guest_can_be_stopped_before_any_instruction(place: str, symbol: str | None, el: int) -> None:
    finished = armvcpu("walk", "--json", "--at", place, PAGING, "pc", "--access", "exec")
    assert (finished.status, finished.err) == (0, "")
    answer = json.loads(finished.out)
    stopped = answer["stopped"]
    assert (stopped["ending"], stopped["message"], stopped["el"]) == ("limit", f"reached {place}", el)
    assert stopped["symbol"] in (symbol, "user_main+0x40")
    assert answer["walks"][0]["va"] == stopped["pc"]


def test_registers_are_those_before_the_instruction() -> None:
    # The second system call of the application prints the string at its start of page + 0xd0; x0 is its address.
    (before,) = walks("--at", "user_main+0x1c", PAGING, "x0", "--access", "read")
    (after,) = walks("--at", "user_main+0x20", PAGING, "x0", "--access", "read")
    assert int(before["va"], 16) % 4096 == 0
    assert int(after["va"], 16) == int(before["va"], 16) + 0xD0


def test_a_guest_can_be_stopped_at_an_address_the_nth_time_it_gets_there() -> None:
    seen = []
    for count in ("1", "2", "10"):
        finished = armvcpu("walk", "--json", "--at", "uart_putc", "--count", count, PAGING, "pc")
        seen.append(json.loads(finished.out)["stopped"])
    assert [each["message"] for each in seen] == [
        "reached uart_putc",
        "reached uart_putc for the 2nd time",
        "reached uart_putc for the 10th time",
    ]
    assert len({each["pc"] for each in seen}) == 1
    assert seen[0]["exits"] < seen[1]["exits"] < seen[2]["exits"]
    by_address = armvcpu("walk", "--json", "--at", seen[0]["pc"], "--count", "2", PAGING, "pc")
    assert json.loads(by_address.out)["stopped"]["exits"] == seen[1]["exits"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--at", "0x12345678"), r"--at 0x12345678: never reached: the guest powered off, after \d+ exits"),
        (
            ("--at", "uart_putc", "--count", "99999"),
            r"--at uart_putc: only \d\d of 99999 times reached: the guest powered off, after \d+ exits",
        ),
        (
            ("--at", "0x12345678", "--max-exits", "5"),
            r"--at 0x12345678: never reached: stopped after 5 exits at 0x\w+ <[^,]*",
        ),
        (("--at", "0x12345678", "--vcpu", "0"), r"--at 0x12345678: never reached by vCPU 0: the guest powered off, .*"),
    ],
)
def test_a_place_that_was_never_reached_is_said_and_nothing_is_shown(options: tuple[str, ...], message: str) -> None:
    finished = armvcpu("walk", *options, PAGING, "pc")
    assert (finished.status, finished.out) == (3, b"")
    assert re.fullmatch(f"armvcpu: {message}\n", finished.err)


def test_of_several_vcpus_the_first_one_there_stops_or_the_one_that_is_asked_for() -> None:
    def stopped(*options: str) -> dict[str, Any]:
        finished = armvcpu("walk", "--json", "--smp", "4", "--at", "secondary_main", *options, sample("smp"), "pc")
        assert finished.status == 0, finished.err
        found = json.loads(finished.out)["stopped"]
        assert isinstance(found, dict)
        return found

    first, third = stopped(), stopped("--vcpu", "3")
    assert (first["symbol"], third["symbol"]) == ("secondary_main", "secondary_main")
    assert first["vcpu"] != 3
    assert third["vcpu"] == 3
    never = armvcpu("walk", "--smp", "4", "--at", "secondary_main", "--vcpu", "0", sample("smp"), "pc")
    assert never.status == 3
    assert "never reached by vCPU 0" in never.err


def test_the_console_is_not_part_of_the_answer() -> None:
    quiet, loud = armvcpu("walk", PAGING, "main"), armvcpu("walk", "--console", PAGING, "main")
    assert quiet.out == loud.out
    assert quiet.err == ""
    assert loud.err.startswith("EL1: MMU on")


def test_the_map_has_regions_of_one_kind_each() -> None:
    finished = armvcpu("walk", "--map", PAGING)
    assert finished.status == 0
    text = finished.out.decode()
    assert re.search(
        r"^  0x0000000009000000-0x0000000009000fff +4K +4K each +EL1 rw-  EL0 ---  Device-nGnRE +"
        r"-> 0x0009000000  device\.uart0$",
        text,
        re.MULTILINE,
    )
    assert re.search(r"^  0x00000000402\w+-0x0000000043ffffff +62M +2M each ", text, re.MULTILINE)
    assert re.search(r"^stage 1, TTBR1_EL1 .*: disabled \(TCR_EL1\.EPD1 = 1\)$", text, re.MULTILINE)
    assert re.search(r"^stage 2, .*\n  0x0000000040000000-0x000000005fffffff +512M +rwx ", text, re.MULTILINE)


def test_the_map_of_a_table_that_points_to_itself_is_cut_and_says_where() -> None:
    """Half a terabyte of pages, no two of which can be told as one."""
    text = means.armvcpu("walk", "--map", guest("selfmap"), seconds=20)
    assert text.returncode == 0
    (told,) = re.findall(r"^  \.\.\. everything from (0x\w+) on is omitted: (.*)$", text.stdout, re.MULTILINE)
    assert told == ("0x0000000004000000", "only the first 16384 regions are shown")
    answer = json.loads(means.armvcpu("walk", "--json", "--map", guest("selfmap"), seconds=20).stdout)
    lower, _, stage2 = answer["map"]
    assert (lower["complete"], len(lower["regions"])) == (False, 16384)
    assert lower["left_out"] == {"from": "0x4000000", "reason": "only the first 16384 regions are shown"}
    assert stage2["complete"]
    assert "left_out" not in stage2


def test_the_map_as_an_object_agrees_with_walks() -> None:
    finished = armvcpu("walk", "--json", "--map", PAGING, "main", USER, "sp")
    answer = json.loads(finished.out)
    lower, upper, stage2 = answer["map"]
    assert lower["complete"]
    assert upper["regions"] == []
    for walk in answer["walks"]:
        va = int(walk["va"], 16)
        (region,) = [region for region in lower["regions"] if 0 <= va - int(region["start"], 16) < region["size"]]
        assert int(region["output"], 16) + va - int(region["start"], 16) == int(walk["stage1"]["output"], 16)
        assert {"el0": region["el0"], "el1": region["el1"]} == walk["permissions"]
    assert [region["behind"] for region in stage2["regions"]] == ["memory.ram"]


def test_a_guest_without_stage_1_has_a_map_of_stage_2() -> None:
    text = armvcpu("walk", "--map", sample("hello")).out.decode()
    assert "stage 1 is off (SCTLR_EL1.M = 0): the IPA is the VA\n" in text
    assert "memory.ram" in text


@pytest.mark.parametrize("text", ["nothing", "x31", "0xz", "main+main", "SCTLR_EL1"])
def test_what_is_no_address_is_refused_before_anything_runs(text: str) -> None:
    assert_refused(armvcpu("walk", PAGING, text), text, "expected an address")


def test_nothing_to_walk_is_refused() -> None:
    assert_refused(armvcpu("walk", PAGING), "nothing to walk")
    assert_refused(armvcpu("walk", PAGING, "--at", "nowhere", "main"), "--at nowhere: ", "a function of the guest")
    assert_refused(armvcpu("walk", PAGING, "--at", "uart_putz", "main"), "uart_putz", "did you mean", "uart_putc")
    assert_refused(armvcpu("walk", PAGING, "--at", "main+2", "main"), "main+2", "a multiple of 4")
    assert_refused(armvcpu("walk", PAGING, "--count", "2", "main"), "--count", "--at")
    assert_refused(armvcpu("walk", PAGING, "--at", "main", "--count", "0", "main"), "--count", "0")
    assert_refused(armvcpu("walk", "missing.elf", "main"), "missing.elf")


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    finished = shell('armvcpu walk --map "$1" | head -1', PAGING)
    assert "Traceback" not in finished.err
    assert finished.out.startswith(b"the guest powered off")


def test_a_guest_that_died_can_be_walked() -> None:
    (walk,) = walks(sample("crash"), "0xdead0000", "--access", "write", status=1)
    assert walk["fault"] == {
        "stage": 2,
        "level": 2,
        "kind": "translation",
        "text": "translation fault, level 2",
        "status": "0x6",
    }


def test_tables_that_map_nothing_say_so() -> None:
    finished = armvcpu("walk", "--map", guest("nothing_mapped"))
    assert "  nothing is mapped\n" in finished.out.decode()


def test_the_map_tells_where_the_guest_has_executed() -> None:
    text = armvcpu("walk", "--map", sample("compute")).out.decode()
    answer = json.loads(armvcpu("walk", "--json", "--map", sample("compute")).out)
    if os.environ.get("ARMVCPU_LEVERS") == "off":
        assert "executed" not in answer
        assert "executed" not in text
        return
    # Its code fits into one page, and stage 1 is off.
    assert answer["executed"] == [{"start": "0x40080000", "size": 4096}]
    assert text.endswith("\n  0x0000000040080000-0x0000000040080fff        4K\n")
    # What the machine permits is another matter.
    assert re.search(r"^stage 2, .*\n  0x0000000040000000-0x000000005fffffff +512M +rwx ", text, re.MULTILINE)


@pytest.mark.parametrize("address", ["40080000", "0000000040080000", "<main+0x10>", "main+0x10/0x40"])
def test_addresses_are_taken_as_kernels_print_them(address: str) -> None:
    finished = armvcpu("walk", sample("hello"), address)
    assert finished.status == 0
    (resolved,) = re.findall(r"\((0x[0-9a-f]+)\), read by EL1:", finished.out.decode())
    assert resolved == "0x40080000" if address.isdecimal() else resolved.endswith("0")
