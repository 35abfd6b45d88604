"""Where a debugger connects: its notation, and unavailable places."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from arm_vcpu_cli.debug.endpoint import Endpoint, listen, parse, unlisten
from arm_vcpu_cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("1234", Endpoint("127.0.0.1", 1234)),
        (":1234", Endpoint("127.0.0.1", 1234)),
        ("tcp::1234", Endpoint("127.0.0.1", 1234)),
        ("0", Endpoint("127.0.0.1", 0)),
        ("0.0.0.0:65535", Endpoint("0.0.0.0", 65535)),
        ("localhost:99", Endpoint("localhost", 99)),
        ("[::1]:1234", Endpoint("::1", 1234)),
        ("unix:/tmp/a:b", Endpoint(path=Path("/tmp/a:b"))),
    ],
)
def test_places(text: str, place: Endpoint) -> None:
    assert parse(text) == place
    assert parse(str(place)) == place


@pytest.mark.parametrize("text", ["", "x", "65536", "-1", "1.5", "a:b:1", "unix:", "unix:a\0b", "[1234", "12345678901"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|is not an address"):
        parse(text)


def test_a_port_that_is_taken_is_refused() -> None:
    first, place = listen(parse("0"))
    assert place.port
    with pytest.raises(UsageError, match=f"--gdb 127.0.0.1:{place.port}: Address already in use"):
        listen(place)
    unlisten(first, place)


def test_hosts_that_are_not_there_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--gdb no\.such\.host\.invalid:1: "):
        listen(parse("no.such.host.invalid:1"))


def test_the_file_of_a_socket_is_ours_and_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "gdb.sock"
    made, place = listen(parse(f"unix:{path}"))
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="Address already in use"):
        listen(place)
    unlisten(made, place)
    assert not path.exists()


def test_the_file_of_a_socket_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "gdb.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    unlisten(*listen(parse(f"unix:{path}")))


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(UsageError, match="Address already in use"):
        listen(parse(f"unix:{path}"))
    assert path.read_text() == "mine"


@pytest.mark.parametrize("path", ["/nowhere/at/all.sock", "/tmp/" + "x" * 200])
def test_sockets_that_cannot_be_made_are_refused_in_a_line(path: str) -> None:
    with pytest.raises(UsageError, match="--gdb unix:") as caught:
        listen(parse(f"unix:{path}"))
    assert "\n" not in str(caught.value)
