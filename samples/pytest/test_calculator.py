"""Tests a guest: its answers, its end, its exits, and a booted snapshot of it."""

import pytest

pytestmark = pytest.mark.armvcpu(guest="calculator.elf", machine="board.toml", timeout=10)


def test_a_run_to_its_end(armvcpu_run):
    run = armvcpu_run(input="sum 2 40\noff\n")
    assert run.ending.value == "powered off"
    assert "= 42" in run.console.splitlines()
    assert run.registers[0]["x0"] == 0x8400_0008, "the number of PSCI's SYSTEM_OFF"


def test_a_conversation(armvcpu_machine):
    machine = armvcpu_machine()
    machine.expect("ready\n> ")
    for first, second in ((1, 2), (10, 20)):
        machine.send(f"sum {first} {second}\n")
        answer = machine.expect(r"= (\d+)\n")
        assert int(answer[1]) == first + second
    machine.send("off\n")
    assert machine.run().status == 0


def test_the_exits_are_the_golden_ones(armvcpu_run, golden):
    run = armvcpu_run(input="sum 1 1\noff\n")
    assert run.exits == golden("sum.jsonl", only=["MmioWrite", "SystemDown"], by_symbol=True)


def test_a_crash_is_a_fault(armvcpu_run):
    run = armvcpu_run(input="crash\n")
    assert run.status == 122
    assert "data abort" in run.message


@pytest.mark.parametrize("number", [3, 5, 7])
def test_from_the_prompt_on(armvcpu_booted, number):
    machine = armvcpu_booted(until="ready\n> ")
    machine.send(f"sum {number} {number}\n")
    assert int(machine.expect(r"= (\d+)\n")[1]) == 2 * number


@pytest.mark.armvcpu(cpu="cortex-a72")
def test_on_another_cpu(armvcpu_machine):
    machine = armvcpu_machine()
    machine.expect("ready")
    assert machine.cpus[0].read("MIDR_EL1") == 0x410F_D083
