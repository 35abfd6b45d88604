"""The output file of a trace."""

from __future__ import annotations

import contextlib
import gzip
import os
import signal
import stat
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest
import zstandard

from arm_vcpu_cli.errors import OUTPUT_FAILED, ArmVcpuError, FileError, OutputCancelledError, UsageError
from arm_vcpu_cli.trace import compression
from arm_vcpu_cli.trace.destination import partial_path
from arm_vcpu_cli.trace.output_stream import open_output
from arm_vcpu_cli.trace.patience import PatientWriter

LINE = '{"type":"exit","seq":%d,"reason":"MmioWrite"}\n'


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "trace.jsonl"
    target.write_text("the one before")
    with open_output(target) as stream:
        stream.write("new\n")
        assert target.read_text() == "the one before"
        assert (tmp_path / "trace.jsonl.partial").read_text() == "new\n"
    assert target.read_text() == "new\n"
    assert names(tmp_path) == {"trace.jsonl"}


def test_an_error_leaves_what_was_written_and_the_file_before(tmp_path: Path) -> None:
    target = tmp_path / "trace.jsonl"
    target.write_text("the one before")
    with pytest.raises(ZeroDivisionError), open_output(target) as stream:
        stream.write("new\n")
        raise ZeroDivisionError
    assert target.read_text() == "the one before"
    assert partial_path(target).read_text() == "new\n"


def test_an_error_before_anything_was_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_output(tmp_path / "trace.jsonl"):
        raise ZeroDivisionError
    assert names(tmp_path) == set()


def test_a_partial_file_of_a_killed_run_is_written_anew(tmp_path: Path) -> None:
    target = tmp_path / "trace.jsonl"
    partial_path(target).write_text("of a run that was killed, and longer\n")
    with open_output(target) as stream:
        stream.write("new\n")
    assert target.read_text() == "new\n"


KILLED = """
import sys
from arm_vcpu_cli.trace.output_stream import open_output
from arm_vcpu_cli.trace.patience import PatientWriter
with open_output(sys.argv[1]) as stream:
    for number in range(int(sys.argv[2])):
        stream.write('{"type":"exit","seq":%d,"reason":"MmioWrite"}\\n' % number)
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(("suffix", "least"), [("", 20_000), (".gz", 17_000), (".zst", 17_000)])
def test_a_killed_run_leaves_its_lines(tmp_path: Path, suffix: str, least: int) -> None:
    target = tmp_path / f"trace.jsonl{suffix}"
    run = [sys.executable, "-c", KILLED, str(target), "20000"]
    with subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert names(tmp_path) == {f"trace.jsonl{suffix}.partial"}
    data = partial_path(target).read_bytes()
    if suffix == ".gz":
        data = zlib.decompressobj(wbits=31).decompress(data)
    elif suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    lines = data.decode().splitlines(keepends=True)
    complete = [line for line in lines if line.endswith("\n")]
    assert len(complete) >= least
    assert complete == [LINE % number for number in range(len(complete))]
    if not suffix:
        assert len(lines) == 20_000


def test_each_record_is_in_the_file_when_it_was_written(tmp_path: Path) -> None:
    with open_output(tmp_path / "trace", binary=True) as stream:
        for count in range(1, 100):
            stream.write(b"0123456789")
            assert partial_path(tmp_path / "trace").stat().st_size == 10 * count


@pytest.mark.parametrize("binary", [False, True])
def test_suffixes_compress(tmp_path: Path, binary: bool) -> None:
    data = {}
    for name in ("t", "t.gz", "t.zst"):
        if binary:
            with open_output(tmp_path / name, binary=True) as bytes_:
                bytes_.write(b"\x00\xff" * 5000)
        else:
            with open_output(tmp_path / name) as text:
                text.write("\N{SNOWMAN}\n" * 5000)
        data[name] = (tmp_path / name).read_bytes()
    assert gzip.decompress(data["t.gz"]) == data["t"]
    with zstandard.ZstdDecompressor().stream_reader(data["t.zst"]) as unpacked:
        assert unpacked.read() == data["t"]
    assert len(data["t.gz"]) < len(data["t"]) / 10
    assert len(data["t.zst"]) < len(data["t"]) / 10


def test_two_compressed_traces_that_are_the_same_are_the_same_file(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        with open_output(tmp_path / name) as stream:
            stream.write("same\n")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert (tmp_path / "a.gz").read_bytes()[4:8] == bytes(4)


def test_without_the_package_zst_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "zstandard", None)
    with pytest.raises(UsageError, match="zstandard"), open_output(tmp_path / "t.zst"):
        pass
    assert names(tmp_path) == set()


def test_what_is_no_character_does_not_end_the_run(tmp_path: Path) -> None:
    with open_output(tmp_path / "t") as stream:
        stream.write("\ud800\n")
    assert (tmp_path / "t").read_bytes() == b"\\ud800\n"


# What has no name to take ---------------------------------------------------------------------------------------


def test_a_fifo_is_written_directly(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    with open_output(fifo) as stream:
        stream.write("through the pipe\n")
    reader.join(10)
    assert read == ["through the pipe\n"]
    assert names(tmp_path) == {"fifo"}


def test_the_null_device_takes_everything() -> None:
    with open_output("/dev/null") as stream:
        stream.write("gone\n")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_keeps_its_position(tmp_path: Path, name: str) -> None:
    run = (
        "import os\n"
        "from arm_vcpu_cli.trace.output_stream import open_output\n"
        "os.write(1, b'console\\n')\n"
        f"with open_output({name!r}) as stream: stream.write('trace\\n')\n"
        "os.write(1, b'more\\n')\n"
    )
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", run], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "console\ntrace\nmore\n"
    assert names(tmp_path) == {"out"}


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real"
    (tmp_path / "link").symlink_to(target)
    with open_output(tmp_path / "link") as stream:
        stream.write("x\n")
    assert (tmp_path / "link").is_symlink()
    assert target.read_text() == "x\n"


def test_permissions_stay(tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.write_text("before")
    target.chmod(0o640)
    with open_output(target) as stream:
        stream.write("x\n")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    with open_output(tmp_path / "t") as stream:
        stream.write("first\n")
        with pytest.raises(FileError, match="another run"), open_output(tmp_path / "t"):
            pass
        stream.write("still the first\n")
    assert (tmp_path / "t").read_text() == "first\nstill the first\n"


# Errors ----------------------------------------------------------------------------------------------------------


def test_dash_is_refused() -> None:
    with pytest.raises(UsageError, match="console"), open_output("-"):
        pass


@pytest.mark.parametrize(
    ("name", "message"), [("missing/t", "No such file"), (".", "Is a directory"), ("file/t", "Not a directory")]
)
def test_what_cannot_be_opened_is_told(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=message), open_output(tmp_path / name):
        pass


@pytest.mark.parametrize("size", [1, 200_000])
def test_a_full_device_is_told_and_is_no_bad_command_line(size: int) -> None:
    with (
        pytest.raises(ArmVcpuError, match="/dev/full: cannot be written: No space left") as told,
        open_output("/dev/full") as s,
    ):
        s.write("x" * size)
    assert told.value.exit_status == OUTPUT_FAILED


def test_a_full_device_is_told_even_if_the_writer_hides_it() -> None:
    with pytest.raises(ArmVcpuError, match="No space left"), open_output("/dev/full") as stream:
        for _ in range(3):
            with contextlib.suppress(ArmVcpuError):
                stream.write("x\n")


def test_a_file_that_grows_too_large_leaves_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.write_text("before")
    run = (
        "import resource,signal,sys\n"
        "from arm_vcpu_cli.errors import ArmVcpuError\n"
        "from arm_vcpu_cli.trace.output_stream import open_output\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    with open_output(sys.argv[1]) as stream:\n"
        "        for _ in range(1000): stream.write('0123456789abcde\\n')\n"
        "except ArmVcpuError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", run, str(target)], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert "t.partial" in done.stdout
    assert target.read_text() == "before"
    assert partial_path(target).read_text() == "0123456789abcde\n" * 256


def test_a_closed_pipe_is_told(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(ArmVcpuError, match="Broken pipe"), open_output(fifo) as stream:
        os.close(reader)
        stream.write("x\n")


# Readers that do not read ----------------------------------------------------------------------------------------


def filled_pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    return reader, writer


def test_a_run_that_was_stopped_waits_for_a_reader_who_reads() -> None:
    reader, writer = filled_pipe()
    data = bytes(range(256)) * 1024
    read = bytearray()

    def cancelled() -> bool:
        read.extend(os.read(reader, 1 << 20))
        return True

    assert PatientWriter(writer, cancelled).write(data) == len(data)
    os.close(writer)
    while rest := os.read(reader, 1 << 20):
        read.extend(rest)
    os.close(reader)
    assert bytes(read).lstrip(b"x").endswith(data)


def test_a_run_that_was_stopped_waits_for_nobody_else() -> None:
    reader, writer = filled_pipe()
    with (
        pytest.raises(OutputCancelledError, match=f"/dev/fd/{writer}: it has no reader"),
        open_output(f"/dev/fd/{writer}", cancelled=lambda: True) as stream,
    ):
        stream.write("x\n")
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_a_fifo_that_nobody_opens_is_waited_for_until_the_run_is_stopped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    looks = iter((False, False, True))
    with (
        pytest.raises(OutputCancelledError, match="it has no reader"),
        open_output(tmp_path / "fifo", cancelled=lambda: next(looks)),
    ):
        pass
    assert next(looks, None) is None


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_has_the_name_of_the_partial_file_is_left_alone(tmp_path: Path, kind: str) -> None:
    partial, other = partial_path(tmp_path / "t"), tmp_path / "other"
    other.write_text("other")
    if kind == "link":
        partial.symlink_to(other)
    elif kind == "fifo":
        os.mkfifo(partial)
    else:
        partial.mkdir()
    with pytest.raises(FileError), open_output(tmp_path / "t"):
        pass
    assert other.read_text() == "other"
    assert not (tmp_path / "t").exists()
