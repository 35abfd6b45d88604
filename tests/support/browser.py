"""A headless web browser: loads a page from a file, runs its script, and returns the result."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.tools import require_program

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
GUARD_SECONDS: Final = 120
_POLICY: Final = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
_QUIET: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-extensions",
    "--hide-scrollbars", "--window-size=1280,1600", "--virtual-time-budget=8000", "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip


@dataclass(frozen=True)
class Loaded:
    """The page's HTML once its script has run, the lines that it has written to the browser's console, and the
    addresses that it has asked for."""

    html: str
    console: tuple[str, ...]
    requests: tuple[str, ...]


def load(page: Path, scratch: Path) -> Loaded:
    """Open ``page`` as ``file://``."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None) or require_program(BROWSERS[0])
    net_log = scratch / "net.json"
    profile = f"--user-data-dir={scratch / 'profile'}"
    done = subprocess.run(
        [browser, *_QUIET, profile, f"--log-net-log={net_log}", "--dump-dom", page.resolve().as_uri()],
        capture_output=True,
        timeout=GUARD_SECONDS,
        check=True,
    )
    said = tuple(line for line in done.stderr.decode(errors="replace").splitlines() if ":CONSOLE" in line)
    events = json.loads(net_log.read_text())["events"]
    started = [event["params"] for event in events if "initiator" in event.get("params", {})]
    # The browser has business of its own, which no page has initiated.
    asked = {each["url"] for each in started if each["initiator"] != "not an origin"}
    return Loaded(done.stdout.decode(), said, tuple(sorted(asked)))


def with_actions(page: Path, script: str, scratch: Path) -> Path:
    """A copy of a page that does something to itself once it is there, as a user would."""
    changed = scratch / f"acting-{page.name}"
    content, removed = _POLICY.subn("", page.read_text(encoding="utf-8"))
    assert removed == 1
    changed.write_text(content.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    return changed
