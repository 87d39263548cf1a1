"""The page in a real browser: what a person does with it, by pointer and by keys alone."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from media.media_clips import BLUE, GREY, RED, tone, write_clip
from seehear import Library
from seehear.server import Settings
from server.conftest import free_port, serving
from waiting import LIMIT_S

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("chromium is not on PATH; on Debian: apt-get install chromium fonts-dejavu")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The page, open; afterwards: no error, no refused script or style, no stranger asked."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True)
    context.set_default_timeout(1000 * LIMIT_S)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    until(page, "document.getElementById('engine').textContent !== ''")
    yield page
    context.close()
    assert [line for line in said if line.startswith(("error", "warning"))] == []
    assert [one for one in asked if not one.startswith((url, "blob:", "data:"))] == []


def until(page: Page, wanted: str) -> None:
    """Wait for an expression to be true; asked from outside, as the page allows no eval."""
    deadline = time.monotonic() + LIMIT_S
    while not page.evaluate(wanted):
        assert time.monotonic() < deadline, wanted
        page.wait_for_timeout(50)


def search(page: Page, words: str) -> None:
    page.fill("#text", words)
    page.press("#text", "Enter")
    page.wait_for_selector(".card")
    page.wait_for_selector("#results:not([aria-busy])")


def cards(page: Page) -> list[str]:
    return page.locator(".card h3").all_inner_texts()


def picture(page: Page, folder: Path, name: str) -> None:
    """A screenshot in the folder of the test, for people to look at."""
    page.screenshot(path=str(folder / f"{name}.png"))


def test_type_look_and_read_why(page: Page, tmp_path: Path) -> None:
    picture(page, tmp_path, "1-start")
    search(page, "a dog barking")
    assert cards(page)[0] == "farm_dog.mp4"
    assert "moments in 6 files" in page.inner_text("#facts")
    assert page.locator(".divider").count() == 1  # some match, the rest is weaker
    assert set(page.locator(".engine").all_inner_texts()) == {"tags"}
    assert set(page.locator(".badge").all_inner_texts()) == {"no sound", "silent"}
    picture(page, tmp_path, "2-results")
    page.locator(".open-button").first.click()
    page.wait_for_selector("#drawer video")
    assert "Bark" in page.inner_text("#drawer")
    until(page, "document.querySelector('#drawer video').readyState >= 1")
    picture(page, tmp_path, "3-drawer")


def test_pointing_at_a_card_plays_it(page: Page) -> None:
    search(page, "a dog barking")
    page.locator(".open-button").first.hover()
    until(page, "document.querySelector('.card video')?.currentTime > 0.2")
    assert page.evaluate("document.querySelector('.card video').muted")
    page.mouse.move(0, 0)
    until(page, "!document.querySelector('.card video')")


def test_mute_and_blindfold_search_again(page: Page, tmp_path: Path) -> None:
    search(page, "a dog barking")
    both = cards(page)
    page.locator(".open-button").first.click()
    page.click("#mute")
    until(page, "document.getElementById('rank-change')?.textContent")
    seen = cards(page)
    assert page.get_attribute("#mute", "aria-pressed") == "true"
    assert "100% sight" in page.inner_text("#facts")
    page.click("#blindfold")
    until(page, "document.getElementById('facts').textContent.includes('100% sound')")
    heard = cards(page)
    assert len({tuple(both), tuple(seen), tuple(heard)}) == 3
    assert "horse__wrong.mp4" in heard[:2]  # it barks
    assert "horse__wrong.mp4" not in seen[:2]
    picture(page, tmp_path, "4-blindfold")


def test_the_heat_strip_seeks(page: Page) -> None:
    search(page, "a dog barking")
    page.locator(".open-button").first.click()
    until(page, "document.querySelector('#drawer video')?.readyState >= 2")
    strip = page.locator("svg[data-strip=heard]")
    box = strip.bounding_box()
    assert box
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2)
    until(page, "document.querySelector('#drawer video').currentTime > 4.3")


def test_the_strips_are_moved_along_by_keys(page: Page) -> None:
    search(page, "a dog barking")
    assert page.locator("option.match:not([hidden])").count() == 0  # no match model
    page.locator(".open-button").first.click()
    until(page, "document.querySelector('#drawer video')?.readyState >= 2")
    strip = page.locator("svg[data-strip=seen]")
    strip.focus()
    page.keyboard.press("End")
    until(page, "document.querySelector('#drawer video').currentTime > 4.5")
    until(page, "document.querySelector('svg[data-strip=seen]').ariaValueNow > 4.5")
    page.keyboard.press("ArrowLeft")
    until(page, "document.querySelector('svg[data-strip=seen]').ariaValueNow < 4.9")
    page.keyboard.press("Home")
    until(page, "document.querySelector('#drawer video').currentTime === 0")


def test_a_card_shows_its_best_frame_and_a_long_film_all_it_holds(
    browser: Browser, library: Library, tmp_path: Path
) -> None:
    assert library  # weights are here
    shots = [(30 * n, (GREY, BLUE)[n % 2]) for n in range(4)] + [(100, RED), (102, GREY)]
    film = write_clip(tmp_path / "long.mp4", seconds=120, fps=5, shots=shots, size=(320, 240))
    with (
        Library.create(tmp_path / "own") as own,
        serving(own, Settings(port=free_port(), cache=tmp_path / "cache")) as url,
    ):
        own.add([film], workers=1)
        page = browser.new_page()
        page.goto(url)
        search(page, "a red picture")
        until(page, "document.querySelector('img.best')?.naturalWidth > 0")
        page.locator(".open-button").first.click()
        film_strip = page.locator("svg[data-strip=film]")
        assert film_strip.locator(".found, .this").count() == len(list(own.items()))
        picture(page, tmp_path, "6-long-film")
        box = film_strip.bounding_box()
        assert box
        page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 3)
        until(page, "document.querySelector('#drawer video').currentTime > 100")
        page.close()


def test_from_search_to_export_by_keys_alone(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("a dog barking")
    page.keyboard.press("Enter")
    page.wait_for_selector(".card")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("s")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("#drawer:not([hidden])")
    page.keyboard.press("s")
    page.keyboard.press("Escape")
    assert page.locator("#drawer").is_hidden()
    assert page.locator("#chosen li").count() == 2
    page.locator("#format").select_option("json")
    page.evaluate("document.activeElement.blur()")
    with page.expect_download() as download:
        page.keyboard.press("e")
    moments = json.loads(Path(download.value.path()).read_text())["moments"]
    assert len(moments) == 2
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()


def test_the_selection_can_be_put_in_order(page: Page) -> None:
    search(page, "a dog barking")
    for number in (0, 1):
        page.locator(".tick").nth(number).click()
    first = page.locator("#chosen li").first.inner_text()
    page.locator("#chosen li").first.get_by_role("button", name="back").click()
    assert page.locator("#chosen li").nth(1).inner_text()[3:15] == first[3:15]
    with page.expect_download() as download:
        page.click("#export")
    assert download.value.suggested_filename == "seehear.csv"


def test_a_sound_file_is_a_question(page: Page, films: list[Path]) -> None:
    page.set_input_files("#file", films[0])
    page.wait_for_selector(".card")
    assert "farm_dog.mp4" in page.inner_text("#example")
    assert cards(page)[0] == "farm_dog.mp4"


def drop(page: Page, file: Path, kind: str) -> None:
    page.evaluate(
        """([bytes, name, type]) => {
          const drag = new DataTransfer();
          drag.items.add(new File([new Uint8Array(bytes)], name, { type }));
          document.dispatchEvent(new DragEvent("drop", { dataTransfer: drag, bubbles: true }));
        }""",
        [list(file.read_bytes()), file.name, kind],
    )
    page.wait_for_selector(".card")
    page.wait_for_selector("#results:not([aria-busy])")


def test_dropping_a_sound_or_a_clip_asks_with_it(
    page: Page, films: list[Path], shared_data: Path
) -> None:
    bark = next((shared_data / "data" / "esc10" / "001 - Dog bark").glob("*.ogg"))
    drop(page, bark, "audio/ogg")
    assert bark.name in page.inner_text("#example")
    assert set(cards(page)[:2]) == {"farm_dog.mp4", "horse__wrong.mp4"}  # the two that bark
    drop(page, films[1], "video/mp4")
    assert cards(page)[0] == "farm_cat.mp4"


def test_nothing_serious_against_people_who_cannot_see_it(page: Page) -> None:
    search(page, "a dog barking")
    page.locator(".open-button").first.click()
    page.wait_for_selector("#drawer video")
    page.locator(".tick").first.click()
    page.click("#show-ingest")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_timeout(300)  # colours fade over
        found = Axe().run(page).response["violations"]
        serious = [
            f"{one['id']}: {one['nodes'][0]['html'][:200]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_a_narrow_screen_holds_everything(page: Page, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    search(page, "a dog barking")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator(".open-button").first.click()
    page.wait_for_selector("#drawer video")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    picture(page, tmp_path, "5-narrow")


def test_indexing_from_the_page(browser: Browser, library: Library, tmp_path: Path) -> None:
    assert library  # weights are here
    films = tmp_path / "films"
    films.mkdir()
    write_clip(films / "red.mp4", shots=[(0, RED)], sounds=[tone(4, (1, 2))])
    with (
        Library.create(tmp_path / "own") as own,
        serving(own, Settings(port=free_port(), cache=tmp_path / "cache")) as url,
    ):
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("#ingest:not([hidden])")  # an empty library says so itself
        assert "Nothing is indexed yet" in page.inner_text("#empty")
        page.fill("#paths", str(films))
        page.get_by_role("button", name="Index", exact=True).click()
        until(page, "document.getElementById('progress').textContent.startsWith('Done: 1')")
        search(page, "a red picture")
        assert cards(page) == ["red.mp4"]
        page.close()
