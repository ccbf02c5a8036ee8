# SPDX-License-Identifier: MIT
"""The task set's panel in a real browser: a slider moves verdict and schedule, a click says why a job waited."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

if TYPE_CHECKING:
    from conftest import Opened

CELLS = [
    """
from rtnb.theory import TaskSet
from rtnb.widgets import TaskSetPanel
panel = TaskSetPanel(TaskSet("name C T\\ncontrol 1 4\\nlog 2 6"), "rm")
panel
""",
    "print('C is', panel.taskset['control'].C)",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[str]:
    """The address of a JupyterLab that serves a notebook with a panel; its own group, ended afterwards."""
    folder, settings, workspaces = (tmp_path_factory.mktemp(name) for name in ("lab", "settings", "workspaces"))
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "panel.ipynb")
    file = settings / "@jupyterlab" / "docmanager-extension" / "plugin.jupyterlab-settings"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"autosave": False}))
    port = free_port
    token = secrets.token_hex(16)
    env = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(settings), "JUPYTERLAB_WORKSPACES_DIR": str(workspaces)}
    argv = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    argv += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    argv += [f"--ServerApp.root_dir={folder}", "--log-level=WARN"]
    with subprocess.Popen(argv, env=env, process_group=0) as server:
        try:
            _wait(port, server)
            yield f"http://127.0.0.1:{port}/lab/tree/panel.ipynb?token={token}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end and server.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port)):
                return
        except ConnectionRefusedError:
            time.sleep(0.2)
    raise AssertionError(f"nothing listens on port {port}")


@pytest.mark.timeout(240)
def test_a_slider_moves_the_verdict_and_a_click_says_why(lab: str, opened: Opened, shots: Path) -> None:
    from playwright.sync_api import expect

    expect.set_options(timeout=30_000)
    with opened(lab) as page:
        page.locator(".jp-CodeCell").first.click()
        page.keyboard.press("Shift+Enter")

        expect(page.locator(".jp-CodeCell .jp-InputPrompt").first).to_have_text("[1]:", timeout=60_000)

        says, why = page.locator(".rtnb-says"), page.locator(".rtnb-why")
        expect(says).to_contain_text("schedulable under rm: U = 7/12")
        expect(page.locator(".rtnb-picture svg")).to_be_visible()
        expect(why).to_have_text("click a job: why it waited")
        page.screenshot(path=shots / "panel-00.png")

        page.locator(".noUi-handle").first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        expect(says).to_contain_text("not schedulable under rm: U = 13/12")
        expect(page.locator(".rtnb-ladder")).to_contain_text("✗ no")
        expect(page.locator(".rtnb-picture svg text").first).to_contain_text("missed")

        page.locator(".rtnb-picture [data-mark='[\"log\", 1]'] rect").first.click()
        expect(why).to_contain_text("log job 1 was released at 0")
        expect(why).to_contain_text("preempted (control")
        chosen = page.locator(".rtnb-picture [data-mark='[\"log\", 1]']").first
        assert chosen.evaluate("mark => mark.style.strokeWidth") == "2"
        page.screenshot(path=shots / "panel-01.png")

        page.locator(".rtnb-picture").focus()
        before = why.inner_text()
        page.keyboard.press("ArrowRight")
        expect(why).not_to_have_text(before)
        expect(why).to_contain_text("was released at")

        page.locator(".widget-dropdown select").select_option("edf")
        expect(says).to_contain_text("under edf")

        page.locator(".jp-CodeCell").last.click()
        page.keyboard.press("Shift+Enter")
        told = page.locator("[data-mime-type='application/vnd.jupyter.stdout']")
        expect(told).to_have_text(re.compile(r"\s*C is 3\s*"))
        assert not page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count()
        page.screenshot(path=shots / "panel-02.png")
