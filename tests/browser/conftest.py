# SPDX-License-Identifier: MIT
"""A page of a JupyterLab in the distribution's own chromium: it may ask only this machine, and raise no error."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LOCAL = re.compile(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:")
READY = """() => { const status = document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status;
    const kernel = document.querySelector('.jp-KernelName jp-button')?.getAttribute('aria-label') ?? 'No Kernel';
    return status === 'idle' && kernel !== 'No Kernel' && !document.querySelector('.jp-Spinner'); }"""
"""A page without a kernel yet says idle too, and drops what it is told to run."""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


class Opened(Protocol):
    """Opens an address with a notebook: the page, idle and ready to run."""

    def __call__(self, address: str) -> AbstractContextManager[Page]: ...


@pytest.fixture
def opened() -> Opened:
    """Opens a notebook's address in chromium; afterwards nothing but this machine was asked, and no script failed."""
    if not CHROMIUM:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    return _opened


@contextmanager
def _opened(address: str) -> Iterator[Page]:
    from playwright.sync_api import sync_playwright

    outside: list[str] = []
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.on("request", lambda request: None if LOCAL.match(request.url) else outside.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
        page.wait_for_function(READY, timeout=90_000)
        yield page
        browser.close()
    assert not outside, "the notebook asked the network"
    assert not errors


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where screenshots go."""
    folder = Path(__file__).parent.parent.parent / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
