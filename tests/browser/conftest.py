"""A real browser on a real ASGI server over the test's own database."""

import asyncio
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from django.conf import settings
from django.db import connections
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from apps.progress.streams.tail import get_tail
from project.asgi import application
from tests.factories.accounts import make_staff
from tests.support.waiting import wait_until

# a busy machine is no failure
expect.set_options(timeout=20_000)

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium, as installed on this machine.

    For one module at a time: while Playwright is open its event loop runs in this thread, and tests of other
    modules could start none of their own.
    """
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium on the PATH")
    # Playwright's loop runs in this thread, where Django would otherwise refuse plain database calls
    with pytest.MonkeyPatch.context() as patched, sync_playwright() as playwright:
        patched.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        started = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        yield started
        started.close()
        # beside a running loop Django keeps connections apart from those of the plain thread
        connections.close_all()


class Server(uvicorn.Server):
    """uvicorn in a thread of the test process."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                log_level="error",
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Serve until `stop`."""
        self.thread.start()
        wait_until(lambda: self.started, timeout_seconds=20)

    def stop(self) -> None:
        """What a signal does: streams end, then the server. Again is a no-op."""
        if self._loop is not None and self.thread.is_alive():
            self._loop.call_soon_threadsafe(lambda: get_tail().stop())
        self.should_exit = True
        self.thread.join(timeout=10)
        assert not self.thread.is_alive()
        application.close()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.serve(sockets=[self.listener])


@pytest.fixture
def server(transactional_db: None, redis_url: str) -> Iterator[Server]:
    """The whole application on a free port."""
    running = Server()
    running.start()
    yield running
    running.stop()


@dataclass
class Visit:
    """A page with what went wrong on it: console errors, failed and foreign requests."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        """Open a page of ours and wait until it is loaded."""
        self.page.goto(self.url + path, wait_until="load")
        return self.page


def watch(page: Page, url: str) -> Visit:
    """Note everything that should not happen on a page."""
    visit = Visit(page=page, url=url)
    page.on("console", lambda said: visit.errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("request", lambda sent: visit.foreign.append(sent.url) if not sent.url.startswith(url) else None)
    return visit


def log_in(context: BrowserContext, url: str, user: Any) -> None:
    """Give the context a session, as the login page would."""
    client = Client()
    client.force_login(user)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": url}])


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Visit]:
    """A logged-in operator's page, 1280 wide; the test fails where anything went wrong on it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    log_in(context, server.url, make_staff())
    made = watch(context.new_page(), server.url)
    yield made
    context.close()
    assert made.errors == []
    assert made.foreign == []
