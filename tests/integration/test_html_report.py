"""``armvcpu report``: the page of a trace in a browser."""

from __future__ import annotations

import gzip
import html
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from arm_vcpu_cli.errors import OUTPUT_FAILED
from tests.integration.command import SAMPLES, Finished, armvcpu
from tests.support.browser import Loaded, load, with_actions

HEADER = {
    "type": "trace",
    "schema": "armvcpu-trace",
    "version": 1,
    "tool": "armvcpu 0.1.0",
    "guest": "guest.elf",
    "machine": "virt",
    "cpu": "cortex-a72",
    "clock": "instructions",
    "timing": False,
    "vcpus": 1,
    "devices": [],
}
HOSTILE = '</script><img src=x onerror="console.log(1)"><script>console.log("taken over")</script>'


def write_trace(path: Path, *records: dict[str, object], header: dict[str, object] | None = None) -> Path:
    lines = [{**HEADER, **(header or {})}, *records]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def at(time: int, kind: str, **more: object) -> dict[str, object]:
    return {"type": kind, "seq": time, "vcpu": 0, "time_ns": time, **more}


def exit_at(time: int, reason: str = "MmioWrite", **more: object) -> dict[str, object]:
    return at(time, "exit", reason=reason, pc="0x40080000", **more)


def make(trace: Path) -> Path:
    page = trace.with_suffix(".html")
    done = armvcpu("report", trace, "--html", page)
    assert (done.status, done.out) == (0, b""), done.err
    return page


def rows(page: str, caption: str) -> dict[str, str]:
    """The first two columns of a table of the page."""
    table = re.search(rf"<caption>{caption}.*?</table>", page, re.DOTALL)
    assert table is not None
    found = re.findall(r'<tr><th scope="row"[^>]*>(.*?)</th><td[^>]*>(.*?)</td>', table[0])
    return {html.unescape(label): count.replace("\N{THIN SPACE}", "") for label, count in found}


# A real guest ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "exits.jsonl"
    options = ("--timing", "--format", "jsonl", "-o", path, "-m", SAMPLES / "exits" / "exits.toml")
    done = armvcpu("trace", *options, SAMPLES / "exits" / "exits.elf")
    assert done.status == 0, done.err
    return path


@pytest.fixture(scope="module")
def page(trace: Path) -> Path:
    return make(trace)


@pytest.fixture(scope="module")
def loaded(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(page, tmp_path_factory.mktemp("browser"))


def records(trace: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in trace.read_text().splitlines()]


def test_the_tables_have_the_numbers_of_the_trace(trace: Path, page: Path) -> None:
    counted = Counter(str(each["reason"]) for each in records(trace) if each["type"] == "exit")
    content = page.read_text(encoding="utf-8")
    assert rows(content, "Exits by reason") == {reason: str(count) for reason, count in counted.items()}
    calls = Counter(str(each["call"]) for each in records(trace) if "call" in each)
    assert (
        rows(content, "Calls to the hypervisor").items() >= {name: str(count) for name, count in calls.items()}.items()
    )
    assert f"<b>{sum(counted.values()):,}</b><span>exits</span>".replace(",", "\N{THIN SPACE}") in content


def test_the_console_is_in_it(trace: Path, page: Path) -> None:
    said = [str(each["text"]).rstrip() for each in records(trace) if each["type"] == "console"]
    assert said
    content = page.read_text(encoding="utf-8")
    shown = re.findall(r'<span data-time="[0-9.]+">(.*?)</span>', content)
    assert [html.unescape(line) for line in shown] == [line or "\N{ZERO WIDTH SPACE}" for line in said]


def test_the_page_stands_alone(page: Path) -> None:
    content = page.read_text(encoding="utf-8")
    document = re.sub(r"<script.*?</script>", "", content, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)=\"(?!#|data:,)", document)
    assert "url(" not in document
    assert "@import" not in document
    assert "default-src 'none'" in content


def test_it_has_what_people_with_a_screen_reader_need(page: Path) -> None:
    content = page.read_text(encoding="utf-8")
    assert '<html lang="en">' in content
    assert re.search(r"<title>exits.elf .*</title>", content)
    assert content.count("<h1>") == 1
    assert content.count("<table") == content.count("<caption>")
    assert not re.search(r"<th(?![^>]*scope=)[ >]", content)
    assert "prefers-color-scheme: dark" in content


def test_a_browser_draws_the_timeline(loaded: Loaded, trace: Path) -> None:
    plot = loaded.html[loaded.html.index('<svg id="plot"') :]
    plot = plot[: plot.index('<div id="tip"')]
    reasons = {str(each["reason"]) for each in records(trace) if each["type"] == "exit"}
    assert {f"fill{number}" for number in range(len(reasons))} == set(re.findall(r'class="mark (fill\d+)"', plot))
    assert plot.count('class="mark ') > 50
    assert 'class="state-Running"' in plot
    legend = loaded.html[loaded.html.index('id="legend"') : loaded.html.index('id="plot"')]
    assert all(f"<span>{reason}</span>" in legend for reason in reasons)


def test_a_browser_draws_the_histogram(loaded: Loaded) -> None:
    histogram = loaded.html[loaded.html.index('<svg id="histogram"') :]
    assert histogram[: histogram.index("</svg>")].count('class="mark ') > 1


def test_a_browser_lists_the_events(loaded: Loaded) -> None:
    body = loaded.html[loaded.html.index('id="event-rows"') :]
    body = body[: body.index("</tbody>")]
    assert body.count("<tr>") == 250
    assert "PL011.UARTCR" in body


def test_a_browser_has_nothing_to_complain_of_and_asks_for_nothing(loaded: Loaded) -> None:
    assert loaded.console == ()
    assert loaded.requests == ()


def test_a_browser_would_tell_of_requests_and_errors(page: Path, tmp_path: Path) -> None:
    script = "fetch('http://example.invalid/x').catch(() => {}); setTimeout(() => nothing(), 1);"
    told = load(with_actions(page, script, tmp_path), tmp_path)
    assert told.requests == ("http://example.invalid/x",)
    assert any("nothing is not defined" in line for line in told.console)


def test_the_policy_of_the_page_stops_a_script_that_got_in(page: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.html"
    content = page.read_text(encoding="utf-8")
    changed.write_text(content.replace("</body>", "<script>document.title = 'taken over'</script></body>"))
    told = load(changed, tmp_path)
    assert "<title>taken over" not in told.html
    assert any("Content Security Policy" in line for line in told.console)


ACTIONS = """
const chart = document.getElementById("chart");
const press = (key) => chart.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
const say = (name, value) => { document.body.dataset[name] = value; };
const range = () => document.getElementById("range").textContent;
press("+"); press("+"); press("ArrowRight");
say("zoomed", range());
press("0");
say("whole", range());
const legend = document.querySelector("#legend button");
const marks = () => document.querySelectorAll("#plot .mark.fill0").length;
say("before", marks());
legend.click();
say("after", marks());
legend.click();
const box = document.getElementById("plot").getBoundingClientRect();
const at = (type, part) => document.getElementById("plot").dispatchEvent(new PointerEvent(type,
  {clientX: box.left + box.width * part, clientY: box.top + 60, button: 0, pointerId: 1, bubbles: true}));
document.getElementById("plot").setPointerCapture = () => {};
at("pointermove", 0.5);
say("tip", document.getElementById("tip").textContent);
at("pointerdown", 0.4); at("pointermove", 0.5); at("pointerup", 0.6);
say("dragged", range());
press("0");
const query = document.getElementById("query");
query.value = "hypercall psci_version"; query.dispatchEvent(new Event("input"));
say("found", document.getElementById("found").textContent);
say("row", document.querySelector("#event-rows tr").textContent);
const head = document.querySelector("table.sortable thead th:nth-child(2) button");
head.click(); head.click();
say("sorted", document.querySelector("table.sortable tbody th").textContent);
"""


def test_zoom_legend_tip_search_and_sorting(page: Path, trace: Path, tmp_path: Path) -> None:
    done = load(with_actions(page, ACTIONS, tmp_path), tmp_path)
    assert done.console == ()
    said = dict(re.findall(r'data-(\w+)="([^"]*)"', done.html[done.html.index("<body") :][:2000]))
    assert said["whole"] == "Shown: the whole run."
    assert re.match(r"Shown: [0-9.]+.\S+ to ", said["zoomed"])
    assert re.match(r"Shown: [0-9.]+.\S+ to ", said["dragged"])
    assert int(said["before"]) > 0
    assert said["after"] == "0"
    assert "vCPU 0" in said["tip"]
    wanted = [each for each in records(trace) if each.get("call") == "PSCI_VERSION"]
    assert said["found"] == f"{len(wanted)} found"
    assert "PSCI_VERSION" in said["row"]
    counted = Counter(str(each["reason"]) for each in records(trace) if each["type"] == "exit")
    assert counted[said["sorted"]] == min(counted.values())


# A guest that died -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def death(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    path = tmp_path_factory.mktemp("death") / "crash.jsonl"
    done = armvcpu("trace", "--format", "jsonl", "-o", path, SAMPLES / "crash" / "crash.elf")
    assert done.status == 122
    return path, done


def test_the_page_holds_the_report_that_the_command_printed(death: tuple[Path, Finished]) -> None:
    trace, done = death
    *report, last = done.err.splitlines()
    content = make(trace).read_text(encoding="utf-8")
    shown = re.search(r'<pre class="report"[^>]*>(.*?)</pre>', content, re.DOTALL)
    assert shown is not None
    assert html.unescape(re.sub(r"</?b>", "", shown[1])).splitlines() == report
    assert html.escape(last.removeprefix("armvcpu: ")) in content
    assert '<a href="#report">Report</a>' in content


def test_a_page_of_a_run_that_ended_well_has_no_report(page: Path) -> None:
    content = page.read_text(encoding="utf-8")
    assert 'id="report"' not in content
    assert '"died":false' in content


def test_every_exit_is_in_the_timeline_to_the_very_last(death: tuple[Path, Finished], tmp_path: Path) -> None:
    trace, _ = death
    done = load(make(trace), tmp_path)
    plot = done.html[done.html.index('<svg id="plot"') : done.html.index('<div id="tip"')]
    drawn = sum(map(int, re.findall(r'data-count="(\d+)"', plot)))
    exits = [each for each in records(trace) if each["type"] == "exit"]
    assert drawn == len(exits)
    # Nearly all of them are at the end of the run, which is where a mark is lost most easily.
    end = records(trace)[-2]["time_ns"]
    assert sum(each["time_ns"] == end for each in exits) > 1000


@pytest.mark.parametrize("end", [0, 1, 1023, 1024, 2047, 2048, 2049, 3 << 40, (1 << 53) - 1])
def test_an_exit_at_the_end_is_drawn_however_long_the_run(end: int, tmp_path: Path) -> None:
    closing = {"type": "end", "ending": "fault", "status": 122, "message": "it broke", "exits": 3, "time_ns": end}
    trace = write_trace(tmp_path / "end.jsonl", exit_at(0), exit_at(end // 2), exit_at(end), closing)
    done = load(make(trace), tmp_path)
    assert done.console == ()
    assert sum(map(int, re.findall(r'data-count="(\d+)"', done.html[done.html.index('<svg id="plot"') :]))) == 3


def test_the_events_open_where_the_run_ended(death: tuple[Path, Finished], tmp_path: Path) -> None:
    trace, _ = death
    script = "document.body.dataset.top = document.getElementById('event-list').scrollTop > 0;"
    done = load(with_actions(make(trace), script, tmp_path), tmp_path)
    body = done.html[done.html.index('id="event-rows"') :]
    body = body[: body.index("</tbody>")]
    *_, last = re.findall(r"<tr[^>]*>(.*?)</tr>", body)
    assert "state Ready" in last
    assert "the same 1\N{THIN SPACE}000 times more" in body
    assert 'data-top="true"' in done.html


KEYBOARD = """
const chart = document.getElementById("chart"), found = [];
const press = (key) => chart.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
press("Home");
for (let column = 0; column < 250; column++) {
  if (column) press("ArrowRight");
  press("Enter");
  found.push(document.getElementById("unpick").textContent + "|" + document.getElementById("found").textContent);
}
const sums = new Map(found.map((text) => text.split("|")));
const total = [...sums.values()].reduce((sum, text) => sum + Number(text.replace(/\\D/g, "")), 0);
document.body.dataset.total = total;
press("0");
document.getElementById("unpick").click();
document.body.dataset.all = document.getElementById("found").textContent;
"""


def test_every_event_is_found_from_the_timeline_with_the_keyboard(death: tuple[Path, Finished], tmp_path: Path) -> None:
    trace, _ = death
    done = load(with_actions(make(trace), KEYBOARD, tmp_path), tmp_path)
    assert done.console == ()
    events = [each for each in records(trace) if each["type"] not in ("trace", "entry", "end", "summary")]
    said = dict(re.findall(r'data-(\w+)="([^"]*)"', done.html[done.html.index("<body") :][:500]))
    assert int(said["total"]) == len(events)
    assert said["all"] == ""


# Traces of all kinds ---------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    more = {"symbol": HOSTILE, "caller": HOSTILE, "register": HOSTILE, "device": HOSTILE, "note": "{{script}} {{data}}"}
    return write_trace(
        tmp_path / "hostile.jsonl",
        exit_at(5, HOSTILE, **more),
        {
            "type": "console",
            "seq": 1,
            "vcpu": 0,
            "time_ns": 6,
            "text": HOSTILE + "\x1b[31mred\x1b[0m\x00\u202e{{data}}",
        },
        {
            "type": "irq",
            "seq": 1,
            "vcpu": 0,
            "time_ns": 7,
            "action": "acknowledged",
            "intid": 1,
            "source_name": HOSTILE,
        },
        {"type": "state", "seq": 1, "vcpu": 0, "time_ns": 7, "state": HOSTILE, "from": "x"},
        {"type": "exception", "seq": 1, "vcpu": 0, "time_ns": 8, "exception": HOSTILE},
        {"type": HOSTILE, "seq": 1, "vcpu": 0, "time_ns": 9},
        {"type": "end", "ending": HOSTILE, "status": 0, "message": HOSTILE, "exits": 1, "time_ns": 10},
        header={"guest": HOSTILE, "machine": HOSTILE, "cpu": HOSTILE, "clock": HOSTILE, "tool": HOSTILE},
    )


def test_what_a_guest_says_is_text(hostile: Path) -> None:
    content = make(hostile).read_text(encoding="utf-8")
    assert "<img" not in content
    assert content.count("<script") == 2
    assert content.count("</script>") == 2
    assert "{{data}}" in content
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", content)
    assert "&quot;taken over&quot;" in content


def test_a_browser_runs_nothing_of_a_guest(hostile: Path, tmp_path: Path) -> None:
    done = load(make(hostile), tmp_path)
    assert done.console == ()
    assert "<img" not in done.html
    assert 'class="mark fill0"' in done.html


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: "".join(text.splitlines(keepends=True)[:40]),
        lambda text: text[:5000],
        lambda text: text.splitlines(keepends=True)[0],
    ],
    ids=["whole", "without an end", "broken off", "nothing but a header"],
)
def test_a_page_of_whatever_there_is(trace: Path, tmp_path: Path, change: Callable[[str], str]) -> None:
    part = tmp_path / "part.jsonl"
    content = change(trace.read_text())
    part.write_text(content)
    made = make(part).read_text(encoding="utf-8")
    whole = '"summary"' in content.splitlines()[-1]
    assert ('class="warning">The trace' in made) == (not whole)
    assert ("breaks off" in made) == (not content.endswith("\n"))


def test_a_long_trace_makes_a_page_of_bounded_size(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl.gz"
    with gzip.open(path, "wt") as stream:
        stream.write(json.dumps(HEADER) + "\n")
        for number in range(60_000):
            stream.write(json.dumps(exit_at(number * 1000, f"Reason{number % 300}", symbol=f"f{number}")) + "\n")
            if number % 4 == 0:
                said = {"type": "console", "seq": number, "vcpu": 0, "time_ns": number * 1000, "text": f"line {number}"}
                stream.write(json.dumps(said) + "\n")
    done = armvcpu("report", path)
    assert done.status == 0, done.err
    page = tmp_path / "long.html"
    assert done.last == f"armvcpu: {page}: 75000 events"
    assert page.stat().st_size < 2_000_000
    content = page.read_text(encoding="utf-8")
    assert "The first 2\N{THIN SPACE}000 and the last 2\N{THIN SPACE}000 of 75\N{THIN SPACE}000 events." in content
    assert "12\N{THIN SPACE}000 lines are omitted" in content
    data = json.loads(re.search(r'id="data">(.*?)</script>', content, re.DOTALL)[1])  # type: ignore[index]
    assert sum(sum(row["amounts"]) for row in data["exits"]) == 60_000
    assert len(data["exits"]) <= 25


def test_the_page_goes_to_stdout(trace: Path) -> None:
    done = armvcpu("report", trace, "--html", "-")
    assert done.status == 0
    assert done.out.startswith(b"<!DOCTYPE html>")
    assert done.out.endswith(b"</html>\n")
    assert done.err == ""


def test_a_trace_comes_from_stdin(trace: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = armvcpu("report", "-", "--html", page, stdin=trace.read_bytes())
    assert done.status == 0
    assert "PSCI_VERSION" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.jsonl",), "missing.jsonl: cannot be read: No such file"),
        (("-",), "give the page a name with --html FILE"),
        (("trace.jsonl", "--html", "missing/page.html"), "missing/page.html: cannot be written: No such file"),
        (("bad.jsonl",), "bad.jsonl: line 1: expected a trace's header"),
        (("broken.jsonl",), "broken.jsonl: line 2: not JSON"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    write_trace(tmp_path / "trace.jsonl", exit_at(1))
    (tmp_path / "bad.jsonl").write_text("no trace\n")
    (tmp_path / "broken.jsonl").write_text(json.dumps(HEADER) + "\n}\n{}\n")
    done = armvcpu("report", *arguments, cwd=tmp_path)
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert message in done.err
    assert not list(tmp_path.glob("*.html*"))


def test_a_page_that_cannot_be_written_is_told() -> None:
    done = armvcpu("report", "-", "--html", "/dev/full", stdin=json.dumps(HEADER).encode() + b"\n")
    assert (done.status, done.err.count("\n")) == (OUTPUT_FAILED, 1)
    assert "/dev/full: cannot be written: No space left on device" in done.err
