"""Copies of a machine in other processes."""

from __future__ import annotations

import os
import signal
from typing import Final

import pytest

from arm_vcpu_cli import ChildError, Ending, Machine
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.host.console import Console
from tests.integration.command import sample

ECHO: Final = sample("echo")


def at_prompt() -> Machine:
    machine = Machine.open(ECHO)
    machine.expect("ends")
    return machine


def test_a_child_goes_on_from_where_the_machine_stands() -> None:
    with at_prompt() as machine:
        with machine.fork() as child:
            result = child.run(input=b"hello\nquit\n")
            assert result.ending is Ending.POWERED_OFF
            assert b"HELLO" in result.console
            assert b"ends" not in result.console
        machine.send(b"hello\nquit\n")
        here = machine.run()
        assert here.console.endswith(result.console)
        assert (here.exits, here.registers) == (result.exits, result.registers)


def test_many_children_run_at_the_same_time() -> None:
    with at_prompt() as machine:
        children = [machine.fork() for _ in range(12)]
        for number, child in enumerate(children):
            child.start(input=f"child{number}\nquit\n")
        for number, child in enumerate(children):
            assert f"CHILD{number}\r\n".encode() in child.result().console.replace(b"\n", b"\r\n")
            child.close()
        pids = {child.pid for child in children}
        assert len(pids) == 12
        for pid in pids:
            with pytest.raises(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        assert b"CHILD" not in machine.console


def test_a_conversation_with_a_child() -> None:
    with at_prompt() as machine, machine.fork() as child:
        child.send("one\n")
        assert child.expect(r"^O\w+$") == "ONE"
        child.send("two\n")
        assert child.expect("TWO") == "TWO"
        with pytest.raises(ChildError, match="the console does not show 'three'"):
            child.expect("three", timeout=0.01)


def test_each_child_has_the_state_that_the_machine_had() -> None:
    with at_prompt() as machine, machine.fork() as first:
        first.send("one\n")
        first.expect("ONE")
        machine.send("two\nthree\n")
        machine.expect("THREE")
        with machine.fork() as second:
            assert b"3 lines" in second.run(input="quit\n").console
        assert b"2 lines" in first.run(input="quit\n").console


def test_a_child_that_is_killed_is_reported() -> None:
    with at_prompt() as machine:
        with machine.fork() as child:
            os.kill(child.pid, signal.SIGTERM)
            with pytest.raises(ChildError, match=r"the child process \d+ has ended by signal SIGTERM"):
                child.run()
        with machine.fork() as child:
            child.start()
            os.kill(child.pid, signal.SIGKILL)
            with pytest.raises(ChildError, match="SIGKILL"):
                child.result()


def test_an_error_in_a_child_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with at_prompt() as machine:
        monkeypatch.setattr(machine, "run", lambda **_options: 1 // 0)
        with machine.fork() as child:
            with pytest.raises(ChildError, match="ZeroDivisionError: "):
                child.run()
            child.send("one\n")
            assert child.expect("ONE")


def test_a_child_that_is_left_alone_is_ended() -> None:
    with at_prompt() as machine:
        child = machine.fork()
        pid = child.pid
        child.start(timeout=60)
        del child
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def test_usage() -> None:
    with at_prompt() as machine, machine.fork() as child:
        with pytest.raises(UsageError, match="has not been started"):
            child.result()
        child.start(input="quit\n")
        with pytest.raises(UsageError, match="get its result first"):
            child.send("x")
        child.result()
        child.close()
        with pytest.raises(ChildError, match="has been closed"):
            child.run()
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        with Machine.open(ECHO, console=Console(null, None)) as machine, pytest.raises(UsageError, match="own console"):
            machine.fork()
    finally:
        os.close(null)
