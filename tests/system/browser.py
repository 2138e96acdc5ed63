"""The status page in a real browser: what people see, and what a hostile name can't do there.

`make test-browser` runs it, with Debian's chromium; it leaves pictures in build/screenshots.
"""

from dataclasses import replace

import pytest
from support.browser import open_browser, why_not
from support.checkout import ROOT
from support.status_pages import HOSTILE, NOW, morning, page

SCREENSHOTS = ROOT / "build" / "screenshots"
SIZES = {"phone": (360, 740), "desk": (1280, 900)}

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture(scope="module")
def chromium():
    with open_browser() as browser:
        yield browser


@pytest.fixture
def look(chromium, tmp_path):
    """Shows facts in a browser whose clock stands at the time of the page; returns the tab."""
    contexts = []

    def show(facts, size="desk", scheme="light", *, later=0, **options):
        width, height = SIZES[size] if isinstance(size, str) else size
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            timezone_id="UTC",
            **options,
        )
        contexts.append(context)
        tab = context.new_page()
        tab.wrongs, tab.asked = [], []
        tab.on("pageerror", lambda error: tab.wrongs.append(str(error)))
        tab.on("console", lambda line: tab.wrongs.append(line.text))
        tab.on("dialog", lambda dialog: tab.wrongs.append(dialog.message))
        tab.on("request", lambda request: tab.asked.append(request.url))
        if options.get("java_script_enabled", True):
            tab.clock.install(time=NOW + later)
        file = tmp_path / "status.html"
        file.write_text(page(facts))
        tab.goto(file.as_uri())
        return tab

    yield show
    for context in contexts:
        context.close()


def names(tab):
    """The folders that are seen."""
    shown = tab.locator("[data-case] .name:visible")
    return [each.strip() for each in shown.all_inner_texts()]


def pass_time(tab, seconds):
    tab.clock.run_for(seconds * 1000)


# --- everybody can use it -------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing(look, size, scheme):
    """Contrast, names, roles, landmarks, headings, sizes: in light and dark, wide and narrow."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 -- only where it is installed

    tab = look(morning(is_away=True), size, scheme, later=3600)
    found = Axe().run(tab, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=SCREENSHOTS / f"status-{size}-{scheme}.png", full_page=True)


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_runs_off_the_side(look, width):
    """Also with a name of 200 letters."""
    facts = morning()
    long = [replace(each, folder="x" * 200, why="y" * 300) for each in facts.views]
    tab = look(replace(facts, views=long), (width, 740))
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_is_enough(look):
    """Filter, search, refresh and links come in this order, and arrows choose what is shown."""
    tab = look(morning(2))
    order = []
    for _ in range(5):
        tab.keyboard.press("Tab")
        order.append(tab.evaluate("document.activeElement.id"))
    assert order[:3] == ["show-all", "search", "refresh"]
    assert order[3].endswith("-folder")
    tab.focus("#show-all")
    tab.keyboard.press("ArrowRight")
    assert names(tab) == ["ct-2026-0830-\u00d8stby", "trial 7/series 3", "p-with-change"]


def test_the_status_is_in_words(look):
    """Each case has its status as a text, so that no colour has to be seen."""
    tab = look(morning())
    labels = tab.locator("[data-case] .label").all_inner_texts()
    assert len(labels) == tab.locator("[data-case]").count()
    assert set(labels) == {
        *("Failed", "Waits for somebody", "Not sent", "Delivered, to check"),
        *("Settling", "Uploading", "Running", "Delivered"),
    }


def test_a_print_has_the_cases_and_no_controls(look):
    """On white, whatever the screen is."""
    tab = look(morning(), scheme="dark")
    tab.emulate_media(media="print")
    assert not tab.locator("#controls").is_visible()
    assert tab.locator("h2").first.is_visible()
    background = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert background == "rgb(255, 255, 255)"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    tab.pdf(path=SCREENSHOTS / "status-print.pdf", format="A4")


def test_it_can_be_read_without_a_script(look):
    """All cases are there, nothing that would not work, and the page refreshes itself."""
    tab = look(morning(), java_script_enabled=False)
    assert len(names(tab)) == 18
    assert not tab.locator("#controls").is_visible()
    assert tab.locator("meta[http-equiv=refresh]").get_attribute("content") == "60"


# --- search, filter, refresh ----------------------------------------------------------------------


def test_a_search_finds_names_keys_and_words(look):
    """In any order, without regard to case and accents; it says how many match."""
    tab = look(morning())
    tab.fill("#search", "OSTBY")
    assert names(tab) == []  # Østby has no accent
    tab.fill("#search", "doe- sending")
    assert names(tab) == ["doe-john"]
    assert "1 of 19 listed cases match." in tab.inner_text("#found")
    tab.fill("#search", "lobes-d0000003")
    assert names(tab) == ["p3"]
    tab.fill("#search", "nobody")
    assert names(tab) == []
    assert not tab.locator(".day").is_visible()


def test_search_and_filter_outlast_the_refresh(look, tmp_path):
    """After a minute the page is read again; what was chosen stays, and the focus as well."""
    tab = look(morning())
    tab.check("#show-delivered")
    tab.fill("#search", "p1")
    tab.focus("#lobes-d0000011-folder")
    pass_time(tab, 21)  # whoever has just typed is not disturbed
    (tmp_path / "status.html").write_text(page(morning(20)))
    with tab.expect_navigation():
        pass_time(tab, 40)
    assert tab.input_value("#search") == "p1"
    assert tab.is_checked("#show-delivered")
    assert names(tab) == ["p1", *(f"p{number}" for number in range(10, 20))]
    assert tab.evaluate("document.activeElement.id") == "lobes-d0000011-folder"
    assert tab.wrongs == []


def test_the_refresh_can_be_switched_off(look):
    """And it stays off."""
    tab = look(morning())
    tab.uncheck("#refresh")
    loaded = len(tab.asked)
    pass_time(tab, 300)
    tab.reload()
    assert not tab.is_checked("#refresh")
    assert len(tab.asked) == loaded + 1


def test_whoever_types_is_not_disturbed(look):
    """A refresh waits until nobody has typed for 20 seconds."""
    tab = look(morning())
    for _ in range(6):
        pass_time(tab, 15)
        tab.locator("#search").press_sequentially("d")
    assert len(tab.asked) == 1
    with tab.expect_navigation():
        pass_time(tab, 21)
    assert tab.input_value("#search") == "dddddd"


def test_an_old_page_says_so(look):
    """Nobody takes the last page of a dead gcwatch for the state of today."""
    tab = look(morning(), later=60)
    assert not tab.locator("#stale").is_visible()
    pass_time(tab, 50)
    tab = look(morning(), later=3 * 3600)
    assert "This page is 3 hours old" in tab.inner_text("#stale")
    tab = look(morning(is_over=True), later=3 * 3600)
    assert not tab.locator("#stale").is_visible()


# --- what it never does ---------------------------------------------------------------------------


def test_hostile_names_do_nothing(look):
    """No script runs, nothing is loaded, no title changes, and the names are seen as they are."""
    facts = morning(3)
    for name in HOSTILE:
        evil = [replace(each, folder=name, why=name, hint=name) for each in facts.views]
        tab = look(replace(facts, views=evil))
        assert tab.title() == "(4) lobes \u2013 gcwatch"
        assert tab.wrongs == []
        assert len(tab.asked) == 1
        shown = name.encode("unicode_escape").decode() if not name.isprintable() else name
        assert names(tab)[0] == shown


def test_nothing_but_its_own_script_runs(look):
    """What was smuggled into the page all the same is stopped by its policy."""
    tab = look(morning())
    stopped = tab.evaluate(
        """() => new Promise((resolve) => {
            const stopped = [];
            addEventListener("securitypolicyviolation", (event) => {
                stopped.push(event.effectiveDirective);
                if (stopped.length === 2) resolve(stopped);
            });
            const script = document.createElement("script");
            script.textContent = "document.title = 'taken'";
            const picture = document.createElement("img");
            picture.src = "https://127.0.0.1:9/x.png";
            document.body.append(script, picture);
        })"""
    )
    assert sorted(stopped) == ["img-src", "script-src-elem"]
    assert tab.title() == "(4) lobes \u2013 gcwatch"


def test_links_open_the_folder(look, tmp_path):
    """From a page in a folder, as people open it from a share."""
    (tmp_path / "out" / "p1").mkdir(parents=True)
    (tmp_path / "out" / "p1" / "lobes.mha").touch()
    tab = look(morning())
    tab.click("#lobes-d0000001-folder")
    tab.wait_for_url("**/out/p1/")
    assert "lobes.mha" in tab.content()
