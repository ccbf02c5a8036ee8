# SPDX-License-Identifier: MIT
"""`make lab` in a real browser: it serves with a token only, the first notebook runs, and its figures are drawn."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Opened

ROOT = Path(__file__).parent.parent.parent
ALL_ENDED = """() => { const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
    return prompts.length > 10 && prompts.every(p => /^\\[\\d+\\]:$/.test(p.textContent.trim())); }"""
# The stored prompts are there before the run: what is waited for must be the run's own.
FORGET = "() => document.querySelectorAll('.jp-CodeCell .jp-InputPrompt').forEach(p => p.textContent = '')"
SETTINGS = {
    # Every cell in the page, not only those in view; and the notebook under test is never saved.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[str]:
    """The address that `make lab` prints, with its token; its own group, ended afterwards."""
    port = free_port
    settings, workspaces = tmp_path_factory.mktemp("settings"), tmp_path_factory.mktemp("workspaces")
    for name, content in SETTINGS.items():
        file = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    env = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(settings), "JUPYTERLAB_WORKSPACES_DIR": str(workspaces)}
    with subprocess.Popen(
        ["make", "lab", f"PORT={port}"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    ) as server:
        try:
            yield _address(server, port)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


def _answers(address: str, port: int) -> str:
    """The address, once something listens there: it is printed a moment earlier."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return address
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on port {port}")


def _address(server: subprocess.Popen[bytes], port: int) -> str:
    """The first address with a token in what the server says; its whole output where none comes."""
    said, end = "", time.monotonic() + 90
    assert server.stdout
    with selectors.DefaultSelector() as selector:
        selector.register(server.stdout, selectors.EVENT_READ)
        while server.poll() is None and time.monotonic() < end:
            if selector.select(0.5):
                said += os.read(server.stdout.fileno(), 65536).decode()
            if found := re.search(rf"http://127\.0\.0\.1:{port}/\S*token=\w+", said):
                return _answers(found[0], port)
    raise AssertionError(f"make lab printed no address:\n{said}")


@pytest.mark.timeout(180)
def test_the_token_is_wanted_and_only_this_machine_is_served(lab: str) -> None:
    address, token = lab.split("?token=")
    base = re.match(r"http://127\.0\.0\.1:\d+/", address)
    assert base
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(base[0] + "api/contents")
    request = urllib.request.Request(base[0] + "api/contents", headers={"Authorization": f"token {token}"})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    port = f"{int(base[0].rsplit(':', 1)[1].strip('/')):04X}"
    listening = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().split("\n")]
    served = {row[1] for row in listening if len(row) > 3 and row[3] == "0A" and row[1].endswith(f":{port}")}
    assert served == {f"0100007F:{port}"}


@pytest.mark.timeout(240)
def test_the_first_notebook_runs_and_draws(lab: str, opened: Opened, shots: Path) -> None:
    with opened(lab) as page:
        page.evaluate(FORGET)
        page.click(".lm-MenuBar-itemLabel:text-is('Run')")
        page.click(".lm-Menu-itemLabel:text-is('Run All Cells')")
        page.wait_for_function(ALL_ENDED, timeout=120_000)
        page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 4", timeout=30_000)
        checks = page.locator(
            ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stdout']"
        ).all_inner_texts()
        failed = page.locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts()
        for i, output in enumerate(page.locator(".jp-CodeCell .jp-Cell-outputArea:visible").all()):
            output.scroll_into_view_if_needed()
            page.wait_for_timeout(100)  # plotly draws when it comes into view
            output.screenshot(path=shots / f"start-here-{i:02d}.png")
    assert not failed
    assert [text.strip() for text in checks].count("PASS") == 4
