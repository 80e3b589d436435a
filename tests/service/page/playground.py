"""The playground as somebody sees it who sits in front of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Page, Request

from tests.service.served import wait_until

SECONDS = 60_000  # milliseconds that anything may take: the machine may be busy


class Playground:
    """An open page. `unexpected` are the errors it met and the requests that left its origin."""

    def __init__(self, page: Page, url: str, faults: Sequence[str]) -> None:
        self.page = page
        self.url = url.rstrip("/")
        self.requests: list[Request] = []
        self._faults = faults
        self._met: list[str] = []
        page.set_default_timeout(SECONDS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._met.append(f"thrown: {error}"))
        page.on("request", self._on_request)
        page.goto(self.url)

    @property
    def unexpected(self) -> list[str]:
        return [words for words in self._met if not any(fault in words for fault in self._faults)]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._met.append(f"console: {message.text} {message.location.get('url', '')}")

    def _on_request(self, request: Request) -> None:
        self.requests.append(request)
        if not request.url.startswith((self.url, f"blob:{self.url}")):
            self._met.append(f"left the origin: {request.url}")

    def ready(self) -> "Playground":
        self.page.wait_for_selector("#run:enabled")
        return self

    def run(self, prompt: str | None = None) -> "Playground":
        self.ready()
        if prompt is not None:
            self.page.fill("#prompt", prompt)
        self.page.click("#run")
        return self

    def finished(self) -> "Playground":
        self.page.wait_for_selector("#written", state="visible")
        self.page.wait_for_selector("#run", state="visible")
        return self

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def texts(self, selector: str) -> list[str]:
        return [words.strip() for words in self.page.locator(selector).all_inner_texts()]

    def canvases(self) -> list[str]:
        """What every member's grid shows, token by token."""
        return [" ".join(grid.locator(".tokens span").all_text_contents()) for grid in self.page.locator(".grid").all()]

    def save(self, path: Path) -> Path:
        with self.page.expect_download() as download:
            self.page.click("#export")
        download.value.save_as(path)
        return path

    def load(self, path: Path) -> None:
        self.page.set_input_files("#file", path)

    def wait_for(self, condition: str) -> None:
        """Until an expression is true. Asked from here: the page's policy lets no text become a program."""
        wait_until(lambda: bool(self.page.evaluate(condition)), SECONDS / 1000)

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """An async function of the page's own modules: `load(name)` imports one."""
        wrapped = (
            f"(argument) => {{ const load = (name) => import(`/page/${{name}}.js`); return ({script})(argument); }}"
        )
        return self.page.evaluate(wrapped, argument)
