"""The page in a browser: what it says of words that nothing fits, that its model cannot read, and of none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundled_music import NOISE
from page_browser import DESKTOP, TOUCHED, Open, check_with_axe, opening
from page_server import Served, start
from unanswerable import NOTHING_FITS, UNANSWERABLE, WORDS_300

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
playwright = pytest.importorskip("playwright.sync_api", reason="browser tests need: pip install playwright")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def served_model(bundled_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of a library whose model reads English."""
    started = start(bundled_library, tmp_path_factory.mktemp("served"))
    yield started
    started.process.kill()
    started.process.wait()


@pytest.fixture
def open_page(browser: Any, served_model: Served) -> Iterator[Open]:
    with opening(browser, served_model.port) as opened:
        yield opened


def ask(page: Any, query: str) -> None:
    page.get_by_label("Search the library").fill(query)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("viewport", [TOUCHED, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_cannot_be_answered_is_told(
    open_page: Open, axe: str, scheme: str, viewport: dict[str, int]
) -> None:
    page = open_page(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    for kind, (query, told, untold, fit) in UNANSWERABLE.items():
        ask(page, query)
        page.locator("main .note", has_text=told[0]).wait_for()
        notes = " ".join(page.locator("main .note").all_inner_texts())
        assert all(text in notes for text in told) and not any(text in notes for text in untold)
        playwright.expect(page.locator("main .row")).to_have_count(5)
        assert set(page.locator(".row .score").all_text_contents()) == {f"Fit {fit}" if fit else ""}
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        check_with_axe(page, axe, kind)


def test_an_empty_query_shows_all_tracks(open_page: Open) -> None:
    page = open_page("/search?q=calm")
    for query in ("", "   "):
        ask(page, query)
        page.get_by_role("heading", name="All tracks").wait_for()
        playwright.expect(page.locator(".row")).to_have_count(14)


def test_three_hundred_words_are_asked_as_a_whole(open_page: Open) -> None:
    page, text = open_page(), " ".join(WORDS_300)
    with page.expect_response(lambda answer: "/api/search" in answer.url) as answer:
        ask(page, text)
    assert answer.value.status == 200 and len(answer.value.json()["matches"]) > 0
    page.locator(".row .title").first.wait_for()
    assert page.get_by_label("Search the library").input_value() == text
    assert page.locator("h1").bounding_box()["height"] < 120  # a heading, and no page of its own
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Save playlist").click()
    page.get_by_text("Kept:").wait_for()


def test_a_text_that_is_far_too_long_is_refused_and_nothing_is_cut(open_page: Open) -> None:
    page = open_page()
    ask(page, "calm piano " * 10_000)
    alert = page.get_by_role("alert").last
    playwright.expect(alert).to_contain_text("at most 4,000 are read")
    assert not page.locator("#gone").is_visible()
    ask(page, "christmas")
    page.locator("main .note", has_text=NOTHING_FITS).wait_for()


def test_what_is_said_of_the_sound_stands_below_the_names(open_page: Open) -> None:
    page = open_page()
    ask(page, NOISE)
    page.locator("main .note", has_text=NOTHING_FITS).wait_for()
    order = page.locator("main > *").evaluate_all("them => them.map((one) => one.textContent)")
    places = [
        next(n for n, text in enumerate(order) if one in text)
        for one in ("By name", "By sound", NOTHING_FITS)
    ]
    assert places == sorted(places)
