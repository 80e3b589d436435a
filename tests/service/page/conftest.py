"""A real Chromium, driven by Playwright, and pages in it that must stay without a fault."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.service.page.playground import Playground

CHROMIUM = shutil.which("chromium")
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
Open = Callable[..., Playground]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the tests of a module: beside it no other test of this process could start an event loop."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """`open_page(url, faults=(), **context)`: the playground at an address, in a context of its own.

    At the end no page has met an error, a violation of its policy, or a request that left its origin, but for those
    whose words contain one of `faults`.
    """
    opened: list[Playground] = []

    def open_at(url: str, faults: tuple[str, ...] = (), **context: object) -> Playground:
        page: Page = browser.new_context(**context).new_page()  # type: ignore[arg-type]
        opened.append(Playground(page, url, faults))
        return opened[-1]

    yield open_at
    for playground in opened:
        playground.page.context.close()
    assert [playground.unexpected for playground in opened] == [[] for _ in opened]
