"""A browser, views of the page in it, and axe-core."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import pytest

from page_server import PATIENCE

Open = Callable[..., Any]
PHONE = {"width": 360, "height": 740}
TOUCHED = {"width": 390, "height": 844}
DESKTOP = {"width": 1200, "height": 800}


@contextmanager
def launched() -> Iterator[Any]:
    """Chromium, however it is found; the test is skipped if there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="browser tests need: pip install playwright"
    )
    playwright.expect.set_options(timeout=1000 * PATIENCE)
    path = os.environ.get("SOLFA_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    with playwright.sync_playwright() as started:
        try:
            opened = started.chromium.launch(
                executable_path=path, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
            )
        except playwright.Error as error:
            pytest.skip(f"no browser; name one by SOLFA_BROWSER, or: playwright install chromium ({error})")
        yield opened
        opened.close()


@contextmanager
def opening(browser: Any, port: int) -> Iterator[Open]:
    """What opens a view of the page; at the end nothing may have failed, or gone to another server."""
    own, asked, failed, contexts = f"http://127.0.0.1:{port}/", [], [], []

    def opened(view: str = "/", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.on("dialog", lambda dialog: failed.append(f"dialog: {dialog.message}"))
        page.goto(f"{own}#{view}")
        page.locator("main:not([aria-busy]) > *").first.wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not failed
    assert not [address for address in asked if not address.startswith((own, "blob:", "data:"))]


def axe_source() -> str:
    """The source of axe-core."""
    pytest.importorskip("axe_playwright_python", reason="needs axe-core: pip install axe-playwright-python")
    return files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


def check_with_axe(page: Any, axe: str, what: str) -> None:
    """Let axe-core look at what is shown now; it may find nothing serious."""
    page.wait_for_timeout(500)
    page.evaluate(axe)
    found = page.evaluate("axe.run()")["violations"]
    serious = [rule for rule in found if rule["impact"] in ("serious", "critical")]
    assert not [(what, rule["id"], [node["html"] for node in rule["nodes"]]) for rule in serious]
