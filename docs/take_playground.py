"""Takes the pictures of the playground, `pictures/playground*.png`, from the recorded run, `pictures/run.ndjson`.

A server of the embedded models must run, `make serve`, and Debian's `chromium` be there.
"""

import argparse
import shutil
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, sync_playwright

FOLDER = Path(__file__).resolve().parent / "pictures"
RUN: Final = "run.ndjson"
WIDTH, HEIGHT = 1280, 960
IN_ROUND_3: Final = 63
"""So many events of the run: each member has begun its third round."""
SEEK: Final = """(count) => {
    const slider = document.querySelector("#position");
    slider.value = String(count);
    slider.dispatchEvent(new Event("input"));
}"""


def take(browser: Browser, server: str, picture: Path, theme: Literal["light", "dark"], count: int | None) -> None:
    """The page with the recorded run: its first `count` events as they fit a screen, or all of it at any height."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=theme)
    page.goto(server)
    page.wait_for_selector("#run:enabled")
    page.set_input_files("#file", FOLDER / RUN)
    page.wait_for_selector("#written", state="visible")
    if count is None:
        page.evaluate("() => { document.querySelector('#main-options').open = false; }")
    else:
        page.evaluate(SEEK, count)
        page.wait_for_selector("#written", state="hidden")
    page.screenshot(path=picture, full_page=count is None)
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    if (chromium := shutil.which("chromium")) is None:
        parser.error("chromium is not installed: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        take(browser, arguments.server, arguments.out / "playground.png", "light", IN_ROUND_3)
        take(browser, arguments.server, arguments.out / "playground-dark.png", "dark", None)
        browser.close()


if __name__ == "__main__":
    main()
