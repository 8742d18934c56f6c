"""A real browser that reaches the app under test and nothing else."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, sync_playwright

from livdemo.ui.app import build_app, launch_options
from tests.phantom_pair import phantom_pair

# Without a screen or a network of its own; the last four keep Chromium from looking for its makers' hosts.
CHROMIUM = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE_MS = 60_000  # busy machines are slow; nothing waits this long where all is well


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; skips where there is none, unless LIVDEMO_REQUIRE_BROWSER=1 makes that a failure."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        reason = "no Chromium is installed (apt-get install chromium)"
        if os.environ.get("LIVDEMO_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM, timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., str]]:
    """serve(app, **launch_options) -> the address of the running app; all apps end with the module."""
    running: list[gr.Blocks] = []

    def start(app: gr.Blocks, **launch_options: Any) -> str:
        app.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options)
        running.append(app)
        return str(app.local_url)

    yield start
    for app in running:
        app.close(verbose=False)


@pytest.fixture(scope="module")
def two_models(serve: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the whole page with two quick networks that know the phantom's greys, and a cache of its own."""
    with phantom_pair(tmp_path_factory.mktemp("two")):
        yield serve(build_app().queue(), **launch_options())


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """open_page(url, **context_options) -> a page of a new visitor.

    At the end no visitor's page may have asked another host for anything, raised an error or logged one.
    """
    asked_outside: list[str] = []
    errors: list[str] = []
    contexts = []

    def guard(host: str) -> Callable[[Route], None]:
        def decide(route: Route) -> None:
            url = urlsplit(route.request.url)
            if url.scheme in ("http", "https", "ws", "wss") and url.netloc != host:
                asked_outside.append(route.request.url)
                route.abort()
            else:
                route.fallback()

        return decide

    def listen(message: ConsoleMessage) -> None:
        # A refused file is some tests' very subject, and is told by the page itself.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            errors.append(message.text)

    def visit(url: str, **context_options: Any) -> Page:
        context = browser.new_context(**context_options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.route("**/*", guard(urlsplit(url).netloc))
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", listen)
        page.goto(url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert asked_outside == []
    assert errors == []
