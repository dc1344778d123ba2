"""The page in a browser: search, play, map, files, keys, a phone, the dark, and who cannot see it.

They take a browser: chromium on the PATH, the program that the variable SOLFA_BROWSER names, or playwright's
own (playwright install chromium). axe-core, which checks accessibility, comes with the extra dev.
"""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from page_browser import DESKTOP, PHONE, TOUCHED, Open, check_with_axe, opening
from page_server import PATIENCE, Served, wait_until
from solfa.retrieval import Library

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
playwright = pytest.importorskip("playwright.sync_api", reason="browser tests need: pip install playwright")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

DASH = "\u2013"  # between two times
VIEWS = (
    "/",
    "/search?q=calm%20piano",
    "/track/5",
    "/map",
    "/explore",
    "/playlists",
    "/search?q=1%20%2B",
    "/file",
)


@pytest.fixture
def open_page(browser: Any, served: Served) -> Iterator[Open]:
    """Opens a view of the page of the library that is served; see ``page_browser``."""
    with opening(browser, served.port) as opened:
        yield opened


def seconds(clock: str) -> int:
    minutes, _, rest = clock.strip().partition(":")
    return 60 * int(minutes) + int(rest)


def heard(page: Any) -> int:
    """Where the player is, in seconds."""
    return seconds(page.locator(".player .time").inner_text().split("/")[0])


def wait_until_heard(page: Any, place: int) -> None:
    """Wait until the player is at a second or behind it."""
    wait_until(lambda: heard(page) >= place, pause=lambda: page.wait_for_timeout(50))


def check_is_heard_from(page: Any, first: int, last: int, since: float) -> None:
    """The player has begun between two seconds, at the moment ``since`` or later; music takes its time."""
    wait_until_heard(page, 1)
    assert first <= heard(page) <= last + time.monotonic() - since + 1


def ask(page: Any, query: str) -> None:
    page.get_by_label("Search the library").fill(query)
    page.keyboard.press("Enter")
    page.locator(".row .title").first.wait_for()


def test_a_name_is_offered_while_typing_and_found_above_the_sounds(open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Search the library").press_sequentially("tun")
    page.locator("#names option[value='named: tune']").wait_for(state="attached")
    ask(page, "tune")
    assert page.locator(".group").all_inner_texts() == ["By name", "By sound"]
    named = page.get_by_role("list", name="Tracks of that name").locator(".row")
    assert named.count() == 1 and named.locator(".title").inner_text() == "tune"
    page.get_by_label("Search the library").fill("named: nothing of that name")
    page.keyboard.press("Enter")
    page.get_by_text("No track has these words").wait_for()


def test_words_are_found_and_played_from_the_segment_that_fits(open_page: Open) -> None:
    page = open_page()
    ask(page, "calm piano")
    row = page.locator(".row", has_text="tune")
    begin, end = (
        seconds(time) for time in row.locator(".at").inner_text().replace("Best from", "").split(DASH)
    )
    now = time.monotonic()
    row.get_by_role("button", name="Play tune from").click()
    page.get_by_role("button", name="Pause tune").wait_for()
    check_is_heard_from(page, begin, begin, now)
    assert begin < end
    assert page.locator(".row[data-current] .title").inner_text() == "tune"


def test_a_click_in_the_waveform_plays_from_there(open_page: Open) -> None:
    page = open_page()
    wave = page.locator(".row", has_text="tune").locator("canvas.wave[data-ready]")
    box = wave.bounding_box()
    now = time.monotonic()
    wave.click(position={"x": box["width"] * 0.5, "y": box["height"] / 2})
    page.locator(".player:not([hidden])").wait_for()
    check_is_heard_from(page, 14, 15, now)


def test_what_the_browser_cannot_play_is_played_as_wav(open_page: Open) -> None:
    page = open_page()
    with page.expect_response(lambda answer: "form=wav" in answer.url) as answer:
        page.get_by_role("button", name="Play lossless").click()
    assert answer.value.status in (200, 206)
    wait_until_heard(page, 1)


def test_more_like_a_track_and_like_a_moment(open_page: Open) -> None:
    page = open_page()
    ask(page, "more like 5")
    assert page.locator("h1").inner_text() == "More like tune"
    page.goto(page.url.split("#")[0] + "#/track/5")
    page.get_by_role("button", name="Like this moment").click()
    page.get_by_role("heading", name="More like tune at 0:00").wait_for()


def test_filters_stand_among_the_words(open_page: Open) -> None:
    page = open_page()
    ask(page, "calm piano seconds=10-")
    assert page.locator(".row .title").all_inner_texts() == ["tune"]


def test_a_track_shows_tags_parts_and_neighbours(open_page: Open) -> None:
    page = open_page("/track/5")
    page.locator(".tags .bars li, .tags .note").first.wait_for()
    assert page.locator(".similar .row").count() == 4
    assert "Self-similarity" in page.locator("canvas.matrix").get_attribute("aria-label")
    page.get_by_label("Tags of your own").fill("rain, wind")
    page.keyboard.press("Enter")
    playwright.expect(page.locator(".bars li")).to_have_count(2)
    assert "strongest from" in page.locator(".strips button").first.get_attribute("aria-label")


def draw_around(page: Any, box: dict[str, float]) -> None:
    """Draw a line around all of the map with the mouse."""
    page.mouse.move(box["x"] + 6, box["y"] + 6)
    page.mouse.down()
    for x, y in ((0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
    page.mouse.up()


def test_the_map_plays_on_click_and_saves_what_a_line_surrounds(open_page: Open) -> None:
    page = open_page("/map")
    canvas = page.locator("canvas.map")
    box = canvas.bounding_box()
    page.keyboard.down("Shift")
    draw_around(page, box)
    page.keyboard.up("Shift")
    playwright.expect(page.locator(".chosen")).to_contain_text("5 tracks chosen")
    page.locator(".chosen").get_by_role("button", name="Save").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    page.get_by_role("button", name="Close").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == "#EXTM3U" and len(lines) == 11 and all(Path(line).is_file() for line in lines[2::2])
    for step in range(1200):  # somewhere on this grid there is a track
        across, down = 0.04 + 0.92 * (step % 60) / 59, 0.05 + 0.9 * (step // 60) / 19
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        if canvas.get_attribute("data-pointing") == "true":
            break
    title = page.locator(".tip strong").inner_text()
    page.mouse.down()
    page.mouse.up()
    playwright.expect(page.locator(".player .title")).to_have_text(title)


def test_a_drag_moves_the_map_and_a_button_lets_it_draw(open_page: Open) -> None:
    page = open_page("/map")
    box = page.locator("canvas.map").bounding_box()
    picture = "() => document.querySelector('canvas.map').toDataURL()"
    before = page.evaluate(picture)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 120, box["y"] + 60, steps=4)
    page.mouse.up()
    page.wait_for_timeout(200)
    assert page.evaluate(picture) != before
    playwright.expect(page.locator(".chosen")).to_contain_text("No tracks chosen yet")
    playwright.expect(page.locator(".player")).to_be_hidden()
    page.get_by_role("button", name="Show all of it").click()
    page.get_by_role("button", name="Draw a line").click()
    draw_around(page, box)
    playwright.expect(page.locator(".chosen")).to_contain_text("5 tracks chosen")


def test_the_map_is_coloured_by_what_sounds_alike(open_page: Open) -> None:
    page = open_page("/map")
    colours, legend = page.get_by_label("Colours of the map"), page.get_by_role("group", name="Colours")
    with page.expect_response(lambda answer: "map/clusters" in answer.url) as answer:
        colours.select_option(label="What sounds alike")
    playwright.expect(legend.get_by_role("button")).to_have_count(2)
    counts = [int(text) for text in legend.locator(".by").all_inner_texts()]
    assert counts == [len(cluster["ids"]) for cluster in answer.value.json()["clusters"]] and sum(counts) == 5
    legend.get_by_role("button").first.click()
    playwright.expect(page.locator(".chosen")).to_contain_text(f"{counts[0]} tracks chosen")
    page.reload()
    playwright.expect(legend.get_by_role("button")).to_have_count(2)  # it is remembered
    page.route("**/api/map/clusters*", lambda route: route.fulfill(status=503, json={"error": "not now"}))
    page.reload()
    page.get_by_text("not now").wait_for()
    colours.select_option(label="No colours")
    playwright.expect(legend.get_by_role("button")).to_have_count(0)


def test_while_a_map_is_made_it_is_said_what_takes_the_time(open_page: Open, axe: str) -> None:
    page, asked = open_page(), []
    page.route("**/api/map*", lambda route: asked.append(route))
    page.get_by_role("link", name="Map").click()
    page.get_by_text("Placing 5 tracks so that those that sound alike lie together").wait_for()
    playwright.expect(page.get_by_role("progressbar", name="The map is made")).to_be_visible()
    check_with_axe(page, axe, "map that is made")
    asked[0].continue_()
    page.locator("canvas.map").wait_for()
    playwright.expect(page.get_by_role("progressbar")).to_have_count(0)


def test_the_colours_of_the_map_stand_below_their_choice_on_a_phone(open_page: Open) -> None:
    page = open_page("/map", viewport=TOUCHED)
    page.get_by_label("Colours of the map").select_option(label="What sounds alike")
    legend = page.get_by_role("group", name="Colours")
    legend.get_by_role("button").first.wait_for()
    choice, chips = page.get_by_label("Colours of the map").bounding_box(), legend.bounding_box()
    assert chips["y"] >= choice["y"] + choice["height"] and chips["x"] == choice["x"]


def test_two_fingers_enlarge_the_map_and_one_scrolls_the_page(open_page: Open) -> None:
    page = open_page("/map", viewport=TOUCHED, has_touch=True, is_mobile=True)
    page.get_by_text("two fingers enlarge").wait_for()
    box = page.locator("canvas.map").bounding_box()
    fingers = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    x, y = box["x"] + box["width"] / 2, min(box["y"] + box["height"] / 2, 700)
    touch("touchStart", (x - 20, y), (x + 20, y))
    for step in range(1, 6):
        touch("touchMove", (x - 20 - 15 * step, y), (x + 20 + 15 * step, y))
    touch("touchEnd")
    playwright.expect(page.locator("canvas.map")).to_have_attribute("data-zoomed", "true")
    page.get_by_role("button", name="Show all of it").tap()
    playwright.expect(page.locator("canvas.map")).to_have_attribute("data-zoomed", "false")
    touch("touchStart", (x, y))
    for step in range(1, 11):
        touch("touchMove", (x, y - 15 * step))
    touch("touchEnd")
    wait_until(lambda: page.evaluate("scrollY") > 50, pause=lambda: page.wait_for_timeout(50))
    playwright.expect(page.locator(".player")).to_be_hidden()


def test_the_map_has_a_list_for_those_who_cannot_see_it(open_page: Open) -> None:
    page = open_page("/map")
    page.get_by_text("All tracks of the map as a list").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Choose chord").check()
    playwright.expect(page.locator(".chosen")).to_contain_text("1 track chosen")
    page.get_by_role("button", name="Play tune").click()
    playwright.expect(page.locator(".player .title")).to_have_text("tune")


def test_a_file_is_a_query_by_button_and_by_drop(open_page: Open, music: Path) -> None:
    page = open_page()
    page.locator("#file").set_input_files(music / "chord.wav")
    page.get_by_role("heading", name="Sounds like chord.wav").wait_for()
    assert page.locator(".row").count() == 4
    drop = """bytes => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], "dropped.flac"));
        dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
    }"""
    page.evaluate(drop, list((music / "clicks.flac").read_bytes()))
    page.get_by_role("heading", name="Sounds like dropped.flac").wait_for()


def test_a_file_that_is_no_music_is_explained(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    (tmp_path / "notes.txt").write_text("no music\n" * 100)
    page.locator("#file").set_input_files(tmp_path / "notes.txt")
    playwright.expect(page.get_by_role("alert").last).to_contain_text("not audio")


def test_everything_can_be_done_with_keys(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("/")
    playwright.expect(page.get_by_label("Search the library")).to_be_focused()
    page.keyboard.type("5 + 1")
    page.keyboard.press("Enter")
    page.locator(".row .title").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    playwright.expect(page.locator(".row .play").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    playwright.expect(page.locator(".row").nth(1)).to_have_attribute("data-current", "1")
    page.keyboard.press("Space")
    page.get_by_role("button", name="Play", exact=True).wait_for()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    playwright.expect(page.get_by_label("Search the library")).to_be_focused()
    page.keyboard.press("Escape")
    assert page.get_by_label("Search the library").input_value() == ""


def test_arrows_move_five_seconds(open_page: Open) -> None:
    page = open_page("/track/5")
    now = time.monotonic()
    page.locator(".lead .play").click()
    wait_until_heard(page, 1)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    check_is_heard_from(page, 11, 11, now)
    page.keyboard.press("Space")  # so that it stands still
    page.get_by_role("button", name="Play", exact=True).wait_for()
    place = heard(page)
    page.keyboard.press("ArrowLeft")
    wait_until(lambda: heard(page) == place - 5, pause=lambda: page.wait_for_timeout(50))


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_is_wider_than_a_phone(open_page: Open, view: str) -> None:
    page = open_page(view, viewport=PHONE)
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_it_is_dark_where_the_system_is_and_where_one_likes(open_page: Open) -> None:
    def brightness(page: Any) -> int:
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in re.findall(r"\d+", color)[:3])

    page = open_page(color_scheme="dark")
    assert brightness(page) < 150
    page.get_by_role("button", name="Use light colours").click()
    assert brightness(page) > 600
    page.reload()
    assert brightness(page) > 600
    assert brightness(open_page(color_scheme="light")) > 600


def test_names_with_markup_are_text(open_page: Open) -> None:
    page = open_page("/track/1")
    page.locator("h1").wait_for()
    assert page.locator("h1").inner_text() == "<img src=x onerror=alert(1)>"
    assert page.locator("img").count() == 0


def test_wrong_queries_and_unknown_tracks_are_explained(open_page: Open) -> None:
    assert "does not end" in open_page("/search?q=%22piano").get_by_role("alert").last.inner_text()
    assert "no track 999" in open_page("/track/999").locator(".message").inner_text()
    assert "Nothing found" in open_page("/search?q=piano%20year=1700").locator(".message").inner_text()


def test_the_description_of_the_api_is_a_page(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("link", name="API").click()
    page.locator("section h2", has_text="/api/search").wait_for()


def stop(page: Any) -> None:
    """Pause at once, so that short tracks do not end while a test looks at them."""
    page.evaluate("document.querySelector('.player .play[aria-label=Pause]')?.click()")


def test_a_list_is_played_one_track_after_the_other(open_page: Open) -> None:
    page = open_page()
    titles = page.locator(".row .title").all_inner_texts()
    page.get_by_role("button", name="Play all").click()
    playing = page.locator(".player > .words .title")
    playwright.expect(playing).to_have_text(titles[0])
    playwright.expect(playing).to_have_text(titles[1])  # the first lasts two seconds
    page.keyboard.press("n")
    playwright.expect(playing).to_have_text(titles[2])
    stop(page)
    page.keyboard.press("p")  # from its beginning, or the one before
    page.keyboard.press("ArrowLeft")
    while playing.inner_text() != titles[1]:
        page.get_by_role("button", name="Previous track").click()
    assert heard(page) <= 1


def test_the_next_track_is_fetched_before_this_one_ends(open_page: Open, ids: dict[str, int]) -> None:
    page = open_page()
    with page.expect_request(lambda asked: f"/{ids['clicks.flac']}/audio" in asked.url):
        page.get_by_role("button", name="Play chord", exact=True).click()
    assert page.locator(".player > .words .title").inner_text() == "chord"


def queue_of(page: Any) -> list[str]:
    return page.locator(".next .title").all_inner_texts()


def test_what_comes_next_can_be_shuffled_thinned_and_added_to(open_page: Open) -> None:
    page = open_page()
    titles = page.locator(".row .title").all_inner_texts()
    page.get_by_role("button", name="Play tune", exact=True).click()  # the one that lasts half a minute
    stop(page)
    page.evaluate("scrollTo(0, 0)")
    page.keyboard.press("q")
    assert queue_of(page) == []
    page.keyboard.press("q")
    page.locator(".row .play").first.click()
    stop(page)
    page.keyboard.press("q")
    assert queue_of(page) == titles[1:]
    page.get_by_role("button", name="Shuffle").last.click()
    assert sorted(queue_of(page)) == sorted(titles[1:])
    page.get_by_role("button", name="Shuffle").last.click()
    assert queue_of(page) == titles[1:]
    page.get_by_role("button", name="Leave out chord").click()
    assert queue_of(page) == titles[2:]
    page.get_by_role("button", name="Clear").click()
    assert queue_of(page) == []
    page.keyboard.press("Escape")
    for choice, title in (("Play later", "chord"), ("Play next", "clicks")):
        page.get_by_role("button", name=f"More about {title}").click()
        page.get_by_role("menuitem", name=choice).click()
    page.keyboard.press("q")
    assert queue_of(page) == ["clicks", "chord"]


def test_the_music_goes_on_with_what_sounds_alike_or_again(open_page: Open) -> None:
    page = open_page("/search?q=calm%20piano%20artist=nobody")
    page.goto(page.url.split("#")[0] + "#/track/5")
    page.locator(".lead .play").click()
    page.keyboard.press("q")
    playing = page.locator(".player > .words .title")
    page.keyboard.press("n")
    playwright.expect(playing).to_have_text("tune")
    page.get_by_role("button", name="Repeat: off").click()
    page.keyboard.press("n")
    playwright.expect(playing).to_have_text("tune")
    page.get_by_role("button", name="Repeat: all").click()
    page.get_by_role("button", name="Repeat: this").click()
    page.get_by_role("button", name="Go on with").click()
    page.keyboard.press("n")
    playwright.expect(playing).not_to_have_text("tune")
    page.reload()  # it is remembered
    page.locator(".row .play").first.click()
    page.keyboard.press("q")
    assert page.get_by_role("button", name="Go on with").get_attribute("aria-pressed") == "true"


def test_what_a_dead_file_did_is_cleared_by_the_next_track(open_page: Open, ids: dict[str, int]) -> None:
    page = open_page()
    page.route(f"**/api/tracks/{ids['chord.wav']}/audio**", lambda route: route.fulfill(status=404))
    page.get_by_role("button", name="Play chord", exact=True).click()
    by = page.locator(".player > .words .by")
    playwright.expect(by).to_contain_text("cannot be played")
    page.get_by_role("button", name="Play", exact=True).wait_for()  # nothing is heard
    playwright.expect(page.locator(".player > .words .title")).to_have_text("clicks")  # by itself
    playwright.expect(by).not_to_contain_text("cannot be played")
    page.get_by_role("button", name="Pause", exact=True).wait_for()


def test_media_keys_and_the_lock_screen_know_the_track(open_page: Open) -> None:
    page = open_page()
    page.add_init_script(
        "window.acts = {}; MediaSession.prototype.setActionHandler = (name, act) => (window.acts[name] = act)"
    )
    page.reload()
    page.get_by_role("button", name="Play chord", exact=True).click()
    page.get_by_role("button", name="Pause chord").wait_for()
    title = "() => navigator.mediaSession.metadata.title"
    assert page.evaluate(title) == "chord"
    assert page.evaluate("navigator.mediaSession.playbackState") == "playing"
    page.evaluate("window.acts.nexttrack({})")
    page.wait_for_function(f"({title})() === 'clicks'")
    page.evaluate("window.acts.pause({})")
    page.wait_for_function("navigator.mediaSession.playbackState === 'paused'")


def test_volume_and_silence(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Play tune", exact=True).click()
    volume = page.get_by_role("slider", name="Volume")
    volume.fill("40")
    page.keyboard.press("m")
    playwright.expect(page.get_by_role("button", name="Sound again")).to_be_visible()
    assert volume.input_value() == "0"
    page.keyboard.press("m")
    playwright.expect(volume).to_have_value("40")
    page.reload()
    page.get_by_role("button", name="Play tune", exact=True).click()
    playwright.expect(volume).to_have_value("40")


def test_a_question_mark_shows_all_keys(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys")
    playwright.expect(sheet).to_contain_text("next track")
    page.keyboard.press("Escape")
    playwright.expect(sheet).to_be_hidden()
    page.get_by_label("Search the library").press("?")
    playwright.expect(sheet).to_be_hidden()
    assert page.get_by_label("Search the library").input_value() == "?"


def test_the_player_serves_a_finger(open_page: Open) -> None:
    page = open_page(viewport=TOUCHED, has_touch=True, is_mobile=True)
    page.get_by_role("button", name="Play all").tap()
    page.get_by_role("button", name="Next track").tap()
    playwright.expect(page.locator(".player > .words .title")).to_have_text("chord")
    page.get_by_role("button", name="Up next").tap()
    page.get_by_role("button", name="Play lossless").last.tap()
    playwright.expect(page.locator(".player > .words .title")).to_have_text("lossless")
    assert page.evaluate("document.documentElement.scrollWidth") <= TOUCHED["width"]
    small = """() => [...document.querySelectorAll(".player button, .row button")]
        .filter((button) => button.offsetWidth && (button.offsetWidth < 36 || button.offsetHeight < 36))
        .map((button) => button.outerHTML)"""
    assert page.evaluate(small) == []


def test_a_sum_is_weighed_by_chips_and_added_to_from_rows(open_page: Open) -> None:
    page = open_page("/search?q=5%20%2B%20%22piano%22%20seconds=1-")
    query, terms = page.get_by_label("Search the library"), page.locator(".mix li")
    playwright.expect(terms.locator(".name")).to_have_text(["tune", "piano"])
    page.get_by_label("Weight of piano").fill("0.5")
    playwright.expect(query).to_have_value('5 + 0.5 * "piano" seconds=1-')
    page.get_by_role("button", name="Less of 5").click()
    playwright.expect(query).to_have_value('- 5 + 0.5 * "piano" seconds=1-')
    page.locator(".row .title").first.wait_for()
    page.get_by_role("button", name="More about chord").click()
    page.get_by_role("menuitem", name="More of it").click()
    playwright.expect(terms.locator(".name")).to_have_text(["tune", "piano", "chord"])
    for name in ("5", "piano"):
        page.get_by_role("button", name=f"Leave out {name}", exact=True).click()
        playwright.expect(page.get_by_role("button", name=f"Leave out {name}", exact=True)).to_have_count(0)
    assert query.input_value().split()[1:] == ["seconds=1-"]


def test_a_list_is_kept_as_a_playlist_changed_and_removed(open_page: Open) -> None:
    page = open_page("/search?q=seconds=3-")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_label("Name", exact=True).fill("rainy evening")
    page.get_by_role("button", name="Save playlist").click()
    page.get_by_role("link", name="rainy evening").click()
    page.get_by_role("heading", name="rainy evening").wait_for()
    titles = page.locator(".row .title").all_inner_texts()
    assert len(titles) == 4
    page.get_by_role("button", name=f"More about {titles[1]}").click()
    page.get_by_role("menuitem", name="Move up").click()
    playwright.expect(page.locator(".row .title").first).to_have_text(titles[1])
    page.get_by_role("button", name=f"More about {titles[0]}").click()
    page.get_by_role("menuitem", name="Take out").click()
    playwright.expect(page.locator(".row")).to_have_count(3)
    page.reload()
    playwright.expect(page.locator(".row .title").first).to_have_text(titles[1])
    page.get_by_role("link", name="Playlists").click()
    page.get_by_role("button", name="Play rainy evening").click()
    playwright.expect(page.locator(".player > .words .title")).to_have_text(titles[1])
    page.get_by_role("button", name="More about rainy evening").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Name", exact=True).fill("night")
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("button", name="More about night").click()
    page.get_by_role("menuitem", name="Remove").click()
    page.get_by_role("button", name="Remove").click()
    playwright.expect(page.locator(".shelf .row", has_text="night")).to_have_count(0)


def test_likes_are_kept(open_page: Open) -> None:
    page = open_page()
    row = page.locator(".row", has_text="chord")
    row.hover()
    row.get_by_role("button", name="Like chord").click()
    playwright.expect(row).to_have_attribute("data-liked", "")
    page.get_by_role("button", name="Play tune", exact=True).click()
    page.keyboard.press("l")
    page.reload()
    playwright.expect(page.locator(".row[data-liked]")).to_have_count(2)
    page.get_by_role("link", name="Playlists").click()
    page.get_by_role("link", name="Liked").click()
    playwright.expect(page.locator(".row")).to_have_count(2)
    for left in (1, 0):
        page.locator(".row").first.hover()
        page.locator(".row .heart").first.click()
        playwright.expect(page.locator(".row")).to_have_count(left)


def test_more_of_what_is_liked_is_found(open_page: Open) -> None:
    page = open_page()
    row = page.locator(".row", has_text="clicks")
    row.hover()
    row.get_by_role("button", name="Like clicks").click()
    playwright.expect(row).to_have_attribute("data-liked", "")
    page.get_by_role("link", name="Playlists").click()
    page.get_by_role("link", name="Liked").click()
    page.get_by_role("link", name="More like these").click()
    page.get_by_role("heading", name="More like what is liked").wait_for()
    titles = page.locator(".row .title").all_inner_texts()
    assert len(titles) == 4 and "clicks" not in titles
    page.go_back()
    page.locator(".row .heart").first.click()
    playwright.expect(page.locator(".row")).to_have_count(0)


def test_a_path_is_found_between_two_tracks(open_page: Open) -> None:
    page = open_page("/explore")
    page.get_by_label("From", exact=True).fill("tune")
    page.get_by_label("To", exact=True).fill("chord")
    page.get_by_role("button", name="Find the path").click()
    titles = page.get_by_role("list", name="Tracks of the path").locator(".title")
    playwright.expect(titles.first).to_have_text("tune")
    assert titles.last.inner_text() == "chord" and titles.count() > 2
    page.locator(".path").get_by_role("button", name="Play all").click()
    page.get_by_role("button", name="Pause tune").first.wait_for()
    page.get_by_label("To", exact=True).fill("nothing of that name")
    page.get_by_role("button", name="Find the path").click()
    page.get_by_text("No track is called").wait_for()


def test_a_path_begins_and_ends_by_the_menus_of_tracks(open_page: Open) -> None:
    page = open_page()
    for name, words in (("clicks", "A path from here"), ("tune", "The path to here")):
        page.get_by_role("link", name="Tracks", exact=True).click()
        page.get_by_role("button", name=f"More about {name}").click()
        page.get_by_role("menuitem", name=words).click()
        page.get_by_role("heading", name="A path from one track").wait_for()
        playwright.expect(page.get_by_label("From", exact=True)).to_have_value(re.compile("clicks"))
    titles = page.get_by_role("list", name="Tracks of the path").locator(".title")
    playwright.expect(titles.first).to_have_text("clicks")
    assert titles.last.inner_text() == "tune"


def test_groups_are_named_opened_and_saved(open_page: Open) -> None:
    page = open_page("/explore")
    groups = page.get_by_role("list", name="Groups").locator(".row")
    groups.first.wait_for()
    counts = [int(text.split()[0]) for text in groups.locator(".by").all_inner_texts()]
    assert sum(counts) == 5
    name = groups.first.locator(".title").inner_text()
    groups.first.get_by_role("button", name=f"Save {name}").click()
    page.get_by_role("heading", name=f"Save {counts[0]} track").wait_for()
    page.keyboard.press("Escape")
    groups.first.get_by_role("link", name=name).click()
    page.get_by_role("heading", name=name).wait_for()
    playwright.expect(page.locator(".row")).to_have_count(counts[0])


def test_recordings_that_are_there_twice_are_looked_for(open_page: Open) -> None:
    page = open_page("/explore")
    page.get_by_role("button", name="Look for them").click()
    page.get_by_text("No recording is there twice.").wait_for()


def test_filters_are_chips_with_counts(open_page: Open) -> None:
    page = open_page("/search?q=piano%20seconds=-2:00")
    assert page.locator("h1").inner_text() == "piano"
    page.get_by_role("button", name="Filters").click()
    choice = page.get_by_role("group", name="Length").get_by_role("button", name="under 2 min 5 tracks")
    playwright.expect(choice).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Leave out Length: up to 2:00").click()
    playwright.expect(page.get_by_label("Search the library")).to_have_value("piano")
    page.get_by_text("The tracks do not differ").wait_for()  # it stays open


def test_a_file_names_the_folder_of_another_machine(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_label("As a file for other players").select_option(label="Behind a folder of another machine")
    page.get_by_label("The folder of the music there").fill("/mnt/music")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert "/mnt/music/chord.wav" in lines and len(lines) == 11


SHOWN = (  # besides VIEWS: views that need something to show
    "/search?q=5%20%2B%20%22piano%22%20-%20clicks%20seconds=1-",
    "/search?q=tune",
    "/search?q=named:%20nothing",
    "/explore?from=5&to=1&n=2",
    "/explore/1",
    "/playlist/1",
    "/playlist/1/similar",
    "/track/999",
)
DIALOGS: dict[str, Callable[[Any], Any]] = {
    "queue": lambda page: page.keyboard.press("q"),
    "keys": lambda page: page.keyboard.press("?"),
    "menu": lambda page: page.locator(".menu-button").first.click(),
    "save": lambda page: page.get_by_role("button", name="Save", exact=True).first.click(),
    "filters": lambda page: open_filters(page),
    "map": lambda page: choose_on_map(page),
    "rename": lambda page: ask_of_playlist(page, "Rename"),
    "remove": lambda page: ask_of_playlist(page, "Remove"),
    "doubles": lambda page: look_for_doubles(page),
    "name completion": lambda page: page.get_by_label("Search the library").press_sequentially("tu"),
}


def go(page: Any, view: str) -> None:
    page.goto(page.url.split("#")[0] + f"#{view}")
    page.locator("main:not([aria-busy]) > *").first.wait_for()


def open_filters(page: Any) -> None:
    go(page, "/search?q=seconds=-2:00")
    page.get_by_role("button", name="Filters").click()
    page.get_by_role("group", name="Length").wait_for()


def choose_on_map(page: Any) -> None:
    go(page, "/map")
    page.get_by_label("Colours of the map").select_option(label="What sounds alike")
    page.get_by_role("group", name="Colours").get_by_role("button").first.click()
    page.get_by_text("All tracks of the map as a list").click()


def ask_of_playlist(page: Any, verb: str) -> None:
    go(page, "/playlists")
    page.get_by_role("button", name="More about evening").click()
    page.get_by_role("menuitem", name=verb).click()
    page.get_by_role("dialog").wait_for()


def look_for_doubles(page: Any) -> None:
    go(page, "/explore")
    page.get_by_role("button", name="Look for them").click()
    page.get_by_text("No recording is there twice.").wait_for()


@pytest.fixture(scope="module")
def evening(library: Path, served: Served) -> Iterator[int]:
    """The number of a playlist in the library that is served; other tests share that."""
    with Library(library) as opened:
        made = opened.make_playlist("evening", [1, 5])
    yield made.id
    with Library(library) as opened:
        opened.remove_playlist(opened.playlist(made.id))


@pytest.mark.parametrize("viewport", [TOUCHED, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_views(
    open_page: Open, axe: str, evening: int, scheme: str, viewport: dict[str, int]
) -> None:
    page = open_page(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    page.get_by_role("button", name="Play tune", exact=True).click()
    for view in (*VIEWS, *SHOWN):
        go(page, view.replace("/playlist/1", f"/playlist/{evening}"))
        check_with_axe(page, axe, view)


@pytest.mark.parametrize("viewport", [TOUCHED, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("dialog", DIALOGS)
def test_axe_finds_nothing_serious_in_sheets(
    open_page: Open, axe: str, evening: int, dialog: str, scheme: str, viewport: dict[str, int]
) -> None:
    page = open_page(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    page.get_by_role("button", name="Play tune", exact=True).click()
    page.get_by_role("button", name="Play chord", exact=True).click()
    DIALOGS[dialog](page)
    check_with_axe(page, axe, dialog)


def test_axe_finds_nothing_serious_in_the_description_of_the_api(
    open_page: Open, axe: str, served: Served
) -> None:
    page = open_page()
    page.goto(f"http://127.0.0.1:{served.port}/api/docs")
    page.locator("main, body").first.wait_for()
    check_with_axe(page, axe, "docs")


@pytest.mark.parametrize("viewport", [TOUCHED, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_what_tells_that_the_server_is_gone(
    open_page: Open, axe: str, scheme: str, viewport: dict[str, int]
) -> None:
    page = open_page(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_label("Search the library").fill("1")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#gone")).to_be_visible()
    check_with_axe(page, axe, "gone")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    page.unroute("**/api/**")
    playwright.expect(page.locator("#gone")).to_be_hidden()  # it goes on by itself


def test_a_server_that_goes_away_is_told_and_waited_for(open_page: Open, served: Served) -> None:
    page = open_page()  # the last test of this file: it ends the server
    served[0].terminate()
    served[0].wait(timeout=PATIENCE)
    page.get_by_label("Search the library").fill("1")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#gone")).to_contain_text("solfa serve")
